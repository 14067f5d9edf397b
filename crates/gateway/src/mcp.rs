//! An MCP server behind the gateway: streamable HTTP, revisions 2026-07-28 and 2025-11-25.
//!
//! A tool call is decided with its arguments; lists show what the chain may use; tool descriptors
//! are pinned; sessions belong to the task and agent that opened them.

mod calls;
mod catalogue;
mod hooks;
pub(crate) mod message;
mod parameters;
mod pins;
mod remote;
mod sessions;
mod tools;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bailiwick_api::ProblemCode;
use bailiwick_core::VerifiedChain;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::permission::Need;
use bailiwick_policy::{Binding, Sensitivity};
use http::request::Parts;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::Value;

use self::catalogue::Place;
use self::hooks::{ListFilter, ServerRequests};
use self::message::{Kind, Message};
use self::pins::PinRule;
use self::remote::{About, TaskHook};
use self::sessions::Sessions;
use self::tools::Tools;
use crate::call::{Asked, CallEffect, Inbound, Mapped, Outgoing, OutgoingBody, RefusalForm};
use crate::config::RouteConfig;
use crate::errand::Errands;
use crate::http_api::Undeclared;
use crate::pass::{PassedHeaders, media_of, say_json};
use crate::remote::{Asker, RemoteTasks};
use crate::reply::ReplyHook;
use crate::stop::Stop;
use crate::trust::TrustRule;

pub use self::pins::{Pin, PinsError, approve_pin, pins_path, read_pins};

/// Headers of the protocol's own; `Mcp-Param-*` go on where the tool's schema declares them.
const HEADERS: &[&str] = &[
    "last-event-id",
    "mcp-method",
    "mcp-name",
    MIRRORED,
    "mcp-protocol-version",
    "mcp-session-id",
];
/// Headers that repeat arguments.
const MIRRORED: &str = "mcp-param-*";
/// The media type of a message.
const JSON: &str = "application/json";
/// Metadata that only the gateway writes.
const OURS: &str = "urn:bailiwick:";

/// An MCP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McpConfig {
    /// The scope of a tool that is not listed: `{tool}` is replaced. Without it such a tool is refused.
    pub scope_template: Option<String>,
    /// The scope of reading resources; without it there are none.
    pub resources_scope: Option<String>,
    /// The scope of prompts; without it there are none.
    pub prompts_scope: Option<String>,
    /// When a tool's descriptor is taken for the first time.
    pub(crate) pin: PinRule,
    /// Whether its tools may have names that tools of other routes have. By default such a tool waits
    /// for an operator: an agent that sees both cannot tell them apart.
    pub same_names: bool,
    /// What happens to arguments that a tool's schema does not declare, where it declares any.
    pub undeclared: Undeclared,
    /// How old, in seconds, the gateway's view of the server's tools may be when one is called.
    pub tools_age_seconds_max: u64,
    /// Headers of agents that go on to the server, besides the protocol's own and the plain ones.
    pub pass_headers: Vec<String>,
    /// What the server may ask of the agent, such as `elicitation/create`; by default nothing.
    pub server_requests: Vec<String>,
    /// The tools.
    pub tool: Vec<ToolConfig>,
}

impl Default for McpConfig {
    fn default() -> Self {
        Self {
            scope_template: None,
            resources_scope: None,
            prompts_scope: None,
            pin: PinRule::default(),
            same_names: false,
            undeclared: Undeclared::default(),
            tools_age_seconds_max: 60,
            pass_headers: Vec::new(),
            server_requests: Vec::new(),
            tool: Vec::new(),
        }
    }
}

/// One tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolConfig {
    /// Its name at the server.
    pub name: String,
    /// The scope that calling it takes; by default that of the template.
    #[serde(default)]
    pub scope: Option<String>,
    /// Whether it only looks, or only writes; what is not said counts as both.
    #[serde(default)]
    pub effect: Option<CallEffect>,
    /// How sensitive what it touches is; by default the route's.
    #[serde(default)]
    pub sensitivity: Option<Sensitivity>,
    /// Labels of what it touches; by default the route's.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// What it takes of the vendor's credential: `SELECT public.contact`. The gap report compares it
    /// with what the credential can do.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// What constraints call its arguments, where that is not their own name.
    #[serde(default)]
    pub arguments: BTreeMap<String, String>,
    /// Its own names of arguments that have to be given, besides those that its schema requires.
    #[serde(default)]
    pub required: Vec<String>,
    /// Which parts of what it returns may become later arguments (`from_read`); by default none. It
    /// takes `effect = "read"`.
    #[serde(default)]
    pub trust: Option<TrustRule>,
}

