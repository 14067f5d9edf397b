//! Sets of JSON scalars, told apart by type and value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::number::Number;

/// A JSON value that is not an array or object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// `null`.
    Null,
    /// `true` or `false`; never a number.
    Bool(bool),
    /// A number in the safe range.
    Number(Number),
    /// A string.
    String(Box<str>),
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
        }
    }
}

impl Scalar {
    /// Reads a scalar; arrays, objects and unsafe numbers are none.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(_) => Number::from_json(value).map(Self::Number),
            Value::String(text) => Some(Self::String(text.as_str().into())),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The JSON value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => number.to_json(),
            Self::String(text) => Value::String(text.to_string()),
        }
    }

    /// Whether a JSON value is this scalar.
    #[must_use]
    pub fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::String(text), Value::String(other)) => **text == *other.as_str(),
            _ => Self::from_json(value).as_ref() == Some(self),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, number, boolean or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "inexact ones are out of range")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
        self.visit_f64(value as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "inexact ones are out of range")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
        let number = Number::new(value).map(Scalar::Number);
        number.ok_or_else(|| E::custom("number is out of the safe range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::String(text.into()))
    }
}

/// Scalars in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Vec<Scalar>);

impl Members {
    /// The set of these scalars.
    #[must_use]
    pub fn new(scalars: impl IntoIterator<Item = Scalar>) -> Self {
        let mut scalars: Vec<Scalar> = scalars.into_iter().collect();
        scalars.sort_unstable();
        scalars.dedup();
        Self(scalars)
    }

    /// The scalars in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scalar> {
        self.0.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `scalar` is in the set.
    #[must_use]
    pub fn contains(&self, scalar: &Scalar) -> bool {
        self.0.binary_search(scalar).is_ok()
    }

    /// Whether every scalar here is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Members) -> bool {
        self.0.iter().all(|scalar| other.contains(scalar))
    }

    /// The scalars in both.
    #[must_use]
    pub fn intersection(&self, other: &Members) -> Members {
        Self(self.0.iter().filter(|scalar| other.contains(scalar)).cloned().collect())
    }

    /// The scalars in either.
    #[must_use]
    pub fn union(&self, other: &Members) -> Members {
        Self::new(self.0.iter().chain(&other.0).cloned())
    }

    /// The JSON array, in order.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.0.iter().map(Scalar::to_json).collect()
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}
