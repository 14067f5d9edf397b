//! The Authority's signing keys: files of its own, one purpose each, rotated without downtime.
//!
//! A key is *next* (published, so that verifiers know it before it signs), *active* (signs) or
//! *retiring* (its private half is gone; its public half is published until nothing it signed can
//! be alive). Everything here is behind the `signing_input`/`attach` seam of the core: a KMS or HSM
//! replaces this file, not the callers.

mod ring;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bailiwick_core::chain::verify::IssuerKeys;
use bailiwick_core::crypto::{Algorithm, KeyError, SigningKey, VerifyingKey};
use bailiwick_core::limits::{CLOCK_SKEW_SECONDS_MAX, TTL_SECONDS_MAX};
use bailiwick_core::time::UnixMillis;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use bailiwick_identity::private_files::{self, PrivateFileError};
use ring::{HeldKey, KeyRing};

/// How long a retiring key stays published: the longest life of a token, the tolerated skew, and
/// five minutes for a verifier's cache of the key set.
const RETIRING_SECONDS: u64 = TTL_SECONDS_MAX + CLOCK_SKEW_SECONDS_MAX + 300;

/// What a key is for. A key never signs anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPurpose {
    /// Hop tokens and root tokens, and the feed that tells enforcement points which of them are dead:
    /// whoever can say the one could say the other.
    Token,
    /// Status list tokens.
    StatusList,
    /// Ledger checkpoints. Ed25519, and not rotated: it is the log's name.
    Ledger,
}

impl KeyPurpose {
    const ALL: [Self; 3] = [Self::Token, Self::StatusList, Self::Ledger];

    /// The name of the purpose, as in the file's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::StatusList => "status-list",
            Self::Ledger => "ledger",
        }
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Verifies what it signed; signs no more.
    Retiring,
}

/// What is known about a key, without its private half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Its id: the RFC 7638 thumbprint.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub created: UnixMillis,
    /// When it began to sign.
    pub activated: Option<UnixMillis>,
    /// When it stops being published.
    pub retires: Option<UnixMillis>,
    /// The public key as a JWK.
    pub jwk: Value,
}

/// What a rotation did; belongs into the ledger.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The keys that began to sign.
    pub activated: Vec<KeyFacts>,
    /// The keys that stopped signing.
    pub retiring: Vec<KeyFacts>,
    /// The keys that were made.
    pub announced: Vec<KeyFacts>,
    /// Ids of keys that are no longer published.
    pub removed: Vec<String>,
}

impl Rotation {
    /// The canonical facts for a receipt.
    pub fn to_json(&self) -> Value {
        let list = |keys: &[KeyFacts]| -> Vec<Value> {
            keys.iter()
                .map(|key| json!({"purpose": key.purpose, "kid": key.kid, "jwk": key.jwk}))
                .collect()
        };
        json!({
            "activated": list(&self.activated),
            "retiring": list(&self.retiring),
            "announced": list(&self.announced),
            "removed": self.removed,
        })
    }
}

/// Why the keys cannot be used. The server must not start, or must not rotate.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file or directory is not ours alone, or the system refused.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A key listed in `keys.json` has no file.
    #[error(
        "the private key {path} is listed in keys.json and missing: restore it from your backup; \
         if it is lost, remove the whole keys directory, and every live token dies with it"
    )]
    Missing {
        /// The file.
        path: String,
    },
    /// There are key files and no `keys.json`.
    #[error(
        "{path} holds key files and no keys.json: restore keys.json from your backup, or move the files away"
    )]
    NoIndex {
        /// The directory.
        path: String,
    },
    /// A file is not what it should be.
    #[error("{path} cannot be used: {message}; restore it from your backup")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The crypto library refused.
    #[error("the crypto library failed: {0}")]
    Crypto(#[from] KeyError),
}

