//! From presented text to a verified chain. Follow [`verify_leaf`] for the common case.
//!
//! The order of checks, first failure wins: sizes; form of every token (JSON, claims); signatures;
//! `par_hash`; depths; subject; task and tenant; authority; times; provenance; audience. Nothing
//! before "signatures" does any asymmetric cryptography beyond reading an embedded key.

mod parsed;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::steps::{self, Link};
use crate::crypto::{CompactHashes, VerifyingKey, sha256};
use crate::error::VerifyError;
use crate::grant::GrantClaims;
use crate::hash::Sha256Hash;
use crate::ids::TokenId;
use crate::jws;
use crate::limits::{CHAIN_BYTES_MAX, CLOCK_SKEW_SECONDS_MAX, DEPTH_MAX, TOKEN_BYTES_MAX};
use crate::time::UnixMillis;
use crate::token::HopClaims;
use parsed::{Parsed, ParsedGrant, ParsedHop};

/// A token as presented: bounded in size, otherwise unknown.
#[derive(Clone, Debug)]
pub struct UnverifiedToken {
    text: String,
    /// Taken once: a cache looks the token up by its hash before anyone verifies it.
    hashes: OnceLock<CompactHashes>,
}

impl UnverifiedToken {
    /// Accepts text of a bounded size. Nothing about it is verified.
    ///
    /// # Errors
    /// `malformed` when empty or larger than [`TOKEN_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, VerifyError> {
        if text.is_empty() || text.len() > TOKEN_BYTES_MAX {
            return Err(VerifyError::malformed(0, "token is empty or larger than accepted"));
        }
        Ok(Self { text: text.to_owned(), hashes: OnceLock::new() })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text: the key of caches, and `ath` of a DPoP proof.
    #[must_use]
    pub fn token_hash(&self) -> Sha256Hash {
        self.hashes().token_hash
    }

    fn hashes(&self) -> &CompactHashes {
        self.hashes.get_or_init(|| CompactHashes::of(&self.text))
    }

    /// Reads it as a grant that nobody has settled. The grant is hop 1 in errors.
    ///
    /// # Errors
    /// [`VerifyError`] for the form, or `malformed` when this is a settled token.
    pub fn as_grant(&self) -> Result<UnverifiedGrant<'_>, VerifyError> {
        Ok(UnverifiedGrant { parsed: ParsedGrant::read(self, 1)?, grant_hash: self.token_hash() })
    }
}

/// A presented grant, read once: its form is right, nothing of it is verified.
#[derive(Debug)]
pub struct UnverifiedGrant<'a> {
    parsed: ParsedGrant<'a>,
    grant_hash: Sha256Hash,
}

impl UnverifiedGrant<'_> {
    /// What it says its parent is, so that the Authority can look the parent up. Nothing is verified
    /// by it; [`UnverifiedGrant::verify`] checks that the parent found is the one named.
    #[must_use]
    pub fn claimed_parent(&self) -> Sha256Hash {
        self.parsed.claims.par_hash
    }

    /// Verifies it against the chain it narrows, which is hop 0 in errors.
    ///
    /// Its audience must be its parent's or one of `allowed_audiences` (those the workflow names).
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(
        self,
        parent: &VerifiedChain,
        allowed_audiences: &[String],
        now: UnixMillis,
    ) -> Result<VerifiedGrant, VerifyError> {
        let Self { parsed, grant_hash } = self;
        let above = parent.claims();
        parsed.check_signature(above, 1)?;
        let links = [parsed::link(above, parent.signing_hash()), parsed.link()];
        steps::commitments(&links)?;
        steps::depths(&links)?;
        steps::subjects(&links)?;
        parsed.check_task(above, 1)?;
        steps::authorities(&links)?;
        steps::times(&links, now)?;
        check_fresh(parsed.claims.iat, now, 1)?;
        let audience = &parsed.claims.aud;
        if *audience != above.aud && !allowed_audiences.contains(audience) {
            return Err(VerifyError::AudienceMismatch { hop: 1 });
        }
        Ok(VerifiedGrant {
            parent: parent.clone(),
            grant_hash,
            signing_hash: parsed.signing_hash,
            delegator_key: parsed.key,
            claims: parsed.claims,
        })
    }
}

/// A chain as presented, root first: bounded in size and length, otherwise unknown.
#[derive(Clone, Debug)]
pub struct UnverifiedChain(Vec<UnverifiedToken>);

