//! The record of one evaluation.

use bailiwick_core::ids::DecisionId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
        let mut json = json!({
            "id": self.id,
            "allow": self.allow,
            "determining": self.determining,
            "obligations": self.obligations,
            "policy": self.policy_hash,
            "inputs": self.inputs.to_json(),
            "time": self.time.0,
        });
        if let Some(members) = json.as_object_mut() {
            if let Some(outcome) = self.outcome {
                members.insert("code".to_owned(), outcome.code().into());
            }
            if let Some(reason) = &self.reason {
                members.insert("reason".to_owned(), reason.as_str().into());
            }
        }
        json
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
