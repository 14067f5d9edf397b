//! AuthZEN 1.0: `/access/v1/evaluation` and `/access/v1/evaluations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bailiwick_api::{
    EvaluationRequest, EvaluationResponse, EvaluationsRequest, EvaluationsResponse,
    EvaluationsSemantic, Problem,
};
use bailiwick_core::outcome::Outcome;

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::clock::Stopwatch;
use crate::fault::Stop;
use crate::metrics::Operation;
use crate::ops::evaluate::evaluate;

/// Evaluations in one request.
const EVALUATIONS_MAX: usize = 64;

/// May this token do this action with these arguments now?
#[utoipa::path(
    post, path = "/access/v1/evaluation", tag = "evaluation", request_body = EvaluationRequest,
    responses(
        (status = 200, body = EvaluationResponse, description = "Yes or no; both are recorded"),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn one(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(ask): Body<EvaluationRequest>,
) -> Result<Json<EvaluationResponse>, ProblemReply> {
    let watch = Stopwatch::start();
    let caller = credentials.caller(&authority).await?;
    let answer = evaluate(&authority, &caller, ask).await?;
    authority.metrics.took(Operation::Evaluate, watch.elapsed());
    Ok(Json(answer))
}

/// Several evaluations in one request, in order.
#[utoipa::path(
    post, path = "/access/v1/evaluations", tag = "evaluation", request_body = EvaluationsRequest,
    responses(
        (status = 200, body = EvaluationsResponse),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    )
)]
pub(super) async fn many(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(ask): Body<EvaluationsRequest>,
) -> Result<Json<EvaluationsResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    if ask.evaluations.len() > EVALUATIONS_MAX {
        let detail = format!("at most {EVALUATIONS_MAX} evaluations in one request");
        return Err(Stop::new(Outcome::Malformed, detail).into());
    }
    let semantic = ask.options.evaluations_semantic;
    let asked = ask.resolve().map_err(|error| Stop::new(Outcome::Malformed, error.to_string()))?;
    let mut evaluations = Vec::with_capacity(asked.len());
    for one in asked {
        let answer = evaluate(&authority, &caller, one).await?;
        let stop = match semantic {
            EvaluationsSemantic::ExecuteAll => false,
            EvaluationsSemantic::DenyOnFirstDeny => !answer.decision,
            EvaluationsSemantic::PermitOnFirstPermit => answer.decision,
        };
        evaluations.push(answer);
        if stop {
            break;
        }
    }
    Ok(Json(EvaluationsResponse { evaluations }))
}
