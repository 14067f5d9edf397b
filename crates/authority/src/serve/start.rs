//! Restore: the store, the keys, the policy, the registry, and what must never be accepted again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bailiwick_api::PolicySourceText as WireSource;
use bailiwick_core::cache::VerifiedCache;
use bailiwick_core::crypto::{self, Algorithm};
use bailiwick_identity::{Issuers, KeyClient, KeyClientOptions, NonceIssuer, ReplayGuard};
use bailiwick_policy::{Engine, PolicySet, PolicySource};

use crate::authority::Authority;
use crate::clock::Clock;
use crate::config::{Config, TokenAlgorithm};
use crate::dev::{self, DevDomain};
use crate::fault::Fault;
use crate::feed::closure::{self, Closures};
use crate::feed::points::{Points, PointsError};
use crate::feed::{Feed, Mourner};
use crate::keys::{KeysError, SigningKeys};
use crate::ledger_view::{LedgerError, LedgerView};
use crate::metrics::Metrics;
use crate::model::TaskState;
use crate::ops::agent_status::policy_status;
use crate::ops::{policies, rotate_keys};
use crate::registry::Registry;
use crate::store::{OpenError, PageRequest, SqliteOptions, SqliteStore, StoreError, StoreHandle};
use bailiwick_identity::private_files;

/// Verified tokens kept.
const VERIFIED_MAX: u64 = 200_000;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory is not one for this mode.
    #[error(transparent)]
    Mode(#[from] dev::ModeError),
    /// The development identities.
    #[error(transparent)]
    Dev(#[from] dev::DevError),
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The signing keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The issuers.
    #[error("an issuer cannot be used: {0}")]
    Issuers(#[from] bailiwick_identity::ConfigError),
    /// The policies do not load.
    #[error("the policies do not load:\n{0}")]
    Policies(#[from] bailiwick_policy::LoadErrors),
    /// A policy file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record cannot be read back.
    #[error("the record cannot be read: {0}")]
    Store(#[from] StoreError),
    /// A stored document is not one that this version reads.
    #[error("a stored registry document cannot be read by this version: {0}")]
    Registry(String),
    /// The ledger cannot be published.
    #[error("the ledger cannot be published: {0}")]
    Ledger(String),
    /// The certificate or key of the listener.
    #[error("the TLS listener cannot be set up: {0}")]
    Tls(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// Which enforcement points there were cannot be read.
    #[error("the enforcement points cannot be read: {0}")]
    Points(String),
    /// A record that has to be made at start could not be made.
    #[error("could not record the start: {0}")]
    Record(String),
    /// A listener failed.
    #[error("a listener failed: {0}")]
    Listener(#[from] std::io::Error),
}

impl From<LedgerError> for StartError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error.to_string())
    }
}

impl From<PointsError> for StartError {
    fn from(error: PointsError) -> Self {
        Self::Points(error.to_string())
    }
}

impl From<Fault> for StartError {
    fn from(fault: Fault) -> Self {
        Self::Record(fault.detail)
    }
}

pub(super) async fn start(config: Config) -> Result<(Authority, Option<String>), StartError> {
    dev::claim_data_dir(&config.data_dir, config.dev)?;
    let domain = if config.dev { Some(Arc::new(DevDomain::open(&config)?)) } else { None };
    let store = SqliteStore::open(&config.data_dir.join("store"), &SqliteOptions::default())?;
    let store = StoreHandle::new(store);
    let clock = Clock::system(store.time_high_water());
    let now = clock.now();
    let algorithm = match config.tokens.alg {
        TokenAlgorithm::Es256 => Algorithm::Es256,
        TokenAlgorithm::EdDsa => Algorithm::EdDsa,
    };
    let keys = SigningKeys::open(&config.data_dir, &config.issuer, algorithm, now)?;
    let mut issuers = config.issuer_configs();
    issuers.extend(domain.iter().flat_map(|domain| domain.issuer_configs()));
    let issuers = Issuers::new(issuers, KeyClient::new(&KeyClientOptions::default())?)?;
    let (set, sources) = policy_in_force(&config, &store).await?;
    let registry = restore_registry(&store).await?;
    let ledger = LedgerView::new(
        store.clone(),
        &config.ledger.origin,
        keys.ledger_signer()?,
        &config.data_dir,
    )?;
    write_verifier_key(&config.data_dir, &ledger)?;
    let banner = domain.as_ref().map(|domain| domain.banner());
    let mut nonce_key = [0; 32];
    crypto::fill_random(&mut nonce_key).map_err(|_| StartError::Random)?;
    let points = Points::open(&config.data_dir, now)?;
    let feed = Feed::new(&config.issuer, clock.clone(), points);
    let authority = Authority {
        clock,
        issuers,
        nonces: NonceIssuer::new(nonce_key),
        replay: ReplayGuard::new(config.limits.proofs_remembered_max),
        policy: Engine::new(set),
        keys,
        registry: ArcSwap::from_pointee(registry),
        changes: tokio::sync::Mutex::new(()),
        revoked: Arc::default(),
        feed: Arc::new(feed),
        closures: Closures::default(),
        verified: VerifiedCache::new(VERIFIED_MAX),
        chains: Authority::chain_cache(),
        ledger,
        metrics: Metrics::new(env!("CARGO_PKG_VERSION")),
        noise: crate::authority::Noise::default(),
        shown: crate::shown::Shown::default(),
        in_flight: Arc::new(tokio::sync::Semaphore::new(config.limits.requests_in_flight_max)),
        dev: domain,
        store,
        config,
    };
    restore_memory(&authority).await?;
    record_start(&authority, sources).await?;
    authority.ledger.advance().await?;
    Ok((authority, banner))
}

/// What must never be accepted again, whatever this process forgot.
async fn restore_memory(authority: &Authority) -> Result<(), StartError> {
    let now = authority.clock.now();
    let proofs = authority.store.proofs_unexpired(now).await?;
    authority.replay.preload(proofs.into_iter().map(|row| (row.jti_hash, row.expires_ms)));
    let dead = authority.store.revoked_live(now).await?;
    authority.revoked.extend(dead.iter().map(|token| (token.jti, token.exp)));
    let mut tasks: Vec<_> = dead.iter().map(|token| token.task).collect();
    tasks.sort_unstable();
    tasks.dedup();
    for id in tasks {
        let ended = authority.store.task(id).await?.map(|task| task.state);
        let ended = ended.filter(|state| *state != TaskState::Open);
        authority.feed.remember_ended(ended.map(|state| (id, state)));
    }
    // From here on every death is told, before whoever causes it is.
    let (revoked, feed) = (Arc::clone(&authority.revoked), Arc::clone(&authority.feed));
    authority.store.watch(Arc::new(Mourner { revoked, feed }));
    closure::restore(authority, &dead).await.map_err(|stop| stop.into_fault().into())
}

async fn record_start(authority: &Authority, sources: Vec<WireSource>) -> Result<(), StartError> {
    rotate_keys::record_current(authority).await?;
    let hash = authority.policy.current().hash().to_owned();
    let recorded = authority.store.policy_latest().await?;
    if recorded.is_none_or(|record| record.hash != hash) {
        policies::record_set(authority, "configuration", sources, &hash)
            .await
            .map_err(|stop| StartError::from(stop.into_fault()))?;
    }
    Ok(())
}

/// The configured files, else the set that was last put in force, else the default pack.
async fn policy_in_force(
    config: &Config,
    store: &StoreHandle,
) -> Result<(PolicySet, Vec<WireSource>), StartError> {
    let sources = if config.policy.paths.is_empty() {
        match store.policy_latest().await? {
            Some(record) => record
                .sources
                .into_iter()
                .map(|source| PolicySource { name: source.name, text: source.text })
                .collect(),
            None => bailiwick_policy::default_sources(),
        }
    } else {
        read_policies(&config.policy.paths)?
    };
    let set = PolicySet::load(&sources)?;
    let sources = sources
        .into_iter()
        .map(|source| WireSource { name: source.name, text: source.text })
        .collect();
    Ok((set, sources))
}

fn read_policies(paths: &[PathBuf]) -> Result<Vec<PolicySource>, StartError> {
    let unreadable =
        |path: &Path, source| StartError::File { path: path.display().to_string(), source };
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, error))?;
            let cedar = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|ending| ending == "cedar"));
            files.extend(cedar);
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            Ok(PolicySource { name: path.display().to_string(), text })
        })
        .collect()
}