impl UnverifiedChain {
    /// `ancestors` is the `~`-separated text of the chain header, root first and without the leaf;
    /// empty when only the leaf is presented.
    ///
    /// # Errors
    /// `malformed` for sizes, `depth_invalid` for more than eleven tokens.
    pub fn parse(ancestors: &str, leaf: &UnverifiedToken) -> Result<Self, VerifyError> {
        if ancestors.len() + leaf.text.len() > CHAIN_BYTES_MAX {
            return Err(VerifyError::malformed(0, "chain is larger than accepted"));
        }
        let mut tokens = Vec::new();
        if !ancestors.is_empty() {
            for (hop, text) in ancestors.split(crate::claims::CHAIN_SEPARATOR).enumerate() {
                if hop >= usize::from(DEPTH_MAX) {
                    return Err(VerifyError::DepthInvalid {
                        hop,
                        what: "more tokens than accepted",
                    });
                }
                let token = UnverifiedToken::parse(text);
                tokens.push(token.map_err(|_| {
                    VerifyError::malformed(hop, "token is empty or larger than accepted")
                })?);
            }
        }
        tokens.push(leaf.clone());
        Ok(Self(tokens))
    }

    /// The tokens, root first.
    #[must_use]
    pub fn tokens(&self) -> &[UnverifiedToken] {
        &self.0
    }
}

/// The pinned issuers and their keys. A key's algorithm is its own; a header never chooses one.
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys(HashMap<String, HashMap<String, VerifyingKey>>);

impl IssuerKeys {
    /// No issuer: everything is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Pins `key` as `kid` of `issuer`, replacing one of the same name.
    pub fn insert(&mut self, issuer: &str, kid: &str, key: VerifyingKey) -> &mut Self {
        self.0.entry(issuer.to_owned()).or_default().insert(kid.to_owned(), key);
        self
    }

    /// The key, if issuer and key are pinned.
    #[must_use]
    pub fn get(&self, issuer: &str, kid: &str) -> Option<&VerifyingKey> {
        self.0.get(issuer)?.get(kid)
    }

    /// Whether the issuer is pinned.
    #[must_use]
    pub fn trusts(&self, issuer: &str) -> bool {
        self.0.contains_key(issuer)
    }
}

/// What the verifier insists on.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions<'a> {
    /// The audience the leaf must have; `None` only where the caller checks it.
    pub audience: Option<&'a str>,
    /// Whether every hop from the root must be presented.
    pub full_chain: bool,
}

/// A chain whose every presented token verified. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VerifiedChain(Arc<Chain>);

#[derive(Debug)]
struct Chain {
    /// Claims of each presented token, the leaf's apart.
    ancestors: Vec<HopClaims>,
    leaf: HopClaims,
    unsettled: usize,
    signing_hash: Sha256Hash,
    token_hash: Option<Sha256Hash>,
}

impl VerifiedChain {
    /// The leaf's claims. An unsettled leaf has the claims its settled form would have, without
    /// decision, policy and status.
    #[must_use]
    pub fn claims(&self) -> &HopClaims {
        &self.0.leaf
    }

    /// The claims of every presented token, root-most first, the leaf last.
    pub fn hops(&self) -> impl Iterator<Item = &HopClaims> {
        self.0.ancestors.iter().chain(std::iter::once(&self.0.leaf))
    }

    /// How many hops at the end are grants that nobody has settled yet.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.0.unsettled
    }

    /// The leaf's signing hash: what a child commits to in `par_hash`.
    #[must_use]
    pub fn signing_hash(&self) -> Sha256Hash {
        self.0.signing_hash
    }

    /// SHA-256 of the leaf's compact text (`ath`); none when read back from the issuer's record.
    #[must_use]
    pub fn token_hash(&self) -> Option<Sha256Hash> {
        self.0.token_hash
    }

    /// Every agent of the chain, the root's first.
    #[must_use]
    pub fn agents(&self) -> Vec<&str> {
        self.claims().act.0.iter().rev().map(|actor| actor.sub.as_str()).collect()
    }

    /// The `jti` of every ancestor, root first, and the leaf's own, last. Revoking any kills this.
    #[must_use]
    pub fn lineage(&self) -> Vec<TokenId> {
        let claims = self.claims();
        claims.hop.lineage.iter().copied().chain(std::iter::once(claims.jti)).collect()
    }

    /// The first moment the chain is no longer valid.
    #[must_use]
    pub fn expires(&self) -> UnixMillis {
        UnixMillis::from_seconds(self.claims().exp)
    }

    /// Whether the leaf has the `jti` or descends from it.
    #[must_use]
    pub fn descends_from(&self, jti: &TokenId) -> bool {
        let claims = self.claims();
        claims.jti == *jti || claims.hop.lineage.contains(jti)
    }

    /// Reads back a token that the caller issued and recorded itself, as its signing input.
    ///
    /// Trust: no signature, time or audience is checked. Only an issuer may call this, on bytes
    /// from its own ledger-backed store; never on anything that arrived over a wire.
    ///
    /// # Errors
    /// [`VerifyError`] when the bytes are not a settled token's signing input.
    pub fn from_issuer_record(signing_input: &[u8]) -> Result<Self, VerifyError> {
        let (_, payload) =
            jws::split_signing_input(signing_input).map_err(|error| parsed::framing(error, 0))?;
        Ok(Self(Arc::new(Chain {
            ancestors: Vec::new(),
            leaf: HopClaims::from_payload(&payload, 0)?,
            unsettled: 0,
            signing_hash: sha256(signing_input),
            token_hash: None,
        })))
    }
}

