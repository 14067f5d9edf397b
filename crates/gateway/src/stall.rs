//! What does not move: connections whose other side takes nothing, and bodies that stand still.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Standing still is counted in this many looks.
const LOOKS: u32 = 8;

/// Resolves when a count has not changed for a time.
pub(crate) async fn stalled(mut count: impl FnMut() -> u64, limit: Duration) {
    let (mut before, mut still) = (count(), 0);
    while still < LOOKS {
        sleep(limit / LOOKS).await;
        let now = count();
        still = if now == before { still.saturating_add(1) } else { 0 };
        before = now;
    }
}

/// How far a request's body has come. Travels with the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved(Arc<AtomicU64>);

impl Moved {
    /// A part of it was taken.
    pub(crate) fn tell(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Resolves when it stands still for a time.
    pub(crate) async fn stalled(&self, limit: Duration) {
        stalled(|| self.0.load(Ordering::Acquire), limit).await;
    }
}

/// A body on its way up. Tells how far it has come, and ends before its trailers: headers that nobody
/// has looked at.
#[derive(Debug)]
pub(crate) struct Upload<B> {
    inner: B,
    moved: Moved,
}

impl<B> Upload<B> {
    pub(crate) fn new(inner: B, moved: Moved) -> Self {
        Self { inner, moved }
    }
}

impl<B: Body + Unpin> Body for Upload<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        self.moved.tell();
        Poll::Ready(frame.filter(|frame| frame.as_ref().map_or(true, Frame::is_data)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection whose other side has to take what is written to it, or the connection breaks.
#[derive(Debug)]
pub(crate) struct Taken<S> {
    inner: S,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    pub(crate) fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit, waiting: None }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn standing_still_is_told_from_moving_slowly() {
        let moved = Moved::default();
        let limit = Duration::from_millis(400);
        let move_on = async {
            for _ in 0..8 {
                sleep(limit / 4).await;
                moved.tell();
            }
        };
        tokio::select! {
            biased;
            () = move_on => {}
            () = moved.stalled(limit) => panic!("it moved"),
        }
        tokio::time::timeout(limit * 10, moved.stalled(limit)).await.unwrap();
    }

    #[tokio::test]
    async fn trailers_do_not_go_up() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("bailiwick-decision", "forged".parse().unwrap());
        let whole =
            Full::new(Bytes::from_static(b"data")).with_trailers(async move { Some(Ok(trailers)) });
        let moved = Moved::default();
        let taken = Upload::new(Box::pin(whole), moved.clone()).collect().await.unwrap();
        assert!(taken.trailers().is_none());
        assert_eq!(taken.to_bytes(), "data");
        assert!(moved.0.load(Ordering::Acquire) > 0);
    }

    #[tokio::test]
    async fn a_side_that_takes_nothing_breaks_the_connection_and_a_slow_one_does_not() {
        let limit = Duration::from_millis(300);
        let (near, mut far) = duplex(4);
        let mut near = Taken::new(near, limit);
        let error = near.write_all(b"more than it holds").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut rest = [0; 4];
        far.read_exact(&mut rest).await.unwrap();

        let (near, mut far) = duplex(4);
        let mut near = Taken::new(near, limit);
        let read = async {
            let mut all = Vec::new();
            for _ in 0..5 {
                sleep(limit / 2).await;
                let mut part = [0; 4];
                far.read_exact(&mut part).await.unwrap();
                all.extend(part);
            }
            all
        };
        let (written, read) = tokio::join!(near.write_all(b"as much as it takes!"), read);
        written.unwrap();
        assert_eq!(read, b"as much as it takes!");
    }
}
