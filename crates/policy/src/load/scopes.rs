//! Scopes a policy names must be scopes that can be asked for.

use std::collections::BTreeSet;

use bailiwick_core::scope::Scope;
use serde_json::Value;

use crate::act::Act;
use crate::source::{LoadError, PolicySource};
use crate::suggest::closest;

const GRAMMAR: &str = "a scope is dotted and lower case (`crm.read`), a wildcard that ends in `.*`, \
                       or an opaque token without `*`, spaces and quotes";

/// Every scope literal of one policy that no request can carry.
pub(super) fn check(
    source: &PolicySource,
    policy: usize,
    named: &BTreeSet<String>,
    json: &Value,
) -> Vec<LoadError> {
    let mut errors = Vec::new();
    for name in named {
        if let Some((message, help)) = fault_of_action(name) {
            errors.push(located(source, policy, name, message).with_help(help));
        }
    }
    let mut literals = Vec::new();
    scope_strings(json, &mut literals);
    for name in literals {
        if name.parse::<Scope>().is_err() {
            let message = format!("`{}` is not a scope", name.escape_debug());
            errors.push(located(source, policy, &name, message).with_help(GRAMMAR));
        }
    }
    errors
}

fn fault_of_action(name: &str) -> Option<(String, String)> {
    if name.parse::<Scope>().is_err() {
        let shown = name.escape_debug();
        return Some((format!("`Action::\"{shown}\"` is not a scope"), GRAMMAR.to_owned()));
    }
    if name.contains(['.', ':', '/']) {
        return None;
    }
    // Undotted, it could be an opaque scope, but a slip of the pen is likelier.
    closest(name, Act::RESERVED).map(|action| {
        (
            format!("`Action::\"{name}\"` is no action, and a scope of that name is unlikely"),
            format!("did you mean `Action::\"{action}\"`?"),
        )
    })
}

fn located(source: &PolicySource, policy: usize, name: &str, message: String) -> LoadError {
    let text = source.text.get(policy..).unwrap_or_default();
    let within = text.find(&format!("\"{}\"", name.escape_debug())).unwrap_or(0);
    LoadError::at(source, policy + within, message)
}

/// String literals that are compared with the members of some `….scopes`.
fn scope_strings(node: &Value, found: &mut Vec<String>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| scope_strings(item, found)),
        Value::Object(members) => {
            for (key, operands) in members {
                let is_test = matches!(key.as_str(), "contains" | "containsAny" | "containsAll");
                let of_scopes = operands.pointer("/left/./attr").is_some_and(|a| a == "scopes");
                if is_test
                    && of_scopes
                    && let Some(right) = operands.get("right")
                {
                    string_values(right, found);
                }
                scope_strings(operands, found);
            }
        }
        _ => {}
    }
}

fn string_values(node: &Value, found: &mut Vec<String>) {
    match (node.get("Value").and_then(Value::as_str), node.get("Set").and_then(Value::as_array)) {
        (Some(text), _) => found.push(text.to_owned()),
        (None, Some(items)) => items.iter().for_each(|item| string_values(item, found)),
        (None, None) => {}
    }
}
