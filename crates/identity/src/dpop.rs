//! DPoP proofs of possession (RFC 9449): checked on every use of a token.

pub(crate) mod nonce;
pub(crate) mod replay;
mod target;

use std::borrow::Cow;
use std::fmt;

use bailiwick_core::crypto::Algorithm;
use bailiwick_core::{Sha256Hash, Thumbprint, UnixMillis, VerifyingKey, sha256};
use serde::Deserialize;
use serde::de::IgnoredAny;

use self::nonce::NonceIssuer;
use crate::error::IdentityError;
use crate::jwt::{CompactParts, decode};
use crate::limits::{PROOF_AGE_SECONDS_MAX, PROOF_BYTES_MAX, PROOF_TEXT_BYTES_MAX, SKEW_SECONDS};

/// What the `alg` of a proof may be. `Ed25519` is the name that RFC 9864 gives to `EdDSA` with such a key,
/// and what stock clients write by now.
pub const PROOF_ALGORITHMS: [&str; 3] = ["Ed25519", "EdDSA", "ES256"];

/// What a server nonce means for a proof.
#[derive(Debug, Clone, Copy)]
pub enum NonceRule<'a> {
    /// Nonces are not asked for; one in the proof is not looked at.
    NotRequired,
    /// A proof may come without a nonce; one that is there must be current.
    Optional(&'a NonceIssuer),
    /// A proof must carry a current nonce.
    Required(&'a NonceIssuer),
}

/// The request that a proof must be for.
#[derive(Debug, Clone, Copy)]
pub struct ProofExpectation<'a> {
    /// The HTTP method, for example `POST`.
    pub method: &'a str,
    /// The URL as the caller sees it; its query and fragment do not count.
    pub url: &'a str,
    /// SHA-256 of the access token that is presented along with the proof; then `ath` must match it.
    pub access_token_hash: Option<Sha256Hash>,
    /// What is asked of the nonce.
    pub nonce: NonceRule<'a>,
}

/// A proof that was verified: somebody who holds this key made this request now. Whether the proof is
/// new is the question of a [`ReplayGuard`](crate::ReplayGuard) or of a durable row.
#[derive(Clone)]
pub struct VerifiedProof {
    key: VerifyingKey,
    jti_hash: Sha256Hash,
    expires: UnixMillis,
}

impl VerifiedProof {
    /// The RFC 7638 thumbprint of the holder's key: what `cnf.jkt` must be.
    #[must_use]
    pub fn jkt(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// The holder's public key.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// What to remember against replay: a hash over the key's thumbprint and the `jti`.
    #[must_use]
    pub fn jti_hash(&self) -> Sha256Hash {
        self.jti_hash
    }

    /// From when on the proof would be refused for its age, so that it need not be remembered.
    #[must_use]
    pub fn expires(&self) -> UnixMillis {
        self.expires
    }
}

impl fmt::Debug for VerifiedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jkt = self.jkt().to_string();
        f.debug_struct("VerifiedProof").field("jkt", &jkt).field("expires", &self.expires).finish()
    }
}

#[derive(Deserialize)]
struct ProofHeader<'a> {
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    jwk: ProofJwk<'a>,
    crit: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ProofJwk<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow)]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x: Option<Cow<'a, str>>,
    #[serde(borrow)]
    y: Option<Cow<'a, str>>,
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ProofClaims<'a> {
    #[serde(borrow)]
    jti: Cow<'a, str>,
    #[serde(borrow)]
    htm: Cow<'a, str>,
    #[serde(borrow)]
    htu: Cow<'a, str>,
    iat: f64,
    #[serde(borrow)]
    ath: Option<Cow<'a, str>>,
    #[serde(borrow)]
    nonce: Option<Cow<'a, str>>,
}

/// Verify a DPoP proof against the request it came with (RFC 9449, section 4.3).
///
/// # Errors
/// [`IdentityError`] with the stable reason; [`IdentityError::NonceRequired`] when the caller should try
/// again with a nonce of ours.
pub fn verify_proof(
    proof: &str,
    expect: &ProofExpectation<'_>,
    now: UnixMillis,
) -> Result<VerifiedProof, IdentityError> {
    if proof.len() > PROOF_BYTES_MAX {
        return Err(IdentityError::Malformed("the proof is too long"));
    }
    let parts = CompactParts::split(proof)?;
    let header_bytes = decode(parts.header)?;
    let header: ProofHeader<'_> = read(&header_bytes)
        .ok_or(IdentityError::Malformed("the header is not that of a DPoP proof"))?;
    let claims_bytes = decode(parts.payload)?;
    let claims: ProofClaims<'_> = read(&claims_bytes)
        .ok_or(IdentityError::Malformed("the claims are not those of a DPoP proof"))?;
    let key = header.key()?;
    let iat = claims.check(expect, now)?;
    key.verify(parts.signing_input.as_bytes(), &decode(parts.signature)?).map_err(|_| {
        IdentityError::SignatureInvalid("the proof's signature does not fit its key")
    })?;
    claims.check_nonce(&expect.nonce, now)?;
    let jti_hash = remembered_as(&key, &claims.jti);
    let expires = UnixMillis::from_seconds(iat).saturating_add_seconds(PROOF_AGE_SECONDS_MAX + 1);
    Ok(VerifiedProof { key, jti_hash, expires })
}

