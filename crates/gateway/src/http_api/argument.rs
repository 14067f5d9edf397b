//! One declared argument: where it stands in the request, and what constraints call it.

use bailiwick_core::jcs;
use bailiwick_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Number, Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::stop::Stop;

/// Where an argument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// A parameter of the path; declared by the path itself unless it needs more than a name.
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
    /// Whether it is a list in one text, its members separated by commas.
    #[serde(default)]
    pub(crate) comma: bool,
    /// Whether case does not matter: it is decided on, and forwarded, in lower case.
    #[serde(default)]
    pub(crate) lower: bool,
    /// Whether an encoded slash may stand in this path parameter.
    #[serde(default)]
    pub(crate) slash: bool,
    /// Where it stands in a JSON body (RFC 6901, `*` for every item of a list), when it is not a
    /// member of the body itself. Empty: the whole body.
    #[serde(default)]
    pub(crate) pointer: Option<String>,
    /// Whether a request without it is refused. A constraint on an argument that is not given does
    /// not refuse by itself.
    #[serde(default)]
    pub(crate) required: bool,
    /// What it is when it is not given: decided on, and sent, as if it were.
    #[serde(default)]
    pub(crate) default: Option<Value>,
    /// The operation is this one only when the argument says exactly this: `Action`, `X-Amz-Target`.
    #[serde(default)]
    pub(crate) value: Option<String>,
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
            comma: false,
            lower: false,
            slash: false,
            pointer: None,
            required: false,
            default: None,
            value: None,
        }
    }

    /// What constraints call it.
    pub(crate) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is always a list.
    pub(crate) fn is_list(&self) -> bool {
        self.list
            || self.comma
            || self.pointer.as_ref().is_some_and(|it| it.split('/').any(|t| t == "*"))
    }

    /// The names that lead to it in a JSON body.
    pub(crate) fn steps(&self) -> Vec<String> {
        match &self.pointer {
            None => vec![self.name.clone()],
            Some(pointer) => {
                let names = pointer.split('/').skip(1);
                names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
            }
        }
    }

    /// Text as the value that is decided on, and the text that is forwarded for it.
    ///
    /// # Errors
    /// `malformed`: it is not what it is declared to be.
    pub(crate) fn read(&self, text: &str) -> Result<(Value, String), Stop> {
        if !self.comma {
            return self.read_one(text);
        }
        let members = text.split(',').filter(|_| !text.is_empty()).map(|text| self.read_one(text));
        let (values, texts): (Vec<Value>, Vec<String>) =
            members.collect::<Result<Vec<_>, Stop>>()?.into_iter().unzip();
        Ok((Value::Array(values), texts.join(",")))
    }

    fn read_one(&self, text: &str) -> Result<(Value, String), Stop> {
        let wrong = |what: &str| {
            Err(Stop::new(Outcome::Malformed, format!("`{}` is not {what}", self.name)))
        };
        let value = match self.kind {
            Kind::String => {
                let text = if self.lower { lower(text) } else { text.to_owned() };
                return Ok((text.clone().into(), text));
            }
            Kind::Boolean => match text {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return wrong("true or false"),
            },
            Kind::Number | Kind::Integer => match number(text) {
                Some(it) if self.kind == Kind::Number || !it.is_f64() => Value::Number(it),
                _ => return wrong("such a number, in its JSON form"),
            },
        };
        let text = value.to_string();
        Ok((value, text))
    }

    /// A value of a JSON body, in the form that is decided on and forwarded.
    pub(crate) fn fold(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.lower => *text = lower(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.fold(item)),
            _ => {}
        }
    }

    /// The text of its default, where text is what is sent.
    pub(crate) fn default_text(&self) -> Option<String> {
        self.default.as_ref().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// What cannot work about it.
    pub(crate) fn faults(&self, path: bool, body: Option<Body>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut refuse = |wrong: bool, what: &str| {
            if wrong {
                faults.push(format!("`{}`: {what}", self.name));
            }
        };
        let place = self.place;
        let text = place != Place::Body || body == Some(Body::Form);
        refuse(place == Place::Path && !path, "the path has no such parameter");
        refuse(place == Place::Body && body.is_none(), "it stands in a body that is not read");
        refuse(self.name.is_empty(), "it has no name");
        // What the gateway itself vouches for, and what it counts by.
        let ours = ["sensitivity", "calls"].contains(&self.key());
        refuse(ours, "that key is the gateway's own; give it another with `as`");
        if let Some(pointer) = &self.pointer {
            let fits = place == Place::Body && body == Some(Body::Json);
            refuse(!fits, "a `pointer` leads into a JSON body");
            refuse(!pointer.is_empty() && !pointer.starts_with('/'), "a pointer begins with `/`");
            refuse(self.default.is_some(), "a default stands at the top of a body only");
        }
        refuse(
            self.list && (!text || place == Place::Path || place == Place::Header),
            "only a query and a form can name a thing several times",
        );
        refuse(self.list && self.comma, "give one of `list` and `comma`");
        refuse(self.comma && !text, "a JSON body has lists of its own");
        refuse(self.slash && place != Place::Path, "`slash` is for path parameters");
        refuse(self.lower && self.kind != Kind::String, "`lower` is for text");
        let scalar = self
            .default
            .as_ref()
            .is_none_or(|it| !it.is_object() && !it.is_array() && !it.is_null());
        refuse(!scalar, "a default is text, a number, true or false");
        refuse(self.default.is_some() && place == Place::Path, "a path parameter is always given");
        refuse(
            self.default.is_some() && (self.required || self.value.is_some()),
            "what is required has no default",
        );
        let reads = |text: String| self.read(&text).is_ok_and(|(_, read)| read == text);
        refuse(
            self.default_text().is_some_and(|it| text && !reads(it)),
            "its default is not what it is declared to be",
        );
        let fixed = self
            .value
            .clone()
            .is_some_and(|it| self.kind != Kind::String || self.is_list() || !reads(it));
        refuse(fixed, "a fixed `value` is one text in its canonical form");
        faults
    }
}

