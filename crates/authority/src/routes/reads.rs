//! `/v1/enforcement/tasks/{id}/reads` and `/exposure`: what a task has read.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use bailiwick_api::Problem;
use bailiwick_api::enforcement::reads::{
    ExposureReply, ExposureReport, ReadsPage, ReadsQuery, ReadsReceived, ReadsReport,
};
use bailiwick_core::ids::TaskId;
use bailiwick_core::outcome::Outcome;

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::fault::{Fault, Stop};
use crate::ops::reads;

fn task_id(text: &str) -> Result<TaskId, Fault> {
    text.parse().map_err(|_| Fault::not_found("task"))
}

/// What allowed reads of the task returned: makes the values admissible for `from_read`.
#[utoipa::path(
    post, path = "/v1/enforcement/tasks/{id}/reads", tag = "enforcement",
    params(("id" = String, Path)), request_body = ReadsReport,
    responses(
        (status = 200, body = ReadsReceived), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn create(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
    Body(report): Body<ReadsReport>,
) -> Result<Json<ReadsReceived>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let point = caller.require_enforcement_point()?;
    Ok(Json(reads::report_reads(&authority, point, task_id(&id)?, report).await?))
}

/// What the task has read, as digests under its salt, oldest first.
#[utoipa::path(
    get, path = "/v1/enforcement/tasks/{id}/reads", tag = "enforcement",
    params(("id" = String, Path), ReadsQuery),
    responses(
        (status = 200, body = ReadsPage), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
    )
)]
pub(super) async fn list(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
    query: Result<Query<ReadsQuery>, QueryRejection>,
) -> Result<Json<ReadsPage>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let point = caller.require_enforcement_point()?;
    let Query(query) =
        query.map_err(|rejection| Stop::new(Outcome::Malformed, rejection.body_text()))?;
    Ok(Json(reads::reads_after(&authority, point, task_id(&id)?, query.after).await?))
}

/// The task is about to read something this sensitive. What it has read before does not get less.
#[utoipa::path(
    post, path = "/v1/enforcement/tasks/{id}/exposure", tag = "enforcement",
    params(("id" = String, Path)), request_body = ExposureReport,
    responses(
        (status = 200, body = ExposureReply), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn expose(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
    Body(report): Body<ExposureReport>,
) -> Result<Json<ExposureReply>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let point = caller.require_enforcement_point()?;
    Ok(Json(reads::expose(&authority, point, task_id(&id)?, &report).await?))
}
