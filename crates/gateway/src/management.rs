//! The management listener: `/live`, `/ready`, `/metrics`. Loopback only.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::json;
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::metrics;
use crate::stream::{Body, full};

/// Serves until the process ends.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let gateway = Arc::clone(&gateway);
                async move { Ok::<_, Infallible>(answer(&gateway, &request)) }
            });
            let builder = Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(gateway: &Gateway, request: &Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/live" => reply(StatusCode::OK, "text/plain", "live\n".to_owned()),
        "/ready" => ready(gateway),
        "/metrics" => {
            let now = gateway.clock.now();
            let in_flight = gateway
                .config
                .limits
                .requests_in_flight_max
                .saturating_sub(gateway.in_flight.available_permits());
            let text = gateway.metrics.encode(
                gateway.standing.age_ms(now),
                gateway.spool.pending(),
                in_flight,
            );
            reply(StatusCode::OK, metrics::CONTENT_TYPE, text)
        }
        _ => reply(StatusCode::NOT_FOUND, "text/plain", "no such path\n".to_owned()),
    }
}

/// Whether a call could be allowed now, and if not, what is missing.
fn ready(gateway: &Gateway) -> Response<Body> {
    let now = gateway.clock.now();
    let mut missing = Vec::new();
    if gateway.standing.policy().is_none() {
        missing.push("no policy set has come from the Authority yet");
    }
    let bound = gateway.config.staleness.bound_ms(bailiwick_policy::Sensitivity::Public);
    if gateway.standing.age_ms(now) > bound {
        missing.push("the Authority has not been heard of for longer than any bound");
    }
    if !gateway.spool.is_writable() {
        missing.push("the spool cannot be written, or is full");
    }
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": missing.is_empty(), "missing": missing,
        "feed_age_ms": gateway.standing.age_ms(now), "spool_pending": gateway.spool.pending(),
    });
    reply(status, "application/json", body.to_string())
}

fn reply(status: StatusCode, media: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
