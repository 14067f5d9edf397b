//! The evaluation itself: facts in, answer out.

use std::collections::BTreeSet;
use std::sync::Arc;

use bailiwick_core::outcome::Outcome;
use cedar_policy::{AuthorizationError, Authorizer, Decision as CedarDecision};
use serde::Serialize;

use crate::act::Act;
use crate::facts::Facts;
use crate::index::Bucket;
use crate::obligation::Obligation;
use crate::question::Question;
use crate::request::{self, Frame, Unaskable};
use crate::set::PolicySet;

/// What policy says of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Why not; `None` when allowed.
    #[serde(rename = "code", serialize_with = "code", skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// One sentence for whoever is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Ids of the policies that decided, sorted.
    pub determining: Vec<String>,
    /// What the permit asks in return, sorted.
    pub obligations: Vec<Obligation>,
}

impl Verdict {
    /// Whether the request may proceed.
    pub fn allows(&self) -> bool {
        self.outcome.is_none()
    }

    pub(crate) fn refusal(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            outcome: Some(outcome),
            reason: Some(reason.into()),
            determining: Vec::new(),
            obligations: Vec::new(),
        }
    }
}

impl From<Unaskable> for Verdict {
    fn from(unaskable: Unaskable) -> Self {
        Self::refusal(unaskable.outcome, unaskable.reason)
    }
}

/// Evaluates the policies that can matter. A policy that cannot be evaluated denies.
pub(crate) fn evaluate(set: &PolicySet, act: &Act, facts: &Facts) -> Verdict {
    match answer(set, act, facts) {
        Ok(answer) => answer.verdict(set, act, facts),
        Err(unaskable) => unaskable.into(),
    }
}

/// Ids of the policies whose conditions hold, and of those that could not be evaluated.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    forbids: BTreeSet<String>,
    permits: BTreeSet<String>,
    errors: BTreeSet<String>,
}

fn answer(set: &PolicySet, act: &Act, facts: &Facts) -> Result<Arc<Answer>, Unaskable> {
    let frame = Frame::new(set.names(), act, facts)?;
    let slice = set.slice(&frame);
    let needs = slice.iter().fold(Default::default(), |needs, bucket| bucket.needs.and(needs));
    let question = request::question(frame, act, facts, needs);
    let ask = || ask(set, &slice, &question);
    match set.memo() {
        Some(memo) => memo.answer(&question, &slice, ask),
        None => ask().map(Arc::new),
    }
}

fn ask(set: &PolicySet, slice: &[&Bucket], question: &Question<'_>) -> Result<Answer, Unaskable> {
    let (request, entities) = question.cedar(set.names())?;
    let authorizer = Authorizer::new();
    let mut answer = Answer::default();
    let known =
        |id: &cedar_policy::PolicyId| set.policy(id.as_ref()).map(|one| one.id().to_owned());
    for bucket in slice {
        let response = authorizer.is_authorized(&request, &bucket.policies, &entities);
        let reasons = response.diagnostics().reason().filter_map(known);
        match response.decision() {
            CedarDecision::Allow => answer.permits.extend(reasons),
            CedarDecision::Deny => answer.forbids.extend(reasons),
        }
        let errors = response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        });
        answer.errors.extend(errors.filter_map(known));
    }
    Ok(answer)
}

impl Answer {
    /// What the conditions that hold amount to. In this order: a policy in error refuses, a
    /// forbid refuses, no permit refuses, an obligation that is not met refuses.
    fn verdict(&self, set: &PolicySet, act: &Act, facts: &Facts) -> Verdict {
        if !self.errors.is_empty() {
            let reason = format!("policy could not be evaluated: {}", listed(&self.errors));
            return Verdict {
                determining: owned(&self.errors),
                ..Verdict::refusal(Outcome::PolicyUnavailable, reason)
            };
        }
        if !self.forbids.is_empty() {
            return forbidden(set, &self.forbids);
        }
        if self.permits.is_empty() {
            let reason = format!("no policy permits {}", described(act, facts));
            return Verdict::refusal(Outcome::PolicyDenied, reason);
        }
        let obligations = obligations(set, &self.permits);
        let unmet = obligations.iter().find_map(|obligation| match obligation {
            Obligation::Approval { by } if !facts.approvals.contains(by) => Some(by.clone()),
            _ => None,
        });
        Verdict {
            outcome: unmet.is_some().then_some(Outcome::ApprovalRequired),
            reason: unmet.map(|by| format!("this needs the approval of `{by}`")),
            determining: owned(&self.permits),
            obligations,
        }
    }
}

fn forbidden(set: &PolicySet, forbids: &BTreeSet<String>) -> Verdict {
    let policies = || forbids.iter().filter_map(|id| set.policy(id));
    let outcome = policies().find_map(|one| one.code()).unwrap_or(Outcome::PolicyDenied);
    let reason = policies()
        .find_map(|one| one.reason().map(str::to_owned))
        .unwrap_or_else(|| format!("forbidden by {}", listed(forbids)));
    Verdict {
        determining: owned(forbids),
        obligations: obligations(set, forbids),
        ..Verdict::refusal(outcome, reason)
    }
}

fn obligations(set: &PolicySet, ids: &BTreeSet<String>) -> Vec<Obligation> {
    let all: BTreeSet<Obligation> = ids
        .iter()
        .filter_map(|id| set.policy(id))
        .flat_map(|one| one.obligations().iter().cloned())
        .collect();
    all.into_iter().collect()
}

fn owned(ids: &BTreeSet<String>) -> Vec<String> {
    ids.iter().cloned().collect()
}

fn listed(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn described(act: &Act, facts: &Facts) -> String {
    let actor = &facts.actor.id;
    match (act, &facts.delegatee) {
        (Act::StartTask, _) => {
            format!("{} to start `{}`", facts.subject.id, facts.task.workflow)
        }
        (Act::Delegate, Some(delegatee)) => format!("{actor} to delegate to {}", delegatee.id),
        (Act::Delegate, None) => format!("{actor} to delegate"),
        (Act::Invoke { scope }, _) => {
            format!("{actor} to use `{scope}` on `{}`", facts.resource.system)
        }
        (Act::CrossDomain { domain }, _) => format!("{actor} to leave for `{domain}`"),
    }
}

fn code<S: serde::Serializer>(outcome: &Option<Outcome>, to: S) -> Result<S::Ok, S::Error> {
    outcome.map(Outcome::code).serialize(to)
}
