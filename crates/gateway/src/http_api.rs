//! An HTTP API behind the gateway: operations mapped to scopes, parameters to constraint keys.
//!
//! Whatever a request says is either declared, and then seen by constraints and policy, or it is
//! refused. The one canonical form of the request decides and is forwarded.

mod argument;
mod body;
pub(crate) mod canonical;
mod headers;
mod openapi;
mod operation;
mod read;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::permission::Need;
use bailiwick_policy::{Binding, Sensitivity};
use http::HeaderName;
use http::request::Parts;
use serde::Deserialize;

use self::argument::ArgumentConfig;
pub(crate) use self::headers::usable as usable_header;
pub(crate) use self::operation::BodyUse;
use self::operation::Operation;
use self::read::Told;
pub(crate) use self::read::says_the_same;
use crate::call::{Asked, Call, CallEffect, Inbound, Mapped, Outgoing, OutgoingBody, RefusalForm};
use crate::config::RouteConfig;
use crate::stop::Stop;
use crate::trust::TrustRule;
use crate::upgrade::UpgradeConfig;

/// An HTTP API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// An OpenAPI 3.0 or 3.1 document, JSON or YAML, whose operations are added to those here.
    pub openapi: Option<PathBuf>,
    /// The scope of an operation of the document that names none: `{operationId}` is replaced.
    pub scope_template: Option<String>,
    /// What the document does not say of its operations, by `operationId`; it goes before what the
    /// document says.
    pub mapping: BTreeMap<String, MappingConfig>,
    /// What happens to a query parameter or a body member that no operation declares.
    pub undeclared: Undeclared,
    /// Headers that go on though no operation declares them. Others, but for the plain ones of HTTP,
    /// are left out.
    pub pass_headers: Vec<String>,
    /// The operations. What none of them matches is refused.
    pub operation: Vec<OperationConfig>,
}

/// What happens to arguments that an operation does not declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Undeclared {
    /// The request is refused.
    #[default]
    Refuse,
    /// They go on, and constraints and policy see them under exactly their own names.
    Pass,
}

/// One operation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationConfig {
    /// The method.
    pub method: String,
    /// The path below the route: `/contacts/{id}`, or `/files/{path+}` for all that is below. With a
    /// slash at its end, that is what the upstream gets.
    pub path: String,
    /// The scope that it takes.
    pub scope: String,
    /// Whether it only looks, or only writes; by default GET and HEAD look, and everything else counts
    /// as both.
    #[serde(default)]
    pub effect: Option<CallEffect>,
    /// Which parts of the JSON that it returns may become later arguments (`from_read`); by default
    /// none. It takes an operation that reads.
    #[serde(default)]
    pub trust: Option<TrustRule>,
    /// How sensitive what it touches is; by default the route's.
    #[serde(default)]
    pub sensitivity: Option<Sensitivity>,
    /// Labels of what it touches; by default the route's.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// The id of what it touches, with arguments in braces: `contact/{id}`. By default its path.
    #[serde(default)]
    pub resource: Option<String>,
    /// What it takes of the vendor's credential: `s3:GetObject`, or with what it is done to,
    /// `SELECT public.contact`. The gap report compares it with what the credential can do.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// How the body is read; by default not at all for GET, HEAD and DELETE, and else as JSON.
    #[serde(default)]
    pub body: Option<BodyUse>,
    /// Media types of an opaque body; by default any but a form.
    #[serde(default)]
    pub media: Vec<String>,
    /// What it is told besides its path parameters.
    #[serde(default)]
    pub argument: Vec<ArgumentConfig>,
    /// What its connection may become, such as `websocket`; by default nothing. What goes through it
    /// then is not looked at.
    #[serde(default)]
    pub upgrade: UpgradeConfig,
}

/// What a document does not say of one of its operations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MappingConfig {
    /// The scope that it takes.
    pub scope: Option<String>,
    /// Whether it only looks, or only writes.
    pub effect: Option<CallEffect>,
    /// Which parts of what it returns may become later arguments.
    pub trust: Option<TrustRule>,
    /// How sensitive what it touches is.
    pub sensitivity: Option<Sensitivity>,
    /// Labels of what it touches.
    pub labels: Option<Vec<String>>,
    /// The id of what it touches.
    pub resource: Option<String>,
    /// What it takes of the vendor's credential.
    pub needs: Option<Vec<Need>>,
    /// How the body is read.
    pub body: Option<BodyUse>,
    /// Media types of an opaque body.
    pub media: Vec<String>,
    /// Arguments, in place of those that the document declares at the same place.
    pub argument: Vec<ArgumentConfig>,
    /// What its connection may become.
    pub upgrade: Option<UpgradeConfig>,
}

impl HttpConfig {
    /// Makes the paths of files absolute.
    pub(crate) fn resolve(&mut self, base: &Path) {
        if let Some(path) = &mut self.openapi
            && path.is_relative()
        {
            *path = base.join(&path);
        }
    }
}

/// Reads HTTP requests.
pub(crate) struct HttpAdapter {
    operations: Vec<Operation>,
    binding: Binding,
    undeclared: Undeclared,
    passed: Vec<HeaderName>,
}

