//! A TOML or JSON file as JSON, with the place of every value so that faults can point at it.

mod json_place;

use crate::fault::{Fault, Place};
use crate::secret::cannot;
use miette::{LabeledSpan, NamedSource};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The largest file read.
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A file that was read and parsed.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) value: Value,
    toml: bool,
}

impl Document {
    /// Reads a file; JSON if it is named so or starts with a brace, TOML otherwise.
    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let text = read_text(path)?;
        let json = path.extension().is_some_and(|extension| extension == "json")
            || text.trim_start().starts_with('{');
        Self::parse(name, text, !json)
    }

    /// Parses a text.
    pub(crate) fn parse(name: String, text: String, toml: bool) -> Result<Self, Fault> {
        let parsed = if toml { parse_toml(&text) } else { parse_json(&text) };
        match parsed {
            Ok(value) => Ok(Self { name, text, value, toml }),
            Err((message, span)) => {
                let kind = if toml { "TOML" } else { "JSON" };
                Err(Fault::local(format!("not {kind}: {message}")).at(Place {
                    source: NamedSource::new(name, text),
                    labels: vec![LabeledSpan::at(span, "here")],
                }))
            }
        }
    }

    /// A fault at the value that the steps lead to, or at the last one that exists on the way.
    pub(crate) fn fault(&self, steps: &[Step], message: impl Into<String>) -> Fault {
        Fault::local(message).at(self.place(steps))
    }

    /// The place of a value, or of the last one that exists on the way to it.
    pub(crate) fn place(&self, steps: &[Step]) -> Place {
        let span = self.span(steps).unwrap_or(0..0);
        Place {
            source: NamedSource::new(&self.name, self.text.clone()),
            labels: vec![LabeledSpan::at(span, "here")],
        }
    }

    fn span(&self, steps: &[Step]) -> Option<Range<usize>> {
        if self.toml { toml_place(&self.text, steps) } else { json_place::find(&self.text, steps) }
    }
}

/// Reads a path such as `edges[0].to` as steps.
pub(crate) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        if let Some(key) = pieces.next().filter(|key| !key.is_empty()) {
            steps.push(Step::Key(key.to_owned()));
        }
        for piece in pieces {
            if let Ok(index) = piece.trim_end_matches(']').parse() {
                steps.push(Step::Index(index));
            }
        }
    }
    steps
}

/// Reads a text file within bounds.
pub(crate) fn read_text(path: &Path) -> Result<String, Fault> {
    let file = File::open(path).map_err(|error| cannot("read", path, &error))?;
    let mut text = String::new();
    file.take(DOCUMENT_BYTES_MAX.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| cannot("read", path, &error))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > DOCUMENT_BYTES_MAX {
        return Err(Fault::local(format!(
            "{}: larger than {DOCUMENT_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(text)
}

type Parsed = Result<Value, (String, Range<usize>)>;

fn parse_toml(text: &str) -> Parsed {
    match text.parse::<toml::Table>() {
        Ok(table) => Ok(Value::Object(json_object(table))),
        Err(error) => Err((error.message().trim().to_owned(), error.span().unwrap_or(0..0))),
    }
}

fn parse_json(text: &str) -> Parsed {
    bailiwick_core::jcs::parse_strict(text.as_bytes()).or_else(|_| {
        // Files need not be canonical; what is refused is told by the plain parser.
        serde_json::from_str(text).map_err(|error| {
            let offset = offset_of(text, error.line(), error.column());
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
            (message, offset..offset)
        })
    })
}

fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut offset = before.saturating_add(column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset = offset.saturating_sub(1);
    }
    offset
}

fn json_object(table: toml::Table) -> Map<String, Value> {
    table.into_iter().map(|(key, value)| (key, json(value))).collect()
}

/// TOML has dates and JSON has not: they become their text.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json).collect()),
        toml::Value::Table(table) => Value::Object(json_object(table)),
    }
}

fn toml_place(text: &str, steps: &[Step]) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut place = 0..0;
    let mut value: Option<&DeValue<'_>> = None;
    let mut table: Option<&DeTable<'_>> = Some(root.get_ref());
    for step in steps {
        let next = match (step, table, value) {
            (Step::Key(key), Some(table), _) => {
                table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, inner)| {
                    let inner_table = inner.get_ref().as_table();
                    // A value shows where it is; a table, by its name.
                    let span = if inner_table.is_some() { name.span() } else { inner.span() };
                    (span, inner)
                })
            }
            (Step::Index(index), _, Some(value)) => value
                .as_array()
                .and_then(|items| items.get(*index))
                .map(|inner| (inner.span(), inner)),
            _ => None,
        };
        let Some((span, inner)) = next else { break };
        place = span;
        value = Some(inner.get_ref());
        table = inner.get_ref().as_table();
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "[[owner]]\nid = \"a\"\n\n[[owner]]\nid = \"b\"\nlist = [1,\n  2]\n";
    const JSON: &str =
        "{\n \"owner\": [\n  {\"id\": \"a\"},\n  {\"id\": \"b\",\n   \"list\": [1,\n  2]}\n ]\n}";

    fn line(document: &Document, path: &str) -> String {
        document.fault(&steps(path), "x").to_string()
    }

    #[test]
    fn the_same_path_is_found_in_both_forms() {
        let toml = Document::parse("f".into(), TOML.into(), true).unwrap();
        let json = Document::parse("f".into(), JSON.into(), false).unwrap();
        assert_eq!(toml.value, json.value);
        assert_eq!(line(&toml, "owner[1].id"), "f:5: x");
        assert_eq!(line(&json, "owner[1].id"), "f:4: x");
        assert_eq!(line(&toml, "owner[1].list[1]"), "f:7: x");
        assert_eq!(line(&json, "owner[1].list[1]"), "f:6: x");
        assert_eq!(line(&toml, "owner[1].gone.deeper"), "f:4: x");
        assert_eq!(line(&json, "owner[1].gone.deeper"), "f:4: x");
    }

    #[test]
    fn a_syntax_fault_names_its_line() {
        let toml = Document::parse("f".into(), "a = 1\nb =\n".into(), true).unwrap_err();
        assert!(toml.to_string().starts_with("f:2: not TOML"), "{toml}");
        let json = Document::parse("f".into(), "{\n \"a\": 1,\n é}".into(), false).unwrap_err();
        assert!(json.to_string().starts_with("f:3: not JSON"), "{json}");
    }
}
