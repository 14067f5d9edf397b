//! One operation: which requests it is, and what of them is decided on.

use std::cmp::Ordering;
use std::fmt;

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::permission::NEEDS_MAX;
use bailiwick_core::scope::Scope;
use bailiwick_policy::{ResourceFacts, Sensitivity};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::argument::{ArgumentConfig, Kind, Place};
use super::{OperationConfig, Undeclared, canonical};
use crate::call::{CallEffect, Needs};
use crate::config::RouteConfig;
use crate::json;
use crate::reads::{ResultPlace, Trusted};
use crate::stop::Stop;

/// How an operation's body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyUse {
    /// There is none; one that comes is refused.
    None,
    /// A JSON object; its members are arguments.
    Json,
    /// A form; its fields are arguments.
    Form,
    /// It streams through and nothing looks at it: uploads.
    Opaque,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
}

/// An operation, compiled.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) scope: Scope,
    pub(super) effect: CallEffect,
    pub(super) trust: Option<Trusted>,
    pub(super) needs: Needs,
    template: Vec<Segment>,
    arguments: Vec<ArgumentConfig>,
    body: BodyUse,
    system: String,
    sensitivity: Sensitivity,
    labels: Vec<String>,
    resource: Option<String>,
}

/// A request as it is decided on and forwarded.
pub(super) struct Read {
    pub(super) arguments: Map<String, Value>,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Option<Bytes>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{} ", self.method)?;
        for segment in &self.template {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        f.write_str("`")
    }
}

impl Operation {
    pub(super) fn compile(entry: &OperationConfig, route: &RouteConfig) -> Result<Self, Vec<String>> {
        let named = format!("operation `{} {}`", entry.method, entry.path);
        let mut faults = Vec::new();
        let method = entry.method.parse::<Method>().ok().filter(|method| {
            method.as_str().bytes().all(|b| b.is_ascii_uppercase())
                && ![Method::CONNECT, Method::TRACE].contains(method)
        });
        if method.is_none() {
            faults.push(format!("{named}: the method is not one in capitals, such as GET"));
        }
        let scope = entry.scope.parse::<Scope>();
        if let Err(error) = &scope {
            faults.push(format!("{named}: `{}` is no scope: {error}", entry.scope));
        }
        let template = template(&entry.path).map_err(|fault| faults.push(format!("{named}: {fault}")));
        let template = template.unwrap_or_default();
        let looks = method.as_ref().is_some_and(|m| *m == Method::GET || *m == Method::HEAD);
        let bodyless = looks || method == Some(Method::DELETE);
        let body = entry.body.unwrap_or(if bodyless { BodyUse::None } else { BodyUse::Json });
        let arguments = arguments(entry, &template, body, &named, &mut faults);
        let effect =
            entry.effect.unwrap_or(if looks { CallEffect::Read } else { CallEffect::Unknown });
        if let Some(fault) = Trusted::fault(entry.trust.as_ref(), effect) {
            faults.push(format!("{named}: {fault}"));
        }
        if entry.needs.len() > NEEDS_MAX {
            faults.push(format!("{named}: more than {NEEDS_MAX} `needs`"));
        }
        let (Some(method), Ok(scope), true) = (method, scope, faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Self {
            method,
            scope,
            effect,
            trust: Trusted::compile(entry.trust.as_ref(), ResultPlace::Body),
            needs: entry.needs.clone().into(),
            template,
            arguments,
            body,
            system: route.system.clone().unwrap_or_else(|| route.name.clone()),
            sensitivity: entry.sensitivity.unwrap_or(route.sensitivity),
            labels: entry.labels.clone().unwrap_or_else(|| route.labels.clone()),
            resource: entry.resource.clone(),
        })
    }

    /// Whether nothing looks at its body.
    pub(super) fn streams(&self) -> bool {
        self.body == BodyUse::Opaque
    }

