//! One operation: which requests it is, what it needs, and what it is told.

use std::fmt;

use bailiwick_core::permission::NEEDS_MAX;
use bailiwick_core::scope::Scope;
use bailiwick_policy::{ResourceFacts, Sensitivity};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::argument::{ArgumentConfig, Body, Place, shadow};
use super::read::argument_body;
use super::template::{IdTemplate, PathTemplate, PathValue};
use super::{OperationConfig, headers};
use crate::call::{CallEffect, Needs};
use crate::config::RouteConfig;
use crate::reads::{ResultPlace, Trusted};
use crate::upgrade::UpgradeConfig;

/// How an operation's body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyUse {
    /// There is none; one that comes is refused.
    None,
    /// A JSON document; its members are arguments.
    Json,
    /// A form; its fields are arguments.
    Form,
    /// It streams through and nothing looks at it: uploads.
    Opaque,
}

/// An operation, compiled.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) scope: Scope,
    pub(super) effect: CallEffect,
    pub(super) trust: Option<Trusted>,
    pub(super) needs: Needs,
    pub(super) template: PathTemplate,
    /// What it is told, and the way to each argument in a JSON body.
    pub(super) arguments: Vec<(ArgumentConfig, Vec<String>)>,
    /// What generous upstreams take for one of its arguments.
    pub(super) shadows: Vec<String>,
    pub(super) body: BodyUse,
    pub(super) media: Vec<String>,
    pub(super) upgrade: UpgradeConfig,
    system: String,
    sensitivity: Sensitivity,
    labels: Vec<String>,
    resource: Option<IdTemplate>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{} {}`", self.method, self.template)
    }
}

impl Operation {
    pub(super) fn compile(
        entry: &OperationConfig,
        route: &RouteConfig,
    ) -> Result<Self, Vec<String>> {
        let named = format!("operation `{} {}`", entry.method, entry.path);
        let mut faults = Vec::new();
        let method = entry.method.parse::<Method>().ok().filter(|method| {
            method.as_str().bytes().all(|b| b.is_ascii_uppercase())
                && ![Method::CONNECT, Method::TRACE].contains(method)
        });
        if method.is_none() {
            faults.push("the method is not one in capitals, such as GET".to_owned());
        }
        let scope = entry.scope.parse::<Scope>();
        if let Err(error) = &scope {
            faults.push(format!("`{}` is no scope: {error}", entry.scope));
        }
        let template = PathTemplate::parse(&entry.path).map_err(|fault| faults.push(fault));
        let looks = method.as_ref().is_some_and(|m| *m == Method::GET || *m == Method::HEAD);
        let bodyless = looks || method == Some(Method::DELETE);
        let body = entry.body.unwrap_or(if bodyless { BodyUse::None } else { BodyUse::Json });
        if !entry.media.is_empty() && body != BodyUse::Opaque {
            faults.push("`media` is for `body = \"opaque\"`".to_owned());
        }
        // Through a tunnel goes whatever both sides like.
        let looks = looks && entry.upgrade.is_empty();
        let effect =
            entry.effect.unwrap_or(if looks { CallEffect::Read } else { CallEffect::Unknown });
        let (trusts, wrapped) = (entry.trust.is_some(), route.connector.is_some());
        faults.extend(entry.upgrade.fault(method.as_ref(), body, trusts, wrapped));
        faults.extend(Trusted::fault(entry.trust.as_ref(), effect).map(str::to_owned));
        if entry.needs.len() > NEEDS_MAX {
            faults.push(format!("more than {NEEDS_MAX} `needs`"));
        }
        let keys = template.as_ref().map_or_else(
            |()| Vec::new(),
            |it| arguments(entry, it, argument_body(body), &mut faults),
        );
        let resource =
            entry.resource.as_ref().map(|text| IdTemplate::parse(text, &keys)).transpose();
        let resource = resource.map_err(|fault| faults.push(fault));
        let (Some(method), Ok(scope), Ok(template), Ok(resource), true) =
            (method, scope, template, resource, faults.is_empty())
        else {
            return Err(faults.into_iter().map(|fault| format!("{named}: {fault}")).collect());
        };
        let named = entry.argument.iter().flat_map(|it| [it.name.as_str(), it.key()]);
        let shadows = named.chain(keys.iter().map(|(key, _)| key.as_str())).map(shadow).collect();
        Ok(Self {
            method,
            scope,
            effect,
            trust: Trusted::compile(entry.trust.as_ref(), ResultPlace::Body),
            needs: entry.needs.clone().into(),
            template,
            arguments: entry.argument.iter().map(|it| (it.clone(), it.steps())).collect(),
            shadows,
            body,
            media: entry.media.iter().map(|it| it.to_ascii_lowercase()).collect(),
            upgrade: entry.upgrade.clone(),
            system: route.system.clone().unwrap_or_else(|| route.name.clone()),
            sensitivity: entry.sensitivity.unwrap_or(route.sensitivity),
            labels: entry.labels.clone().unwrap_or_else(|| route.labels.clone()),
            resource,
        })
    }

    /// Whether nothing looks at its body.
    pub(super) fn streams(&self) -> bool {
        self.body == BodyUse::Opaque
    }

    /// The path parameters of a request whose method and path are this operation's.
    pub(super) fn matches(&self, method: &Method, path: &[String]) -> Option<Vec<PathValue>> {
        if self.method == *method { self.template.fits(path) } else { None }
    }

    /// Whether two operations have the same method and the same paths.
    pub(super) fn beside(&self, other: &Self) -> bool {
        self.method == other.method && self.template.same_as(&other.template)
    }

    /// The arguments that make a request this operation and no other of its path.
    pub(super) fn fixed(&self) -> impl Iterator<Item = &(ArgumentConfig, Vec<String>)> {
        self.arguments.iter().filter(|(it, _)| it.value.is_some())
    }

    /// Whether a request could be both.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        let same = |a: &ArgumentConfig, b: &ArgumentConfig| {
            a.place == b.place && a.name == b.name && a.pointer == b.pointer
        };
        let exclusive =
            self.fixed().any(|(a, _)| other.fixed().any(|(b, _)| same(a, b) && a.value != b.value));
        self.beside(other) && !exclusive && self.fixed().count() == other.fixed().count()
    }

    /// What is touched; none when it cannot be named.
    pub(super) fn resource(
        &self,
        arguments: &Map<String, Value>,
        path: &str,
    ) -> Option<ResourceFacts> {
        let id = match &self.resource {
            None => path.to_owned(),
            Some(template) => template.fill(arguments)?,
        };
        Some(ResourceFacts {
            id,
            labels: self.labels.clone(),
            sensitivity: self.sensitivity,
            system: self.system.clone(),
        })
    }
}

