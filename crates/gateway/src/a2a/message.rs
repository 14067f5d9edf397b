//! What a message asks for: its skill, and its structured parts as arguments.
//!
//! Agents read these names in more spellings than one: ProtoJSON takes `task_id` for `taskId`, Go takes
//! `TaskId`. What is decided on is read in the one spelling of the specification, so every other is
//! refused.

use bailiwick_core::outcome::Outcome;
use serde_json::{Map, Value};

use super::SKILL_KEY;
use super::refusal::{self, A2aError};
use crate::stop::Stop;

/// Prefix of the metadata members that are the gateway's to read and to write.
const OURS: &str = "urn:bailiwick:";

/// Members of a `SendMessageRequest`, of its `configuration`, of a message and of a part.
const REQUEST: [&str; 4] = ["tenant", "message", "configuration", "metadata"];
const CONFIGURATION: [&str; 4] =
    ["acceptedOutputModes", "taskPushNotificationConfig", "historyLength", "returnImmediately"];
const MESSAGE: [&str; 8] = [
    "messageId",
    "contextId",
    "taskId",
    "role",
    "parts",
    "metadata",
    "extensions",
    "referenceTaskIds",
];
const PART: [&str; 7] = ["text", "raw", "url", "data", "metadata", "filename", "mediaType"];

/// A message on its way to the agent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The whole body, without what agents say in the gateway's name.
    pub(crate) body: Value,
    /// JSON pointer to the message's metadata.
    pub(crate) carry_at: String,
    /// The skill that it names.
    pub(crate) skill: Option<String>,
    /// The remote task that it goes on with.
    pub(crate) task: Option<String>,
    /// The conversation that it goes on with.
    pub(crate) context: Option<String>,
    /// What constraints see: the members of its `data` parts, its text, the URLs of its files.
    pub(crate) arguments: Map<String, Value>,
}

/// Reads the `SendMessageRequest` at `at` (a JSON pointer) of a body.
pub(crate) fn read(mut body: Value, at: &str) -> Result<Sent, Stop> {
    let malformed = |what: &str| Stop::new(Outcome::Malformed, what);
    let request = body.pointer_mut(at).ok_or_else(|| malformed("the request has no params"))?;
    require_names(request, &REQUEST)?;
    require_no_tenant(request)?;
    let configuration = request.get("configuration").unwrap_or(&Value::Null);
    require_names(configuration, &CONFIGURATION)?;
    let pushed = configuration
        .as_object()
        .into_iter()
        .flatten()
        .any(|(name, value)| folded(name).contains("pushnotification") && !value.is_null());
    if pushed {
        let detail = "push notifications would carry results past this gateway";
        let error = A2aError::PushNotificationNotSupported;
        return Err(refusal::stop(Outcome::ScopeNotGranted, error, detail));
    }
    let outer = request.get("metadata").and_then(|m| m.get(SKILL_KEY)).cloned();
    strip(request);
    let message = request.get_mut("message").ok_or_else(|| malformed("there is no `message`"))?;
    require_names(message, &MESSAGE)?;
    let parts = message.get("parts").and_then(Value::as_array);
    let arguments = arguments(parts.ok_or_else(|| malformed("the message has no `parts`"))?)?;
    let inner = message.get("metadata").and_then(|m| m.get(SKILL_KEY)).cloned();
    let skill = match (outer, inner) {
        (Some(a), Some(b)) if a != b => {
            return Err(malformed("the request and its message name different skills"));
        }
        (a, b) => a.or(b),
    };
    let skill = match skill {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(malformed("the skill in `metadata` is not text")),
    };
    let text = |name: &str| match message.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(malformed(&format!("`{name}` is not text"))),
    };
    let (task, context) = (text("taskId")?, text("contextId")?);
    if message.get("referenceTaskIds").and_then(Value::as_array).is_some_and(|ids| !ids.is_empty())
    {
        return Err(malformed("`referenceTaskIds` is not served: a task stands on its own chain"));
    }
    strip(message);
    let members = message.as_object_mut().ok_or_else(|| malformed("`message` is no object"))?;
    members.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    Ok(Sent { body, carry_at: format!("{at}/message/metadata"), skill, task, context, arguments })
}

/// Refuses a member that some agent takes for one of these, and that is not written like it.
pub(super) fn require_names(holder: &Value, names: &[&str]) -> Result<(), Stop> {
    for name in holder.as_object().into_iter().flat_map(Map::keys) {
        let fold = folded(name);
        if let Some(exact) = names.iter().find(|exact| *exact != name && folded(exact) == fold) {
            return Err(Stop::new(Outcome::Malformed, format!("a member is written `{exact}`")));
        }
    }
    Ok(())
}

/// Refuses another tenant of the agent: whose it would be, nobody decided.
pub(super) fn require_no_tenant(request: &Value) -> Result<(), Stop> {
    if request.get("tenant").is_some_and(|tenant| !tenant.is_null() && tenant != "") {
        return Err(Stop::new(Outcome::Malformed, "`tenant` is not served on this route"));
    }
    Ok(())
}

/// A name as the most lenient of readers compares it: without case and separators.
pub(super) fn folded(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
    letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Takes away what only the gateway may say.
fn strip(holder: &mut Value) {
    if let Some(metadata) = holder.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !name.starts_with(OURS));
    }
}

fn arguments(parts: &[Value]) -> Result<Map<String, Value>, Stop> {
    let malformed = |what: &str| Stop::new(Outcome::Malformed, what);
    let mut arguments = Map::new();
    let (mut texts, mut urls) = (Vec::new(), Vec::new());
    for part in parts {
        require_names(part, &PART)?;
        let part = part.as_object().ok_or_else(|| malformed("a part is no object"))?;
        match (part.get("text"), part.get("data"), part.get("url"), part.get("raw")) {
            (Some(Value::String(text)), None, None, None) => texts.push(text.clone()),
            (None, Some(Value::Object(data)), None, None) => {
                for (name, value) in data {
                    if arguments.insert(name.clone(), value.clone()).is_some() {
                        return Err(malformed("two data parts name the same member"));
                    }
                }
            }
            (None, None, Some(Value::String(url)), None) => urls.push(Value::from(url.clone())),
            (None, None, None, Some(Value::String(_))) => {}
            _ => return Err(malformed("a part is not exactly one of text, data object, url, raw")),
        }
    }
    for (name, value) in [
        ("text", (!texts.is_empty()).then(|| Value::from(texts.join("\n")))),
        ("urls", (!urls.is_empty()).then_some(Value::Array(urls))),
    ] {
        let Some(value) = value else { continue };
        if arguments.insert(name.to_owned(), value).is_some() {
            return Err(malformed("a data part has a member that is called like a part"));
        }
    }
    Ok(arguments)
}
