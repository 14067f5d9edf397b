//! Constraints: what an argument of an action may be, and when one constraint is narrower.
//!
//! A constraint is a closed JSON object: `key`, exactly one type member, and the members that type
//! adds (`order` for `rank`). A set holds at most one constraint per (key, type). An object whose
//! single type member is not known here is kept whole, denies every action and is narrower only
//! than an identical one.
//!
//! | type | admits a present value that is | C narrower than P when | meet |
//! | --- | --- | --- | --- |
//! | `max`, `min` | a number ≤, ≥ the bound | C ≤ P, C ≥ P | the tighter |
//! | `max_lifetime`, `max_subtree` | reported as a [`Debit`]; the holder of the total decides | C ≤ P | the smaller |
//! | `one_of` / `not_one_of` | a scalar (not) in the array | C ⊆ P / C ⊇ P | ∩ / ∪ |
//! | `prefix` | a string that starts with it | C starts with P | the longer, or nothing |
//! | `rank` + `order` | a name of `order`, not above `rank` | same `order`, C not above P | the lower, or nothing |
//! | `subset_of` | an array of scalars, all in it | C ⊆ P | ∩ |
//! | `absent` | none: missing, null, `""`, `[]` pass | always | itself |
//! | `contains` | a string that contains it | C contains P | the longer, or nothing |
//! | `under` | a path in it, see [`path`] | C lies under P | the deeper, or nothing |
//! | `host` | an https URL of such a host, see [`host`] | C ⊆ P | ∩ |
//! | `from_read` | a value that an allowed read of this task returned, or is computed from one, see [`reads`] | each element of C equals, or adds `field`/`where` to, one of P | pairwise |
//!
//! A missing or null argument passes every per-action type (ADC): the constraint says what a value
//! may be, not that there must be one. A value of a JSON type the constraint cannot compare is
//! refused, never coerced. Numbers are finite doubles of magnitude at most 2^53 - 1; members are
//! told apart by JSON type and value, so `1` and `1.0` are the same and `true`, `1`, `"1"` are not.
//!
//! **Nothing.** Where two constraints of one (key, type) have no common value, their meet must deny
//! and still be *syntactically* narrower than the parent, for any ADC verifier. Arrays become
//! empty. A string becomes the parent's followed by U+0000 (`under`: a final segment of U+0000):
//! it extends the parent's, no other value extends it, and here it denies every value outright.
//! A `rank` with another `order` and a `not_one_of` beyond its bound keep the parent's (lowest)
//! and add `one_of: []` on the key.

pub mod call;
pub mod host;
pub mod members;
pub mod number;
pub mod path;
pub mod reads;

mod json;
mod meet;

use std::sync::Arc;

pub use call::{CallArguments, Debit, DebitKind, Refusal, Totals};
pub use meet::Meet;
pub use members::{Members, Scalar};
pub use number::{Micros, Number};
pub use path::CanonicalPath;
pub use reads::{
    Computed, DigestedReads, MemoryReads, NoReads, ReadBounds, ReadDigest, ReadSet, ReadSource,
    ReadsSalt,
};

/// The character that marks a string constraint that denies everything.
pub const NOTHING: char = '\0';

/// One constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    key: Arc<str>,
    rule: Rule,
}

/// A constraint's type and bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Per action, a number at most this.
    Max(Number),
    /// Per action, a number at least this.
    Min(Number),
    /// The sum over every action under this token.
    MaxLifetime(Number),
    /// The sum over this token and all its descendants.
    MaxSubtree(Number),
    /// A scalar in the set.
    OneOf(Members),
    /// A scalar not in the set.
    NotOneOf(Members),
    /// A string that starts with this.
    Prefix(String),
    /// A name of `order` not above `rank`.
    Rank {
        /// The highest name allowed.
        rank: String,
        /// All names, least permissive first.
        order: Vec<String>,
    },
    /// An array of scalars, all in the set.
    SubsetOf(Members),
    /// No value.
    Absent,
    /// A string that contains this.
    Contains(String),
    /// A path inside this one.
    Under(CanonicalPath),
    /// An https URL of one of these hosts.
    Host(Vec<String>),
    /// A value that an allowed read returned earlier in the task.
    FromRead(Vec<ReadSource>),
    /// A type this build does not know; kept whole.
    Unknown {
        /// The type member's name.
        member: String,
        /// Its value, as received.
        value: serde_json::Value,
    },
}

