//! The only file that imports crypto libraries: ES256 and Ed25519 keys, SHA-256, HMAC, randomness.
//!
//! A key knows its algorithm, and verifying asks the key, so a token's header can never choose.
//! ES256 signatures are `r || s`, 64 bytes (RFC 7518 §3.4). ECDSA is malleable: `(r, n-s)` also
//! verifies, so identity and replay must be judged by `jti` or signing hash, never by signature.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, ParsedPublicKey,
};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::hash::Sha256Hash;

/// A signature algorithm of the token profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; the default of Authorities.
    Es256,
    /// Ed25519; the default of holders.
    EdDsa,
}

impl Algorithm {
    /// The JOSE name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this JOSE name; `Ed25519` (RFC 9864) is not an alias here.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A key text or document that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a P-256 or Ed25519 public key in the expected form.
    #[error("not an ES256 or EdDSA public key")]
    Public,
    /// A private member (`d`) in what should be a public key.
    #[error("a public JWK carries a private member")]
    Private,
    /// Not an unencrypted PKCS#8 P-256 or Ed25519 key.
    #[error("not an unencrypted PKCS#8 ES256 or EdDSA key")]
    Pkcs8,
    /// The crypto library could not make or use the key.
    #[error("the crypto library refused the operation")]
    Library,
}

/// A signature that does not verify; says nothing about why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct BadSignature;

/// The system's random generator failed; nothing may be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no randomness available")]
pub struct RandomUnavailable;

/// An RFC 7638 SHA-256 key thumbprint; `Display` is base64url (a `jkt`).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Thumbprint(pub Sha256Hash);

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({})", self.0)
    }
}

impl std::str::FromStr for Thumbprint {
    type Err = crate::hash::HashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A public key, its algorithm and its thumbprint. Cloning is cheap.
#[derive(Clone)]
pub struct VerifyingKey(Arc<PublicKey>);

struct PublicKey {
    algorithm: Algorithm,
    parsed: Parsed,
    /// Uncompressed point (65 bytes, `04 || x || y`) or Ed25519 key (32 bytes).
    raw: Vec<u8>,
    thumbprint: Thumbprint,
}

/// Verifying is what every call pays for, so Ed25519 has the library that does it fastest
/// (docs/decisions/0009-two-libraries-for-signatures.md).
enum Parsed {
    Es256(ParsedPublicKey),
    EdDsa(ed25519_dalek::VerifyingKey),
}

impl Parsed {
    /// INVARIANT: an Ed25519 key of small order is no key: strangers could sign for it.
    fn new(algorithm: Algorithm, raw: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 if raw.len() == 65 && raw.first() == Some(&4) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, raw).ok().map(Self::Es256)
            }
            Algorithm::Es256 => None,
            Algorithm::EdDsa => {
                let raw = <&[u8; 32]>::try_from(raw).ok().filter(|raw| is_reduced(raw))?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(raw).ok()?;
                (!key.is_weak()).then_some(Self::EdDsa(key))
            }
        }
    }
}

/// Whether the `y` of a compressed point is below the field's prime, `2^255 - 19` (RFC 8032 §5.1.3).
fn is_reduced(raw: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = raw;
    *low < 0xed || middle.iter().any(|byte| *byte != 0xff) || high & 0x7f != 0x7f
}

/// Keys that a thread remembers.
const RECENT_KEYS: usize = 128;

thread_local! {
    /// The keys that this thread read last, each at the place that its bytes give. A proof brings the
    /// same key with every call, and reading one costs a quarter of a signature.
    static RECENT: RefCell<Vec<Option<VerifyingKey>>> = RefCell::new(vec![None; RECENT_KEYS]);
}

/// Where a key is remembered. Two keys at one place take turns.
fn place_of(raw: &[u8]) -> usize {
    raw.first_chunk::<2>().map_or(0, |[_, byte]| usize::from(*byte) % RECENT_KEYS)
}

