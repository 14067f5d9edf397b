//! Sample values of parameters, to try templates out when a workflow is loaded.

use serde_json::{Map, Value, json};

use super::parameters::Parameters;

/// How many sets of samples there are.
pub(super) const ATTEMPTS: usize = 5;
/// Texts that fit one of the places a text may stand in.
const TEXTS: [&str; ATTEMPTS] =
    ["sample", "/sample", "sample.example", "https://sample.example/x", "2026-01-01"];
/// Deepest nesting of a sample.
const DEPTH_MAX: usize = 4;

/// A value for each of `names`: the `attempt`-th that its schema suggests.
pub(super) fn values(
    parameters: &Parameters,
    names: &[&str],
    attempt: usize,
) -> Map<String, Value> {
    let known = names.iter().filter_map(|name| {
        let parameter = parameters.get(name)?;
        Some(((*name).to_owned(), sample(&parameter.schema, attempt, DEPTH_MAX)))
    });
    known.collect()
}

fn sample(schema: &Value, attempt: usize, depth: usize) -> Value {
    let first = |list: Option<&Value>| list.and_then(Value::as_array)?.first().cloned();
    let given = first(schema.get("examples"))
        .or_else(|| first(schema.get("enum")))
        .or_else(|| schema.get("const").cloned())
        .or_else(|| schema.get("default").cloned().filter(|value| !is_empty(value)));
    if let Some(value) = given {
        return value;
    }
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    let types = schema.get("type");
    let one = types.and_then(Value::as_str).or_else(|| {
        types.and_then(Value::as_array).and_then(|list| list.first()).and_then(Value::as_str)
    });
    match one {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("array") => match schema.get("items") {
            Some(items) => json!([sample(items, attempt, depth)]),
            None => json!([text(attempt)]),
        },
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let members = properties.into_iter().flatten();
            members.map(|(name, inner)| (name.clone(), sample(inner, attempt, depth))).collect()
        }
        _ => json!(text(attempt)),
    }
}

fn text(attempt: usize) -> &'static str {
    TEXTS.get(attempt).copied().unwrap_or("sample")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        _ => false,
    }
}
