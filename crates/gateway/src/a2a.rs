//! An A2A v1 agent behind the gateway: JSON-RPC and HTTP+JSON.
//!
//! A message names the skill that it is for in `metadata["urn:bailiwick:skill"]`; skills are scopes.
//! A remote task, and the context it is in, belong to the task of the chain that began it: nobody else
//! may look at it, follow it, go on with it or cancel it.

mod binding;
mod card;
mod message;
pub(crate) mod operation;
mod refusal;

use std::path::Path;
use std::sync::Arc;

use bailiwick_core::VerifiedChain;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_policy::{Binding, ResourceFacts, Sensitivity};
use bytes::Bytes;
use http::request::Parts;
use serde::Deserialize;

use self::binding::{Learn, OnlyOwn, OwnList};
use self::card::CardRewrite;
use self::message::Sent;
use self::operation::{Operation, Wire};
use crate::call::{
    Asked, Call, CallEffect, Inbound, Mapped, Outgoing, OutgoingBody, RefusalForm, ToolFacts,
};
use crate::config::RouteConfig;
use crate::constrained::require_given;
use crate::json;
use crate::pass::{PassedHeaders, media_of, say_json};
use crate::remote::{Asker, RemoteKind, RemoteTasks};
use crate::stop::Stop;

pub(crate) use self::refusal::{A2aError, told};

/// Where an agent publishes its card (A2A §8.2).
pub(crate) const CARD_PATH: &str = "/.well-known/agent-card.json";
/// Headers of the protocol's own.
const HEADERS: &[&str] = &["a2a-version", "a2a-extensions"];
/// The media types of a message.
const MEDIA: [&str; 2] = ["application/json", "application/a2a+json"];
/// The extension by which an agent says that it takes delegated work only with its chain.
pub(crate) const CHAIN_EXTENSION: &str = "urn:bailiwick:chain";
/// The member of a message's metadata that names the skill.
pub(crate) const SKILL_KEY: &str = "urn:bailiwick:skill";

/// An A2A agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct A2aConfig {
    /// The path below the route of its JSON-RPC endpoint.
    pub rpc_path: Option<String>,
    /// The path below the route where its HTTP+JSON binding begins.
    pub rest_path: Option<String>,
    /// The skill of a message that names none; without it such a message is refused.
    pub default_skill: Option<String>,
    /// Headers of agents that go on, besides the protocol's own and the plain ones.
    pub pass_headers: Vec<String>,
    /// The hash of the agent's card (`sha-256:…` of its RFC 8785 form); another card is withheld.
    pub card: Option<String>,
    /// Its skills. One that is not listed is not in the card and cannot be asked for.
    pub skill: Vec<SkillConfig>,
}

/// One skill.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkillConfig {
    /// Its id in the agent's card.
    pub id: String,
    /// The scope that asking for it takes.
    pub scope: String,
    /// How sensitive what it handles is; by default the route's.
    #[serde(default)]
    pub sensitivity: Option<Sensitivity>,
    /// Labels; by default the route's.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
}

/// A skill, compiled.
struct Skill {
    scope: Scope,
    resource: ResourceFacts,
}

/// Reads A2A requests.
pub(crate) struct A2aAdapter {
    rpc_path: String,
    rest_path: String,
    default_skill: Option<String>,
    skills: Arc<std::collections::BTreeMap<String, Skill>>,
    binding: Binding,
    card: Arc<CardRewrite>,
    remote: Arc<RemoteTasks>,
    passed: PassedHeaders,
}

