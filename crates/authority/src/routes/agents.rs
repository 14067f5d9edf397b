//! `/v1/agents` and `/v1/agent-keys`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use bailiwick_api::{
    AgentKey, AgentKeyList, AgentList, AgentStatusResponse, PageQuery, Problem, Reason,
    RegisterKeyRequest, RegisterKeyResponse, RegistryEntry,
};
use bailiwick_core::ids::AgentId;

use super::reply::ProblemReply;
use super::request::{Body, Credentials, OptionalBody, page};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::Fault;
use crate::model::{AgentRecord, RecordStatus};
use crate::ops::agent_key::register_key;
use crate::ops::agent_status::set_agent_status;

/// List agents.
#[utoipa::path(
    get, path = "/v1/agents", tag = "agents", params(PageQuery),
    responses((status = 200, body = AgentList), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn list(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<PageQuery>,
) -> Result<Json<AgentList>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let found = authority.store.agents(page(&authority, query.limit, query.cursor)).await?;
    let agents = found.items.iter().map(entry).collect();
    Ok(Json(AgentList { agents, next_cursor: found.next }))
}

/// Show an agent.
#[utoipa::path(
    get, path = "/v1/agents/{id}", tag = "agents", params(("id" = String, Path)),
    responses(
        (status = 200, body = RegistryEntry),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn show(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
) -> Result<Json<RegistryEntry>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    match authority.store.agent(&agent_id(&id)?).await? {
        Some(record) => Ok(Json(entry(&record))),
        None => Err(Fault::not_found("agent").into()),
    }
}

/// The holder keys an agent has bound to its identity: for delegators and operators.
#[utoipa::path(
    get, path = "/v1/agents/{id}/keys", tag = "agents", params(("id" = String, Path)),
    responses((status = 200, body = AgentKeyList), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn keys(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
) -> Result<Json<AgentKeyList>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let id = agent_id(&id)?;
    let registry = authority.registry.load();
    let known = registry.agent(id.as_ref());
    let same_tenant = known.is_some_and(|agent| match &caller {
        Caller::Agent(own) => own.document.tenant == agent.document.tenant,
        Caller::Holder { chain, .. } => chain.claims().hop.tenant == agent.document.tenant,
        Caller::Person { .. } => caller.is_auditor(),
    });
    if !same_tenant {
        return Err(Fault::not_found("agent").into());
    }
    let keys = authority.store.holder_keys(&id, authority.clock.now()).await?;
    let keys = keys
        .into_iter()
        .map(|key| AgentKey { jkt: key.jkt.to_string(), expires_at: key.expires_ms.into() })
        .collect();
    Ok(Json(AgentKeyList { keys }))
}

/// Bind the key of the DPoP proof to the calling agent for an hour.
#[utoipa::path(
    post, path = "/v1/agent-keys", tag = "agents", request_body = RegisterKeyRequest,
    params(("DPoP" = String, Header, description = "Proof of the key to bind")),
    responses((status = 200, body = RegisterKeyResponse), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn bind_key(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    body: OptionalBody<RegisterKeyRequest>,
) -> Result<Json<RegisterKeyResponse>, ProblemReply> {
    let OptionalBody(RegisterKeyRequest {}) = body;
    let caller = credentials.caller(&authority).await?;
    Ok(Json(register_key(&authority, &caller, &credentials.presented(None)).await?))
}

/// Quarantine an agent: it may do nothing, and what it holds is dead.
#[utoipa::path(
    post, path = "/v1/agents/{id}/quarantine", tag = "agents", params(("id" = String, Path)),
    request_body = Reason,
    responses(
        (status = 200, body = AgentStatusResponse),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn quarantine(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Result<Json<AgentStatusResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let status = RecordStatus::Quarantined;
    Ok(Json(set_agent_status(&authority, &caller, &id, status, &body.reason).await?))
}

/// Reinstate a quarantined agent. What died stays dead.
#[utoipa::path(
    post, path = "/v1/agents/{id}/reinstate", tag = "agents", params(("id" = String, Path)),
    request_body = Reason,
    responses(
        (status = 200, body = AgentStatusResponse),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn reinstate(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Result<Json<AgentStatusResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let status = RecordStatus::Active;
    Ok(Json(set_agent_status(&authority, &caller, &id, status, &body.reason).await?))
}

fn agent_id(text: &str) -> Result<AgentId, ProblemReply> {
    text.parse().map_err(|_| Fault::not_found("agent").into())
}

fn entry(record: &AgentRecord) -> RegistryEntry {
    RegistryEntry {
        id: record.id.to_string(),
        version: record.version,
        status: record.status.as_str().to_owned(),
        updated_at: record.updated_ms.into(),
        document: record.document.clone(),
    }
}
