//! One presented token taken apart: a settled token or a grant, by which key its header names.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::spki_of;
use crate::chain::steps::{Commitment, Link, MaxDepth, NotBefore};
use crate::claims;
use crate::crypto::{Algorithm, CompactHashes, VerifyingKey, sha256};
use crate::error::VerifyError;
use crate::grant::GrantClaims;
use crate::hash::Sha256Hash;
use crate::ids::{TaskId, TenantId, WorkflowId};
use crate::jws::{Jws, JwsError};
use crate::token::{Actor, Header, HolderBinding, HopClaims, HopFacts, RawJwk, claims_fault};

use super::{IssuerKeys, UnverifiedToken};

pub(super) enum Parsed<'a> {
    Settled(Box<ParsedHop<'a>>),
    Grant(Box<ParsedGrant<'a>>),
}

pub(super) struct ParsedHop<'a> {
    signing_input: &'a str,
    hashes: &'a CompactHashes,
    signature: Vec<u8>,
    algorithm: Option<Algorithm>,
    kid: String,
    pub(super) signing_hash: Sha256Hash,
    pub(super) claims: HopClaims,
}

#[derive(Debug)]
pub(super) struct ParsedGrant<'a> {
    signing_input: &'a str,
    hashes: &'a CompactHashes,
    signature: Vec<u8>,
    algorithm: Option<Algorithm>,
    pub(super) key: VerifyingKey,
    /// What the signer's parent must be bound to.
    signer: HolderBinding,
    pub(super) signing_hash: Sha256Hash,
    pub(super) claims: GrantClaims,
}

pub(super) fn framing(error: JwsError, hop: usize) -> VerifyError {
    match error {
        JwsError::Framing => VerifyError::malformed(hop, error.to_string()),
        JwsError::Json(fault) => VerifyError::Json { hop, fault },
    }
}

impl<'a> Parsed<'a> {
    pub(super) fn read(token: &'a UnverifiedToken, hop: usize) -> Result<Self, VerifyError> {
        let jws = Jws::parse(token.as_str()).map_err(|error| framing(error, hop))?;
        let header: Header<'_> =
            serde_json::from_str(&jws.header).map_err(|e| claims_fault(hop, &e))?;
        if header.typ != claims::TYP || header.c14n != claims::C14N {
            return Err(VerifyError::malformed(hop, "header typ or c14n is another"));
        }
        let algorithm = Algorithm::from_name(&header.alg);
        let hashes = token.hashes();
        let signing_hash = hashes.signing_hash();
        let embedded = match (header.kid, header.jwk, header.x5c) {
            (Some(kid), None, None) => Err(kid.into_owned()),
            (None, Some(jwk), None) => Ok(embedded_key(&jwk, hop)?),
            (None, None, Some((certificate,))) => Ok(embedded_certificate(&certificate, hop)?),
            _ => {
                let what = "header must have exactly one of kid, jwk and x5c";
                return Err(VerifyError::malformed(hop, what));
            }
        };
        match embedded {
            Err(kid) => Ok(Self::Settled(Box::new(ParsedHop {
                claims: HopClaims::from_payload(&jws.payload, hop)?,
                signing_input: jws.signing_input,
                hashes,
                signature: jws.signature,
                algorithm,
                kid,
                signing_hash,
            }))),
            Ok((key, signer)) => Ok(Self::Grant(Box::new(ParsedGrant {
                claims: GrantClaims::from_payload(&jws.payload, hop)?,
                signing_input: jws.signing_input,
                hashes,
                signature: jws.signature,
                algorithm,
                key,
                signer,
                signing_hash,
            }))),
        }
    }
}

fn embedded_key(
    jwk: &RawJwk<'_>,
    hop: usize,
) -> Result<(VerifyingKey, HolderBinding), VerifyError> {
    let key = VerifyingKey::from_coordinates(&jwk.kty, &jwk.crv, &jwk.x, jwk.y.as_deref())
        .map_err(|error| VerifyError::malformed(hop, error.to_string()))?;
    let signer = HolderBinding::Jkt(key.thumbprint());
    Ok((key, signer))
}

fn embedded_certificate(
    text: &str,
    hop: usize,
) -> Result<(VerifyingKey, HolderBinding), VerifyError> {
    let bad = || VerifyError::malformed(hop, "x5c is not one certificate of an ES256 or EdDSA key");
    let der = STANDARD.decode(text).map_err(|_| bad())?;
    let spki = spki_of(&der).ok_or_else(bad)?;
    let key = VerifyingKey::from_spki_der(spki).map_err(|_| bad())?;
    Ok((key, HolderBinding::X5tS256(sha256(&der))))
}

/// The key decides the algorithm; a header that names another is not what the key signed.
fn check(
    key: &VerifyingKey,
    algorithm: Option<Algorithm>,
    message: (&str, &CompactHashes),
    signature: &[u8],
    hop: usize,
) -> Result<(), VerifyError> {
    if algorithm != Some(key.algorithm()) {
        return Err(VerifyError::SignatureInvalid { hop });
    }
    let (signing_input, hashes) = message;
    key.verify_hashed(signing_input.as_bytes(), hashes, signature)
        .map_err(|_| VerifyError::SignatureInvalid { hop })
}

