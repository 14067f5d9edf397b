//! A connection that became a tunnel: bytes flow both ways until one side ends it, or until the chain
//! behind it dies.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bailiwick_core::{UnixMillis, VerifiedChain};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::outcome::Outcoming;
use crate::stall::stalled;
use crate::stream::Ending;

/// Bytes that are read at once, each way.
const CHUNK: usize = 16 * 1024;
/// How long the other side may go on once one has ended.
const LINGER: Duration = Duration::from_secs(10);
/// How often the end of a token is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// How long tunnels may take to end once they are cut.
const CUT: Duration = Duration::from_secs(1);

/// The tunnels of a gateway.
#[derive(Debug)]
pub(crate) struct Tunnels {
    open: watch::Sender<usize>,
    cut: watch::Sender<bool>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self { open: watch::Sender::new(0), cut: watch::Sender::new(false) }
    }
}

impl Tunnels {
    /// Resolves when there is none.
    pub(crate) async fn ended(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Cuts them all, and waits a moment for their outcomes.
    pub(crate) async fn cut(&self) {
        self.cut.send_replace(true);
        let _ = tokio::time::timeout(CUT, self.ended()).await;
    }
}

/// Counts a tunnel for as long as it is held.
struct Counted(Arc<Gateway>);

impl Counted {
    fn one(gateway: &Arc<Gateway>) -> Self {
        gateway.tunnels.open.send_modify(|open| *open = open.saturating_add(1));
        Self(Arc::clone(gateway))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tunnels.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// A tunnel that both sides agreed to.
pub(crate) struct Tunnel {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) chain: Arc<VerifiedChain>,
    pub(crate) outcome: Outcoming,
    /// Its place among the requests in flight.
    pub(crate) place: tokio::sync::OwnedSemaphorePermit,
    pub(crate) caller: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
}

impl Tunnel {
    /// Runs in the background: the caller's side is there only once it has been answered.
    pub(crate) fn run(self) {
        let counted = Counted::one(&self.gateway);
        // Before the answer is on its way, so that no death falls between.
        let ended = self.gateway.standing.ended(&self.chain);
        tokio::spawn(async move {
            let Self { gateway, chain, mut outcome, place, caller, upstream } = self;
            let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
            let count = |of: &AtomicU64| of.load(Ordering::Acquire);
            let moved = || count(&up).wrapping_add(count(&down));
            let limits = &gateway.config.limits;
            let idle = Duration::from_millis(limits.idle_timeout_ms);
            let mut cut = gateway.tunnels.cut.subscribe();
            let ending = tokio::select! {
                biased;
                () = ended => Ending::Cut,
                () = passed(&gateway.clock, chain.expires()) => Ending::Cut,
                _ = cut.wait_for(|cut| *cut) => Ending::Cut,
                () = sleep(Duration::from_millis(limits.tunnel_timeout_ms)) => Ending::Cut,
                () = stalled(moved, idle) => Ending::Failed,
                ending = through(caller, upstream, &up, &down) => ending,
            };
            outcome.tunnelled(up.into_inner(), down.into_inner());
            if let Some(appending) = outcome.ended(ending)
                && let Ok(Err(error)) = appending.await
            {
                tracing::error!(%error, "the outcome of a tunnel was not recorded");
            }
            drop((place, counted));
        });
    }
}

/// Resolves at an instant.
async fn passed(clock: &Clock, end: UnixMillis) {
    loop {
        let now = clock.now();
        if now >= end {
            return;
        }
        sleep(Duration::from_millis(end.millis_since(now)).min(LOOK)).await;
    }
}

/// Passes bytes both ways until both sides have ended, or one has broken.
async fn through(
    caller: OnUpgrade,
    upstream: OnUpgrade,
    up: &AtomicU64,
    down: &AtomicU64,
) -> Ending {
    let Ok(upstream) = upstream.await else { return Ending::Failed };
    let Ok(caller) = caller.await else { return Ending::Abandoned };
    let (caller_reads, caller_writes) = split(TokioIo::new(caller));
    let (upstream_reads, upstream_writes) = split(TokioIo::new(upstream));
    let upwards = pump(caller_reads, upstream_writes, up, Ending::Abandoned, Ending::Failed);
    let downwards = pump(upstream_reads, caller_writes, down, Ending::Failed, Ending::Abandoned);
    tokio::pin!(upwards, downwards);
    let (ending, rest): (_, &mut (dyn Future<Output = Ending> + Send + Unpin)) = tokio::select! {
        ending = &mut upwards => (ending, &mut downwards),
        ending = &mut downwards => (ending, &mut upwards),
    };
    if ending == Ending::Complete {
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
    ending
}

/// Passes bytes one way until their end, and says how it ended: read or written in vain.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: &AtomicU64,
    unread: Ending,
    unwritten: Ending,
) -> Ending {
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(length) = from.read(&mut chunk).await else { return unread };
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            let _ = to.shutdown().await;
            return Ending::Complete;
        }
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            return unwritten;
        }
        count.fetch_add(u64::try_from(length).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_side_that_breaks_is_told_from_one_that_ends() {
        let (mut caller, caller_end) = tokio::io::duplex(64);
        let (upstream, mut upstream_end) = tokio::io::duplex(64);
        let count = AtomicU64::new(0);
        let pumping = pump(caller_end, upstream, &count, Ending::Abandoned, Ending::Failed);
        let talk = async {
            caller.write_all(b"hello").await.unwrap();
            let mut read = [0; 5];
            upstream_end.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"hello");
            drop(caller);
            assert_eq!(upstream_end.read(&mut read).await.unwrap(), 0, "the end goes on, too");
        };
        assert_eq!(tokio::join!(pumping, talk).0, Ending::Complete);
        assert_eq!(count.into_inner(), 5);

        let (mut caller, caller_end) = tokio::io::duplex(64);
        let (upstream, upstream_end) = tokio::io::duplex(64);
        drop(upstream_end);
        caller.write_all(b"hello").await.unwrap();
        let count = AtomicU64::new(0);
        let ending = pump(caller_end, upstream, &count, Ending::Abandoned, Ending::Failed).await;
        assert_eq!(ending, Ending::Failed);
    }
}
