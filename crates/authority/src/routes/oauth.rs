//! `/oauth/token`, `/oauth/introspect`, `/oauth/revoke`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bailiwick_api::{
    DETAIL_TYPE_TASK, GRANT_TYPE_TOKEN_EXCHANGE, IntrospectionResponse, OAuthError,
    RevocationRequest, RevocationTarget, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_GRANT,
    TOKEN_TYPE_ID_TOKEN, TOKEN_TYPE_JWT, TaskDetail, TokenParameter, TokenRequest, TokenResponse,
};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::token::HolderBinding;

use super::reply::{OAuthReply, ProblemReply};
use super::request::{Credentials, OAuthForm};
use crate::authority::Authority;
use crate::clock::Stopwatch;
use crate::fault::{Fault, Stop};
use crate::metrics::Operation;
use crate::ops::introspect::introspect as introspect_token;
use crate::ops::open_task::{OpenTask, open_task};
use crate::ops::renew::{Renew, renew};
use crate::ops::revoke::revoke as revoke_target;
use crate::ops::settle::{Settle, settle};
use crate::spine::Issued;

/// Exchange a token: open a task, settle a grant, renew or re-audience a hop token (RFC 8693).
#[utoipa::path(
    post, path = "/oauth/token", tag = "oauth",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    params(("DPoP" = String, Header, description = "Proof of the holder's key (RFC 9449)")),
    responses(
        (status = 200, body = TokenResponse, description = "The hop token, recorded and signed"),
        (status = 400, body = OAuthError, description = "Refused, or a nonce is required"),
        (status = 401, body = OAuthError, description = "The agent's identity was not accepted"),
        (status = 503, body = OAuthError, description = "Failed closed; nothing was issued"),
    )
)]
pub(super) async fn token(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    OAuthForm(form): OAuthForm<TokenRequest>,
) -> Result<Response, OAuthReply> {
    if form.grant_type != GRANT_TYPE_TOKEN_EXCHANGE {
        let detail = format!("grant_type must be {GRANT_TYPE_TOKEN_EXCHANGE}");
        return Ok(unsupported(bailiwick_api::UnsupportedParameter::GrantType, detail));
    }
    let requested = form.requested_token_type.as_deref().unwrap_or(TOKEN_TYPE_ACCESS_TOKEN);
    let actor_type = form.actor_token_type.as_deref().unwrap_or(TOKEN_TYPE_JWT);
    if requested != TOKEN_TYPE_ACCESS_TOKEN || actor_type != TOKEN_TYPE_JWT {
        let detail = format!(
            "requested_token_type must be {TOKEN_TYPE_ACCESS_TOKEN} and actor_token_type {TOKEN_TYPE_JWT}"
        );
        return Ok(unsupported(bailiwick_api::UnsupportedParameter::Other, detail));
    }
    let Some(subject_token) = form.subject_token.as_deref() else {
        return Err(missing("subject_token is missing").into());
    };
    let watch = Stopwatch::start();
    let presented = credentials.presented(form.actor_token.as_deref());
    let (issued, operation) = match form.subject_token_type.as_deref() {
        Some(TOKEN_TYPE_GRANT) => {
            if form.scope.is_some() {
                return Err(missing("a hop's scopes are the grant's: leave scope out").into());
            }
            let audience = form.audience.as_deref();
            let ask = Settle { grant: subject_token, audience, presented };
            (settle(&authority, ask).await?, Operation::Settle)
        }
        Some(TOKEN_TYPE_ACCESS_TOKEN) => {
            if form.scope.is_some() {
                return Err(missing("a renewal keeps its scopes: leave scope out").into());
            }
            let ask = Renew { token: subject_token, presented, audience: form.audience.as_deref() };
            (renew(&authority, ask).await?, Operation::Renew)
        }
        Some(TOKEN_TYPE_ID_TOKEN | TOKEN_TYPE_JWT) => {
            let detail = task_detail(form.authorization_details.as_deref())?;
            let ask = OpenTask {
                subject_token,
                presented,
                workflow: &detail.workflow,
                parameters: detail.parameters,
                purpose: detail.purpose.as_deref(),
                audience: form.audience.as_deref(),
                scope: form.scope.as_deref(),
            };
            (open_task(&authority, ask).await?, Operation::OpenTask)
        }
        _ => {
            let detail = format!(
                "subject_token_type must be {TOKEN_TYPE_ID_TOKEN} or {TOKEN_TYPE_JWT} to open a task, \
                 {TOKEN_TYPE_GRANT} to settle, {TOKEN_TYPE_ACCESS_TOKEN} to renew"
            );
            return Ok(unsupported(bailiwick_api::UnsupportedParameter::Other, detail));
        }
    };
    authority.metrics.took(operation, watch.elapsed());
    Ok(issued_response(issued))
}