impl ParsedHop<'_> {
    pub(super) fn check_signature(&self, keys: &IssuerKeys, hop: usize) -> Result<(), VerifyError> {
        if !keys.trusts(&self.claims.iss) {
            return Err(VerifyError::IssuerUntrusted { hop });
        }
        let key = keys.get(&self.claims.iss, &self.kid);
        let key = key.ok_or(VerifyError::SignatureInvalid { hop })?;
        check(key, self.algorithm, (self.signing_input, self.hashes), &self.signature, hop)?;
        if self.claims.del_depth > 0 && self.claims.par_hash.is_none() {
            return Err(VerifyError::ParHashMismatch { hop });
        }
        Ok(())
    }

    pub(super) fn link(&self) -> Link<'_> {
        link(&self.claims, self.signing_hash)
    }
}

/// What the chain steps compare of settled claims.
#[expect(clippy::cast_precision_loss, reason = "seconds are safe integers")]
pub(super) fn link(claims: &HopClaims, signing_hash: Sha256Hash) -> Link<'_> {
    Link {
        signing_hash,
        commitment: claims.par_hash.map_or(Commitment::Absent, Commitment::Hash),
        depth: Some(claims.del_depth.into()),
        max_depth: MaxDepth::Tokens(claims.del_max_depth.into()),
        subject: claims.sub.as_str(),
        authority: &claims.authority,
        expires: claims.exp as f64,
        not_before: NotBefore::Absent,
    }
}

impl<'a> ParsedGrant<'a> {
    pub(super) fn read(token: &'a UnverifiedToken, hop: usize) -> Result<Self, VerifyError> {
        match Parsed::read(token, hop)? {
            Parsed::Grant(grant) => Ok(*grant),
            Parsed::Settled(_) => Err(VerifyError::malformed(hop, "a settled token is no grant")),
        }
    }

    /// The signer is the holder of the parent, and signed this.
    pub(super) fn check_signature(
        &self,
        parent: &HopClaims,
        hop: usize,
    ) -> Result<(), VerifyError> {
        let failed = |what| Err(VerifyError::HolderBindingFailed { hop, what });
        if parent.cnf != self.signer {
            return failed("not signed by the holder of its parent");
        }
        if self.claims.iss != parent.client_id {
            return failed("iss is not the agent its parent names");
        }
        check(&self.key, self.algorithm, (self.signing_input, self.hashes), &self.signature, hop)
    }

    pub(super) fn check_task(&self, parent: &HopClaims, hop: usize) -> Result<(), VerifyError> {
        let facts = &self.claims.hop;
        same_task(parent, self.claims.txn, &facts.workflow, &facts.env, hop)?;
        same_tenant(parent, &facts.tenant, hop)
    }

    /// The claims its settled form would have, without decision, policy and status.
    pub(super) fn as_hop(&self, parent: &HopClaims, hop: usize) -> Result<HopClaims, VerifyError> {
        let claims = &self.claims;
        let what = "an agent-bound grant can only be settled online";
        let cnf = claims.cnf.ok_or(VerifyError::HolderBindingFailed { hop, what })?;
        let mut lineage = parent.hop.lineage.clone();
        lineage.push(parent.jti);
        Ok(HopClaims {
            iss: claims.iss.to_string(),
            sub: claims.sub.clone(),
            aud: claims.aud.clone(),
            client_id: claims.client_id.clone(),
            iat: claims.iat,
            exp: claims.exp,
            jti: claims.jti,
            cnf,
            authority: Arc::clone(&claims.authority),
            del_depth: claims.del_depth,
            del_max_depth: claims.del_max_depth,
            par_hash: Some(claims.par_hash),
            act: parent
                .act
                .extended(Actor { iss: claims.iss.to_string(), sub: claims.client_id.clone() }),
            txn: claims.txn,
            status: None,
            hop: HopFacts {
                purpose: parent.hop.purpose.clone(),
                workflow: claims.hop.workflow.clone(),
                tenant: claims.hop.tenant.clone(),
                env: claims.hop.env.clone(),
                decision: None,
                policy: None,
                grant: None,
                lineage,
                // What the task may do without asking does not grow by being handed on.
                ask: parent.hop.ask.clone(),
            },
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds are safe integers")]
    pub(super) fn link(&self) -> Link<'_> {
        Link {
            signing_hash: self.signing_hash,
            commitment: Commitment::Hash(self.claims.par_hash),
            depth: Some(self.claims.del_depth.into()),
            max_depth: MaxDepth::Tokens(self.claims.del_max_depth.into()),
            subject: self.claims.sub.as_str(),
            authority: &self.claims.authority,
            expires: self.claims.exp as f64,
            not_before: NotBefore::Absent,
        }
    }
}

pub(super) fn same_task(
    parent: &HopClaims,
    txn: TaskId,
    workflow: &WorkflowId,
    env: &str,
    hop: usize,
) -> Result<(), VerifyError> {
    if parent.txn != txn || parent.hop.workflow != *workflow || parent.hop.env != env {
        return Err(VerifyError::TaskMismatch { hop });
    }
    Ok(())
}

pub(super) fn same_tenant(
    parent: &HopClaims,
    tenant: &TenantId,
    hop: usize,
) -> Result<(), VerifyError> {
    if parent.hop.tenant != *tenant {
        return Err(VerifyError::TenantMismatch { hop });
    }
    Ok(())
}
