//! Signed statements of provenance: made once for a token, believed when their key is pinned.
//!
//! A statement is no credential: it is bound to nobody's key, has a type of its own, and nothing in
//! this system takes it in place of a token.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bailiwick_core::crypto::{Algorithm, KeyError, SigningKey, VerifyingKey};
use bailiwick_core::{TokenId, jcs};
use bailiwick_identity::private_files::{self, PrivateFileError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Value, json};

use super::tag::ProvenanceTag;
use crate::clock::Clock;

/// `typ` of a statement.
const TYP: &str = "bailiwick-provenance+jwt";
/// Longest life of a statement, in seconds.
const TTL_SECONDS: i64 = 300;
/// Statements kept.
const KEPT_MAX: u64 = 100_000;
/// Bytes of a statement that is read.
pub(super) const STATEMENT_BYTES_MAX: usize = 8 * 1024;

/// Why provenance cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    /// The key's file.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The key.
    #[error("the provenance key cannot be used: {0}")]
    Key(#[from] KeyError),
    /// A trusted key.
    #[error("the trusted key {0} is not a public JWK of an Ed25519 or P-256 key")]
    Trusted(String),
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Stated {
    pub(super) sub: String,
    pub(super) txn: String,
    pub(super) agents: Vec<String>,
    iat: i64,
    exp: i64,
}

/// Signs statements and checks them.
pub(super) struct Signer {
    key: SigningKey,
    kid: String,
    issuer: String,
    trusted: HashMap<String, VerifyingKey>,
    made: Cache<TokenId, (Arc<str>, i64)>,
    clock: Clock,
}

impl Signer {
    pub(super) fn open(
        state: &Path,
        issuer: &str,
        trusted: &[&PathBuf],
        clock: Clock,
    ) -> Result<Self, CarryError> {
        let path = state.join("provenance.key");
        let key = match private_files::read(&path)? {
            Some(der) => SigningKey::from_pkcs8(&der)?,
            None => {
                let key = SigningKey::generate(Algorithm::EdDsa)?;
                private_files::write(&path, &key.to_pkcs8()?)?;
                key
            }
        };
        let mut keys = HashMap::new();
        for path in trusted {
            let bad = || CarryError::Trusted(path.display().to_string());
            let text = std::fs::read_to_string(path).map_err(|_| bad())?;
            let jwk: Value = serde_json::from_str(&text).map_err(|_| bad())?;
            let key = VerifyingKey::from_jwk(&jwk).map_err(|_| bad())?;
            keys.insert(key.thumbprint().to_string(), key);
        }
        let own = key.verifying_key();
        let kid = own.thumbprint().to_string();
        keys.insert(kid.clone(), own);
        let made = Cache::new(KEPT_MAX);
        Ok(Self { key, kid, issuer: issuer.to_owned(), trusted: keys, made, clock })
    }

    pub(super) fn public_key(&self) -> Value {
        self.key.verifying_key().to_jwk()
    }

    /// The statement for a token; the same one while it is fresh.
    pub(super) fn statement(&self, tag: &ProvenanceTag) -> Option<Arc<str>> {
        let now = self.clock.now().seconds();
        if let Some((statement, half)) = self.made.get(&tag.jti)
            && now < half
        {
            return Some(statement);
        }
        let end = tag.expires.min(now.saturating_add(TTL_SECONDS));
        let header = json!({ "alg": self.key.algorithm().name(), "kid": self.kid, "typ": TYP });
        let claims = json!({
            "iss": self.issuer, "iat": now, "exp": end, "sub": tag.subject, "txn": tag.task,
            "jti": tag.jti, "agents": tag.agents, "depth": tag.depth, "workflow": tag.workflow,
        });
        let part = |value| Some(URL_SAFE_NO_PAD.encode(jcs::canonicalize_value(value).ok()?));
        let input = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature = self.key.sign(input.as_bytes()).ok()?;
        let statement: Arc<str> = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)).into();
        // Whoever gets it late in its life still has half of it.
        let half = now.saturating_add(end.saturating_sub(now) / 2);
        self.made.insert(tag.jti, (Arc::clone(&statement), half));
        Some(statement)
    }

    /// What a statement says, if its key is pinned, its signature holds and it has not ended.
    pub(super) fn verify(&self, statement: &str) -> Option<Stated> {
        let (input, signature) = statement.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Value = jcs::parse_strict(&decode(header)?).ok()?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let key = self.trusted.get(text("kid")?)?;
        if text("typ")? != TYP || text("alg")? != key.algorithm().name() {
            return None;
        }
        key.verify(input.as_bytes(), &decode(signature)?).ok()?;
        let stated = Stated::deserialize(jcs::parse_strict(&decode(claims)?).ok()?).ok()?;
        let now = self.clock.now().seconds();
        (stated.iat <= now.saturating_add(60) && now < stated.exp).then_some(stated)
    }
}
