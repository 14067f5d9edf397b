//! Operations from an OpenAPI 3.0 or 3.1 document.
//!
//! What an operation needs is said in the document (`x-bailiwick-scope`, `-effect`, `-sensitivity`,
//! `-labels`, `-resource`, `-trust`, `-needs`, `-body`), in `[route.http.mapping]` by its `operationId`, or, for
//! the scope, by `scope_template`. An operation without a scope is not served. A parameter or a
//! property may say what constraints call it (`x-bailiwick-as`), and that its case does not matter
//! (`x-bailiwick-lower`) or that a slash may stand in it (`x-bailiwick-slash`).

mod schema;

use std::collections::HashSet;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::schema::{Schema, kind, resolve};
use super::argument::{ArgumentConfig, Place};
use super::operation::BodyUse;
use super::{HttpConfig, MappingConfig, OperationConfig};

/// Largest document that is read, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// Reads the operations of a document.
pub(super) fn read(path: &Path, config: &HttpConfig) -> Result<Vec<OperationConfig>, Vec<String>> {
    let at = path.display();
    let one = |fault: String| vec![format!("{at}: {fault}")];
    let unreadable =
        |error: std::io::Error| vec![format!("cannot read the OpenAPI document {at}: {error}")];
    if std::fs::metadata(path).map_err(unreadable)?.len() > DOCUMENT_BYTES_MAX {
        return Err(one("it is too large to be an OpenAPI document".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let document: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| one(error.to_string()))?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| one(error.to_string()))?
    };
    let found = operations(&document, config);
    found.map_err(|faults| faults.into_iter().flat_map(one).collect())
}

/// The operations of a document that have a scope.
pub(super) fn operations(
    document: &Value,
    config: &HttpConfig,
) -> Result<Vec<OperationConfig>, Vec<String>> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.0") && !version.starts_with("3.1") {
        return Err(vec![format!("`openapi` is `{version}`; 3.0 and 3.1 are read")]);
    }
    let paths = document.get("paths").and_then(Value::as_object);
    let paths = paths.ok_or_else(|| vec!["there are no `paths`".to_owned()])?;
    let (mut operations, mut faults) = (Vec::new(), Vec::new());
    let mut known: HashSet<&str> = HashSet::new();
    for (path, item) in paths {
        let item = match resolve(document, item) {
            Ok(item) => item,
            Err(fault) => {
                faults.push(format!("{path}: {fault}"));
                continue;
            }
        };
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let id = operation.get("operationId").and_then(Value::as_str);
            if id.is_some_and(|id| !known.insert(id)) {
                faults.push(format!("two operations are called `{}`", id.unwrap_or_default()));
            }
            let mapping = id.and_then(|id| config.mapping.get(id));
            let shared = item.get("parameters");
            let described = Described { document, operation, shared, mapping };
            match described.read(path, method, config.scope_template.as_deref()) {
                Ok(read) => operations.extend(read),
                Err(fault) => faults.push(format!("{} {path}: {fault}", method.to_uppercase())),
            }
        }
    }
    for id in config.mapping.keys().filter(|id| !known.contains(id.as_str())) {
        faults.push(format!("[route.http.mapping.{id}] names no `operationId` of the document"));
    }
    if faults.is_empty() { Ok(operations) } else { Err(faults) }
}

/// An operation as the document and the mapping describe it.
struct Described<'a> {
    document: &'a Value,
    operation: &'a Value,
    /// The parameters of all operations of its path.
    shared: Option<&'a Value>,
    mapping: Option<&'a MappingConfig>,
}