/// A grant that verified against its parent; not usable until settled.
#[derive(Clone, Debug)]
pub struct VerifiedGrant {
    claims: GrantClaims,
    parent: VerifiedChain,
    grant_hash: Sha256Hash,
    signing_hash: Sha256Hash,
    delegator_key: VerifyingKey,
}

impl VerifiedGrant {
    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &GrantClaims {
        &self.claims
    }

    /// The chain it narrows.
    #[must_use]
    pub fn parent(&self) -> &VerifiedChain {
        &self.parent
    }

    /// SHA-256 of the compact bytes, as the settled token's `grant` names it. ECDSA signatures are
    /// malleable: judge reuse by `jti` or [`VerifiedGrant::signing_hash`], not by this.
    #[must_use]
    pub fn grant_hash(&self) -> Sha256Hash {
        self.grant_hash
    }

    /// SHA-256 of what the delegator signed.
    #[must_use]
    pub fn signing_hash(&self) -> Sha256Hash {
        self.signing_hash
    }

    /// The key that signed it, which the parent is bound to.
    #[must_use]
    pub fn delegator_key(&self) -> &VerifyingKey {
        &self.delegator_key
    }
}

/// Verifies a settled token by its issuer's signature alone: one signature at any depth.
///
/// # Errors
/// [`VerifyError`]; a grant is `offline_hop_forbidden`.
pub fn verify_leaf(
    token: &UnverifiedToken,
    keys: &IssuerKeys,
    options: &VerifyOptions<'_>,
    now: UnixMillis,
) -> Result<VerifiedChain, VerifyError> {
    let hop = match Parsed::read(token, 0)? {
        Parsed::Settled(hop) => hop,
        Parsed::Grant(_) => return Err(VerifyError::OfflineHopForbidden { hop: 0 }),
    };
    hop.check_signature(keys, 0)?;
    check_links(&[hop.link()], now)?;
    check_fresh(hop.claims.iat, now, 0)?;
    check_root(&hop.claims, options)?;
    check_audience(&hop.claims, options, 0)?;
    Ok(VerifiedChain(Arc::new(Chain {
        ancestors: Vec::new(),
        unsettled: 0,
        signing_hash: hop.signing_hash,
        token_hash: Some(token.token_hash()),
        leaf: hop.claims,
    })))
}

/// Verifies a presented chain: settled tokens, then grants that nobody has settled yet.
///
/// Its first token is the root, or, unless the whole chain is required, any settled token. Each
/// grant must be signed by the holder of the token before it and bind its delegatee's key.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_chain(
    chain: &UnverifiedChain,
    keys: &IssuerKeys,
    options: &VerifyOptions<'_>,
    now: UnixMillis,
) -> Result<VerifiedChain, VerifyError> {
    let mut hops: Vec<ParsedHop<'_>> = Vec::with_capacity(chain.0.len());
    let mut grants: Vec<ParsedGrant<'_>> = Vec::new();
    for (hop, token) in chain.0.iter().enumerate() {
        match Parsed::read(token, hop)? {
            Parsed::Settled(_) if !grants.is_empty() => {
                let what = "a settled token follows a grant that nobody settled";
                return Err(VerifyError::ProvenanceMissing { hop, what });
            }
            Parsed::Grant(_) if hops.is_empty() => {
                return Err(VerifyError::ProvenanceMissing { hop, what: "a grant has no parent" });
            }
            Parsed::Settled(token) => hops.push(*token),
            Parsed::Grant(grant) => grants.push(*grant),
        }
    }
    for (hop, token) in hops.iter().enumerate() {
        token.check_signature(keys, hop)?;
    }
    let settled = hops.len();
    // A grant's signer is judged against the token before it, settled or itself a grant.
    let mut claims: Vec<HopClaims> = hops.iter().map(|token| token.claims.clone()).collect();
    for (at, grant) in grants.iter().enumerate() {
        let hop = settled + at;
        let parent = claims.last().ok_or_else(|| VerifyError::malformed(hop, "empty chain"))?;
        grant.check_signature(parent, hop)?;
        let next = grant.as_hop(parent, hop)?;
        claims.push(next);
    }
    let links: Vec<Link<'_>> =
        hops.iter().map(ParsedHop::link).chain(grants.iter().map(ParsedGrant::link)).collect();
    check_links_and_task(&links, &claims, now)?;
    for (hop, pair) in claims.windows(2).enumerate() {
        let (hop, [parent, child]) = (hop + 1, pair) else { continue };
        check_provenance(parent, child, hop)?;
        if hop >= settled && child.aud != parent.aud {
            return Err(VerifyError::AudienceMismatch { hop });
        }
    }
    let signing_hash = links.last().map(|link| link.signing_hash);
    let token_hash = chain.0.last().map(UnverifiedToken::token_hash);
    let (Some(leaf), Some(signing_hash)) = (claims.pop(), signing_hash) else {
        return Err(VerifyError::malformed(0, "empty chain"));
    };
    check_root(claims.first().unwrap_or(&leaf), options)?;
    check_audience(&leaf, options, claims.len())?;
    let unsettled = grants.len();
    Ok(VerifiedChain(Arc::new(Chain {
        ancestors: claims,
        leaf,
        unsettled,
        signing_hash,
        token_hash,
    })))
}

