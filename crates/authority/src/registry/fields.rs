//! A strict reader of JSON objects: unknown keys are faults, every fault names its place, and all
//! faults of a file are collected so that one run shows them all.

use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::DOCUMENTS_MAX;
use super::error::{DocumentKind, RegistryError, RegistryErrorCode, shown};
use crate::suggest;

/// Longest text of a field, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1024;
/// Most faults that are reported at once.
const FAULTS_MAX: usize = 100;

/// Faults found so far, and the document being read.
#[derive(Debug)]
pub(super) struct Faults {
    kind: DocumentKind,
    id: String,
    found: Vec<RegistryError>,
}

impl Faults {
    pub(super) fn new(kind: DocumentKind, id: &str) -> Self {
        Self { kind, id: id.to_owned(), found: Vec::new() }
    }

    /// Says which document the next faults are about.
    pub(super) fn about(&mut self, kind: DocumentKind, id: &str) {
        self.kind = kind;
        self.id = shown(id);
    }

    pub(super) fn add(
        &mut self,
        code: RegistryErrorCode,
        field: impl Into<String>,
        message: impl Into<String>,
    ) {
        if self.found.len() < FAULTS_MAX {
            let (kind, id) = (self.kind, self.id.clone());
            let (field, message) = (field.into(), message.into());
            self.found.push(RegistryError { kind, id, field, code, message });
        }
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// A reader of `value`, which must be an object with no keys but `known`.
    pub(super) fn object<'a>(
        &'a mut self,
        value: &'a Value,
        path: &str,
        known: &'static [&'static str],
    ) -> Option<Reader<'a>> {
        let Some(object) = value.as_object() else {
            self.add(RegistryErrorCode::Value, path, "must be a table");
            return None;
        };
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let message = format!("unknown key; {}", suggest::hint(key, known));
            self.add(RegistryErrorCode::UnknownKey, join(path, &shown(key)), message);
        }
        Some(Reader { faults: self, object, path: path.to_owned() })
    }

    pub(super) fn into_found(self) -> Vec<RegistryError> {
        self.found
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<RegistryError>> {
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    match (path, key) {
        ("", key) => key.to_owned(),
        (path, "") => path.to_owned(),
        (path, key) => format!("{path}.{key}"),
    }
}

/// Reads the fields of one object. A faulty field reads as a harmless value: the fault is kept, and
/// with it nothing of the file is used.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    faults: &'a mut Faults,
    object: &'a Map<String, Value>,
    path: String,
}

impl<'a> Reader<'a> {
    pub(super) fn fault(&mut self, code: RegistryErrorCode, key: &str, message: impl Into<String>) {
        let field = join(&self.path, key);
        self.faults.add(code, field, message);
    }

    pub(super) fn faults(&mut self) -> &mut Faults {
        self.faults
    }

