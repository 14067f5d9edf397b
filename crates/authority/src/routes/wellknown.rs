//! What anybody may read: metadata, keys, status lists, problem pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bailiwick_api::{
    DETAIL_TYPE_DELEGATION, DETAIL_TYPE_TASK, GRANT_TYPE_TOKEN_EXCHANGE, JwkSet, Problem,
    ProblemCode, ServerMetadata,
};
use bailiwick_identity::PROOF_ALGORITHMS;
use serde_json::{Value, json};

use super::reply::ProblemReply;
use crate::authority::Authority;
use crate::fault::{Fault, Stop};
use crate::keys::KeysError;
use crate::status_list::{self, StatusList};

/// Authorization server metadata (RFC 8414).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "discovery",
    responses((status = 200, body = ServerMetadata))
)]
pub(super) async fn metadata(State(authority): State<Arc<Authority>>) -> Json<ServerMetadata> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Json(ServerMetadata {
        issuer: authority.config.issuer.clone(),
        token_endpoint: authority.url("/oauth/token"),
        jwks_uri: authority.url("/.well-known/jwks.json"),
        introspection_endpoint: authority.url("/oauth/introspect"),
        revocation_endpoint: authority.url("/oauth/revoke"),
        response_types_supported: Vec::new(),
        grant_types_supported: texts(&[GRANT_TYPE_TOKEN_EXCHANGE]),
        token_endpoint_auth_methods_supported: texts(&["none"]),
        dpop_signing_alg_values_supported: texts(&PROOF_ALGORITHMS),
        authorization_details_types_supported: texts(&[DETAIL_TYPE_TASK, DETAIL_TYPE_DELEGATION]),
        service_documentation: Some(authority.url("/openapi.json")),
        status_list_aggregation_endpoint: None,
        bailiwick_ledger: Some(authority.url("/ledger")),
        bailiwick_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        bailiwick_dev: authority.config.dev,
    })
}

/// The keys that tokens verify with (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "discovery", responses((status = 200, body = JwkSet))
)]
pub(super) async fn jwks(State(authority): State<Arc<Authority>>) -> Response {
    cached(authority.keys.jwks(authority.clock.now()))
}

/// The keys that status lists verify with.
#[utoipa::path(
    get, path = "/.well-known/status-list-jwks.json", tag = "discovery",
    responses((status = 200, body = JwkSet))
)]
pub(super) async fn status_list_keys(State(authority): State<Arc<Authority>>) -> Response {
    cached(authority.keys.status_list_jwks(authority.clock.now()))
}

fn cached(keys: Value) -> Response {
    let mut response = Json(keys).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// AuthZEN policy decision point metadata.
#[utoipa::path(
    get, path = "/.well-known/authzen-configuration", tag = "discovery",
    responses((status = 200, body = Object))
)]
pub(super) async fn authzen(State(authority): State<Arc<Authority>>) -> Json<Value> {
    Json(json!({
        "policy_decision_point": authority.config.issuer,
        "access_evaluation_endpoint": authority.url("/access/v1/evaluation"),
        "access_evaluations_endpoint": authority.url("/access/v1/evaluations"),
    }))
}

/// A status list (Token Status List): one bit a token, 1 when revoked.
#[utoipa::path(
    get, path = "/status-lists/{list}", tag = "discovery", params(("list" = u64, Path)),
    responses(
        (status = 200, body = String, content_type = "application/statuslist+jwt"),
        (status = 404, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn status_list(
    State(authority): State<Arc<Authority>>,
    Path(list): Path<u64>,
) -> Result<Response, ProblemReply> {
    let bits = authority.store.revoked_status_bits(list).await?;
    if bits.is_empty() && list > 0 {
        return Err(Fault::not_found("status list").into());
    }
    let signed = sign_list(&authority, list, &bits).map_err(|error| {
        tracing::error!(%error, "the status list could not be signed");
        Stop::new(ProblemCode::Internal, "the status list could not be signed")
    })?;
    let mut response = signed.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/statuslist+jwt"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=15"));
    Ok(response)
}

/// Seconds a verifier may use a list before it fetches it again: how late a revocation may arrive at
/// one that reads nothing else.
const STATUS_TTL_SECONDS: u64 = 15;
/// Seconds after which a list must not be used any more.
const STATUS_LIFE_SECONDS: u64 = 60;

fn sign_list(authority: &Authority, list: u64, bits: &[u8]) -> Result<String, KeysError> {
    let signer = authority.keys.active_status_list_signer()?;
    let uri = authority.url(&format!("/status-lists/{list}"));
    let list = StatusList::from_bits(bits);
    let now = authority.clock.now();
    let signed =
        status_list::sign(&list, &uri, &signer, now, STATUS_TTL_SECONDS, STATUS_LIFE_SECONDS)?;
    Ok(signed)
}

/// What a code means and what to do.
pub(super) async fn problem(Path(code): Path<String>) -> Result<Json<Value>, ProblemReply> {
    match ProblemCode::from_code(&code) {
        Some(code) => Ok(Json(json!({
            "code": code.code(), "title": code.title(), "remedy": code.remedy(),
            "status": code.status(),
        }))),
        None => Err(Fault::not_found("problem").into()),
    }
}