/// Checks what is declared; gives the keys of all arguments, and whether slashes within each are part
/// of its name.
fn arguments(
    entry: &OperationConfig,
    template: &PathTemplate,
    body: Option<Body>,
    faults: &mut Vec<String>,
) -> Vec<(String, bool)> {
    let mut keys: Vec<(String, bool)> = Vec::new();
    for argument in &entry.argument {
        let tail = template.names().find(|(name, _)| *name == argument.name).map(|(_, tail)| tail);
        let in_path = argument.place == Place::Path;
        faults.extend(argument.faults(tail.is_some(), body));
        if argument.place == Place::Header {
            faults.extend(headers::usable(&argument.name).err());
        }
        if headers::overrides(&argument.name) {
            faults
                .push(format!("`{}` makes a request another one: declare that one", argument.name));
        }
        keys.push((argument.key().to_owned(), in_path && tail == Some(true)));
    }
    for (name, tail) in template.names() {
        let named = |it: &ArgumentConfig| it.place == Place::Path && it.name == name;
        if !entry.argument.iter().any(named) {
            keys.push((name.to_owned(), tail));
        }
    }
    let mut sorted: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
    sorted.sort_unstable();
    if let Some([key, _]) = sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        faults.push(format!("two arguments are called `{key}`; give one another `as`"));
    }
    keys
}