impl A2aAdapter {
    /// Compiles the configuration; each fault says what to do.
    pub(crate) fn compile(
        config: &A2aConfig,
        route: &RouteConfig,
        public_url: &str,
        state_dir: &Path,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let remote = RemoteTasks::open(RemoteTasks::path(state_dir, &route.name));
        let remote = remote.map_err(|fault| faults.push(fault)).ok();
        let mut skills = std::collections::BTreeMap::new();
        let system = route.system.clone().unwrap_or_else(|| route.name.clone());
        for entry in &config.skill {
            let Ok(scope) = entry.scope.parse() else {
                faults.push(format!("skill `{}`: `{}` is no scope", entry.id, entry.scope));
                continue;
            };
            let resource = ResourceFacts {
                id: entry.id.clone(),
                labels: entry.labels.clone().unwrap_or_else(|| route.labels.clone()),
                sensitivity: entry.sensitivity.unwrap_or(route.sensitivity),
                system: system.clone(),
            };
            if skills.insert(entry.id.clone(), Skill { scope, resource }).is_some() {
                faults.push(format!("skill `{}` is listed twice", entry.id));
            }
        }
        if skills.is_empty() {
            faults.push("there is no [[route.a2a.skill]]: every message would be refused".into());
        }
        if let Some(skill) = &config.default_skill
            && !skills.contains_key(skill)
        {
            faults.push(format!("`default_skill` names `{skill}`, which is not listed"));
        }
        let rpc_path = config.rpc_path.clone().unwrap_or_else(|| "/".to_owned());
        let rest_path = config.rest_path.clone().unwrap_or_default();
        if !rpc_path.starts_with('/') || !(rest_path.is_empty() || rest_path.starts_with('/')) {
            faults.push("`rpc_path` and `rest_path` begin with `/`".to_owned());
        }
        let passed = PassedHeaders::compile(HEADERS, &config.pass_headers);
        let passed = passed.map_err(|found| faults.extend(found)).ok();
        let (Some(remote), Some(passed), true) = (remote, passed, faults.is_empty()) else {
            return Err(faults);
        };
        let base = format!("{public_url}{}", route.path.trim_end_matches('/'));
        let card = CardRewrite {
            rpc_url: format!("{base}{rpc_path}"),
            rest_url: format!("{base}{rest_path}"),
            skills: skills.keys().cloned().collect(),
            pinned: config.card.clone(),
        };
        Ok(Self {
            rpc_path,
            rest_path: rest_path.trim_end_matches('/').to_owned(),
            default_skill: config.default_skill.clone(),
            skills: Arc::new(skills),
            binding: route.binding,
            card: Arc::new(card),
            remote: Arc::new(remote),
            passed,
        })
    }

    /// Whether this is the public card.
    pub(crate) fn is_open(&self, parts: &Parts, path: &str) -> bool {
        parts.method == http::Method::GET && path == CARD_PATH
    }

    /// Bodies are always read: the message decides.
    pub(crate) fn reads_body(&self, parts: &Parts) -> bool {
        parts.method == http::Method::POST
    }

    /// How a request is refused: in the form of the binding that it is of.
    pub(crate) fn form(&self, parts: &Parts, path: &str, body: Option<&Bytes>) -> RefusalForm {
        let rpc = parts.method == http::Method::POST && path == self.rpc_path;
        let id = rpc.then(|| body.and_then(operation::id).unwrap_or_default());
        RefusalForm::A2a { id, error: None }
    }

    /// Maps one request.
    pub(crate) fn map(
        &self,
        inbound: Inbound<'_>,
        chain: Option<&Arc<VerifiedChain>>,
    ) -> Result<Mapped, Stop> {
        let (parts, path, body) = (inbound.parts, inbound.path, inbound.body.clone());
        self.mapped(inbound, chain).map_err(|mut stop| {
            let mut form = self.form(parts, path, body.as_ref());
            if let (RefusalForm::A2a { error, .. }, Some(RefusalForm::A2a { error: named, .. })) =
                (&mut form, stop.form.as_deref())
            {
                *error = *named;
            }
            stop.form = Some(Box::new(form));
            stop
        })
    }

    fn mapped(
        &self,
        inbound: Inbound<'_>,
        chain: Option<&Arc<VerifiedChain>>,
    ) -> Result<Mapped, Stop> {
        if self.is_open(inbound.parts, inbound.path) {
            return Ok(self.card(&inbound));
        }
        require_version(inbound.parts)?;
        let mut headers = self.passed.going_on(&inbound.parts.headers);
        if inbound.body.as_ref().is_some_and(|body| !body.is_empty()) {
            say_json(&mut headers, media_of(&inbound.parts.headers, &MEDIA)?);
        }
        let (operation, wire) = self.operation(&inbound)?;
        let refusal = wire.refusal();
        let Some(chain) = chain else {
            let detail = "no delegated work without its chain";
            return Err(Stop::new(Outcome::ProvenanceMissing, detail));
        };
        let outgoing = |body| Outgoing {
            method: inbound.parts.method.clone(),
            path_and_query: wire.path_and_query.clone(),
            headers,
            body,
        };
        match operation {
            Operation::Send(sent) => self.send(*sent, &wire, chain, outgoing, refusal),
            Operation::OfTask { what, task } => {
                self.remote.require_own(RemoteKind::Task, &task, chain)?;
                let (tasks, chain) = (Arc::clone(&self.remote), Arc::clone(chain));
                let hook = Box::new(OnlyOwn { tasks, chain, rpc: wire.is_rpc() });
                let body = wire.body.clone().map_or(OutgoingBody::Untouched, OutgoingBody::Bytes);
                Ok(plumbing(what, outgoing(body), vec![hook], refusal))
            }
            Operation::ListTasks => {
                let (tasks, chain) = (Arc::clone(&self.remote), Arc::clone(chain));
                let hook = Box::new(OwnList { tasks, chain, rpc: wire.is_rpc() });
                let body = wire.body.clone().map_or(OutgoingBody::Untouched, OutgoingBody::Bytes);
                Ok(plumbing("tasks/list", outgoing(body), vec![hook], refusal))
            }
            Operation::ExtendedCard => {
                let hook = Box::new(self.card.hook());
                let body = wire.body.clone().map_or(OutgoingBody::Untouched, OutgoingBody::Bytes);
                Ok(plumbing("card", outgoing(body), vec![hook], refusal))
            }
        }
    }

