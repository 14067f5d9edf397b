//! Shared documents, and the tests of reading and cross-checking them.

mod approvers;
mod authority;
mod documents;
mod quickstart;

use serde_json::{Value, json};

use super::*;

fn owner(id: &str) -> Value {
    json!({"id": id, "name": "N", "contact": "c@a.example"})
}

fn agent(name: &str) -> Value {
    json!({"id": format!("spiffe://a.example/{name}"), "name": name, "owner": "team:a",
        "env": "dev", "tenant": "acme"})
}

fn workflow() -> Value {
    json!({
        "id": "crm.report", "title": "Report", "purpose": "Write a report",
        "owner": "team:a", "reviewer": "user:rita", "reviewed": "2026-11-01",
        "tenant": "acme", "env": "dev", "audiences": ["https://crm.a.example"],
        "entry": ["spiffe://a.example/lead"],
        "edges": [{"from": "spiffe://a.example/lead", "to": "spiffe://a.example/reader"}],
        "parameters": {
            "type": "object", "required": ["customer"],
            "properties": {
                "customer": {"type": "string", "maxLength": 64},
                "region": {"type": "string", "default": "eu"},
                "rows": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
                "recipients": {"type": "array", "items": {"type": "string"}, "default": []},
                "note": {"type": "string"},
            }
        },
        "authority": {
            "scopes": ["crm.read", "crm.${region}.export"],
            "constraints": [
                {"key": "rows", "max": "${rows}"},
                {"key": "crm.read:customer", "one_of": ["${customer}"]},
                {"key": "calls", "max_lifetime": 20},
            ],
        },
    })
}

/// The world with one JSON pointer changed; `null` removes the member.
fn world(pointer: &str, value: Value) -> Value {
    let mut world = json!({
        "owner": [owner("team:a"), owner("user:rita")],
        "agent": [agent("lead"), agent("reader")],
        "workflow": [workflow()],
    });
    set(&mut world, pointer, value);
    world
}

fn set(world: &mut Value, pointer: &str, value: Value) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let parent = world.pointer_mut(parent).unwrap();
    match parent {
        Value::Object(object) if value.is_null() => {
            object.remove(last);
        }
        Value::Object(object) => {
            object.insert(last.to_owned(), value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
}

fn check(world: &Value) -> Result<ValidatedChanges, Vec<RegistryError>> {
    check_on(world, &Registry::default())
}

fn check_on(world: &Value, existing: &Registry) -> Result<ValidatedChanges, Vec<RegistryError>> {
    validate(&RegistryDocuments::from_json(world)?, existing)
}

fn registry() -> Registry {
    Registry::default().apply(&check(&world("", Value::Null)).unwrap())
}

/// Asserts that the change is refused with this code at this field.
fn refused(world: &Value, code: RegistryErrorCode, field: &str, part: &str) {
    refused_on(world, &Registry::default(), code, field, part);
}

fn refused_on(
    world: &Value,
    existing: &Registry,
    code: RegistryErrorCode,
    field: &str,
    part: &str,
) {
    let errors = check_on(world, existing).map(|_| ()).unwrap_err();
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let found = errors.iter().any(|error| {
        error.code == code && error.field == field && error.to_string().contains(part)
    });
    assert!(found, "wanted {code:?} at {field:?}: {part:?}; got {all:#?}");
}
