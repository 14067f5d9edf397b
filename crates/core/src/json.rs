//! Building JSON objects from values that are moved, not serialized again.

use serde_json::{Map, Value};

/// An object of these members.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Adds a member when there is a value for it.
pub(crate) fn put(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Value::Object(members), Some(value)) = (object, value) {
        let _: Option<Value> = Map::insert(members, name.to_owned(), value);
    }
}

/// The JSON string of a displayable value.
pub(crate) fn text(value: &impl std::fmt::Display) -> Value {
    Value::String(value.to_string())
}
