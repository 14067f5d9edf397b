//! Quarantine an agent, which kills what it holds, and reinstate it.

use std::sync::Arc;

use bailiwick_api::AgentStatusResponse;
use bailiwick_core::ids::AgentId;
use bailiwick_ledger::{ReceiptKind, record};
use bailiwick_policy::AgentStatus;
use serde_json::json;

use super::close_task::require_reason;
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::feed::changed_agents;
use crate::model::{Effect, RecordStatus};
use crate::spine::Event;

/// Sets an agent's status: `Quarantined` or `Active`.
pub(crate) async fn set_agent_status(
    authority: &Authority,
    caller: &Caller,
    id: &str,
    status: RecordStatus,
    reason: &str,
) -> Result<AgentStatusResponse, Fault> {
    try_set(authority, caller, id, status, reason).await.map_err(Stop::into_fault)
}

async fn try_set(
    authority: &Authority,
    caller: &Caller,
    id: &str,
    status: RecordStatus,
    reason: &str,
) -> Result<AgentStatusResponse, Stop> {
    caller.require_admin()?;
    require_reason(reason)?;
    let _one_change = authority.changes.lock().await;
    let Some(agent) = authority.registry.load().agent(id).map(|entry| entry.document.id.clone())
    else {
        return Err(Stop::new(bailiwick_api::ProblemCode::NotFound, "there is no such agent"));
    };
    let now = authority.clock.now();
    let event = Event {
        kind: ReceiptKind::Registry,
        time_ms: now.0,
        subject_ids: vec![agent.to_string()],
        payload: json!({
            "v": 1, "type": "agent_status", "agent": agent, "status": status.as_str(),
            "by": caller.name(), "reason": reason, "time": now.0,
        }),
    };
    let effect = Effect::SetAgentStatus { agent: agent.clone(), status };
    let recorded = record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    publish(authority, &agent, status);
    Ok(AgentStatusResponse {
        agent,
        status: status.as_str().to_owned(),
        ledger_index: recorded.index().0,
    })
}

fn publish(authority: &Authority, agent: &AgentId, status: RecordStatus) {
    let registry = authority.registry.load();
    let next = registry.with_agent_status(agent.as_ref(), policy_status(status));
    let changed = changed_agents(&registry, &next);
    authority.registry.store(Arc::new(next));
    authority.feed.publish(changed);
}

/// The status as policy and the registry snapshot spell it.
pub(crate) fn policy_status(status: RecordStatus) -> AgentStatus {
    match status {
        RecordStatus::Active => AgentStatus::Active,
        RecordStatus::Quarantined => AgentStatus::Quarantined,
        RecordStatus::Suspended => AgentStatus::Suspended,
        RecordStatus::Retired => AgentStatus::Retired,
    }
}