impl Described<'_> {
    fn read(
        &self,
        path: &str,
        method: &str,
        template: Option<&str>,
    ) -> Result<Option<OperationConfig>, String> {
        let none = MappingConfig::default();
        let mapping = self.mapping.unwrap_or(&none);
        let id = self.operation.get("operationId").and_then(Value::as_str);
        let templated = || Some(template?.replace("{operationId}", id?));
        let said: Option<String> = word(self.operation, "x-bailiwick-scope")?;
        let Some(scope) = mapping.scope.clone().or(said).or_else(templated) else {
            if self.mapping.is_some() {
                return Err("it is mapped, and nothing gives it a `scope`".to_owned());
            }
            return Ok(None);
        };
        let mut argument = self.parameters()?;
        let (body, media) = self.body(mapping, &mut argument)?;
        for given in &mapping.argument {
            let same = |it: &ArgumentConfig| it.place == given.place && it.steps() == given.steps();
            argument.retain(|it| !same(it));
            argument.push(given.clone());
        }
        Ok(Some(OperationConfig {
            method: method.to_uppercase(),
            path: path.to_owned(),
            scope,
            effect: self.either(mapping.effect, "x-bailiwick-effect")?,
            trust: self.either(mapping.trust.clone(), "x-bailiwick-trust")?,
            sensitivity: self.either(mapping.sensitivity, "x-bailiwick-sensitivity")?,
            labels: self.either(mapping.labels.clone(), "x-bailiwick-labels")?,
            resource: self.either(mapping.resource.clone(), "x-bailiwick-resource")?,
            needs: self.either(mapping.needs.clone(), "x-bailiwick-needs")?.unwrap_or_default(),
            body: Some(body),
            media,
            argument,
            upgrade: self
                .either(mapping.upgrade.clone(), "x-bailiwick-upgrade")?
                .unwrap_or_default(),
        }))
    }

    fn either<T: DeserializeOwned>(
        &self,
        mapped: Option<T>,
        name: &str,
    ) -> Result<Option<T>, String> {
        let said = word(self.operation, name)?;
        Ok(mapped.or(said))
    }

    fn parameters(&self) -> Result<Vec<ArgumentConfig>, String> {
        let mut arguments: Vec<ArgumentConfig> = Vec::new();
        let own = self.operation.get("parameters");
        let all = own.into_iter().chain(self.shared).filter_map(Value::as_array).flatten();
        for parameter in all {
            let read = parameter_of(self.document, resolve(self.document, parameter)?)?;
            // The operation's own declaration comes first and stands before the shared one.
            let known = |it: &ArgumentConfig| it.name == read.name && it.place == read.place;
            if !arguments.iter().any(known) {
                arguments.push(read);
            }
        }
        Ok(arguments)
    }

    fn body(
        &self,
        mapping: &MappingConfig,
        arguments: &mut Vec<ArgumentConfig>,
    ) -> Result<(BodyUse, Vec<String>), String> {
        let asked = self.either(mapping.body, "x-bailiwick-body")?;
        let Some(request) = self.operation.get("requestBody") else {
            return Ok((asked.unwrap_or(BodyUse::None), mapping.media.clone()));
        };
        let request = resolve(self.document, request)?;
        let content = request.get("content").and_then(Value::as_object);
        let content = content.ok_or("`requestBody` has no `content`")?;
        let kinds: Vec<(BodyUse, &String, &Value)> =
            content.iter().map(|(name, media)| (used(name), name, media)).collect();
        let readable = kinds.iter().map(|(used, ..)| *used).filter(|used| *used != BodyUse::Opaque);
        let chosen = match asked {
            Some(asked) => asked,
            None if content.is_empty() => BodyUse::None,
            // What is read is preferred, JSON before forms.
            None => readable.max_by_key(|used| *used == BodyUse::Json).ok_or_else(|| {
                let named: Vec<&str> = content.keys().map(String::as_str).collect();
                format!(
                    "nothing can look at a body of {}: say `x-bailiwick-body: opaque` if it may \
                     pass unseen",
                    named.join(", ")
                )
            })?,
        };
        let of_kind = || kinds.iter().filter(|(used, ..)| *used == chosen);
        if matches!(chosen, BodyUse::Json | BodyUse::Form) {
            for (_, _, media) in of_kind() {
                self.properties(media, chosen, arguments)?;
            }
        }
        let named =
            of_kind().filter(|_| chosen == BodyUse::Opaque).map(|(_, name, _)| (*name).clone());
        let media = if mapping.media.is_empty() { named.collect() } else { mapping.media.clone() };
        // A range of media is any of them.
        let media = if media.iter().any(|it| it.contains('*')) { Vec::new() } else { media };
        Ok((chosen, media))
    }

    /// The members of a body as arguments.
    fn properties(
        &self,
        media: &Value,
        used: BodyUse,
        arguments: &mut Vec<ArgumentConfig>,
    ) -> Result<(), String> {
        let Some(schema) = media.get("schema") else { return Ok(()) };
        let schema = Schema::read(self.document, schema)?;
        let mut found = schema.arguments(self.document, used == BodyUse::Form)?;
        found.retain(|it| {
            let same =
                |other: &ArgumentConfig| other.place == Place::Body && other.steps() == it.steps();
            !arguments.iter().any(same)
        });
        arguments.extend(found);
        Ok(())
    }
}