async fn restore_registry(store: &StoreHandle) -> Result<Registry, StartError> {
    let unreadable = |faults: Vec<crate::registry::RegistryError>| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        StartError::Registry(lines.join("; "))
    };
    let mut registry = Registry::default();
    let mut page = PageRequest::first(1_000);
    loop {
        let found = store.owners(page).await?;
        for record in &found.items {
            registry.restore_owner(&record.document, record.version).map_err(unreadable)?;
        }
        let Some(cursor) = found.next else { break };
        page = PageRequest { cursor: Some(cursor), limit: 1_000 };
    }
    page = PageRequest::first(1_000);
    loop {
        let found = store.agents(page).await?;
        for record in &found.items {
            let status = policy_status(record.status);
            registry.restore_agent(&record.document, record.version, status).map_err(unreadable)?;
        }
        let Some(cursor) = found.next else { break };
        page = PageRequest { cursor: Some(cursor), limit: 1_000 };
    }
    page = PageRequest::first(1_000);
    loop {
        let found = store.workflows(page).await?;
        for record in &found.items {
            registry.restore_workflow(&record.document, record.version).map_err(unreadable)?;
        }
        let Some(cursor) = found.next else { break };
        page = PageRequest { cursor: Some(cursor), limit: 1_000 };
    }
    Ok(registry)
}

/// The public half, where an operator finds it to hand it to auditors.
fn write_verifier_key(data_dir: &Path, ledger: &LedgerView) -> Result<(), StartError> {
    let path = data_dir.join("ledger.vkey");
    let text = format!("{}\n", ledger.verifier_key());
    private_files::write(&path, text.as_bytes())
        .map_err(|error| StartError::Ledger(error.to_string()))
}
