//! Trace: from any id to the whole tree of its task.

use std::collections::BTreeSet;
use std::sync::Arc;

use bailiwick_api::{
    FocusKind, HopState, Timestamp, TraceDecision, TraceDecisionRef, TraceEvent, TraceFocus,
    TraceHop, TraceTree,
};
use bailiwick_core::VerifiedChain;
use bailiwick_core::ids::{AgentId, TaskId, TokenId};
use bailiwick_core::time::UnixMillis;
use bailiwick_ledger::LeafIndex;
use serde_json::Value;

use super::close_task::{may_see, wire_state};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::feed::closure;
use crate::model::{ReceiptRow, TaskRecord, TaskState, TokenRecord};
use crate::store::{PAGE_ROWS_MAX, PageRequest};

/// Receipts that one trace reads; past it the trace says that it is cut.
const RECEIPTS_MAX: usize = 20_000;

/// Everything the record holds about the task that `id` belongs to.
pub(crate) async fn trace(
    authority: &Authority,
    caller: &Caller,
    id: &str,
) -> Result<TraceTree, Fault> {
    let (kind, task) = find(authority, id).await?;
    let task = authority.store.task(task).await?.filter(|task| may_see(caller, task));
    let Some(task) = task else { return Err(Fault::not_found("task, token, decision or leaf")) };
    let now = authority.clock.now();
    let (receipts, cut) = receipts(authority, task.id).await?;
    let mut gaps = Vec::new();
    if cut {
        gaps.push(format!("only the first {RECEIPTS_MAX} receipts of the task are shown"));
    }
    let mut tree =
        Tree { task: task.id, decisions: vec![], events: vec![], gaps, gateways: BTreeSet::new() };
    for row in &receipts {
        tree.add(row);
    }
    tree.gaps.extend(spool_gaps(authority, &task, &tree.gateways, now).await?);
    let tokens = authority.store.tokens_of_task(task.id).await?;
    let hops = tokens
        .iter()
        .map(|token| hop(token, &task, now, &mut tree))
        .collect::<Result<_, Stop>>()
        .map_err(Stop::into_fault)?;
    Ok(TraceTree {
        focus: TraceFocus { kind, id: id.to_owned() },
        task: task.id,
        subject: task.subject.clone(),
        subject_issuer: task.subject_issuer.clone(),
        workflow: task.workflow.clone(),
        workflow_version: task.workflow_version,
        purpose: task.purpose.clone(),
        tenant: task.tenant.clone(),
        env: task.env.clone(),
        state: wire_state(task.state_at(now)),
        opened_at: task.opened_ms.into(),
        deadline: task.deadline_ms.into(),
        closed_at: task.closed_ms.map(Timestamp::from),
        hops,
        decisions: tree.decisions,
        events: tree.events,
        closure: closure::of_task(authority, &task, Some(0)).await.map_err(Stop::into_fault)?,
        gaps: tree.gaps,
    })
}

/// What kind of thing the id names, and the task it belongs to.
async fn find(authority: &Authority, id: &str) -> Result<(FocusKind, TaskId), Fault> {
    let missing = || Fault::not_found("task, token, decision or leaf");
    if let Ok(index) = id.parse::<u64>() {
        let row = authority.store.receipt(LeafIndex(index)).await?.ok_or_else(missing)?;
        let task = payload(&row).and_then(|payload| task_in(&payload)).ok_or_else(missing)?;
        return Ok((FocusKind::LedgerIndex, task));
    }
    if let Ok(task) = id.parse::<TaskId>()
        && authority.store.task(task).await?.is_some()
    {
        return Ok((FocusKind::Task, task));
    }
    if let Ok(jti) = id.parse::<TokenId>()
        && let Some(token) = authority.store.token(jti).await?
    {
        return Ok((FocusKind::Token, token.task));
    }
    let page = authority.store.receipts_by_key(id, PageRequest::first(1)).await?;
    let row = page.items.first().ok_or_else(missing)?;
    let task = payload(row).and_then(|payload| task_in(&payload)).ok_or_else(missing)?;
    Ok((FocusKind::Decision, task))
}

fn task_in(payload: &Value) -> Option<TaskId> {
    if payload.get("reported").is_some_and(|reported| reported.get("foreign").is_some()) {
        return None;
    }
    let named = payload.get("task").or_else(|| payload.get("target")?.get("task"))?;
    named.as_str()?.parse().ok()
}

