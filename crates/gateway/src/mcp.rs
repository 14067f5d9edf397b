//! An MCP server behind the gateway: streamable HTTP, revisions 2026-07-28 and 2025-11-25.
//!
//! A tool call is decided with its arguments; lists show what the chain may use; tool descriptors
//! are pinned; sessions belong to the task and agent that opened them.

mod hooks;
mod message;
mod pins;
mod sessions;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bailiwick_api::ProblemCode;
use bailiwick_core::VerifiedChain;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::permission::{NEEDS_MAX, Need};
use bailiwick_core::scope::Scope;
use bailiwick_policy::{Binding, ResourceFacts, Sensitivity};
use http::Method;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::hooks::{ListFilter, ServerRequests};
use self::message::{Kind, Message, is_stateless};
use self::pins::{PinRule, Pins};
use self::sessions::Sessions;
use crate::call::{
    Asked, Call, CallEffect, Forward, Inbound, Mapped, Needs, Outgoing, OutgoingBody, RefusalForm,
    ToolFacts,
};
use crate::config::RouteConfig;
use crate::reads::{ResultPlace, Trusted};
use crate::reply::ReplyHook;
use crate::stop::Stop;
use crate::trust::TrustRule;

pub use self::pins::{Pin, PinsError, approve_pin, pins_path, read_pins};

/// Metadata that only the gateway writes.
const OURS: &str = "urn:bailiwick:";

/// An MCP server.
#[derive(Clone, Debug, Default, Deserialize)]
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
    /// What the server may ask of the agent, such as `elicitation/create`; by default nothing.
    pub server_requests: Vec<String>,
    /// The tools.
    pub tool: Vec<ToolConfig>,
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
    /// Which parts of what it returns may become later arguments (`from_read`); by default none. It
    /// takes `effect = "read"`.
    #[serde(default)]
    pub trust: Option<TrustRule>,
}

/// A tool, compiled.
struct Tool {
    scope: Scope,
    effect: CallEffect,
    resource: ResourceFacts,
    arguments: BTreeMap<String, String>,
    trust: Option<Trusted>,
    needs: Needs,
}

/// Which tools there are, and what they take.
struct Tools {
    named: BTreeMap<String, Tool>,
    template: Option<String>,
    resources: Option<Scope>,
    prompts: Option<Scope>,
    plain: ResourceFacts,
    pins: Pins,
}

impl Tools {
    /// The scope of a tool, if it is served.
    fn scope(&self, name: &str) -> Option<Scope> {
        if let Some(tool) = self.named.get(name) {
            return Some(tool.scope.clone());
        }
        self.template.as_ref()?.replace("{tool}", name).parse().ok()
    }

    /// Whether a listed tool is shown to the holder of a chain.
    fn shows(&self, descriptor: &Value, chain: &VerifiedChain) -> bool {
        let Some(name) = descriptor.get("name").and_then(Value::as_str) else { return false };
        let held = &chain.claims().authority.scopes;
        // Pinned whoever asks, so that the first agent does not decide what the next one sees.
        self.pins.admits(name, descriptor)
            && self.scope(name).is_some_and(|scope| held.covers(&scope))
    }
}

/// Reads MCP requests.
pub(crate) struct McpAdapter {
    tools: Arc<Tools>,
    binding: Binding,
    server_requests: Arc<[String]>,
    sessions: Arc<Sessions>,
}

