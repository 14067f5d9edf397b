//! A person approves or refuses one action. Nothing that an agent or a tool says is an approval.

use bailiwick_api::{
    ApprovalState as WireState, DecideApprovalRequest, DecideApprovalResponse, ProblemCode,
};
use bailiwick_core::ids::ApprovalId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_identity::Subject;
use bailiwick_ledger::{ReceiptKind, Recorded, record};
use serde_json::json;

use super::approval::{missing, needs_of, wire_state};
use super::close_task::require_reason;
use super::view_approval::may_see;
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::model::{ApprovalRecord, ApprovalVote, Effect, Refused, TaskRecord, VerdictBounds};
use crate::spine::Event;

/// A verdict, as it came in.
pub(crate) struct Verdict {
    pub(crate) id: ApprovalId,
    pub(crate) approve: bool,
    pub(crate) body: DecideApprovalRequest,
}

/// Records what an approver decides.
pub(crate) async fn decide_approval(
    authority: &Authority,
    caller: &Caller,
    verdict: Verdict,
) -> Result<DecideApprovalResponse, Fault> {
    try_decide(authority, caller, &verdict).await.map_err(Stop::into_fault)
}

async fn try_decide(
    authority: &Authority,
    caller: &Caller,
    verdict: &Verdict,
) -> Result<DecideApprovalResponse, Stop> {
    require_reason(&verdict.body.reason)?;
    let now = authority.clock.now();
    let Some(known) = authority.store.approval(verdict.id).await? else { return Err(missing()) };
    let Some(task) = authority.store.task(known.task).await? else { return Err(missing()) };
    let (subject, needs) = match require_approver(authority, caller, &known, &task).await {
        Ok(found) => found,
        Err(stop) => {
            // Whoever tries to answer for a person is remembered, even one who may not know that
            // there is a question.
            escalate(authority, &known, &caller.name(), &stop, now).await?;
            return Err(if may_see(authority, caller, &known, &task) { stop } else { missing() });
        }
    };
    if verdict.body.digest != known.digest {
        let detail = "the digest is not that of this approval's action: look at it again";
        return Err(Stop::new(Outcome::ApprovalInvalid, detail));
    }
    let dwell_ms = authority.shown.dwell_ms(known.id, subject.id(), now);
    let vote = ApprovalVote {
        approver: subject.id().clone(),
        approve: verdict.approve,
        needs,
        reason: verdict.body.reason.clone(),
        at_ms: now,
        dwell_ms,
    };
    let recorded = match record_vote(authority, &known, &task, subject, vote, now).await {
        Ok(recorded) => recorded,
        Err(stop) => {
            if matches!(stop, Stop::Code(ProblemCode::ApprovalRateExceeded, _)) {
                let who = subject.id().to_string();
                escalate(authority, &known, &who, &stop, now).await?;
            }
            return Err(stop);
        }
    };
    let after = authority.store.approval(known.id).await?.unwrap_or(known);
    Ok(DecideApprovalResponse {
        approval_id: after.id,
        state: wire_state(&after, now),
        expires_at: after.expires_ms.into(),
        ledger_index: recorded.index().0,
    })
}

/// The caller as a person who may answer, and which of the needs the answer is for.
async fn require_approver<'c>(
    authority: &Authority,
    caller: &'c Caller,
    known: &ApprovalRecord,
    task: &TaskRecord,
) -> Result<(&'c Subject, Vec<String>), Stop> {
    let refuse = |detail: &str| Err(Stop::new(ProblemCode::RoleRequired, detail));
    let Caller::Person { subject, token, .. } = caller else {
        return refuse("an approval is a person's: no agent gives one, with whatever credential");
    };
    let needs = needs_of(authority, known, task, subject);
    if needs.is_empty() {
        return refuse("you are not one of those who may decide this");
    }
    let parties = &authority.config.approvals.authorized_parties;
    let is_named = |party| parties.iter().any(|named| named == party);
    if !parties.is_empty() && !subject.authorized_party().is_some_and(is_named) {
        let detail = "decide with a token of a client that is named for it; this one is of another";
        return Err(Stop::new(ProblemCode::Unauthenticated, detail));
    }
    // An agent may hold the token that a person started a task with. It is no younger than the
    // question, or it is known to have been handed over.
    let asked = known.asked_ms.seconds();
    if subject.issued() <= asked || authority.store.was_handed_over(*token).await? {
        let detail = "sign in again to decide: this token was issued before the question was \
                      asked, or has started a task, so that an agent may hold it";
        return Err(Stop::new(ProblemCode::Unauthenticated, detail));
    }
    Ok((subject, needs))
}

async fn record_vote(
    authority: &Authority,
    known: &ApprovalRecord,
    task: &TaskRecord,
    subject: &Subject,
    vote: ApprovalVote,
    now: UnixMillis,
) -> Result<Recorded<Event>, Stop> {
    if wire_state(known, now) != WireState::Pending {
        let detail = format!("it is {} already", wire_state(known, now));
        return Err(Stop::new(Outcome::ApprovalInvalid, detail));
    }
    let config = &authority.config.approvals;
    let stands = if vote.approve { config.life_seconds } else { config.refused_seconds };
    let bounds = VerdictBounds {
        hourly_max: config.per_approver_hourly_max,
        stands_until: now.saturating_add_seconds(stands).min(task.deadline_ms),
    };
    let word = if vote.approve { "approval_given" } else { "approval_refused" };
    let event = Event {
        kind: ReceiptKind::Approval,
        time_ms: now.0,
        subject_ids: vec![known.id.to_string(), known.task.to_string(), vote.approver.to_string()],
        payload: json!({
            "v": 1, "type": word, "approval": known.id, "task": known.task,
            "digest": known.digest, "by": vote.approver, "issuer": subject.issuer(),
            "needs": vote.needs, "reason": vote.reason, "dwell_ms": vote.dwell_ms,
            "time": now.0,
        }),
    };
    let approve = vote.approve;
    let effect = Effect::DecideApproval { id: known.id, digest: known.digest, vote, bounds };
    let recorded = match record(&authority.store, event, effect).await {
        Ok(recorded) => recorded,
        Err(error) if error.error.refused() == Some(&Refused::VersionConflict) => {
            let detail = "you have decided this already; somebody else has to approve too";
            return Err(Stop::new(ProblemCode::VersionConflict, detail));
        }
        Err(error) => return Err(error.error.into()),
    };
    authority.metrics.decided("approval", if approve { "approved" } else { "refused" });
    tracing::info!(approval = %known.id, by = %subject.id(), approve, "decided");
    Ok(recorded)
}

/// Records that somebody tried to answer who may not, or too often. For whoever watches the ledger.
async fn escalate(
    authority: &Authority,
    known: &ApprovalRecord,
    who: &str,
    stop: &Stop,
    now: UnixMillis,
) -> Result<(), Stop> {
    let Stop::Code(code, _) = stop else { return Ok(()) };
    authority.metrics.decided("approval", code.code());
    tracing::warn!(approval = %known.id, by = who, code = code.code(), "an approval was not taken");
    if !authority.noise.admits(now) {
        return Ok(());
    }
    let event = Event {
        kind: ReceiptKind::Approval,
        time_ms: now.0,
        subject_ids: vec![known.id.to_string(), known.task.to_string(), who.to_owned()],
        payload: json!({
            "v": 1, "type": "approval_not_taken", "approval": known.id, "task": known.task,
            "by": who, "code": code.code(), "time": now.0,
        }),
    };
    record(&authority.store, event, Effect::None).await.map_err(|error| error.error)?;
    Ok(())
}
