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
/// How far the clock of another gateway may be ahead, in seconds.
const SKEW_SECONDS: i64 = 60;
/// Statements kept.
const KEPT_MAX: u64 = 100_000;
/// Characters of a signature; Ed25519 and ES256 have the same length.
const SIGNATURE_CHARS: usize = 86;
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
    pub(super) jti: String,
    pub(super) agents: Vec<String>,
    pub(super) depth: usize,
    pub(super) workflow: String,
    iat: i64,
    exp: i64,
}

/// What became of a statement on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// Its key is believed here, its signature holds, and it has not ended.
    Holds(Stated),
    /// It is the beginning of a statement.
    Cut,
    /// It is nobody's: no such key, no such signature, or too old.
    Nobody,
}

/// Keys of statements that are believed, by thumbprint.
pub(super) type Keys = HashMap<String, VerifyingKey>;

/// Reads the keys that a route trusts.
pub(super) fn read_keys(paths: &[PathBuf]) -> Result<Keys, CarryError> {
    let read = |path: &PathBuf| {
        let bad = || CarryError::Trusted(path.display().to_string());
        let text = std::fs::read_to_string(path).map_err(|_| bad())?;
        let jwk: Value = serde_json::from_str(&text).map_err(|_| bad())?;
        // A key file that holds the private half is one that was copied too far.
        let key = VerifyingKey::from_jwk(&jwk).ok().filter(|_| jwk.get("d").is_none());
        let key = key.ok_or_else(bad)?;
        Ok((key.thumbprint().to_string(), key))
    };
    paths.iter().map(read).collect()
}

/// A statement that was made, for whom, and until when it is given again.
#[derive(Clone)]
struct Made {
    statement: Arc<str>,
    tag: Arc<ProvenanceTag>,
    half: i64,
}

/// Signs statements and checks them.
pub(super) struct Signer {
    key: SigningKey,
    kid: String,
    issuer: String,
    own: VerifyingKey,
    made: Cache<TokenId, Made>,
    clock: Clock,
}

impl Signer {
    pub(super) fn open(state: &Path, issuer: &str, clock: Clock) -> Result<Self, CarryError> {
        let path = state.join("provenance.key");
        let key = match private_files::read(&path)? {
            Some(der) => SigningKey::from_pkcs8(&der)?,
            None => {
                let key = SigningKey::generate(Algorithm::EdDsa)?;
                private_files::write(&path, &key.to_pkcs8()?)?;
                key
            }
        };
        let own = key.verifying_key();
        let kid = own.thumbprint().to_string();
        let made = Cache::new(KEPT_MAX);
        Ok(Self { key, kid, issuer: issuer.to_owned(), own, made, clock })
    }

    pub(super) fn public_key(&self) -> Value {
        self.key.verifying_key().to_jwk()
    }

    /// The statement for a token; the same one while it is fresh.
    pub(super) fn statement(&self, tag: &ProvenanceTag) -> Option<Arc<str>> {
        let now = self.clock.now().seconds();
        // Who signs a grant chooses its id: the same id may be that of another chain.
        if let Some(made) = self.made.get(&tag.jti)
            && now < made.half
            && made.tag.same_chain(tag)
        {
            return Some(made.statement);
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
        let tag = Arc::new(tag.clone());
        self.made.insert(tag.jti, Made { statement: Arc::clone(&statement), tag, half });
        Some(statement)
    }

    /// What became of a statement; `trusted` are the keys that are believed beside this gateway's own.
    pub(super) fn check(&self, statement: &str, trusted: &Keys) -> Checked {
        let mut parts = statement.split('.');
        let (header, claims, signature) = (parts.next(), parts.next(), parts.next());
        if parts.next().is_some() {
            return Checked::Nobody;
        }
        let read = |part: &str| jcs::parse_strict(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let Some(header) = header.and_then(read) else {
            // The header itself ends too soon: it begins as a header of ours does.
            let begun = statement.starts_with("eyJ") && claims.is_none();
            return if begun { Checked::Cut } else { Checked::Nobody };
        };
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let kid = text("kid").unwrap_or_default();
        let key = if kid == self.kid { Some(&self.own) } else { trusted.get(kid) };
        let Some(key) = key
            .filter(|key| text("typ") == Some(TYP) && text("alg") == Some(key.algorithm().name()))
        else {
            return Checked::Nobody;
        };
        let whole = claims.zip(signature).filter(|(_, it)| it.len() >= SIGNATURE_CHARS);
        let Some((claims, signature)) = whole else { return Checked::Cut };
        let input = statement.rsplit_once('.').map_or("", |(input, _)| input);
        let holds = URL_SAFE_NO_PAD
            .decode(signature)
            .is_ok_and(|signature| key.verify(input.as_bytes(), &signature).is_ok());
        let stated = read(claims).and_then(|claims| Stated::deserialize(claims).ok());
        match stated.filter(|stated| holds && self.is_fresh(stated)) {
            Some(stated) => Checked::Holds(stated),
            None => Checked::Nobody,
        }
    }

    fn is_fresh(&self, stated: &Stated) -> bool {
        let now = self.clock.now().seconds();
        stated.iat <= now.saturating_add(SKEW_SECONDS)
            && now < stated.exp
            && stated.exp.saturating_sub(stated.iat) <= TTL_SECONDS
    }
}
