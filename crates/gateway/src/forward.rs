//! The last step: a cleared request goes to its upstream without the agent's credentials.
//!
//! Only a [`Cleared`] request can be sent: a recorded permit that owns it, or a protocol's own
//! housekeeping of a live chain.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_core::VerifiedChain;
use bailiwick_ledger::Recorded;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::authorize::Allowed;
use crate::call::{Outgoing, OutgoingBody};
use crate::carry::ProvenanceTag;
use crate::clock::Stopwatch;
use crate::connector::Echo;
use crate::gateway::Gateway;
use crate::outcome::Outcoming;
use crate::reply::{ReplyHook, Touched};
use crate::route::Route;
use crate::sse::{EventFilter, through};
use crate::stop::Stop;
use crate::stream::{Body, Ended, Ending, Guarded, full};

/// A reply longer than this is cut when its chain dies, even when its length is known.
const SHORT_REPLY_BYTES: u64 = 64 * 1024;

/// Headers that are about one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What an agent presents to the gateway and no upstream ever sees, and what only a proxy may say.
pub(crate) const STRIPPED: [&str; 20] = [
    "authorization",
    "dpop",
    "actor-token",
    "delegation-chain",
    "cookie",
    "host",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "expect",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
];

/// A request that may be sent.
pub(crate) enum Cleared {
    /// A permitted, recorded call.
    Call(Recorded<Allowed<Outgoing>>),
    /// Housekeeping of the protocol, for a live chain.
    Plumbing(Arc<VerifiedChain>, Outgoing),
    /// What the protocol makes public.
    Open(Outgoing),
}

/// What a request takes along on its way.
pub(crate) struct Sending<'a> {
    pub(crate) gateway: &'a Arc<Gateway>,
    pub(crate) route: &'a Arc<Route>,
    /// The body as it came, for a request whose adapter did not read it.
    pub(crate) body: Option<Incoming>,
    pub(crate) hooks: Vec<Box<dyn ReplyHook>>,
    pub(crate) place: tokio::sync::OwnedSemaphorePermit,
}

/// Sends a cleared request and gives its reply, streaming.
///
/// # Errors
/// The upstream cannot be reached, does not answer in time, or answers what hooks cannot look at.
pub(crate) async fn forward(cleared: Cleared, sending: Sending<'_>) -> Result<Response<Body>, Stop> {
    let Sending { gateway, route, body, mut hooks, place } = sending;
    let watch = Stopwatch::start();
    let (chain, outgoing, tag, mut outcome) = match cleared {
        Cleared::Open(outgoing) => (None, outgoing, None, None),
        Cleared::Plumbing(chain, outgoing) => (Some(chain), outgoing, None, None),
        Cleared::Call(recorded) => {
            let Allowed { chain, permit, .. } = recorded.into_inner();
            let (decision, outgoing) = permit.into_parts();
            let tag = ProvenanceTag::new(&chain, &decision);
            let task = chain.claims().txn;
            let (gateway, name) = (Arc::clone(gateway), Arc::clone(&route.name));
            let outcome = Outcoming::new(gateway, name, decision.id, task, watch);
            (Some(chain), outgoing, Some(tag), Some(outcome))
        }
    };
    let hooked = !hooks.is_empty();
    let request = prepare(gateway, route, outgoing, body, tag.as_ref(), hooked).await;
    let answer = match request {
        Ok((request, echo)) => send(gateway, request).await.map(|response| (response, echo)),
        Err(stop) => Err(stop),
    };
    let (response, echo) = match answer {
        Ok(answer) => answer,
        Err(stop) => return Err(failed(outcome, stop)),
    };
    if let Some(connector) = &route.connector {
        connector.answered(response.status(), tag.as_ref(), gateway.clock.now());
        if response.status() == StatusCode::UNAUTHORIZED {
            // The agent would take it for a word on its own token.
            let detail = "the upstream does not take the gateway's own credential";
            return Err(failed(outcome, Stop::new(ProblemCode::BadGateway, detail)));
        }
    }
    if let Some(outcome) = &mut outcome {
        outcome.answered(response.status());
    }
    let (mut parts, body) = response.into_parts();
    hooks.iter_mut().for_each(|hook| hook.head(&parts));
    strip_reply(&mut parts.headers);
    if let Some(echo) = &echo {
        echo.strip(&mut parts.headers);
    }
    let limits = &gateway.config.limits;
    let idle = Duration::from_millis(limits.idle_timeout_ms);
    let shown = if hooked {
        hook(&mut parts, body, hooks, limits.reply_bytes_max).await
    } else {
        Ok((body.map_err(Into::into).boxed_unsync(), None))
    };
    let (body, filter) = match shown {
        Ok(shown) => shown,
        Err(stop) => return Err(failed(outcome, stop)),
    };
    // What the vendor's own credential is stays here, even when the vendor says it.
    let body = match echo {
        Some(echo) => echo.guard(body),
        None => body,
    };
    let short = body.size_hint().upper().is_some_and(|bytes| bytes <= SHORT_REPLY_BYTES);
    let ended = chain.filter(|_| !short).map(|chain| -> Ended {
        Box::pin(gateway.standing.ended(&chain))
    });
    let body = Guarded::new(body, idle, ended, filter, outcome, place);
    Ok(Response::from_parts(parts, body))
}

