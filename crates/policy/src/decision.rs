//! The record of one evaluation.

use bailiwick_core::ids::DecisionId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::act::Act;
use crate::facts::Facts;
use crate::obligation::Obligation;

/// One evaluation: inputs, outcome, determining policies, policy-set hash, time.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its id.
    pub id: DecisionId,
    /// Whether the request may proceed.
    pub allow: bool,
    /// Why not; `None` when allowed.
    pub outcome: Option<Outcome>,
    /// One sentence for whoever was refused: policy ids and facts of the request, no policy text.
    pub reason: Option<String>,
    /// Ids of the policies that decided, sorted. Empty when nothing permitted the request and
    /// when the code refused it.
    pub determining: Vec<String>,
    /// What the permit asks in return, sorted.
    pub obligations: Vec<Obligation>,
    /// Hash of the policy set in force.
    pub policy_hash: String,
    /// What was looked at.
    pub inputs: Inputs,
    /// When.
    pub time: UnixMillis,
}

impl Decision {
    /// The decision as JSON; every member is deterministic, so that its JCS form is canonical.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

impl Serialize for Decision {
    /// Members in canonical order, so that they are written where they stand.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut members = to.serialize_struct("Decision", 9)?;
        members.serialize_field("allow", &self.allow)?;
        if let Some(outcome) = self.outcome {
            members.serialize_field("code", outcome.code())?;
        }
        members.serialize_field("determining", &self.determining)?;
        members.serialize_field("id", &self.id)?;
        members.serialize_field("inputs", &self.inputs)?;
        members.serialize_field("obligations", &self.obligations)?;
        members.serialize_field("policy", &*self.policy_hash)?;
        if let Some(reason) = &self.reason {
            members.serialize_field("reason", reason)?;
        }
        members.serialize_field("time", &self.time.0)?;
        members.end()
    }
}

/// What a decision looked at: enough to take it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Inputs {
    /// Policy was evaluated on these.
    Evaluated(Box<Evaluated>),
    /// The code refused before policy was asked; whatever was known by then.
    Refused(Value),
}

/// The inputs of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    /// What was asked.
    pub act: Act,
    /// What was known.
    pub facts: Facts,
}

impl Inputs {
    /// The inputs as JSON, as a decision stores them.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Reads back what [`Inputs::to_json`] wrote. Never fails: inputs that policy cannot be
    /// evaluated on are `Refused`.
    pub fn from_json(json: &Value) -> Self {
        Evaluated::deserialize(json).map_or_else(
            |_| Self::Refused(json.clone()),
            |inputs| Self::Evaluated(Box::new(inputs)),
        )
    }
}
