//! One JSON-RPC message of MCP, and the headers that have to say the same.

use bailiwick_core::outcome::Outcome;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::parameters::folded;
use crate::call::RefusalForm;
use crate::json;
use crate::stop::Stop;

/// The first revision whose requests name method and target in headers.
const STATELESS: &str = "2026-07-28";
/// JSON-RPC and MCP error codes.
const INVALID_REQUEST: i64 = -32_600;
const METHOD_NOT_FOUND: i64 = -32_601;
pub(super) const INVALID_PARAMS: i64 = -32_602;
const HEADER_MISMATCH: i64 = -32_020;
/// Bytes of a revision's name.
const REVISION_BYTES_MAX: usize = 32;
/// Characters of a message's id.
const ID_CHARS_MAX: usize = 256;
/// Where the revision without sessions says in the body which revision it is.
const REVISION_IN_BODY: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";
/// Members of a message.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// Members of `params` that a decision or a refusal reads.
const PARAMS: [&str; 13] = [
    "name",
    "arguments",
    "uri",
    "ref",
    "argument",
    "context",
    "notifications",
    "_meta",
    "capabilities",
    "cursor",
    "task",
    "taskId",
    "taskIds",
];

/// What a message is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Wants an answer under this id.
    Request(Value),
    /// Wants none.
    Notification,
    /// Answers something that the server asked.
    Response,
}

/// A message, read strictly.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// Empty for a response.
    pub(crate) method: String,
    pub(crate) value: Value,
}

/// A fault of the protocol itself, told as a JSON-RPC error with an HTTP status of its own.
pub(crate) fn fault(id: Value, code: i64, status: u16, detail: &str) -> Stop {
    let mut stop = Stop::new(Outcome::Malformed, detail);
    stop.form = Some(Box::new(RefusalForm::JsonRpcFault { id, code, status }));
    stop
}

