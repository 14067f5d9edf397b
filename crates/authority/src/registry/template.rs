//! Templates: JSON with `${parameter}` places.
//!
//! A string that is exactly `${name}` becomes the parameter's JSON value, spliced when it is an
//! array inside an array; inside a longer string a scalar is interpolated. A value can never change
//! the shape of what it fills: see [`Guard`].

use serde_json::{Map, Value};

use super::error::{TemplateError, shown};

/// Longest interpolated value, in characters.
const INTERPOLATED_CHARS_MAX: usize = 256;
/// Deepest nesting of a template.
const TEMPLATE_DEPTH_MAX: usize = 8;

/// What an interpolated value must not contain, by where it stands. Parameters come from whoever
/// starts a task; without this, `*` in a scope or `..` in a path would widen the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Any text without control characters; never empty.
    Text,
    /// One literal part of a scope: lower-case letters, digits, `_` and `-`.
    ScopeSegment,
    /// One name in a path: no separators, no `.` or `..`, no percent escapes.
    PathSegment,
    /// One label of a host name.
    HostLabel,
}

impl Guard {
    fn check(self, text: &str) -> Result<(), &'static str> {
        let segment = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        };
        let holds = match self {
            Self::Text => !text.chars().any(char::is_control),
            Self::ScopeSegment => text.bytes().all(segment),
            Self::PathSegment => {
                !matches!(text, "." | "..")
                    && !text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '%' | '*'))
            }
            Self::HostLabel => {
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            }
        };
        if text.is_empty() {
            return Err("must not be empty here");
        }
        if text.chars().count() > INTERPOLATED_CHARS_MAX {
            return Err("is longer than 256 characters");
        }
        if holds {
            return Ok(());
        }
        Err(match self {
            Self::Text => "must not have control characters",
            Self::ScopeSegment => "must have lower-case letters, digits, `_` and `-` only",
            Self::PathSegment => "must be one name of a path, without `/`, `..`, `%` or `*`",
            Self::HostLabel => "must be one label of a host name",
        })
    }
}

/// A piece of a string template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Place(String),
}

/// A compiled template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Template {
    Literal(Value),
    Whole(String),
    Text(Vec<Piece>),
    Array(Vec<Template>),
    Object(Vec<(String, Template)>),
}

impl Template {
    /// Compiles a JSON value; the message of a fault says what to do.
    pub(super) fn compile(value: &Value) -> Result<Self, String> {
        Self::compile_within(value, TEMPLATE_DEPTH_MAX)
    }

    fn compile_within(value: &Value, depth: usize) -> Result<Self, String> {
        let Some(inner) = depth.checked_sub(1) else {
            return Err(format!("is nested deeper than {TEMPLATE_DEPTH_MAX}"));
        };
        Ok(match value {
            Value::String(text) => Self::compile_text(text)?,
            Value::Array(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().map(|item| Self::compile_within(item, inner)).collect();
                let items = items?;
                if items.iter().all(|item| matches!(item, Self::Literal(_))) {
                    Self::Literal(value.clone())
                } else {
                    Self::Array(items)
                }
            }
            Value::Object(object) => {
                let mut members = Vec::with_capacity(object.len());
                for (key, item) in object {
                    if key.contains("${") {
                        return Err(format!("the key {:?} cannot be a template", shown(key)));
                    }
                    members.push((key.clone(), Self::compile_within(item, inner)?));
                }
                Self::Object(members)
            }
            other => Self::Literal(other.clone()),
        })
    }

    fn compile_text(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, tail)) = after.split_once('}') else {
                return Err(format!("{:?} has a `${{` without its `}}`", shown(text)));
            };
            if !super::parameters::is_name(name) {
                return Err(format!("`${{{}}}` does not name a parameter", shown(name)));
            }
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(Piece::Place(name.to_owned()));
            rest = tail;
        }
        if pieces.is_empty() {
            return Ok(Self::Literal(Value::String(text.to_owned())));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(match pieces.as_slice() {
            [Piece::Place(name)] => Self::Whole(name.clone()),
            _ => Self::Text(pieces),
        })
    }

    /// Whether it has no places.
    pub(super) fn is_literal(&self) -> bool {
        match self {
            Self::Literal(_) => true,
            Self::Whole(_) | Self::Text(_) => false,
            Self::Array(items) => items.iter().all(Self::is_literal),
            Self::Object(members) => members.iter().all(|(_, item)| item.is_literal()),
        }
    }

    /// The parameters it names.
    pub(super) fn places(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names
    }

    fn collect<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Literal(_) => {}
            Self::Whole(name) => names.push(name),
            Self::Text(pieces) => names.extend(pieces.iter().filter_map(|piece| match piece {
                Piece::Place(name) => Some(name.as_str()),
                Piece::Literal(_) => None,
            })),
            Self::Array(items) => items.iter().for_each(|item| item.collect(names)),
            Self::Object(members) => members.iter().for_each(|(_, item)| item.collect(names)),
        }
    }

    /// A string template with every place replaced by `mark`; for comparing shapes.
    pub(super) fn outline(&self, mark: &str) -> Option<String> {
        match self {
            Self::Literal(Value::String(text)) => Some(text.clone()),
            Self::Text(pieces) => Some(
                pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Literal(text) => text.as_str(),
                        Piece::Place(_) => mark,
                    })
                    .collect(),
            ),
            _ => None,
        }
    }

    /// Fills the places from `values`; `place` names this template in errors.
    pub(super) fn fill(
        &self,
        values: &Map<String, Value>,
        guard: Guard,
        place: &str,
    ) -> Result<Value, TemplateError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(name) => whole(values, name, place).cloned(),
            Self::Text(pieces) => fill_text(pieces, values, guard, place),
            Self::Array(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    match (item, item.fill(values, guard, place)?) {
                        (Self::Whole(_), Value::Array(spliced)) => out.extend(spliced),
                        (_, value) => out.push(value),
                    }
                }
                Ok(Value::Array(out))
            }
            Self::Object(members) => {
                let mut out = Map::new();
                for (key, item) in members {
                    out.insert(key.clone(), item.fill(values, guard, place)?);
                }
                Ok(Value::Object(out))
            }
        }
    }
}

fn whole<'a>(
    values: &'a Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<&'a Value, TemplateError> {
    values.get(name).ok_or_else(|| unfit(name, place, "is not given"))
}

fn fill_text(
    pieces: &[Piece],
    values: &Map<String, Value>,
    guard: Guard,
    place: &str,
) -> Result<Value, TemplateError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Place(name) => {
                let value = scalar(whole(values, name, place)?)
                    .ok_or_else(|| unfit(name, place, "must be text, a number or a truth value"))?;
                guard.check(&value).map_err(|message| unfit(name, place, message))?;
                text.push_str(&value);
            }
        }
    }
    Ok(Value::String(text))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

pub(super) fn unfit(name: &str, place: &str, message: &str) -> TemplateError {
    TemplateError::Unfit { name: shown(name), place: shown(place), message: message.to_owned() }
}
