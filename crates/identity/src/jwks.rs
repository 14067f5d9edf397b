//! The keys of one issuer, read from a JWK Set (RFC 7517) or a SPIFFE bundle.

pub(crate) mod cache;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;

use crate::config::ForeignAlgorithm;
use crate::error::IdentityError;
use crate::limits::{
    CERTIFICATE_BYTES_MAX, JWKS_BYTES_MAX, JWKS_KEYS_MAX, KID_BYTES_MAX, ROOTS_MAX,
};

const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The public keys of an issuer that can check a JWT, and its X.509 roots if it is a SPIFFE bundle.
pub(crate) struct KeySet {
    keys: Vec<IssuerKey>,
    roots: Vec<CertificateDer<'static>>,
}

struct IssuerKey {
    kid: Option<String>,
    algorithms: Vec<ForeignAlgorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x5c: Option<Vec<String>>,
}

impl KeySet {
    /// Read a JWK Set. Keys for another use, symmetric keys and keys of an unknown form are left out;
    /// a document that is no JWK Set, or too large, is refused as a whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > JWKS_BYTES_MAX {
            return Err("the JWK Set is too large");
        }
        let set: JwkSet = serde_json::from_slice(bytes).map_err(|_| "not a JWK Set")?;
        if set.keys.len() > JWKS_KEYS_MAX {
            return Err("the JWK Set has too many keys");
        }
        let mut keys = Vec::with_capacity(set.keys.len());
        let mut roots = Vec::new();
        for value in set.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
            if jwk.usage.as_deref() == Some("x509-svid") {
                roots.extend(jwk.root());
            } else {
                keys.extend(jwk.issuer_key());
            }
        }
        roots.truncate(ROOTS_MAX);
        Ok(Self { keys, roots })
    }

    pub(crate) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.roots.is_empty()
    }

    /// Whether a key with this id is here at all.
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        match kid {
            Some(_) => self.keys.iter().any(|key| key.kid.as_deref() == kid),
            None => !self.keys.is_empty(),
        }
    }

    /// Check a signature with the key that `kid` names, or, without a `kid`, with the only key for the
    /// algorithm.
    pub(crate) fn verify(
        &self,
        kid: Option<&str>,
        algorithm: ForeignAlgorithm,
        signing_input: &[u8],
        signature: &str,
    ) -> Result<(), IdentityError> {
        let named = |key: &&IssuerKey| kid.is_none() || key.kid.as_deref() == kid;
        let fitting = |key: &&IssuerKey| key.algorithms.contains(&algorithm);
        let mut candidates = self.keys.iter().filter(named).filter(fitting);
        let Some(key) = candidates.next() else {
            return Err(IdentityError::SignatureInvalid(if self.knows(kid) {
                "the key is not for this algorithm"
            } else {
                "the issuer has no such key"
            }));
        };
        if candidates.next().is_some() {
            return Err(IdentityError::SignatureInvalid("more than one key could have signed it"));
        }
        match jsonwebtoken::crypto::verify(signature, signing_input, &key.key, algorithm.library())
        {
            Ok(true) => Ok(()),
            _ => Err(IdentityError::SignatureInvalid("the signature does not fit the key")),
        }
    }
}

impl Jwk {
    fn root(&self) -> Option<CertificateDer<'static>> {
        let text = self.x5c.as_ref()?.first()?;
        let der = STANDARD.decode(text).ok()?;
        (der.len() <= CERTIFICATE_BYTES_MAX).then(|| CertificateDer::from(der))
    }

    fn issuer_key(self) -> Option<IssuerKey> {
        if self.kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) || !self.is_for_jwts() {
            return None;
        }
        let (fitting, key) = self.material()?;
        let named = match &self.alg {
            Some(name) => vec![ForeignAlgorithm::from_name(name)?],
            None => fitting.to_vec(),
        };
        let algorithms: Vec<_> = named.into_iter().filter(|a| fitting.contains(a)).collect();
        (!algorithms.is_empty()).then_some(IssuerKey { kid: self.kid, algorithms, key })
    }

    fn is_for_jwts(&self) -> bool {
        let usage = matches!(self.usage.as_deref(), None | Some("sig" | "jwt-svid"));
        let operations =
            self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        usage && operations
    }

    /// The key, and the algorithms its type and curve allow. Symmetric keys have no entry here.
    fn material(&self) -> Option<(&'static [ForeignAlgorithm], DecodingKey)> {
        use ForeignAlgorithm as A;
        const RSA: &[A] = &[A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512];
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => Some((&[A::Es256], self.curve_point(32)?)),
            ("EC", Some("P-384")) => Some((&[A::Es384], self.curve_point(48)?)),
            ("OKP", Some("Ed25519")) => {
                let x = self.x.as_deref().filter(|x| decoded_len(x) == Some(32))?;
                Some((&[A::EdDsa], DecodingKey::from_ed_components(x).ok()?))
            }
            ("RSA", _) => Some((RSA, self.rsa()?)),
            _ => None,
        }
    }

    fn curve_point(&self, size: usize) -> Option<DecodingKey> {
        let (x, y) = (self.x.as_deref()?, self.y.as_deref()?);
        let fits = decoded_len(x) == Some(size) && decoded_len(y) == Some(size);
        if fits { DecodingKey::from_ec_components(x, y).ok() } else { None }
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let (n, e) = (self.n.as_deref()?, self.e.as_deref()?);
        let exponent_fits = decoded_len(e).is_some_and(|len| (1..=8).contains(&len));
        let fits = decoded_len(n).is_some_and(|len| RSA_MODULUS_BYTES.contains(&len));
        if fits && exponent_fits { DecodingKey::from_rsa_components(n, e).ok() } else { None }
    }
}

fn decoded_len(text: &str) -> Option<usize> {
    URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len())
}

#[cfg(test)]
mod tests;
