//! The link to the Authority: an authenticated client, and who this process is.
//!
//! The gateway shows a JWT-SVID. It is read from a file that a workload agent keeps fresh, or, in
//! development, minted by the Authority itself on loopback. Neither is ever logged.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_api::client::{BearerSource, CredentialError};
use bailiwick_api::{Client, ClientError, DevSvidRequest};
use bailiwick_core::crypto::fill_random;
use bailiwick_core::limits::TOKEN_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use url::Url;

use crate::clock::Stopwatch;
use crate::config::Config;

/// Life of a development SVID whose Authority does not say.
const DEV_LIFE: Duration = Duration::from_secs(60);

/// Why the link cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The Authority's address is no usable URL.
    #[error("the Authority's URL cannot be used: {0}")]
    Url(String),
    /// Plain HTTP, or minted identities, beyond this machine.
    #[error("{0}")]
    Exposed(&'static str),
    /// No identity, or two.
    #[error("give exactly one of `identity.svid_file` and `identity.dev_agent`")]
    Identity,
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// An authenticated client of the Authority. Shared by everything that asks it.
pub(crate) struct Link {
    issuer: String,
    instance: String,
    client: Client,
    bearer: BearerSource,
    minted: Option<Minted>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Link {
    /// Sets the link up; nothing is sent yet.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(crate) fn new(config: &Config) -> Result<Self, LinkError> {
        let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if installed.is_err() {
            tracing::trace!("a TLS provider was installed before; it stays");
        }
        let text = config.authority.url.as_deref().unwrap_or(&config.authority.issuer);
        let base: Url = text.parse().map_err(|error| LinkError::Url(format!("{error}")))?;
        if base.scheme() != "https" && !is_loopback(&base) {
            let what = "the Authority is reached over https, or over http on loopback";
            return Err(LinkError::Exposed(what));
        }
        let client = Client::new(base.clone())?;
        let (bearer, minted) = match (&config.identity.svid_file, &config.identity.dev_agent) {
            (Some(path), None) => (from_file(path.clone()), None),
            (None, Some(agent)) => {
                if !is_loopback(&base) {
                    let what = "`identity.dev_agent` is for a development Authority on loopback";
                    return Err(LinkError::Exposed(what));
                }
                let minted = Minted {
                    client: client.clone(),
                    spiffe_id: agent.to_string(),
                    held: Arc::default(),
                };
                (minted.source(), Some(minted))
            }
            _ => return Err(LinkError::Identity),
        };
        let mut instance = [0; 18];
        fill_random(&mut instance).map_err(|_| LinkError::Random)?;
        Ok(Self {
            issuer: config.authority.issuer.clone(),
            instance: URL_SAFE_NO_PAD.encode(instance),
            client: client.with_bearer(Arc::clone(&bearer)),
            bearer,
            minted,
        })
    }

    /// The client. Its bearer is this gateway's identity.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The Authority's name: `iss` of its tokens and of its feed.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Which process this is, among those with the same identity; fresh at every start.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Why there is no identity to show yet, and what to do.
    pub(crate) fn identity_fault(&self) -> Option<String> {
        let why = (self.bearer)().err()?;
        Some(format!("there is no identity yet: {why}; it is looked for again all the time"))
    }

    /// Sees to it that there is an identity to show. [`crate::feed::follow`] calls it all along, so
    /// that nobody else has to.
    ///
    /// # Errors
    /// The development Authority cannot be reached.
    pub(crate) async fn renew_identity(&self) -> Result<(), ClientError> {
        match &self.minted {
            Some(minted) => minted.renew().await,
            None => Ok(()),
        }
    }
}

/// An SVID that a development Authority mints.
struct Minted {
    client: Client,
    spiffe_id: String,
    held: Arc<Mutex<Option<Svid>>>,
}

#[derive(Clone)]
struct Svid {
    token: String,
    since: Stopwatch,
    life: Duration,
}

impl Minted {
    fn source(&self) -> BearerSource {
        let held = Arc::clone(&self.held);
        Arc::new(move || {
            let held = held.lock();
            let svid = held.as_ref().filter(|svid| svid.since.elapsed() < svid.life);
            svid.map(|svid| svid.token.clone())
                .ok_or_else(|| CredentialError("the Authority has minted no SVID yet".to_owned()))
        })
    }

    async fn renew(&self) -> Result<(), ClientError> {
        let fresh = |svid: &Svid| svid.since.elapsed() < svid.life / 2;
        if self.held.lock().as_ref().is_some_and(fresh) {
            return Ok(());
        }
        let since = Stopwatch::start();
        let ask = DevSvidRequest { spiffe_id: self.spiffe_id.clone(), audience: None };
        let answer = self.client.dev_svid(&ask).await?;
        let life = answer.expires_in.map_or(DEV_LIFE, Duration::from_secs);
        *self.held.lock() = Some(Svid { token: answer.token, since, life });
        Ok(())
    }
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    length: u64,
}

/// The SVID of a file, read again when the file changes.
fn from_file(path: PathBuf) -> BearerSource {
    let held: Mutex<Option<(Version, String)>> = Mutex::new(None);
    Arc::new(move || {
        let unusable = |what: &dyn std::fmt::Display| {
            CredentialError(format!("the SVID file {}: {what}", path.display()))
        };
        let found = fs::metadata(&path).map_err(|error| unusable(&error))?;
        let version = Version { modified: found.modified().ok(), length: found.len() };
        let mut held = held.lock();
        if let Some((seen, token)) = held.as_ref()
            && *seen == version
            && version.modified.is_some()
        {
            return Ok(token.clone());
        }
        let token = read_token(&path).map_err(|what| unusable(&what))?;
        *held = Some((version, token.clone()));
        Ok(token)
    })
}

/// One compact JWS and nothing else. What is wrong is told without what was read.
fn read_token(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let limit = u64::try_from(TOKEN_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let token = text.trim();
    let is_jws = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 || !token.bytes().all(is_jws) {
        return Err("it does not hold one JWT-SVID (compact JWS)".to_owned());
    }
    Ok(token.to_owned())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(authority: &str, identity: &str) -> Config {
        let text = format!("[authority]\nissuer = \"{authority}\"\n[identity]\n{identity}\n");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_svid_is_read_again_when_its_file_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("svid.jwt");
        let source = from_file(path.clone());
        assert!(source().is_err(), "there is no file yet");
        fs::write(&path, "aa.bb.cc\n").unwrap();
        assert_eq!(source().unwrap(), "aa.bb.cc");
        fs::write(&path, "aaa.bbb.ccc").unwrap();
        assert_eq!(source().unwrap(), "aaa.bbb.ccc");
        for bad in ["", "not a token", "a.b", "a.b.c d", "a.b.c\nx.y.z"] {
            fs::write(&path, bad).unwrap();
            let told = source().unwrap_err().to_string();
            assert!(bad.is_empty() || !told.contains(bad), "{told} tells what was read");
        }
    }

    #[test]
    fn identities_are_minted_on_this_machine_only() {
        let agent = "dev_agent = \"spiffe://dev.bailiwick.example/gateway/tools\"";
        assert!(Link::new(&config("http://127.0.0.1:1", agent)).is_ok());
        let refused = |authority, identity| Link::new(&config(authority, identity)).is_err();
        assert!(refused("https://authority.example", agent), "minting elsewhere");
        assert!(refused("http://authority.example", "svid_file = \"/x\""), "plain http elsewhere");
        assert!(refused("http://127.0.0.1:1", ""), "no identity");
        assert!(!refused("https://authority.example", "svid_file = \"/x\""));
    }
}
