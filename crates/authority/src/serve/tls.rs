//! The public listener over TLS, with X.509-SVIDs of pinned trust domains as client certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use bailiwick_core::time::UnixMillis;
use bailiwick_identity::{SpiffeClientVerifier, TrustBundles, X509Peer, server_tls, session_peer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use super::start::StartError;
use crate::clock::Clock;
use crate::config::TlsConfig;

/// A handshake that takes longer is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way at once.
const HANDSHAKES_MAX: usize = 256;

/// The verified certificate of a connection, if it came with one.
#[derive(Clone, Debug)]
pub(crate) struct TlsPeer(pub(crate) Option<X509Peer>);

/// Accepts TLS connections; handshakes do not hold each other up.
pub(super) struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
}

type Connection = PeerStream;

impl TlsListener {
    pub(super) fn new(listener: TcpListener, config: &TlsConfig) -> Result<Self, StartError> {
        let (server, verifier) = server_config(config)?;
        let address = listener.local_addr()?;
        let (ready, connections) = mpsc::channel(HANDSHAKES_MAX);
        tokio::spawn(accept(listener, TlsAcceptor::from(server), verifier, ready));
        Ok(Self { address, ready: connections })
    }
}

async fn accept(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    verifier: Arc<SpiffeClientVerifier>,
    ready: mpsc::Sender<(Connection, SocketAddr)>,
) {
    let slots = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
    loop {
        let (stream, address) = Listener::accept(&mut listener).await;
        let _ = stream.set_nodelay(true);
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (acceptor, verifier, ready) = (acceptor.clone(), verifier.clone(), ready.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let peer = peer(&stream, &verifier);
                    let _ = ready.send((PeerStream { stream, peer }, address)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, %address, "TLS handshake refused"),
                Err(_) => tracing::debug!(%address, "TLS handshake timed out"),
            }
            drop(slot);
        });
    }
}

fn peer(stream: &TlsStream<TcpStream>, verifier: &SpiffeClientVerifier) -> Option<X509Peer> {
    let (_, session) = stream.get_ref();
    session_peer(session, verifier, Clock::system(UnixMillis(0)).now())
}

impl Listener for TlsListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for TlsPeer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(stream.io().peer.clone())
    }
}

/// A TLS stream that knows its peer.
pub(super) struct PeerStream {
    stream: TlsStream<TcpStream>,
    peer: Option<X509Peer>,
}

impl tokio::io::AsyncRead for PeerStream {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl tokio::io::AsyncWrite for PeerStream {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn server_config(
    config: &TlsConfig,
) -> Result<(Arc<ServerConfig>, Arc<SpiffeClientVerifier>), StartError> {
    let bad = |what: String| StartError::Tls(what);
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|source| StartError::File { path: path.display().to_string(), source })
    };
    let mut bundles = TrustBundles::default();
    for domain in &config.client_trust_domains {
        let name = domain
            .name
            .parse()
            .map_err(|_| bad(format!("{} is not a trust domain", domain.name)))?;
        bundles
            .insert_pem(&name, &read(&domain.bundle)?)
            .map_err(|error| bad(error.to_string()))?;
    }
    let (certificate, key) = (read(&config.cert)?, Zeroizing::new(read(&config.key)?));
    server_tls(&certificate, &key, bundles).map_err(|error| bad(error.to_string()))
}