    /// Whether two operations match the same requests.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let alike = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
            _ => false,
        };
        self.method == other.method
            && self.template.len() == other.template.len()
            && self.template.iter().zip(&other.template).all(alike)
    }

    /// Literal segments come before parameters.
    pub(super) fn by_precedence(a: &Self, b: &Self) -> Ordering {
        let rank = |operation: &Self| -> Vec<bool> {
            operation.template.iter().map(|s| matches!(s, Segment::Parameter(_))).collect()
        };
        rank(a).cmp(&rank(b))
    }

    /// The path parameters of a request that this operation is.
    pub(super) fn matches(&self, method: &Method, segments: &[String]) -> Option<Vec<(String, String)>> {
        if self.method != *method {
            return None;
        }
        self.fits(segments)
    }

    /// The path parameters, whatever the method.
    pub(super) fn fits(&self, segments: &[String]) -> Option<Vec<(String, String)>> {
        if self.template.len() != segments.len() {
            return None;
        }
        let mut parameters = Vec::new();
        for (expected, found) in self.template.iter().zip(segments) {
            match expected {
                Segment::Literal(text) if text == found => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(name) => parameters.push((name.clone(), found.clone())),
            }
        }
        Some(parameters)
    }

    /// Reads everything the request says, and refuses what is not declared.
    pub(super) fn read(
        &self,
        parts: &Parts,
        parameters: Vec<(String, String)>,
        body: Option<Bytes>,
        undeclared: Undeclared,
    ) -> Result<Read, Stop> {
        let mut seen = Seen { arguments: Map::new() };
        let path = self.read_path(parameters, &mut seen)?;
        let pairs = canonical::pairs(parts.uri.query().unwrap_or_default())?;
        let query = self.read_pairs(pairs, Place::Query, undeclared, &mut seen)?;
        self.read_headers(&parts.headers, &mut seen)?;
        let body = self.read_body(&parts.headers, body, undeclared, &mut seen)?;
        Ok(Read { arguments: seen.arguments, path, query, body })
    }

    fn declared(&self, name: &str, place: Place) -> Option<&ArgumentConfig> {
        self.arguments.iter().find(|it| it.place == place && it.name == name && it.pointer.is_none())
    }

    fn read_path(&self, parameters: Vec<(String, String)>, seen: &mut Seen) -> Result<String, Stop> {
        let mut values = Vec::with_capacity(parameters.len());
        for (name, text) in parameters {
            let plain = ArgumentConfig::plain(&name, Place::Path, Kind::String);
            let declared = self.declared(&name, Place::Path).unwrap_or(&plain);
            let (value, text) = declared.read(&text)?;
            seen.put(declared.key(), value)?;
            values.push(text);
        }
        let mut values = values.iter();
        let segments = self.template.iter().filter_map(|segment| match segment {
            Segment::Literal(text) => Some(text.as_str()),
            Segment::Parameter(_) => values.next().map(String::as_str),
        });
        Ok(canonical::path(segments))
    }

    /// Reads a query or a form; gives its canonical text.
    fn read_pairs(
        &self,
        pairs: Vec<(String, String)>,
        place: Place,
        undeclared: Undeclared,
        seen: &mut Seen,
    ) -> Result<String, Stop> {
        let mut forwarded = Vec::with_capacity(pairs.len());
        let mut lists: Map<String, Value> = Map::new();
        for (name, text) in pairs {
            let plain = ArgumentConfig::plain(&name, place, Kind::String);
            let declared = match (self.declared(&name, place), undeclared) {
                (Some(declared), _) => declared,
                (None, Undeclared::Pass) => &plain,
                (None, Undeclared::Refuse) => return Err(not_declared(&name)),
            };
            let (value, text) = declared.read(&text)?;
            if declared.list {
                let list = lists.entry(declared.key().to_owned()).or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    list.push(value);
                }
            } else {
                seen.put(declared.key(), value)?;
            }
            forwarded.push((name, text));
        }
        for (key, list) in lists {
            seen.put(&key, list)?;
        }
        Ok(canonical::query(forwarded.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
    }

    fn read_headers(&self, headers: &HeaderMap, seen: &mut Seen) -> Result<(), Stop> {
        for declared in self.arguments.iter().filter(|it| it.place == Place::Header) {
            let mut values = headers.get_all(declared.name.as_str()).iter();
            let Some(value) = values.next() else { continue };
            let text = value.to_str().ok().filter(|_| values.next().is_none());
            let Some(text) = text else {
                let detail = format!("header `{}` comes twice, or is not plain text", declared.name);
                return Err(Stop::new(Outcome::Malformed, detail));
            };
            let (value, read) = declared.read(text)?;
            if read != text {
                // Headers go on as they came, so they have to come in the form that is decided on.
                let detail = format!("header `{}` is not in its canonical form", declared.name);
                return Err(Stop::new(Outcome::NonCanonical, detail));
            }
            seen.put(declared.key(), value)?;
        }
        Ok(())
    }

    fn read_body(
        &self,
        headers: &HeaderMap,
        body: Option<Bytes>,
        undeclared: Undeclared,
        seen: &mut Seen,
    ) -> Result<Option<Bytes>, Stop> {
        let body = match (self.body, body) {
            (BodyUse::Opaque, _) => return Ok(None),
            (_, body) => body.unwrap_or_default(),
        };
        if body.is_empty() {
            return Ok(Some(body));
        }
        match self.body {
            BodyUse::Json => {
                require_media(headers, "application/json", true)?;
                self.read_json(&body, undeclared, seen).map(Some)
            }
            BodyUse::Form => {
                require_media(headers, "application/x-www-form-urlencoded", false)?;
                let text = std::str::from_utf8(&body)
                    .map_err(|_| Stop::new(Outcome::Malformed, "the form is not UTF-8"))?;
                let pairs = canonical::pairs(text)?;
                self.read_pairs(pairs, Place::Body, undeclared, seen).map(|form| Some(form.into()))
            }
            BodyUse::None | BodyUse::Opaque => {
                Err(Stop::new(Outcome::Malformed, "this operation takes no body"))
            }
        }
    }

    fn read_json(&self, body: &Bytes, undeclared: Undeclared, seen: &mut Seen) -> Result<Bytes, Stop> {
        let mut value = json::read(body)?;
        for declared in self.arguments.iter().filter(|it| it.place == Place::Body) {
            let Some(pointer) = &declared.pointer else { continue };
            if let Some(found) = value.pointer_mut(pointer) {
                declared.fold(found);
                seen.put(declared.key(), found.clone())?;
            }
        }
        let Some(members) = value.as_object_mut() else {
            return Err(Stop::new(Outcome::Malformed, "the body is no JSON object"));
        };
        for (name, value) in members {
            match (self.declared(name, Place::Body), undeclared) {
                (Some(declared), _) => {
                    declared.fold(value);
                    seen.put(declared.key(), value.clone())?;
                }
                (None, _) if self.reaches_into(name) => {}
                (None, Undeclared::Pass) => seen.put(name, value.clone())?,
                (None, Undeclared::Refuse) => return Err(not_declared(name)),
            }
        }
        Ok(Bytes::from(value.to_string()))
    }

    /// Whether a declared pointer leads into this member.
    fn reaches_into(&self, name: &str) -> bool {
        let begin = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.arguments.iter().filter_map(|it| it.pointer.as_deref()).any(|pointer| {
            pointer.strip_prefix(&begin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// What is touched.
    pub(super) fn resource(&self, arguments: &Map<String, Value>, path: &str) -> ResourceFacts {
        let id = match &self.resource {
            None => path.to_owned(),
            Some(template) => arguments.iter().fold(template.clone(), |id, (name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                id.replace(&format!("{{{name}}}"), &text)
            }),
        };
        ResourceFacts {
            id,
            labels: self.labels.clone(),
            sensitivity: self.sensitivity,
            system: self.system.clone(),
        }
    }
}

/// The arguments by key, each once.
struct Seen {
    arguments: Map<String, Value>,
}

impl Seen {
    fn put(&mut self, key: &str, value: Value) -> Result<(), Stop> {
        if self.arguments.insert(key.to_owned(), value).is_none() {
            return Ok(());
        }
        let detail = format!("`{key}` is said twice");
        Err(Stop::new(Outcome::DuplicateMember, detail))
    }
}

fn not_declared(name: &str) -> Stop {
    let shown: String = name.chars().take(64).collect();
    let detail = format!(
        "`{shown}` is not declared by this operation; declare it, or set `undeclared = \"pass\"`"
    );
    Stop::new(Outcome::Malformed, detail)
}

fn require_media(headers: &HeaderMap, media: &str, suffix: bool) -> Result<(), Stop> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let said = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = said.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    let fits = kind == media || (suffix && kind.starts_with("application/") && kind.ends_with("+json"));
    let utf8 = parts.all(|part| {
        !part.starts_with("charset=") || part.trim_start_matches("charset=").trim_matches('"') == "utf-8"
    });
    if fits && utf8 && values.next().is_none() {
        return Ok(());
    }
    let detail = format!("the body has to be {media} in UTF-8");
    Err(Stop::new(ProblemCode::UnsupportedMediaType, detail))
}

fn template(path: &str) -> Result<Vec<Segment>, String> {
    let rest = path.strip_prefix('/').ok_or("the path does not begin with `/`")?;
    let mut segments = Vec::new();
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        let parameter = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        segments.push(match parameter {
            Some(name) if !name.is_empty() && !name.contains(['{', '}']) => {
                Segment::Parameter(name.to_owned())
            }
            None if !part.contains(['{', '}', '%', '?', '#', ';']) && part != "." && part != ".." => {
                Segment::Literal(part.to_owned())
            }
            _ => return Err(format!("`{part}` is neither a plain segment nor a {{parameter}}")),
        });
    }
    Ok(segments)
}

fn arguments(
    entry: &OperationConfig,
    template: &[Segment],
    body: BodyUse,
    named: &str,
    faults: &mut Vec<String>,
) -> Vec<ArgumentConfig> {
    let in_path = |name: &str| {
        template.iter().any(|segment| matches!(segment, Segment::Parameter(it) if it == name))
    };
    let mut keys: Vec<&str> = Vec::new();
    for argument in &entry.argument {
        if argument.place == Place::Path && !in_path(&argument.name) {
            faults.push(format!("{named}: the path has no parameter `{}`", argument.name));
        }
        if argument.place == Place::Body && matches!(body, BodyUse::None | BodyUse::Opaque) {
            faults.push(format!("{named}: `{}` stands in a body that is not read", argument.name));
        }
        if argument.pointer.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
            faults.push(format!("{named}: the pointer of `{}` begins with `/`", argument.name));
        }
        keys.push(argument.key());
    }
    let plain = template.iter().filter_map(|segment| match segment {
        Segment::Parameter(name) => Some(name.as_str()),
        Segment::Literal(_) => None,
    });
    let declared = |name: &str| entry.argument.iter().any(|a| a.place == Place::Path && a.name == name);
    keys.extend(plain.filter(|name| !declared(name)));
    keys.sort_unstable();
    if let Some([key, _]) = keys.windows(2).find(|pair| pair.first() == pair.last()) {
        faults.push(format!("{named}: two arguments are called `{key}`; give one another `as`"));
    }
    entry.argument.clone()
}
