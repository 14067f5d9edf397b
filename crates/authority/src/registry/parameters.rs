//! A workflow's parameters: the JSON Schema that describes them, bounded and without remote parts.

use std::collections::BTreeMap;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use super::error::{RegistryErrorCode as Code, TemplateError, shown};
use super::fields::{Faults, join};
use crate::suggest;

/// Most bytes of a parameter schema.
const SCHEMA_BYTES_MAX: usize = 32 * 1024;
/// Deepest nesting of a parameter schema.
const SCHEMA_DEPTH_MAX: usize = 16;
/// Most parameters of a workflow.
const PARAMETERS_MAX: usize = 64;
/// Most bytes of the parameters of one task.
pub(super) const PARAMETERS_BYTES_MAX: usize = 16 * 1024;
/// Most bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// Keywords of JSON Schema 2020-12 that are understood here. A misspelt keyword would be ignored
/// in silence by a validator, so any other is a fault.
const KEYWORDS: &[&str] = &[
    "$comment",
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "default",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];
const SCHEMA_MAPS: &[&str] = &["properties", "patternProperties", "$defs", "dependentSchemas"];
const SCHEMA_LISTS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
const SCHEMAS: &[&str] =
    &["items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames"];

/// One parameter.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    /// Its schema.
    pub(super) schema: Value,
    /// Whether every task gives it.
    pub(super) required: bool,
    /// Its value when a task does not.
    pub(super) default: Option<Value>,
}

/// The parameters of a workflow, ready to check those of a task.
#[derive(Debug)]
pub(super) struct Parameters {
    validator: Validator,
    by_name: BTreeMap<String, Parameter>,
}

