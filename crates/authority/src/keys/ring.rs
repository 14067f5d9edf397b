//! The set of keys at one moment, and its files: `keys.json` (public facts, the authority on what
//! exists) and one PKCS#8 file per private half.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bailiwick_core::crypto::{Algorithm, SigningKey, VerifyingKey};
use bailiwick_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{KeyFacts, KeyPurpose, KeyState, KeysError};
use bailiwick_identity::private_files;

const INDEX: &str = "keys.json";

/// One key; the private half is there until it retires.
#[derive(Clone)]
pub(super) struct HeldKey {
    pub(super) purpose: KeyPurpose,
    pub(super) kid: Arc<str>,
    pub(super) state: KeyState,
    pub(super) created: UnixMillis,
    pub(super) activated: Option<UnixMillis>,
    pub(super) retires: Option<UnixMillis>,
    pub(super) public: VerifyingKey,
    pub(super) private: Option<Arc<SigningKey>>,
}

/// Every key at one moment.
#[derive(Clone, Default)]
pub(super) struct KeyRing(Vec<HeldKey>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    v: u32,
    keys: Vec<IndexEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexEntry {
    purpose: KeyPurpose,
    kid: String,
    state: KeyState,
    created_ms: u64,
    activated_ms: Option<u64>,
    retires_ms: Option<u64>,
    jwk: Value,
}

impl KeyRing {
    /// Reads the index and every private half it names; `None` when there is no index.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, KeysError> {
        let path = directory.join(INDEX);
        let Some(bytes) = private_files::read(&path)? else { return Ok(None) };
        let corrupt = |message: String| KeysError::Corrupt { path: shown(&path), message };
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if index.v != 1 {
            return Err(corrupt(format!("its version is {}, not 1", index.v)));
        }
        let mut keys = Vec::with_capacity(index.keys.len());
        for entry in index.keys {
            keys.push(read_key(directory, entry)?);
        }
        for purpose in KeyPurpose::ALL {
            let active = |key: &&HeldKey| key.purpose == purpose && key.state == KeyState::Active;
            if keys.iter().filter(active).count() > 1 {
                return Err(corrupt(format!("two {} keys are active", purpose.as_str())));
            }
        }
        Ok(Some(Self(keys)))
    }

    /// Makes the first keys, all or none: in a directory aside, which then takes the place of the
    /// empty one. A directory with key files and no index is refused: new keys would orphan tokens.
    pub(super) fn first(
        data_dir: &Path,
        directory: &Path,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Result<Self, KeysError> {
        if !key_files(directory)?.is_empty() {
            return Err(KeysError::NoIndex { path: shown(directory) });
        }
        let aside = data_dir.join("keys.new");
        private_files::remove_directory(&aside)?;
        private_files::ensure_directory(&aside)?;
        let mut ring = Self::default();
        for purpose in KeyPurpose::ALL {
            ring.complete(&aside, purpose, algorithm, now)?;
        }
        ring.write(&aside)?;
        private_files::replace_directory(&aside, directory)?;
        Ok(ring)
    }

    /// Writes the index; the private halves it names are on disk already.
    pub(super) fn write(&self, directory: &Path) -> Result<(), KeysError> {
        let keys = self.0.iter().map(|key| IndexEntry {
            purpose: key.purpose,
            kid: key.kid.to_string(),
            state: key.state,
            created_ms: key.created.0,
            activated_ms: key.activated.map(|instant| instant.0),
            retires_ms: key.retires.map(|instant| instant.0),
            jwk: key.public.to_jwk(),
        });
        let index = Index { v: 1, keys: keys.collect() };
        let path = directory.join(INDEX);
        let bytes = serde_json::to_vec_pretty(&index).map_err(|error| KeysError::Corrupt {
            path: shown(&path),
            message: error.to_string(),
        })?;
        Ok(private_files::write(&path, &bytes)?)
    }

    /// Makes the keys that a purpose lacks, private halves on disk first. Says whether any was made.
    pub(super) fn complete(
        &mut self,
        directory: &Path,
        purpose: KeyPurpose,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Result<bool, KeysError> {
        let algorithm = match purpose {
            KeyPurpose::Token => algorithm,
            KeyPurpose::StatusList => Algorithm::Es256,
            KeyPurpose::Ledger => Algorithm::EdDsa,
        };
        let before = self.0.len();
        // A next key of another algorithm has signed nothing yet: a new one takes its place.
        self.0.retain(|key| {
            key.purpose != purpose
                || key.state != KeyState::Next
                || key.public.algorithm() == algorithm
        });
        let mut changed = self.0.len() != before;
        for state in [KeyState::Active, KeyState::Next] {
            let rotated = purpose != KeyPurpose::Ledger;
            let there = self.0.iter().any(|key| key.purpose == purpose && key.state == state);
            if !there && (state == KeyState::Active || rotated) {
                self.0.push(make_key(directory, purpose, state, algorithm, now)?);
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Active keys retire, next keys become active.
    pub(super) fn advance(&mut self, purpose: KeyPurpose, now: UnixMillis, until: UnixMillis) {
        if !self.0.iter().any(|key| key.purpose == purpose && key.state == KeyState::Next) {
            return;
        }
        for key in self.0.iter_mut().filter(|key| key.purpose == purpose) {
            match key.state {
                KeyState::Active => {
                    key.state = KeyState::Retiring;
                    key.retires = Some(until);
                    key.private = None;
                }
                KeyState::Next => {
                    key.state = KeyState::Active;
                    key.activated = Some(now);
                }
                KeyState::Retiring => {}
            }
        }
    }

    /// Drops keys whose signatures cannot be alive; gives their ids.
    pub(super) fn prune(&mut self, now: UnixMillis) -> Vec<String> {
        let (kept, gone): (Vec<HeldKey>, Vec<HeldKey>) =
            std::mem::take(&mut self.0).into_iter().partition(|key| !key.is_over(now));
        self.0 = kept;
        gone.iter().map(|key| key.kid.to_string()).collect()
    }

    /// Removes private halves that the index no longer needs, and halves of interrupted writes.
    pub(super) fn sweep(&self, directory: &Path) -> Result<(), KeysError> {
        for path in key_files(directory)? {
            let used = self.0.iter().any(|key| {
                key.private.is_some() && private_path(directory, key.purpose, &key.kid) == path
            });
            if !used {
                private_files::remove(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn active(&self, purpose: KeyPurpose) -> Option<&HeldKey> {
        self.0.iter().find(|key| key.purpose == purpose && key.state == KeyState::Active)
    }

    /// The keys of a purpose that are published at `now`.
    pub(super) fn published(
        &self,
        purpose: KeyPurpose,
        now: UnixMillis,
    ) -> impl Iterator<Item = &HeldKey> {
        self.0.iter().filter(move |key| key.purpose == purpose && !key.is_over(now))
    }

    pub(super) fn jwks(&self, purpose: KeyPurpose, now: UnixMillis) -> Value {
        let keys = self.published(purpose, now).map(|key| {
            let mut jwk = key.public.to_jwk();
            if let Some(object) = jwk.as_object_mut() {
                object.insert("kid".to_owned(), json!(key.kid));
                object.insert("use".to_owned(), json!("sig"));
                object.insert("alg".to_owned(), json!(key.public.algorithm().name()));
            }
            jwk
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }

    pub(super) fn facts(
        &self,
        purpose: KeyPurpose,
        state: KeyState,
    ) -> impl Iterator<Item = KeyFacts> {
        self.0
            .iter()
            .filter(move |key| key.purpose == purpose && key.state == state)
            .map(HeldKey::facts)
    }

    pub(super) fn all_facts(&self) -> Vec<KeyFacts> {
        self.0.iter().map(HeldKey::facts).collect()
    }
}

impl HeldKey {
    fn is_over(&self, now: UnixMillis) -> bool {
        self.state == KeyState::Retiring && self.retires.is_some_and(|until| until <= now)
    }
}

fn make_key(
    directory: &Path,
    purpose: KeyPurpose,
    state: KeyState,
    algorithm: Algorithm,
    now: UnixMillis,
) -> Result<HeldKey, KeysError> {
    let key = SigningKey::generate(algorithm)?;
    let public = key.verifying_key();
    let kid: Arc<str> = public.thumbprint().to_string().into();
    private_files::write(&private_path(directory, purpose, &kid), &key.to_pkcs8()?)?;
    Ok(HeldKey {
        purpose,
        kid,
        state,
        created: now,
        activated: (state == KeyState::Active).then_some(now),
        retires: None,
        public,
        private: Some(Arc::new(key)),
    })
}

fn read_key(directory: &Path, entry: IndexEntry) -> Result<HeldKey, KeysError> {
    let path = private_path(directory, entry.purpose, &entry.kid);
    let corrupt =
        |message: &str| KeysError::Corrupt { path: shown(&path), message: message.to_owned() };
    let public = VerifyingKey::from_jwk(&entry.jwk)
        .map_err(|_| corrupt("the public key in keys.json is not one"))?;
    if public.thumbprint().to_string() != entry.kid {
        return Err(corrupt("its id in keys.json is not its thumbprint"));
    }
    let private = match entry.state {
        KeyState::Retiring => None,
        KeyState::Next | KeyState::Active => {
            let bytes = private_files::read(&path)?
                .ok_or_else(|| KeysError::Missing { path: shown(&path) })?;
            let key =
                SigningKey::from_pkcs8(&bytes).map_err(|error| corrupt(&error.to_string()))?;
            if key.verifying_key() != public {
                return Err(corrupt("it is another key than keys.json says"));
            }
            Some(Arc::new(key))
        }
    };
    Ok(HeldKey {
        purpose: entry.purpose,
        kid: entry.kid.into(),
        state: entry.state,
        created: UnixMillis(entry.created_ms),
        activated: entry.activated_ms.map(UnixMillis),
        retires: entry.retires_ms.map(UnixMillis),
        public,
        private,
    })
}

fn private_path(directory: &Path, purpose: KeyPurpose, kid: &str) -> PathBuf {
    directory.join(format!("{}-{kid}.pk8", purpose.as_str()))
}

fn key_files(directory: &Path) -> Result<Vec<PathBuf>, KeysError> {
    let fault = |source| {
        KeysError::File(private_files::PrivateFileError::Io {
            action: "list",
            path: shown(directory),
            source,
        })
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if name.ends_with(".pk8") || name.ends_with(".pk8.tmp") {
            files.push(path);
        }
    }
    Ok(files)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
