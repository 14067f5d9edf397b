//! `/v1/revocations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use bailiwick_api::enforcement::closure::ClosureQuery;
use bailiwick_api::{Problem, RevocationRequest, RevocationResponse};

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::ops::revoke::revoke;

/// Revoke a task, a token with everything below it, or what an agent holds; or preview it.
#[utoipa::path(
    post, path = "/v1/revocations", tag = "revocations", request_body = RevocationRequest,
    params(ClosureQuery),
    responses(
        (status = 200, body = RevocationResponse),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn create(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<ClosureQuery>,
    Body(ask): Body<RevocationRequest>,
) -> Result<Json<RevocationResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(revoke(&authority, &caller, ask, query.wait_ms).await?))
}
