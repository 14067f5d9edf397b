//! Why a request is answered as it is.

use bailiwick_core::outcome::Outcome;
use cedar_policy as cedar;
use cedar_policy::{Authorizer, Decision as CedarDecision, Entities, Request};
use serde::Serialize;
use serde_json::{Value, json};

use crate::act::Act;
use crate::facts::Facts;
use crate::need::Needs;
use crate::request::{self, Frame};
use crate::set::{PolicyEntry, PolicySet};
use crate::verdict::{Verdict, evaluate};

/// Permits that are named as the closest to a request nothing permits.
const CLOSEST_MAX: usize = 5;

/// The answer to a request and what led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The answer.
    pub verdict: Verdict,
    /// Policies that were evaluated, in order of id.
    pub considered: Vec<PolicyTrace>,
    /// When nothing permitted the request: the permits that came closest, best first.
    pub closest: Vec<PolicyTrace>,
    /// Policies whose head excludes the request, so that they were not evaluated.
    pub not_considered: usize,
}

/// What became of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyTrace {
    /// Its id.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// Where it is.
    pub file: String,
    /// Line it begins on.
    pub line: usize,
    /// Whether it applies: head and conditions hold. `None` when it could not be evaluated.
    pub applies: Option<bool>,
    /// Whether it decided.
    pub determining: bool,
    /// Parts of its head (`principal`, `action`, `resource`) and its conditions, each by itself.
    pub conditions: Vec<Condition>,
}

/// One part of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Cedar text.
    pub text: String,
    /// Whether it holds. `None` when it has no value, as behind a guard that does not hold.
    pub holds: Option<bool>,
}

/// Evaluates a request and shows which policies were considered and what each made of it.
pub fn explain(set: &PolicySet, act: &Act, facts: &Facts) -> Explanation {
    let verdict = evaluate(set, act, facts);
    let mut explanation =
        Explanation { verdict, considered: Vec::new(), closest: Vec::new(), not_considered: 0 };
    let Ok(frame) = Frame::new(set.names(), act, facts) else { return explanation };
    let mut considered: Vec<&PolicyEntry> = set
        .slice(&frame)
        .into_iter()
        .flat_map(|bucket| bucket.policies.policies())
        .filter_map(|policy| set.policy(policy.id().as_ref()))
        .collect();
    considered.sort_by_key(|one| one.id());
    considered.dedup_by_key(|one| one.id());
    let Ok((request, entities)) =
        request::question(frame, act, facts, Needs::ALL).cedar(set.names())
    else {
        return explanation;
    };
    let probe = Probe { request, entities, authorizer: Authorizer::new() };
    let trace = |one: &&PolicyEntry| probe.trace(one, &explanation.verdict.determining);
    let traces: Vec<PolicyTrace> = considered.iter().map(trace).collect();
    let mut closest = Vec::new();
    if explanation.verdict.outcome == Some(Outcome::PolicyDenied)
        && explanation.verdict.determining.is_empty()
    {
        let permits = set.policies().filter(|one| one.effect() == "permit");
        let permits: Vec<&PolicyEntry> = permits.filter(|one| probe.action_holds(one)).collect();
        closest = permits.iter().map(trace).collect();
        closest.sort_by_key(|one| (distance(one), one.id.clone()));
        closest.truncate(CLOSEST_MAX);
    }
    explanation.not_considered = set.policies().len() - traces.len();
    explanation.considered = traces;
    explanation.closest = closest;
    explanation
}

/// How far a policy is from applying: parts that do not hold, those of the head first.
fn distance(trace: &PolicyTrace) -> usize {
    trace
        .conditions
        .iter()
        .filter(|condition| condition.holds != Some(true))
        .map(|condition| if is_head(&condition.text) { 10 } else { 1 })
        .sum()
}

fn is_head(text: &str) -> bool {
    !text.starts_with("when ") && !text.starts_with("unless ")
}

/// A request to try parts of policies on.
struct Probe {
    request: Request,
    entities: Entities,
    authorizer: Authorizer,
}