fn used(media: &str) -> BodyUse {
    let media = media.split(';').next().unwrap_or(media).trim().to_ascii_lowercase();
    if media == "application/json"
        || (media.starts_with("application/") && media.ends_with("+json"))
    {
        BodyUse::Json
    } else if media == "application/x-www-form-urlencoded" {
        BodyUse::Form
    } else {
        BodyUse::Opaque
    }
}

/// An extension's value; one that cannot be read is a fault, not a default.
fn word<T: DeserializeOwned>(holder: &Value, name: &str) -> Result<Option<T>, String> {
    match holder.get(name) {
        None => Ok(None),
        Some(value) => {
            T::deserialize(value).map(Some).map_err(|error| format!("`{name}`: {error}"))
        }
    }
}

fn parameter_of(document: &Value, parameter: &Value) -> Result<ArgumentConfig, String> {
    let text = |name: &str| parameter.get(name).and_then(Value::as_str);
    let name = text("name").ok_or("a parameter has no name")?;
    let (place, style) = match text("in") {
        Some("path") => (Place::Path, "simple"),
        Some("query") => (Place::Query, "form"),
        Some("header") => (Place::Header, "simple"),
        other => {
            let other = other.unwrap_or("nowhere");
            return Err(format!("parameter `{name}` is in `{other}`, which is not served"));
        }
    };
    if text("style").is_some_and(|said| said != style) || parameter.get("content").is_some() {
        return Err(format!("parameter `{name}` is written in a style that is not served"));
    }
    let schema = parameter.get("schema").unwrap_or(&Value::Null);
    let schema = Schema::read(document, schema)?;
    if schema.is_object() {
        return Err(format!("parameter `{name}` is an object, which is not served"));
    }
    let mut argument = ArgumentConfig::plain(name, place, kind(schema.element(document)?.first()));
    if schema.is_array() {
        let joined = place != Place::Query || parameter.get("explode") == Some(&Value::Bool(false));
        argument.list = !joined;
        argument.comma = joined;
    }
    let flag = |name: &str| word::<bool>(parameter, name).map(Option::unwrap_or_default);
    argument.key = word(parameter, "x-bailiwick-as")?;
    argument.lower = flag("x-bailiwick-lower")?;
    argument.slash = flag("x-bailiwick-slash")?;
    argument.required = flag("required")? && place != Place::Path;
    // What the upstream would take for granted is said, so that it can be decided on.
    let default = schema.default().filter(|_| place == Place::Query && !argument.required);
    let scalar =
        |it: &&Value| !schema.is_array() && !it.is_array() && !it.is_object() && !it.is_null();
    argument.default = default.filter(scalar).cloned();
    Ok(argument)
}

#[cfg(test)]
mod tests;