async fn receipts(authority: &Authority, task: TaskId) -> Result<(Vec<ReceiptRow>, bool), Fault> {
    let key = task.to_string();
    let mut rows = Vec::new();
    let mut page = PageRequest::first(PAGE_ROWS_MAX);
    loop {
        let found = authority.store.receipts_by_key(&key, page).await?;
        rows.extend(found.items);
        match found.next {
            Some(_) if rows.len() >= RECEIPTS_MAX => return Ok((rows, true)),
            Some(cursor) => page = PageRequest { cursor: Some(cursor), limit: PAGE_ROWS_MAX },
            None => return Ok((rows, false)),
        }
    }
}

fn payload(row: &ReceiptRow) -> Option<Value> {
    serde_json::from_slice(row.payload()?).ok()
}

/// What gateways of the task are known to have lost while it was open.
async fn spool_gaps(
    authority: &Authority,
    task: &TaskRecord,
    gateways: &BTreeSet<AgentId>,
    now: UnixMillis,
) -> Result<Vec<String>, Fault> {
    let open = task.opened_ms..=task.closed_ms.unwrap_or(now);
    let mut gaps = Vec::new();
    for gateway in gateways {
        let page = PageRequest::first(PAGE_ROWS_MAX);
        let found = authority.store.receipts_by_key(gateway.as_str(), page).await?;
        for row in found.items.iter().filter(|row| open.contains(&row.time_ms)) {
            let said = payload(row);
            let word = said.as_ref().and_then(|said| said.get("type")?.as_str());
            if let Some("spool_gap" | "spool_lost" | "spool_rolled_back") = word {
                gaps.push(format!(
                    "the gateway {gateway} has lost receipts (leaf {}); some may be of this task",
                    row.index
                ));
            }
        }
    }
    Ok(gaps)
}

struct Tree {
    task: TaskId,
    decisions: Vec<TraceDecision>,
    events: Vec<TraceEvent>,
    gaps: Vec<String>,
    /// Gateways that have reported about the task, or hold a part of its budgets.
    gateways: BTreeSet<AgentId>,
}

impl Tree {
    fn add(&mut self, row: &ReceiptRow) {
        let Some(payload) = payload(row) else {
            let gap = format!("the payload of leaf {} was erased", row.index);
            self.gaps.push(gap);
            return;
        };
        if payload.get("reported").is_some() && task_in(&payload) != Some(self.task) {
            // What a gateway says of somebody else's task proves nothing about it.
            return;
        }
        self.gateways.extend(reported_by(&payload).or_else(|| agent_in(payload.get("gateway"))));
        match decision(row, &payload) {
            Some(decision) => self.decisions.push(decision),
            None => self.events.push(event(row, &payload)),
        }
    }

    fn decision_of(&mut self, token: &TokenRecord) -> TraceDecisionRef {
        let found = self.decisions.iter().find(|decision| decision.decision_id == token.decision);
        match found {
            Some(decision) => TraceDecisionRef {
                id: token.decision,
                policy_hash: decision.policy_hash.clone().unwrap_or_default(),
                determining: decision.determining.clone(),
                ledger_index: Some(decision.ledger_index),
            },
            None => {
                self.gaps.push(format!(
                    "the decision {} behind token {} is not in the record",
                    token.decision, token.jti
                ));
                TraceDecisionRef {
                    id: token.decision,
                    policy_hash: String::new(),
                    determining: Vec::new(),
                    ledger_index: None,
                }
            }
        }
    }
}

fn decision(row: &ReceiptRow, payload: &Value) -> Option<TraceDecision> {
    let decision = payload.get("decision")?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let inputs = decision.get("inputs");
    let facts = inputs.and_then(|inputs| inputs.get("facts"));
    let arguments = facts
        .and_then(|facts| facts.get("arguments"))
        .or_else(|| inputs?.get("arguments"))
        .filter(|arguments| arguments.as_object().is_some_and(|members| !members.is_empty()));
    let scope =
        inputs.and_then(|inputs| inputs.get("act")?.get("scope")).or_else(|| inputs?.get("scope"));
    let determining = decision.get("determining").and_then(Value::as_array);
    Some(TraceDecision {
        time: Timestamp::from(UnixMillis(decision.get("time")?.as_u64()?)),
        decision_id: decision.get("id")?.as_str()?.parse().ok()?,
        agent: text(payload.get("agent")).and_then(|agent| agent.parse().ok()),
        jti: text(payload.get("jti")).and_then(|jti| jti.parse().ok()),
        act: text(payload.get("act"))?,
        scope: text(scope),
        arguments: arguments.cloned(),
        allow: decision.get("allow")?.as_bool()?,
        code: text(decision.get("code")),
        reason: text(decision.get("reason")),
        policy_hash: text(decision.get("policy")),
        determining: determining
            .map(|ids| ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect())
            .unwrap_or_default(),
        reported_by: reported_by(payload),
        route: text(payload.get("route")),
        ledger_index: row.index.0,
    })
}

