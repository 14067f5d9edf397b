//! May this chain make this call now? The decision, the same for every protocol.
//!
//! ```text
//! VerifiedChain --permits--> --approval--> --decide--> Permit --budget, record--> Recorded<Allowed>
//! ```

use std::sync::Arc;

use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::constraint::{CallArguments, ReadSet, Rule, Totals};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{AgentId, Refusal, UnixMillis, VerifiedChain};
use bailiwick_ledger::{Receipt, Record, Recorded, record};
use bailiwick_policy::{
    Act, AgentFacts, ChainFacts, Denial, Evaluated, Facts, Inputs, Permit, PolicySet, Provenance,
    decide,
};
use serde_json::json;

use crate::approvals::{ActionFacts, Approved};
use crate::attempt::Attempt;
use crate::budget::{Draw, Reserved};
use crate::call::Call;
use crate::gateway::Gateway;
use crate::offline;
use crate::receipt::{DecisionReceipt, Enforced};
use crate::reply::ReplyHook;
use crate::route::Route;
use crate::spool::LocalEffect;
use crate::standing::TaskContext;
use crate::stop::Stop;

/// A permitted call that owns its request: what [`crate::forward`] sends once it is recorded.
pub(crate) struct Allowed<R> {
    pub(crate) chain: Arc<VerifiedChain>,
    pub(crate) permit: Permit<R>,
    /// Records what the call returns, where something of it is trusted.
    pub(crate) recorder: Option<Box<dyn ReplyHook>>,
    enforced: Enforced,
}

impl<R> Record for Allowed<R> {
    fn receipt(&self) -> Receipt {
        let claims = self.chain.claims();
        DecisionReceipt {
            act: "invoke",
            task: Some(claims.txn),
            jti: Some(claims.jti),
            agent: Some(&claims.client_id),
            decision: self.permit.decision(),
            enforced: &self.enforced,
        }
        .receipt()
    }
}

/// One question: this chain, at this route, this call.
pub(crate) struct Question<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) route: &'a Route,
    pub(crate) chain: &'a Arc<VerifiedChain>,
    pub(crate) call: &'a Call,
    pub(crate) provenance: Provenance,
}

/// Decides the call and records the decision; `request` is what the permit will own.
///
/// # Errors
/// Why not; the caller records it.
pub(crate) async fn authorize<R: Send>(
    question: &Question<'_>,
    attempt: &mut Attempt,
    request: R,
) -> Result<Recorded<Allowed<R>>, Stop> {
    let Question { gateway, route, chain, call, .. } = *question;
    let now = attempt.now;
    attempt.note("route", &*route.name);
    attempt.note("scope", call.scope.to_string());
    let standing = &gateway.standing;
    standing.require_alive(chain, call.resource.sensitivity, now)?;
    let set = standing.policy().ok_or_else(no_policy)?;
    let task = standing.task(chain.claims().txn).await?;
    offline::settle(question, &task, &set, attempt).await?;

    let arguments = call_arguments(call);
    let asked = require_authority(question, &task, &arguments).await?;
    let facts = question.facts(&task, attempt)?;
    let act = Act::Invoke { scope: call.scope.clone() };
    let first = match decide(&set, Some(chain), act, facts, attempt.id, now, request) {
        Err(denial) if denial.outcome() != Outcome::ApprovalRequired => {
            return Err(denial.map(drop).into());
        }
        first => first,
    };
    // Before anybody is asked: nobody should approve what no budget covers.
    let reserved = gateway.budgets.reserve(chain, &arguments, now).await?;
    let (permit, approved) = match (first, asked) {
        (Ok(permit), None) => (permit, None),
        (first, asked) => approve(question, &set, first, asked, attempt).await?,
    };

    // Before the record, so that a call that cannot be told of is refused and never was allowed.
    gateway.reads.expose(&task, call).await?;
    let now = gateway.clock.now();
    question.require_still(now)?;
    let enforced = question.enforced(&reserved, approved.as_ref());
    let effect = LocalEffect { proof: attempt.proof, draws: reserved.draws().to_vec() };
    let recorder = gateway.reads.hook(&task, call);
    let allowed = Allowed { chain: Arc::clone(chain), permit, recorder, enforced };
    let recorded = record(&gateway.spool, allowed, effect).await.map_err(|error| error.error)?;
    attempt.allowed = true;
    reserved.spent();
    gateway.metrics.decided("allow");
    Ok(recorded)
}

pub(crate) fn no_policy() -> Stop {
    Stop::new(Outcome::PolicyUnavailable, "no policy set has come from the Authority yet")
}

/// The call's arguments, and the sensitivity of what it touches as the route vouches.
fn call_arguments(call: &Call) -> CallArguments {
    let mut arguments = call.arguments.clone();
    arguments.insert("sensitivity".to_owned(), call.resource.sensitivity.as_str().into());
    CallArguments::new(call.scope.clone(), arguments)
}