/// A key that signs one kind of thing; only this crate can make it sign.
macro_rules! signer {
    ($(#[$doc:meta])+ $name:ident) => {
        $(#[$doc])+
        #[derive(Clone)]
        pub struct $name {
            kid: Arc<str>,
            key: Arc<SigningKey>,
        }

        impl $name {
            /// The key's id.
            pub fn kid(&self) -> &str {
                &self.kid
            }

            /// The key's algorithm.
            pub fn algorithm(&self) -> Algorithm {
                self.key.algorithm()
            }

            /// The public half.
            pub fn verifying_key(&self) -> VerifyingKey {
                self.key.verifying_key()
            }

            /// The raw JWS (or note) signature of `bytes`.
            #[allow(dead_code, reason = "each purpose is signed for by another module")]
            pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
                self.key.sign(bytes)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("kid", &self.kid).finish_non_exhaustive()
            }
        }
    };
}

signer! {
    /// Signs tokens.
    TokenSigner
}
signer! {
    /// Signs status list tokens.
    StatusListSigner
}
signer! {
    /// Signs ledger checkpoints (Ed25519).
    LedgerSigner
}

/// Every signing key of the Authority.
pub struct SigningKeys {
    directory: PathBuf,
    issuer: String,
    algorithm: Algorithm,
    ring: ArcSwap<KeyRing>,
    writing: Mutex<()>,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Opens the keys under `data_dir`, or makes the first ones. `algorithm` is that of the next
    /// token keys to be made: changing it takes effect by rotation, never by a restart.
    ///
    /// # Errors
    /// [`KeysError`]; its text says what to run.
    pub fn open(
        data_dir: &Path,
        issuer: &str,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Result<Self, KeysError> {
        let directory = data_dir.join("keys");
        private_files::ensure_directory(&directory)?;
        let mut ring = match KeyRing::read(&directory)? {
            Some(ring) => ring,
            None => KeyRing::first(data_dir, &directory, algorithm, now)?,
        };
        let mut changed = false;
        for purpose in KeyPurpose::ALL {
            changed |= ring.complete(&directory, purpose, algorithm, now)?;
        }
        changed |= !ring.prune(now).is_empty();
        if changed {
            ring.write(&directory)?;
        }
        ring.sweep(&directory)?;
        Ok(Self {
            directory,
            issuer: issuer.to_owned(),
            algorithm,
            ring: ArcSwap::from_pointee(ring),
            writing: Mutex::new(()),
        })
    }

    /// Makes the next keys active and announces new ones. Old tokens stay verifiable; signing never
    /// pauses. A failure at any step leaves the old keys in force.
    ///
    /// # Errors
    /// [`KeysError`] when a file could not be written.
    pub fn rotate(&self, now: UnixMillis) -> Result<Rotation, KeysError> {
        let _guard = self.writing.lock();
        let mut ring = KeyRing::clone(&self.ring.load());
        let mut rotation = Rotation {
            activated: Vec::new(),
            retiring: Vec::new(),
            announced: Vec::new(),
            removed: ring.prune(now),
        };
        for purpose in [KeyPurpose::Token, KeyPurpose::StatusList] {
            let until = now.saturating_add_seconds(RETIRING_SECONDS);
            ring.advance(purpose, now, until);
            ring.complete(&self.directory, purpose, self.algorithm, now)?;
            let of = |state| ring.facts(purpose, state);
            rotation.activated.extend(of(KeyState::Active));
            rotation.announced.extend(of(KeyState::Next));
            let fresh = of(KeyState::Retiring).filter(|key| key.retires == Some(until));
            rotation.retiring.extend(fresh);
        }
        ring.write(&self.directory)?;
        // INVARIANT: the index that no longer names the old private halves is on disk before they go.
        ring.sweep(&self.directory)?;
        self.ring.store(Arc::new(ring));
        Ok(rotation)
    }

    /// Whether the active token key has signed for `days` or longer.
    pub fn is_rotation_due(&self, now: UnixMillis, days: u32) -> bool {
        let ring = self.ring.load();
        ring.active(KeyPurpose::Token).is_none_or(|key| {
            let since = key.activated.unwrap_or(key.created);
            now.millis_since(since) >= u64::from(days).saturating_mul(24 * 3_600_000)
        })
    }

    /// The key set of the token keys: active, next and retiring.
    pub fn jwks(&self, now: UnixMillis) -> Value {
        self.ring.load().jwks(KeyPurpose::Token, now)
    }

    /// The key set of the status list keys.
    pub fn status_list_jwks(&self, now: UnixMillis) -> Value {
        self.ring.load().jwks(KeyPurpose::StatusList, now)
    }

    /// What this Authority's tokens verify with. Token keys only: no other key ever vouches for one.
    pub fn issuer_keys(&self, now: UnixMillis) -> IssuerKeys {
        let mut keys = IssuerKeys::new();
        for key in self.ring.load().published(KeyPurpose::Token, now) {
            keys.insert(&self.issuer, &key.kid, key.public.clone());
        }
        keys
    }

    /// What is known about every key.
    pub fn list(&self) -> Vec<KeyFacts> {
        self.ring.load().all_facts()
    }

    /// The key that signs tokens now.
    ///
    /// # Errors
    /// [`KeysError::Corrupt`] when there is none, which `open` rules out.
    pub fn active_token_signer(&self) -> Result<TokenSigner, KeysError> {
        let (kid, key) = self.active(KeyPurpose::Token)?;
        Ok(TokenSigner { kid, key })
    }

    /// The key that signs status lists now.
    ///
    /// # Errors
    /// As [`Self::active_token_signer`].
    pub fn active_status_list_signer(&self) -> Result<StatusListSigner, KeysError> {
        let (kid, key) = self.active(KeyPurpose::StatusList)?;
        Ok(StatusListSigner { kid, key })
    }

    /// The key that signs checkpoints.
    ///
    /// # Errors
    /// As [`Self::active_token_signer`].
    pub fn ledger_signer(&self) -> Result<LedgerSigner, KeysError> {
        let (kid, key) = self.active(KeyPurpose::Ledger)?;
        Ok(LedgerSigner { kid, key })
    }

    fn active(&self, purpose: KeyPurpose) -> Result<(Arc<str>, Arc<SigningKey>), KeysError> {
        let ring = self.ring.load();
        ring.active(purpose)
            .and_then(|key| Some((Arc::clone(&key.kid), Arc::clone(key.private.as_ref()?))))
            .ok_or_else(|| KeysError::Corrupt {
                path: self.directory.display().to_string(),
                message: format!("there is no active {} key", purpose.as_str()),
            })
    }
}

impl HeldKey {
    fn facts(&self) -> KeyFacts {
        KeyFacts {
            purpose: self.purpose,
            kid: self.kid.to_string(),
            algorithm: self.public.algorithm(),
            state: self.state,
            created: self.created,
            activated: self.activated,
            retires: self.retires,
            jwk: self.public.to_jwk(),
        }
    }
}

#[cfg(test)]
mod tests;
