//! The grant: a hop signed by the delegator's own key, an ADC child token in delegator-bound form.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::authority::HeldAuthority;
use crate::certificate::spki_of;
use crate::claims;
use crate::crypto::{Algorithm, VerifyingKey};
use crate::error::VerifyError;
use crate::hash::Sha256Hash;
use crate::ids::{AgentId, SubjectId, TaskId, TenantId, TokenId, WorkflowId};
use crate::json::{object, put, text};
use crate::limits::URI_BYTES_MAX;
use crate::token::{
    HolderBinding, RawBinding, RawDetail, UnsignedToken, check_life, check_purpose, check_text,
    claims_fault, depths, present,
};

/// What a grant says in the claim that is ours: the task's facts, equal to the parent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// What the delegatee is to do; may be narrower than the task's purpose, grants nothing.
    pub purpose: String,
    /// The task's workflow.
    pub workflow: WorkflowId,
    /// The task's tenant.
    pub tenant: TenantId,
    /// The task's environment.
    pub env: String,
}

/// The claims of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantClaims {
    /// The delegator: the parent's `client_id`.
    pub iss: AgentId,
    /// Who started the task; the parent's `sub`.
    pub sub: SubjectId,
    /// The one audience.
    pub aud: String,
    /// The delegatee.
    pub client_id: AgentId,
    /// Issued at, seconds.
    pub iat: i64,
    /// Expires at, seconds; never later than the parent's.
    pub exp: i64,
    /// The grant's id.
    pub jti: TokenId,
    /// The delegatee's key (*key-bound*); `None` is *agent-bound* and settles online only.
    pub cnf: Option<HolderBinding>,
    /// What is handed on.
    pub authority: Arc<HeldAuthority>,
    /// The parent's depth and one.
    pub del_depth: u8,
    /// Tokens the chain may have; at most the parent's.
    pub del_max_depth: u8,
    /// The parent's signing hash.
    pub par_hash: Sha256Hash,
    /// The task.
    pub txn: TaskId,
    /// Our claim.
    pub hop: GrantFacts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFacts {
    v: u64,
    purpose: String,
    workflow: WorkflowId,
    tenant: TenantId,
    env: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGrant<'a> {
    iss: AgentId,
    sub: SubjectId,
    aud: String,
    client_id: AgentId,
    iat: i64,
    exp: i64,
    jti: TokenId,
    #[serde(default, deserialize_with = "present")]
    cnf: Option<RawBinding>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow)]
    authorization_details: (RawDetail<'a>,),
    del_depth: u64,
    del_max_depth: u64,
    par_hash: Sha256Hash,
    txn: TaskId,
    #[serde(rename = "urn:bailiwick:hop")]
    hop: RawFacts,
}

