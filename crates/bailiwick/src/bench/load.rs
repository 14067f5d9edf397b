//! The load generator: prepared requests over kept-alive connections.

use crate::clock;
use crate::fault::Fault;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// The largest reply read.
const REPLY_BYTES_MAX: usize = 256 * 1024;
/// How many replies of a run are kept, from the first on.
const KEPT_MAX: usize = 200_000;

/// What a run measured.
pub(super) struct Run {
    pub(super) wall: Duration,
    /// Latencies, sorted.
    pub(super) latencies: Vec<Duration>,
}

/// Where requests go, and whether over TLS.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) address: &'a str,
    pub(super) tls: Option<&'a TlsConnector>,
}

impl<'a> From<&'a str> for Place<'a> {
    fn from(address: &'a str) -> Self {
        Self { address, tls: None }
    }
}

/// Sends every request once, from `callers` connections; any refusal ends the run.
pub(super) async fn run(
    place: impl Into<Place<'_>>,
    requests: Vec<Vec<u8>>,
    callers: u32,
) -> Result<Run, Fault> {
    let (run, _) = exchange(place.into(), requests, callers, false).await?;
    Ok(run)
}

/// The same, keeping the bodies of the replies, in no particular order.
pub(super) async fn run_keeping(
    address: &str,
    requests: Vec<Vec<u8>>,
    callers: u32,
) -> Result<Vec<Vec<u8>>, Fault> {
    let (_, bodies) = exchange(address.into(), requests, callers, true).await?;
    Ok(bodies)
}

type Outcome = Result<(Vec<Duration>, Vec<Vec<u8>>), Fault>;

async fn exchange(
    place: Place<'_>,
    requests: Vec<Vec<u8>>,
    callers: u32,
    keep: bool,
) -> Result<(Run, Vec<Vec<u8>>), Fault> {
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..callers {
        connections.push(Connection::open(place).await?);
    }
    let started = clock::stopwatch();
    let mut running: JoinSet<Outcome> = JoinSet::new();
    for mut connection in connections {
        let (requests, next) = (requests.clone(), next.clone());
        running.spawn(async move {
            let (mut latencies, mut bodies) = (Vec::new(), Vec::new());
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = clock::stopwatch();
                let body = connection.ask(request).await?;
                latencies.push(asked.elapsed());
                if keep && bodies.len() < KEPT_MAX {
                    bodies.push(body.to_vec());
                }
            }
            Ok((latencies, bodies))
        });
    }
    let (mut latencies, mut bodies) = (Vec::new(), Vec::new());
    while let Some(done) = running.join_next().await {
        let done = done.map_err(|error| Fault::local(format!("a caller broke off: {error}")))?;
        let (some, more) = done?;
        latencies.extend(some);
        bodies.extend(more);
    }
    let wall = started.elapsed();
    latencies.sort_unstable();
    Ok((Run { wall, latencies }, bodies))
}

/// A whole reply.
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) head: &'a str,
    pub(super) body: &'a [u8],
}

impl Reply<'_> {
    /// A header of the reply, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find_map(|(own, value)| own.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    /// What it says, for a fault.
    pub(super) fn text(&self) -> String {
        let said: String = String::from_utf8_lossy(self.body).chars().take(600).collect();
        format!("{}\n{said}", self.head.lines().next().unwrap_or_default())
    }
}

/// A socket, or TLS over one.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One HTTP/1.1 connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(place: impl Into<Place<'_>>) -> Result<Self, Fault> {
        let Place { address, tls } = place.into();
        let broken = |error| Fault::remote(format!("{address}: {error}"));
        let stream = TcpStream::connect(address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = stream.peer_addr().map_err(broken)?.ip().into();
                Box::new(tls.connect(name, stream).await.map_err(broken)?)
            }
        };
        Ok(Self { stream, buffer: Vec::with_capacity(8 * 1024) })
    }

    /// Sends a request and returns the body of its reply, which must be 200.
    async fn ask(&mut self, request: &[u8]) -> Result<&[u8], Fault> {
        let reply = self.call(request).await?;
        if reply.status == 200 {
            return Ok(reply.body);
        }
        Err(Fault::remote(format!("a request was refused:\n{}", reply.text())))
    }

    /// Sends a request and reads its whole reply.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<Reply<'_>, Fault> {
        let broken = |error| Fault::remote(format!("the connection broke: {error}"));
        self.stream.write_all(request).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)?;
        self.buffer.clear();
        let (start, end) = loop {
            if let Some(span) = body_span(&self.buffer)? {
                break span;
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(broken)? == 0 {
                return Err(Fault::remote("the server closed the connection"));
            }
        };
        let head = self.buffer.get(..start).and_then(|head| std::str::from_utf8(head).ok());
        let head = head.ok_or_else(|| Fault::remote("a reply's head is not text"))?;
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| Fault::remote("a reply without status"))?;
        Ok(Reply { status, head, body: self.buffer.get(start..end).unwrap_or_default() })
    }
}

/// Where the body is, once all of it has arrived.
fn body_span(reply: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let Some(head) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if reply.len() > REPLY_BYTES_MAX { Err(too_large()) } else { Ok(None) };
    };
    let start = head.saturating_add(4);
    let length = reply
        .get(..head)
        .and_then(|head| std::str::from_utf8(head).ok())
        .and_then(|head| head.split("\r\n").find_map(content_length))
        .ok_or_else(|| Fault::remote("a reply without Content-Length"))?;
    if length > REPLY_BYTES_MAX {
        return Err(too_large());
    }
    let end = start.saturating_add(length);
    Ok((reply.len() >= end).then_some((start, end)))
}

fn content_length(line: &str) -> Option<usize> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

fn too_large() -> Fault {
    Fault::remote(format!("a reply larger than {REPLY_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_whole_when_its_body_is() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(body_span(whole).unwrap(), Some((whole.len() - 5, whole.len())));
        for cut in 0..whole.len() {
            assert_eq!(body_span(&whole[..cut]).unwrap(), None, "{cut}");
        }
        assert!(body_span(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(body_span(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").is_err());
    }
}