    fn send(
        &self,
        sent: Sent,
        wire: &Wire,
        chain: &Arc<VerifiedChain>,
        outgoing: impl FnOnce(OutgoingBody) -> Outgoing,
        refusal: RefusalForm,
    ) -> Result<Mapped, Stop> {
        for (kind, id) in [(RemoteKind::Task, &sent.task), (RemoteKind::Context, &sent.context)] {
            if let Some(id) = id {
                self.remote.require_own(kind, id, chain)?;
            }
        }
        let named = sent.skill.as_ref().or(self.default_skill.as_ref());
        let Some(name) = named else {
            let detail =
                format!("the message names no skill: put it into metadata[\"{SKILL_KEY}\"]");
            return Err(Stop::new(Outcome::ScopeNotGranted, detail));
        };
        let Some(skill) = self.skills.get(name) else {
            let detail = "the message names a skill that this agent does not offer here";
            return Err(Stop::new(Outcome::ScopeNotGranted, detail));
        };
        let claims = chain.claims();
        // Whoever lacks the scope is told that, later. Skills declare no arguments, so that a constraint
        // for all scopes is about none of them.
        if claims.authority.scopes.covers(&skill.scope) {
            require_given(claims, &skill.scope, &sent.arguments, |_| false, |_| false)?;
        }
        let call = Call {
            scope: skill.scope.clone(),
            resource: skill.resource.clone(),
            binding: self.binding,
            arguments: sent.arguments,
            effect: CallEffect::Unknown,
            trust: None,
            tool: Some(ToolFacts { name: name.clone(), descriptor: None }),
            needs: crate::call::Needs::default(),
        };
        let body = OutgoingBody::Json { value: sent.body, carry_at: Some(sent.carry_at) };
        let asker = Asker { task: claims.txn, scope: skill.scope.clone() };
        let hook = Learn { tasks: Arc::clone(&self.remote), asker, rpc: wire.is_rpc() };
        debug_assert!(wire.body.is_some(), "a message has a body");
        Ok(Mapped {
            asked: Asked::Call(Box::new(call)),
            outgoing: outgoing(body),
            hooks: vec![Box::new(hook)],
            refusal,
        })
    }

    fn card(&self, inbound: &Inbound<'_>) -> Mapped {
        Mapped {
            asked: Asked::Open("card"),
            outgoing: Outgoing {
                method: http::Method::GET,
                path_and_query: CARD_PATH.to_owned(),
                headers: self.passed.going_on(&inbound.parts.headers),
                body: OutgoingBody::Untouched,
            },
            hooks: vec![Box::new(self.card.hook())],
            refusal: RefusalForm::A2a { id: None, error: None },
        }
    }

    fn operation(&self, inbound: &Inbound<'_>) -> Result<(Operation, Wire), Stop> {
        let body = match &inbound.body {
            Some(bytes) if !bytes.is_empty() => {
                Some(json::read(bytes).map_err(|stop| operation::unread(stop, bytes))?)
            }
            _ => None,
        };
        let post = inbound.parts.method == http::Method::POST;
        if post && inbound.path == self.rpc_path {
            return operation::json_rpc(&self.rpc_path, body);
        }
        let rest = inbound.path.strip_prefix(self.rest_path.as_str());
        let rest =
            rest.ok_or_else(|| Stop::new(bailiwick_api::ProblemCode::NotFound, "no such path"))?;
        operation::rest(
            &inbound.parts.method,
            &self.rest_path,
            rest,
            inbound.parts.uri.query(),
            body,
        )
    }
}

fn plumbing(
    what: &'static str,
    outgoing: Outgoing,
    hooks: Vec<Box<dyn crate::reply::ReplyHook>>,
    refusal: RefusalForm,
) -> Mapped {
    Mapped { asked: Asked::Plumbing(what), outgoing, hooks, refusal }
}

fn require_version(parts: &Parts) -> Result<(), Stop> {
    let mut versions = parts.headers.get_all("a2a-version").iter();
    let good = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|text| text == "1" || text.starts_with("1."))
    };
    // Absent means 0.3 by the specification (§3.6.2), which this gateway does not read.
    if versions.next().is_some_and(good) && versions.next().is_none() {
        return Ok(());
    }
    let detail = "send one `A2A-Version: 1.0` header; other versions are not read here";
    Err(refusal::stop(Outcome::Malformed, A2aError::VersionNotSupported, detail))
}

#[cfg(test)]
mod tests;
