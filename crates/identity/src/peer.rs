//! Who is calling on this request: what its headers and its TLS session present, and the proof of
//! possession that goes with it.

use std::fmt;

use bailiwick_core::limits::{CHAIN_BYTES_MAX, TOKEN_BYTES_MAX};
use bailiwick_core::{HolderBinding, UnixMillis};
use http::header::{AUTHORIZATION, HeaderMap};

use crate::dpop::{NonceRule, ProofExpectation, VerifiedProof, verify_proof};
use crate::error::IdentityError;
use crate::limits::PROOF_BYTES_MAX;
use crate::presented::PresentedToken;
use crate::x509::X509Peer;

/// The token of the `Authorization` header, by scheme. Not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// `Authorization: Bearer …`
    Bearer(PresentedToken),
    /// `Authorization: DPoP …`
    Dpop(PresentedToken),
}

impl Authorization {
    /// The token, whatever the scheme.
    #[must_use]
    pub fn token(&self) -> &PresentedToken {
        match self {
            Self::Bearer(token) | Self::Dpop(token) => token,
        }
    }
}

/// What a request presents. Only the certificate is verified; the rest is bounded text.
#[derive(Debug, Clone, Default)]
pub struct PeerCredentials {
    authorization: Option<Authorization>,
    proof: Option<PresentedToken>,
    actor_token: Option<PresentedToken>,
    delegation_chain: Option<PresentedToken>,
    certificate: Option<X509Peer>,
}

impl PeerCredentials {
    /// Read `Authorization`, `DPoP`, `Actor-Token` and `Delegation-Chain`, each at most once.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] when one comes twice, is too long, has another form or another scheme.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, IdentityError> {
        let scheme_bytes = "Bearer ".len();
        let authorization = only(headers, AUTHORIZATION.as_str(), TOKEN_BYTES_MAX + scheme_bytes)?;
        Ok(Self {
            authorization: authorization.map(read_authorization).transpose()?,
            proof: token(headers, "dpop", PROOF_BYTES_MAX)?,
            actor_token: token(headers, "actor-token", TOKEN_BYTES_MAX)?,
            delegation_chain: token(headers, "delegation-chain", CHAIN_BYTES_MAX)?,
            certificate: None,
        })
    }

    /// Add the peer of the TLS session that the request came over.
    #[must_use]
    pub fn with_certificate(mut self, peer: X509Peer) -> Self {
        self.certificate = Some(peer);
        self
    }

    /// The `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> Option<&Authorization> {
        self.authorization.as_ref()
    }

    /// The token of an `Authorization: Bearer` header.
    #[must_use]
    pub fn bearer(&self) -> Option<&PresentedToken> {
        match &self.authorization {
            Some(Authorization::Bearer(token)) => Some(token),
            _ => None,
        }
    }

    /// The `DPoP` header.
    #[must_use]
    pub fn proof(&self) -> Option<&PresentedToken> {
        self.proof.as_ref()
    }

    /// The `Actor-Token` header.
    #[must_use]
    pub fn actor_token(&self) -> Option<&PresentedToken> {
        self.actor_token.as_ref()
    }

    /// The `Delegation-Chain` header.
    #[must_use]
    pub fn delegation_chain(&self) -> Option<&PresentedToken> {
        self.delegation_chain.as_ref()
    }

    /// The verified peer of the TLS session.
    #[must_use]
    pub fn certificate(&self) -> Option<&X509Peer> {
        self.certificate.as_ref()
    }

    /// Verify the `DPoP` header by itself, as at the token endpoint.
    ///
    /// # Errors
    /// [`IdentityError::HolderBindingFailed`] without the header; else as [`verify_proof`].
    pub fn prove_key(
        &self,
        expect: &ProofExpectation<'_>,
        now: UnixMillis,
    ) -> Result<VerifiedProof, IdentityError> {
        let proof =
            self.proof.as_ref().ok_or(IdentityError::HolderBindingFailed("no DPoP proof"))?;
        verify_proof(proof.expose(), expect, now)
    }

    /// Prove possession for the token in `Authorization`: by a DPoP proof over that very token, or by the
    /// certificate of the TLS session for a token sent as `Bearer` (RFC 8705). Which of the two the token
    /// *needs* is in its `cnf`: call [`HolderProof::check`] with it once the token is verified.
    ///
    /// # Errors
    /// [`IdentityError::HolderBindingFailed`] when there is neither; else as [`verify_proof`].
    pub fn prove_holder(
        &self,
        method: &str,
        url: &str,
        nonce: NonceRule<'_>,
        now: UnixMillis,
    ) -> Result<HolderProof, IdentityError> {
        match (&self.authorization, &self.certificate) {
            (Some(Authorization::Dpop(token)), _) => {
                let access_token_hash = Some(token.hash());
                let expect = ProofExpectation { method, url, access_token_hash, nonce };
                self.prove_key(&expect, now).map(HolderProof::Dpop)
            }
            (Some(Authorization::Bearer(_)), Some(peer)) => {
                // A session may outlive the certificate that it began with.
                peer.check_time(now)?;
                Ok(HolderProof::Certificate(peer.clone()))
            }
            (Some(Authorization::Bearer(_)), None) => Err(IdentityError::HolderBindingFailed(
                "a bearer token without a client certificate",
            )),
            (None, _) => Err(IdentityError::HolderBindingFailed("no Authorization header")),
        }
    }
}