impl HttpAdapter {
    /// Compiles the configuration; each fault says what to do.
    pub(crate) fn compile(config: &HttpConfig, route: &RouteConfig) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut entries = config.operation.clone();
        match &config.openapi {
            Some(path) => match openapi::read(path, config) {
                Ok(found) => entries.extend(found),
                Err(found) => faults.extend(found),
            },
            None if config.mapping.is_empty() => {}
            None => faults.push("[route.http.mapping] needs an `openapi` document".to_owned()),
        }
        let mut operations: Vec<Operation> = Vec::new();
        for entry in &entries {
            match Operation::compile(entry, route) {
                Ok(operation) => {
                    faults
                        .extend(operations.iter().filter_map(|other| conflict(other, &operation)));
                    operations.push(operation);
                }
                Err(found) => faults.extend(found),
            }
        }
        if operations.is_empty() && faults.is_empty() {
            faults.push(
                "there is no [[route.http.operation]] and no `openapi` operation with a scope: \
                 every request would be refused"
                    .to_owned(),
            );
        }
        let mut passed = Vec::new();
        for name in &config.pass_headers {
            match headers::usable(name) {
                Ok(name) => passed.push(name),
                Err(fault) => faults.push(fault),
            }
        }
        operations.sort_by_key(|it| (it.template.rank(), std::cmp::Reverse(it.fixed().count())));
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self { operations, binding: route.binding, undeclared: config.undeclared, passed })
    }

    /// What each operation takes of the vendor's credential.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (String, &[Need])> {
        self.operations.iter().map(|operation| (operation.to_string(), &*operation.needs))
    }

    /// Whether the body has to be read before the request can be mapped.
    pub(crate) fn reads_body(&self, parts: &Parts, path: &str) -> bool {
        let Ok(path) = canonical::segments(path) else { return false };
        let found = self.operations.iter().find(|it| it.matches(&parts.method, &path).is_some());
        found.is_some_and(|operation| !operation.streams())
    }

    /// What the connection of a request may become; none when no operation has its path and method.
    pub(crate) fn upgrade(&self, parts: &Parts, path: &str) -> Option<&UpgradeConfig> {
        let path = canonical::segments(path).ok()?;
        let found = self.operations.iter().find(|it| it.matches(&parts.method, &path).is_some());
        found.map(|operation| &operation.upgrade)
    }

    /// Maps one request.
    pub(crate) fn map(&self, inbound: Inbound<'_>) -> Result<Mapped, Stop> {
        let Inbound { parts, path, body } = inbound;
        if let Some(name) = headers::overriding(&parts.headers) {
            let detail = format!("`{name}` would make this another request; send that one");
            return Err(Stop::new(Outcome::Malformed, detail));
        }
        let path = canonical::segments(path)?;
        let mut before = self.operations.iter().filter(|it| it.method == parts.method);
        let mut closer = false;
        let first = before.find_map(|it| match it.template.fits(&path) {
            Some(values) => Some((it, values)),
            None => {
                closer |= it.template.fits_loosely(&path);
                None
            }
        });
        let (first, values) = first.ok_or_else(|| self.unmapped(&path))?;
        if closer {
            let detail = "the path is another operation's but for upper and lower case";
            return Err(Stop::new(Outcome::Malformed, detail));
        }
        let told = Told::read(parts, values, body, first.body, &first.media)?;
        // Of the operations of one path, the one whose fixed arguments say so.
        let fits = |it: &&Operation| it.fixed().all(|(fixed, steps)| told.says(fixed, steps));
        let operation = self.operations.iter().filter(|it| it.beside(first)).find(fits);
        let operation = operation.ok_or_else(|| {
            let detail = "no operation of this path and method is what the request says";
            Stop::new(ProblemCode::NotFound, detail)
        })?;
        let read = operation.read(told, self)?;
        let resource = operation.resource(&read.arguments, &read.path).ok_or_else(|| {
            let detail = "what names the resource is not given as one plain value";
            Stop::new(Outcome::Malformed, detail)
        })?;
        let call = Call {
            scope: operation.scope.clone(),
            resource,
            binding: self.binding,
            arguments: read.arguments,
            effect: operation.effect,
            trust: operation.trust.clone(),
            tool: None,
            needs: operation.needs.clone(),
        };
        let path_and_query = match read.query.as_str() {
            "" => read.path,
            query => format!("{}?{query}", read.path),
        };
        let outgoing = Outgoing {
            method: parts.method.clone(),
            path_and_query,
            headers: read.headers,
            body: read.body.map_or(OutgoingBody::Untouched, OutgoingBody::Bytes),
        };
        Ok(Mapped {
            asked: Asked::Call(Box::new(call)),
            outgoing,
            hooks: Vec::new(),
            refusal: RefusalForm::Problem,
        })
    }

    fn unmapped(&self, path: &[String]) -> Stop {
        let known = self.operations.iter().any(|operation| operation.template.fits(path).is_some());
        let (code, detail) = if known {
            (ProblemCode::MethodNotAllowed, "no operation of this path has the method")
        } else {
            (ProblemCode::NotFound, "no operation of this route has the path")
        };
        Stop::new(code, detail)
    }
}

/// Why two operations cannot stand beside each other.
fn conflict(a: &Operation, b: &Operation) -> Option<String> {
    if a.clashes(b) {
        return Some(format!("{b} and {a} match the same requests"));
    }
    let alike = a.body == b.body && a.media == b.media;
    if a.beside(b) && a.upgrade != b.upgrade {
        return Some(format!("{b} and {a} have another `upgrade`"));
    }
    (a.beside(b) && !alike).then(|| format!("{b} and {a} read the body in different ways"))
}

#[cfg(test)]
mod tests;
