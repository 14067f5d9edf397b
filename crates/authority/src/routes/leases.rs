//! `/v1/enforcement/leases`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bailiwick_api::Problem;
use bailiwick_api::enforcement::leases::{
    LeaseReply, LeaseRequest, LeaseReturnReply, LeaseReturnRequest,
};

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::ops::lease::{lease, take_back};

/// Hand a gateway a part of the budgets that a call draws on.
#[utoipa::path(
    post, path = "/v1/enforcement/leases", tag = "enforcement", request_body = LeaseRequest,
    responses(
        (status = 200, body = LeaseReply), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem),
    )
)]
pub(super) async fn create(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(ask): Body<LeaseRequest>,
) -> Result<Json<LeaseReply>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(lease(&authority, &caller, ask).await?))
}

/// Take back leases; what was not drawn on them goes to their budgets.
#[utoipa::path(
    post, path = "/v1/enforcement/leases/return", tag = "enforcement",
    request_body = LeaseReturnRequest,
    responses(
        (status = 200, body = LeaseReturnReply), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn take(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(ask): Body<LeaseReturnRequest>,
) -> Result<Json<LeaseReturnReply>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(take_back(&authority, &caller, ask).await?))
}
