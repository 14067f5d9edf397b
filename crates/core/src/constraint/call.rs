//! One action's arguments against constraints: admit, refuse, and what to debit.

use std::fmt;

use serde_json::{Map, Value};

use super::members::Scalar;
use super::number::{Micros, Number};
use super::reads::ReadSet;
use super::{Constraint, NOTHING, Rule, host, path, position};
use crate::outcome::Outcome;
use crate::scope::Scope;

/// The key that counts one per action, whatever the arguments are.
pub const CALLS: &str = "calls";

/// The action asked for: its scope and its arguments by name.
///
/// A constraint's key names an argument as `k`, for every action, or as `S:k`, for actions of scope
/// `S` only. For an action of scope `S` a key that begins with `S:` is always read the second way,
/// so an argument that is itself called `S:k` can never stand in for `k`.
#[derive(Clone, Debug)]
pub struct CallArguments {
    scope: Scope,
    scoped_prefix: String,
    arguments: Map<String, Value>,
}

impl CallArguments {
    /// An action of `scope` with these arguments.
    #[must_use]
    pub fn new(scope: Scope, arguments: Map<String, Value>) -> Self {
        let scoped_prefix = format!("{scope}:");
        Self { scope, scoped_prefix, arguments }
    }

    /// The action's scope.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The arguments by name.
    #[must_use]
    pub fn arguments(&self) -> &Map<String, Value> {
        &self.arguments
    }

    /// The argument a constraint key names, if it is given and not null.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let name = key.strip_prefix(&self.scoped_prefix).unwrap_or(key);
        self.arguments.get(name).filter(|value| !value.is_null())
    }

    /// Whether `key` counts this action: `calls`, or `S:calls` for its scope.
    fn counts(&self, key: &str) -> bool {
        key == CALLS || key.strip_prefix(&self.scoped_prefix) == Some(CALLS)
    }
}

/// Whether this component holds the running totals that cumulative constraints are measured over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Totals {
    /// It holds none: every `max_lifetime` and `max_subtree` denies (ADC step 8).
    NotHeld,
    /// It will debit what [`super::super::ConstraintSet::debits`] reports, atomically, before the
    /// action is released.
    Debited,
}

/// Why an action is refused by a constraint or for its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable outcome.
    pub outcome: Outcome,
    /// The constraint's key, if a constraint refused.
    pub key: Option<String>,
    /// What was not satisfied; quotes the bound's type, never the argument.
    pub detail: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.outcome, self.detail),
            None => write!(f, "{}: {}", self.outcome, self.detail),
        }
    }
}

impl std::error::Error for Refusal {}

/// Which total a debit is measured over.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DebitKind {
    /// Actions under the token itself.
    Lifetime,
    /// Actions under the token and every descendant.
    Subtree,
}

impl DebitKind {
    /// The name of the constraint type: `max_lifetime` or `max_subtree`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifetime => "max_lifetime",
            Self::Subtree => "max_subtree",
        }
    }
}

/// What an action takes from a budget, and how much the budget allows in all.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Debit {
    /// The constraint's key.
    pub key: String,
    /// Which total.
    pub kind: DebitKind,
    /// What this action adds to the total.
    pub amount: Micros,
    /// What the total may not exceed.
    pub limit: Micros,
}

