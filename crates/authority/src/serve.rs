//! Start and stop: from a configuration to a running Authority.

mod start;
mod tls;
mod upkeep;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::ServiceExt as _;
use axum::extract::ConnectInfo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::authority::Authority;
use crate::config::Config;
use crate::feed::keep_beating;
use crate::routes::{self, Guarded};

pub use start::StartError;
pub(crate) use tls::TlsPeer;

/// A started Authority whose listeners are bound.
pub struct Server {
    authority: Arc<Authority>,
    public: TcpListener,
    management: TcpListener,
    banner: Option<String>,
}

impl Server {
    /// Opens the data directory, restores what is recorded, and binds the listeners.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do. Nothing is served then.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let public = bind(config.listen).await?;
        if config.dev && config.listen.port() == 0 {
            // Port 0 means any free port: the issuer is named after the one that was given.
            config.relocate(public.local_addr()?);
        }
        let management = bind(config.management_listen).await?;
        let (authority, banner) = start::start(config).await?;
        Ok(Self { authority: Arc::new(authority), public, management, banner })
    }

    /// The public listener's address.
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

    /// What must be said, loudly, before anything is served; none outside development.
    pub fn banner(&self) -> Option<&str> {
        self.banner.as_deref()
    }

    /// The ledger's verifier key, in C2SP text form.
    pub fn ledger_key(&self) -> String {
        self.authority.ledger.verifier_key().to_string()
    }

    /// Serves until `shutdown` resolves, then lets requests in flight finish.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let (stop, stopped) = watch::channel(false);
        let upkeep = upkeep::spawn(self.authority.clone(), stopped.clone());
        let feed = Arc::clone(&self.authority.feed);
        let beating = tokio::spawn(keep_beating(Arc::clone(&feed), stopped.clone()));
        let management = axum::serve(self.management, routes::management_router(&self.authority))
            .with_graceful_shutdown(until(stopped.clone()));
        let management = tokio::spawn(management.into_future());
        let service = routes::service(&self.authority);
        let public = serve_public(&self.authority, self.public, service, stopped)?;
        tokio::pin!(public);
        tokio::select! {
            () = shutdown => {
                let _ = stop.send(true);
                // A reading of the feed never ends by itself.
                feed.close();
                public.await?;
            }
            ended = &mut public => {
                let _ = stop.send(true);
                ended?;
            }
        }
        let _ = management.await;
        let _ = upkeep.await;
        let _ = beating.await;
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Bind { address, source })
}

pub(crate) async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

type Serving = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

fn serve_public(
    authority: &Authority,
    listener: TcpListener,
    service: Guarded,
    stopped: watch::Receiver<bool>,
) -> Result<Serving, StartError> {
    match &authority.config.tls {
        None => {
            let listener = NoDelay(listener);
            let serve = axum::serve(listener, service.into_make_service())
                .with_graceful_shutdown(until(stopped));
            Ok(Box::pin(serve.into_future()))
        }
        Some(config) => {
            let listener = tls::TlsListener::new(listener, config)?;
            let service = service.into_make_service_with_connect_info::<TlsPeer>();
            let serve = axum::serve(listener, service).with_graceful_shutdown(until(stopped));
            Ok(Box::pin(serve.into_future()))
        }
    }
}

/// A TCP listener whose connections answer at once.
struct NoDelay(TcpListener);

impl axum::serve::Listener for NoDelay {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true);
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// The certificate of the connection that a request came over, if there is one.
pub(crate) fn peer_of(extensions: &axum::http::Extensions) -> Option<bailiwick_identity::X509Peer> {
    extensions.get::<ConnectInfo<TlsPeer>>().and_then(|info| info.0.0.clone())
}
