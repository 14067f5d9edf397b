//! The arguments of a tool call, held against what the server tells about the tool.

use std::collections::BTreeMap;

use bailiwick_core::outcome::Outcome;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::message::{decode, one};
use crate::stop::Stop;

/// How deep annotated properties are looked for.
const DEPTH_MAX: usize = 16;

/// What a tool's `inputSchema` says of its arguments.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Own names, by what they are without case.
    names: BTreeMap<String, String>,
    /// Arguments that clients repeat in headers (`x-mcp-header`), by the header's suffix.
    mirrored: Vec<(String, Vec<String>)>,
}

impl Parameters {
    pub(super) fn of(descriptor: &Value) -> Self {
        let mut found = Self::default();
        let Some(schema) = descriptor.get("inputSchema") else { return found };
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            found.names = properties.keys().map(|name| (folded(name), name.clone())).collect();
        }
        mirrored(schema, &mut Vec::new(), &mut found.mirrored);
        found
    }

    /// The arguments by the names that constraints use. A name that some server could take for
    /// another one (case, as Go's decoder has it) is refused: it would be decided as one argument
    /// and used as the other.
    pub(super) fn read(
        &self,
        given: Map<String, Value>,
        renamed: &BTreeMap<String, String>,
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
            let key = match renamed.get(&own) {
                Some(key) => key.clone(),
                None if renamed.values().any(|key| *key == own)
                    && !self.names.contains_key(&folded(&own)) =>
                {
                    return Err(malformed(format!("the tool has no argument `{shown}`")));
                }
                None => own,
            };
            if arguments.insert(key, value).is_some() {
                return Err(Stop::new(Outcome::DuplicateMember, "two arguments have one name"));
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
