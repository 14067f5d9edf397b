//! What every request goes through: a bound on those in flight, one on the time of each, and one on its
//! body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use tower_service::Service;

use super::carried::{CarriedThrough, Panicked};
use super::reply::ProblemReply;
use crate::authority::Authority;
use crate::config::DpopNonce;
use crate::fault::Fault;

/// The public service as it is served. One service around the router: a layer of the router would be
/// one around each of its routes, and copied with every request.
#[derive(Clone)]
pub(crate) struct Guarded {
    authority: Arc<Authority>,
    router: Router,
}

impl Guarded {
    pub(super) fn new(authority: Arc<Authority>, router: Router) -> Self {
        Self { authority, router }
    }
}

impl Service<Request> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { authority, router } = self.clone();
        Box::pin(async move { Ok(guard(authority, router, request).await) })
    }
}

/// Bounds the requests in flight and the time of each, and hands out a fresh nonce with each answer.
///
/// What was begun is carried through even if the caller hangs up, or is told that it took too long:
/// a change that is durable must also come into force in memory, and be told to enforcement points.
async fn guard(authority: Arc<Authority>, mut router: Router, mut request: Request) -> Response {
    let Ok(slot) = Arc::clone(&authority.in_flight).try_acquire_owned() else {
        let fault =
            Fault::new(ProblemCode::RateLimited, "the Authority is at its limit of requests");
        let mut response = ProblemReply(fault).into_response();
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    };
    let limits = &authority.config.limits;
    // A route may set another one.
    DefaultBodyLimit::max(limits.request_bytes_max).apply(&mut request);
    let work = router.call(request);
    let work = CarriedThrough::new(async move {
        let response = work.await;
        drop(slot);
        response
    });
    let limit = Duration::from_millis(limits.request_timeout_ms);
    let mut response = match tokio::time::timeout(limit, work).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(Panicked)) => {
            tracing::error!("a request has panicked");
            let detail = "the Authority failed; nothing was released";
            ProblemReply(Fault::new(ProblemCode::Internal, detail)).into_response()
        }
        Err(_) => {
            let detail = "the Authority could not answer in time; nothing was released";
            ProblemReply(Fault::new(Outcome::LedgerUnavailable, detail)).into_response()
        }
    };
    if authority.config.dpop.nonce == DpopNonce::Required
        && let Ok(nonce) = HeaderValue::from_str(&authority.nonces.current(authority.clock.now()))
    {
        response.headers_mut().insert("dpop-nonce", nonce);
    }
    response
}
