//! `/v1/policies`: the set in force, and its replacement.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use bailiwick_api::{
    DryRunQuery, PolicySetView, PolicyView, Problem, PutPoliciesRequest, PutPoliciesResponse,
};

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::ops::policies::put_policies;

/// The policy set in force, without its text.
#[utoipa::path(
    get, path = "/v1/policies", tag = "policies",
    responses((status = 200, body = PolicySetView), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn show(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
) -> Result<Json<PolicySetView>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let set = authority.policy.current();
    let policies = set
        .policies()
        .map(|policy| PolicyView {
            id: policy.id().to_owned(),
            effect: policy.effect().to_owned(),
            annotations: policy.annotations().clone(),
            file: policy.file().to_owned(),
            line: u32::try_from(policy.line()).unwrap_or(u32::MAX),
        })
        .collect();
    Ok(Json(PolicySetView { hash: set.hash().to_owned(), policies }))
}

/// Put a whole policy set in force; one that does not validate changes nothing.
#[utoipa::path(
    post, path = "/v1/policies", tag = "policies", request_body = PutPoliciesRequest, params(DryRunQuery),
    responses(
        (status = 200, body = PutPoliciesResponse),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    )
)]
pub(super) async fn put(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<DryRunQuery>,
    Body(ask): Body<PutPoliciesRequest>,
) -> Result<Json<PutPoliciesResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(put_policies(&authority, &caller, ask, query.dry_run).await?))
}