impl Probe {
    fn trace(&self, entry: &PolicyEntry, determining: &[String]) -> PolicyTrace {
        let json = entry.json();
        let mut conditions = Vec::new();
        for head in ["principal", "action", "resource"] {
            let constraint = json.get(head).cloned().unwrap_or_default();
            if constraint.get("op").is_some_and(|op| op != "All") {
                let part = with(json!({ head: constraint }));
                conditions.push(self.condition(&part));
            }
        }
        for clause in json.get("conditions").and_then(Value::as_array).into_iter().flatten() {
            for part in conjuncts(clause) {
                conditions.push(self.condition(&with(json!({ "conditions": [part] }))));
            }
        }
        PolicyTrace {
            id: entry.id().to_owned(),
            effect: entry.effect(),
            file: entry.file().to_owned(),
            line: entry.line(),
            applies: self.holds(&permitting(json)),
            determining: determining.iter().any(|id| id == entry.id()),
            conditions,
        }
    }

    fn condition(&self, part: &Value) -> Condition {
        Condition { text: text_of(part), holds: self.holds(part) }
    }

    fn action_holds(&self, entry: &PolicyEntry) -> bool {
        let constraint = entry.json().get("action").cloned().unwrap_or_default();
        self.holds(&with(json!({ "action": constraint }))) == Some(true)
    }

    /// Whether a policy applies. `None` when it cannot be evaluated.
    fn holds(&self, policy: &Value) -> Option<bool> {
        let policy = cedar::Policy::from_json(None, policy.clone()).ok()?;
        let set = cedar::PolicySet::from_policies([policy]).ok()?;
        let response = self.authorizer.is_authorized(&self.request, &set, &self.entities);
        let erred = response.diagnostics().errors().next().is_some();
        (!erred).then(|| response.decision() == CedarDecision::Allow)
    }
}

/// A permit that constrains nothing but what `parts` says.
fn with(parts: Value) -> Value {
    let mut policy = json!({
        "effect": "permit",
        "principal": { "op": "All" },
        "action": { "op": "All" },
        "resource": { "op": "All" },
        "conditions": [],
    });
    if let (Some(policy), Value::Object(parts)) = (policy.as_object_mut(), parts) {
        policy.extend(parts);
    }
    policy
}

/// The policy with its effect turned to permit, so that "allowed" means "applies".
fn permitting(mut policy: Value) -> Value {
    if let Some(members) = policy.as_object_mut() {
        members.insert("effect".to_owned(), "permit".into());
    }
    policy
}

/// The parts of a clause that all must hold. An `unless` is one part.
fn conjuncts(clause: &Value) -> Vec<Value> {
    fn split(body: &Value, parts: &mut Vec<Value>) {
        match (body.pointer("/&&/left"), body.pointer("/&&/right")) {
            (Some(left), Some(right)) => {
                split(left, parts);
                split(right, parts);
            }
            _ => parts.push(json!({ "kind": "when", "body": body })),
        }
    }
    let mut parts = Vec::new();
    match clause.get("body") {
        Some(body) if clause.get("kind").is_some_and(|kind| kind == "when") => {
            split(body, &mut parts);
        }
        _ => parts.push(clause.clone()),
    }
    parts
}

/// Cedar text of a policy that consists of one part: its head constraint, or its condition.
fn text_of(part: &Value) -> String {
    let Ok(policy) = cedar::Policy::from_json(None, part.clone()) else { return part.to_string() };
    let text = policy.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let bare = text.trim_start_matches("permit(").trim_end_matches(';');
    // All but the one part reads `permit(principal, action, resource)`.
    let condition = bare.strip_prefix("principal, action, resource) ");
    let resource = || bare.strip_prefix("principal, action, ")?.strip_suffix(')');
    let action = || bare.strip_prefix("principal, ")?.strip_suffix(", resource)");
    let principal = || bare.strip_suffix(", action, resource)");
    let part = condition.or_else(resource).or_else(action).or_else(principal);
    part.unwrap_or(&text).to_owned()
}
