//! A reply's body on its way to the agent: bounded silences on both sides, cut when the chain behind it
//! dies, and an outcome receipt when it ends, however it ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use crate::forward::strip_reply;
use crate::outcome::Outcoming;
use crate::sse::EventFilter;
use crate::stall::stalled;

/// Whatever stops a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The bodies that this gateway sends.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Why a body was ended by the gateway.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    /// The token, its line, its task or its agent died.
    #[error("the task's authority ended")]
    Ended,
    /// The caller asked for no more of it for too long.
    #[error("the reply was not read")]
    Unread,
    /// Nothing came for too long.
    #[error("the stream was silent for too long")]
    Idle,
}

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was passed on whole.
    Complete,
    /// The chain behind it died.
    Cut,
    /// The upstream failed, or fell silent.
    Failed,
    /// The agent went away.
    Abandoned,
}

impl Ending {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A future that resolves when the chain behind a reply dies.
pub(crate) type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A guarded body. Over HTTP/2 the caller decides when it is asked for more: one who never does holds
/// neither its place nor the upstream's connection.
pub(crate) struct Guarded {
    /// None once it was let go.
    passing: Arc<Mutex<Option<Passing>>>,
    asked: Arc<Asked>,
    watch: Option<AbortHandle>,
}

/// Whether the caller's side asks.
#[derive(Debug, Default)]
struct Asked {
    times: AtomicU64,
    /// It has asked, and waits for the upstream.
    waits: AtomicBool,
}

impl Guarded {
    /// Guards a body; `unread` is how long the caller may leave it where it is, if that has to be
    /// watched.
    pub(crate) fn guard(
        inner: Body,
        idle: Duration,
        ended: Option<Ended>,
        filter: Option<EventFilter>,
        outcome: Option<Outcoming>,
        place: Option<OwnedSemaphorePermit>,
        unread: Option<Duration>,
    ) -> Body {
        let passing = Passing { inner, idle, silence: None, ended, filter, outcome, _place: place };
        let passing = Arc::new(Mutex::new(Some(passing)));
        let asked = Arc::new(Asked::default());
        let watch = unread.map(|limit| {
            let (passing, asked) = (Arc::downgrade(&passing), Arc::clone(&asked));
            let watching = tokio::spawn(async move {
                stalled(|| asked.count(), limit).await;
                if let Some(passing) = passing.upgrade() {
                    passing.lock().take();
                }
            });
            watching.abort_handle()
        });
        Self { passing, asked, watch }.boxed_unsync()
    }
}

impl Asked {
    /// How often it was asked. Whoever waits for the upstream does not stand still.
    fn count(&self) -> u64 {
        let times = self.times.load(Ordering::Acquire);
        if self.waits.load(Ordering::Acquire) {
            self.times.fetch_add(1, Ordering::AcqRel);
        }
        times
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut passing = self.passing.lock();
        let Some(passing) = passing.as_mut() else {
            return Poll::Ready(Some(Err(Cut::Unread.into())));
        };
        let frame = passing.poll_frame(context);
        self.asked.times.fetch_add(1, Ordering::AcqRel);
        self.asked.waits.store(frame.is_pending(), Ordering::Release);
        frame
    }

    fn is_end_stream(&self) -> bool {
        // The end is noticed in `poll_frame`, so that the outcome says `complete`.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.passing.lock().as_ref().map_or_else(SizeHint::default, Passing::size_hint)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

/// A body on its way.
struct Passing {
    inner: Body,
    idle: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    ended: Option<Ended>,
    filter: Option<EventFilter>,
    outcome: Option<Outcoming>,
    /// Held while the reply runs; frees its place among the requests in flight. None for a reply that is
    /// whole already, to somebody nobody knows: who does not read it holds no place.
    _place: Option<OwnedSemaphorePermit>,
}

impl Passing {
    fn end(&mut self, ending: Ending) {
        if let Some(outcome) = self.outcome.take() {
            outcome.ended(ending);
        }
    }

    fn fail(
        &mut self,
        ending: Ending,
        error: BoxError,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.end(ending);
        Poll::Ready(Some(Err(error)))
    }

    /// The frame as it may go on; none when nothing of it may yet.
    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, BoxError> {
        let mut frame = frame;
        if let Some(trailers) = frame.trailers_mut() {
            strip_reply(trailers);
        }
        let Some(data) = frame.data_ref() else { return Ok(Some(frame)) };
        let released = match &mut self.filter {
            None => None,
            Some(filter) => Some(filter.push(data)?),
        };
        let frame = released.map_or(frame, |bytes| Frame::data(Bytes::from(bytes)));
        let length = frame.data_ref().map_or(0, Bytes::len);
        if let Some(outcome) = &mut self.outcome {
            outcome.sent(length);
        }
        Ok((length > 0).then_some(frame))
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(ended) = &mut self.ended
            && ended.as_mut().poll(context).is_ready()
        {
            return self.fail(Ending::Cut, Cut::Ended.into());
        }
        loop {
            match Pin::new(&mut self.inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.silence = None;
                    match self.pass(frame) {
                        Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                        Ok(None) => {}
                        Err(error) => return self.fail(Ending::Failed, error),
                    }
                }
                Poll::Ready(Some(Err(error))) => return self.fail(Ending::Failed, error),
                Poll::Ready(None) => {
                    self.end(Ending::Complete);
                    return Poll::Ready(None);
                }
                Poll::Pending => break,
            }
        }
        let idle = self.idle;
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        match silence.as_mut().poll(context) {
            Poll::Ready(()) => self.fail(Ending::Failed, Cut::Idle.into()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.filter.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // hyper stops asking once it has sent as many bytes as were promised.
        let whole = self.inner.is_end_stream();
        self.end(if whole { Ending::Complete } else { Ending::Abandoned });
    }
}