impl GrantClaims {
    /// The payload as a JSON tree.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let facts = object([
            ("v", Value::from(claims::VERSION)),
            ("purpose", Value::from(self.hop.purpose.as_str())),
            ("workflow", text(&self.hop.workflow)),
            ("tenant", text(&self.hop.tenant)),
            ("env", Value::from(self.hop.env.as_str())),
        ]);
        let mut payload = object([
            (claims::ISS, text(&self.iss)),
            (claims::SUB, text(&self.sub)),
            (claims::AUD, Value::from(self.aud.as_str())),
            (claims::CLIENT_ID, text(&self.client_id)),
            (claims::IAT, Value::from(self.iat)),
            (claims::EXP, Value::from(self.exp)),
            (claims::JTI, text(&self.jti)),
            (claims::SCOPE, text(&self.authority.scopes)),
            (claims::AUTHORIZATION_DETAILS, Value::Array(vec![self.authority.to_detail()])),
            (claims::DEL_DEPTH, Value::from(self.del_depth)),
            (claims::DEL_MAX_DEPTH, Value::from(self.del_max_depth)),
            (claims::PAR_HASH, text(&self.par_hash)),
            (claims::TXN, text(&self.txn)),
            (claims::HOP, facts),
        ]);
        put(
            &mut payload,
            claims::CNF,
            self.cnf.map(|cnf| serde_json::to_value(cnf).unwrap_or_default()),
        );
        payload
    }

    /// Reads a payload that is already known to be canonical. `hop` is its place, for errors.
    pub(crate) fn from_payload(payload: &str, hop: usize) -> Result<Self, VerifyError> {
        let raw: RawGrant<'_> = serde_json::from_str(payload).map_err(|e| claims_fault(hop, &e))?;
        if raw.hop.v != claims::VERSION {
            return Err(VerifyError::malformed(hop, "hop claim of another version"));
        }
        let cnf = raw.cnf.map(RawBinding::binding).transpose();
        let (detail,) = raw.authorization_details;
        let (del_depth, del_max_depth) = depths(raw.del_depth, raw.del_max_depth, hop)?;
        let claims = Self {
            iss: raw.iss,
            sub: raw.sub,
            aud: raw.aud,
            client_id: raw.client_id,
            iat: raw.iat,
            exp: raw.exp,
            jti: raw.jti,
            cnf: cnf.map_err(|what| VerifyError::malformed(hop, what))?,
            authority: Arc::new(detail.authority(&raw.scope, hop)?),
            del_depth,
            del_max_depth,
            par_hash: raw.par_hash,
            txn: raw.txn,
            hop: GrantFacts {
                purpose: raw.hop.purpose,
                workflow: raw.hop.workflow,
                tenant: raw.hop.tenant,
                env: raw.hop.env,
            },
        };
        claims.check(hop)?;
        Ok(claims)
    }

    /// Every rule that one grant can satisfy or break by itself.
    fn check(&self, hop: usize) -> Result<(), VerifyError> {
        check_text(&self.aud, URI_BYTES_MAX, "aud", hop)?;
        check_text(&self.hop.env, 64, "env", hop)?;
        check_purpose(&self.hop.purpose, hop)?;
        check_life(self.iat, self.exp, hop)?;
        depths(self.del_depth.into(), self.del_max_depth.into(), hop)?;
        if self.del_depth == 0 {
            return Err(VerifyError::DepthInvalid { hop, what: "a grant cannot be a root" });
        }
        Ok(())
    }
}

impl UnsignedToken {
    /// The bytes of a grant, to be signed by the delegator's key, which travels in the header.
    ///
    /// # Errors
    /// [`VerifyError`] when a verifier would refuse the claims whatever the signature.
    pub fn grant(claims: &GrantClaims, delegator: &VerifyingKey) -> Result<Self, VerifyError> {
        Self::embedding(claims, delegator.algorithm(), ("jwk", delegator.to_jwk()))
    }

    /// The bytes of a grant by a delegator whose own token is bound to a certificate
    /// (`x5t#S256`): its DER travels in the header's `x5c`, and its key signs.
    ///
    /// # Errors
    /// [`VerifyError`] as [`UnsignedToken::grant`], and when the certificate has no P-256 or
    /// Ed25519 key.
    pub fn grant_by_certificate(
        claims: &GrantClaims,
        certificate: &[u8],
    ) -> Result<Self, VerifyError> {
        let key = spki_of(certificate).and_then(|spki| VerifyingKey::from_spki_der(spki).ok());
        let key = key.ok_or_else(|| {
            VerifyError::malformed(0, "not a certificate of an ES256 or EdDSA key")
        })?;
        let x5c = Value::Array(vec![Value::from(STANDARD.encode(certificate))]);
        Self::embedding(claims, key.algorithm(), ("x5c", x5c))
    }

    fn embedding(
        claims: &GrantClaims,
        algorithm: Algorithm,
        signer: (&str, Value),
    ) -> Result<Self, VerifyError> {
        claims.check(0)?;
        let header = object([
            ("alg", Value::from(algorithm.name())),
            ("c14n", Value::from(claims::C14N)),
            ("typ", Value::from(claims::TYP)),
            signer,
        ]);
        Self::from_parts(&header, &claims.to_json())
    }
}