fn task_detail(details: Option<&str>) -> Result<TaskDetail, Stop> {
    let wanted = "authorization_details must be one JSON object of type bailiwick_task in an array, \
                  such as [{\"type\":\"bailiwick_task\",\"workflow\":\"…\",\"parameters\":{…}}]";
    let Some(details) = details else { return Err(missing(wanted)) };
    let mut parsed: Vec<TaskDetail> = serde_json::from_str(details)
        .map_err(|error| Stop::new(Outcome::Malformed, format!("{wanted}: {error}")))?;
    match (parsed.pop(), parsed.is_empty()) {
        (Some(detail), true) if detail.detail_type == DETAIL_TYPE_TASK => Ok(detail),
        _ => Err(missing(wanted)),
    }
}

fn missing(what: &str) -> Stop {
    Stop::new(Outcome::Malformed, what)
}

fn unsupported(parameter: bailiwick_api::UnsupportedParameter, detail: String) -> Response {
    let error = OAuthError::unsupported(parameter, detail);
    (axum::http::StatusCode::BAD_REQUEST, Json(error)).into_response()
}

/// The answer to a successful exchange.
pub(super) fn issued_response(issued: Issued) -> Response {
    let claims = &issued.claims;
    let body = TokenResponse {
        access_token: issued.token.compact,
        issued_token_type: TOKEN_TYPE_ACCESS_TOKEN.to_owned(),
        token_type: match claims.cnf {
            HolderBinding::Jkt(_) => "DPoP".to_owned(),
            HolderBinding::X5tS256(_) => "N_A".to_owned(),
        },
        expires_in: u64::try_from(claims.exp.saturating_sub(claims.iat)).unwrap_or(0),
        scope: claims.authority.scopes.to_string(),
        authorization_details: vec![claims.authority.clone()],
        task_id: claims.txn,
        jti: claims.jti,
        decision_id: issued.decision,
        ledger_index: issued.index.0,
    };
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Introspect a token (RFC 7662): operators, enforcement points and the token's holder.
#[utoipa::path(
    post, path = "/oauth/introspect", tag = "oauth",
    request_body(content = TokenParameter, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = IntrospectionResponse),
        (status = 401, body = bailiwick_api::Problem),
    )
)]
pub(super) async fn introspect(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    OAuthForm(form): OAuthForm<TokenParameter>,
) -> Result<Json<IntrospectionResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    Ok(Json(introspect_token(&authority, &caller, &form.token).await?))
}

/// Revoke a token and everything below it (RFC 7009). Unknown tokens are no error.
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "oauth",
    request_body(content = TokenParameter, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is dead, or was never alive"),
        (status = 401, body = bailiwick_api::Problem),
    )
)]
pub(super) async fn revoke(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    OAuthForm(form): OAuthForm<TokenParameter>,
) -> Result<(), ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let Ok(chain) = authority.verify_own(&form.token, authority.clock.now()) else { return Ok(()) };
    let ask = RevocationRequest {
        target: RevocationTarget::Jti(chain.claims().jti),
        reason: "revoked by token".to_owned(),
        dry_run: false,
    };
    // Nobody reads a report here (RFC 7009 §2.2).
    match revoke_target(&authority, &caller, ask, Some(0)).await {
        Ok(_) => Ok(()),
        // RFC 7009 §2.2: what is not there, or not the caller's, is answered alike.
        Err(Fault { code: bailiwick_api::ProblemCode::NotFound, .. }) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}