/// Reads MCP requests.
pub(crate) struct McpAdapter {
    tools: Arc<Tools>,
    binding: Binding,
    server_requests: Arc<[String]>,
    sessions: Arc<Sessions>,
    remote: Arc<RemoteTasks>,
    passed: PassedHeaders,
}

/// One request under way.
struct Asking<'a, E> {
    /// As it goes on: with the headers that do.
    parts: &'a Parts,
    chain: &'a Arc<VerifiedChain>,
    errands: &'a E,
}

impl McpAdapter {
    /// Compiles the configuration; each fault says what to do. `others` are the other MCP routes.
    pub(crate) fn compile(
        config: &McpConfig,
        route: &RouteConfig,
        state_dir: &Path,
        others: &[&str],
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        if let Some(unknown) = ServerRequests::unknown(&config.server_requests) {
            faults.push(format!(
                "`server_requests`: `{unknown}` is none of sampling/createMessage, elicitation/create and roots/list"
            ));
        }
        let tools = Tools::compile(config, route, state_dir, others);
        let tools = tools.map_err(|found| faults.extend(found)).ok();
        let passed = PassedHeaders::compile(HEADERS, &config.pass_headers);
        let passed = passed.map_err(|found| faults.extend(found)).ok();
        let remote = RemoteTasks::open(RemoteTasks::path(state_dir, &route.name));
        let remote = remote.map_err(|fault| faults.push(fault)).ok();
        let (Some(tools), Some(passed), Some(remote), true) =
            (tools, passed, remote, faults.is_empty())
        else {
            return Err(faults);
        };
        Ok(Self {
            tools: Arc::new(tools),
            binding: route.binding,
            server_requests: config.server_requests.clone().into(),
            sessions: Arc::default(),
            remote: Arc::new(remote),
            passed,
        })
    }

    /// Every scope that the route's configuration names, for its metadata (RFC 9728).
    pub(crate) fn scopes(&self) -> Vec<String> {
        self.tools.scopes()
    }

