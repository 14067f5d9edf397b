//! Where a vendor's secret comes from: a file that only this user may read, an environment variable,
//! or a command. Never the configuration itself.
//!
//! A secret is wiped from memory when the last user lets go of it. It has no text form: what is
//! printed of it is `[REDACTED]`, and what goes wrong is told without it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_core::time::UnixMillis;
use bailiwick_identity::private_files;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::command::{self, Command};
use super::fresh::Fresh;

/// Longest secret, in bytes.
pub(super) const SECRET_BYTES_MAX: usize = 64 * 1024;
/// How long what a command said is good for when nobody says.
const TTL_SECONDS: u64 = 300;
const TIMEOUT_MS: u64 = 10_000;

/// Why there is no usable credential. The text is for the gateway's operator; it never holds what
/// was read, and no agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConnectorFault(pub(super) String);

/// A secret.
#[derive(Clone)]
pub(crate) struct Secret(SecretString);

impl Secret {
    /// Takes a secret as it was read: the end of its last line is no part of it.
    fn read(text: &str) -> Result<Self, ConnectorFault> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(ConnectorFault("the secret is empty".to_owned()));
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(ConnectorFault("the secret is too long to be one".to_owned()));
        }
        Ok(Self::new(text))
    }

    pub(super) fn new(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether this is what somebody shows, in a time that does not tell how much of it is.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(shown).into()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The string's own buffer becomes the secret's.
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Where a secret comes from. Exactly one of `file`, `env` and `command` is given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretConfig {
    /// A file of mode 0600 or less that belongs to the gateway's user; read again when it changes.
    pub file: Option<PathBuf>,
    /// An environment variable of the gateway.
    pub env: Option<String>,
    /// A program (its full path) and its arguments; what it prints is the secret. No shell.
    pub command: Option<Vec<String>>,
    /// Environment variables that the command gets besides `PATH` and `HOME`.
    pub pass_env: Vec<String>,
    /// How long what the command printed is good for, in seconds. By default 300.
    pub ttl_seconds: Option<u64>,
    /// How long the command may take, in milliseconds. By default 10 000.
    pub timeout_ms: Option<u64>,
}

impl SecretConfig {
    /// Makes the path of the file absolute.
    pub(crate) fn resolve(&mut self, base: &Path) {
        if let Some(path) = &mut self.file
            && path.is_relative()
        {
            *path = base.join(&path);
        }
    }
}

/// A source of a secret, ready to be asked.
pub(crate) enum SecretSource {
    File { path: PathBuf, held: Mutex<Option<(Version, Secret)>> },
    Env(Secret),
    Command { command: Arc<Command>, ttl: Duration, held: Arc<Fresh<Secret>> },
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "SecretSource({})", path.display()),
            Self::Env(_) => f.write_str("SecretSource(environment)"),
            Self::Command { command, .. } => write!(f, "SecretSource({command:?})"),
        }
    }
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Self {
            inode: found.ino(),
            length: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl SecretSource {
    /// Compiles a source. A file and a variable are looked at now, so that a gateway which could not
    /// serve a route does not start; a command is run when it is first needed.
    pub(super) fn compile(name: &str, config: &SecretConfig) -> Result<Self, String> {
        Self::compile_for(&format!("connector `{name}`"), config)
    }

    /// Compiles the source of a secret that is no connector's; `what` names it in faults.
    pub(crate) fn compile_for(what: &str, config: &SecretConfig) -> Result<Self, String> {
        let named = |fault: &dyn std::fmt::Display| format!("{what}: {fault}");
        match (&config.file, &config.env, &config.command) {
            (Some(path), None, None) => {
                let source = Self::File { path: path.clone(), held: Mutex::new(None) };
                source.read_file().map_err(|fault| named(&fault))?;
                Ok(source)
            }
            (None, Some(variable), None) => {
                let text = std::env::var(variable).map_err(|_| {
                    named(&format!("the environment has no usable variable `{variable}`"))
                })?;
                Ok(Self::Env(Secret::read(&text).map_err(|fault| named(&fault))?))
            }
            (None, None, Some(argv)) => {
                let timeout = Duration::from_millis(config.timeout_ms.unwrap_or(TIMEOUT_MS));
                let command = Command::compile(argv, &config.pass_env, timeout);
                let command = Arc::new(command.map_err(|fault| named(&fault))?);
                let ttl = Duration::from_secs(config.ttl_seconds.unwrap_or(TTL_SECONDS));
                Ok(Self::Command { command, ttl, held: Arc::default() })
            }
            _ => Err(named(
                &"give exactly one of `file`, `env` and `command`: a secret has no place in the \
                  configuration itself",
            )),
        }
    }

    /// The secret as it is now.
    pub(crate) async fn get(&self, now: UnixMillis) -> Result<Secret, ConnectorFault> {
        match self {
            Self::File { .. } => self.read_file(),
            Self::Env(secret) => Ok(secret.clone()),
            Self::Command { command, ttl, held } => {
                let (command, ttl) = (Arc::clone(command), *ttl);
                let fetch = || async move {
                    let printed = command::run(&command).await?;
                    let until = now.0.saturating_add(millis(ttl));
                    Ok((Secret::read(&printed)?, UnixMillis(until)))
                };
                held.get(now, fetch).await.map(|secret| Secret::clone(&secret))
            }
        }
    }

    /// The vendor did not take it: what a command printed is asked for anew.
    pub(super) fn rejected(&self, now: UnixMillis) {
        if let Self::Command { held, .. } = self {
            held.rejected(now);
        }
    }

    fn read_file(&self) -> Result<Secret, ConnectorFault> {
        let Self::File { path, held } = self else {
            return Err(ConnectorFault("not a file".to_owned()));
        };
        let unusable = |fault: &dyn std::fmt::Display| ConnectorFault(fault.to_string());
        let version = Version::of(path)
            .map_err(|error| unusable(&format!("cannot look at {}: {error}", path.display())))?;
        let mut held = held.lock();
        if let Some((seen, secret)) = held.as_ref()
            && *seen == version
        {
            return Ok(secret.clone());
        }
        *held = None;
        let bytes = private_files::read(path).map_err(|error| unusable(&error))?;
        let bytes = bytes.ok_or_else(|| unusable(&format!("there is no {}", path.display())))?;
        let told =
            |fault: &dyn std::fmt::Display| unusable(&format!("{}: {fault}", path.display()));
        let text = std::str::from_utf8(&bytes).map_err(|_| told(&"the secret is not UTF-8"))?;
        let secret = Secret::read(text).map_err(|fault| told(&fault))?;
        *held = Some((version, secret.clone()));
        Ok(secret)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn file(path: &Path) -> SecretConfig {
        SecretConfig { file: Some(path.to_owned()), ..SecretConfig::default() }
    }

    fn command(argv: &[&str]) -> SecretConfig {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        SecretConfig { command: Some(argv), ..SecretConfig::default() }
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changes_and_refused_when_others_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        private_files::write(&path, b"s3cret-one\n").unwrap();
        let source = SecretSource::compile("key", &file(&path)).unwrap();
        assert_eq!(source.get(NOW).await.unwrap().expose(), "s3cret-one");
        private_files::write(&path, b"s3cret-two").unwrap();
        assert_eq!(source.get(NOW).await.unwrap().expose(), "s3cret-two");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let told = source.get(NOW).await.unwrap_err().to_string();
        assert!(told.contains("chmod 0600") && !told.contains("s3cret"), "{told}");
        assert!(SecretSource::compile("key", &file(&path)).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(source.get(NOW).await.unwrap().expose(), "s3cret-two");
        private_files::remove(&path).unwrap();
        assert!(source.get(NOW).await.is_err(), "what is gone is not used from memory");
    }

    #[tokio::test]
    async fn a_command_is_run_again_when_its_word_is_over_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let count = directory.path().join("count");
        let script = "echo x >> \"$0\"; echo key-$(wc -l < \"$0\")";
        let argv = ["/bin/sh", "-c", script, count.to_str().unwrap()];
        let config = SecretConfig { ttl_seconds: Some(60), ..command(&argv) };
        let source = SecretSource::compile("key", &config).unwrap();
        let at = |seconds: u64| UnixMillis(NOW.0 + seconds * 1000);
        assert_eq!(source.get(at(0)).await.unwrap().expose(), "key-1");
        assert_eq!(source.get(at(59)).await.unwrap().expose(), "key-1");
        assert_eq!(source.get(at(60)).await.unwrap().expose(), "key-2");
        source.rejected(at(70));
        assert_eq!(source.get(at(70)).await.unwrap().expose(), "key-3");
        source.rejected(at(71));
        assert_eq!(source.get(at(71)).await.unwrap().expose(), "key-3", "it was just asked for");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_without_the_secret() {
        let empty = SecretSource::compile("key", &command(&["/bin/true"])).unwrap();
        assert_eq!(empty.get(NOW).await.unwrap_err().to_string(), "the secret is empty");
        let argv = ["/bin/sh", "-c", "echo hunter2; echo hunter2 >&2; exit 3"];
        let failing = SecretSource::compile("key", &command(&argv)).unwrap();
        let told = failing.get(NOW).await.unwrap_err().to_string();
        assert!(told.contains("status: 3") && !told.contains("hunter2"), "{told}");
        let held = Secret::new("hunter2");
        assert_eq!(format!("{held:?}"), "[REDACTED]");
        let shown = format!("{:?}", SecretSource::Env(held));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn exactly_one_source_is_named() {
        let none = SecretSource::compile("key", &SecretConfig::default()).unwrap_err();
        assert!(none.contains("exactly one of"), "{none}");
        let two = SecretConfig { env: Some("HOME".to_owned()), ..command(&["/bin/true"]) };
        assert!(SecretSource::compile("key", &two).is_err());
        let one = SecretConfig { env: Some("HOME".to_owned()), ..SecretConfig::default() };
        assert!(SecretSource::compile("key", &one).is_ok());
        let unset = SecretConfig { env: Some("NO_SUCH".to_owned()), ..SecretConfig::default() };
        assert!(SecretSource::compile("key", &unset).is_err());
        let literal: Result<SecretConfig, _> = toml::from_str("value = \"hunter2\"");
        assert!(literal.is_err());
    }
}