impl McpAdapter {
    /// Compiles the configuration; each fault says what to do.
    pub(crate) fn compile(
        config: &McpConfig,
        route: &RouteConfig,
        state_dir: &Path,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let plain = ResourceFacts {
            id: route.name.clone(),
            labels: route.labels.clone(),
            sensitivity: route.sensitivity,
            system: route.system.clone().unwrap_or_else(|| route.name.clone()),
        };
        let mut named = BTreeMap::new();
        for entry in &config.tool {
            let template = config.scope_template.as_ref();
            let scope = entry.scope.clone().or(template.map(|it| it.replace("{tool}", &entry.name)));
            let Some(Ok(scope)) = scope.as_ref().map(|scope| scope.parse::<Scope>()) else {
                faults.push(format!("tool `{}`: {scope:?} is no scope; give it one", entry.name));
                continue;
            };
            let resource = ResourceFacts {
                id: entry.name.clone(),
                labels: entry.labels.clone().unwrap_or_else(|| route.labels.clone()),
                sensitivity: entry.sensitivity.unwrap_or(route.sensitivity),
                system: plain.system.clone(),
            };
            let tool = Tool {
                scope,
                effect: entry.effect.unwrap_or_default(),
                resource,
                arguments: entry.arguments.clone(),
                trust: Trusted::compile(entry.trust.as_ref(), ResultPlace::ToolResult),
                needs: entry.needs.clone().into(),
            };
            if entry.needs.len() > NEEDS_MAX {
                faults.push(format!("tool `{}`: more than {NEEDS_MAX} `needs`", entry.name));
            }
            if let Some(fault) = Trusted::fault(entry.trust.as_ref(), tool.effect) {
                faults.push(format!("tool `{}`: {fault}", entry.name));
            }
            if named.insert(entry.name.clone(), tool).is_some() {
                faults.push(format!("tool `{}` is listed twice", entry.name));
            }
        }
        if named.is_empty() && config.scope_template.is_none() {
            faults.push("there is no [[route.mcp.tool]] and no `scope_template`: every call would be refused".to_owned());
        }
        let mut scope = |name: &str, text: &Option<String>| {
            let text = text.as_ref()?;
            text.parse().map_err(|_| faults.push(format!("`{name}`: `{text}` is no scope"))).ok()
        };
        let resources = scope("resources_scope", &config.resources_scope);
        let prompts = scope("prompts_scope", &config.prompts_scope);
        let pins = Pins::open(pins_path(state_dir, &route.name), config.pin);
        let pins = pins.map_err(|error| faults.push(error.to_string())).ok();
        let (Some(pins), true) = (pins, faults.is_empty()) else { return Err(faults) };
        let template = config.scope_template.clone();
        let tools = Tools { named, template, resources, prompts, plain, pins };
        Ok(Self {
            tools: Arc::new(tools),
            binding: route.binding,
            server_requests: config.server_requests.clone().into(),
            sessions: Arc::default(),
        })
    }

