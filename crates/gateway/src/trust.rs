//! Which parts of a result are ours: trust goes down to a field.
//!
//! ```toml
//! [route.mcp.tool.trust]
//! result = "yaml"                              # how the tool writes its text; "json" by default
//! fields = ["emails[].sender", "emails[].id"]  # what nobody outside can write
//! untrusted = ["emails[].sender.display"]      # not even below what `fields` names
//! ```
//!
//! A path is names joined by dots, `*` for any name, `[]` for every item of a list, `$` for the whole
//! result. It stands for everything below it. What no path of `fields` reaches is not trusted;
//! without the table nothing is. Rows stay rows, so that `field` and `where` of `from_read` find the
//! trusted fields of one row together; a `where` on a field that is not trusted finds nothing.

use bailiwick_core::limits::JSON_DEPTH_MAX;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::json;

/// Paths in one rule.
const PATHS_MAX: usize = 128;
/// Steps of one path, and bytes of one.
const STEPS_MAX: usize = JSON_DEPTH_MAX;
const PATH_BYTES_MAX: usize = 1_024;

/// How a result that comes as text is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ResultForm {
    /// JSON.
    #[default]
    Json,
    /// One YAML document; plain values as in JSON, aliases and tags refused.
    Yaml,
    /// A list with one text for each line that is not empty.
    TextLines,
}

/// Which parts of an operation's result may become later arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRule {
    /// How a result that comes as text is read. Nothing is guessed.
    #[serde(default)]
    pub(crate) result: ResultForm,
    /// What is trusted.
    pub(crate) fields: Paths,
    /// What is not, below what is.
    #[serde(default)]
    pub(crate) untrusted: Paths,
}

/// Paths of one list of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Paths(Vec<Vec<Step>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    AnyName,
    Item,
}

impl TryFrom<Vec<String>> for Paths {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        if texts.len() > PATHS_MAX {
            return Err(format!("more than {PATHS_MAX} paths"));
        }
        texts.iter().map(|text| steps(text)).collect::<Result<_, _>>().map(Self)
    }
}

impl Paths {
    fn all(&self) -> Vec<&[Step]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}

/// What is left of the paths that go on with a step that fits.
fn after<'p>(paths: &[&'p [Step]], fits: &dyn Fn(&Step) -> bool) -> Vec<&'p [Step]> {
    let on = paths.iter().filter_map(|path| path.split_first());
    on.filter(|(step, _)| fits(step)).map(|(_, rest)| rest).collect()
}

/// Reads one path.
fn steps(text: &str) -> Result<Vec<Step>, String> {
    let wrong = || {
        format!("`{text}` is no path; write one like `emails[].sender`, `*.id`, `[].name` or `$`")
    };
    if text.len() > PATH_BYTES_MAX {
        return Err("a path is too long".to_owned());
    }
    if text == "$" {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    for (at, segment) in text.split('.').enumerate() {
        let (name, items) = segment.split_at(segment.find('[').unwrap_or(segment.len()));
        match name {
            // Only a list as the whole result has no name in front.
            "" if at == 0 && !items.is_empty() => {}
            "" => return Err(wrong()),
            "*" => steps.push(Step::AnyName),
            _ if name.contains(['*', ']', '$']) => return Err(wrong()),
            _ => steps.push(Step::Name(name.to_owned())),
        }
        let (lists, rest) = items.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || lists.iter().any(|list| list != b"[]") {
            return Err(wrong());
        }
        steps.extend(lists.iter().map(|_| Step::Item));
    }
    if steps.len() > STEPS_MAX {
        return Err(wrong());
    }
    Ok(steps)
}

impl TrustRule {
    /// What can never do anything, for the configuration check.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.fields.0.is_empty().then_some("`fields` is empty: nothing would ever be trusted")
    }

    /// The trusted part of a result; null when there is none.
    pub(crate) fn select(&self, result: &Value) -> Value {
        kept(result, self.fields.all(), self.untrusted.all(), false, 0).unwrap_or_default()
    }

    /// Reads a result that came as text; `None` when it is not what was declared.
    pub(crate) fn read_text(&self, text: &str) -> Option<Value> {
        match self.result {
            ResultForm::Json => json::read(text.as_bytes()).ok(),
            ResultForm::Yaml => yaml(text),
            ResultForm::TextLines => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                Some(lines.map(Value::from).collect())
            }
        }
    }
}

/// What of `value` is trusted, given what is left of each path here.
fn kept(
    value: &Value,
    trusted: Vec<&[Step]>,
    untrusted: Vec<&[Step]>,
    above: bool,
    depth: usize,
) -> Option<Value> {
    let here = above || trusted.iter().any(|path| path.is_empty());
    let out = untrusted.iter().any(|path| path.is_empty());
    if out || depth > JSON_DEPTH_MAX || (!here && trusted.is_empty()) {
        return None;
    }
    let below = |inner: &Value, fits: &dyn Fn(&Step) -> bool| {
        let (trusted, untrusted) = (after(&trusted, fits), after(&untrusted, fits));
        kept(inner, trusted, untrusted, here, depth.saturating_add(1))
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, inner)| {
                let fits = |step: &Step| match step {
                    Step::Name(wanted) => wanted == name,
                    Step::AnyName => true,
                    Step::Item => false,
                };
                Some((name.clone(), below(inner, &fits)?))
            });
            let fields: Map<String, Value> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::Array(items) => {
            let items = items.iter().filter_map(|inner| below(inner, &|step| *step == Step::Item));
            let items: Vec<Value> = items.collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        scalar => here.then(|| scalar.clone()),
    }
}

/// Reads one YAML document. A text that another reader could read otherwise is none.
fn yaml(text: &str) -> Option<Value> {
    let budget =
        serde_saphyr::budget! { max_aliases: 0, max_anchors: 0, max_depth: JSON_DEPTH_MAX };
    let options = serde_saphyr::options! {
        budget: budget,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        strict_booleans: true,
        legacy_octal_numbers: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
    };
    serde_saphyr::from_str_with_options(text, options).ok()
}

#[cfg(test)]
mod tests;
