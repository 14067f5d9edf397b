//! Would these policies have decided otherwise?

use bailiwick_core::outcome::Outcome;
use serde::Serialize;
use serde_json::Value;

use crate::decision::Inputs;
use crate::obligation::Obligation;
use crate::set::PolicySet;
use crate::verdict::{Verdict, evaluate};

/// Takes a decision again, on the inputs it stored. `None` for a refusal by the code: policy had
/// no part in it.
pub fn replay(set: &PolicySet, inputs: &Inputs) -> Option<Verdict> {
    match inputs {
        Inputs::Evaluated(inputs) => Some(evaluate(set, &inputs.act, &inputs.facts)),
        Inputs::Refused(_) => None,
    }
}

/// How a stored decision would come out under other policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The decision.
    pub decision: String,
    /// What it said: the code of the refusal, `None` for a permit.
    pub before: Option<String>,
    /// What these policies say.
    pub after: Verdict,
    /// Whether the answer differs: allowed or not, or why not.
    pub answer_changed: bool,
    /// Whether the same answer has other grounds or other obligations.
    pub grounds_changed: bool,
}

/// A stored decision that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decision: `{0}` is missing or of the wrong type")]
pub struct NotADecision(&'static str);

/// Replays a decision as [`Decision::to_json`](crate::Decision::to_json) wrote it. `Ok(None)`
/// when policy had no part in it.
///
/// # Errors
///
/// When the JSON is not a decision.
pub fn replay_json(set: &PolicySet, decision: &Value) -> Result<Option<Replayed>, NotADecision> {
    let id = decision.get("id").and_then(Value::as_str).ok_or(NotADecision("id"))?;
    let allow = decision.get("allow").and_then(Value::as_bool).ok_or(NotADecision("allow"))?;
    let inputs = decision.get("inputs").ok_or(NotADecision("inputs"))?;
    let code = decision.get("code").and_then(Value::as_str);
    if allow != code.is_none() {
        return Err(NotADecision("code"));
    }
    let determining: Vec<String> = read(decision, "determining")?;
    let obligations: Vec<Obligation> = read(decision, "obligations")?;
    let Some(after) = replay(set, &Inputs::from_json(inputs)) else { return Ok(None) };
    Ok(Some(Replayed {
        decision: id.to_owned(),
        before: code.map(str::to_owned),
        answer_changed: after.outcome.map(Outcome::code) != code,
        grounds_changed: after.determining != determining || after.obligations != obligations,
        after,
    }))
}

fn read<T: serde::de::DeserializeOwned>(
    decision: &Value,
    member: &'static str,
) -> Result<T, NotADecision> {
    let value = decision.get(member).cloned().ok_or(NotADecision(member))?;
    serde_json::from_value(value).map_err(|_| NotADecision(member))
}
