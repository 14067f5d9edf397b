//! Looking at approvals: what waits, and everything that an approver has to know of one.

use bailiwick_api::{
    ApprovalList, ApprovalNeed, ApprovalState as WireState, ApprovalSummary, ApprovalVerdict,
    ApprovalView,
};
use bailiwick_core::ids::{ApprovalId, TaskId};
use bailiwick_core::time::UnixMillis;
use serde_json::Value;

use super::approval::{missing, needs_of, people, wire_state};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::model::{ApprovalFilter, ApprovalRecord, ApprovalState, TaskRecord};
use crate::store::PageRequest;

/// Pages of the store that one listing reads: others' questions are not shown, so that a page may
/// be short.
const PAGES_MAX: usize = 8;

/// The approvals that the caller may see, newest first.
pub(crate) async fn list(
    authority: &Authority,
    caller: &Caller,
    (state, task): (Option<WireState>, Option<TaskId>),
    mut page: PageRequest,
) -> Result<ApprovalList, Fault> {
    let now = authority.clock.now();
    let filter = ApprovalFilter { task, state: state.and_then(stored_state) };
    let wanted = page.limit;
    let mut approvals = Vec::new();
    for _ in 0..PAGES_MAX {
        let found = authority.store.approvals(filter.clone(), page.clone()).await?;
        for known in &found.items {
            let Some(task) = authority.store.task(known.task).await? else { continue };
            let fits = state.is_none_or(|state| wire_state(known, now) == state);
            if fits && may_see(authority, caller, known, &task) {
                approvals.push(summary(known, &task, now));
            }
        }
        page.cursor = found.next;
        if page.cursor.is_none() || approvals.len() >= wanted {
            break;
        }
        page.limit = wanted.saturating_sub(approvals.len()).max(1);
    }
    Ok(ApprovalList { approvals, next_cursor: page.cursor })
}

/// Everything about one. Showing it to somebody who may decide it is remembered.
pub(crate) async fn show(
    authority: &Authority,
    caller: &Caller,
    id: ApprovalId,
) -> Result<ApprovalView, Fault> {
    try_show(authority, caller, id).await.map_err(Stop::into_fault)
}

async fn try_show(
    authority: &Authority,
    caller: &Caller,
    id: ApprovalId,
) -> Result<ApprovalView, Stop> {
    let now = authority.clock.now();
    let Some(known) = authority.store.approval(id).await? else { return Err(missing()) };
    let Some(task) = authority.store.task(known.task).await? else { return Err(missing()) };
    if !may_see(authority, caller, &known, &task) {
        return Err(missing());
    }
    let yours = match caller {
        Caller::Person { subject, .. } => {
            let may = !needs_of(authority, &known, &task, subject).is_empty();
            if may {
                authority.shown.note(known.id, subject.id(), now);
            }
            may && wire_state(&known, now) == WireState::Pending
        }
        Caller::Agent(_) | Caller::Holder { .. } => false,
    };
    view(authority, &known, &task, yours, now)
}

fn view(
    authority: &Authority,
    known: &ApprovalRecord,
    task: &TaskRecord,
    yours_to_decide: bool,
    now: UnixMillis,
) -> Result<ApprovalView, Stop> {
    let met: Vec<_> = known.met().collect();
    let needs = known.needs.iter().map(|need| {
        Ok(ApprovalNeed {
            need: need.clone(),
            approvers: people(authority, task, need)?.names(),
            met_by: met.iter().find(|(name, _)| name == need).map(|(_, by)| (*by).clone()),
        })
    });
    let decisions = known.votes.iter().map(|vote| ApprovalVerdict {
        by: vote.approver.clone(),
        approved: vote.approve,
        reason: vote.reason.clone(),
        at: vote.at_ms.into(),
        dwell_ms: vote.dwell_ms,
    });
    let action: Value = serde_json::from_str(&known.action).unwrap_or_default();
    let agents = action.get("agents").and_then(Value::as_array).into_iter().flatten();
    Ok(ApprovalView {
        summary: summary(known, task, now),
        purpose: task.purpose.clone(),
        tenant: task.tenant.clone(),
        env: task.env.clone(),
        subject_issuer: task.subject_issuer.clone(),
        agents: agents.filter_map(|agent| agent.as_str().map(str::to_owned)).collect(),
        asked_by: known.asked_by.to_string(),
        why: known.why.clone(),
        needs: needs.collect::<Result<_, Stop>>()?,
        action: known.action.clone(),
        digest: known.digest,
        decisions: decisions.collect(),
        used_by: known.used.as_ref().map(|used| used.decision),
        yours_to_decide,
    })
}

fn summary(known: &ApprovalRecord, task: &TaskRecord, now: UnixMillis) -> ApprovalSummary {
    let action: Value = serde_json::from_str(&known.action).unwrap_or_default();
    let text = |name: &str| {
        action.get(name).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
    };
    ApprovalSummary {
        approval_id: known.id,
        state: wire_state(known, now),
        task_id: known.task,
        workflow: task.workflow.clone(),
        subject: task.subject.clone(),
        agent: known.agent.clone(),
        scope: text("scope"),
        system: text("system"),
        asked_at: known.asked_ms.into(),
        expires_at: known.expires_ms.into(),
    }
}

/// Whether the caller may learn of the question: those who may decide it, the subject of the task,
/// operators, and the agent whose action it is.
pub(crate) fn may_see(
    authority: &Authority,
    caller: &Caller,
    known: &ApprovalRecord,
    task: &TaskRecord,
) -> bool {
    match caller {
        Caller::Person { subject, .. } => {
            caller.is_auditor()
                || subject.id() == &task.subject
                || !needs_of(authority, known, task, subject).is_empty()
        }
        Caller::Holder { chain, .. } => {
            chain.claims().txn == known.task && chain.claims().client_id == known.agent
        }
        Caller::Agent(entry) => entry.document.id == known.asked_by,
    }
}

/// What is recorded for a state as the API spells it; that one has expired is seen from its time.
fn stored_state(state: WireState) -> Option<ApprovalState> {
    match state {
        WireState::Pending => Some(ApprovalState::Pending),
        WireState::Approved => Some(ApprovalState::Approved),
        WireState::Refused => Some(ApprovalState::Refused),
        WireState::Used => Some(ApprovalState::Used),
        WireState::Ended => Some(ApprovalState::Ended),
        WireState::Expired => None,
    }
}
