//! What a client shows an OAuth server instead of a shared secret: a JWT that it signed itself
//! (RFC 7523 §2.2, `private_key_jwt`).

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// How long an assertion is good for, in seconds.
const LIFE_SECONDS: i64 = 60;

/// The media type of an assertion, for `client_assertion_type`.
pub const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A key cannot be used. The text holds nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// It is no private key that is served.
    #[error("the key is no PEM private key of RSA (2048 bits or more), P-256 or Ed25519")]
    Key,
    /// It does not sign.
    #[error("the key does not sign")]
    Sign,
}

/// A client's own key.
pub struct AssertionKey {
    key: EncodingKey,
    algorithm: Algorithm,
    kid: Option<String>,
}

impl std::fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AssertionKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl AssertionKey {
    /// Reads a private key (PKCS#8, or PKCS#1 for RSA). The key says the algorithm: `ES256`, `EdDSA`
    /// or `RS256`; `pss` makes the last one `PS256`.
    ///
    /// # Errors
    /// [`AssertionError::Key`].
    pub fn from_pem(pem: &[u8], kid: Option<String>, pss: bool) -> Result<Self, AssertionError> {
        let rsa = if pss { Algorithm::PS256 } else { Algorithm::RS256 };
        let found = [
            EncodingKey::from_ec_pem(pem).ok().map(|key| (key, Algorithm::ES256)),
            EncodingKey::from_ed_pem(pem).ok().map(|key| (key, Algorithm::EdDSA)),
            EncodingKey::from_rsa_pem(pem).ok().map(|key| (key, rsa)),
        ];
        for (key, algorithm) in found.into_iter().flatten() {
            let made = Self { key, algorithm, kid: kid.clone() };
            // Only a key that signs is one: a PEM of one kind may parse as another.
            if made.sign("probe", "probe", "probe", 0).is_ok() {
                return Ok(made);
            }
        }
        Err(AssertionError::Key)
    }

    /// An assertion that `client` is who it says, for the server `audience`; `jti` must be fresh.
    ///
    /// # Errors
    /// [`AssertionError::Sign`].
    pub fn sign(
        &self,
        client: &str,
        audience: &str,
        jti: &str,
        now_seconds: i64,
    ) -> Result<String, AssertionError> {
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": jti, "iat": now_seconds,
            "exp": now_seconds.saturating_add(LIFE_SECONDS),
        });
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| AssertionError::Sign)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::Value;

    use super::*;

    fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, Vec<u8>) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        (key.serialize_pem(), key.public_key_pem().into_bytes())
    }

    #[test]
    fn an_assertion_says_who_and_to_whom_and_is_signed_by_the_key() {
        let cases = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256, false),
            (&rcgen::PKCS_ED25519, Algorithm::EdDSA, false),
            (&rcgen::PKCS_RSA_SHA256, Algorithm::RS256, false),
            (&rcgen::PKCS_RSA_SHA256, Algorithm::PS256, true),
        ];
        for (kind, algorithm, pss) in cases {
            let (private, public) = pem(kind);
            let key = AssertionKey::from_pem(private.as_bytes(), Some("k1".to_owned()), pss);
            let key = key.unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
            let signed = key.sign("client", "https://as.example/token", "j", 1000).unwrap();
            let public = match algorithm {
                Algorithm::ES256 => DecodingKey::from_ec_pem(&public),
                Algorithm::EdDSA => DecodingKey::from_ed_pem(&public),
                _ => DecodingKey::from_rsa_pem(&public),
            };
            let mut validation = Validation::new(algorithm);
            validation.validate_exp = false;
            validation.set_audience(&["https://as.example/token"]);
            let read = decode::<Value>(&signed, &public.unwrap(), &validation).unwrap();
            assert_eq!(read.header.kid.as_deref(), Some("k1"));
            assert_eq!(read.claims["iss"], "client");
            assert_eq!(read.claims["sub"], "client");
            assert_eq!(read.claims["exp"], 1060);
        }
    }

    #[test]
    fn what_is_no_private_key_is_refused_and_no_key_is_shown() {
        let (private, public) = pem(&rcgen::PKCS_ED25519);
        for bad in [public.as_slice(), b"", b"hunter2"] {
            let told = AssertionKey::from_pem(bad, None, false).unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
        let key = AssertionKey::from_pem(private.as_bytes(), None, false).unwrap();
        assert_eq!(format!("{key:?}"), "AssertionKey { algorithm: EdDSA, kid: None, .. }");
    }
}