    /// What each tool takes of the vendor's credential. What a template serves, a resource or a prompt
    /// says nothing.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (String, &[Need])> {
        let tools = &self.tools;
        let named = tools.named.iter().map(|(name, tool)| (format!("tool `{name}`"), &*tool.needs));
        let others = [
            ("other tools", tools.template.is_some()),
            ("resources", tools.resources.is_some()),
            ("prompts", tools.prompts.is_some()),
        ];
        let others = others.into_iter().filter(|(_, served)| *served);
        named.chain(others.map(|(name, _)| (name.to_owned(), [].as_slice())))
    }

    /// Nothing of an MCP server is public; its metadata (RFC 9728) is the gateway's.
    pub(crate) fn is_open(&self, _: &Parts, _: &str) -> bool {
        false
    }

    /// Messages are read; streams and ends of sessions have none.
    pub(crate) fn reads_body(&self, parts: &Parts) -> bool {
        parts.method == Method::POST
    }

    /// Maps one request.
    pub(crate) async fn map(
        &self,
        inbound: Inbound<'_>,
        chain: Option<&Arc<VerifiedChain>>,
    ) -> Result<Mapped, Stop> {
        let Inbound { parts, path, body } = inbound;
        if path != "/" || parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Stop::new(ProblemCode::NotFound, "the MCP endpoint is the route's own path"));
        }
        let Some(chain) = chain else { return Err(Outcome::ProvenanceMissing.into()) };
        self.sessions.require_own(&parts.headers, chain)?;
        match (&parts.method, body) {
            (&Method::POST, Some(body)) => {
                require_json(parts)?;
                let message = Message::read(&body, &parts.headers)?;
                let form = message.refusal();
                self.message(parts, message, chain).map_err(|mut stop| {
                    stop.form.get_or_insert(form);
                    stop
                })
            }
            (&Method::GET | &Method::DELETE, _) => {
                let what = if parts.method == Method::GET { "stream" } else { "session/end" };
                Ok(self.plumbing(what, parts, OutgoingBody::Untouched, RefusalForm::Problem, chain))
            }
            _ => Err(Stop::new(ProblemCode::MethodNotAllowed, "POST, GET and DELETE are served")),
        }
    }

    fn message(
        &self,
        parts: &Parts,
        message: Message,
        chain: &Arc<VerifiedChain>,
    ) -> Result<Mapped, Stop> {
        let what = match (&message.kind, message.method.as_str()) {
            (Kind::Response, _) => "response",
            (Kind::Notification, method) if method.starts_with("notifications/") => "notification",
            (Kind::Request(_), "initialize") => "initialize",
            (Kind::Request(_), "ping") => "ping",
            (Kind::Request(_), "server/discover") => "discover",
            (Kind::Request(_), "subscriptions/listen") => "listen",
            (Kind::Request(_), "logging/setLevel") => "logging",
            (Kind::Request(_), "tools/list") => "tools/list",
            (Kind::Request(_), "prompts/list") => "prompts/list",
            (Kind::Request(_), "resources/list" | "resources/templates/list") => "resources/list",
            (Kind::Request(_), _) => return self.call(parts, message, chain),
            _ => return Err(message.unknown(&parts.headers)),
        };
        let form = message.refusal();
        let body = OutgoingBody::Json { value: stripped(message.value), carry_at: None };
        Ok(self.plumbing(what, parts, body, form, chain))
    }

    /// A request that uses authority.
    fn call(
        &self,
        parts: &Parts,
        message: Message,
        chain: &Arc<VerifiedChain>,
    ) -> Result<Mapped, Stop> {
        let (scope, effect, resource, arguments, tool) = match message.method.as_str() {
            "tools/call" => self.tool_call(&message)?,
            // Gone from the revision without sessions: `subscriptions/listen` is in their place.
            "resources/subscribe" | "resources/unsubscribe" if is_stateless(&parts.headers) => {
                return Err(message.unknown(&parts.headers));
            }
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                self.target(self.tools.resources.as_ref(), &message, "uri")?
            }
            "prompts/get" => self.target(self.tools.prompts.as_ref(), &message, "name")?,
            "completion/complete" => self.completion(&message)?,
            _ => return Err(message.unknown(&parts.headers)),
        };
        let named = tool.as_ref().and_then(|tool| self.tools.named.get(&tool.name));
        let trust = named.and_then(|tool| tool.trust.clone());
        let needs = named.map(|tool| tool.needs.clone()).unwrap_or_default();
        let binding = self.binding;
        let call = Call { scope, resource, binding, arguments, effect, trust, tool, needs };
        let refusal = message.refusal();
        let carry_at = Some("/params/_meta".to_owned());
        let body = OutgoingBody::Json { value: stripped(message.value), carry_at };
        Ok(Mapped {
            asked: Asked::Call(Box::new(call)),
            forward: Forward::Upstream(outgoing(parts, body)),
            hooks: self.hooks(chain),
            refusal,
        })
    }

    fn tool_call(&self, message: &Message) -> Result<Read, Stop> {
        let name = message.text("name")?;
        let Some(scope) = self.tools.scope(name) else {
            let detail = "the tool is not one that this route serves";
            return Err(Stop::new(Outcome::ScopeNotGranted, detail));
        };
        let descriptor = self.tools.pins.usable(name).map_err(|why| {
            Stop::new(Outcome::ToolUnapproved, format!("the tool is not served now: {why}"))
        })?;
        let given = match message.value.pointer("/params/arguments") {
            None => Map::new(),
            Some(Value::Object(given)) => given.clone(),
            Some(_) => return Err(Stop::new(Outcome::Malformed, "`arguments` is no object")),
        };
        let facts = ToolFacts { name: name.to_owned(), descriptor };
        let Some(tool) = self.tools.named.get(name) else {
            let resource = ResourceFacts { id: name.to_owned(), ..self.tools.plain.clone() };
            return Ok((scope, CallEffect::Unknown, resource, given, Some(facts)));
        };
        let mut arguments = Map::new();
        for (own, value) in given {
            let key = tool.arguments.get(&own).cloned().unwrap_or(own);
            if arguments.insert(key, value).is_some() {
                return Err(Stop::new(Outcome::DuplicateMember, "two arguments have one name"));
            }
        }
        Ok((scope, tool.effect, tool.resource.clone(), arguments, Some(facts)))
    }

    /// A read of a resource or a prompt.
    fn target(&self, scope: Option<&Scope>, message: &Message, name: &str) -> Result<Read, Stop> {
        let Some(scope) = scope else {
            let detail = format!("{} is not served on this route", message.method);
            return Err(Stop::new(Outcome::ScopeNotGranted, detail));
        };
        let target = message.text(name)?;
        let mut arguments = match message.value.pointer("/params/arguments") {
            Some(Value::Object(given)) => given.clone(),
            _ => Map::new(),
        };
        arguments.insert(name.to_owned(), target.into());
        let resource = ResourceFacts { id: target.to_owned(), ..self.tools.plain.clone() };
        Ok((scope.clone(), CallEffect::Read, resource, arguments, None))
    }

    fn completion(&self, message: &Message) -> Result<Read, Stop> {
        let kind = message.value.pointer("/params/ref/type").and_then(Value::as_str);
        let (scope, at) = match kind {
            Some("ref/prompt") => (self.tools.prompts.as_ref(), "/params/ref/name"),
            Some("ref/resource") => (self.tools.resources.as_ref(), "/params/ref/uri"),
            _ => return Err(Stop::new(Outcome::Malformed, "`ref` is no prompt and no resource")),
        };
        let target = message.value.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let Some(scope) = scope else {
            return Err(Stop::new(Outcome::ScopeNotGranted, "completion of it is not served here"));
        };
        let resource = ResourceFacts { id: target.to_owned(), ..self.tools.plain.clone() };
        Ok((scope.clone(), CallEffect::Read, resource, Map::new(), None))
    }

    fn plumbing(
        &self,
        what: &'static str,
        parts: &Parts,
        body: OutgoingBody,
        refusal: RefusalForm,
        chain: &Arc<VerifiedChain>,
    ) -> Mapped {
        Mapped {
            asked: Asked::Plumbing(what),
            forward: Forward::Upstream(outgoing(parts, body)),
            hooks: self.hooks(chain),
            refusal,
        }
    }

    fn hooks(&self, chain: &Arc<VerifiedChain>) -> Vec<Box<dyn ReplyHook>> {
        let list = ListFilter { tools: Arc::clone(&self.tools), chain: Arc::clone(chain) };
        vec![
            self.sessions.learn(chain),
            Box::new(ServerRequests(Arc::clone(&self.server_requests))),
            Box::new(list),
        ]
    }
}

type Read = (Scope, CallEffect, ResourceFacts, Map<String, Value>, Option<ToolFacts>);

fn outgoing(parts: &Parts, body: OutgoingBody) -> Outgoing {
    Outgoing {
        method: parts.method.clone(),
        path_and_query: String::new(),
        headers: parts.headers.clone(),
        body,
    }
}

/// The message without metadata that only the gateway may write.
fn stripped(mut message: Value) -> Value {
    if let Some(meta) = message.pointer_mut("/params/_meta").and_then(Value::as_object_mut) {
        meta.retain(|name, _| !name.starts_with(OURS));
    }
    message
}

fn require_json(parts: &Parts) -> Result<(), Stop> {
    let said = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = said.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Stop::new(ProblemCode::UnsupportedMediaType, "a message is application/json"))
}

#[cfg(test)]
mod tests;
