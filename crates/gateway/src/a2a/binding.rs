//! Whose a remote task is: it belongs to the task of the chain that began it.

use std::sync::Arc;

use bailiwick_core::outcome::Outcome;
use bailiwick_core::{TaskId, VerifiedChain};
use http::StatusCode;
use moka::sync::Cache;
use serde_json::Value;

use crate::reply::{ReplyHook, Touched};
use crate::stop::Stop;

/// Remote tasks remembered; the oldest unused ones are forgotten, and then refused.
const REMEMBERED_MAX: u64 = 100_000;

/// Remote task → our task. It lives as long as the process: after a restart a remote task has to be
/// asked for anew.
pub(crate) struct RemoteTasks(Cache<String, TaskId>);

impl Default for RemoteTasks {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED_MAX))
    }
}

impl RemoteTasks {
    /// Refuses a remote task that this chain's task did not begin.
    pub(crate) fn require_own(&self, remote: &str, chain: &VerifiedChain) -> Result<(), Stop> {
        if self.0.get(remote) == Some(chain.claims().txn) {
            return Ok(());
        }
        let detail = "this chain's task did not begin that remote task at this gateway";
        Err(Stop::new(Outcome::TaskMismatch, detail))
    }

    /// Learns from a reply to a message which remote task it began.
    pub(crate) fn learn(self: &Arc<Self>, chain: &VerifiedChain) -> Box<dyn ReplyHook> {
        Box::new(Learn { tasks: Arc::clone(self), txn: chain.claims().txn })
    }

    /// Leaves only the chain's own remote tasks in a list.
    pub(crate) fn only_own(self: &Arc<Self>, chain: &VerifiedChain) -> Box<dyn ReplyHook> {
        Box::new(OnlyOwn { tasks: Arc::clone(self), txn: chain.claims().txn })
    }
}

struct Learn {
    tasks: Arc<RemoteTasks>,
    txn: TaskId,
}

impl ReplyHook for Learn {
    fn message(&mut self, _status: StatusCode, message: &mut Value) -> Touched {
        let reply = message.get("result").unwrap_or(message);
        let id = ["/task/id", "/message/taskId", "/statusUpdate/taskId", "/artifactUpdate/taskId"]
            .iter()
            .find_map(|at| reply.pointer(at).and_then(Value::as_str));
        if let Some(id) = id {
            // The first task to name it keeps it: an agent cannot hand a task to another by a reply.
            let owner = self.tasks.0.get_with(id.to_owned(), || self.txn);
            if owner != self.txn {
                tracing::warn!("a reply names a remote task of another task; withheld");
                return Touched::Withhold;
            }
        }
        Touched::No
    }
}

struct OnlyOwn {
    tasks: Arc<RemoteTasks>,
    txn: TaskId,
}

impl ReplyHook for OnlyOwn {
    fn message(&mut self, _status: StatusCode, message: &mut Value) -> Touched {
        let reply = match message.get_mut("result") {
            Some(result) => result,
            None => message,
        };
        let Some(tasks) = reply.get_mut("tasks").and_then(Value::as_array_mut) else {
            return Touched::No;
        };
        tasks.retain(|task| {
            let id = task.get("id").and_then(Value::as_str);
            id.is_some_and(|id| self.tasks.0.get(id) == Some(self.txn))
        });
        let left = tasks.len();
        if let Some(members) = reply.as_object_mut() {
            members.insert("totalSize".to_owned(), left.into());
        }
        Touched::Yes
    }
}