impl Constraint {
    /// Whether the action passes this constraint.
    ///
    /// # Errors
    /// [`Refusal`] with `ceiling_exceeded` or `unknown_constraint`.
    pub fn admits(
        &self,
        call: &CallArguments,
        totals: Totals,
        reads: &dyn ReadSet,
    ) -> Result<(), Refusal> {
        let refuse = |outcome, detail: &str| {
            Err(Refusal { outcome, key: Some(self.key().to_owned()), detail: detail.to_owned() })
        };
        match self.rule() {
            Rule::Unknown { .. } => {
                refuse(Outcome::UnknownConstraint, "this constraint type is not known here")
            }
            Rule::MaxLifetime(_) | Rule::MaxSubtree(_) if totals == Totals::NotHeld => {
                refuse(Outcome::CeilingExceeded, "its running total is not held here")
            }
            Rule::MaxLifetime(_) | Rule::MaxSubtree(_) => match self.amount(call) {
                Some(_) => Ok(()),
                None => refuse(Outcome::CeilingExceeded, "the amount is not a number to add up"),
            },
            Rule::Absent => match call.get(self.key()) {
                Some(value) if !is_empty(value) => {
                    refuse(Outcome::CeilingExceeded, "no value is allowed")
                }
                _ => Ok(()),
            },
            rule => match call.get(self.key()) {
                Some(value) if !admits_value(rule, value, reads) => refuse(
                    Outcome::CeilingExceeded,
                    &format!("not within its {}", rule.type_name()),
                ),
                _ => Ok(()),
            },
        }
    }

    /// What the action takes from this cumulative constraint's total; `None` when it is not one or
    /// the action takes nothing.
    #[must_use]
    pub fn debit(&self, call: &CallArguments) -> Option<Debit> {
        let (kind, limit) = match self.rule() {
            Rule::MaxLifetime(limit) => (DebitKind::Lifetime, limit),
            Rule::MaxSubtree(limit) => (DebitKind::Subtree, limit),
            _ => return None,
        };
        // An amount that cannot be counted takes more than any limit allows.
        let amount = self.amount(call).unwrap_or(Micros::MAX);
        let limit = Micros::limit(*limit);
        let key = self.key().to_owned();
        (amount.0 > 0).then_some(Debit { key, kind, amount, limit })
    }

    fn amount(&self, call: &CallArguments) -> Option<Micros> {
        if call.counts(self.key()) {
            return Some(Micros::units(1));
        }
        match call.get(self.key()) {
            Some(value) => Number::from_json(value).and_then(Micros::amount),
            None => Some(Micros(0)),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn admits_value(rule: &Rule, value: &Value, reads: &dyn ReadSet) -> bool {
    let scalar = || Scalar::from_json(value);
    let number = || Number::from_json(value);
    let text = || value.as_str();
    match rule {
        Rule::Max(bound) => number().is_some_and(|n| n <= *bound),
        Rule::Min(bound) => number().is_some_and(|n| n >= *bound),
        Rule::OneOf(members) => scalar().is_some_and(|s| members.contains(&s)),
        Rule::NotOneOf(members) => scalar().is_some_and(|s| !members.contains(&s)),
        Rule::Prefix(prefix) => {
            !prefix.contains(NOTHING) && text().is_some_and(|t| t.starts_with(prefix.as_str()))
        }
        Rule::Contains(part) => {
            !part.contains(NOTHING) && text().is_some_and(|t| t.contains(part.as_str()))
        }
        Rule::Rank { rank, order } => text().is_some_and(|name| {
            let place = position(order, name);
            place < order.len() && place <= position(order, rank)
        }),
        Rule::SubsetOf(members) => value.as_array().is_some_and(|items| {
            items.iter().all(|i| Scalar::from_json(i).is_some_and(|s| members.contains(&s)))
        }),
        Rule::Under(parent) => {
            !parent.is_nothing()
                && text()
                    .and_then(path::CanonicalPath::from_value)
                    .is_some_and(|place| place.lies_under(parent))
        }
        Rule::Host(hosts) => {
            text().and_then(host::entry_of).is_some_and(|entry| hosts.contains(&entry))
        }
        Rule::FromRead(sources) => {
            let one = |value: &Value| {
                Scalar::from_json(value)
                    .is_some_and(|s| sources.iter().any(|source| source.admits(&s, reads)))
            };
            match value {
                Value::Array(items) => items.iter().all(one),
                single => one(single),
            }
        }
        Rule::Absent | Rule::MaxLifetime(_) | Rule::MaxSubtree(_) | Rule::Unknown { .. } => false,
    }
}
