//! The permissions of a GitHub App or of a fine-grained token.

use bailiwick_core::permission::{Need, Permission};
use serde_json::{Map, Value};

/// A level includes those before it.
const LEVELS: [&str; 3] = ["read", "write", "admin"];

/// One permission for each level that a name has.
pub(super) fn permissions(text: &str) -> Result<Vec<Permission>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let map = match document.get("permissions") {
        Some(inner) => inner,
        None => &document,
    };
    let map: &Map<String, Value> =
        map.as_object().ok_or("this is no map of permissions, such as {\"contents\": \"read\"}")?;
    let mut permissions = Vec::new();
    for (name, level) in map {
        let level = level.as_str().unwrap_or_default();
        if level == "none" {
            continue;
        }
        let Some(at) = LEVELS.iter().position(|it| *it == level) else {
            return Err(format!("`{name}` is not one of read, write, admin and none"));
        };
        for level in LEVELS.iter().take(at.saturating_add(1)) {
            let need: Need =
                format!("{name}:{level}").parse().map_err(|error| format!("{error}"))?;
            permissions.push(Permission::of(need));
        }
    }
    Ok(permissions)
}
