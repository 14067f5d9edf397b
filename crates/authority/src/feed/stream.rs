//! One connection: an enforcement point reads the feed at its own pace.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use bailiwick_core::time::UnixMillis;
use http_body::Frame;
use tokio::sync::mpsc;

use super::points::Connection;
use crate::authority::{Authority, require_live};
use crate::keys::KeysError;

/// Frames on their way to the socket.
const AHEAD: usize = 64;
/// How long a reader may leave a frame unread.
const UNREAD: Duration = Duration::from_secs(10);

/// The body of one reading.
pub(crate) struct FeedBody(mpsc::Receiver<Bytes>);

impl HttpBody for FeedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Begins a reading, after `resume` if what follows it is still there.
pub(crate) fn begin(
    authority: Arc<Authority>,
    connection: Connection,
    resume: Option<u64>,
) -> FeedBody {
    let (frames, body) = mpsc::channel(AHEAD);
    let reading = Reading { authority, connection, frames, cursor: 0, told: UnixMillis(0) };
    tokio::spawn(async move {
        match reading.run(resume).await {
            Ok(why) => tracing::debug!(why, "a reading of the feed ended"),
            Err(error) => tracing::error!(%error, "the feed could not be signed"),
        }
    });
    FeedBody(body)
}

struct Reading {
    authority: Arc<Authority>,
    connection: Connection,
    frames: mpsc::Sender<Bytes>,
    /// The last event sent.
    cursor: u64,
    /// The heartbeat sent last.
    told: UnixMillis,
}

impl Reading {
    async fn run(mut self, resume: Option<u64>) -> Result<&'static str, KeysError> {
        let feed = Arc::clone(&self.authority.feed);
        let mut wake = feed.wake.subscribe();
        let mut closing = feed.closing.subscribe();
        self.cursor = resume.unwrap_or(0);
        let mut begun = false;
        loop {
            wake.borrow_and_update();
            let (events, beat) = {
                let state = feed.state.lock();
                (state.after(self.cursor), state.beat.clone())
            };
            let Some(events) = events else {
                if !self.send_snapshot().await? {
                    return Ok("the reader does not read");
                }
                begun = true;
                continue;
            };
            for event in events {
                let frame = event.frame(&self.authority.keys, self.connection.tenant())?;
                if !self.send(frame).await {
                    return Ok("the reader does not read");
                }
                self.cursor = event.claims.seq;
            }
            // A reader that resumes and missed nothing is told so at once.
            let beat = if begun { beat } else { Some(feed.beat_now()) };
            begun = true;
            if let Some(beat) = beat.filter(|beat| self.is_news(&beat.claims)) {
                if let Some(why) = self.unfit() {
                    return Ok(why);
                }
                self.told = beat.claims.at;
                let frame = beat.frame(&self.authority.keys, self.connection.tenant())?;
                if !self.send(frame).await {
                    return Ok("the reader does not read");
                }
            }
            tokio::select! {
                _ = wake.changed() => {}
                _ = closing.wait_for(|closing| *closing) => return Ok("the Authority stops"),
                () = self.frames.closed() => return Ok("the reader is gone"),
            }
        }
    }

    fn is_news(&self, beat: &bailiwick_api::enforcement::feed::FeedEvent) -> bool {
        beat.seq == self.cursor && beat.at > self.told
    }

    /// Why the reading may not go on, looked at with every heartbeat: an enforcement point that was
    /// stopped, or that acknowledges nothing, is cut off, and goes stale.
    fn unfit(&self) -> Option<&'static str> {
        let registry = self.authority.registry.load();
        let agent = registry.agent(self.connection.agent().as_ref());
        let fit = agent.is_some_and(|agent| {
            agent.document.is_enforcement_point() && require_live(&registry, agent).is_ok()
        });
        if !fit {
            return Some("it is no enforcement point any more");
        }
        let silent = self.connection.is_silent(self.authority.clock.now());
        silent.then_some("it acknowledges nothing")
    }

    async fn send_snapshot(&mut self) -> Result<bool, KeysError> {
        let feed = Arc::clone(&self.authority.feed);
        let (seq, at, frames) = feed.snapshot(&self.authority, self.connection.tenant())?;
        for frame in frames {
            if !self.send(frame).await {
                return Ok(false);
            }
        }
        self.cursor = seq;
        // A heartbeat from before is older than the snapshot.
        self.told = at;
        Ok(true)
    }

    async fn send(&self, frame: Bytes) -> bool {
        matches!(tokio::time::timeout(UNREAD, self.frames.send(frame)).await, Ok(Ok(())))
    }
}