const P256_SPKI_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_SPKI_PREFIX: &[u8] =
    &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl VerifyingKey {
    /// Reads a public JWK: `EC`/`P-256` or `OKP`/`Ed25519`. Other members of a key set's entry
    /// (`kid`, `use`, …) are allowed, unless they contradict signing or are private.
    ///
    /// # Errors
    /// [`KeyError::Private`] when `d` is present, [`KeyError::Public`] for everything else.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        if jwk.get("d").is_some() {
            return Err(KeyError::Private);
        }
        let x = member("x").ok_or(KeyError::Public)?;
        let y = member("y");
        let key = Self::from_coordinates(
            member("kty").ok_or(KeyError::Public)?,
            member("crv").ok_or(KeyError::Public)?,
            x,
            y,
        )?;
        let contradicts = |name: &str, expected: &str| {
            jwk.get(name).is_some_and(|value| value.as_str() != Some(expected))
        };
        if contradicts("alg", key.algorithm().name()) || contradicts("use", "sig") {
            return Err(KeyError::Public);
        }
        Ok(key)
    }

    /// Reads the members a JWK thumbprint covers.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn from_coordinates(
        kty: &str,
        crv: &str,
        x: &str,
        y: Option<&str>,
    ) -> Result<Self, KeyError> {
        let x: Sha256Hash = x.parse().map_err(|_| KeyError::Public)?;
        match (kty, crv, y) {
            ("EC", "P-256", Some(y)) => {
                let y: Sha256Hash = y.parse().map_err(|_| KeyError::Public)?;
                let mut raw = Vec::with_capacity(65);
                raw.push(4);
                raw.extend_from_slice(&x.0);
                raw.extend_from_slice(&y.0);
                Self::from_raw(Algorithm::Es256, raw)
            }
            ("OKP", "Ed25519", None) => Self::from_raw(Algorithm::EdDsa, x.0.to_vec()),
            _ => Err(KeyError::Public),
        }
    }

    /// Reads a DER `SubjectPublicKeyInfo` of a P-256 (uncompressed) or Ed25519 key.
    ///
    /// # Errors
    /// [`KeyError::Public`] for any other bytes.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(raw) = der.strip_prefix(P256_SPKI_PREFIX) {
            return Self::from_raw(Algorithm::Es256, raw.to_vec());
        }
        let raw = der.strip_prefix(ED25519_SPKI_PREFIX).ok_or(KeyError::Public)?;
        Self::from_raw(Algorithm::EdDsa, raw.to_vec())
    }

    fn from_raw(algorithm: Algorithm, raw: Vec<u8>) -> Result<Self, KeyError> {
        RECENT.with_borrow_mut(|recent| {
            let place = recent.get_mut(place_of(&raw)).ok_or(KeyError::Public)?;
            if let Some(key) = place.as_ref().filter(|key| key.is(algorithm, &raw)) {
                return Ok(key.clone());
            }
            let key = Self::parse(algorithm, raw)?;
            *place = Some(key.clone());
            Ok(key)
        })
    }

    fn is(&self, algorithm: Algorithm, raw: &[u8]) -> bool {
        self.0.algorithm == algorithm && self.0.raw == raw
    }

    fn parse(algorithm: Algorithm, raw: Vec<u8>) -> Result<Self, KeyError> {
        let parsed = Parsed::new(algorithm, &raw).ok_or(KeyError::Public)?;
        let thumbprint = Thumbprint(sha256(thumbprint_input(algorithm, &raw).as_bytes()));
        Ok(Self(Arc::new(PublicKey { algorithm, parsed, raw, thumbprint })))
    }

    /// The public JWK with exactly the members its thumbprint covers.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let (x, y) = coordinates(self.0.algorithm, &self.0.raw);
        match y {
            Some(y) => json!({"crv": "P-256", "kty": "EC", "x": x, "y": y}),
            None => json!({"crv": "Ed25519", "kty": "OKP", "x": x}),
        }
    }

    /// The DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        let prefix = match self.0.algorithm {
            Algorithm::Es256 => P256_SPKI_PREFIX,
            Algorithm::EdDsa => ED25519_SPKI_PREFIX,
        };
        [prefix, &self.0.raw].concat()
    }

    /// The RFC 7638 thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.0.thumbprint
    }

    /// The one algorithm this key verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The raw public key: `04 || x || y` for ES256, 32 bytes for EdDSA.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.0.raw
    }

    /// Checks a 64-byte signature of `message`.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match &self.0.parsed {
            Parsed::Es256(key) => key.verify_sig(message, signature).map_err(|_| BadSignature),
            Parsed::EdDsa(key) => verify_ed25519(key, message, signature),
        }
    }

    /// [`VerifyingKey::verify`] for a message whose SHA-256 is already computed.
    pub(crate) fn verify_hashed(
        &self,
        message: &[u8],
        hashes: &CompactHashes,
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        match &self.0.parsed {
            Parsed::Es256(key) => {
                key.verify_digest_sig(&hashes.signed, signature).map_err(|_| BadSignature)
            }
            Parsed::EdDsa(key) => verify_ed25519(key, message, signature),
        }
    }
}

