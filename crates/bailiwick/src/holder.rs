//! A holder's key: a PKCS#8 PEM file of mode 0600, and the DPoP proofs made with it.

use crate::fault::Fault;
use crate::secret;
use bailiwick_api::client::{CredentialError, ProofRequest, ProofSigner};
use bailiwick_core::crypto::{Algorithm, SigningKey, fill_random, sha256};
use bailiwick_core::jcs;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// A private key in memory.
pub(crate) struct HolderKey(SigningKey);

impl HolderKey {
    /// A new key in a new file.
    pub(crate) fn create(path: &Path, algorithm: Algorithm) -> Result<Self, Fault> {
        let key = Self::ephemeral(algorithm)?;
        let der = key
            .0
            .to_pkcs8()
            .map_err(|error| Fault::local(format!("the key cannot be written: {error}")))?;
        secret::write_new(path, pem(&der).trim_end())?;
        Ok(key)
    }

    /// A new key that is never written.
    pub(crate) fn ephemeral(algorithm: Algorithm) -> Result<Self, Fault> {
        SigningKey::generate(algorithm)
            .map(Self)
            .map_err(|error| Fault::local(format!("no key could be made: {error}")))
    }

    /// The key of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        let text = Zeroizing::new(secret::read_private(path)?);
        let fault = |what: &str| {
            Fault::local(format!("{}: {what}", path.display())).with_help(
                "A holder key is an unencrypted PKCS#8 PEM file with an Ed25519 or P-256 key; \
                 `bailiwick grant keygen` makes one.",
            )
        };
        let der = der(&text).ok_or_else(|| fault("not a PEM private key"))?;
        SigningKey::from_pkcs8(&der).map(Self).map_err(|_| fault("not a key of a kind used here"))
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The RFC 7638 thumbprint.
    pub(crate) fn thumbprint(&self) -> String {
        self.0.verifying_key().thumbprint().to_string()
    }

    /// The public half.
    pub(crate) fn jwk(&self) -> Value {
        self.0.verifying_key().to_jwk()
    }

    /// A proof (RFC 9449 §4.2) with this `jti` and time.
    fn proof(&self, request: &ProofRequest<'_>, jti: &str, iat: i64) -> Option<String> {
        let header = json!({
            "typ": "dpop+jwt", "alg": self.0.algorithm().name(), "jwk": self.jwk(),
        });
        let mut claims = json!({
            "jti": jti, "htm": request.method, "htu": request.url, "iat": iat,
        });
        let members = claims.as_object_mut()?;
        if let Some(token) = request.access_token {
            members.insert("ath".into(), json!(sha256(token.as_bytes()).b64()));
        }
        if let Some(nonce) = request.nonce {
            members.insert("nonce".into(), json!(nonce));
        }
        let input = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature = self.0.sign(input.as_bytes()).ok()?;
        Some(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl ProofSigner for HolderKey {
    fn sign_proof(&self, request: &ProofRequest<'_>) -> Result<String, CredentialError> {
        let jti = random_text().map_err(|error| CredentialError(error.to_string()))?;
        self.proof(request, &jti, crate::clock::now().seconds())
            .ok_or_else(|| CredentialError("the key could not sign".to_owned()))
    }
}

/// 128 random bits as text.
fn random_text() -> Result<String, Fault> {
    Ok(URL_SAFE_NO_PAD.encode(random::<16>()?))
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)
        .map_err(|_| Fault::local("the system gave no randomness; nothing was made"))?;
    Ok(bytes)
}

fn part(value: &Value) -> Option<String> {
    jcs::canonicalize(value).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(body.len().saturating_add(128)));
    text.push_str(PEM_BEGIN);
    for (index, character) in body.chars().enumerate() {
        if index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(PEM_END);
    text
}

fn der(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = text.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let body: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
    STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_core::crypto::VerifyingKey;

    #[test]
    fn a_key_survives_its_file_and_what_is_not_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let path = dir.path().join(algorithm.name());
            let made = HolderKey::create(&path, algorithm).unwrap();
            assert_eq!(HolderKey::read(&path).unwrap().thumbprint(), made.thumbprint());
            assert!(HolderKey::create(&path, algorithm).is_err(), "never over another key");
        }
        let path = dir.path().join("bad");
        secret::write_new(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
            .unwrap();
        assert!(HolderKey::read(&path).is_err());
    }

    #[test]
    fn a_proof_says_what_was_asked_and_verifies_under_its_own_key() {
        let dir = tempfile::tempdir().unwrap();
        let key = HolderKey::create(&dir.path().join("k"), Algorithm::EdDsa).unwrap();
        let request = ProofRequest {
            method: "POST",
            url: "https://a.example/oauth/token",
            access_token: Some("a.b.c"),
            nonce: Some("n"),
        };
        let proof = key.proof(&request, "id", 7).unwrap();
        let peeked = crate::jws::peek(&proof).unwrap();
        assert_eq!(peeked.payload["htu"], "https://a.example/oauth/token");
        assert_eq!(peeked.payload["ath"], sha256(b"a.b.c").b64());
        assert_eq!(peeked.payload["nonce"], "n");
        let public = VerifyingKey::from_jwk(&peeked.header["jwk"]).unwrap();
        assert_eq!(public.thumbprint().to_string(), key.thumbprint());
        let (input, signature) = proof.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(public.verify(input.as_bytes(), &signature).is_ok());
    }
}
