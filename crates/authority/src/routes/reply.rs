//! How a refusal is told: RFC 9457 problems, and RFC 6749 errors at the OAuth endpoints.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bailiwick_api::{OAuthError, PROBLEM_JSON, Problem, ProblemCode};
use bailiwick_core::crypto;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::fault::{Fault, Stop};

/// A refusal as a problem.
#[derive(Debug)]
pub(crate) struct ProblemReply(pub(crate) Fault);

/// A refusal as an OAuth error.
#[derive(Debug)]
pub(crate) struct OAuthReply(pub(crate) Fault);

impl From<Fault> for ProblemReply {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<Stop> for ProblemReply {
    fn from(stop: Stop) -> Self {
        Self(stop.into_fault())
    }
}

impl From<crate::store::StoreError> for ProblemReply {
    fn from(error: crate::store::StoreError) -> Self {
        Self(error.into())
    }
}

impl From<Fault> for OAuthReply {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<Stop> for OAuthReply {
    fn from(stop: Stop) -> Self {
        Self(stop.into_fault())
    }
}

impl IntoResponse for ProblemReply {
    fn into_response(self) -> Response {
        let trace_id = log(&self.0);
        let mut problem = Problem::new(self.0.code, self.0.detail).with_trace(trace_id);
        if let Some(decision) = self.0.decision {
            problem = problem.with_decision(decision);
        }
        if self.0.nonce_required {
            // Not a refusal but a challenge (RFC 9449 §9), named alike in body and header.
            "use_dpop_nonce".clone_into(&mut problem.code);
        }
        let status = status(problem.status);
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        challenge(&self.0.code, self.0.nonce_required, status, headers);
        response
    }
}

impl IntoResponse for OAuthReply {
    fn into_response(self) -> Response {
        let trace_id = log(&self.0);
        let mut error = if self.0.nonce_required {
            OAuthError::use_dpop_nonce()
        } else {
            OAuthError::new(self.0.code, self.0.detail)
        };
        if self.0.of_proof {
            error = error.of_proof();
        }
        error = error.with_trace(trace_id);
        if let Some(decision) = self.0.decision {
            error = error.with_decision(decision);
        }
        let status = status(error.status());
        let mut response = (status, Json(error)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        challenge(&self.0.code, false, status, headers);
        response
    }
}

fn challenge(
    code: &ProblemCode,
    nonce_required: bool,
    status: StatusCode,
    headers: &mut axum::http::HeaderMap,
) {
    if nonce_required {
        let value = HeaderValue::from_static("DPoP error=\"use_dpop_nonce\"");
        headers.insert(header::WWW_AUTHENTICATE, value);
    } else if status == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("DPoP algs=\"Ed25519 EdDSA ES256\", Bearer");
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    let again =
        matches!(code, ProblemCode::RateLimited) || status == StatusCode::SERVICE_UNAVAILABLE;
    if again {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// One line of log for a refusal, under a name that the caller is told.
fn log(fault: &Fault) -> String {
    let mut random = [0; 12];
    let trace_id = match crypto::fill_random(&mut random) {
        Ok(()) => URL_SAFE_NO_PAD.encode(random),
        Err(_) => "none".to_owned(),
    };
    // A recorded refusal has had its own line already.
    if fault.decision.is_none() {
        tracing::info!(code = fault.code.code(), trace_id, detail = %fault.detail, "request refused");
    } else {
        tracing::debug!(code = fault.code.code(), trace_id, "request refused");
    }
    trace_id
}

/// No such path.
pub(crate) async fn not_found() -> ProblemReply {
    ProblemReply(Fault::new(ProblemCode::NotFound, "there is no such path; see /openapi.json"))
}

/// The path does not answer to this method.
pub(crate) async fn method_not_allowed() -> ProblemReply {
    ProblemReply(Fault::new(ProblemCode::MethodNotAllowed, "see /openapi.json for the methods"))
}
