//! May this token do this action with these arguments now? The question of an enforcement point.

use std::sync::Arc;

use bailiwick_api::{EvaluationOutcome, EvaluationRequest, EvaluationResponse};
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::constraint::{CallArguments, DebitKind, NoReads, Totals};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::{Refusal, TokenId, VerifiedChain};
use bailiwick_identity::NonceRule;
use bailiwick_ledger::record;
use bailiwick_policy::{
    Act, Binding, CallEffect, ChainFacts, Facts, Permit, Provenance, ResourceFacts, Sensitivity,
    UnknownWord, decide,
};
use serde_json::{Value, json};

use super::facts;
use super::issue::denied;
use super::settle::live_delegator;
use crate::attempt::Attempt;
use crate::authority::Authority;
use crate::caller::{Caller, require_holder};
use crate::fault::{Fault, Stop};
use crate::model::{Effect, NodeDebit, TaskRecord};
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
        return answer(attempt.refuse(authority, Stop::new(Outcome::Malformed, detail)).await);
    }
    match try_evaluate(authority, point, &ask, &mut attempt).await {
        Ok(response) => Ok(response),
        Err(stop) => {
            attempt.note("arguments", ask.context.arguments);
            let fault = attempt.refuse(authority, stop).await;
            answer(fault)
        }
    }
}

/// A recorded refusal is the answer "no"; one that could not be recorded stays a fault.
fn answer(fault: Fault) -> Result<EvaluationResponse, Fault> {
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
            ledger_index,
        },
    })
}

async fn try_evaluate(
    authority: &Authority,
    point: &AgentEntry,
    ask: &EvaluationRequest,
    attempt: &mut Attempt,
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
    require_authority(&chain, &call)?;
    let debits = debits(authority, &chain, &call).await?;

    let fanout = authority.store.fanout(chain.claims().jti).await?;
    let facts = invoke_facts(ask, &chain, &agent, &task, resource, fanout, now)?;
    let set = authority.policy.current();
    let permit = decide(&set, Some(&chain), &Act::Invoke { scope }, &facts, attempt.id, now, ())
        .map_err(denied)?;
    let reads = facts.effect.may_read() && facts.sensitivity > task.exposure;
    let exposes = reads.then_some(facts.sensitivity);
    release(authority, attempt, &chain, permit, debits, exposes).await
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
fn require_authority(chain: &VerifiedChain, call: &CallArguments) -> Result<(), Stop> {
    let claims = chain.claims();
    let refused = |refusal: Refusal| Stop::new(refusal.outcome, bound(&refusal));
    claims.authority.permits(call, Totals::Debited, &NoReads).map_err(refused)?;
    let Some(ask) = &claims.hop.ask else { return Ok(()) };
    let free = HeldAuthority::from_detail(&json!({
        "type": bailiwick_api::DETAIL_TYPE_DELEGATION,
        "scopes": claims.authority.scopes,
        "constraints": ask.get("constraints"),
    }))
    .map_err(|error| Stop::new(Outcome::Malformed, error.to_string()))?;
    free.permits(call, Totals::Debited, &NoReads).map_err(|refusal| {
        Stop::new(
            Outcome::ApprovalRequired,
            format!("outside what needs no approval: {}", bound(&refusal)),
        )
    })
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
        held: claims.authority.clone(),
        offline: false,
        provenance: Provenance::Intact,
        requested: claims.authority.clone(),
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
    exposes: Option<Sensitivity>,
) -> Result<EvaluationResponse, Stop> {
    let claims = chain.claims();
    let effect = Effect::Debit {
        task: claims.txn,
        jti: claims.jti,
        entries: debits.clone(),
        proof: attempt.proof,
        exposes,
    };
    let allowed = Allowed {
        agent: claims.client_id.clone(),
        task: claims.txn,
        jti: claims.jti,
        permit,
        debits,
    };
    let recorded = record(&authority.store, allowed, effect).await.map_err(|error| error.error)?;
    authority.metrics.decided("invoke", "allow");
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
            ledger_index: recorded.index().0,
        },
    })
}
