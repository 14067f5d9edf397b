//! The arguments of a tool call, held against what the server tells about the tool.

use std::collections::BTreeMap;

use bailiwick_core::outcome::Outcome;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::message::{decode, one};
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
    /// What the server takes for an argument that is not given.
    defaults: Vec<(String, Value)>,
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
            let given = |(_, value): &(String, Value)| !is_empty(value);
            found.defaults = properties.iter().filter_map(default).filter(given).collect();
        }
        mirrored(schema, &mut Vec::new(), &mut found.mirrored);
        found
    }

    /// The arguments by the names that constraints use, and what the server takes for those that are
    /// not given. A name that some server could take for another one (case, as Go's decoder has it)
    /// is refused: it would be decided as one argument and used as the other. So is one that the
    /// tool does not declare, unless the route passes those.
    pub(super) fn read(
        &self,
        given: Map<String, Value>,
        renamed: &BTreeMap<String, String>,
        undeclared: Undeclared,
    ) -> Result<Map<String, Value>, Stop> {
        let malformed = |detail: String| Stop::new(Outcome::Malformed, detail);
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
            let key = renamed.get(own).unwrap_or(own);
            // Not given is also what is given as nothing: servers take the default for that, too.
            if arguments.get(key).is_none_or(Value::is_null) {
                arguments.insert(key.clone(), value.clone());
            }
        }
        Ok(arguments)
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
