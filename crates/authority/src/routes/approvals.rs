//! `/v1/approvals`: ask, list, look at, decide. Enforcement points use one up at
//! `/v1/enforcement/approvals/use`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use bailiwick_api::{
    ApprovalList, ApprovalQuery, ApprovalStanding, ApprovalView, AskApprovalRequest,
    DecideApprovalRequest, DecideApprovalResponse, Problem, UseApprovalReply, UseApprovalRequest,
};
use bailiwick_core::ids::ApprovalId;
use bailiwick_core::outcome::Outcome;

use super::reply::ProblemReply;
use super::request::{Body, Credentials, page};
use crate::authority::Authority;
use crate::fault::{Fault, Stop};
use crate::ops::decide_approval::{Verdict, decide_approval};
use crate::ops::{use_approval, view_approval};

/// Ask for an approval, as an enforcement point. The same action asked again is the same question.
#[utoipa::path(
    post, path = "/v1/approvals", tag = "approvals", request_body = AskApprovalRequest,
    responses(
        (status = 200, body = ApprovalStanding), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem),
    )
)]
pub(super) async fn ask(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(body): Body<AskApprovalRequest>,
) -> Result<Json<ApprovalStanding>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(use_approval::ask(&authority, &caller, body).await?))
}

/// Use up the approval that stands for a call, as an enforcement point, for one decision.
#[utoipa::path(
    post, path = "/v1/enforcement/approvals/use", tag = "enforcement",
    request_body = UseApprovalRequest,
    responses(
        (status = 200, body = UseApprovalReply), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem),
    )
)]
pub(super) async fn use_up(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(body): Body<UseApprovalRequest>,
) -> Result<Json<UseApprovalReply>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(use_approval::use_up(&authority, &caller, body).await?))
}

/// List approvals, newest first: those that the caller may decide or has to do with.
#[utoipa::path(
    get, path = "/v1/approvals", tag = "approvals", params(ApprovalQuery),
    responses((status = 200, body = ApprovalList), (status = 401, body = Problem))
)]
pub(super) async fn list(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<ApprovalQuery>,
) -> Result<Json<ApprovalList>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let task = match query.task {
        Some(text) => {
            let malformed = |_| Stop::new(Outcome::Malformed, "task is not an id");
            Some(text.parse().map_err(malformed)?)
        }
        None => None,
    };
    let page = page(&authority, query.limit, query.cursor);
    Ok(Json(view_approval::list(&authority, &caller, (query.state, task), page).await?))
}

/// Show an approval: the canonical bytes of the action, their digest, who, through whom, and why.
#[utoipa::path(
    get, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = String, Path)),
    responses(
        (status = 200, body = ApprovalView), (status = 401, body = Problem),
        (status = 404, body = Problem),
    )
)]
pub(super) async fn show(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
) -> Result<Json<ApprovalView>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let id = approval_id(&id)?;
    Ok(Json(view_approval::show(&authority, &caller, id).await?))
}

fn approval_id(text: &str) -> Result<ApprovalId, ProblemReply> {
    text.parse().map_err(|_| Fault::not_found("approval").into())
}

macro_rules! decide {
    ($(#[$doc:meta])* $name:ident, $path:literal, $approve:expr) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "approvals", params(("id" = String, Path)),
            request_body = DecideApprovalRequest,
            responses(
                (status = 200, body = DecideApprovalResponse),
                (status = 401, body = Problem), (status = 403, body = Problem),
                (status = 404, body = Problem), (status = 409, body = Problem),
                (status = 429, body = Problem),
            )
        )]
        pub(super) async fn $name(
            State(authority): State<Arc<Authority>>,
            credentials: Credentials,
            Path(id): Path<String>,
            Body(body): Body<DecideApprovalRequest>,
        ) -> Result<Json<DecideApprovalResponse>, ProblemReply> {
            let caller = credentials.caller(&authority).await?;
            let verdict = Verdict { id: approval_id(&id)?, approve: $approve, body };
            Ok(Json(decide_approval(&authority, &caller, verdict).await?))
        }
    };
}

decide! {
    /// Approve exactly the action of this digest. It may be done once.
    approve, "/v1/approvals/{id}/approve", true
}
decide! {
    /// Refuse exactly the action of this digest. Asking again in a while is of no use.
    refuse, "/v1/approvals/{id}/refuse", false
}
