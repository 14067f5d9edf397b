//! `/v1/trace/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use bailiwick_api::{Problem, TraceTree};

use super::reply::ProblemReply;
use super::request::Credentials;
use crate::authority::Authority;
use crate::ops::trace::trace;

/// From a task, token, decision or ledger index to the whole tree.
#[utoipa::path(
    get, path = "/v1/trace/{id}", tag = "trace", params(("id" = String, Path)),
    responses((status = 200, body = TraceTree), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn show(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
) -> Result<Json<TraceTree>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(trace(&authority, &caller, &id).await?))
}