/// Reads a grant and verifies it against the chain it narrows: see [`UnverifiedGrant::verify`].
///
/// # Errors
/// [`VerifyError`].
pub fn verify_grant(
    grant: &UnverifiedToken,
    parent: &VerifiedChain,
    allowed_audiences: &[String],
    now: UnixMillis,
) -> Result<VerifiedGrant, VerifyError> {
    grant.as_grant()?.verify(parent, allowed_audiences, now)
}

fn check_links(links: &[Link<'_>], now: UnixMillis) -> Result<(), VerifyError> {
    steps::commitments(links)?;
    steps::depths(links)?;
    steps::subjects(links)?;
    steps::authorities(links)?;
    steps::times(links, now)
}

fn check_links_and_task(
    links: &[Link<'_>],
    claims: &[HopClaims],
    now: UnixMillis,
) -> Result<(), VerifyError> {
    steps::commitments(links)?;
    steps::depths(links)?;
    steps::subjects(links)?;
    for (hop, pair) in claims.windows(2).enumerate() {
        let (hop, [parent, child]) = (hop + 1, pair) else { continue };
        parsed::same_task(parent, child.txn, &child.hop.workflow, &child.hop.env, hop)?;
        parsed::same_tenant(parent, &child.hop.tenant, hop)?;
    }
    steps::authorities(links)?;
    steps::times(links, now)?;
    claims.iter().enumerate().try_for_each(|(hop, claims)| check_fresh(claims.iat, now, hop))
}

fn check_fresh(iat: i64, now: UnixMillis, hop: usize) -> Result<(), VerifyError> {
    let latest = now.saturating_add_seconds(CLOCK_SKEW_SECONDS_MAX);
    if UnixMillis::from_seconds(iat) > latest {
        return Err(VerifyError::ClockSkew { hop });
    }
    Ok(())
}

/// A child's agents and lineage continue its parent's.
fn check_provenance(parent: &HopClaims, child: &HopClaims, hop: usize) -> Result<(), VerifyError> {
    let missing = |what| Err(VerifyError::ProvenanceMissing { hop, what });
    if child.act.0.get(1..) != Some(parent.act.0.as_slice()) {
        return missing("act does not continue the parent's");
    }
    let mut lineage = child.hop.lineage.iter();
    let continues = parent.hop.lineage.iter().all(|jti| lineage.next() == Some(jti))
        && lineage.next() == Some(&parent.jti);
    if continues { Ok(()) } else { missing("lineage does not continue the parent's") }
}

fn check_root(first: &HopClaims, options: &VerifyOptions<'_>) -> Result<(), VerifyError> {
    if options.full_chain && first.del_depth != 0 {
        let what = "the whole chain is required, root first";
        return Err(VerifyError::ProvenanceMissing { hop: 0, what });
    }
    Ok(())
}

fn check_audience(
    leaf: &HopClaims,
    options: &VerifyOptions<'_>,
    hop: usize,
) -> Result<(), VerifyError> {
    match options.audience {
        Some(audience) if leaf.aud != audience => Err(VerifyError::AudienceMismatch { hop }),
        _ => Ok(()),
    }
}
