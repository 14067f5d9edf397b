//! What a token permits: scopes and constraints, and when that is narrower than a parent's.

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::claims::DETAIL_TYPE;
use crate::constraint::{
    CallArguments, Constraint, ConstraintError, Debit, ReadSet, Refusal, Totals,
};
use crate::json::{object, text};
use crate::limits::CONSTRAINTS_MAX;
use crate::outcome::Outcome;
use crate::scope::{Scope, ScopeError, ScopeSet};

/// Constraints ordered by (key, type), one of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstraintSet(Vec<Constraint>);

/// Scopes and constraints: what a token or grant permits its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldAuthority {
    /// What may be done.
    pub scopes: ScopeSet,
    /// Within which bounds.
    pub constraints: ConstraintSet,
}

/// A detail or set that does not have the required form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetailError {
    /// The object is not the closed `agent_delegation` detail.
    #[error("authorization detail {0}")]
    Detail(&'static str),
    /// A scope has no form.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// A constraint is malformed.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// Two constraints share key and type.
    #[error("two constraints share the key {key:?} and the type {type_name:?}")]
    Duplicate {
        /// The key.
        key: String,
        /// The type.
        type_name: String,
    },
    /// More than [`CONSTRAINTS_MAX`].
    #[error("more than {CONSTRAINTS_MAX} constraints")]
    TooMany,
}

/// What of a child is wider than its parent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// A scope that no scope of the parent covers.
    #[error("scope {0} is not covered by the parent")]
    Scope(Scope),
    /// A constraint of the parent that the child lacks or loosens.
    #[error("constraint {type_name} on {key:?} is dropped or loosened")]
    Constraint {
        /// The key.
        key: String,
        /// The type.
        type_name: String,
    },
    /// `del_max_depth` above the parent's.
    #[error("del_max_depth exceeds the parent's")]
    MaxDepth,
}

impl NarrowError {
    /// The stable outcome: `not_narrower`.
    #[must_use]
    pub fn code(&self) -> Outcome {
        Outcome::NotNarrower
    }
}

impl ConstraintSet {
    /// The set of these constraints, in any order.
    ///
    /// # Errors
    /// [`DetailError::Duplicate`] or [`DetailError::TooMany`].
    pub fn new(constraints: impl IntoIterator<Item = Constraint>) -> Result<Self, DetailError> {
        let mut constraints: Vec<Constraint> =
            constraints.into_iter().take(CONSTRAINTS_MAX + 1).collect();
        if constraints.len() > CONSTRAINTS_MAX {
            return Err(DetailError::TooMany);
        }
        constraints.sort_by(|a, b| a.identity().cmp(&b.identity()));
        for pair in constraints.windows(2) {
            if let [a, b] = pair
                && a.identity() == b.identity()
            {
                let (key, type_name) = a.identity();
                return Err(DetailError::Duplicate {
                    key: key.chars().take(64).collect(),
                    type_name: type_name.chars().take(64).collect(),
                });
            }
        }
        Ok(Self(constraints))
    }

    /// The constraints by (key, type).
    pub fn iter(&self) -> std::slice::Iter<'_, Constraint> {
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

    /// The constraint of this key and type.
    #[must_use]
    pub fn get(&self, key: &str, type_name: &str) -> Option<&Constraint> {
        let place = self.0.binary_search_by(|c| c.identity().cmp(&(key, type_name)));
        place.ok().and_then(|i| self.0.get(i))
    }

    /// Whether the action passes every constraint; the first that refuses decides.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admits(
        &self,
        call: &CallArguments,
        totals: Totals,
        reads: &dyn ReadSet,
    ) -> Result<(), Refusal> {
        self.0.iter().try_for_each(|constraint| constraint.admits(call, totals, reads))
    }

    /// What the action takes from each cumulative constraint. An amount that cannot be counted is
    /// reported as [`crate::constraint::Micros::MAX`], more than any limit.
    #[must_use]
    pub fn debits(&self, call: &CallArguments) -> Vec<Debit> {
        self.0.iter().filter_map(|constraint| constraint.debit(call)).collect()
    }
}

