//! Numbers of constraints: finite doubles in the safe range; and fixed-point amounts for budgets.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::jcs::SAFE_INTEGER_MAX;

/// A finite double of magnitude at most 2^53 - 1. Negative zero is zero.
#[derive(Clone, Copy, Debug)]
pub struct Number(f64);

impl Number {
    /// The number, unless it is not finite or beyond the safe range.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value.abs() <= SAFE_INTEGER_MAX).then_some(Self(value + 0.0))
    }

    /// Reads a JSON number; nothing else is one.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_f64().and_then(Self::new),
            _ => None,
        }
    }

    /// The double.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// The JSON number; whole numbers without a fraction.
    #[must_use]
    pub fn to_json(self) -> Value {
        self.whole().map_or_else(|| Value::from(self.0), Value::from)
    }

    fn whole(self) -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53 - 1")]
        (self.0.fract() == 0.0).then_some(self.0 as i64)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.whole() {
            Some(whole) => serializer.serialize_i64(whole),
            None => serializer.serialize_f64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Double;

        impl Visitor<'_> for Double {
            type Value = f64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in the safe range")
            }

            #[expect(clippy::cast_precision_loss, reason = "inexact ones are out of range")]
            fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
                Ok(value as f64)
            }

            #[expect(clippy::cast_precision_loss, reason = "inexact ones are out of range")]
            fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
                Ok(value as f64)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
                Ok(value)
            }
        }

        let double = deserializer.deserialize_any(Double)?;
        Self::new(double).ok_or_else(|| D::Error::custom("number is out of the safe range"))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Number {}
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A budget amount in millionths, never negative, so that sums are exact.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// More than any limit allows.
    pub const MAX: Self = Self(i64::MAX);

    /// `count` whole units.
    #[must_use]
    pub fn units(count: u32) -> Self {
        Self(i64::from(count) * 1_000_000)
    }

    /// An amount to spend, rounded up; `None` when negative or too large to count.
    #[must_use]
    pub fn amount(number: Number) -> Option<Self> {
        let (whole, rest) = millionths(number)?;
        whole.checked_add(i64::from(rest)).filter(|m| *m < i64::MAX).map(Self)
    }

    /// A limit, rounded down; a negative one is zero, a huge one the largest countable amount.
    #[must_use]
    pub fn limit(number: Number) -> Self {
        if number.get() <= 0.0 {
            return Self(0);
        }
        Self(millionths(number).map_or(i64::MAX - 1, |(whole, _)| whole))
    }

    /// The sum, stopping at [`Micros::MAX`].
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, rest) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if rest == 0 {
            return write!(f, "{units}");
        }
        write!(f, "{units}.{}", format!("{rest:06}").trim_end_matches('0'))
    }
}

/// Whole millionths of a number that is not negative, and whether anything is left over.
///
/// Read from the shortest decimal that denotes the double, so that 19.99 is 19 990 000 exactly.
fn millionths(number: Number) -> Option<(i64, bool)> {
    if number.get() < 0.0 {
        return None;
    }
    let text = number.get().to_string();
    let (units, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(6).collect();
    let rest = fraction.chars().skip(6).any(|digit| digit != '0');
    let units = units.parse::<i64>().ok()?.checked_mul(1_000_000)?;
    Some((units.checked_add(kept.parse().ok()?)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> Number {
        Number::new(value).unwrap()
    }

    #[test]
    fn only_finite_safe_numbers() {
        for bad in [f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0] {
            assert!(Number::new(bad).is_none());
        }
        assert_eq!(number(-0.0), number(0.0));
        assert_eq!(number(100.0).to_json(), serde_json::json!(100));
        assert_eq!(number(0.5).to_json(), serde_json::json!(0.5));
        assert!(Number::from_json(&serde_json::json!("1")).is_none());
        assert!(Number::from_json(&serde_json::json!(true)).is_none());
    }

    #[test]
    fn amounts_round_up_and_limits_down() {
        for (value, amount, limit) in [
            (0.0, Some(0), 0),
            (19.99, Some(19_990_000), 19_990_000),
            (0.1, Some(100_000), 100_000),
            (1e-7, Some(1), 0),
            (0.000_000_1, Some(1), 0),
            (1.000_000_5, Some(1_000_001), 1_000_000),
            (-1.0, None, 0),
            (9e15, None, i64::MAX - 1),
        ] {
            assert_eq!(Micros::amount(number(value)), amount.map(Micros), "{value}");
            assert_eq!(Micros::limit(number(value)), Micros(limit), "{value}");
        }
        assert_eq!(Micros(19_990_000).to_string(), "19.99");
        assert_eq!(Micros::units(3).to_string(), "3");
    }
}
