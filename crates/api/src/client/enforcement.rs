//! What an enforcement point asks of the Authority.

use super::send::{finish, send, set_query, transport};
use super::{Client, ClientError};
use crate::enforcement::downstreams::{DownstreamsReply, DownstreamsReport};
use crate::enforcement::feed::{
    EnforcementPoints, EnforcementTask, FEED_EVENT_BYTES_MAX, FeedAck, FeedAckReply, FeedQuery,
    PolicySources, PolicySourcesQuery,
};
use crate::gap::{GapQuery, GapReport};
use bailiwick_core::ids::TaskId;
use std::time::Duration;
use url::Url;

/// How long one reading of the feed may last before it is begun again.
const FEED_LASTS: Duration = Duration::from_secs(24 * 3600);

/// The feed, tasks and policies.
impl Client {
    /// `GET /v1/enforcement/feed`, from after `last_event_id` if the Authority still can.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; so for every method here.
    pub async fn enforcement_feed(
        &self,
        query: &FeedQuery,
        last_event_id: Option<&str>,
    ) -> Result<FeedStream, ClientError> {
        let mut url = self.url(&["v1", "enforcement", "feed"])?;
        set_query(&mut url, query)?;
        let mut request = self.with_credentials(self.http.get(url.clone()))?;
        request = request.header("accept", "text/event-stream").timeout(FEED_LASTS);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = send(request, &url).await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let refused = finish(response, &url).await.err();
            return Err(refused.unwrap_or_else(|| ClientError::Unexpected {
                url: url.to_string(),
                status,
                what: "no feed".to_owned(),
            }));
        }
        let media = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if !media.is_some_and(|media| media.starts_with("text/event-stream")) {
            return Err(ClientError::Unexpected {
                url: url.to_string(),
                status: response.status().as_u16(),
                what: "not an event stream".to_owned(),
            });
        }
        Ok(FeedStream { response, url, frames: FeedFrames::default() })
    }

    /// `POST /v1/enforcement/acks`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn enforcement_ack(&self, ack: &FeedAck) -> Result<FeedAckReply, ClientError> {
        self.post(&["v1", "enforcement", "acks"], &(), ack).await?.json()
    }

    /// `POST /v1/enforcement/downstreams`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn declare_downstreams(
        &self,
        report: &DownstreamsReport,
    ) -> Result<DownstreamsReply, ClientError> {
        self.post(&["v1", "enforcement", "downstreams"], &(), report).await?.json()
    }

    /// `GET /v1/gap`, as an operator.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn gap(&self, query: &GapQuery) -> Result<GapReport, ClientError> {
        self.get(&["v1", "gap"], query).await?.json()
    }

    /// `GET /v1/enforcement/points`, as an operator.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn enforcement_points(&self) -> Result<EnforcementPoints, ClientError> {
        self.get(&["v1", "enforcement", "points"], &()).await?.json()
    }

    /// `GET /v1/enforcement/policies`: the set with this hash, or the one in force.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn enforcement_policies(
        &self,
        hash: Option<&str>,
    ) -> Result<PolicySources, ClientError> {
        let query = PolicySourcesQuery { hash: hash.map(str::to_owned) };
        self.get(&["v1", "enforcement", "policies"], &query).await?.json()
    }

    /// `GET /v1/enforcement/tasks/{id}`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn enforcement_task(&self, id: TaskId) -> Result<EnforcementTask, ClientError> {
        self.get(&["v1", "enforcement", "tasks", &id.to_string()], &()).await?.json()
    }
}

/// The feed as it comes in. Nothing of it is verified.
#[derive(Debug)]
pub struct FeedStream {
    response: reqwest::Response,
    url: Url,
    frames: FeedFrames,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFrame {
    /// Where to resume after it.
    pub id: Option<String>,
    /// The signed event (compact JWS).
    pub data: String,
}

impl FeedStream {
    /// The next event; none when the Authority has ended the stream.
    ///
    /// Cancelling loses nothing: what has come in is kept.
    ///
    /// # Errors
    ///
    /// The connection broke, or an event is larger than [`FEED_EVENT_BYTES_MAX`].
    pub async fn next(&mut self) -> Result<Option<FeedFrame>, ClientError> {
        loop {
            if let Some(frame) = self.frames.next_frame() {
                return Ok(Some(frame));
            }
            if self.frames.buffer.len() > FEED_EVENT_BYTES_MAX {
                return Err(ClientError::Unexpected {
                    url: self.url.to_string(),
                    status: self.response.status().as_u16(),
                    what: format!("an event is larger than {FEED_EVENT_BYTES_MAX} bytes"),
                });
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|source| transport(source, &self.url))? {
                Some(chunk) => self.frames.push(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Splits a `text/event-stream` into events: lines end with LF or CRLF, an event with an empty line.
#[derive(Debug, Default)]
pub struct FeedFrames {
    buffer: Vec<u8>,
    /// How far the buffer was searched for an end.
    searched: usize,
}

impl FeedFrames {
    /// Takes what came. How much may wait here is for the caller to bound.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event that has data.
    pub fn next_frame(&mut self) -> Option<FeedFrame> {
        loop {
            let (end, next) = self.end()?;
            let rest = self.buffer.split_off(next);
            let event = std::mem::replace(&mut self.buffer, rest);
            self.searched = 0;
            if let Some(frame) = event.get(..end).and_then(read_event) {
                return Some(frame);
            }
        }
    }

    /// Where the first event ends, and where the next begins.
    fn end(&mut self) -> Option<(usize, usize)> {
        let from = self.searched;
        let tail = self.buffer.get(from..)?;
        let breaks = tail.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        for (at, _) in breaks {
            let at = from + at;
            match (self.buffer.get(at + 1), self.buffer.get(at + 2)) {
                (Some(b'\n'), _) => return Some((at, at + 2)),
                (Some(b'\r'), Some(b'\n')) => return Some((at, at + 3)),
                _ => {}
            }
        }
        self.searched = self.buffer.len().saturating_sub(2);
        None
    }
}

fn read_event(bytes: &[u8]) -> Option<FeedFrame> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    let (mut id, mut data) = (None, None::<String>);
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = Some(value.to_owned()),
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    data.map(|data| FeedFrame { id, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&str]) -> Vec<FeedFrame> {
        let mut frames = FeedFrames::default();
        let mut found = Vec::new();
        for piece in pieces {
            frames.push(piece.as_bytes());
            while let Some(frame) = frames.next_frame() {
                found.push(frame);
            }
        }
        found
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = ": hello\n\nid: 7\ndata: abc\n\nid: 8\r\ndata: de\r\ndata: f\r\n\r\ndata:g\n\n";
        let whole = all(&[text]);
        let frame = |id: Option<&str>, data: &str| FeedFrame {
            id: id.map(str::to_owned),
            data: data.to_owned(),
        };
        let wanted = [frame(Some("7"), "abc"), frame(Some("8"), "de\nf"), frame(None, "g")];
        assert_eq!(whole, wanted);
        for cut in 0..=text.len() {
            let (left, right) = text.split_at(cut);
            assert_eq!(all(&[left, right]), wanted, "cut at {cut}");
        }
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(all(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), wanted);
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(all(&["id: 1\ndata: x\n"]), []);
        assert_eq!(all(&["id: 1\n\n"]), [], "an event without data is none");
    }
}
