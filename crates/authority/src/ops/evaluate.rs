//! May this token do this action with these arguments now? The question of an enforcement point.

use std::sync::Arc;

use bailiwick_api::{ApprovalStanding, EvaluationOutcome, EvaluationRequest, EvaluationResponse};
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::constraint::{CallArguments, DebitKind};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::{ActionCall, CanonicalAction, Refusal, TokenId, VerifiedChain};
use bailiwick_identity::NonceRule;
use bailiwick_ledger::record;
use bailiwick_policy::{
    Act, Binding, CallEffect, ChainFacts, Facts, Permit, Provenance, ResourceFacts, Sensitivity,
    UnknownWord, decide,
};
use serde_json::{Value, json};

use super::approval::{self, Found, Question, used_up};
use super::facts;
use super::issue::denied;
use super::reads::{permits, tell_exposure};
use super::settle::live_delegator;
use super::use_approval::unfit;
use crate::attempt::Attempt;
use crate::authority::Authority;
use crate::caller::{Caller, require_holder};
use crate::fault::{Fault, Stop};
use crate::model::{ApprovalUse, ApprovalUsed, Effect, NodeDebit, TaskRecord};
use crate::registry::AgentEntry;
use crate::spine::{Allowed, is_recordable};

/// Answers one evaluation. A denial is an answer; only a caller that may not ask gets a fault.
///
/// # Errors
///
/// The caller is no enforcement point, or nothing can be recorded now.
pub(crate) async fn evaluate(
    authority: &Authority,
    caller: &Caller,
    ask: EvaluationRequest,
) -> Result<EvaluationResponse, Fault> {
    let point = caller.require_enforcement_point().map_err(Stop::into_fault)?;
    let mut attempt = Attempt::begin(authority, "invoke");
    attempt.note("enforcement_point", point.document.id.to_string());
    attempt.note("scope", ask.action.name.as_str());
    if !is_recordable(&Value::Object(ask.context.arguments.clone())) {
        let detail =
            "an argument is a number beyond 2^53 - 1, or nested too deeply, to be recorded";
        let fault = attempt.refuse(authority, Stop::new(Outcome::Malformed, detail)).await;
        return answer(fault, None);
    }
    let mut waits = None;
    match try_evaluate(authority, point, &ask, &mut attempt, &mut waits).await {
        Ok(response) => Ok(response),
        Err(stop) => {
            attempt.note("arguments", ask.context.arguments);
            let fault = attempt.refuse(authority, stop).await;
            answer(fault, waits)
        }
    }
}

/// A recorded refusal is the answer "no"; one that could not be recorded stays a fault.
fn answer(fault: Fault, waits: Option<ApprovalStanding>) -> Result<EvaluationResponse, Fault> {
    let (Some(decision_id), Some(ledger_index)) = (fault.decision, fault.ledger_index) else {
        return Err(fault);
    };
    Ok(EvaluationResponse {
        decision: false,
        context: EvaluationOutcome {
            decision_id,
            code: Some(fault.code.code().to_owned()),
            reason: Some(fault.detail),
            determining: fault.determining,
            obligations: Vec::new(),
            approval: waits,
            ledger_index,
        },
    })
}

async fn try_evaluate(
    authority: &Authority,
    point: &AgentEntry,
    ask: &EvaluationRequest,
    attempt: &mut Attempt,
    waits: &mut Option<ApprovalStanding>,
) -> Result<EvaluationResponse, Stop> {
    let now = attempt.now;
    let chain = present(authority, ask, attempt)?;
    let task = authority.open_task_of(&chain, now).await?;
    authority.require_alive(&chain, now)?;
    if point.document.tenant != task.tenant || point.document.env != task.env {
        let detail = "the enforcement point is not of the task's tenant and environment";
        return Err(Stop::new(Outcome::TenantMismatch, detail));
    }
    let Some(record) = authority.store.token(chain.claims().jti).await? else {
        return Err(Stop::new(Outcome::ProvenanceMissing, "the token has no record here"));
    };
    let agent = live_delegator(authority, &authority.held(record)?)?;

    let scope: Scope = ask.action.name.parse().map_err(|_| {
        Stop::new(Outcome::Malformed, "action.name is not a scope, such as crm.read")
    })?;
    let resource = resource_facts(ask)?;
    let call = call_arguments(scope.clone(), ask, resource.sensitivity);
    let asked = require_authority(authority, &task, &chain, &call).await?;
    let debits = debits(authority, &chain, &call).await?;

    let fanout = authority.store.fanout(chain.claims().jti).await?;
    let facts = invoke_facts(ask, &chain, &agent, &task, resource, fanout, now)?;
    let question = Asking { authority, point, chain: &chain, task: &task, asked: &asked };
    let (permit, approval) = question.decide(scope, &facts, attempt, waits).await?;
    let reads = facts.effect.may_read() && facts.sensitivity > task.exposure;
    let exposes = reads.then_some(facts.sensitivity);
    release(authority, attempt, &chain, permit, debits, (exposes, approval)).await
}

