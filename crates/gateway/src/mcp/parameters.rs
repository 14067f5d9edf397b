//! The arguments of a tool call, held against what the server tells about the tool.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_core::token::HopClaims;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

use super::message::{decode, one};
use crate::constrained::require_given;
use crate::http_api::Undeclared;
use crate::stop::Stop;

/// How deep annotated properties are looked for.
const DEPTH_MAX: usize = 16;

/// What a tool's `inputSchema` says of its arguments.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Own names, by what they are without case.
    names: BTreeMap<String, String>,
    /// Whether those are all that there are.
    closed: bool,
    /// What has to be given (`required`).
    required: Vec<String>,
    /// What the server takes for an argument that is not given.
    defaults: Vec<(String, Value)>,
    /// Arguments whose `default` is nothing: null, or empty.
    nothing: BTreeSet<String>,
    /// Arguments that clients repeat in headers (`x-mcp-header`), by the header's suffix.
    mirrored: Vec<(String, Vec<String>)>,
}

impl Parameters {
    pub(super) fn of(descriptor: &Value) -> Self {
        let mut found = Self::default();
        let Some(schema) = descriptor.get("inputSchema") else { return found };
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            found.names = properties.keys().map(|name| (folded(name), name.clone())).collect();
            found.closed = is_closed(schema);
            let default =
                |(name, it): (&String, &Value)| Some((name.clone(), it.get("default")?.clone()));
            let defaults = properties.iter().filter_map(default);
            let (nothing, defaults) = defaults.partition(|(_, value)| is_empty(value));
            found.defaults = defaults;
            let nothing: Vec<(String, Value)> = nothing;
            found.nothing = nothing.into_iter().map(|(name, _)| name).collect();
        }
        if let Some(required) = schema.get("required").and_then(Value::as_array) {
            found.required = required.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        mirrored(schema, &mut Vec::new(), &mut found.mirrored);
        found
    }

    /// The arguments by the names that constraints use, and what the server takes for those that are
    /// not given. A name that some server could take for another one (case, as Go's decoder has it)
    /// is refused: it would be decided as one argument and used as the other. So is one that the
    /// tool does not declare, unless the route passes those, and a call that lacks one that the schema
    /// or the route requires.
    pub(super) fn read(
        &self,
        given: Map<String, Value>,
        rules: &ArgumentRules<'_>,
    ) -> Result<Map<String, Value>, Stop> {
        let malformed = |detail: String| Stop::new(Outcome::Malformed, detail);
        let ArgumentRules { renamed, required, undeclared } = *rules;
        let mut alike = BTreeMap::new();
        let mut arguments = Map::new();
        for (own, value) in given {
            let shown: String = own.chars().take(64).collect();
            let fold = folded(&own);
            let declared = renamed.keys().find(|name| folded(name) == fold);
            if let Some(exact) = self.names.get(&fold).or(declared).filter(|exact| **exact != own) {
                return Err(malformed(format!("the argument `{shown}` is written `{exact}`")));
            }
            if alike.insert(fold, ()).is_some() {
                let detail = format!("two arguments are called `{shown}`, but for case");
                return Err(Stop::new(Outcome::DuplicateMember, detail));
            }
            let known = self.names.values().any(|name| *name == own) || renamed.contains_key(&own);
            let open = !self.closed || undeclared == Undeclared::Pass;
            if !known && (!open || renamed.values().any(|key| *key == own)) {
                return Err(malformed(format!("the tool has no argument `{shown}`")));
            }
            let key = renamed.get(&own).cloned().unwrap_or(own);
            if arguments.insert(key, value).is_some() {
                return Err(Stop::new(Outcome::DuplicateMember, "two arguments have one name"));
            }
        }
        for (own, value) in &self.defaults {
            let key = key_of(own, renamed);
            // Not given is also what is given as nothing: servers take the default for that, too.
            if arguments.get(key).is_none_or(Value::is_null) {
                arguments.insert(key.clone(), value.clone());
            }
        }
        // A schema may require an argument that can be null; a route requires a value.
        let absent = |own: &&String| !arguments.contains_key(key_of(own, renamed));
        let null = |own: &&String| arguments.get(key_of(own, renamed)).is_none_or(Value::is_null);
        let lacking = self.required.iter().find(absent).or(required.iter().find(null));
        if let Some(own) = lacking {
            let shown: String = own.chars().take(64).collect();
            return Err(malformed(format!("the argument `{shown}` is required")));
        }
        Ok(arguments)
    }

