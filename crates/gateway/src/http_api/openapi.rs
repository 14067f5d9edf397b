//! Operations from an OpenAPI 3.0 or 3.1 document.
//!
//! What an operation needs is said in the document (`x-bailiwick-scope`, `x-bailiwick-effect`,
//! `x-bailiwick-sensitivity`, `x-bailiwick-labels`, `x-bailiwick-resource`, `x-bailiwick-trust`, `x-bailiwick-needs`) or, for the scope, by the
//! route's `scope_template`. An operation without a scope is not served.

use std::path::Path;

use serde_json::{Map, Value};

use super::OperationConfig;
use super::argument::{ArgumentConfig, Kind, Place};
use super::operation::BodyUse;

/// Largest document that is read, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// Reads the operations of a document.
pub(super) fn read(path: &Path, template: Option<&str>) -> Result<Vec<OperationConfig>, String> {
    let at = path.display();
    let unreadable = |error: std::io::Error| format!("cannot read the OpenAPI document {at}: {error}");
    if std::fs::metadata(path).map_err(unreadable)?.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("{at} is too large to be an OpenAPI document"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let document: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| format!("{at}: {error}"))?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| format!("{at}: {error}"))?
    };
    operations(&document, template).map_err(|fault| format!("{at}: {fault}"))
}

pub(super) fn operations(
    document: &Value,
    template: Option<&str>,
) -> Result<Vec<OperationConfig>, String> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.0") && !version.starts_with("3.1") {
        return Err(format!("`openapi` is `{version}`; 3.0 and 3.1 are read"));
    }
    let paths = document.get("paths").and_then(Value::as_object).ok_or("there are no `paths`")?;
    let mut operations = Vec::new();
    for (path, item) in paths {
        let item = resolve(document, item)?;
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let shared = item.get("parameters");
            if let Some(read) = one(document, path, method, operation, shared, template)
                .map_err(|fault| format!("{} {path}: {fault}", method.to_uppercase()))?
            {
                operations.push(read);
            }
        }
    }
    Ok(operations)
}

fn one(
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
    shared: Option<&Value>,
    template: Option<&str>,
) -> Result<Option<OperationConfig>, String> {
    let id = operation.get("operationId").and_then(Value::as_str);
    let scope = match operation.get("x-bailiwick-scope") {
        Some(Value::String(scope)) => scope.clone(),
        Some(_) => return Err("`x-bailiwick-scope` is not text".to_owned()),
        None => match (template, id) {
            (Some(template), Some(id)) => template.replace("{operationId}", id),
            _ => return Ok(None),
        },
    };
    let mut argument: Vec<ArgumentConfig> = Vec::new();
    let own = operation.get("parameters");
    for parameter in own.into_iter().chain(shared).filter_map(Value::as_array).flatten() {
        let read = parameter_of(document, resolve(document, parameter)?)?;
        // The operation's own declaration comes first and stands before the shared one.
        if !argument.iter().any(|it| it.name == read.name && it.place == read.place) {
            argument.push(read);
        }
    }
    let body = body(document, operation, &mut argument)?;
    Ok(Some(OperationConfig {
        method: method.to_uppercase(),
        path: path.to_owned(),
        scope,
        effect: word(operation, "x-bailiwick-effect")?,
        needs: word(operation, "x-bailiwick-needs")?.unwrap_or_default(),
        trust: word(operation, "x-bailiwick-trust")?,
        sensitivity: word(operation, "x-bailiwick-sensitivity")?,
        labels: word(operation, "x-bailiwick-labels")?,
        resource: word(operation, "x-bailiwick-resource")?,
        body,
        argument,
    }))
}

/// An extension's value; one that cannot be read is a fault, not a default.
fn word<T: serde::de::DeserializeOwned>(operation: &Value, name: &str) -> Result<Option<T>, String> {
    match operation.get(name) {
        None => Ok(None),
        Some(value) => T::deserialize(value).map(Some).map_err(|error| format!("`{name}`: {error}")),
    }
}

fn parameter_of(document: &Value, parameter: &Value) -> Result<ArgumentConfig, String> {
    let text = |name: &str| parameter.get(name).and_then(Value::as_str);
    let name = text("name").ok_or("a parameter has no name")?;
    let place = match text("in") {
        Some("path") => Place::Path,
        Some("query") => Place::Query,
        Some("header") => Place::Header,
        other => return Err(format!("parameter `{name}` is in {other:?}, which is not served")),
    };
    let schema = match parameter.get("schema") {
        Some(schema) => resolve(document, schema)?,
        None => &Value::Null,
    };
    let list = schema.get("type").is_some_and(|kind| kind == "array");
    if list && parameter.get("explode") == Some(&Value::Bool(false)) {
        return Err(format!("parameter `{name}` joins a list by commas, which is not served"));
    }
    let element = match schema.get("items") {
        Some(items) if list => resolve(document, items)?,
        _ => schema,
    };
    let mut argument = ArgumentConfig::plain(name, place, kind(element));
    argument.list = list;
    Ok(argument)
}

fn kind(schema: &Value) -> Kind {
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        _ => Kind::String,
    }
}

fn body(
    document: &Value,
    operation: &Value,
    arguments: &mut Vec<ArgumentConfig>,
) -> Result<Option<BodyUse>, String> {
    let Some(request) = operation.get("requestBody") else { return Ok(Some(BodyUse::None)) };
    let request = resolve(document, request)?;
    let content = request.get("content").and_then(Value::as_object);
    let content = content.ok_or("`requestBody` has no `content`")?;
    let (used, media) = match (
        content.get("application/json"),
        content.get("application/x-www-form-urlencoded"),
    ) {
        (Some(media), _) => (BodyUse::Json, media),
        (None, Some(media)) => (BodyUse::Form, media),
        (None, None) => return Ok(Some(BodyUse::Opaque)),
    };
    let none = Map::new();
    let schema = media.get("schema").map(|schema| resolve(document, schema)).transpose()?;
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    for (name, schema) in properties.unwrap_or(&none) {
        let schema = resolve(document, schema)?;
        let mut argument = ArgumentConfig::plain(name, Place::Body, kind(schema));
        // In a form a list is a field that comes several times; in JSON it is one value.
        argument.list = used == BodyUse::Form && schema.get("type").is_some_and(|it| it == "array");
        arguments.push(argument);
    }
    Ok(Some(used))
}

/// Follows one local `$ref`.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> Result<&'a Value, String> {
    let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
    let local = reference.strip_prefix('#');
    let found = local.and_then(|pointer| document.pointer(pointer));
    let found = found.ok_or_else(|| format!("`{reference}` leads nowhere in this document"))?;
    if found.get("$ref").is_some() {
        return Err(format!("`{reference}` leads to another reference"));
    }
    Ok(found)
}
