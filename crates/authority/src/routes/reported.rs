//! `/v1/enforcement/receipts`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use bailiwick_api::Problem;
use bailiwick_api::enforcement::receipts::{ReceiptsReply, ReceiptsRequest};

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::ops::report::report;

/// Take what a gateway recorded into the ledger, in order and once.
#[utoipa::path(
    post, path = "/v1/enforcement/receipts", tag = "enforcement", request_body = ReceiptsRequest,
    responses(
        (status = 200, body = ReceiptsReply), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn create(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    request: Request,
) -> Result<Json<ReceiptsReply>, ProblemReply> {
    // A stranger's megabytes are not read.
    let caller = credentials.caller(&authority).await?;
    caller.require_enforcement_point()?;
    let Body(ask) = Body::from_request(request, &authority).await?;
    Ok(Json(report(&authority, &caller, ask).await?))
}
