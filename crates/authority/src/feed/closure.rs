//! Closure: what was ended is followed until it is dead at every enforcement point, and that is
//! recorded.
//!
//! An end is in force at the Authority at once; a report says where else. It is *closed* when every
//! enforcement point of its tenant and environment has acknowledged the event that carries it, or
//! has been cut off for longer than its staleness bound, after which it refuses everything and cuts
//! what still runs. That the tokens have expired is not enough: a stream that began before may run
//! on. It is *partial* while a connected point owes its acknowledgement, and *unknown* while a point
//! is lost within its bound: it may know, and it may not.

use std::collections::BTreeMap;
use std::time::Duration;

use bailiwick_api::enforcement::closure::{
    CLOSURE_WAIT_MS, CLOSURE_WAIT_MS_MAX, ClosureReport, ClosureState,
};
use bailiwick_core::ids::{TaskId, TenantId};
use bailiwick_core::time::UnixMillis;
use bailiwick_ledger::{LeafIndex, ReceiptKind, record};
use parking_lot::Mutex;
use serde_json::json;

use crate::authority::Authority;
use crate::fault::Stop;
use crate::model::{Effect, TaskRecord};
use crate::spine::Event;
use crate::store::{PAGE_ROWS_MAX, PageRequest, StoreError};

/// Ends that are followed at once; past it the oldest is no longer followed, and asking for its
/// closure computes it anew.
const FOLLOWED_MAX: usize = 65_536;
/// Tasks that a receipt names.
const TASKS_NAMED_MAX: usize = 12;

/// One end, as its leaf records it.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) leaf: LeafIndex,
    pub(crate) at: UnixMillis,
    /// The event that an enforcement point must have reached.
    seq: u64,
    tasks: Vec<TaskId>,
    /// Tenants and environments; every one when it is not known.
    scope: Option<Vec<(TenantId, String)>>,
    /// Its closure is being recorded: by one only. Until it is in the ledger it is found here.
    recording: bool,
}

/// Ends that are not known to be closed.
#[derive(Default)]
pub(crate) struct Closures(Mutex<BTreeMap<LeafIndex, End>>);

impl Closures {
    /// Whether the caller is the one that records this end.
    fn begin(&self, leaf: LeafIndex) -> bool {
        let mut followed = self.0.lock();
        let free = followed.get_mut(&leaf).filter(|end| !end.recording);
        free.is_some_and(|end| {
            end.recording = true;
            true
        })
    }
}

/// Follows an end that has just become durable. It has happened, so this cannot fail: where the
/// tasks cannot be read back now, every enforcement point is waited for.
pub(crate) async fn follow(
    authority: &Authority,
    leaf: LeafIndex,
    at: UnixMillis,
    tasks: &[TaskId],
) -> End {
    // The writer has published it before it answered.
    let seq = authority.feed.seq();
    follow_from(authority, leaf, at, seq, tasks).await
}

async fn follow_from(
    authority: &Authority,
    leaf: LeafIndex,
    at: UnixMillis,
    seq: u64,
    tasks: &[TaskId],
) -> End {
    let scope = match scope_of(authority, tasks).await {
        Ok(scope) => Some(scope),
        Err(error) => {
            tracing::error!(%error, leaf = leaf.0, "the tasks of an end cannot be read back");
            None
        }
    };
    let end = End { leaf, at, seq, tasks: tasks.to_vec(), scope, recording: false };
    let mut followed = authority.closures.0.lock();
    followed.insert(leaf, end.clone());
    if followed.len() > FOLLOWED_MAX {
        followed.pop_first();
    }
    end
}

async fn scope_of(
    authority: &Authority,
    tasks: &[TaskId],
) -> Result<Vec<(TenantId, String)>, StoreError> {
    let mut scope = Vec::new();
    for task in tasks {
        if let Some(task) = authority.store.task(*task).await? {
            let own = (task.tenant.clone(), task.env.clone());
            if !scope.contains(&own) {
                scope.push(own);
            }
        }
    }
    Ok(scope)
}

/// Waits until the end is closed, for as long as the caller wants, and reports. What is closed is
/// recorded.
pub(crate) async fn report(
    authority: &Authority,
    end: &End,
    wait_ms: Option<u64>,
) -> Result<ClosureReport, Stop> {
    // Whoever waits has its answer well before the request is given up.
    let most = CLOSURE_WAIT_MS_MAX.min(authority.config.limits.request_timeout_ms / 2);
    let wait = Duration::from_millis(wait_ms.unwrap_or(CLOSURE_WAIT_MS).min(most));
    let closed = async {
        let mut changes = authority.feed.points.changes();
        loop {
            changes.borrow_and_update();
            let report = look(authority, end);
            if report.state == ClosureState::Closed || changes.changed().await.is_err() {
                return report;
            }
        }
    };
    match tokio::time::timeout(wait, closed).await {
        Ok(report) => settle(authority, end, report).await,
        Err(_) => Ok(look(authority, end)),
    }
}

/// The report that goes with the answer to whatever caused the end. The end stands even when its
/// closure cannot be recorded now; then there is no report, and it is recorded later.
pub(crate) async fn told(
    authority: &Authority,
    end: &End,
    wait_ms: Option<u64>,
) -> Option<ClosureReport> {
    match report(authority, end, wait_ms).await {
        Ok(report) => Some(report),
        Err(stop) => {
            let fault = stop.into_fault();
            tracing::warn!(detail = fault.detail, "a closure could not be recorded yet");
            None
        }
    }
}

