//! One read as it is kept: no text of what it returned, but enough to recognise it.
//!
//! Text, truth values, null and the names of fields become the first 16 bytes of an HMAC-SHA256 under
//! the task's salt, told apart by kind. Numbers stay numbers, because they are compared and computed
//! with: without the texts of their row they are amounts of nothing in particular. The rows stay rows.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::salt::ReadsSalt;
use super::{ReadSource, Scalar};
use crate::constraint::number::Number;
use crate::crypto::hmac_sha256;
use crate::limits::{JSON_DEPTH_MAX, READ_ROWS_MAX, READ_SCALARS_MAX};
use crate::scope::Scope;

/// One allowed read of one task, digested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ReadDigest {
    scope: Scope,
    rows: Vec<Row>,
    /// Scalars that are in no row: of a list of scalars, or the whole result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    loose: Vec<Datum>,
}

/// A digest as it came from another component.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    scope: Scope,
    rows: Vec<Row>,
    #[serde(default)]
    loose: Vec<Datum>,
}

impl TryFrom<Unchecked> for ReadDigest {
    type Error = &'static str;

    fn try_from(read: Unchecked) -> Result<Self, &'static str> {
        let Unchecked { scope, rows, loose } = read;
        let read = Self { scope, rows, loose };
        if read.rows.len() > READ_ROWS_MAX || read.scalars() > READ_SCALARS_MAX {
            return Err("a read has more rows or values than are kept");
        }
        Ok(read)
    }
}

/// One JSON object: its fields that hold scalars, or lists with scalars in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row(Vec<(Mark, Field)>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Field {
    One(Datum),
    Many(Vec<Datum>),
}

/// One scalar. As text a number is `#` and the bits of its double in hexadecimal, so that no reader of
/// decimals can move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Datum {
    Number(Number),
    Mark(Mark),
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => {
                serializer.collect_str(&format_args!("#{:016x}", number.get().to_bits()))
            }
            Self::Mark(mark) => mark.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let Some(bits) = text.strip_prefix('#') else {
            return Mark::from_text(&text).map(Self::Mark).map_err(D::Error::custom);
        };
        let bits = u64::from_str_radix(bits, 16).ok().filter(|_| bits.len() == 16);
        let number = bits.and_then(|bits| Number::new(f64::from_bits(bits)));
        number.map(Self::Number).ok_or_else(|| D::Error::custom("not the bits of a number"))
    }
}

/// A keyed digest of a text, a truth value, null or a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark([u8; 16]);

