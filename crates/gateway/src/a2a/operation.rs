//! Which operation of A2A v1 a request is, in either binding.

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::message::{self, Sent};
use super::refusal::{self, A2aError};
use crate::call::RefusalForm;
use crate::stop::Stop;

/// Members of a request about remote tasks that say which.
const PARAMS: [&str; 3] = ["id", "tenant", "name"];
/// Characters of a remote task's id.
const TASK_ID_CHARS_MAX: usize = 256;

/// An operation.
#[derive(Debug)]
pub(crate) enum Operation {
    /// A message, streaming or not.
    Send(Box<Sent>),
    /// Something about one remote task.
    OfTask { what: &'static str, task: String },
    /// The list of remote tasks.
    ListTasks,
    /// The card for those who are known.
    ExtendedCard,
}

/// How the operation goes on, whatever it is.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Canonical path and query below the upstream.
    pub(crate) path_and_query: String,
    /// The re-serialised body.
    pub(crate) body: Option<Bytes>,
    /// The JSON-RPC request's id.
    id: Option<Value>,
}

impl Wire {
    /// Whether it is of the JSON-RPC binding.
    pub(crate) fn is_rpc(&self) -> bool {
        self.id.is_some()
    }

    /// How a refusal is told.
    pub(crate) fn refusal(&self) -> RefusalForm {
        RefusalForm::A2a { id: self.id.clone(), error: None }
    }
}

/// The id that a refusal of a body answers, if it has one that can be told.
pub(crate) fn id(body: &Bytes) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("id").filter(|id| id.is_string() || id.is_number()).cloned()
}

/// A body that cannot be read: no JSON at all, or JSON with two readings.
pub(crate) fn unread(stop: Stop, body: &Bytes) -> Stop {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    let error = if is_json { A2aError::InvalidRequest } else { A2aError::Parse };
    refusal::stop(stop.code, error, stop.detail)
}

/// Reads a JSON-RPC request.
pub(crate) fn json_rpc(path: &str, body: Option<Value>) -> Result<(Operation, Wire), Stop> {
    let malformed = |what: &str| Stop::new(Outcome::Malformed, what);
    let invalid = |what: &str| refusal::stop(Outcome::Malformed, A2aError::InvalidRequest, what);
    let body = body.ok_or_else(|| invalid("there is no body"))?;
    let members = body.as_object().ok_or_else(|| invalid("the body is no JSON-RPC request"))?;
    if members.keys().any(|name| !["jsonrpc", "id", "method", "params"].contains(&name.as_str())) {
        return Err(invalid("a JSON-RPC request has no other members than its four"));
    }
    let (Some("2.0"), Some(method)) = (
        members.get("jsonrpc").and_then(Value::as_str),
        members.get("method").and_then(Value::as_str).map(str::to_owned),
    ) else {
        return Err(invalid("the body is no JSON-RPC 2.0 request"));
    };
    let params = members.get("params").unwrap_or(&Value::Null);
    message::require_names(params, &PARAMS)?;
    message::require_no_tenant(params)?;
    if params.get("name").is_some() {
        return Err(malformed("`params.name` would name the task a second time"));
    }
    let id = match members.get("id") {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        _ => return Err(invalid("`id` is neither text nor a number")),
    };
    let wire = Wire {
        path_and_query: path.to_owned(),
        body: Some(Bytes::from(body.to_string())),
        id: Some(id),
    };
    let task = |what| {
        let id = body.pointer("/params/id").and_then(Value::as_str);
        own_task(what, id.unwrap_or_default())
    };
    let operation = match method.as_str() {
        "SendMessage" | "SendStreamingMessage" => {
            Operation::Send(Box::new(message::read(body, "/params")?))
        }
        "GetTask" => task("tasks/get")?,
        "CancelTask" => task("tasks/cancel")?,
        "SubscribeToTask" => task("tasks/subscribe")?,
        "ListTasks" => Operation::ListTasks,
        "GetExtendedAgentCard" => Operation::ExtendedCard,
        other => return Err(unserved(other, A2aError::MethodNotFound)),
    };
    Ok((operation, wire))
}

/// Reads a request of the HTTP+JSON binding; `rest` is the path below it.
pub(crate) fn rest(
    method: &Method,
    base: &str,
    rest: &str,
    query: Option<&str>,
    body: Option<Value>,
) -> Result<(Operation, Wire), Stop> {
    let plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b));
    if !plain(rest) || rest.contains("//") || rest.split('/').any(|part| part == "..") {
        return Err(Stop::new(Outcome::Malformed, "the path is not in its plain form"));
    }
    let query = query.filter(|query| !query.is_empty());
    if query.is_some_and(|query| !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#')) {
        return Err(Stop::new(Outcome::Malformed, "the query is not in its plain form"));
    }
    // The path says which task: nothing else may say another. The same once more is what the Python SDK
    // says.
    let named = rest.strip_prefix("/tasks/").and_then(|rest| rest.split(':').next());
    let same = |name: &str, value: &Value| name == "id" && value.as_str() == named;
    let members = body.iter().filter_map(Value::as_object).flatten();
    let members = members.filter(|(name, value)| !same(name, value)).map(|(name, _)| name.as_str());
    let names = query.unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    let mut names = names.chain(members);
    if names.any(|name| name.contains('%') || PARAMS.contains(&message::folded(name).as_str())) {
        let detail = "the path alone names the task, and there are no tenants";
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    let path = format!("{base}{rest}");
    let wire = Wire {
        path_and_query: query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")),
        body: body.as_ref().map(|body| Bytes::from(body.to_string())),
        id: None,
    };
    let parts: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
    let operation = match (method, parts.as_slice()) {
        (&Method::POST, ["message:send" | "message:stream"]) => {
            let body = body.unwrap_or(Value::Null);
            Operation::Send(Box::new(message::read(body, "")?))
        }
        (&Method::GET, ["tasks"]) => Operation::ListTasks,
        (&Method::GET, ["extendedAgentCard"]) => Operation::ExtendedCard,
        (_, ["tasks", named]) => match (method, named.split_once(':')) {
            (&Method::GET, None) => own_task("tasks/get", named)?,
            (&Method::POST, Some((id, "cancel"))) => own_task("tasks/cancel", id)?,
            (&Method::GET | &Method::POST, Some((id, "subscribe"))) => {
                own_task("tasks/subscribe", id)?
            }
            _ => return Err(unserved(rest, A2aError::UnsupportedOperation)),
        },
        _ => return Err(unserved(rest, A2aError::UnsupportedOperation)),
    };
    Ok((operation, wire))
}

fn own_task(what: &'static str, id: &str) -> Result<Operation, Stop> {
    if id.is_empty() || id.chars().count() > TASK_ID_CHARS_MAX {
        return Err(Stop::new(Outcome::Malformed, "the request names no task"));
    }
    Ok(Operation::OfTask { what, task: id.to_owned() })
}

/// Push notifications are among these: results would go past the gateway.
fn unserved(what: &str, error: A2aError) -> Stop {
    let shown: String = what.chars().take(64).collect();
    let detail = format!("{shown} is no operation of A2A v1 that is served here");
    let push = message::folded(what).contains("pushnotification");
    let error = if push { A2aError::PushNotificationNotSupported } else { error };
    refusal::stop(ProblemCode::MethodNotAllowed, error, detail)
}
