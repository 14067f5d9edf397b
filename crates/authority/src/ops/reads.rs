//! What a task has read, kept for those who enforce it: digests of values, and how exposed it is.

use std::sync::Arc;

use bailiwick_api::ProblemCode;
use bailiwick_api::enforcement::feed::FeedEntry;
use bailiwick_api::enforcement::reads::{
    ExposureReply, ExposureReport, READS_AT_ONCE_MAX, ReadResult, ReadsPage, ReadsReceived,
    ReadsReport,
};
use bailiwick_core::Refusal;
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::constraint::{
    CallArguments, DigestedReads, NoReads, ReadBounds, ReadDigest, ReadsSalt, Rule, Totals,
};
use bailiwick_core::ids::TaskId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_ledger::{ReceiptKind, record};
use bailiwick_policy::{CallEffect, Sensitivity};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::fault::Stop;
use crate::model::{Effect, TaskRecord, TaskState};
use crate::registry::AgentEntry;
use crate::spine::Event;
use crate::store::{PageRequest, READS_OF_TASK_MAX};

/// Takes reads as the newest of their task.
///
/// # Errors
///
/// The point may not enforce the task, the task has ended, or a result is of no read that was
/// allowed in it.
pub(crate) async fn report_reads(
    authority: &Authority,
    point: &AgentEntry,
    id: TaskId,
    report: ReadsReport,
) -> Result<ReadsReceived, Stop> {
    let (_, salt) = open_task(authority, point, id).await?;
    let ReadsReport { mut reads, results } = report;
    if reads.len().saturating_add(results.len()) > READS_AT_ONCE_MAX {
        let detail = format!("at most {READS_AT_ONCE_MAX} reads in one report");
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    for ReadResult { decision_id, result } in results {
        let scope = allowed_read(authority, id, &decision_id.to_string()).await?;
        reads.push(ReadDigest::of(&salt, scope, &result));
    }
    let unwritable = |error: serde_json::Error| Stop::new(ProblemCode::Internal, error.to_string());
    let reads = reads.iter().filter(|read| !read.is_empty());
    let bytes: Result<Vec<_>, _> = reads.map(serde_json::to_vec).collect();
    let seq = authority.store.add_reads(id, bytes.map_err(unwritable)?).await?;
    Ok(ReadsReceived { seq })
}

/// The scope of a read that was allowed in this task.
async fn allowed_read(authority: &Authority, task: TaskId, decision: &str) -> Result<Scope, Stop> {
    let no = || {
        let detail = "decision_id is not of an evaluation of this task that allowed a read";
        Stop::new(Outcome::Malformed, detail)
    };
    let page = authority.store.receipts_by_key(decision, PageRequest::first(4)).await?;
    let payloads = page.items.iter().filter_map(|row| serde_json::from_slice(row.payload()?).ok());
    let is_it = |payload: &Value| {
        let is = |at: &str, expected: &str| {
            payload.pointer(at).and_then(Value::as_str) == Some(expected)
        };
        is("/act", "invoke")
            && is("/decision/id", decision)
            && is("/task", &task.to_string())
            && is("/decision/inputs/facts/effect", CallEffect::Read.as_str())
            && payload.pointer("/decision/allow") == Some(&Value::Bool(true))
    };
    let found = payloads.into_iter().find(is_it).ok_or_else(no)?;
    let scope = found.pointer("/decision/inputs/act/scope").and_then(Value::as_str);
    scope.and_then(|text| text.parse().ok()).ok_or_else(no)
}

/// Reads of a task, oldest first.
pub(crate) async fn reads_after(
    authority: &Authority,
    point: &AgentEntry,
    id: TaskId,
    after: u64,
) -> Result<ReadsPage, Stop> {
    open_task(authority, point, id).await?;
    let found = authority.store.reads(id, after, READS_AT_ONCE_MAX.saturating_add(1)).await?;
    let more = found.len() > READS_AT_ONCE_MAX;
    let mut seq = after;
    let mut reads = Vec::with_capacity(found.len());
    for (number, bytes) in found.into_iter().take(READS_AT_ONCE_MAX) {
        seq = number;
        reads.push(parsed(&bytes)?);
    }
    Ok(ReadsPage { reads, seq, more })
}

/// Raises a task's exposure; durable and told to every enforcement point when this returns.
pub(crate) async fn expose(
    authority: &Authority,
    point: &AgentEntry,
    id: TaskId,
    report: &ExposureReport,
) -> Result<ExposureReply, Stop> {
    let (task, _) = open_task(authority, point, id).await?;
    let level: Sensitivity = report
        .level
        .parse()
        .map_err(|error| Stop::new(Outcome::Malformed, format!("level: {error}")))?;
    if level > task.exposure {
        let now = authority.clock.now();
        let event = Event {
            kind: ReceiptKind::System,
            time_ms: now.0,
            subject_ids: vec![id.to_string()],
            payload: json!({
                "v": 1, "type": "task_exposed", "task": id, "level": level.as_str(),
                "by": point.document.id, "time": now.0,
            }),
        };
        let effect = Effect::Expose { task: id, level };
        record(&authority.store, event, effect).await.map_err(|error| error.error)?;
        tell_exposure(authority, id, level);
    }
    Ok(ExposureReply { exposure: level.max(task.exposure).as_str().to_owned() })
}

/// Tells every enforcement point. Call it once the level is durable.
pub(crate) fn tell_exposure(authority: &Authority, task: TaskId, level: Sensitivity) {
    let level = level.as_str().to_owned();
    authority.feed.publish(vec![FeedEntry::Exposure { task, level }]);
}

/// Whether `held` permits the call, with what the task has read where that matters.
pub(crate) async fn permits(
    authority: &Authority,
    task: &TaskRecord,
    held: &HeldAuthority,
    call: &CallArguments,
) -> Result<Result<(), Refusal>, Stop> {
    let without = held.permits(call, Totals::Debited, &NoReads);
    let depends = held.constraints.iter().any(|bound| matches!(bound.rule(), Rule::FromRead(_)));
    let (Err(_), true, Some(salt)) = (&without, depends, &task.reads_salt) else {
        return Ok(without);
    };
    let mut reads = DigestedReads::new(salt.clone(), ReadBounds::default());
    for (_, bytes) in authority.store.reads(task.id, 0, READS_OF_TASK_MAX).await? {
        reads.add(Arc::new(parsed(&bytes)?));
    }
    Ok(held.permits(call, Totals::Debited, &reads))
}

fn parsed(bytes: &[u8]) -> Result<ReadDigest, Stop> {
    serde_json::from_slice(bytes).map_err(|error| {
        tracing::error!(%error, "a stored read cannot be read");
        Stop::new(Outcome::LedgerUnavailable, "a read of the task cannot be read back")
    })
}

/// The task and its salt, for an enforcement point of its tenant and environment. Any other is told
/// that there is none.
async fn open_task(
    authority: &Authority,
    point: &AgentEntry,
    id: TaskId,
) -> Result<(Arc<TaskRecord>, ReadsSalt), Stop> {
    let task = authority
        .store
        .task(id)
        .await?
        .filter(|task| point.document.tenant == task.tenant && point.document.env == task.env);
    let missing = || Stop::new(ProblemCode::NotFound, "there is no such task");
    let task = task.ok_or_else(missing)?;
    let state = task.state_at(authority.clock.now());
    match (state, task.reads_salt.clone()) {
        (TaskState::Open, Some(salt)) => Ok((task, salt)),
        _ => Err(Stop::new(Outcome::TaskClosed, format!("the task is {state}"))),
    }
}