impl Message {
    pub(crate) fn read(body: &Bytes, headers: &HeaderMap) -> Result<Self, Stop> {
        let value = json::read(body)?;
        let invalid = |what: &str| fault(Value::Null, INVALID_REQUEST, 400, what);
        let members = value.as_object().ok_or_else(|| {
            invalid("the body is not one JSON-RPC message; batches are not served")
        })?;
        if members.get("jsonrpc").is_none_or(|version| version != "2.0") {
            return Err(invalid("the body is no JSON-RPC 2.0 message"));
        }
        if members.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(invalid("the message has a member that JSON-RPC 2.0 does not know"));
        }
        let id = match members.get("id") {
            None => None,
            Some(Value::String(id)) if id.chars().count() <= ID_CHARS_MAX => {
                Some(id.as_str().into())
            }
            Some(Value::Number(id)) if id.is_i64() || id.is_u64() => Some(id.clone().into()),
            Some(_) => return Err(invalid("`id` is neither a short text nor an integer")),
        };
        let (result, error) = (members.contains_key("result"), members.contains_key("error"));
        let answered = result != error;
        if result && error {
            return Err(invalid("the message has a result and an error"));
        }
        require_params(members.get("params"), id.as_ref())?;
        let (kind, method) = match (members.get("method"), id, answered) {
            (Some(Value::String(method)), Some(id), false) => (Kind::Request(id), method.clone()),
            (Some(Value::String(method)), None, false) => (Kind::Notification, method.clone()),
            (None, Some(_), true) => (Kind::Response, String::new()),
            _ => return Err(invalid("the message is no request, notification or response")),
        };
        let message = Self { kind, method, value };
        message.compare(headers)?;
        Ok(message)
    }

    /// The id that a refusal answers.
    pub(crate) fn id(&self) -> Value {
        match &self.kind {
            Kind::Request(id) => id.clone(),
            Kind::Notification | Kind::Response => Value::Null,
        }
    }

    pub(crate) fn refusal(&self) -> RefusalForm {
        match &self.kind {
            Kind::Request(id) => RefusalForm::JsonRpc(id.clone()),
            Kind::Notification | Kind::Response => RefusalForm::Problem,
        }
    }

    /// A text parameter.
    pub(crate) fn text(&self, name: &str) -> Result<&str, Stop> {
        let found = self.value.get("params").and_then(|params| params.get(name));
        found.and_then(Value::as_str).ok_or_else(|| {
            fault(
                self.id(),
                INVALID_PARAMS,
                400,
                &format!("`params.{name}` is missing or not text"),
            )
        })
    }

    /// No such method here.
    pub(crate) fn unknown(&self, headers: &HeaderMap) -> Stop {
        let shown: String = self.method.chars().take(64).collect();
        let status = if is_stateless(headers, &self.value) { 404 } else { 200 };
        fault(self.id(), METHOD_NOT_FOUND, status, &format!("{shown} is not served here"))
    }

    /// A header that says something else than the body.
    pub(crate) fn mismatch(&self, what: &str) -> Stop {
        fault(self.id(), HEADER_MISMATCH, 400, what)
    }

    /// What intermediaries route by must be what the body says.
    fn compare(&self, headers: &HeaderMap) -> Result<(), Stop> {
        if self.kind == Kind::Response {
            return Ok(());
        }
        let differs = |name: &str, what: &str| self.mismatch(&format!("header `{name}` {what}"));
        let revision = one(headers, "mcp-protocol-version");
        let revision = revision.map_err(|what| differs("MCP-Protocol-Version", what))?;
        if revision.as_ref().is_some_and(|revision| revision.len() > REVISION_BYTES_MAX) {
            return Err(differs("MCP-Protocol-Version", "is no revision"));
        }
        let inside = self.value.pointer(REVISION_IN_BODY).and_then(Value::as_str);
        if let (Some(said), Some(inside)) = (&revision, inside)
            && said != inside
        {
            return Err(differs("MCP-Protocol-Version", "names another revision than the body"));
        }
        let required = is_stateless(headers, &self.value);
        match one(headers, "mcp-method").map_err(|what| differs("Mcp-Method", what))? {
            Some(method) if method == self.method => {}
            None if !required => {}
            Some(_) => return Err(differs("Mcp-Method", "names another method than the body")),
            None => return Err(differs("Mcp-Method", "is missing")),
        }
        let named = match self.method.as_str() {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" => Some("uri"),
            // Where an extension has the header, too; who misses it is the server.
            "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
            _ => None,
        };
        let required = required && !self.method.starts_with("tasks/");
        let said = one(headers, "mcp-name").map_err(|what| differs("Mcp-Name", what))?;
        let body = named.and_then(|name| self.value.get("params")?.get(name)?.as_str());
        match (said, body) {
            (Some(said), Some(body)) if decode(&said).as_deref() == Some(body) => Ok(()),
            (Some(_), Some(_)) => Err(differs("Mcp-Name", "names something else than the body")),
            (None, Some(_)) if required => Err(differs("Mcp-Name", "is missing")),
            _ => Ok(()),
        }
    }
}

/// `params` are an object, and no member is another one's name but for case: some decoders (Go's)
/// would take it for that.
fn require_params(params: Option<&Value>, id: Option<&Value>) -> Result<(), Stop> {
    let id = || id.cloned().unwrap_or_default();
    let Some(params) = params else { return Ok(()) };
    let Some(params) = params.as_object() else {
        return Err(fault(id(), INVALID_PARAMS, 400, "`params` is no object"));
    };
    for name in params.keys() {
        let fold = folded(name);
        if let Some(exact) = PARAMS.iter().find(|exact| folded(exact) == fold && *exact != name) {
            let detail = format!("a member of `params` is written `{exact}`");
            return Err(fault(id(), INVALID_PARAMS, 400, &detail));
        }
    }
    Ok(())
}

/// Whether the request is of a revision without sessions, by header or body.
pub(crate) fn is_stateless(headers: &HeaderMap, message: &Value) -> bool {
    let version = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    let inside = message.pointer(REVISION_IN_BODY).and_then(Value::as_str);
    // Revisions are dates: they compare as text.
    [version, inside].into_iter().flatten().any(|version| version >= STATELESS)
}

pub(super) fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("comes twice");
    }
    value.to_str().map(|text| Some(text.to_owned())).map_err(|_| "is not plain text")
}

/// A header value that may be wrapped as `=?base64?…?=`.
pub(crate) fn decode(value: &str) -> Option<String> {
    let Some(payload) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(value.to_owned());
    };
    let decoded = STANDARD.decode(payload).ok()?;
    // Only the canonical encoding: two spellings would be two names for some.
    if STANDARD.encode(&decoded) != payload {
        return None;
    }
    String::from_utf8(decoded).ok()
}