/// A call that may have to be put to somebody.
struct Asking<'a> {
    authority: &'a Authority,
    point: &'a AgentEntry,
    chain: &'a VerifiedChain,
    task: &'a TaskRecord,
    /// Why it is outside what needs no approval; empty when it is inside.
    asked: &'a [String],
}

impl Asking<'_> {
    /// Decides; what takes an approval is decided again with one that stands for exactly this
    /// action, or put to people and refused. One question, however much of the call needs it.
    async fn decide(
        &self,
        scope: Scope,
        facts: &Facts,
        attempt: &mut Attempt,
        waits: &mut Option<ApprovalStanding>,
    ) -> Result<(Permit<()>, Option<ApprovalUse>), Stop> {
        let (authority, now) = (self.authority, attempt.now);
        let set = authority.policy.current();
        let act = Act::Invoke { scope };
        let first = decide(&set, Some(self.chain), act.clone(), facts.clone(), attempt.id, now, ());
        let (needs, stop) = match first {
            Ok(permit) if self.asked.is_empty() => return Ok((permit, None)),
            Ok(permit) => {
                let needs = approval::needs(true, &permit.decision().obligations);
                let detail = format!("outside what needs no approval: {}", self.asked.join("; "));
                (needs, Stop::new(Outcome::ApprovalRequired, detail))
            }
            Err(denial) if denial.outcome() == Outcome::ApprovalRequired => {
                let obligations = &denial.decision().obligations;
                (approval::needs(!self.asked.is_empty(), obligations), denied(denial))
            }
            Err(denial) => return Err(denied(denial)),
        };
        let Act::Invoke { scope } = &act else { return Err(stop) };
        let action = self.action(scope, facts)?;
        let question = Question {
            chain: self.chain,
            task: self.task,
            action: &action,
            needs: &needs,
            why: &self.why(&stop),
            asked_by: &self.point.document.id,
        };
        if let Found::Stands(known) = approval::find(authority, question, now).await? {
            let approved = Facts { approvals: needs.clone(), ..facts.clone() };
            let permit = decide(&set, Some(self.chain), act.clone(), approved, attempt.id, now, ())
                .map_err(denied)?;
            let by = self.point.document.id.clone();
            let used = ApprovalUsed { decision: attempt.id, by };
            return Ok((permit, Some(approval::usage(&known, &needs, used))));
        }
        let known = approval::ask(authority, question, now).await?;
        attempt.note("approval", known.id.to_string());
        *waits = Some(approval::standing(&known, now));
        Err(stop)
    }

    fn action(&self, scope: &Scope, facts: &Facts) -> Result<CanonicalAction, Stop> {
        let call = ActionCall {
            system: &facts.resource.system,
            resource: &facts.resource.id,
            scope,
            tool: None,
            arguments: &facts.arguments,
        };
        CanonicalAction::new(self.chain, &call).map_err(unfit)
    }

    /// Why, for the approver.
    fn why(&self, stop: &Stop) -> Vec<String> {
        let policy = match stop {
            Stop::Policy(denial) => denial.decision().reason.clone(),
            Stop::Code(..) | Stop::Proof(..) | Stop::Nonce => None,
        };
        self.asked.iter().cloned().chain(policy).collect()
    }
}