impl<'a> IntoIterator for &'a ConstraintSet {
    type Item = &'a Constraint;
    type IntoIter = std::slice::Iter<'a, Constraint>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl HeldAuthority {
    /// Permits nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Reads the closed `agent_delegation` authorization detail.
    ///
    /// # Errors
    /// [`DetailError`].
    pub fn from_detail(detail: &Value) -> Result<Self, DetailError> {
        let object = detail.as_object().ok_or(DetailError::Detail("is not an object"))?;
        if object.get("type").and_then(Value::as_str) != Some(DETAIL_TYPE) {
            return Err(DetailError::Detail("is not of type agent_delegation"));
        }
        if object.keys().any(|name| !matches!(name.as_str(), "type" | "scopes" | "constraints")) {
            return Err(DetailError::Detail("carries a member its type does not define"));
        }
        let scopes = object.get("scopes").and_then(Value::as_array);
        let scopes = scopes.ok_or(DetailError::Detail("has no array of scopes"))?;
        let scopes: Result<Vec<Scope>, DetailError> = scopes
            .iter()
            .map(|s| s.as_str().ok_or(DetailError::Detail("has a scope that is not text")))
            .map(|s| s.and_then(|s| s.parse().map_err(DetailError::from)))
            .collect();
        let none = Vec::new();
        let constraints = match object.get("constraints") {
            None => &none,
            Some(Value::Array(constraints)) => constraints,
            Some(_) => return Err(DetailError::Detail("has constraints that are not an array")),
        };
        let constraints: Result<Vec<Constraint>, ConstraintError> =
            constraints.iter().map(Constraint::from_json).collect();
        Ok(Self { scopes: ScopeSet::new(scopes?)?, constraints: ConstraintSet::new(constraints?)? })
    }

    /// The `agent_delegation` authorization detail.
    #[must_use]
    pub fn to_detail(&self) -> Value {
        object([
            ("type", Value::from(DETAIL_TYPE)),
            ("scopes", self.scopes.iter().map(text).collect()),
            ("constraints", self.constraints.iter().map(Constraint::to_json).collect()),
        ])
    }

    /// Whether this is narrower than `parent` or equal to it, by ADC's subsumption.
    ///
    /// # Errors
    /// [`NarrowError`] with the first thing that is wider.
    pub fn is_narrower_than(&self, parent: &HeldAuthority) -> Result<(), NarrowError> {
        if let Some(scope) = self.scopes.first_uncovered(&parent.scopes) {
            return Err(NarrowError::Scope(scope.clone()));
        }
        for bound in &parent.constraints {
            let (key, type_name) = bound.identity();
            if !self.constraints.get(key, type_name).is_some_and(|child| bound.subsumes(child)) {
                return Err(NarrowError::Constraint {
                    key: key.to_owned(),
                    type_name: type_name.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Whether the action is within scopes and constraints. Cumulative constraints are only
    /// checked for having a countable amount; debit what [`ConstraintSet::debits`] reports.
    ///
    /// # Errors
    /// [`Refusal`]: `scope_not_granted` first, then the first constraint that refuses.
    pub fn permits(
        &self,
        call: &CallArguments,
        totals: Totals,
        reads: &dyn ReadSet,
    ) -> Result<(), Refusal> {
        if !self.scopes.covers(call.scope()) {
            return Err(Refusal {
                outcome: Outcome::ScopeNotGranted,
                key: None,
                detail: format!("{} is not among the scopes held", call.scope()),
            });
        }
        self.constraints.admits(call, totals, reads)
    }
}

impl Serialize for HeldAuthority {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut detail = serializer.serialize_struct("AgentDelegation", 3)?;
        detail.serialize_field("constraints", &self.constraints.0)?;
        detail.serialize_field("scopes", &self.scopes)?;
        detail.serialize_field("type", DETAIL_TYPE)?;
        detail.end()
    }
}

impl<'de> Deserialize<'de> for HeldAuthority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let detail = Value::deserialize(deserializer)?;
        Self::from_detail(&detail).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
