//! Complete, cancel or revoke a task; expire the ones past their deadline.

use bailiwick_api::{CloseTaskResponse, ProblemCode, TaskState as WireState};
use bailiwick_core::ids::{RevocationId, TaskId};
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::{LeafIndex, ReceiptKind, record};
use serde_json::json;

use crate::authority::{Authority, ProvenKey};
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::feed::closure::{self, End};
use crate::model::{Effect, RevocationTarget, TaskRecord, TaskState};
use crate::spine::Event;

/// Longest reason that goes into the record, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

/// Ends a task. Its subject, the holder of its root token, and an administrator may complete and
/// cancel it; its subject and an administrator may revoke it.
pub(crate) async fn close_task(
    authority: &Authority,
    caller: &Caller,
    id: TaskId,
    state: TaskState,
    reason: &str,
    wait_ms: Option<u64>,
) -> Result<CloseTaskResponse, Fault> {
    let closed = try_close(authority, caller, id, state, reason).await;
    let (mut response, end) = closed.map_err(Stop::into_fault)?;
    response.closure = closure::told(authority, &end, wait_ms).await;
    Ok(response)
}

async fn try_close(
    authority: &Authority,
    caller: &Caller,
    id: TaskId,
    state: TaskState,
    reason: &str,
) -> Result<(CloseTaskResponse, End), Stop> {
    require_reason(reason)?;
    let task = authority.store.task(id).await?;
    let Some(task) = task.filter(|task| may_see(caller, task)) else {
        return Err(Stop::new(ProblemCode::NotFound, "there is no such task"));
    };
    require_may_close(caller, &task, state)?;
    let now = authority.clock.now();
    match task.state_at(now) {
        TaskState::Open => {}
        TaskState::Expired if state == TaskState::Revoked => {}
        closed => {
            return Err(Stop::new(Outcome::TaskClosed, format!("the task is {closed} already")));
        }
    }
    let kind =
        if state == TaskState::Revoked { ReceiptKind::Revocation } else { ReceiptKind::Completion };
    let event = Event {
        kind,
        time_ms: now.0,
        subject_ids: vec![id.to_string()],
        payload: json!({
            "v": 1, "type": "task_closed", "task": id, "state": state.as_str(),
            "by": caller.name(), "reason": reason, "time": now.0,
        }),
    };
    let effect = if state == TaskState::Revoked {
        Effect::Revoke {
            id: RevocationId::new(now, authority.fresh()),
            target: RevocationTarget::Task(id),
            reason: reason.to_owned(),
        }
    } else {
        Effect::CloseTask { task: id, state }
    };
    burn_proof(authority, caller).await?;
    let recorded = record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    let end = closure::follow(authority, recorded.index(), now, &[id]).await;
    let tokens = killed_at(authority, recorded.index()).await?;
    let response = CloseTaskResponse {
        task_id: id,
        state: wire_state(state),
        closed_at: now.into(),
        tokens,
        ledger_index: recorded.index().0,
        closure: None,
    };
    Ok((response, end))
}

/// Expires every open task whose deadline has passed. Uses are refused by the deadline itself;
/// this records the end, and kills the tokens for those who only read status lists.
pub(crate) async fn expire_tasks(authority: &Authority) -> Result<usize, Fault> {
    const BATCH: usize = 256;
    let now = authority.clock.now();
    let due = authority.store.tasks_past_deadline(now, BATCH).await?;
    for id in &due {
        let event = Event {
            kind: ReceiptKind::Completion,
            time_ms: now.0,
            subject_ids: vec![id.to_string()],
            payload: json!({
                "v": 1, "type": "task_closed", "task": id, "state": "expired",
                "by": "authority", "reason": "the deadline passed", "time": now.0,
            }),
        };
        let effect = Effect::CloseTask { task: *id, state: TaskState::Expired };
        match record(&authority.store, event, effect).await {
            Ok(recorded) => {
                closure::follow(authority, recorded.index(), now, &[*id]).await;
            }
            // Somebody closed it a moment ago.
            Err(error) if error.error.refused().is_some() => {}
            Err(error) => return Err(error.error.into()),
        }
    }
    Ok(due.len())
}

/// How many tokens died at `leaf`. That they are dead is known already: the store's writer tells the
/// feed and the memory of the revoked before it answers.
async fn killed_at(authority: &Authority, leaf: LeafIndex) -> Result<u64, Stop> {
    let dead = authority.store.revoked_at(leaf).await?;
    Ok(u64::try_from(dead.len()).unwrap_or(u64::MAX))
}

/// Makes the holder's proof unusable for good, before the change that it asked for.
pub(crate) async fn burn_proof(authority: &Authority, caller: &Caller) -> Result<(), Stop> {
    let Caller::Holder { key: ProvenKey { row: Some(row), .. }, chain } = caller else {
        return Ok(());
    };
    let event = Event {
        kind: ReceiptKind::System,
        time_ms: authority.clock.now().0,
        subject_ids: vec![chain.claims().txn.to_string()],
        payload: json!({"v": 1, "type": "proof_used", "jti": chain.claims().jti}),
    };
    let effect = Effect::Proof(*row);
    record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    Ok(())
}

/// Whether the caller may learn that the task exists.
pub(crate) fn may_see(caller: &Caller, task: &TaskRecord) -> bool {
    match caller {
        Caller::Person { subject, .. } => caller.is_auditor() || subject.id() == &task.subject,
        Caller::Holder { chain, .. } => chain.claims().txn == task.id,
        Caller::Agent(_) => false,
    }
}

fn require_may_close(caller: &Caller, task: &TaskRecord, state: TaskState) -> Result<(), Stop> {
    let may = match caller {
        Caller::Person { subject, .. } => caller.is_admin() || subject.id() == &task.subject,
        Caller::Holder { chain, .. } => {
            state != TaskState::Revoked
                && chain.claims().txn == task.id
                && chain.claims().del_depth == 0
        }
        Caller::Agent(_) => false,
    };
    if may {
        return Ok(());
    }
    let detail =
        "only the subject, the holder of the root token or an administrator may end a task";
    Err(Stop::new(ProblemCode::RoleRequired, detail))
}

pub(crate) fn require_reason(reason: &str) -> Result<(), Stop> {
    if reason.len() <= REASON_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("the reason is longer than {REASON_BYTES_MAX} bytes");
    Err(Stop::new(Outcome::Malformed, detail))
}

/// The state as the API spells it.
pub(crate) fn wire_state(state: TaskState) -> WireState {
    match state {
        TaskState::Open => WireState::Open,
        TaskState::Completed => WireState::Completed,
        TaskState::Cancelled => WireState::Cancelled,
        TaskState::Expired => WireState::Expired,
        TaskState::Revoked => WireState::Revoked,
    }
}