/// JSON text. All of it is UTF-8: serde does not look at the bytes of what it skips.
fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
}

/// INVARIANT: the signature's bytes are not part of this. ECDSA signatures can be rewritten by anyone
/// into another valid one, and the rewritten proof must count as the same proof.
fn remembered_as(key: &VerifyingKey, jti: &str) -> Sha256Hash {
    let thumbprint = key.thumbprint();
    let mut bytes = Vec::with_capacity(32 + jti.len());
    bytes.extend_from_slice(&thumbprint.0.0);
    bytes.extend_from_slice(jti.as_bytes());
    sha256(&bytes)
}

impl ProofHeader<'_> {
    fn key(&self) -> Result<VerifyingKey, IdentityError> {
        if self.typ != "dpop+jwt" {
            return Err(IdentityError::Malformed("`typ` is not `dpop+jwt`"));
        }
        let elsewhere = [&self.crit, &self.jku, &self.x5u, &self.x5c];
        if elsewhere.iter().any(|member| member.is_some()) {
            return Err(IdentityError::Malformed(
                "the proof's header has a member that is refused",
            ));
        }
        let key = self.jwk.verifying_key()?;
        let names: &[&str] = match key.algorithm() {
            Algorithm::EdDsa => &["Ed25519", "EdDSA"],
            Algorithm::Es256 => &["ES256"],
        };
        if !names.contains(&&*self.alg) {
            return Err(IdentityError::SignatureInvalid("`alg` is not that of the proof's key"));
        }
        Ok(key)
    }
}

impl ProofJwk<'_> {
    fn verifying_key(&self) -> Result<VerifyingKey, IdentityError> {
        let secret = [&self.d, &self.k, &self.p, &self.q, &self.dp, &self.dq, &self.qi];
        if secret.iter().any(|member| member.is_some()) {
            return Err(IdentityError::Malformed(
                "the proof's `jwk` holds a private or secret key",
            ));
        }
        let crv = self.crv.as_deref().unwrap_or_default();
        let x = self.x.as_deref().unwrap_or_default();
        VerifyingKey::from_coordinates(&self.kty, crv, x, self.y.as_deref())
            .map_err(|_| IdentityError::SignatureInvalid("the proof's key is not ES256 or EdDSA"))
    }
}

impl ProofClaims<'_> {
    /// Check everything but the nonce; give back `iat`.
    fn check(&self, expect: &ProofExpectation<'_>, now: UnixMillis) -> Result<i64, IdentityError> {
        if self.jti.is_empty() || self.jti.len() > PROOF_TEXT_BYTES_MAX {
            return Err(IdentityError::Malformed("`jti` is empty or too long"));
        }
        if self.htm != expect.method {
            return Err(IdentityError::HolderBindingFailed("the proof is for another method"));
        }
        if !target::same(&self.htu, expect.url) {
            return Err(IdentityError::HolderBindingFailed("the proof is for another URL"));
        }
        if let Some(hash) = &expect.access_token_hash {
            let ath = self.ath.as_deref().ok_or(IdentityError::HolderBindingFailed("no `ath`"))?;
            if ath != hash.b64() {
                return Err(IdentityError::HolderBindingFailed("the proof is for another token"));
            }
        }
        self.check_age(now.seconds())
    }

    fn check_age(&self, now: i64) -> Result<i64, IdentityError> {
        if !self.iat.is_finite() || !(0.0..=1e14).contains(&self.iat) {
            return Err(IdentityError::Malformed("`iat` is not a number of seconds"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "in range: checked on the line above")]
        let iat = self.iat as i64;
        if iat > now.saturating_add(SKEW_SECONDS) {
            return Err(IdentityError::NotYetValid);
        }
        let age_max = i64::try_from(PROOF_AGE_SECONDS_MAX).unwrap_or(0);
        if now.saturating_sub(iat) > age_max {
            return Err(IdentityError::Expired);
        }
        Ok(iat)
    }

    fn check_nonce(&self, rule: &NonceRule<'_>, now: UnixMillis) -> Result<(), IdentityError> {
        let (issuer, required) = match rule {
            NonceRule::NotRequired => return Ok(()),
            NonceRule::Optional(issuer) => (issuer, false),
            NonceRule::Required(issuer) => (issuer, true),
        };
        match &self.nonce {
            None if !required => Ok(()),
            Some(nonce) if issuer.check(nonce, now) => Ok(()),
            _ => Err(IdentityError::NonceRequired),
        }
    }
}

#[cfg(test)]
mod tests;