/// A constraint object that does not fit the closed grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("constraint {key:?}: {what}")]
pub struct ConstraintError {
    /// The constraint's key, empty when there is none.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

impl Constraint {
    /// A constraint on `key`.
    ///
    /// # Errors
    /// [`ConstraintError`] when the key or the rule breaks a bound.
    pub fn new(key: &str, rule: Rule) -> Result<Self, ConstraintError> {
        json::check(key, &rule)?;
        Ok(Self { key: Arc::from(key), rule })
    }

    /// The argument it bounds: `k`, or `S:k` for calls of scope `S` only.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its type and bound.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The type member's name; with the key it identifies a constraint within a set.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.rule.type_name()
    }

    /// Whether it is measured over more than one action.
    #[must_use]
    pub fn is_cumulative(&self) -> bool {
        matches!(self.rule, Rule::MaxLifetime(_) | Rule::MaxSubtree(_))
    }

    /// Whether `child` is this constraint or a tighter one of the same key and type.
    #[must_use]
    pub fn subsumes(&self, child: &Constraint) -> bool {
        self.key == child.key && self.rule.subsumes(&child.rule)
    }

    pub(crate) fn identity(&self) -> (&str, &str) {
        (&self.key, self.type_name())
    }
}

impl Rule {
    /// The name of the type member.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::Max(_) => "max",
            Self::Min(_) => "min",
            Self::MaxLifetime(_) => "max_lifetime",
            Self::MaxSubtree(_) => "max_subtree",
            Self::OneOf(_) => "one_of",
            Self::NotOneOf(_) => "not_one_of",
            Self::Prefix(_) => "prefix",
            Self::Rank { .. } => "rank",
            Self::SubsetOf(_) => "subset_of",
            Self::Absent => "absent",
            Self::Contains(_) => "contains",
            Self::Under(_) => "under",
            Self::Host(_) => "host",
            Self::FromRead(_) => "from_read",
            Self::Unknown { member, .. } => member,
        }
    }

    fn subsumes(&self, child: &Rule) -> bool {
        match (self, child) {
            (Self::Max(p), Self::Max(c))
            | (Self::MaxLifetime(p), Self::MaxLifetime(c))
            | (Self::MaxSubtree(p), Self::MaxSubtree(c)) => c <= p,
            (Self::Min(p), Self::Min(c)) => c >= p,
            (Self::OneOf(p), Self::OneOf(c)) | (Self::SubsetOf(p), Self::SubsetOf(c)) => {
                c.is_subset(p)
            }
            (Self::NotOneOf(p), Self::NotOneOf(c)) => p.is_subset(c),
            (Self::Prefix(p), Self::Prefix(c)) => c.starts_with(p.as_str()),
            (Self::Contains(p), Self::Contains(c)) => c.contains(p.as_str()),
            (Self::Under(p), Self::Under(c)) => c.lies_under(p),
            (Self::Rank { rank: p, order: po }, Self::Rank { rank: c, order: co }) => {
                po == co && position(co, c) <= position(po, p)
            }
            (Self::Absent, Self::Absent) => true,
            (Self::Host(p), Self::Host(c)) => c.iter().all(|host| p.binary_search(host).is_ok()),
            (Self::FromRead(p), Self::FromRead(c)) => {
                c.iter().all(|child| p.iter().any(|parent| parent.subsumes(child)))
            }
            (Self::Unknown { .. }, Self::Unknown { .. }) => self.is_same_unknown(child),
            _ => false,
        }
    }

    /// Unknown constraints are the same when their RFC 8785 bytes are.
    fn is_same_unknown(&self, other: &Rule) -> bool {
        let bytes = |rule: &Rule| match rule {
            Self::Unknown { member, value } => {
                crate::jcs::canonicalize_value(value).ok().map(|bytes| (member.clone(), bytes))
            }
            _ => None,
        };
        bytes(self).is_some_and(|mine| bytes(other) == Some(mine))
    }
}

/// The place of `name` in `order`; past the end when it is not there.
pub(crate) fn position(order: &[String], name: &str) -> usize {
    order.iter().position(|n| n == name).unwrap_or(order.len())
}

#[cfg(test)]
mod tests;
