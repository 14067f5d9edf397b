//! The management listener: `/live`, `/ready`, `/metrics`. Loopback only.

use std::convert::Infallible;
use std::sync::Arc;

use bailiwick_policy::Sensitivity;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Map, json};
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
        "/ready" => ready(gateway, request.uri().query()),
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

/// Whether a call on data of a sensitivity could be allowed now, and if not, what is missing. Nobody
/// asking for one asks for the least.
fn ready(gateway: &Gateway, query: Option<&str>) -> Response<Body> {
    let asked = query.map_or(Some(Sensitivity::Public), |query| {
        query.strip_prefix("sensitivity=").and_then(|name| name.parse().ok())
    });
    let Some(asked) = asked else {
        let known = Sensitivity::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("ask for /ready or /ready?sensitivity= with one of {known}\n");
        return reply(StatusCode::BAD_REQUEST, "text/plain", text);
    };
    let standing = &gateway.standing;
    let age = standing.age_ms(gateway.clock.now());
    let fresh = |one: Sensitivity| age <= standing.bound_ms(one);
    let mut missing = Vec::new();
    if !fresh(asked) {
        missing.extend(standing.identity_fault());
    }
    if standing.policy().is_none() {
        missing.push("no policy set has come from the Authority yet".to_owned());
    }
    if age == u64::MAX {
        missing.push("the Authority has not been heard yet".to_owned());
    } else if !fresh(asked) {
        let bound = standing.bound_ms(asked);
        missing.push(format!(
            "the Authority was last heard {age} ms ago; for {asked} data the bound is {bound} ms"
        ));
    }
    if !gateway.spool.is_writable() {
        missing.push("the spool cannot be written, or is full".to_owned());
    }
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let each = Sensitivity::ALL.iter().map(|&one| {
        let told = json!({ "fresh": fresh(one), "bound_ms": standing.bound_ms(one) });
        (one.to_string(), told)
    });
    let body = json!({
        "ready": missing.is_empty(), "missing": missing,
        "feed_age_ms": (age < u64::MAX).then_some(age), "spool_pending": gateway.spool.pending(),
        "sensitivity": Map::from_iter(each),
    });
    reply(status, "application/json", body.to_string())
}

fn reply(status: StatusCode, media: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
