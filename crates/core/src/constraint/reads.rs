//! `from_read`: a value is allowed because an earlier read of this task returned it.
//!
//! An element is `{scope, field?, where?, bound?, times?, plus?}`. It admits a scalar that a read,
//! allowed in this task under a scope that `scope` covers, returned: with `field`, as that field of a
//! row, or a member of it when the field is an array; without, as any scalar of the row. A *row* is
//! every JSON object of the result, at any depth; where the element has neither `field` nor `where`,
//! a scalar anywhere in the result counts. With `where`, only rows whose fields equal all of it count.
//! With `"bound":"max"` the value must be a number at most such a number. Equality is by JSON type
//! and value, of whole values, never of substrings. An array argument passes when each member does.
//!
//! With `times` or `plus` (and then with `field`) the value is a number computed from a returned one:
//! `times` × it + `plus`, both constants of the grant, 1 and 0 when absent. What is asked may be half
//! a hundredth off, since people and agents round amounts: [`ROUNDED`]. Every admissible value is a
//! function of one trusted value and of constants that the granter chose, so that nothing a page or a
//! document says moves it. Why not sums: docs/decisions/0006.
//!
//! Which reads happened is known only to the component that saw them; elsewhere [`NoReads`] denies.
//! [`DigestedReads`] keeps digests only and gives the same verdicts.

mod digest;
mod digested;
mod salt;

use std::collections::BTreeMap;

use serde_json::Value;

use super::members::Scalar;
use super::number::Number;
use crate::limits::JSON_DEPTH_MAX;
use crate::scope::Scope;

pub use digest::ReadDigest;
pub use digested::{DigestedReads, ReadBounds};
pub use salt::{ReadsSalt, SaltError};

/// How far a computed amount may be from the exact one: half a hundredth, and what doubles lose.
pub const ROUNDED: f64 = 0.005 + 1e-9;

/// One element of `from_read`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadSource {
    /// The scope the read was allowed under.
    pub scope: Scope,
    /// The field of a row that holds the value; any field when absent.
    pub field: Option<String>,
    /// What other fields of the same row must equal.
    pub filter: BTreeMap<String, Scalar>,
    /// Whether a number may be at most a returned one (`"bound":"max"`), instead of equal to it.
    pub at_most: bool,
    /// What is computed from the returned number; nothing when absent.
    pub computed: Option<Computed>,
}

/// `times` × a returned number + `plus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Computed {
    times: Number,
    plus: Number,
}

impl Computed {
    /// The computation; none when it changes nothing.
    #[must_use]
    pub fn new(times: Option<Number>, plus: Option<Number>) -> Option<Self> {
        let one = times.is_none_or(|times| times.get() == 1.0);
        let zero = plus.is_none_or(|plus| plus.get() == 0.0);
        let (times, plus) =
            (times.or_else(|| Number::new(1.0))?, plus.or_else(|| Number::new(0.0))?);
        (!(one && zero)).then_some(Self { times, plus })
    }

    /// The factor.
    #[must_use]
    pub fn times(&self) -> Number {
        self.times
    }

    /// The constant.
    #[must_use]
    pub fn plus(&self) -> Number {
        self.plus
    }

    /// The exact result for a returned number, as a double.
    fn of(&self, returned: Number) -> f64 {
        self.times.get() * returned.get() + self.plus.get()
    }
}

/// The reads of a task that were allowed and answered.
pub trait ReadSet {
    /// Whether a read under `source.scope` returned exactly this value where `source` says.
    fn returned(&self, source: &ReadSource, value: &Scalar) -> bool;
    /// Whether `test` holds for a number that a read under `source.scope` returned where `source`
    /// says.
    fn any_number(&self, source: &ReadSource, test: &mut dyn FnMut(Number) -> bool) -> bool;
}

/// For components that do not see the reads: every `from_read` denies.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReads;

impl ReadSet for NoReads {
    fn returned(&self, _source: &ReadSource, _value: &Scalar) -> bool {
        false
    }

    fn any_number(&self, _source: &ReadSource, _test: &mut dyn FnMut(Number) -> bool) -> bool {
        false
    }
}