    /// Refuses a call that a constraint would let by for want of the argument that it is about. An
    /// argument may be left out where its schema's `default` says what that means.
    pub(super) fn require_constrained(
        &self,
        claims: &HopClaims,
        scope: &Scope,
        arguments: &Map<String, Value>,
        renamed: &BTreeMap<String, String>,
    ) -> Result<(), Stop> {
        let optional = |name: &str| self.nothing.iter().any(|it| key_of(it, renamed) == name);
        let declared = |name: &str| {
            let mut declared = self.names.values().chain(renamed.keys());
            declared.any(|it| key_of(it, renamed) == name)
        };
        require_given(claims, scope, arguments, declared, optional)
    }

    /// The headers that repeat arguments.
    pub(super) fn headers(&self) -> Vec<HeaderName> {
        let names = self.mirrored.iter().map(|(suffix, _)| format!("mcp-param-{suffix}").parse());
        names.flatten().collect()
    }

    /// What a header repeats must be what the body says; `Err` names the header. A header that is
    /// missing is the server's to ask for.
    pub(super) fn compare(&self, headers: &HeaderMap, given: &Value) -> Result<(), String> {
        for (suffix, path) in &self.mirrored {
            let name = format!("Mcp-Param-{suffix}");
            let said = one(headers, &name).map_err(|what| format!("header `{name}` {what}"))?;
            let value = path.iter().try_fold(given, |value, member| value.get(member));
            let (Some(said), Some(value)) = (said, value) else { continue };
            let same = match (decode(&said), value) {
                (Some(said), Value::String(text)) => said == *text,
                (Some(said), Value::Bool(flag)) => said == flag.to_string(),
                (Some(said), Value::Number(number)) => {
                    said == number.to_string() || said.parse().ok() == number.as_f64()
                }
                (_, Value::Null) => true,
                _ => false,
            };
            if !same {
                return Err(format!("header `{name}` says something else than the body"));
            }
        }
        Ok(())
    }
}

/// What a route says of a tool's arguments.
#[derive(Clone, Copy)]
pub(super) struct ArgumentRules<'a> {
    /// What constraints call them.
    pub(super) renamed: &'a BTreeMap<String, String>,
    /// What has to be given, besides what the schema requires.
    pub(super) required: &'a [String],
    /// What happens to one that the schema does not declare.
    pub(super) undeclared: Undeclared,
}

/// What constraints call an argument.
fn key_of<'a>(own: &'a String, renamed: &'a BTreeMap<String, String>) -> &'a String {
    renamed.get(own).unwrap_or(own)
}

/// Whether a schema's `properties` are all that it knows. A server that says nothing of others ignores
/// them or, worse, does not: who means others says so.
fn is_closed(schema: &Value) -> bool {
    const OTHERS: [&str; 10] = [
        "$ref",
        "$dynamicRef",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "dependentSchemas",
        "patternProperties",
        "unevaluatedProperties",
        "propertyNames",
    ];
    let others = schema.get("additionalProperties");
    others.is_none_or(|others| *others == Value::Bool(false))
        && !OTHERS.iter().any(|keyword| schema.get(keyword).is_some())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn mirrored(schema: &Value, path: &mut Vec<String>, found: &mut Vec<(String, Vec<String>)>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(suffix) = property.get("x-mcp-header").and_then(Value::as_str)
            && suffix.parse::<http::HeaderName>().is_ok()
        {
            found.push((suffix.to_owned(), path.clone()));
        }
        if path.len() < DEPTH_MAX {
            mirrored(property, path, found);
        }
        path.pop();
    }
}

/// Without case, as the most lenient of decoders compares names.
pub(super) fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}
