//! What replies say of remote tasks: whose they become, and whose they may show.

use std::sync::Arc;

use bailiwick_core::VerifiedChain;
use http::StatusCode;
use serde_json::{Map, Value};

use crate::remote::{Asker, RemoteKind, RemoteTasks};
use crate::reply::{ReplyHook, Touched};

/// Where a reply to a message, or an event of its stream, says what it is of.
const NAMED: [(RemoteKind, &str); 8] = [
    (RemoteKind::Task, "/task/id"),
    (RemoteKind::Task, "/message/taskId"),
    (RemoteKind::Task, "/statusUpdate/taskId"),
    (RemoteKind::Task, "/artifactUpdate/taskId"),
    (RemoteKind::Context, "/task/contextId"),
    (RemoteKind::Context, "/message/contextId"),
    (RemoteKind::Context, "/statusUpdate/contextId"),
    (RemoteKind::Context, "/artifactUpdate/contextId"),
];

/// What a reply answers, in either binding; nothing where it is an error.
fn answer(message: &mut Value, rpc: bool) -> Option<&mut Value> {
    if rpc { message.get_mut("result") } else { Some(message) }
}

/// What is named, if it is.
fn named<'a>(reply: &'a Value, at: &str) -> Option<&'a str> {
    reply.pointer(at).and_then(Value::as_str).filter(|id| !id.is_empty())
}

/// Learns from a reply to a message which remote task and context it began.
pub(super) struct Learn {
    pub(super) tasks: Arc<RemoteTasks>,
    pub(super) asker: Asker,
    pub(super) rpc: bool,
}

impl ReplyHook for Learn {
    fn message(&mut self, status: StatusCode, message: &mut Value) -> Touched {
        if !status.is_success() {
            return Touched::No;
        }
        let Some(reply) = answer(message, self.rpc) else { return Touched::No };
        for (kind, at) in NAMED {
            let Some(id) = named(reply, at) else { continue };
            // An agent cannot hand a task to another by a reply.
            if !self.tasks.learn(kind, id, &self.asker) {
                tracing::warn!("a reply names a remote task of another task; withheld");
                return Touched::Withhold;
            }
        }
        Touched::No
    }
}

/// Keeps back what a reply about one remote task shows of another task's.
pub(super) struct OnlyOwn {
    pub(super) tasks: Arc<RemoteTasks>,
    pub(super) chain: Arc<VerifiedChain>,
    pub(super) rpc: bool,
}

impl ReplyHook for OnlyOwn {
    fn message(&mut self, status: StatusCode, message: &mut Value) -> Touched {
        if !status.is_success() {
            return Touched::No;
        }
        let Some(reply) = answer(message, self.rpc) else { return Touched::No };
        let tasks = NAMED.iter().filter(|(kind, _)| *kind == RemoteKind::Task).map(|(_, at)| *at);
        let mut ids = tasks.chain(["/id"]).filter_map(|at| named(reply, at));
        let own = |id| self.tasks.require_own(RemoteKind::Task, id, &self.chain).is_ok();
        if ids.all(own) {
            return Touched::No;
        }
        tracing::warn!("a reply shows a remote task of another task; withheld");
        Touched::Withhold
    }
}

/// Leaves only the chain's own remote tasks in a list.
pub(super) struct OwnList {
    pub(super) tasks: Arc<RemoteTasks>,
    pub(super) chain: Arc<VerifiedChain>,
    pub(super) rpc: bool,
}

impl ReplyHook for OwnList {
    fn message(&mut self, status: StatusCode, message: &mut Value) -> Touched {
        if !status.is_success() {
            return Touched::No;
        }
        let Some(reply) = answer(message, self.rpc) else { return Touched::No };
        let listed = match reply.get_mut("tasks").map(Value::take) {
            Some(Value::Array(listed)) => listed,
            _ => Vec::new(),
        };
        let own = |task: &Value| {
            let id = named(task, "/id");
            id.is_some_and(|id| self.tasks.require_own(RemoteKind::Task, id, &self.chain).is_ok())
        };
        let own: Vec<Value> = listed.into_iter().filter(own).collect();
        // Nothing else of it goes on: how many there are is others' business, too.
        let mut shown = Map::new();
        shown.insert("totalSize".to_owned(), own.len().into());
        shown.insert("pageSize".to_owned(), own.len().into());
        let next = reply.get("nextPageToken").filter(|next| next.is_string());
        shown.insert("nextPageToken".to_owned(), next.cloned().unwrap_or_else(|| "".into()));
        shown.insert("tasks".to_owned(), Value::Array(own));
        *reply = Value::Object(shown);
        Touched::Yes
    }
}
