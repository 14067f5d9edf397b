//! Start and stop: from a configuration to a running gateway.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick_core::cache::VerifiedCache;
use bailiwick_core::crypto;
use bailiwick_core::time::UnixMillis;
use bailiwick_identity::{NonceIssuer, ReplayGuard};
use tokio::net::TcpListener;

use crate::approvals::Approvals;
use crate::budget::Budgets;
use crate::carry::Carrier;
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::link::Link;
use crate::listener::{self, Tls};
use crate::metrics::Metrics;
use crate::offline::Settled;
use crate::reads::Reads;
use crate::refusals::Refusals;
use crate::route::Routes;
use crate::spool::Spool;
use crate::standing::Standing;
use crate::tunnel::Tunnels;
use crate::upstream::Upstreams;
use crate::{downstreams, ext_authz, feed, management, refusals, ship};

/// Verified tokens kept.
const VERIFIED_MAX: u64 = 200_000;

/// Why the gateway does not start.
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
    /// A route cannot be compiled.
    #[error("the routes are refused:{}", .0.iter().map(|fault| format!("\n  {fault}")).collect::<String>())]
    Routes(Vec<String>),
    /// Something of the configuration cannot work.
    #[error("the configuration is refused:{}", .0.iter().map(|fault| format!("\n  {fault}")).collect::<String>())]
    Refused(Vec<String>),
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate or key of the listener.
    #[error("the TLS listener cannot be set up: {0}")]
    Tls(String),
    /// The spool cannot be opened.
    #[error("the spool cannot be opened: {0}")]
    Spool(String),
    /// The link to the Authority cannot be set up.
    #[error("the link to the Authority cannot be set up: {0}")]
    Link(String),
    /// The provenance key cannot be used.
    #[error("the provenance key cannot be used: {0}")]
    Carry(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl Config {
    /// Compiles what can be compiled without starting.
    ///
    /// # Errors
    /// [`StartError`] says all that is wrong and what to do.
    pub fn check(&self) -> Result<(), StartError> {
        let faults = self.start_faults();
        if faults.is_empty() { Ok(()) } else { Err(StartError::Refused(faults)) }
    }

    /// Everything that would keep this gateway from starting, and is seen without starting.
    pub(crate) fn start_faults(&self) -> Vec<String> {
        let mut faults = Routes::compile(self).err().unwrap_or_default();
        faults.extend(self.tls.as_ref().map(Tls::faults).unwrap_or_default());
        faults.extend(ext_authz::key(self).err());
        faults.extend(Carrier::faults(self));
        let mut state = self.state_dir.ancestors().filter(|path| !path.as_os_str().is_empty());
        if state.find(|path| path.exists()).is_some_and(|path| !path.is_dir()) {
            let path = self.state_dir.display();
            faults.push(format!("`state_dir` {path}: there is a file where a directory has to be"));
        }
        faults
    }
}

/// A started gateway whose listeners are bound.
pub struct Server {
    gateway: Arc<Gateway>,
    link: Arc<Link>,
    tls: Option<Tls>,
    public: TcpListener,
    management: TcpListener,
    ext_authz: Option<(TcpListener, ext_authz::Key)>,
}

impl Server {
    /// Opens the spool, compiles the routes and binds the listeners.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do. Nothing is served then.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let public = bind(config.listen).await?;
        let management = bind(config.management_listen).await?;
        let ext_authz = match &config.ext_authz {
            Some(entry) => {
                let key = ext_authz::key(&config);
                let key = key.map_err(|fault| StartError::Routes(vec![fault]))?;
                Some((bind(entry.listen).await?, key))
            }
            None => None,
        };
        let address = local(&public)?;
        if config.listen.port() == 0 {
            // Port 0 means any free port: a URL that was named after it follows.
            config.relocate(address);
        }
        let routes = Routes::compile(&config).map_err(StartError::Routes)?;
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let clock = Clock::system(UnixMillis(0));
        let now = clock.now();
        std::fs::create_dir_all(&config.state_dir).map_err(|source| StartError::File {
            path: config.state_dir.display().to_string(),
            source,
        })?;
        let (spool, recovered) = Spool::open(&config.state_dir.join("spool"), &config.spool, now)
            .map_err(|error| StartError::Spool(error.to_string()))?;
        let link = Link::new(&config).map_err(|error| StartError::Link(error.to_string()))?;
        let link = Arc::new(link);
        let standing = Standing::new(Arc::clone(&link), config.staleness.clone(), clock.clone());
        let carry = Carrier::open(&config, clock.clone())
            .map_err(|error| StartError::Carry(error.to_string()))?;
        let replay = ReplayGuard::new(config.limits.proofs_remembered_max);
        replay.preload(recovered.proofs.iter().copied());
        let upstream = Upstreams::public().map_err(StartError::Routes)?;
        let mut nonce_key = [0; 32];
        crypto::fill_random(&mut nonce_key).map_err(|_| StartError::Random)?;
        let gateway = Gateway {
            routes,
            standing: Arc::new(standing),
            verified: VerifiedCache::new(VERIFIED_MAX),
            nonces: NonceIssuer::new(nonce_key),
            replay,
            budgets: Budgets::new(Arc::clone(&link), &recovered),
            reads: Reads::new(Arc::clone(&link)),
            approvals: Approvals::new(Arc::clone(&link)),
            carry,
            settled: Settled::default(),
            metrics: Metrics::new(env!("CARGO_PKG_VERSION")),
            refusals: Refusals::new(config.limits.refusals_per_second_max),
            upstream,
            tunnels: Tunnels::default(),
            in_flight: Arc::new(tokio::sync::Semaphore::new(config.limits.requests_in_flight_max)),
            spool,
            clock,
            config,
        };
        Ok(Self { gateway: Arc::new(gateway), link, tls, public, management, ext_authz })
    }

    /// The listener that agents call.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The management listener's address.
    ///
    /// # Errors
    /// What the system says.
    pub fn management_address(&self) -> std::io::Result<SocketAddr> {
        self.management.local_addr()
    }

    /// Serves until `shutdown` resolves, then drains.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { gateway, link, tls, public, management, ext_authz } = self;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let feed = tokio::spawn(feed::follow(Arc::clone(&link), Arc::clone(&gateway.standing)));
        let ship = tokio::spawn(ship::run(Arc::clone(&link), gateway.spool.clone()));
        let manage = tokio::spawn(management::serve(Arc::clone(&gateway), management));
        let counts = tokio::spawn(refusals::run(Arc::clone(&gateway)));
        let declare = tokio::spawn(downstreams::run(Arc::clone(&link), Arc::clone(&gateway)));
        let envoy = ext_authz.map(|(listener, key)| {
            let mut stopped = stopped.clone();
            let asked = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            tokio::spawn(ext_authz::serve(Arc::clone(&gateway), listener, key, asked))
        });
        let shutdown = async {
            shutdown.await;
            let _ = stop.send(true);
        };
        listener::serve(Arc::clone(&gateway), public, tls, shutdown).await;
        // What is recorded goes out before the process does, if the Authority is there.
        let limit = std::time::Duration::from_millis(gateway.config.limits.drain_timeout_ms);
        let _ = tokio::time::timeout(limit, async {
            if let Some(envoy) = envoy {
                let _ = envoy.await;
            }
            refusals::flush(&gateway).await;
            ship::drain(&gateway.spool).await;
            gateway.budgets.drain().await;
        })
        .await;
        for task in [feed, ship, manage, declare, counts] {
            task.abort();
        }
        feed::leave(&link, &gateway.standing).await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Bind { address, source })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener
        .local_addr()
        .map_err(|source| StartError::File { path: "the listener".to_owned(), source })
}
