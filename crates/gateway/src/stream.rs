//! A reply's body on its way to the agent: bounded silences, cut when the chain behind it dies, and
//! an outcome receipt when it ends, however it ends.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::time::Sleep;

use crate::outcome::Outcoming;
use crate::sse::EventFilter;

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

/// A guarded body.
pub(crate) struct Guarded {
    inner: Body,
    idle: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    ended: Option<Ended>,
    filter: Option<EventFilter>,
    outcome: Option<Outcoming>,
    /// Held while the reply runs; frees its place among the requests in flight. None for a reply that is
    /// whole already, to somebody nobody knows: who does not read it holds no place.
    _place: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Guarded {
    pub(crate) fn guard(
        inner: Body,
        idle: Duration,
        ended: Option<Ended>,
        filter: Option<EventFilter>,
        outcome: Option<Outcoming>,
        place: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> Body {
        Self { inner, idle, silence: None, ended, filter, outcome, _place: place }.boxed_unsync()
    }

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
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(ended) = &mut this.ended
            && ended.as_mut().poll(context).is_ready()
        {
            return this.fail(Ending::Cut, Cut::Ended.into());
        }
        loop {
            match Pin::new(&mut this.inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.silence = None;
                    match this.pass(frame) {
                        Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                        Ok(None) => {}
                        Err(error) => return this.fail(Ending::Failed, error),
                    }
                }
                Poll::Ready(Some(Err(error))) => return this.fail(Ending::Failed, error),
                Poll::Ready(None) => {
                    this.end(Ending::Complete);
                    return Poll::Ready(None);
                }
                Poll::Pending => break,
            }
        }
        let idle = this.idle;
        let silence = this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        match silence.as_mut().poll(context) {
            Poll::Ready(()) => this.fail(Ending::Failed, Cut::Idle.into()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        // The end is noticed in `poll_frame`, so that the outcome says `complete`.
        false
    }

    fn size_hint(&self) -> SizeHint {
        if self.filter.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // hyper stops asking once it has sent as many bytes as were promised.
        let whole = self.inner.is_end_stream();
        self.end(if whole { Ending::Complete } else { Ending::Abandoned });
    }
}
