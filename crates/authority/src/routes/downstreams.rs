//! `/v1/enforcement/downstreams` and `/v1/gap`: what stands behind gateways, and how much of it is
//! justified.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use bailiwick_api::enforcement::downstreams::{DownstreamsReply, DownstreamsReport};
use bailiwick_api::{GapQuery, GapReport, Problem};
use bailiwick_core::outcome::Outcome;

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::fault::Stop;
use crate::ops;

/// Every route of a gateway: binding, owner, what its credential can do and what its operations take
/// of it. Recorded when it is another declaration than the one before.
#[utoipa::path(
    post, path = "/v1/enforcement/downstreams", tag = "enforcement", request_body = DownstreamsReport,
    responses(
        (status = 200, body = DownstreamsReply), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn declare(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(report): Body<DownstreamsReport>,
) -> Result<Json<DownstreamsReply>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let point = caller.require_enforcement_point()?;
    Ok(Json(ops::downstreams::declare(&authority, point, report).await?))
}

/// What credentials can do at their vendors minus what decisions justified, and the calls that went
/// where nothing binds a chain. For operators.
#[utoipa::path(
    get, path = "/v1/gap", tag = "gap", params(GapQuery),
    responses(
        (status = 200, body = GapReport), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 413, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn gap(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    query: Result<Query<GapQuery>, QueryRejection>,
) -> Result<Json<GapReport>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let Query(query) =
        query.map_err(|rejection| Stop::new(Outcome::Malformed, rejection.body_text()))?;
    Ok(Json(ops::gap::gap(&authority, query).await?))
}
