//! An HTTP API behind the gateway: operations mapped to scopes, parameters to constraint keys.
//!
//! Whatever a request says is either declared, and then seen by constraints and policy, or it is
//! refused. The one canonical form of the request decides and is forwarded.

mod argument;
pub(crate) mod canonical;
mod openapi;
mod operation;

use std::path::{Path, PathBuf};

use bailiwick_core::permission::Need;
use bailiwick_policy::{Binding, Sensitivity};
use http::request::Parts;
use serde::Deserialize;

use self::argument::ArgumentConfig;
pub(crate) use self::operation::BodyUse;
use self::operation::Operation;
use crate::call::{
    Asked, Call, CallEffect, Forward, Inbound, Mapped, Outgoing, OutgoingBody, RefusalForm,
};
use crate::config::RouteConfig;
use crate::stop::Stop;
use crate::trust::TrustRule;

/// Headers by which some frameworks let a request be another one.
const OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// An HTTP API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// An OpenAPI 3.0 or 3.1 document, JSON or YAML, whose operations are added to those here.
    pub openapi: Option<PathBuf>,
    /// The scope of an operation of the document that names none: `{operationId}` is replaced.
    pub scope_template: Option<String>,
    /// What happens to a query parameter or a body member that no operation declares.
    pub undeclared: Undeclared,
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
    /// They go on, and constraints and policy see them under their own names.
    Pass,
}

/// One operation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationConfig {
    /// The method.
    pub method: String,
    /// The path below the route, with parameters in braces: `/contacts/{id}`.
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
    /// What it is told besides its path parameters.
    #[serde(default)]
    pub argument: Vec<ArgumentConfig>,
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
}

impl HttpAdapter {
    /// Compiles the configuration; each fault says what to do.
    pub(crate) fn compile(config: &HttpConfig, route: &RouteConfig) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut entries = config.operation.clone();
        if let Some(path) = &config.openapi {
            match openapi::read(path, config.scope_template.as_deref()) {
                Ok(found) => entries.extend(found),
                Err(fault) => faults.push(fault),
            }
        }
        let mut operations: Vec<Operation> = Vec::new();
        for entry in &entries {
            match Operation::compile(entry, route) {
                Ok(operation) => {
                    if let Some(other) = operations.iter().find(|other| other.same_as(&operation)) {
                        faults.push(format!("{operation} and {other} match the same requests"));
                    }
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
        // Literal segments before parameters: `/contacts/me` is not a contact called me.
        operations.sort_by(Operation::by_precedence);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self { operations, binding: route.binding, undeclared: config.undeclared })
    }

    /// What each operation takes of the vendor's credential.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (String, &[Need])> {
        self.operations.iter().map(|operation| (operation.to_string(), &*operation.needs))
    }

    /// Whether the body has to be read before the request can be mapped.
    pub(crate) fn reads_body(&self, parts: &Parts, path: &str) -> bool {
        let Ok(segments) = canonical::segments(path) else { return false };
        let found = self.operations.iter().find(|it| it.matches(&parts.method, &segments).is_some());
        found.is_some_and(|operation| !operation.streams())
    }

    /// Maps one request.
    pub(crate) fn map(&self, inbound: Inbound<'_>) -> Result<Mapped, Stop> {
        let Inbound { parts, path, body } = inbound;
        for name in OVERRIDES {
            if parts.headers.contains_key(name) {
                let detail = format!("`{name}` would make this another request; send that one");
                return Err(Stop::new(bailiwick_core::Outcome::Malformed, detail));
            }
        }
        let segments = canonical::segments(path)?;
        let found = self.operations.iter().find_map(|operation| {
            Some((operation, operation.matches(&parts.method, &segments)?))
        });
        let Some((operation, parameters)) = found else {
            return Err(self.unmapped(&segments));
        };
        let read = operation.read(parts, parameters, body, self.undeclared)?;
        let call = Call {
            scope: operation.scope.clone(),
            resource: operation.resource(&read.arguments, &read.path),
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
            headers: parts.headers.clone(),
            body: read.body.map_or(OutgoingBody::Untouched, OutgoingBody::Bytes),
        };
        Ok(Mapped {
            asked: Asked::Call(Box::new(call)),
            forward: Forward::Upstream(outgoing),
            hooks: Vec::new(),
            refusal: RefusalForm::Problem,
        })
    }

    fn unmapped(&self, segments: &[String]) -> Stop {
        let known = self.operations.iter().any(|operation| operation.fits(segments).is_some());
        let (code, detail) = if known {
            (bailiwick_api::ProblemCode::MethodNotAllowed, "no operation of this path has the method")
        } else {
            (bailiwick_api::ProblemCode::NotFound, "no operation of this route has the path")
        };
        Stop::new(code, detail)
    }
}

#[cfg(test)]
mod tests;
