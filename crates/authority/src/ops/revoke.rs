//! Revoke a task, a token with everything below it, or whatever an agent holds.

use bailiwick_api::{
    ProblemCode, RevocationRequest, RevocationResponse, RevocationTarget as WireTarget,
};
use bailiwick_core::ids::{RevocationId, TaskId, TokenId};
use bailiwick_core::time::UnixMillis;
use bailiwick_ledger::{ReceiptKind, record};
use serde_json::json;

use super::close_task::{burn_proof, require_reason};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::feed::closure;
use crate::model::{Effect, RevocationTarget};
use crate::spine::Event;

/// Previews or carries out a revocation. An administrator may revoke anything; the holder of a
/// token may revoke it and what is below it; a subject may revoke their own tasks.
pub(crate) async fn revoke(
    authority: &Authority,
    caller: &Caller,
    ask: RevocationRequest,
    wait_ms: Option<u64>,
) -> Result<RevocationResponse, Fault> {
    try_revoke(authority, caller, ask, wait_ms).await.map_err(Stop::into_fault)
}

async fn try_revoke(
    authority: &Authority,
    caller: &Caller,
    ask: RevocationRequest,
    wait_ms: Option<u64>,
) -> Result<RevocationResponse, Stop> {
    require_reason(&ask.reason)?;
    let now = authority.clock.now();
    let target = match &ask.target {
        WireTarget::Task(id) => RevocationTarget::Task(*id),
        WireTarget::Jti(jti) => RevocationTarget::Token(*jti),
        WireTarget::Agent(id) => RevocationTarget::Agent(id.clone()),
    };
    let of_task = require_may_revoke(authority, caller, &target).await?;
    let preview = authority.store.preview_revocation(target.clone(), now).await?;
    if ask.dry_run {
        return Ok(RevocationResponse {
            revocation_id: None,
            tokens: preview.tokens,
            tasks: preview.tasks,
            ledger_index: None,
            closure: None,
        });
    }
    let id = RevocationId::new(now, authority.fresh());
    let event = revocation_event(id, &target, caller, &ask.reason, now, authority).await?;
    burn_proof(authority, caller).await?;
    let effect = Effect::Revoke { id, target, reason: ask.reason };
    let recorded = record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    let dead = authority.store.revoked_at(recorded.index()).await?;
    let tokens: Vec<TokenId> = dead.iter().map(|token| token.jti).collect();
    let mut tasks: Vec<_> = dead.iter().map(|token| token.task).collect();
    tasks.sort_unstable();
    tasks.dedup();
    authority.metrics.revoked();
    let mut concerned = tasks.clone();
    if let Some(task) = of_task.filter(|task| !concerned.contains(task)) {
        concerned.push(task);
    }
    let end = closure::follow(authority, recorded.index(), now, &concerned).await;
    tracing::info!(revocation = %id, tokens = tokens.len(), "revoked");
    Ok(RevocationResponse {
        revocation_id: Some(id),
        tokens,
        tasks,
        ledger_index: Some(recorded.index().0),
        closure: closure::told(authority, &end, wait_ms).await,
    })
}

/// The task that the target is, or belongs to.
async fn require_may_revoke(
    authority: &Authority,
    caller: &Caller,
    target: &RevocationTarget,
) -> Result<Option<TaskId>, Stop> {
    let missing = || Stop::new(ProblemCode::NotFound, "there is no such thing to revoke");
    let (task, line) = match target {
        RevocationTarget::Task(id) => (authority.store.task(*id).await?.ok_or_else(missing)?, None),
        RevocationTarget::Token(jti) => {
            let token = authority.store.token(*jti).await?.ok_or_else(missing)?;
            let task = authority.store.task(token.task).await?.ok_or_else(missing)?;
            let line: Vec<TokenId> = token.lineage.iter().copied().chain([token.jti]).collect();
            (task, Some(line))
        }
        RevocationTarget::Agent(id) => {
            caller.require_admin()?;
            let known = authority.registry.load().agent(id.as_ref()).is_some();
            return if known { Ok(None) } else { Err(missing()) };
        }
    };
    let may = match caller {
        Caller::Person { subject, .. } => caller.is_admin() || subject.id() == &task.subject,
        // A holder may kill its own hop and what it handed on.
        Caller::Holder { chain, .. } => line.is_some_and(|line| line.contains(&chain.claims().jti)),
        Caller::Agent(_) => false,
    };
    if may { Ok(Some(task.id)) } else { Err(missing()) }
}

async fn revocation_event(
    id: RevocationId,
    target: &RevocationTarget,
    caller: &Caller,
    reason: &str,
    now: UnixMillis,
    authority: &Authority,
) -> Result<Event, Stop> {
    let mut subject_ids = vec![id.to_string()];
    let aimed = match target {
        RevocationTarget::Task(task) => {
            subject_ids.push(task.to_string());
            json!({"task": task})
        }
        RevocationTarget::Token(jti) => {
            let task = authority.store.token(*jti).await?.map(|token| token.task.to_string());
            subject_ids.extend(task);
            json!({"jti": jti})
        }
        RevocationTarget::Agent(agent) => {
            subject_ids.push(agent.to_string());
            json!({"agent": agent})
        }
    };
    Ok(Event {
        kind: ReceiptKind::Revocation,
        time_ms: now.0,
        subject_ids,
        payload: json!({
            "v": 1, "type": "revocation", "revocation": id, "target": aimed,
            "by": caller.name(), "reason": reason, "time": now.0,
        }),
    })
}