/// What the chain permits; `Some` is why its self-service part does not, so that somebody has to
/// be asked.
async fn require_authority(
    question: &Question<'_>,
    task: &Arc<TaskContext>,
    arguments: &CallArguments,
) -> Result<Option<Refusal>, Stop> {
    let claims = question.chain.claims();
    let held = [&*claims.authority];
    with_reads(question, task, &held, |held, reads| {
        held.permits(arguments, Totals::Debited, reads)
    })
    .await??;
    let Some(ask) = &claims.hop.ask else { return Ok(None) };
    let free = HeldAuthority::from_detail(&json!({
        "type": bailiwick_api::DETAIL_TYPE_DELEGATION,
        "scopes": claims.authority.scopes,
        "constraints": ask.get("constraints"),
    }))
    .map_err(|error| Stop::new(Outcome::Malformed, error.to_string()))?;
    let verdict = with_reads(question, task, &[&free], |held, reads| {
        held.permits(arguments, Totals::Debited, reads)
    })
    .await?;
    Ok(verdict.err())
}

/// Judges with the reads that are known here; when that refuses and reads matter, asks the other
/// gateways of the task (through the Authority) and judges once more.
async fn with_reads(
    question: &Question<'_>,
    task: &Arc<TaskContext>,
    held: &[&HeldAuthority; 1],
    judge: impl Fn(&HeldAuthority, &dyn ReadSet) -> Result<(), Refusal>,
) -> Result<Result<(), Refusal>, Stop> {
    let [held] = held;
    let reads = &question.gateway.reads;
    let verdict = judge(held, reads.view(task).as_ref());
    let depends = held.constraints.iter().any(|bound| matches!(bound.rule(), Rule::FromRead(_)));
    if verdict.is_ok() || !depends || !reads.refresh(task).await? {
        return Ok(verdict);
    }
    Ok(judge(held, reads.view(task).as_ref()))
}

/// What takes an approval: one that stands for exactly this action is used up; without one, the
/// approver is asked and the call refused.
async fn approve<R: Send>(
    question: &Question<'_>,
    set: &PolicySet,
    first: Result<Permit<R>, Denial<R>>,
    asked: Option<Refusal>,
    attempt: &Attempt,
) -> Result<(Permit<R>, Option<Approved>), Stop> {
    let Question { gateway, chain, call, .. } = *question;
    let (decision, request) = match first {
        Ok(permit) => permit.into_parts(),
        Err(denial) => denial.into_parts(),
    };
    let Inputs::Evaluated(evaluated) = decision.inputs else {
        return Err(Stop::new(
            Outcome::PolicyUnavailable,
            "the decision does not say on what it was taken",
        ));
    };
    let Evaluated { act, mut facts } = *evaluated;
    let obligations = decision.obligations;
    let why = asked.map(|refusal| Stop::from(refusal).detail);
    let action = ActionFacts { chain, call, obligations, why };
    let Some(approved) = gateway.approvals.take(&action, attempt.id).await? else {
        return Err(gateway.approvals.ask(&action).await);
    };
    facts.approvals.clone_from(&approved.by);
    match decide(set, Some(chain), act, facts, attempt.id, attempt.now, request) {
        Ok(permit) => Ok((permit, Some(approved))),
        Err(denial) => Err(denial.map(drop).into()),
    }
}

impl Question<'_> {
    /// Others were asked meanwhile: a chain that died or ended while they took their time is refused.
    fn require_still(&self, now: UnixMillis) -> Result<(), Stop> {
        let Self { gateway, chain, call, .. } = *self;
        gateway.standing.require_alive(chain, call.resource.sensitivity, now)?;
        if now >= chain.expires() {
            return Err(Stop::new(Outcome::Expired, "the token ended while the call was decided"));
        }
        Ok(())
    }

    /// What policy is told, from verified sources only.
    fn facts(&self, task: &TaskContext, attempt: &Attempt) -> Result<Facts, Stop> {
        let claims = self.chain.claims();
        Ok(Facts {
            actor: registered(self.gateway, &claims.client_id)?,
            approvals: Vec::new(),
            arguments: self.call.arguments.clone(),
            binding: self.call.binding,
            // How often an agent has handed on is the Authority's to count; a use does not change it.
            chain: ChainFacts::of(self.chain, 0),
            delegatee: None,
            effect: self.call.effect,
            held: Arc::clone(&claims.authority),
            offline: self.chain.unsettled() > 0,
            provenance: self.provenance,
            requested: Arc::clone(&claims.authority),
            sensitivity: self.call.resource.sensitivity,
            resource: self.call.resource.clone(),
            subject: Arc::clone(&task.subject),
            task: task.facts(attempt.now),
            ttl_seconds: 0,
        })
    }

    /// Where the call was enforced and what it drew, for the receipt.
    fn enforced(&self, reserved: &Reserved, approved: Option<&Approved>) -> Enforced {
        Enforced {
            approval: approved.map(|approved| approved.id),
            debits: reserved.draws().iter().map(Draw::to_json).collect(),
            issued: None,
            needs: self.call.needs.iter().map(ToString::to_string).collect(),
            route: Some(Arc::clone(&self.route.name)),
            tool: self.call.tool.clone(),
        }
    }
}

/// An agent as the registry knows it.
///
/// # Errors
/// `agent_unregistered`.
pub(crate) fn registered(gateway: &Gateway, agent: &AgentId) -> Result<Arc<AgentFacts>, Stop> {
    gateway.standing.agent(agent).ok_or_else(|| {
        let detail = format!("{agent} is not a registered agent");
        Stop::new(Outcome::AgentUnregistered, detail)
    })
}
