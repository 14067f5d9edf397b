//! Whose a session is: that of the task and agent that opened it.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{AgentId, TaskId, VerifiedChain};
use http::{HeaderMap, StatusCode, response};
use moka::sync::Cache;
use serde_json::Value;

use crate::reply::{ReplyHook, Touched};
use crate::stop::Stop;

const HEADER: &str = "mcp-session-id";
/// Sessions remembered, and for how long without use.
const SESSIONS_MAX: u64 = 100_000;
const IDLE: Duration = Duration::from_secs(3600);
/// Bytes of a session's id.
const ID_BYTES_MAX: usize = 256;

/// Whether a request says of which session it is.
pub(super) fn is_within(headers: &HeaderMap) -> bool {
    headers.contains_key(HEADER)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    task: TaskId,
    agent: AgentId,
}

impl Owner {
    fn of(chain: &VerifiedChain) -> Self {
        let claims = chain.claims();
        Self { task: claims.txn, agent: claims.client_id.clone() }
    }
}

/// Session → owner. It lives as long as the process; a client whose session is not known any more is
/// told 404 and opens a new one, as the protocol has it.
pub(crate) struct Sessions(Cache<String, Owner>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(SESSIONS_MAX).time_to_idle(IDLE).build())
    }
}

impl Sessions {
    /// Refuses a session that is not this chain's.
    pub(crate) fn require_own(
        &self,
        headers: &HeaderMap,
        chain: &VerifiedChain,
    ) -> Result<(), Stop> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(id) = values.next() else { return Ok(()) };
        let id = id.to_str().ok().filter(|id| id.len() <= ID_BYTES_MAX && values.next().is_none());
        let id =
            id.ok_or_else(|| Stop::new(Outcome::Malformed, "the session's id cannot be read"))?;
        match self.0.get(id) {
            Some(owner) if owner == Owner::of(chain) => Ok(()),
            Some(_) => {
                let detail = "the session was opened by another task or agent";
                Err(Stop::new(Outcome::TaskMismatch, detail))
            }
            None => {
                Err(Stop::new(ProblemCode::NotFound, "there is no such session; open a new one"))
            }
        }
    }

    /// Learns the session that a reply opens, and forgets the one that a `DELETE` ends.
    pub(crate) fn learn(
        self: &Arc<Self>,
        chain: &VerifiedChain,
        ends: Option<&HeaderMap>,
    ) -> Box<dyn ReplyHook> {
        let ends = ends.and_then(|headers| headers.get(HEADER)?.to_str().ok()).map(str::to_owned);
        Box::new(Learn { sessions: Arc::clone(self), owner: Owner::of(chain), ends })
    }
}

struct Learn {
    sessions: Arc<Sessions>,
    owner: Owner,
    ends: Option<String>,
}

impl ReplyHook for Learn {
    fn head(&mut self, parts: &response::Parts) {
        if let Some(ended) = self.ends.as_ref().filter(|_| parts.status.is_success()) {
            self.sessions.0.invalidate(ended);
            return;
        }
        let id = parts.headers.get(HEADER).and_then(|id| id.to_str().ok());
        if let Some(id) = id.filter(|id| parts.status.is_success() && id.len() <= ID_BYTES_MAX) {
            // The first to be given an id keeps it.
            self.sessions.0.get_with(id.to_owned(), || self.owner.clone());
        }
    }

    fn message(&mut self, _: StatusCode, _: &mut Value) -> Touched {
        Touched::No
    }
}