/// An allowed call came to nothing: its outcome says so.
fn failed(outcome: Option<Outcoming>, stop: Stop) -> Stop {
    if let Some(outcome) = outcome {
        outcome.ended(Ending::Failed);
    }
    stop
}

/// The request as the upstream gets it.
async fn prepare(
    gateway: &Gateway,
    route: &Route,
    outgoing: Outgoing,
    body: Option<Incoming>,
    tag: Option<&ProvenanceTag>,
    hooked: bool,
) -> Result<(Request<Body>, Option<Echo>), Stop> {
    let unusable = |error: http::Error| Stop::new(ProblemCode::Internal, error.to_string());
    let Outgoing { method, path_and_query, headers, body: kept } = outgoing;
    let uri = route.upstream.uri(&path_and_query).map_err(unusable)?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.headers = strip_request(headers);
    if hooked || route.connector.is_some() {
        // Hooks read the reply as it is, and so does the search for an echoed credential.
        parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if let Ok(host) = HeaderValue::from_str(route.upstream.host()) {
        parts.headers.insert(header::HOST, host);
    }
    let (bytes, body) = match (kept, body) {
        (OutgoingBody::Bytes(bytes), _) => (Some(bytes.clone()), full(bytes)),
        (OutgoingBody::Json { mut value, carry_at }, _) => {
            if let (Some(at), Some(tag)) = (&carry_at, tag) {
                gateway.carry.into_message(route, &mut value, at, tag);
            }
            let bytes = Bytes::from(value.to_string());
            (Some(bytes.clone()), full(bytes))
        }
        (OutgoingBody::Untouched, Some(body)) => (None, body.map_err(Into::into).boxed_unsync()),
        (OutgoingBody::Untouched, None) => (Some(Bytes::new()), full(Bytes::new())),
    };
    gateway.carry.out(route, &mut parts.headers, tag);
    let echo = match &route.connector {
        Some(connector) => {
            connector.apply(&mut parts, bytes.as_ref(), tag, gateway.clock.now()).await?
        }
        None => None,
    };
    Ok((Request::from_parts(parts, body), echo))
}

async fn send(gateway: &Gateway, request: Request<Body>) -> Result<Response<Incoming>, Stop> {
    let limit = Duration::from_millis(gateway.config.limits.upstream_timeout_ms);
    match tokio::time::timeout(limit, gateway.upstream.request(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the upstream cannot be reached");
            Err(Stop::new(ProblemCode::BadGateway, "the upstream cannot be reached"))
        }
        Err(_) => Err(Stop::new(
            ProblemCode::GatewayTimeout,
            format!("the upstream did not begin to answer within {} ms", limit.as_millis()),
        )),
    }
}

/// What of the agent's headers goes on.
pub(crate) fn strip_request(mut headers: HeaderMap) -> HeaderMap {
    strip_connection(&mut headers);
    for name in STRIPPED {
        headers.remove(name);
    }
    headers
}

fn strip_reply(headers: &mut HeaderMap) {
    strip_connection(headers);
    // A vendor's session is the gateway's, and its challenge is not for the agent's token.
    headers.remove(header::SET_COOKIE);
    headers.remove("dpop-nonce");
}

fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(HOP_BY_HOP.iter()) {
        headers.remove(name);
    }
}

/// Shows the reply to the hooks: a JSON body at once, an event stream as it comes.
async fn hook(
    parts: &mut http::response::Parts,
    body: Incoming,
    mut hooks: Vec<Box<dyn ReplyHook>>,
    bytes_max: usize,
) -> Result<(Body, Option<EventFilter>), Stop> {
    let bad = |detail: &str| Stop::new(ProblemCode::BadGateway, detail);
    let coded = parts.headers.get(header::CONTENT_ENCODING);
    if coded.is_some_and(|coding| coding != "identity") {
        return Err(bad("the upstream's reply is encoded, so that it cannot be looked at"));
    }
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.and_then(|value| value.split(';').next()).unwrap_or("").trim();
    if media.eq_ignore_ascii_case("text/event-stream") {
        parts.headers.remove(header::CONTENT_LENGTH);
        let filter = EventFilter::new(hooks, parts.status, bytes_max);
        return Ok((body.map_err(Into::into).boxed_unsync(), Some(filter)));
    }
    let json = media.eq_ignore_ascii_case("application/json")
        || media.to_ascii_lowercase().ends_with("+json");
    if !json {
        return Ok((body.map_err(Into::into).boxed_unsync(), None));
    }
    let collected = Limited::new(body, bytes_max).collect().await;
    let bytes = collected
        .map_err(|_| bad("the upstream's reply is longer than the gateway looks at, or broke off"))?
        .to_bytes();
    let Ok(mut message) = serde_json::from_slice(&bytes) else {
        if bytes.is_empty() {
            return Ok((full(bytes), None));
        }
        return Err(bad("the upstream says that its reply is JSON, and it is not"));
    };
    let bytes = match through(&mut hooks, parts.status, &mut message) {
        Touched::No => bytes,
        Touched::Yes => Bytes::from(message.to_string()),
        Touched::Withhold => return Err(bad("the upstream's reply may not reach the agent")),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::ETAG);
    Ok((full(bytes), None))
}

/// The parts of a request that an adapter passes on as they are.
pub(crate) fn untouched(parts: &Parts, path_and_query: String) -> Outgoing {
    Outgoing {
        method: parts.method.clone(),
        path_and_query,
        headers: parts.headers.clone(),
        body: OutgoingBody::Untouched,
    }
}