    /// What each tool takes of the vendor's credential. What a template serves, a resource or a prompt
    /// says nothing.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (String, &[Need])> {
        self.tools.needs()
    }

    /// Nothing of an MCP server is public; its metadata (RFC 9728) is the gateway's.
    pub(crate) fn is_open(&self, _: &Parts, _: &str) -> bool {
        false
    }

    /// Messages are read; streams and ends of sessions have none.
    pub(crate) fn reads_body(&self, parts: &Parts) -> bool {
        parts.method == Method::POST
    }

    /// Maps one request. What the server's tools are is asked through `errands` where it matters.
    pub(crate) async fn map<E: Errands>(
        &self,
        inbound: Inbound<'_>,
        chain: &Arc<VerifiedChain>,
        errands: &E,
    ) -> Result<Mapped, Stop> {
        let Inbound { parts, path, body } = inbound;
        if path != "/" || parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Stop::new(
                ProblemCode::NotFound,
                "the MCP endpoint is the route's own path",
            ));
        }
        self.sessions.require_own(&parts.headers, chain)?;
        let said = media_of(&parts.headers, &[JSON]);
        let mut parts = parts.clone();
        parts.headers = self.passed.going_on(&parts.headers);
        let parts = &parts;
        match (&parts.method, body) {
            (&Method::POST, Some(body)) => {
                said?;
                let message = Message::read(&body, &parts.headers)?;
                let form = message.refusal();
                let asking = Asking { parts, chain, errands };
                self.message(&asking, message).await.map_err(|mut stop| {
                    stop.form.get_or_insert_with(|| Box::new(form));
                    stop
                })
            }
            (&Method::GET | &Method::DELETE, _) => {
                // What was missed is told again within a session alone: ids of events name no owner.
                if parts.headers.contains_key("last-event-id")
                    && !sessions::is_within(&parts.headers)
                {
                    let detail = "a stream is taken up again within its session";
                    return Err(Stop::new(Outcome::Malformed, detail));
                }
                let what = if parts.method == Method::GET { "stream" } else { "session/end" };
                let body = OutgoingBody::Untouched;
                Ok(self.plumbing(what, parts, body, RefusalForm::Problem, chain, About::Nothing))
            }
            _ => Err(Stop::new(ProblemCode::MethodNotAllowed, "POST, GET and DELETE are served")),
        }
    }

    async fn message<E: Errands>(
        &self,
        asking: &Asking<'_, E>,
        message: Message,
    ) -> Result<Mapped, Stop> {
        let Asking { parts, chain, .. } = *asking;
        let task = remote::method(&message, &parts.headers);
        let mut about = About::Nothing;
        if task.is_some() || message.method == "subscriptions/listen" {
            about = remote::require_own(&self.remote, &message, &parts.headers, chain)?;
        }
        let what = match (&message.kind, message.method.as_str()) {
            (Kind::Response, _) => "response",
            (Kind::Notification, method) if method.starts_with("notifications/") => "notification",
            (Kind::Request(_), "initialize") => "initialize",
            (Kind::Request(_), "ping") => "ping",
            (Kind::Request(_), "server/discover") => "discover",
            (Kind::Request(_), "subscriptions/listen") if !calls::names_resources(&message) => {
                "listen"
            }
            // Of the holder's own session, or of this one request: nobody else hears more or less.
            (Kind::Request(_), "logging/setLevel") => "logging",
            (Kind::Request(_), "tools/list") => "tools/list",
            (Kind::Request(_), "prompts/list") => "prompts/list",
            (Kind::Request(_), "resources/list" | "resources/templates/list") => "resources/list",
            (Kind::Request(_), _) if task.is_some() => task.unwrap_or_default(),
            (Kind::Request(_), _) => {
                let (call, mirrored) = self.call(asking, &message).await?;
                let refusal = message.refusal();
                let carry_at = Some("/params/_meta".to_owned());
                if message.method == "tools/call" {
                    let task = chain.claims().txn;
                    about = About::Begins(Asker { task, scope: call.scope.clone() });
                }
                let body = OutgoingBody::Json { value: self.outbound(message.value), carry_at };
                return Ok(Mapped {
                    asked: Asked::Call(Box::new(call)),
                    outgoing: outgoing(parts, body, &mirrored),
                    hooks: self.hooks(parts, chain, about),
                    refusal,
                });
            }
            _ => return Err(message.unknown(&parts.headers)),
        };
        let form = message.refusal();
        let body = OutgoingBody::Json { value: self.outbound(message.value), carry_at: None };
        Ok(self.plumbing(what, parts, body, form, chain, about))
    }

    fn plumbing(
        &self,
        what: &'static str,
        parts: &Parts,
        body: OutgoingBody,
        refusal: RefusalForm,
        chain: &Arc<VerifiedChain>,
        about: About,
    ) -> Mapped {
        Mapped {
            asked: Asked::Plumbing(what),
            outgoing: outgoing(parts, body, &[]),
            hooks: self.hooks(parts, chain, about),
            refusal,
        }
    }

    fn hooks(
        &self,
        parts: &Parts,
        chain: &Arc<VerifiedChain>,
        about: About,
    ) -> Vec<Box<dyn ReplyHook>> {
        let ends = (parts.method == Method::DELETE).then_some(&parts.headers);
        let list = ListFilter {
            tools: Arc::clone(&self.tools),
            chain: Arc::clone(chain),
            place: Place::of(&parts.headers),
        };
        vec![
            self.sessions.learn(chain, ends),
            Box::new(ServerRequests(Arc::clone(&self.server_requests))),
            Box::new(list),
            Box::new(TaskHook { tasks: Arc::clone(&self.remote), chain: Arc::clone(chain), about }),
        ]
    }

    /// The message without what only the gateway may write, and without what only the route may allow.
    fn outbound(&self, mut message: Value) -> Value {
        if let Some(meta) = message.pointer_mut("/params/_meta").and_then(Value::as_object_mut) {
            meta.retain(|name, _| !name.starts_with(OURS));
        }
        ServerRequests(Arc::clone(&self.server_requests)).limit(&mut message);
        message
    }
}

/// `mirrored` are the headers that the tool's schema declares.
fn outgoing(parts: &Parts, body: OutgoingBody, mirrored: &[HeaderName]) -> Outgoing {
    let mut headers = parts.headers.clone();
    let mirrors = |name: &&HeaderName| name.as_str().starts_with(MIRRORED.trim_end_matches('*'));
    let undeclared = headers.keys().filter(mirrors).filter(|name| !mirrored.contains(name));
    for name in undeclared.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    if matches!(body, OutgoingBody::Json { .. }) {
        say_json(&mut headers, JSON);
    }
    Outgoing { method: parts.method.clone(), path_and_query: String::new(), headers, body }
}

#[cfg(test)]
mod tests;