/// The gateway that reported a receipt.
fn reported_by(payload: &Value) -> Option<AgentId> {
    agent_in(payload.get("reported")?.get("by"))
}

fn agent_in(value: Option<&Value>) -> Option<AgentId> {
    value?.as_str()?.parse().ok()
}

/// One sentence about something that a gateway did or had.
fn of_gateway(word: &str, payload: &Value) -> Option<String> {
    let text = |key: &str| payload.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| payload.get(key).and_then(Value::as_u64).unwrap_or_default();
    let leases = || payload.get("leases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match word {
        "outcome" => {
            let up = payload.get("bytes_up").and_then(Value::as_u64);
            let up = up.map(|bytes| format!(", {bytes} bytes up")).unwrap_or_default();
            Some(format!(
                "the call of decision {} was answered {} ({}, {} bytes{up}) through {}",
                text("decision"),
                number("status"),
                text("ending"),
                number("bytes"),
                text("route"),
            ))
        }
        "budget_leased" => {
            let units = leases().iter().map(|lease| {
                let amount = lease.get("amount_micros").and_then(Value::as_f64).unwrap_or_default();
                let key = lease.get("key").and_then(Value::as_str).unwrap_or_default();
                format!("{} of `{key}`", amount / 1e6)
            });
            let units = units.collect::<Vec<_>>().join(", ");
            Some(format!("leased to {}: {units}", text("gateway")))
        }
        "refusals_suppressed" => Some(format!(
            "{} refusals of {} past the rate, counted and not recorded one by one ({})",
            number("count"),
            payload.get("agent").and_then(Value::as_str).unwrap_or("unknown callers"),
            payload.get("codes").map(Value::to_string).unwrap_or_default(),
        )),
        "budget_returned" => Some(format!("{} returned leased budget", text("gateway"))),
        _ => None,
    }
}

fn event(row: &ReceiptRow, payload: &Value) -> TraceEvent {
    let text = |key: &str| payload.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let by = match text("by") {
        by if by.is_empty() => String::new(),
        by => format!(" by {by}"),
    };
    let why = match text("reason") {
        reason if reason.is_empty() => String::new(),
        reason => format!(": {reason}"),
    };
    let what = match payload.get("type").and_then(Value::as_str) {
        Some("task_closed") => format!("the task was {}", text("state")),
        Some("revocation") => {
            let target = payload.get("target").map(Value::to_string).unwrap_or_default();
            format!("revoked {target}")
        }
        Some("closure") => "dead at every enforcement point".to_owned(),
        Some("proof_used") => "a proof of possession was used for a management call".to_owned(),
        Some(other) => of_gateway(other, payload).unwrap_or_else(|| other.replace('_', " ")),
        None => row.kind.to_string(),
    };
    let reported = payload.get("reported").and_then(|reported| reported.get("time")?.as_u64());
    TraceEvent {
        time: reported.map_or(row.time_ms, UnixMillis).into(),
        kind: row.kind.to_string(),
        summary: format!("{what}{by}{why}"),
        reported_by: reported_by(payload),
        ledger_index: row.index.0,
    }
}

fn hop(
    token: &Arc<TokenRecord>,
    task: &TaskRecord,
    now: UnixMillis,
    tree: &mut Tree,
) -> Result<TraceHop, Stop> {
    let chain = VerifiedChain::from_issuer_record(&token.signing_input)?;
    let detail = chain.claims().authority.to_detail();
    let constraints = detail.get("constraints").and_then(Value::as_array).cloned();
    Ok(TraceHop {
        jti: token.jti,
        parent: token.parent,
        agent: token.agent.clone(),
        kind: token.kind.as_str().to_owned(),
        depth: token.depth,
        audience: token.audience.clone(),
        scopes: chain.claims().authority.scopes.iter().map(ToString::to_string).collect(),
        constraints: constraints.unwrap_or_default(),
        issued_at: Timestamp::from_seconds(token.iat),
        expires_at: Timestamp::from_seconds(token.exp),
        state: hop_state(token, task, now),
        revoked_at: token.revoked_ms.map(Timestamp::from),
        grant: token.grant_hash.map(|hash| hash.named()),
        decision: tree.decision_of(token),
    })
}

fn hop_state(token: &TokenRecord, task: &TaskRecord, now: UnixMillis) -> HopState {
    match task.state_at(now) {
        TaskState::Open if token.revoked_ms.is_some() => HopState::Revoked,
        TaskState::Open if token.exp <= now.seconds() => HopState::Expired,
        TaskState::Open => HopState::Live,
        TaskState::Revoked => HopState::Revoked,
        _ => HopState::Closed,
    }
}
