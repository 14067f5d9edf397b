//! Tasks of an MCP server (2025-11-25, and the extension of 2026-07-28): whoever's tool call began one may
//! look at it, answer it, fetch its result and cancel it.

use std::sync::Arc;

use bailiwick_core::VerifiedChain;
use bailiwick_core::outcome::Outcome;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::message::{INVALID_PARAMS, Message, is_stateless};
use crate::call::RefusalForm;
use crate::remote::{Asker, RemoteKind, RemoteTasks};
use crate::reply::{ReplyHook, Touched};
use crate::stop::Stop;

/// Where a subscription names tasks.
const SUBSCRIBED: [&str; 2] = ["/params/notifications/taskIds", "/params/taskIds"];

/// What a request has to do with tasks.
pub(super) enum About {
    /// Nothing.
    Nothing,
    /// It may begin one.
    Begins(Asker),
    /// One.
    One,
    /// All of them.
    List,
}

/// The method's name in metrics, if it is one about tasks that the revision has.
pub(super) fn method(message: &Message, headers: &HeaderMap) -> Option<&'static str> {
    let stateless = is_stateless(headers, &message.value);
    match message.method.as_str() {
        "tasks/get" => Some("tasks/get"),
        "tasks/cancel" => Some("tasks/cancel"),
        // Each of a revision of its own.
        "tasks/update" if stateless => Some("tasks/update"),
        "tasks/result" if !stateless => Some("tasks/result"),
        "tasks/list" if !stateless => Some("tasks/list"),
        _ => None,
    }
}

/// Refuses a request that names a task which is not the chain's own: as the server would refuse one that
/// does not exist, so that nobody learns which do.
pub(super) fn require_own(
    tasks: &RemoteTasks,
    message: &Message,
    headers: &HeaderMap,
    chain: &VerifiedChain,
) -> Result<About, Stop> {
    let own = |id: &str| {
        tasks.require_own(RemoteKind::Task, id, chain).map_err(|mut stop| {
            let status = if is_stateless(headers, &message.value) { 400 } else { 200 };
            let (id, code) = (message.id(), INVALID_PARAMS);
            stop.form = Some(Box::new(RefusalForm::JsonRpcFault { id, code, status }));
            stop
        })
    };
    match message.method.as_str() {
        "tasks/list" => Ok(About::List),
        "subscriptions/listen" => {
            let named = SUBSCRIBED.iter().filter_map(|at| message.value.pointer(at));
            for ids in named {
                let ids = ids.as_array().and_then(|ids| ids.iter().map(Value::as_str).collect());
                let ids: Vec<&str> = ids.ok_or_else(|| {
                    Stop::new(Outcome::Malformed, "`taskIds` is no list of ids of tasks")
                })?;
                ids.iter().try_for_each(|id| own(id))?;
            }
            Ok(About::Nothing)
        }
        method if method.starts_with("tasks/") => own(message.text("taskId")?).map(|()| About::One),
        _ => Ok(About::Nothing),
    }
}

/// Learns what a call began, and shows of tasks one's own.
pub(super) struct TaskHook {
    pub(super) tasks: Arc<RemoteTasks>,
    pub(super) chain: Arc<VerifiedChain>,
    pub(super) about: About,
}

impl TaskHook {
    fn is_own(&self, task: &Value) -> bool {
        let id = task.get("taskId").and_then(Value::as_str);
        id.is_some_and(|id| self.tasks.require_own(RemoteKind::Task, id, &self.chain).is_ok())
    }

    fn withhold(what: &str) -> Touched {
        tracing::warn!(what, "it is of a task that is not the agent's; withheld");
        Touched::Withhold
    }
}

impl ReplyHook for TaskHook {
    fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
        let method = message.get("method").and_then(Value::as_str);
        if method.is_some_and(|method| method.starts_with("notifications/tasks")) {
            let own = message.get("params").is_some_and(|task| self.is_own(task));
            return if own { Touched::No } else { Self::withhold("a notification") };
        }
        let Some(result) = message.get_mut("result") else { return Touched::No };
        match &self.about {
            About::Nothing => Touched::No,
            About::Begins(asker) => {
                // The later revision says it flatly.
                let flat = result.get("resultType").is_some_and(|it| it == "task");
                let flat = result.get("taskId").filter(|_| flat);
                let begun = result.pointer("/task/taskId").or(flat).and_then(Value::as_str);
                let learnt = begun.is_none_or(|id| self.tasks.learn(RemoteKind::Task, id, asker));
                if learnt { Touched::No } else { Self::withhold("a result") }
            }
            About::One => {
                if result.get("taskId").is_none() || self.is_own(result) {
                    Touched::No
                } else {
                    Self::withhold("a result")
                }
            }
            About::List => {
                let Some(listed) = result.get_mut("tasks").and_then(Value::as_array_mut) else {
                    return Touched::No;
                };
                listed.retain(|task| self.is_own(task));
                Touched::Yes
            }
        }
    }
}