/// Verifies what the agent presented to the enforcement point: token, audience, possession.
fn present(
    authority: &Authority,
    ask: &EvaluationRequest,
    attempt: &mut Attempt,
) -> Result<Arc<VerifiedChain>, Stop> {
    let now = attempt.now;
    let properties = &ask.subject.properties;
    let Some(token) = properties.token.as_deref() else {
        let detail = "subject.properties.token is missing: the call carries no provenance";
        return Err(Stop::new(Outcome::ProvenanceMissing, detail));
    };
    if properties.chain.is_some() {
        let detail = "offline hops are not settled by this endpoint; settle the grant first";
        return Err(Stop::new(Outcome::OfflineHopForbidden, detail));
    }
    let chain = authority.verify_own(token, now)?;
    let Some(proof) = &properties.proof else {
        let detail = "subject.properties.proof is missing: the holder has to prove its key";
        return Err(Stop::new(Outcome::HolderBindingFailed, detail));
    };
    // The nonce, if any, is between the agent and the tool.
    let key = authority.verify_proof(
        &proof.dpop,
        &proof.htm,
        &proof.htu,
        Some(token),
        NonceRule::NotRequired,
        now,
    )?;
    require_holder(&chain, &key)?;
    let claims = chain.claims();
    attempt.proof = key.row;
    attempt.agent = Some(claims.client_id.clone());
    attempt.task = Some(claims.txn);
    attempt.jti = Some(claims.jti);
    if ask.subject.id != claims.client_id.as_ref() {
        let detail = "subject.id is not the agent that the token names";
        return Err(Stop::new(Outcome::PrincipalAltered, detail));
    }
    require_audience(ask, &claims.aud, &proof.htu)?;
    Ok(chain)
}

fn require_audience(ask: &EvaluationRequest, audience: &str, htu: &str) -> Result<(), Stop> {
    let fits = match &ask.context.audience {
        Some(named) => named == audience,
        None => match (url::Url::parse(htu), url::Url::parse(audience)) {
            (Ok(at), Ok(meant)) => at.origin() == meant.origin(),
            _ => false,
        },
    };
    if fits {
        return Ok(());
    }
    let detail = "the token is for another audience than this enforcement point";
    Err(Stop::new(Outcome::AudienceMismatch, detail))
}

fn resource_facts(ask: &EvaluationRequest) -> Result<ResourceFacts, Stop> {
    let properties = &ask.resource.properties;
    // Data of which nothing is said is treated as the most sensitive.
    let sensitivity = match properties.sensitivity.as_deref() {
        None => Sensitivity::default(),
        Some(word) => word.parse().map_err(unknown("resource.properties.sensitivity"))?,
    };
    Ok(ResourceFacts {
        id: ask.resource.id.clone(),
        labels: properties.labels.clone(),
        sensitivity,
        system: properties.system.clone().unwrap_or_else(|| ask.resource.id.clone()),
    })
}

/// The call's arguments, and the sensitivity of what it touches as the enforcement point vouches.
fn call_arguments(
    scope: Scope,
    ask: &EvaluationRequest,
    sensitivity: Sensitivity,
) -> CallArguments {
    let mut arguments = ask.context.arguments.clone();
    arguments.insert("sensitivity".to_owned(), sensitivity.as_str().into());
    CallArguments::new(scope, arguments)
}

/// What the chain permits, and what it permits without asking.
async fn require_authority(
    authority: &Authority,
    task: &TaskRecord,
    chain: &VerifiedChain,
    call: &CallArguments,
) -> Result<Vec<String>, Stop> {
    let claims = chain.claims();
    let refused = |refusal: Refusal| Stop::new(refusal.outcome, bound(&refusal));
    permits(authority, task, &claims.authority, call).await?.map_err(refused)?;
    let Some(ask) = &claims.hop.ask else { return Ok(Vec::new()) };
    let malformed = |what: String| Stop::new(Outcome::Malformed, what);
    let Some(constraints) = ask.get("constraints").and_then(Value::as_array) else {
        return Err(malformed("the token's self-service part has no constraints".to_owned()));
    };
    let mut asked = Vec::new();
    for constraint in constraints {
        let free = HeldAuthority::from_detail(&json!({
            "type": bailiwick_api::DETAIL_TYPE_DELEGATION,
            "scopes": claims.authority.scopes,
            "constraints": [constraint],
        }))
        .map_err(|error| malformed(error.to_string()))?;
        let outside = permits(authority, task, &free, call).await?.err();
        asked.extend(outside.as_ref().map(bound));
    }
    Ok(asked)
}

/// Which bound refuses, and how. The outcome is told beside it.
fn bound(refusal: &Refusal) -> String {
    match &refusal.key {
        Some(key) => format!("{key}: {}", refusal.detail),
        None => refusal.detail.clone(),
    }
}