/// How the end stands now.
fn look(authority: &Authority, end: &End) -> ClosureReport {
    authority.feed.points.report(end.scope.as_deref(), end.seq, end.at, authority.clock.now())
}

/// Records a report that is final; once.
async fn settle(
    authority: &Authority,
    end: &End,
    mut report: ClosureReport,
) -> Result<ClosureReport, Stop> {
    if report.state != ClosureState::Closed || !authority.closures.begin(end.leaf) {
        return Ok(report);
    }
    let named = || end.tasks.iter().take(TASKS_NAMED_MAX);
    let mut subject_ids = vec![key_of_leaf(end.leaf)];
    subject_ids.extend(named().flat_map(|task| [task.to_string(), key_of_task(*task)]));
    let mut payload = json!({
        "v": 1, "type": "closure", "of": end.leaf.0, "report": report,
        "tasks": end.tasks.len(), "time": report.as_of.unix_millis().0,
    });
    if let (Some(members), [task]) = (payload.as_object_mut(), end.tasks.as_slice()) {
        members.insert("task".to_owned(), task.to_string().into());
    }
    let time_ms = report.as_of.unix_millis().0;
    let event = Event { kind: ReceiptKind::System, time_ms, subject_ids, payload };
    match record(&authority.store, event, Effect::None).await {
        Ok(recorded) => {
            authority.closures.0.lock().remove(&end.leaf);
            report.ledger_index = Some(recorded.index().0);
            Ok(report)
        }
        Err(error) => {
            // Not recorded: it is followed on, and tried again.
            if let Some(end) = authority.closures.0.lock().get_mut(&end.leaf) {
                end.recording = false;
            }
            Err(error.error.into())
        }
    }
}

/// Records what has become closed since the last look.
pub(crate) async fn settle_all(authority: &Authority) {
    let ends: Vec<End> = authority.closures.0.lock().values().cloned().collect();
    for end in ends {
        let report = look(authority, &end);
        if report.state == ClosureState::Closed
            && let Err(stop) = settle(authority, &end, report).await
        {
            let fault = stop.into_fault();
            tracing::warn!(detail = fault.detail, "a closure could not be recorded");
            return;
        }
    }
}

/// The closure of the last thing in a task that ended: the task, or some of its tokens. None while
/// nothing has.
pub(crate) async fn of_task(
    authority: &Authority,
    task: &TaskRecord,
    wait_ms: Option<u64>,
) -> Result<Option<ClosureReport>, Stop> {
    let followed = {
        let followed = authority.closures.0.lock();
        followed.values().rev().find(|end| end.tasks.contains(&task.id)).cloned()
    };
    if let Some(end) = followed {
        return report(authority, &end, wait_ms).await.map(Some);
    }
    if let Some(report) = recorded(authority, &key_of_task(task.id)).await? {
        return Ok(Some(report));
    }
    let now = authority.clock.now();
    if task.state_at(now) == crate::model::TaskState::Open {
        return Ok(None);
    }
    // It ended before anything was followed: the first snapshot of this process carries it.
    let at = task.closed_ms.unwrap_or(task.deadline_ms);
    let scope = [(task.tenant.clone(), task.env.clone())];
    let seq = authority.feed.first_seq();
    Ok(Some(authority.feed.points.report(Some(&scope), seq, at, now)))
}

/// The last closure recorded under a key.
async fn recorded(authority: &Authority, key: &str) -> Result<Option<ClosureReport>, Stop> {
    let mut last = None;
    let mut page = PageRequest::first(PAGE_ROWS_MAX);
    loop {
        let found = authority.store.receipts_by_key(key, page).await?;
        last = found.items.into_iter().next_back().or(last);
        let Some(cursor) = found.next else { break };
        page = PageRequest { cursor: Some(cursor), limit: PAGE_ROWS_MAX };
    }
    let Some(row) = last else { return Ok(None) };
    let payload = row.payload().and_then(|bytes| serde_json::from_slice(bytes).ok());
    let report = payload.and_then(|mut payload: serde_json::Value| {
        let report = payload.get_mut("report")?.take();
        serde_json::from_value::<ClosureReport>(report).ok()
    });
    Ok(report.map(|report| ClosureReport { ledger_index: Some(row.index.0), ..report }))
}

/// Takes up again what was not closed when the process before this one ended: every leaf whose
/// tokens could still be used, unless its closure is recorded.
pub(crate) async fn restore(
    authority: &Authority,
    dead: &[crate::model::RevokedToken],
) -> Result<(), Stop> {
    let mut leaves: BTreeMap<LeafIndex, (UnixMillis, Vec<TaskId>)> = BTreeMap::new();
    for token in dead {
        let (_, tasks) = leaves.entry(token.leaf).or_insert_with(|| (token.at_ms, Vec::new()));
        if !tasks.contains(&token.task) {
            tasks.push(token.task);
        }
    }
    let seq = authority.feed.first_seq();
    for (leaf, (at, tasks)) in leaves.into_iter().rev().take(FOLLOWED_MAX) {
        if recorded(authority, &key_of_leaf(leaf)).await?.is_none() {
            follow_from(authority, leaf, at, seq, &tasks).await;
        }
    }
    Ok(())
}

fn key_of_leaf(leaf: LeafIndex) -> String {
    format!("closure:leaf:{}", leaf.0)
}

fn key_of_task(task: TaskId) -> String {
    format!("closure:{task}")
}