impl Mark {
    fn of(salt: &ReadsSalt, kind: u8, bytes: &[u8]) -> Self {
        let full = hmac_sha256(salt.as_bytes(), &[&[kind], bytes].concat());
        Self(full.first_chunk().copied().unwrap_or_default())
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Ok(Self(bytes)),
            _ => Err("not a digest of 16 bytes"),
        }
    }

    fn name(salt: &ReadsSalt, name: &str) -> Self {
        Self::of(salt, b'f', name.as_bytes())
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_text(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Datum {
    fn of(salt: &ReadsSalt, scalar: &Scalar) -> Self {
        let mark = |kind, bytes: &[u8]| Self::Mark(Mark::of(salt, kind, bytes));
        match scalar {
            Scalar::Number(number) => Self::Number(*number),
            Scalar::String(text) => mark(b's', text.as_bytes()),
            Scalar::Bool(true) => mark(b'b', &[1]),
            Scalar::Bool(false) => mark(b'b', &[0]),
            Scalar::Null => mark(b'n', &[]),
        }
    }

    fn from_json(salt: &ReadsSalt, value: &Value) -> Option<Self> {
        match value {
            // Without a copy of the text.
            Value::String(text) => Some(Self::Mark(Mark::of(salt, b's', text.as_bytes()))),
            other => Scalar::from_json(other).map(|scalar| Self::of(salt, &scalar)),
        }
    }
}

/// What a source asks for, digested once for all rows.
pub(super) struct Sought {
    field: Option<Mark>,
    filter: Vec<(Mark, Datum)>,
}

impl Sought {
    pub(super) fn new(salt: &ReadsSalt, source: &ReadSource) -> Self {
        let filter = source.filter.iter();
        Self {
            field: source.field.as_deref().map(|name| Mark::name(salt, name)),
            filter: filter
                .map(|(name, value)| (Mark::name(salt, name), Datum::of(salt, value)))
                .collect(),
        }
    }

    fn is_anywhere(&self) -> bool {
        self.field.is_none() && self.filter.is_empty()
    }

    fn fits(&self, row: &Row) -> bool {
        self.filter.iter().all(|(name, expected)| {
            row.0.iter().any(|(n, field)| n == name && *field == Field::One(*expected))
        })
    }
}

impl ReadDigest {
    /// The digest of what a read, allowed under `scope`, returned. Of a result with more rows or
    /// values than are kept, the first ones are kept.
    #[must_use]
    pub fn of(salt: &ReadsSalt, scope: Scope, result: &Value) -> Self {
        let read = Self { scope, rows: Vec::new(), loose: Vec::new() };
        let mut taker = Taker { salt, read, room: READ_SCALARS_MAX };
        taker.take(result, 0);
        taker.read
    }

    /// The scope the read was allowed under.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing of the result was worth keeping.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.loose.is_empty()
    }

    /// About what it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        256 + self.scope.as_str().len() + 64 * self.rows.len() + 64 * self.scalars()
    }

    fn scalars(&self) -> usize {
        let of = |(_, field): &(Mark, Field)| match field {
            Field::One(_) => 1,
            Field::Many(items) => 1 + items.len(),
        };
        self.loose.len() + self.rows.iter().flat_map(|row| &row.0).map(of).sum::<usize>()
    }

    /// Whether it holds exactly this value where it is sought.
    pub(super) fn returned(&self, sought: &Sought, value: &Datumed) -> bool {
        self.any(sought, &mut |datum| *datum == value.0)
    }

    /// Whether `test` holds for a number where it is sought.
    pub(super) fn any_number(&self, sought: &Sought, test: &mut dyn FnMut(Number) -> bool) -> bool {
        self.any(sought, &mut |datum| match datum {
            Datum::Number(number) => test(*number),
            Datum::Mark(_) => false,
        })
    }

    fn any(&self, sought: &Sought, test: &mut dyn FnMut(&Datum) -> bool) -> bool {
        let mut held = |(name, field): &(Mark, Field)| {
            sought.field.is_none_or(|sought| sought == *name)
                && match field {
                    Field::One(datum) => test(datum),
                    Field::Many(items) => items.iter().any(&mut *test),
                }
        };
        self.rows.iter().filter(|row| sought.fits(row)).any(|row| row.0.iter().any(&mut held))
            || (sought.is_anywhere() && self.loose.iter().any(test))
    }
}

/// A value that is looked for.
pub(super) struct Datumed(Datum);

impl Datumed {
    pub(super) fn new(salt: &ReadsSalt, value: &Scalar) -> Self {
        Self(Datum::of(salt, value))
    }
}

/// Goes through a result and takes what there is room for.
struct Taker<'a> {
    salt: &'a ReadsSalt,
    read: ReadDigest,
    room: usize,
}

impl Taker<'_> {
    fn take(&mut self, value: &Value, depth: usize) {
        if depth > JSON_DEPTH_MAX {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.take(item, depth + 1)),
            Value::Object(fields) => self.take_row(fields, depth),
            scalar => {
                let datum = Datum::from_json(self.salt, scalar);
                self.read.loose.extend(datum.filter(|_| self.room > 0));
                self.room = self.room.saturating_sub(1);
            }
        }
    }

    fn take_row(&mut self, fields: &Map<String, Value>, depth: usize) {
        let mut row = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let datum = |value| Datum::from_json(self.salt, value);
            let (field, size) = match value {
                Value::Array(items) => {
                    let items: Vec<Datum> = items.iter().filter_map(datum).collect();
                    let size = 1 + items.len();
                    ((size > 1).then_some(Field::Many(items)), size)
                }
                one => (datum(one).map(Field::One), 1),
            };
            // A row of which a part is missing must not pass for one that fits a `where`.
            if size > self.room {
                return;
            }
            if let Some(field) = field {
                self.room = self.room.saturating_sub(size);
                row.push((Mark::name(self.salt, name), field));
            }
        }
        if !row.is_empty() && self.read.rows.len() < READ_ROWS_MAX {
            self.read.rows.push(Row(row));
        }
        for value in fields.values() {
            match value {
                // The scalars of a list that is a field are in the row already.
                Value::Array(items) => items
                    .iter()
                    .filter(|item| item.is_array() || item.is_object())
                    .for_each(|item| self.take(item, depth + 2)),
                Value::Object(_) => self.take(value, depth + 1),
                _ => {}
            }
        }
    }
}