/// What the call draws on the token's own budgets and on the subtree budgets above it.
async fn debits(
    authority: &Authority,
    chain: &VerifiedChain,
    call: &CallArguments,
) -> Result<Vec<NodeDebit>, Stop> {
    let claims = chain.claims();
    let mut all = draws(claims.jti, &claims.authority, call);
    let mut depth = claims.del_depth;
    for ancestor in authority.ancestors(&claims.hop.lineage).await?.iter().rev() {
        let claims = ancestor.claims();
        // A renewed token's line names its hop twice, and the hop is drawn on once.
        if claims.del_depth >= depth {
            continue;
        }
        depth = claims.del_depth;
        // Another token's lifetime budget is drawn on by its own holder only.
        let shared = draws(claims.jti, &claims.authority, call)
            .into_iter()
            .filter(|draw| draw.debit.kind == DebitKind::Subtree);
        all.extend(shared);
    }
    Ok(all)
}

fn draws(node: TokenId, held: &HeldAuthority, call: &CallArguments) -> Vec<NodeDebit> {
    let debits = held.constraints.debits(call).into_iter();
    debits.map(|debit| NodeDebit { node, debit }).collect()
}

fn invoke_facts(
    ask: &EvaluationRequest,
    chain: &VerifiedChain,
    agent: &AgentEntry,
    task: &TaskRecord,
    resource: ResourceFacts,
    fanout: u32,
    now: UnixMillis,
) -> Result<Facts, Stop> {
    let claims = chain.claims();
    let binding = match ask.resource.properties.binding.as_deref() {
        // Whoever asks about each call is the wrap around what it guards.
        None => Binding::Wrapped,
        Some(word) => word.parse().map_err(unknown("resource.properties.binding"))?,
    };
    let effect = match ask.context.effect.as_deref() {
        None => CallEffect::Unknown,
        Some(word) => word.parse().map_err(unknown("context.effect"))?,
    };
    Ok(Facts {
        actor: facts::agent(agent),
        approvals: Vec::new(),
        arguments: ask.context.arguments.clone(),
        binding,
        chain: ChainFacts::of(chain, fanout),
        delegatee: None,
        effect,
        held: Arc::clone(&claims.authority),
        offline: false,
        provenance: Provenance::Intact,
        requested: Arc::clone(&claims.authority),
        sensitivity: resource.sensitivity,
        resource,
        subject: facts::subject_of(task),
        task: facts::task(task, now),
        ttl_seconds: 0,
    })
}

/// A word of the request that is none of its vocabulary.
fn unknown(member: &'static str) -> impl Fn(UnknownWord) -> Stop {
    move |error| Stop::new(Outcome::Malformed, format!("{member}: {error}"))
}

async fn release(
    authority: &Authority,
    attempt: &Attempt,
    chain: &VerifiedChain,
    permit: Permit<()>,
    debits: Vec<NodeDebit>,
    (exposes, approval): (Option<Sensitivity>, Option<ApprovalUse>),
) -> Result<EvaluationResponse, Stop> {
    let claims = chain.claims();
    let used = match &approval {
        Some(usage) => authority.store.approval(usage.id).await?,
        None => None,
    };
    let approval_id = approval.as_ref().map(|usage| usage.id);
    let effect = Effect::Debit {
        task: claims.txn,
        jti: claims.jti,
        entries: debits.clone(),
        proof: attempt.proof,
        exposes,
        approval,
    };
    let allowed = Allowed {
        agent: claims.client_id.clone(),
        task: claims.txn,
        jti: claims.jti,
        permit,
        debits,
        approval: approval_id,
    };
    let recorded = record(&authority.store, allowed, effect).await.map_err(|error| error.error)?;
    authority.metrics.decided("invoke", "allow");
    if let Some(level) = exposes {
        tell_exposure(authority, claims.txn, level);
    }
    let decision = recorded.get().permit.decision();
    Ok(EvaluationResponse {
        decision: true,
        context: EvaluationOutcome {
            decision_id: decision.id,
            code: None,
            reason: None,
            determining: decision.determining.clone(),
            obligations: decision
                .obligations
                .iter()
                .filter_map(|obligation| serde_json::to_value(obligation).ok())
                .collect(),
            approval: used.map(|known| used_up(&known)),
            ledger_index: recorded.index().0,
        },
    })
}
