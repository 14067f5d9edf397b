//! One decision: a verified chain and an act become a [`Permit`] or a [`Denial`].

use bailiwick_core::VerifiedChain;
use bailiwick_core::ids::DecisionId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;

use crate::act::Act;
use crate::decision::{Decision, Evaluated, Inputs};
use crate::facts::Facts;
use crate::obligation::Obligation;
use crate::set::PolicySet;
use crate::verdict::{Verdict, evaluate};

/// Leave to do exactly one request, which it owns.
///
/// Only [`decide`] makes one, and it cannot be cloned: a permit is spent on the request it was
/// given for.
///
/// ```compile_fail
/// # use bailiwick_policy::{Decision, Permit};
/// fn forge(decision: Box<Decision>) -> Permit<()> {
///     Permit { decision, request: () }
/// }
/// ```
///
/// ```compile_fail
/// # use bailiwick_policy::Permit;
/// fn twice(permit: Permit<()>) -> (Permit<()>, Permit<()>) {
///     (permit.clone(), permit)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit that is not recorded and used is a request that silently went nowhere"]
pub struct Permit<R> {
    decision: Box<Decision>,
    request: R,
}

impl<R> Permit<R> {
    /// The decision that gave it.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The request it permits.
    pub fn request(&self) -> &R {
        &self.request
    }

    /// The lifetime the request may be given: what it asked, capped by `@max_ttl`.
    pub fn ttl_seconds(&self) -> u64 {
        let asked = match &self.decision.inputs {
            Inputs::Evaluated(inputs) => inputs.facts.ttl_seconds,
            Inputs::Refused(_) => 0,
        };
        capped(asked, &self.decision.obligations)
    }

    /// The request, to be carried out. Call it once the permit is recorded.
    pub fn into_request(self) -> R {
        self.request
    }

    /// Both halves, once the permit is recorded.
    pub fn into_parts(self) -> (Decision, R) {
        (*self.decision, self.request)
    }
}

/// A refusal, on its way to be recorded and told.
#[derive(Debug)]
#[must_use = "a denial that is not recorded leaves no trace of who was refused what"]
pub struct Denial<R> {
    decision: Box<Decision>,
    outcome: Outcome,
    request: R,
}

impl<R> Denial<R> {
    /// A refusal by the code, before or without policy. It takes the same road as one by policy.
    ///
    /// `inputs` is whatever was known by then; `policy_hash` that of the set in force.
    pub fn refuse(refusal: Refusal, id: DecisionId, now: UnixMillis, request: R) -> Self {
        let decision = Box::new(Decision {
            id,
            allow: false,
            outcome: Some(refusal.outcome),
            reason: Some(refusal.detail),
            determining: Vec::new(),
            obligations: Vec::new(),
            policy_hash: refusal.policy_hash,
            inputs: refusal.inputs,
            time: now,
        });
        Self { decision, outcome: refusal.outcome, request }
    }

    /// The decision that refused.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Why, as a stable code.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The request that was refused.
    pub fn request(&self) -> &R {
        &self.request
    }

    /// The same refusal of another form of the request, for instance without it.
    pub fn map<T>(self, change: impl FnOnce(R) -> T) -> Denial<T> {
        Denial { decision: self.decision, outcome: self.outcome, request: change(self.request) }
    }

    /// Both halves, once the denial is recorded.
    pub fn into_parts(self) -> (Decision, R) {
        (*self.decision, self.request)
    }
}

/// Why the code refuses.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The stable code.
    pub outcome: Outcome,
    /// One sentence that is safe to show.
    pub detail: String,
    /// What was known.
    pub inputs: Inputs,
    /// Hash of the policy set in force.
    pub policy_hash: String,
}

/// Decides one request. Never panics; whatever cannot be evaluated is refused.
///
/// `chain` is the verified chain behind the request: for `Delegate` the delegator's, for `Invoke`
/// and `CrossDomain` the caller's. Only `StartTask` has none yet. Facts that contradict the chain
/// are refused without asking policy.
///
/// # Errors
///
/// The denial, with the request in it.
pub fn decide<R>(
    set: &PolicySet,
    chain: Option<&VerifiedChain>,
    act: Act,
    facts: Facts,
    id: DecisionId,
    now: UnixMillis,
    request: R,
) -> Result<Permit<R>, Denial<R>> {
    let (verdict, inputs) = match contradiction(chain, &act, &facts) {
        Some((outcome, reason)) => {
            // Not `Evaluated`: policy had no part in it, so that a replay leaves it alone.
            let evaluated = Evaluated { act, facts };
            let inputs = Inputs::Refused(serde_json::json!({ "contradicted": evaluated }));
            (Verdict::refusal(outcome, reason), inputs)
        }
        None => {
            let verdict = evaluate(set, &act, &facts);
            (verdict, Inputs::Evaluated(Box::new(Evaluated { act, facts })))
        }
    };
    let decision = Box::new(Decision {
        id,
        allow: verdict.outcome.is_none(),
        outcome: verdict.outcome,
        reason: verdict.reason,
        determining: verdict.determining,
        obligations: verdict.obligations,
        policy_hash: set.hash().to_owned(),
        inputs,
        time: now,
    });
    match verdict.outcome {
        None => Ok(Permit { decision, request }),
        Some(outcome) => Err(Denial { decision, outcome, request }),
    }
}

/// Where the facts do not fit the chain they are said to describe.
fn contradiction(
    chain: Option<&VerifiedChain>,
    act: &Act,
    facts: &Facts,
) -> Option<(Outcome, String)> {
    let Some(chain) = chain else {
        let first = matches!(act, Act::StartTask) && facts.chain.agents.is_empty();
        return (!first).then(|| {
            (Outcome::ProvenanceMissing, "the request has no verified chain behind it".to_owned())
        });
    };
    if matches!(act, Act::StartTask) {
        let reason = "a task is started by a subject, not from inside another task's chain";
        return Some((Outcome::TaskMismatch, reason.to_owned()));
    }
    let refuse = |outcome, what: &str| {
        Some((outcome, format!("the {what} in the facts is not the verified chain's")))
    };
    // An offline chain is decided hop by hop: a delegation may be any of its hops, a use is
    // always the last.
    let hop = match act {
        Act::Delegate => chain.hops().find(|hop| hop.del_depth == facts.chain.depth),
        _ => Some(chain.claims()).filter(|hop| hop.del_depth == facts.chain.depth),
    };
    let Some(claims) = hop.filter(|hop| hop.del_max_depth == facts.chain.max_depth) else {
        return refuse(Outcome::DepthInvalid, "depth");
    };
    if claims.txn != facts.task.id {
        return refuse(Outcome::TaskMismatch, "task");
    }
    if claims.sub != facts.subject.id {
        return refuse(Outcome::PrincipalAltered, "subject");
    }
    if claims.hop.tenant != facts.task.tenant {
        return refuse(Outcome::TenantMismatch, "tenant");
    }
    if claims.client_id != facts.actor.id {
        return refuse(Outcome::PrincipalAltered, "acting agent");
    }
    let agents = chain.agents();
    let line = agents.iter().take(usize::from(facts.chain.depth) + 1);
    if !line.eq(facts.chain.agents.iter()) {
        return refuse(Outcome::ProvenanceMissing, "line of agents");
    }
    None
}

pub(crate) fn capped(asked: u64, obligations: &[Obligation]) -> u64 {
    obligations.iter().fold(asked, |ttl, obligation| match obligation {
        Obligation::MaxTtl { seconds } => ttl.min(*seconds),
        _ => ttl,
    })
}
