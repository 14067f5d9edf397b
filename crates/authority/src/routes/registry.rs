//! `/v1/registry/apply`, `/v1/owners`, `/v1/workflows`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use bailiwick_api::{
    ApplyRequest, ApplyResponse, DryRunQuery, OwnerList, PageQuery, Problem, RegistryEntry,
    WorkflowList,
};
use bailiwick_core::ids::WorkflowId;

use super::reply::ProblemReply;
use super::request::{Body, Credentials, page};
use crate::authority::Authority;
use crate::fault::Fault;
use crate::model::{OwnerRecord, WorkflowRecord};
use crate::ops::apply::apply as apply_documents;

/// Apply documents: all of them, or none.
#[utoipa::path(
    post, path = "/v1/registry/apply", tag = "registry", request_body = ApplyRequest, params(DryRunQuery),
    responses(
        (status = 200, body = ApplyResponse),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem),
    )
)]
pub(super) async fn apply(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<DryRunQuery>,
    Body(ask): Body<ApplyRequest>,
) -> Result<Json<ApplyResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(apply_documents(&authority, &caller, ask, query.dry_run).await?))
}

/// List owners.
#[utoipa::path(
    get, path = "/v1/owners", tag = "registry", params(PageQuery),
    responses((status = 200, body = OwnerList), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn owners(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<PageQuery>,
) -> Result<Json<OwnerList>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let found = authority.store.owners(page(&authority, query.limit, query.cursor)).await?;
    let owners = found.items.into_iter().map(owner_entry).collect();
    Ok(Json(OwnerList { owners, next_cursor: found.next }))
}

/// List workflows.
#[utoipa::path(
    get, path = "/v1/workflows", tag = "registry", params(PageQuery),
    responses((status = 200, body = WorkflowList), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn workflows(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<PageQuery>,
) -> Result<Json<WorkflowList>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let found = authority.store.workflows(page(&authority, query.limit, query.cursor)).await?;
    let workflows = found.items.iter().map(workflow_entry).collect();
    Ok(Json(WorkflowList { workflows, next_cursor: found.next }))
}

/// Show a workflow.
#[utoipa::path(
    get, path = "/v1/workflows/{id}", tag = "registry", params(("id" = String, Path)),
    responses(
        (status = 200, body = RegistryEntry),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn workflow(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
) -> Result<Json<RegistryEntry>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let id: WorkflowId = id.parse().map_err(|_| Fault::not_found("workflow"))?;
    match authority.store.workflow(&id).await? {
        Some(record) => Ok(Json(workflow_entry(&record))),
        None => Err(Fault::not_found("workflow").into()),
    }
}

fn owner_entry(record: OwnerRecord) -> RegistryEntry {
    RegistryEntry {
        id: record.id,
        version: record.version,
        status: record.status.as_str().to_owned(),
        updated_at: record.updated_ms.into(),
        document: record.document,
    }
}

fn workflow_entry(record: &WorkflowRecord) -> RegistryEntry {
    RegistryEntry {
        id: record.id.to_string(),
        version: record.version,
        status: record.status.as_str().to_owned(),
        updated_at: record.updated_ms.into(),
        document: record.document.clone(),
    }
}
