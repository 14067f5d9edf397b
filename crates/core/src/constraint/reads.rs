//! `from_read`: a value is allowed because an earlier read of this task returned it.
//!
//! An element is `{scope, field?, where?, bound?}`. It admits a scalar that a read, allowed in this
//! task under a scope that `scope` covers, returned: with `field`, as that field of a row, or a
//! member of it when the field is an array; without, as any scalar of the row. A *row* is every
//! JSON object of the result, at any depth; where the element has neither `field` nor `where`, a
//! scalar anywhere in the result counts. With `where`, only rows whose fields equal all of it count.
//! With `"bound":"max"` the value must be a number at most such a number. Equality is by JSON type
//! and value, of whole values, never of substrings. An array argument passes when each member does.
//!
//! Which reads happened is known only to the component that saw them; elsewhere [`NoReads`] denies.

mod salt;

use std::collections::BTreeMap;

use serde_json::Value;

use super::members::Scalar;
use super::number::Number;
use crate::limits::JSON_DEPTH_MAX;
use crate::scope::Scope;

pub use salt::{ReadsSalt, SaltError};

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
}

/// The reads of a task that were allowed and answered.
pub trait ReadSet {
    /// Whether `test` holds for the result of some read whose scope `under` covers.
    fn any_result(&self, under: &Scope, test: &mut dyn FnMut(&Value) -> bool) -> bool;
}

/// For components that do not see the reads: every `from_read` denies.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReads;

impl ReadSet for NoReads {
    fn any_result(&self, _under: &Scope, _test: &mut dyn FnMut(&Value) -> bool) -> bool {
        false
    }
}

/// Reads kept in memory, newest last; the oldest are dropped beyond the bound.
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
    fn any_result(&self, under: &Scope, test: &mut dyn FnMut(&Value) -> bool) -> bool {
        self.results.iter().any(|(scope, result)| under.covers(scope) && test(result))
    }
}

impl ReadSource {
    /// Whether `child` is this element or adds `field` or `where` to it.
    #[must_use]
    pub fn subsumes(&self, child: &ReadSource) -> bool {
        self.scope == child.scope
            && self.at_most == child.at_most
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
        if self.scope != other.scope || self.at_most != other.at_most {
            return None;
        }
        let mut filter = self.filter.clone();
        for (name, value) in &other.filter {
            if filter.insert(name.clone(), value.clone()).is_some_and(|mine| mine != *value) {
                return None;
            }
        }
        Some(ReadSource { scope: self.scope.clone(), field, filter, at_most: self.at_most })
    }

    /// Whether an allowed read returned `value`.
    pub fn admits(&self, value: &Scalar, reads: &dyn ReadSet) -> bool {
        reads.any_result(&self.scope, &mut |result| self.in_result(result, value, 0))
    }

    fn in_result(&self, result: &Value, value: &Scalar, depth: usize) -> bool {
        if depth > JSON_DEPTH_MAX {
            return false;
        }
        match result {
            Value::Array(items) => items.iter().any(|item| self.in_result(item, value, depth + 1)),
            Value::Object(row) => {
                let fits = self.filter.iter().all(|(name, expected)| {
                    row.get(name).is_some_and(|found| expected.equals(found))
                });
                let held = |name: &String, field: &Value| {
                    self.field.as_ref().is_none_or(|f| f == name) && self.holds(field, value)
                };
                (fits && row.iter().any(|(name, field)| held(name, field)))
                    || row.values().any(|inner| {
                        (inner.is_array() || inner.is_object())
                            && self.in_result(inner, value, depth + 1)
                    })
            }
            scalar => self.field.is_none() && self.filter.is_empty() && self.fits(scalar, value),
        }
    }

    fn holds(&self, field: &Value, value: &Scalar) -> bool {
        match field {
            Value::Array(items) => items.iter().any(|item| self.fits(item, value)),
            other => self.fits(other, value),
        }
    }

    fn fits(&self, found: &Value, value: &Scalar) -> bool {
        if !self.at_most {
            return value.equals(found);
        }
        match (value, Number::from_json(found)) {
            (Scalar::Number(asked), Some(bound)) => *asked <= bound,
            _ => false,
        }
    }
}
