//! The settled hop token: its claims as types, and the signing seam.

mod raw;
mod write;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;

use crate::authority::HeldAuthority;
use crate::claims;
use crate::crypto::{Algorithm, Thumbprint, sha256};
use crate::error::VerifyError;
use crate::hash::Sha256Hash;
use crate::ids::{AgentId, DecisionId, SubjectId, TaskId, TenantId, TokenId, WorkflowId};
use crate::jcs::{JcsError, canonicalize};
use crate::jws;

pub(crate) use raw::{
    Header, RawBinding, RawDetail, RawJwk, check_life, check_purpose, check_text, claims_fault,
    depths, present,
};

/// The key a token is bound to (RFC 7800 `cnf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HolderBinding {
    /// DPoP: the RFC 7638 thumbprint of the holder's key (RFC 9449).
    Jkt(Thumbprint),
    /// Mutual TLS: SHA-256 of the holder's DER certificate (RFC 8705).
    X5tS256(Sha256Hash),
}

impl HolderBinding {
    /// The DPoP thumbprint, unless the binding is to a certificate.
    #[must_use]
    pub fn jkt(&self) -> Option<Thumbprint> {
        match self {
            Self::Jkt(thumbprint) => Some(*thumbprint),
            Self::X5tS256(_) => None,
        }
    }
}

impl<'de> serde::Deserialize<'de> for HolderBinding {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        raw::RawBinding::deserialize(deserializer)?.binding().map_err(serde::de::Error::custom)
    }
}

/// One agent of the chain and the issuer that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who vouches for the identity.
    pub iss: String,
    /// The agent.
    pub sub: AgentId,
}

/// The agents of a chain, the acting one first, the root's last (RFC 8693 `act`, flattened).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActChain(pub Vec<Actor>);

impl ActChain {
    /// The chain after `actor` takes over.
    #[must_use]
    pub fn extended(&self, actor: Actor) -> Self {
        let mut actors = Vec::with_capacity(self.0.len() + 1);
        actors.push(actor);
        actors.extend(self.0.iter().cloned());
        Self(actors)
    }
}

/// Where a token's revocation status is published (Token Status List).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRef {
    /// The index in the list.
    pub idx: u64,
    /// The list.
    pub uri: String,
}

/// The claim that is ours: what the hop is for, who decided, what it descends from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopFacts {
    /// Stated purpose of the task.
    pub purpose: String,
    /// The task's workflow.
    pub workflow: WorkflowId,
    /// The task's tenant.
    pub tenant: TenantId,
    /// The task's environment.
    pub env: String,
    /// The decision that allowed the hop.
    pub decision: Option<DecisionId>,
    /// Hash of the policy set that decided, `sha-256:…`.
    pub policy: Option<String>,
    /// Hash of the delegator's grant, written `sha-256:…`.
    pub grant: Option<Sha256Hash>,
    /// The `jti` of every ancestor, root first; renewals add the token they replace.
    pub lineage: Vec<TokenId>,
    /// The self-service part of the authority; outside it, inside the ceiling, an approver is asked.
    pub ask: Option<Value>,
}

/// The claims of a settled hop token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopClaims {
    /// The Authority that signed it.
    pub iss: String,
    /// Who started the task.
    pub sub: SubjectId,
    /// The one audience.
    pub aud: String,
    /// The agent acting at this hop.
    pub client_id: AgentId,
    /// Issued at, seconds.
    pub iat: i64,
    /// Expires at, seconds; not valid from this second on.
    pub exp: i64,
    /// The token's id.
    pub jti: TokenId,
    /// The holder's key.
    pub cnf: HolderBinding,
    /// What it permits. Shared: facts and records of its uses hold it, too.
    pub authority: Arc<HeldAuthority>,
    /// Depth; the root is 0.
    pub del_depth: u8,
    /// Tokens the chain may have.
    pub del_max_depth: u8,
    /// The parent's signing hash; none on the root.
    pub par_hash: Option<Sha256Hash>,
    /// The agents, this hop's first.
    pub act: ActChain,
    /// The task.
    pub txn: TaskId,
    /// Where its status is published.
    pub status: Option<StatusRef>,
    /// Our claim.
    pub hop: HopFacts,
}

impl HopClaims {
    /// The payload as a JSON tree.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // INVARIANT: this fails only on a map key that is not text, and there is none.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Reads a payload that is already known to be canonical. `hop` is its place, for errors.
    pub(crate) fn from_payload(payload: &str, hop: usize) -> Result<Self, VerifyError> {
        raw::read_hop(payload, hop)
    }

    /// Every rule that one token can satisfy or break by itself.
    pub(crate) fn check(&self, hop: usize) -> Result<(), VerifyError> {
        raw::check_hop(self, hop)
    }
}

/// A token's bytes before the signature. The signer may be anywhere.
#[derive(Clone, Debug)]
pub struct UnsignedToken {
    signing_input: String,
    /// Taken once.
    signing_hash: Sha256Hash,
}

/// The header of a settled token, members in canonical order.
#[derive(Serialize)]
struct SettledHeader<'a> {
    alg: &'a str,
    c14n: &'a str,
    kid: &'a str,
    typ: &'a str,
}

/// A signed compact token.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedToken {
    /// The compact JWS.
    pub compact: String,
    /// SHA-256 of the signing input: what a child's `par_hash` commits to.
    pub signing_hash: Sha256Hash,
}

impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedToken({})", self.signing_hash)
    }
}

impl UnsignedToken {
    /// The bytes of a settled hop token, to be signed by the issuer's key `kid`.
    ///
    /// # Errors
    /// [`VerifyError`] when a verifier would refuse the claims whatever the signature.
    pub fn settled(
        claims: &HopClaims,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<Self, VerifyError> {
        claims.check(0)?;
        check_text(kid, crate::limits::KID_BYTES_MAX, "kid", 0)?;
        let header =
            SettledHeader { alg: algorithm.name(), c14n: claims::C14N, kid, typ: claims::TYP };
        Self::from_parts(&header, claims)
    }

    pub(crate) fn from_parts<H: Serialize, P: Serialize>(
        header: &H,
        payload: &P,
    ) -> Result<Self, VerifyError> {
        let unfit = |fault: JcsError| VerifyError::Json { hop: 0, fault };
        let header = canonicalize(header).map_err(unfit)?;
        let signing_input = jws::signing_input(&header, &canonicalize(payload).map_err(unfit)?);
        // 88: a dot and the base64url of a 64-byte signature, rounded up.
        if signing_input.len() + 88 > crate::limits::TOKEN_BYTES_MAX {
            return Err(VerifyError::malformed(0, "token is larger than allowed"));
        }
        let signing_hash = sha256(signing_input.as_bytes());
        Ok(Self { signing_input, signing_hash })
    }

    /// The bytes to sign.
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// SHA-256 of the bytes to sign.
    #[must_use]
    pub fn signing_hash(&self) -> Sha256Hash {
        self.signing_hash
    }

    /// The token, given the signature of [`UnsignedToken::signing_input`].
    #[must_use]
    pub fn attach(self, signature: &[u8]) -> SignedToken {
        let Self { signing_input: mut compact, signing_hash } = self;
        compact.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut compact);
        SignedToken { compact, signing_hash }
    }
}
