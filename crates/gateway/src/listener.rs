//! Accepts connections: TLS or not, HTTP/1.1 or HTTP/2, and drains them at the end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::{SpiffeClientVerifier, TrustBundles, X509Peer, server_tls, session_peer};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::LazyConfigAcceptor;
use zeroize::Zeroizing;

use crate::config::TlsConfig;
use crate::gateway::Gateway;
use crate::proxy::handle;
use crate::stall::Taken;
use crate::start::StartError;

/// Connections at once.
const CONNECTIONS_MAX: usize = 16 * 1024;
/// Bytes of a request's head: a chain of 64 KiB, a token, a proof, and room.
const HEAD_BYTES_MAX: usize = 160 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// TLS of a listener.
pub(crate) struct Tls {
    server: Arc<ServerConfig>,
    verifier: Arc<SpiffeClientVerifier>,
}

impl Tls {
    /// Everything that is wrong with the files.
    pub(crate) fn faults(config: &TlsConfig) -> Vec<String> {
        let domains = config.client_trust_domains.iter().map(|it| ("bundle", &it.bundle));
        let files = [("cert", &config.cert), ("key", &config.key)].into_iter().chain(domains);
        let unread = files.filter_map(|(key, path)| {
            let error = std::fs::File::open(path).err()?;
            Some(format!("[tls] `{key}` {}: {error}", path.display()))
        });
        let mut faults: Vec<String> = unread.collect();
        if faults.is_empty() {
            faults.extend(Self::load(config).err().map(|error| error.to_string()));
        }
        faults
    }

    pub(crate) fn load(config: &TlsConfig) -> Result<Self, StartError> {
        let read = |path: &std::path::Path| {
            std::fs::read(path)
                .map_err(|source| StartError::File { path: path.display().to_string(), source })
        };
        let mut bundles = TrustBundles::default();
        for domain in &config.client_trust_domains {
            let name = domain
                .name
                .parse()
                .map_err(|_| StartError::Tls(format!("{} is not a trust domain", domain.name)))?;
            bundles
                .insert_pem(&name, &read(&domain.bundle)?)
                .map_err(|error| StartError::Tls(error.to_string()))?;
        }
        let (certificate, key) = (read(&config.cert)?, Zeroizing::new(read(&config.key)?));
        let (server, verifier) = server_tls(&certificate, &key, bundles)
            .map_err(|error| StartError::Tls(error.to_string()))?;
        Ok(Self { server, verifier })
    }
}

/// Serves until `shutdown` resolves, then lets requests in flight finish within the drain time.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()>,
) {
    let tls = tls.map(Arc::new);
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let limits = &gateway.config.limits;
    let handshakes = Arc::new(Semaphore::new(limits.handshakes_max.min(Semaphore::MAX_PERMITS)));
    let taken = Duration::from_millis(limits.write_timeout_ms);
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file descriptors, most likely: a moment's rest instead of a busy loop.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let _ = stream.set_nodelay(true);
        let stream = Taken::new(stream, taken);
        let (gateway, watcher) = (Arc::clone(&gateway), graceful.watcher());
        let (tls, handshakes) = (tls.clone(), Arc::clone(&handshakes));
        tokio::spawn(async move {
            let _place = place;
            match tls {
                None => connection(gateway, stream, None, watcher).await,
                Some(tls) => match handshake(&gateway, &tls, &handshakes, stream).await {
                    Some((stream, peer)) => connection(gateway, stream, peer, watcher).await,
                    None => tracing::debug!(%address, "TLS handshake refused"),
                },
            }
        });
    }
    drop(listener);
    let drain = Duration::from_millis(gateway.config.limits.drain_timeout_ms);
    let ended = async {
        graceful.shutdown().await;
        gateway.tunnels.ended().await;
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("requests were cut: they did not end within the drain time");
        gateway.tunnels.cut().await;
    }
}

type TlsStream = tokio_rustls::server::TlsStream<Taken<TcpStream>>;

async fn handshake(
    gateway: &Gateway,
    tls: &Tls,
    handshakes: &Semaphore,
    stream: Taken<TcpStream>,
) -> Option<(TlsStream, Option<Arc<X509Peer>>)> {
    let begun = async {
        // Whoever connects and says nothing takes no slot from those who do.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
        let _slot = handshakes.acquire().await.ok()?;
        hello.into_stream(Arc::clone(&tls.server)).await.ok()
    };
    let limit = Duration::from_millis(gateway.config.limits.handshake_timeout_ms);
    let stream = tokio::time::timeout(limit, begun).await.ok()??;
    let now = gateway.clock.now();
    let peer = session_peer(stream.get_ref().1, &tls.verifier, now).map(Arc::new);
    Some((stream, peer))
}

async fn connection<S>(
    gateway: Arc<Gateway>,
    stream: S,
    peer: Option<Arc<X509Peer>>,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let headers = Duration::from_millis(gateway.config.limits.header_timeout_ms);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(headers)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    let asked = Arc::new(Notify::new());
    let first = Arc::clone(&asked);
    let service = service_fn(move |request| {
        first.notify_one();
        let (gateway, peer) = (Arc::clone(&gateway), peer.clone());
        async move { Ok::<_, Infallible>(handle(gateway, peer, request).await) }
    });
    let serving =
        watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::pin!(serving);
    // hyper bounds the head of HTTP/1 requests, but not the wait for the first byte, nor that for the
    // first request of HTTP/2: connections that ask nothing would take every place.
    let served = tokio::select! {
        served = &mut serving => served,
        begun = tokio::time::timeout(headers, asked.notified()) => match begun {
            Ok(()) => serving.await,
            Err(_) => {
                tracing::debug!("a connection that asked nothing was closed");
                return;
            }
        },
    };
    if let Err(error) = served {
        tracing::debug!(error = %error, "a connection ended early");
    }
}