/// The kinds of body whose arguments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A JSON value.
    Json,
    /// A form.
    Form,
}

/// A number in its JSON form, within what can be compared exactly.
fn number(text: &str) -> Option<Number> {
    jcs::scan_text(text).ok()?;
    serde_json::from_str(text).ok()
}

fn lower(text: &str) -> String {
    text.to_lowercase().nfc().collect()
}

/// What an upstream that is generous with names may take a name for: without case, brackets, and the
/// characters that some frameworks replace.
pub(crate) fn shadow(name: &str) -> String {
    let name = name.split('[').next().unwrap_or(name).trim();
    let folded = name.nfkc().flat_map(char::to_lowercase);
    folded.filter(|c| c.is_alphanumeric()).collect()
}

/// A value as one part of a resource's id. A slash within it is none of the id's, unless it is the
/// rest of a path.
pub(crate) fn id_text(value: &Value, slashes: bool) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(text.chars().fold(String::new(), |mut id, c| {
        match c {
            '%' => id.push_str("%25"),
            '/' if !slashes => id.push_str("%2F"),
            other => id.push(other),
        }
        id
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn of(kind: Kind) -> ArgumentConfig {
        ArgumentConfig::plain("x", Place::Query, kind)
    }

    #[rstest]
    #[case(Kind::Integer, "7", Some("7"))]
    #[case(Kind::Integer, "-7", Some("-7"))]
    #[case(Kind::Integer, "007", None)]
    #[case(Kind::Integer, "+7", None)]
    #[case(Kind::Integer, "7.0", None)]
    #[case(Kind::Integer, "1e3", None)]
    #[case(Kind::Integer, "0x7", None)]
    #[case(Kind::Integer, "\u{0667}", None)]
    #[case(Kind::Integer, "9007199254740993", None)]
    #[case(Kind::Number, "1e2", Some("100.0"))]
    #[case(Kind::Number, "5.50", Some("5.5"))]
    #[case(Kind::Number, "1e999", None)]
    #[case(Kind::Number, "NaN", None)]
    #[case(Kind::Number, "1 2", None)]
    #[case(Kind::Boolean, "true", Some("true"))]
    #[case(Kind::Boolean, "True", None)]
    #[case(Kind::Boolean, "1", None)]
    fn a_number_has_one_form(#[case] kind: Kind, #[case] text: &str, #[case] form: Option<&str>) {
        assert_eq!(of(kind).read(text).ok().map(|(_, text)| text).as_deref(), form);
    }

    #[test]
    fn a_list_in_one_text_is_a_list() {
        let list = ArgumentConfig { comma: true, ..of(Kind::Integer) };
        assert_eq!(list.read("1,2").unwrap(), (json!([1, 2]), "1,2".to_owned()));
        assert_eq!(list.read("").unwrap(), (json!([]), String::new()));
        assert!(list.read("1,,2").is_err());
    }

    #[rstest]
    #[case("Amount", "amount")]
    #[case("amount[]", "amount")]
    #[case("amount[0][x]", "amount")]
    #[case("user.name", "user_name")]
    #[case("user name", "user_name")]
    #[case("ａmount", "amount")]
    #[case(" amount", "amount")]
    fn names_that_some_upstream_takes_for_one_another(#[case] a: &str, #[case] b: &str) {
        assert_eq!(shadow(a), shadow(b));
        assert_ne!(shadow(a), shadow("other"));
    }

    proptest! {
        #[test]
        fn lower_case_is_its_own_form(text in "\\PC{0,12}") {
            let once = lower(&text);
            prop_assert_eq!(lower(&once), once);
        }

        #[test]
        fn a_number_that_was_read_reads_the_same(text in "-?[0-9]{1,6}(\\.[0-9]{1,4})?(e[0-9])?") {
            if let Ok((value, form)) = of(Kind::Number).read(&text) {
                prop_assert_eq!(of(Kind::Number).read(&form).unwrap(), (value, form));
            }
        }
    }
}