/// RFC 8032 §5.1.7 without the cofactor, as aws-lc does it: what one of the two takes, the other takes.
fn verify_ed25519(
    key: &ed25519_dalek::VerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
    ed25519_dalek::Verifier::verify(key, message, &signature).map_err(|_| BadSignature)
}

fn coordinates(algorithm: Algorithm, raw: &[u8]) -> (String, Option<String>) {
    match algorithm {
        Algorithm::Es256 => {
            let (x, y) = raw.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
            (URL_SAFE_NO_PAD.encode(x), Some(URL_SAFE_NO_PAD.encode(y)))
        }
        Algorithm::EdDsa => (URL_SAFE_NO_PAD.encode(raw), None),
    }
}

fn thumbprint_input(algorithm: Algorithm, raw: &[u8]) -> String {
    match coordinates(algorithm, raw) {
        (x, Some(y)) => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
        (x, None) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.thumbprint == other.0.thumbprint
    }
}
impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.0.algorithm.name(), self.0.thumbprint)
    }
}

/// A private key held in memory. Drivers with a KMS or HSM never make one: they sign bytes.
pub struct SigningKey {
    pair: Pair,
    public: VerifyingKey,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// A fresh key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Pair::Es256)
                .map_err(|_| KeyError::Library)?,
            Algorithm::EdDsa => {
                Ed25519KeyPair::generate().map(Pair::EdDsa).map_err(|_| KeyError::Library)?
            }
        };
        Self::from_pair(pair)
    }

    /// Reads an unencrypted PKCS#8 document of a P-256 or Ed25519 key.
    ///
    /// # Errors
    /// [`KeyError::Pkcs8`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Pair::Es256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8(der).map(Pair::EdDsa))
            .map_err(|_| KeyError::Pkcs8)?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let public = match &pair {
            Pair::Es256(pair) => {
                VerifyingKey::from_raw(Algorithm::Es256, pair.public_key().as_ref().to_vec())?
            }
            Pair::EdDsa(pair) => {
                VerifyingKey::from_raw(Algorithm::EdDsa, pair.public_key().as_ref().to_vec())?
            }
        };
        Ok(Self { pair, public })
    }

    /// The key as an unencrypted PKCS#8 v1 document, wiped when dropped.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1(),
            Pair::EdDsa(pair) => pair.to_pkcs8v1(),
        };
        document.map(|d| Zeroizing::new(d.as_ref().to_vec())).map_err(|_| KeyError::Library)
    }

    /// Signs `message`: 64 bytes, `r || s` for ES256.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = match &self.pair {
            Pair::Es256(pair) => pair.sign(&rand::SystemRandom::new(), message),
            Pair::EdDsa(pair) => pair.try_sign(message),
        };
        signature.map(|s| s.as_ref().to_vec()).map_err(|_| KeyError::Library)
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.public.clone()
    }

    /// The key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, private part hidden)", self.public.thumbprint())
    }
}

/// SHA-256 of a compact JWS and of the part that is signed, in one pass.
#[derive(Clone, Debug)]
pub(crate) struct CompactHashes {
    signed: digest::Digest,
    /// SHA-256 of the whole text.
    pub(crate) token_hash: Sha256Hash,
}

impl CompactHashes {
    /// Hashes a text that may or may not be a compact JWS.
    pub(crate) fn of(compact: &str) -> Self {
        let signed = compact.rsplit_once('.').map_or(compact, |(signed, _)| signed);
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(signed.as_bytes());
        let digest = context.clone().finish();
        context.update(compact.as_bytes().get(signed.len()..).unwrap_or_default());
        Self { signed: digest, token_hash: to_hash(&context.finish()) }
    }

    /// SHA-256 of the signing input.
    pub(crate) fn signing_hash(&self) -> Sha256Hash {
        to_hash(&self.signed)
    }
}

fn to_hash(digest: &digest::Digest) -> Sha256Hash {
    let mut out = [0_u8; 32];
    out.copy_from_slice(digest.as_ref());
    Sha256Hash(out)
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256Hash {
    to_hash(&digest::digest(&digest::SHA256, bytes))
}

/// HMAC-SHA-256 of `bytes`. For server nonces and test vectors; tokens are never HMAC-signed.
#[must_use]
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut out = [0_u8; 32];
    out.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref());
    out
}

/// Compares in time that depends on the lengths only.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Fills `out` from the system's randomness: the one effect here, for drivers only.
///
/// # Errors
/// [`RandomUnavailable`]; the caller refuses to go on.
pub fn fill_random(out: &mut [u8]) -> Result<(), RandomUnavailable> {
    rand::fill(out).map_err(|_| RandomUnavailable)
}

#[cfg(test)]
mod tests;
