//! One declared argument: where it stands in the request, and what constraints call it.

use bailiwick_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::stop::Stop;

/// Where an argument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// A parameter of the path; declared by the path itself unless it needs a name or a kind.
    Path,
    /// A query parameter.
    Query,
    /// A header.
    Header,
    /// A member of the body, or what `pointer` names in it.
    Body,
}

/// What an argument is. Text of a URL becomes a number only where that is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Text.
    #[default]
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// A declared argument.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgumentConfig {
    /// Its name in the request.
    pub(crate) name: String,
    /// Where it stands.
    #[serde(rename = "in")]
    pub(crate) place: Place,
    /// What constraints call it; by default its name.
    #[serde(default, rename = "as")]
    pub(crate) key: Option<String>,
    /// What it is, in a path, query, header or form; a JSON body says it by itself.
    #[serde(default, rename = "type")]
    pub(crate) kind: Kind,
    /// Whether a query or form may name it several times: it is then always a list.
    #[serde(default)]
    pub(crate) list: bool,
    /// Whether case does not matter: it is decided on, and forwarded, in lower case.
    #[serde(default)]
    pub(crate) lower: bool,
    /// Where it stands in a JSON body (RFC 6901), when it is not a member of the body itself.
    #[serde(default)]
    pub(crate) pointer: Option<String>,
}

impl ArgumentConfig {
    /// An argument whose name says it all.
    pub(crate) fn plain(name: &str, place: Place, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            place,
            key: None,
            kind,
            list: false,
            lower: false,
            pointer: None,
        }
    }

    /// What constraints call it.
    pub(crate) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.name)
    }

    /// Text as the value that is decided on, and the text that is forwarded for it.
    pub(crate) fn read(&self, text: &str) -> Result<(Value, String), Stop> {
        let wrong = |what: &str| {
            Err(Stop::new(Outcome::Malformed, format!("`{}` is not {what}", self.name)))
        };
        let value = match self.kind {
            Kind::String => {
                let text = if self.lower { text.to_lowercase() } else { text.to_owned() };
                return Ok((text.clone().into(), text));
            }
            Kind::Boolean => match text {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return wrong("true or false"),
            },
            Kind::Number | Kind::Integer => match serde_json::from_str::<Number>(text) {
                Ok(number) if self.kind == Kind::Number || !number.is_f64() => Value::Number(number),
                _ => return wrong("such a number, in its JSON form"),
            },
        };
        let text = value.to_string();
        Ok((value, text))
    }

    /// A value of a JSON body, in the form that is decided on and forwarded.
    pub(crate) fn fold(&self, value: &mut Value) {
        if let (true, Value::String(text)) = (self.lower, value) {
            *text = text.to_lowercase();
        }
    }
}