    pub(super) fn place(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key)
    }

    /// The documents of one kind, each read by `read`.
    pub(super) fn documents<T>(
        &mut self,
        kind: DocumentKind,
        key: &str,
        read: fn(&Value, &mut Faults) -> Option<T>,
    ) -> Vec<T> {
        self.faults.about(DocumentKind::File, "");
        let items = self.array(key, DOCUMENTS_MAX);
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let id = match item.get("id").and_then(Value::as_str) {
                Some(id) => id.to_owned(),
                None => format!("#{}", index.saturating_add(1)),
            };
            self.faults.about(kind, &id);
            out.extend(read(item, self.faults));
        }
        out
    }

    pub(super) fn array(&mut self, key: &str, max: usize) -> &'a [Value] {
        match self.object.get(key) {
            None => &[],
            Some(Value::Array(items)) if items.len() <= max => items,
            Some(Value::Array(_)) => {
                self.fault(
                    RegistryErrorCode::TooLarge,
                    key,
                    format!("has more than {max} entries"),
                );
                &[]
            }
            Some(_) => {
                self.fault(RegistryErrorCode::Value, key, "must be a list");
                &[]
            }
        }
    }

    /// Required text, not empty.
    pub(super) fn text(&mut self, key: &str, what: &str) -> String {
        match self.optional_text(key) {
            Some(text) if text.is_empty() => {
                self.fault(RegistryErrorCode::Value, key, format!("must not be empty: {what}"));
                text
            }
            Some(text) => text,
            None => {
                if !self.object.contains_key(key) {
                    self.fault(RegistryErrorCode::Missing, key, format!("is required: {what}"));
                }
                String::new()
            }
        }
    }

    pub(super) fn optional_text(&mut self, key: &str) -> Option<String> {
        match self.object.get(key) {
            None => None,
            Some(Value::String(text)) if text.len() > TEXT_BYTES_MAX => {
                let message = format!("is longer than {TEXT_BYTES_MAX} bytes");
                self.fault(RegistryErrorCode::Value, key, message);
                None
            }
            Some(Value::String(text)) if text.chars().any(char::is_control) => {
                self.fault(RegistryErrorCode::Value, key, "has control characters; use plain text");
                None
            }
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.fault(RegistryErrorCode::Value, key, "must be text in quotes");
                None
            }
        }
    }

    /// Required text that parses as `T`; `what` says what it is.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Option<T> {
        let text = self.text(key, what);
        if text.is_empty() {
            return None;
        }
        self.parse_text(key, &text, what)
    }

    pub(super) fn parse_text<T: FromStr>(
        &mut self,
        key: &str,
        text: &str,
        what: &str,
    ) -> Option<T> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let message = format!("{:?} is not {what}", shown(text));
            self.fault(RegistryErrorCode::Value, key, message);
        }
        parsed
    }

    /// One word of a vocabulary, or `default` when the key is absent and there is one.
    pub(super) fn word<T: FromStr>(
        &mut self,
        key: &str,
        known: &[&str],
        default: Option<T>,
    ) -> Option<T> {
        let Some(value) = self.object.get(key) else {
            if default.is_none() {
                let message = format!("is required; {}", suggest::hint("", known));
                self.fault(RegistryErrorCode::Missing, key, message);
            }
            return default;
        };
        let word = value.as_str().unwrap_or_default();
        let parsed = if known.contains(&word) { word.parse().ok() } else { None };
        if parsed.is_none() {
            let message =
                format!("{} is not a value of it; {}", brief(value), suggest::hint(word, known));
            self.fault(RegistryErrorCode::Value, key, message);
        }
        parsed
    }

    pub(super) fn integer(&mut self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        match self.object.get(key) {
            None => default,
            Some(value) => match value.as_u64().filter(|number| range.contains(number)) {
                Some(number) => number,
                None => {
                    let (low, high) = (range.start(), range.end());
                    let message = format!(
                        "is {}; it must be a whole number from {low} to {high}",
                        brief(value)
                    );
                    self.fault(RegistryErrorCode::Value, key, message);
                    default
                }
            },
        }
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.object.get(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(RegistryErrorCode::Value, key, "must be true or false");
                default
            }
        }
    }

    /// A list of texts without repetitions.
    pub(super) fn texts(&mut self, key: &str, max: usize) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (index, item) in self.array(key, max).iter().enumerate() {
            let at = format!("{key}[{index}]");
            match item.as_str() {
                Some(text) if text.is_empty() || text.len() > TEXT_BYTES_MAX => {
                    let message = format!("must have 1 to {TEXT_BYTES_MAX} bytes");
                    self.fault(RegistryErrorCode::Value, &at, message);
                }
                Some(text) if out.iter().any(|seen| seen == text) => {
                    self.fault(
                        RegistryErrorCode::Duplicate,
                        &at,
                        "is in the list already; remove it",
                    );
                }
                Some(text) => out.push(text.to_owned()),
                None => self.fault(RegistryErrorCode::Value, &at, "must be text in quotes"),
            }
        }
        out
    }
}

/// A value, short enough for an error.
pub(super) fn brief(value: &Value) -> String {
    shown(&value.to_string())
}