/// Which key the caller proved to hold.
#[derive(Debug, Clone)]
pub enum HolderProof {
    /// The key of a DPoP proof. Whether the proof is new must still be asked of a replay guard.
    Dpop(VerifiedProof),
    /// The key of the TLS session's certificate.
    Certificate(X509Peer),
}

impl HolderProof {
    /// Whether this is the key that the verified token is bound to.
    ///
    /// # Errors
    /// [`IdentityError::HolderBindingFailed`] when it is another.
    pub fn check(&self, binding: &HolderBinding) -> Result<(), IdentityError> {
        let held = match (self, binding) {
            (Self::Dpop(proof), HolderBinding::Jkt(jkt)) => proof.jkt() == *jkt,
            (Self::Certificate(peer), HolderBinding::X5tS256(hash)) => peer.x5t_s256() == *hash,
            _ => false,
        };
        if held { Ok(()) } else { Err(IdentityError::HolderBindingFailed("bound to another key")) }
    }
}

impl fmt::Display for HolderProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dpop(proof) => write!(f, "dpop {}", proof.jkt()),
            Self::Certificate(peer) => write!(f, "x5t#S256 {}", peer.x5t_s256()),
        }
    }
}

fn only<'a>(
    headers: &'a HeaderMap,
    name: &str,
    bytes_max: usize,
) -> Result<Option<&'a str>, IdentityError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(IdentityError::Malformed("a header that may come once comes twice"));
    }
    if value.len() > bytes_max {
        return Err(IdentityError::Malformed("a header is too long"));
    }
    value.to_str().map(Some).map_err(|_| IdentityError::Malformed("a header is not plain text"))
}

fn token(
    headers: &HeaderMap,
    name: &str,
    bytes_max: usize,
) -> Result<Option<PresentedToken>, IdentityError> {
    only(headers, name, bytes_max)?.map(read_token).transpose()
}

/// The characters of compact JWSs and of `~` between them. A comma would be two headers folded into one.
fn read_token(text: &str) -> Result<PresentedToken, IdentityError> {
    // `-./` and the digits are neighbours. Every byte is looked at: a loop that does not stop is done
    // many bytes at a time.
    let allowed =
        |b: u8| matches!(b, b'A'..=b'Z' | b'a'..=b'z' | b'-'..=b'9' | b'+' | b'=' | b'_' | b'~');
    if text.is_empty() || !text.bytes().fold(true, |all, b| all & allowed(b)) {
        return Err(IdentityError::Malformed("a header does not hold one token"));
    }
    Ok(PresentedToken::new(text))
}

fn read_authorization(value: &str) -> Result<Authorization, IdentityError> {
    let (scheme, rest) = value
        .split_once(' ')
        .ok_or(IdentityError::Malformed("`Authorization` has no scheme and token"))?;
    let token = read_token(rest.trim_start_matches(' '))?;
    match scheme {
        _ if scheme.eq_ignore_ascii_case("bearer") => Ok(Authorization::Bearer(token)),
        _ if scheme.eq_ignore_ascii_case("dpop") => Ok(Authorization::Dpop(token)),
        _ => Err(IdentityError::Malformed("the scheme of `Authorization` is not Bearer or DPoP")),
    }
}

#[cfg(test)]
mod tests;