/// Reads kept in memory as they came, newest last; the oldest are dropped beyond the bound.
#[derive(Clone, Debug)]
pub struct MemoryReads {
    results: std::collections::VecDeque<(Scope, Value)>,
    results_max: usize,
}

impl MemoryReads {
    /// No reads yet; keeps at most `results_max`.
    #[must_use]
    pub fn new(results_max: usize) -> Self {
        Self { results: std::collections::VecDeque::new(), results_max }
    }

    /// Remembers the result of a read that was allowed under `scope`.
    pub fn record(&mut self, scope: Scope, result: Value) {
        self.results.push_back((scope, result));
        if self.results.len() > self.results_max {
            self.results.pop_front();
        }
    }
}

impl ReadSet for MemoryReads {
    fn returned(&self, source: &ReadSource, value: &Scalar) -> bool {
        self.any(source, &mut |found| value.equals(found))
    }

    fn any_number(&self, source: &ReadSource, test: &mut dyn FnMut(Number) -> bool) -> bool {
        self.any(source, &mut |found| Number::from_json(found).is_some_and(&mut *test))
    }
}

impl MemoryReads {
    /// Whether `test` holds for a scalar where `source` says.
    fn any(&self, source: &ReadSource, test: &mut dyn FnMut(&Value) -> bool) -> bool {
        let mut under = self.results.iter().filter(|(scope, _)| source.scope.covers(scope));
        under.any(|(_, result)| source.any_in(result, test, 0))
    }
}

impl ReadSource {
    /// Whether `child` is this element or adds `field` or `where` to it.
    #[must_use]
    pub fn subsumes(&self, child: &ReadSource) -> bool {
        self.scope == child.scope
            && self.at_most == child.at_most
            && self.computed == child.computed
            && (self.field.is_none() || self.field == child.field)
            && self.filter.iter().all(|(name, value)| child.filter.get(name) == Some(value))
    }

    /// The element that both subsume, when there is one.
    #[must_use]
    pub fn meet(&self, other: &ReadSource) -> Option<ReadSource> {
        let field = match (&self.field, &other.field) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        if self.scope != other.scope
            || self.at_most != other.at_most
            || self.computed != other.computed
        {
            return None;
        }
        let mut filter = self.filter.clone();
        for (name, value) in &other.filter {
            if filter.insert(name.clone(), value.clone()).is_some_and(|mine| mine != *value) {
                return None;
            }
        }
        Some(ReadSource { field, filter, ..self.clone() })
    }

    /// Whether an allowed read makes `value` admissible.
    pub fn admits(&self, value: &Scalar, reads: &dyn ReadSet) -> bool {
        if !self.at_most && self.computed.is_none() {
            return reads.returned(self, value);
        }
        let Scalar::Number(asked) = value else { return false };
        reads.any_number(self, &mut |returned| self.allows(*asked, returned))
    }

    fn allows(&self, asked: Number, returned: Number) -> bool {
        match self.computed {
            None => asked <= returned,
            Some(computed) => {
                let above = asked.get() - computed.of(returned);
                above <= ROUNDED && (self.at_most || above >= -ROUNDED)
            }
        }
    }

    /// Whether `test` holds for a scalar of `result` where this element says.
    fn any_in(&self, result: &Value, test: &mut dyn FnMut(&Value) -> bool, depth: usize) -> bool {
        if depth > JSON_DEPTH_MAX {
            return false;
        }
        match result {
            Value::Array(items) => items.iter().any(|item| self.any_in(item, test, depth + 1)),
            Value::Object(row) => {
                let fits = self.filter.iter().all(|(name, expected)| {
                    row.get(name).is_some_and(|found| expected.equals(found))
                });
                let named = |name: &String| self.field.as_ref().is_none_or(|f| f == name);
                let held = fits
                    && row.iter().filter(|(name, _)| named(name)).any(|(_, field)| match field {
                        Value::Array(items) => items.iter().any(&mut *test),
                        one => test(one),
                    });
                held || row.values().any(|inner| {
                    (inner.is_array() || inner.is_object()) && self.any_in(inner, test, depth + 1)
                })
            }
            scalar => self.field.is_none() && self.filter.is_empty() && test(scalar),
        }
    }
}

#[cfg(test)]
mod tests;
