//! How a refusal is told: RFC 9457 problems, or the error of the protocol that asked.

use bailiwick_api::{PROBLEM_JSON, Problem, ProblemCode};
use bailiwick_core::crypto;
use bailiwick_identity::PROOF_ALGORITHMS;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::a2a;
use crate::attempt::Refused;
use crate::call::RefusalForm;
use crate::gateway::Gateway;
use crate::route::{Adapter, Route};
use crate::stream::{Body, full};

/// Where a protected resource describes itself (RFC 9728 §3).
const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";
/// This gateway's public provenance key, for others to pin.
const PROVENANCE_KEY: &str = "/.well-known/bailiwick-provenance.jwk";
/// JSON-RPC error code of a refusal in MCP. Outside of -32768 to -32000, where JSON-RPC, MCP and its
/// SDKs have meanings of their own (-32001 is a time-out in one).
pub(crate) const JSON_RPC_REFUSED: i64 = -31_403;

/// The refusal as a response. Every one carries a fresh nonce when proofs need one.
pub(crate) fn respond(
    gateway: &Gateway,
    route: Option<&Route>,
    form: &RefusalForm,
    refused: Refused,
) -> Response<Body> {
    let trace_id = trace_id();
    let nonce_required = refused.nonce_required;
    tracing::debug!(code = refused.code.code(), trace_id, "request refused");
    let mut problem = Problem::new(refused.code, refused.detail).with_trace(trace_id);
    if let Some(decision) = refused.decision {
        problem = problem.with_decision(decision);
    }
    if nonce_required {
        // Not a refusal but a challenge (RFC 9449 §9), named alike in body and header.
        "use_dpop_nonce".clone_into(&mut problem.code);
    }
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = serde_json::to_value(&problem).unwrap_or(Value::Null);
    if let Some(members) = body.as_object_mut() {
        members.extend(*refused.extra);
    }
    // Who one is, is told by HTTP (MCP authorization); what one may do, by the protocol.
    let in_band = status != StatusCode::UNAUTHORIZED && status.as_u16() < 500;
    let (status, media, body) = match form {
        RefusalForm::JsonRpc(id) if in_band => {
            let message = body.get("detail").or(body.get("title")).cloned().unwrap_or_default();
            let error = json!({ "code": JSON_RPC_REFUSED, "message": message, "data": body });
            let reply = json!({ "jsonrpc": "2.0", "id": id, "error": error });
            (StatusCode::OK, "application/json", reply)
        }
        RefusalForm::A2a { id, error } => {
            a2a::told(id.as_ref(), *error, refused.code, status, &body)
        }
        RefusalForm::JsonRpcFault { id, code, status } => {
            let message = body.get("detail").cloned().unwrap_or_default();
            let error = json!({ "code": code, "message": message, "data": body });
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, "application/json", json!({ "jsonrpc": "2.0", "id": id, "error": error }))
        }
        _ => (status, PROBLEM_JSON, body),
    };
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        challenge(gateway, route, nonce_required, headers);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE || refused.code == ProblemCode::RateLimited {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn challenge(
    gateway: &Gateway,
    route: Option<&Route>,
    nonce_required: bool,
    headers: &mut http::HeaderMap,
) {
    let mut value = format!("DPoP algs=\"{}\"", PROOF_ALGORITHMS.join(" "));
    if nonce_required {
        value.push_str(", error=\"use_dpop_nonce\"");
    }
    if let Some(route) = route {
        let url = &gateway.config.public_url;
        value
            .push_str(&format!(", resource_metadata=\"{url}{RESOURCE_METADATA}{}\"", route.prefix));
    }
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    let nonce = gateway.nonces.current(gateway.clock.now());
    if let Ok(nonce) = HeaderValue::from_str(&nonce) {
        headers.insert("dpop-nonce", nonce);
    }
}

/// RFC 9728: what protects a route, told to anybody.
pub(crate) fn well_known(gateway: &Gateway, parts: &Parts) -> Option<Response<Body>> {
    if parts.method != http::Method::GET {
        return None;
    }
    if parts.uri.path() == PROVENANCE_KEY {
        return Some(json_reply(&gateway.carry.public_key()));
    }
    let path = parts.uri.path().strip_prefix(RESOURCE_METADATA)?;
    let (route, _) = gateway.routes.find(if path.is_empty() { "/" } else { path })?;
    let public = &gateway.config.public_url;
    let mut document = json!({
        "resource": format!("{public}{}", route.prefix),
        "resource_name": &*route.name,
        "authorization_servers": [gateway.config.authority.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_bound_access_tokens_required": true,
        "dpop_signing_alg_values_supported": PROOF_ALGORITHMS,
        "tls_client_certificate_bound_access_tokens": gateway.config.tls.is_some(),
        "authorization_details_types_supported": [bailiwick_api::DETAIL_TYPE_DELEGATION],
        "bailiwick_audience": route.audience,
    });
    if let (Adapter::Mcp(mcp), Some(members)) = (&route.adapter, document.as_object_mut()) {
        members.insert("scopes_supported".to_owned(), mcp.scopes().into());
    }
    Some(json_reply(&document))
}

fn json_reply(document: &Value) -> Response<Body> {
    let mut response = Response::new(full(document.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn trace_id() -> String {
    let mut random = [0; 12];
    match crypto::fill_random(&mut random) {
        Ok(()) => URL_SAFE_NO_PAD.encode(random),
        Err(_) => "none".to_owned(),
    }
}