impl Parameters {
    /// Checks and compiles `schema`; faults go to `faults`.
    pub(super) fn compile(schema: &Value, faults: &mut Faults) -> Option<Self> {
        let before = faults.count();
        if schema.to_string().len() > SCHEMA_BYTES_MAX {
            let message = format!("is larger than {SCHEMA_BYTES_MAX} bytes; simplify it");
            faults.add(Code::TooLarge, "parameters", message);
            return None;
        }
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            let message = "must be a JSON Schema with type = \"object\"";
            faults.add(Code::Schema, "parameters", message);
            return None;
        }
        walk(schema, "parameters", SCHEMA_DEPTH_MAX, faults);
        if faults.count() > before {
            return None;
        }
        let by_name = read_parameters(schema, faults)?;
        match build(schema) {
            Ok(validator) => {
                let parameters = Self { validator, by_name };
                parameters.check_own_values(faults);
                (faults.count() == before).then_some(parameters)
            }
            Err(message) => {
                faults.add(Code::Schema, "parameters", message);
                None
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Parameter> {
        self.by_name.get(name)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.by_name.keys().map(String::as_str).collect()
    }

    /// The parameters of a task with the defaults filled in.
    pub(super) fn accept(&self, given: &Value) -> Result<Map<String, Value>, TemplateError> {
        let mut values = match given {
            Value::Null => Map::new(),
            Value::Object(object) => object.clone(),
            _ => {
                return Err(TemplateError::Invalid {
                    path: "/".to_owned(),
                    message: "the parameters must be a JSON object".to_owned(),
                });
            }
        };
        if given.to_string().len() > PARAMETERS_BYTES_MAX {
            return Err(TemplateError::TooLarge(PARAMETERS_BYTES_MAX));
        }
        if let Some(name) = values.keys().find(|name| !self.by_name.contains_key(*name)) {
            let hint = suggest::hint(name, &self.names());
            return Err(TemplateError::UnknownParameter { name: shown(name), hint: shown(&hint) });
        }
        for (name, parameter) in &self.by_name {
            if let (Some(default), false) = (&parameter.default, values.contains_key(name)) {
                values.insert(name.clone(), default.clone());
            }
        }
        let values = Value::Object(values);
        if let Err(error) = self.validator.validate(&values) {
            let path = error.instance_path().to_string();
            return Err(TemplateError::Invalid {
                path: if path.is_empty() { "/".to_owned() } else { shown(&path) },
                message: shown(&error.masked().to_string()),
            });
        }
        match values {
            Value::Object(values) => Ok(values),
            _ => Ok(Map::new()),
        }
    }

    /// Defaults and examples must satisfy their own schema, or a task that relies on one fails.
    fn check_own_values(&self, faults: &mut Faults) {
        for (name, parameter) in &self.by_name {
            let at = format!("parameters.properties.{name}");
            let Ok(validator) = build(&parameter.schema) else { continue };
            if let Some(default) = &parameter.default
                && let Err(error) = validator.validate(default)
            {
                let message = format!("does not satisfy its schema: {}", shown(&error.to_string()));
                faults.add(Code::Schema, format!("{at}.default"), message);
            }
            let examples = parameter.schema.get("examples").and_then(Value::as_array);
            for (index, example) in examples.into_iter().flatten().enumerate() {
                if let Err(error) = validator.validate(example) {
                    let message =
                        format!("does not satisfy its schema: {}", shown(&error.to_string()));
                    faults.add(Code::Schema, format!("{at}.examples[{index}]"), message);
                }
            }
        }
    }
}

fn build(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .build(schema)
        .map_err(|error| format!("is not a valid JSON Schema: {}", shown(&error.to_string())))
}

fn read_parameters(schema: &Value, faults: &mut Faults) -> Option<BTreeMap<String, Parameter>> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if properties.len() > PARAMETERS_MAX {
        let message = format!("has more than {PARAMETERS_MAX} parameters");
        faults.add(Code::TooLarge, "parameters.properties", message);
        return None;
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    for name in required.iter().filter(|name| !properties.contains_key(**name)) {
        let message =
            format!("{:?} is not among `properties`; {}", shown(name), suggest::hint(name, &known));
        faults.add(Code::Schema, "parameters.required", message);
    }
    if schema.get("additionalProperties").is_some_and(|value| *value != Value::Bool(false)) {
        let message = "must be false: a parameter that the workflow does not name is refused";
        faults.add(Code::Schema, "parameters.additionalProperties", message);
    }
    let mut by_name = BTreeMap::new();
    for (name, property) in properties {
        if !is_name(name) {
            let message =
                "must start with a letter and have letters, digits and `_` only (at most 64)";
            faults.add(Code::Schema, format!("parameters.properties.{}", shown(name)), message);
        }
        by_name.insert(
            name.clone(),
            Parameter {
                required: required.contains(&name.as_str()),
                default: property.get("default").cloned(),
                schema: property.clone(),
            },
        );
    }
    Some(by_name)
}

pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Every keyword known, every reference local, nothing too deep.
fn walk(schema: &Value, path: &str, depth: usize, faults: &mut Faults) {
    let object = match schema {
        Value::Bool(_) => return,
        Value::Object(object) => object,
        _ => {
            faults.add(Code::Schema, path, "must be a schema: a table, or true or false");
            return;
        }
    };
    let Some(depth) = depth.checked_sub(1) else {
        faults.add(Code::TooLarge, path, format!("is nested deeper than {SCHEMA_DEPTH_MAX}"));
        return;
    };
    for (key, value) in object {
        let at = join(path, &shown(key));
        let key = key.as_str();
        if !KEYWORDS.contains(&key) {
            let message = match suggest::nearest(key, KEYWORDS.iter().copied()) {
                Some(meant) => format!("unknown schema keyword; did you mean `{meant}`?"),
                None => {
                    "unknown schema keyword (JSON Schema 2020-12 without $id and anchors)".into()
                }
            };
            faults.add(Code::UnknownKey, at, message);
        } else if key == "$ref" {
            if !value.as_str().is_some_and(|target| target.starts_with("#/")) {
                let message = "must point into this schema (`#/$defs/…`): nothing is fetched";
                faults.add(Code::Schema, at, message);
            }
        } else if SCHEMAS.contains(&key) {
            walk(value, &at, depth, faults);
        } else if SCHEMA_MAPS.contains(&key) {
            for (name, inner) in value.as_object().into_iter().flatten() {
                walk(inner, &join(&at, &shown(name)), depth, faults);
            }
        } else if SCHEMA_LISTS.contains(&key) {
            for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                walk(inner, &format!("{at}[{index}]"), depth, faults);
            }
        }
    }
}
