//! The management listener: `/live`, `/ready`, `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::metrics::CONTENT_TYPE;

/// The management service.
pub(crate) fn router(authority: &Arc<Authority>) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(authority.clone())
}

async fn live() -> &'static str {
    "live\n"
}

/// Ready means: it issues and decides. Anything that makes it refuse is named here.
async fn ready(State(authority): State<Arc<Authority>>) -> Response {
    let mut problems: Vec<Value> = Vec::new();
    if let Err(error) = authority.store.probe().await {
        problems.push(json!({"check": "store", "detail": error.to_string()}));
    }
    if !authority.clock.is_sound() {
        let detail =
            format!("the clock is {} ms behind what it has seen", authority.clock.lag_ms());
        problems.push(json!({"check": "clock", "detail": detail}));
    }
    if authority.policy.current().policies().count() == 0 {
        problems
            .push(json!({"check": "policy", "detail": "the policy set is empty: all is denied"}));
    }
    let ready = problems.is_empty();
    authority.metrics.set_ready(ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "problems": problems}))).into_response()
}

async fn metrics(State(authority): State<Arc<Authority>>) -> Response {
    authority.metrics.set_ledger_entries(authority.store.ledger_size());
    if let Ok(open) = authority.store.open_tasks().await {
        authority.metrics.set_tasks_open(open);
    }
    authority.metrics.set_clock_lag(Duration::from_millis(authority.clock.lag_ms()));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], authority.metrics.encode()).into_response()
}
