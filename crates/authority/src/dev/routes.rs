//! `POST /dev/subject-token` and `POST /dev/svid`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bailiwick_api::dev::{DevSubjectTokenRequest, DevSvidRequest, DevTokenResponse};
use bailiwick_api::problem::{Problem, ProblemCode};
use bailiwick_core::outcome::Outcome;
use serde::de::DeserializeOwned;

use super::{DevDomain, LIFE_SECONDS, MintError};
use crate::clock::Clock;

/// Most bytes of a request.
const BODY_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone)]
struct Shared {
    domain: Arc<DevDomain>,
    clock: Clock,
}

/// The two routes. Mount it on the public listener, under `serve --dev` only.
pub fn router(domain: Arc<DevDomain>, clock: Clock) -> Router {
    Router::new()
        .route("/dev/subject-token", post(subject_token))
        .route("/dev/svid", post(svid))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Shared { domain, clock })
}

async fn subject_token(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let request: DevSubjectTokenRequest = accept(&uri, &headers, &body)?;
    let now = shared.clock.now();
    let audience = request.audience.as_deref();
    let minted = shared.domain.mint_subject_token(&request.subject, &request.groups, audience, now);
    Ok(answer(minted?))
}

async fn svid(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let request: DevSvidRequest = accept(&uri, &headers, &body)?;
    let now = shared.clock.now();
    let minted = shared.domain.mint_svid(&request.spiffe_id, request.audience.as_deref(), now);
    Ok(answer(minted?))
}

/// A request that a web page in a browser on this machine cannot have made: no `Origin` or
/// `Sec-Fetch-Site`, a media type that needs a preflight, and a `Host` that is loopback, which a
/// rebound DNS name is not.
fn accept<T: DeserializeOwned>(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<T, Refusal> {
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(Refusal::Browser("requests from web pages are not served here"));
    }
    let host = match (uri.authority(), headers.get(HOST)) {
        (Some(authority), _) => Some(authority.as_str()),
        (None, Some(host)) => host.to_str().ok(),
        (None, None) => None,
    };
    if !host.is_some_and(is_loopback_host) {
        return Err(Refusal::Browser("the Host must be localhost, 127.0.0.1 or [::1]"));
    }
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = media.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::MediaType);
    }
    serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost")
}

fn answer(token: String) -> Response {
    let body = DevTokenResponse { token, expires_in: Some(LIFE_SECONDS) };
    ([("cache-control", "no-store")], axum::Json(body)).into_response()
}

enum Refusal {
    Browser(&'static str),
    MediaType,
    Malformed(String),
}

impl From<MintError> for Refusal {
    fn from(error: MintError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Browser(detail) => Problem::new(ProblemCode::RoleRequired, detail),
            Self::MediaType => Problem::new(
                ProblemCode::UnsupportedMediaType,
                "send JSON: content-type: application/json",
            ),
            Self::Malformed(detail) => Problem::new(Outcome::Malformed, detail),
        };
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(problem)).into_response();
        let media = axum::http::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, media);
        response
    }
}
