//! The last step: a cleared request goes to its upstream without the agent's credentials.
//!
//! Only a [`Cleared`] request can be sent: a recorded permit that owns it, or a protocol's own
//! housekeeping of a live chain.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_core::VerifiedChain;
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::Recorded;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use crate::authorize::Allowed;
use crate::call::{Outgoing, OutgoingBody};
use crate::carry::ProvenanceTag;
use crate::clock::Stopwatch;
use crate::connector::{Connector, Echo};
use crate::gateway::Gateway;
use crate::outcome::Outcoming;
use crate::reply::ReplyHook;
use crate::route::Route;
use crate::shown::show;
use crate::stall::{Moved, Upload};
use crate::stop::Stop;
use crate::stream::{Body, Ended, Ending, Guarded, full};
use crate::tunnel::Tunnel;
use crate::upgrade::Upgrade;
use crate::upstream::{self, UpstreamClient, Upstreams};

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
    Call(Box<Recorded<Allowed<Outgoing>>>),
    /// Housekeeping of the protocol, for a live chain.
    Plumbing(Arc<VerifiedChain>, Outgoing),
    /// What the protocol makes public.
    Open(Outgoing),
}

/// What a request takes along on its way.
pub(crate) struct Sending<'a> {
    pub(crate) gateway: &'a Arc<Gateway>,
    pub(crate) route: &'a Arc<Route>,
    /// How the caller asked.
    pub(crate) version: Version,
    /// The body as it came, for a request whose adapter did not read it.
    pub(crate) body: Option<Incoming>,
    pub(crate) hooks: Vec<Box<dyn ReplyHook>>,
    pub(crate) place: OwnedSemaphorePermit,
    /// What the connection is to become, where that may be asked for.
    pub(crate) upgrade: Option<Upgrade>,
}

/// A request on its way, and what its end is told to.
struct Outward {
    chain: Option<Arc<VerifiedChain>>,
    outgoing: Outgoing,
    tag: Option<ProvenanceTag>,
    outcome: Option<Outcoming>,
}

/// How a request is sent, and its reply taken.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Hooks look at the reply.
    pub(crate) hooked: bool,
    /// Nothing passes that a hook could not look at.
    pub(crate) strict: bool,
    /// It is public, and so asked for as anybody would: nobody makes the gateway show its credential.
    pub(crate) open: bool,
}

impl Manner {
    /// The credential that goes along.
    fn connector(self, route: &Route) -> Option<&Connector> {
        route.connector.as_ref().filter(|_| !self.open)
    }
}

/// Sends a cleared request and gives its reply, streaming.
///
/// # Errors
/// The upstream cannot be reached, does not answer in time, or answers what hooks cannot look at.
pub(crate) async fn forward(
    cleared: Cleared,
    sending: Sending<'_>,
) -> Result<Response<Body>, Stop> {
    let Sending { gateway, route, version, body, mut hooks, place, upgrade } = sending;
    let outward = Outward::begin(gateway, route, cleared, &mut hooks);
    let Outward { chain, outgoing, tag, mut outcome } = outward;
    let strict = hooks.iter().any(|hook| hook.must_see());
    let manner = Manner { hooked: !hooks.is_empty(), strict, open: chain.is_none() };
    // A body that nobody looked at goes on with a permit only, which says that nobody has to.
    let body = body.filter(|_| tag.is_some());
    let (tag, asked) = (tag.as_ref(), upgrade.as_ref());
    let uploads = chain.as_ref().filter(|_| body.is_some());
    let dies = uploads.map(|chain| -> Ended { Box::pin(gateway.standing.ended(chain)) });
    let asking = exchange(gateway, route, outgoing, body, tag, manner, asked);
    let answer = unless_dead(dies, asking).await;
    let (response, echo) = match answer {
        Ok(answer) => answer,
        Err(stop) => return Err(failed(outcome, stop)),
    };
    if let Some(outcome) = &mut outcome {
        outcome.answered(response.status());
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match (upgrade, chain, outcome) {
            (Some(upgrade), Some(chain), Some(outcome)) => {
                switch(gateway, response, upgrade, chain, outcome, place)
            }
            (_, _, outcome) => {
                let detail = "the upstream switched to another protocol, which nobody asked for";
                Err(failed(outcome, Stop::new(ProblemCode::BadGateway, detail)))
            }
        };
    }
    let (mut parts, body) = response.into_parts();
    hooks.iter_mut().for_each(|hook| hook.head(&parts));
    strip_reply(&mut parts.headers);
    if let Some(echo) = &echo {
        echo.strip(&mut parts.headers);
    }
    let limits = &gateway.config.limits;
    let idle = Duration::from_millis(limits.idle_timeout_ms);
    let shown = if manner.hooked {
        show(&mut parts, body, hooks, limits.reply_bytes_max, idle).await
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
    let place = chain.is_some().then_some(place);
    let ended =
        chain.filter(|_| !short).map(|chain| -> Ended { Box::pin(gateway.standing.ended(&chain)) });
    // Over HTTP/1.1 the connection itself breaks.
    let unread = Duration::from_millis(limits.write_timeout_ms);
    let unread = (version == Version::HTTP_2).then_some(unread);
    let body = Guarded::guard(body, idle, ended, filter, outcome, place, unread);
    Ok(Response::from_parts(parts, body))
}

impl Outward {
    fn begin(
        gateway: &Arc<Gateway>,
        route: &Route,
        cleared: Cleared,
        hooks: &mut Vec<Box<dyn ReplyHook>>,
    ) -> Self {
        let watch = Stopwatch::start();
        let (chain, outgoing) = match cleared {
            Cleared::Open(outgoing) => (None, outgoing),
            Cleared::Plumbing(chain, outgoing) => (Some(chain), outgoing),
            Cleared::Call(recorded) => {
                let Allowed { chain, permit, recorder, .. } = recorded.into_inner();
                hooks.extend(recorder);
                let (decision, outgoing) = permit.into_parts();
                let tag = Some(ProvenanceTag::new(&chain, &decision));
                let task = chain.claims().txn;
                let (gateway, name) = (Arc::clone(gateway), Arc::clone(&route.name));
                let outcome = Some(Outcoming::new(gateway, name, decision.id, task, watch));
                return Self { chain: Some(chain), outgoing, tag, outcome };
            }
        };
        Self { chain, outgoing, tag: None, outcome: None }
    }
}

/// What is asked, unless the chain of an upload dies first.
async fn unless_dead<T>(
    dies: Option<Ended>,
    asking: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    let Some(dies) = dies else { return asking.await };
    tokio::select! {
        biased;
        () = dies => {
            Err(Stop::new(Outcome::Revoked, "the task's authority ended during the upload"))
        }
        answer = asking => answer,
    }
}

/// Sends a request and gives the head of its answer, and what to look for in the rest.
async fn exchange(
    gateway: &Gateway,
    route: &Route,
    outgoing: Outgoing,
    body: Option<Incoming>,
    tag: Option<&ProvenanceTag>,
    manner: Manner,
    upgrade: Option<&Upgrade>,
) -> Result<(Response<Incoming>, Option<Echo>), Stop> {
    let (mut request, echo) = prepare(gateway, route, outgoing, body, tag, manner).await?;
    let response = match upgrade {
        None => send(gateway, route, request).await?,
        Some(upgrade) => {
            upgrade.ask(request.headers_mut());
            send_by(gateway, ways(gateway, route).client(true), request).await?
        }
    };
    let status = response.status();
    tell_connector(gateway, manner.connector(route), status, tag)?;
    require_no_lead(status, manner)?;
    Ok((response, echo))
}

/// Both sides agreed: the answer that says so, and the tunnel that follows it.
fn switch(
    gateway: &Arc<Gateway>,
    mut response: Response<Incoming>,
    upgrade: Upgrade,
    chain: Arc<VerifiedChain>,
    outcome: Outcoming,
    place: OwnedSemaphorePermit,
) -> Result<Response<Body>, Stop> {
    if !upgrade.is(response.headers()) {
        let detail = "the upstream switched to another protocol than it was asked for";
        return Err(failed(Some(outcome), Stop::new(ProblemCode::BadGateway, detail)));
    }
    let upstream = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    strip_reply(&mut parts.headers);
    upgrade.agree(&mut parts.headers);
    let gateway = Arc::clone(gateway);
    Tunnel { gateway, chain, outcome, place, caller: upgrade.caller, upstream }.run();
    Ok(Response::from_parts(parts, full(Bytes::new())))
}

/// Tells the connector whether its credential was taken.
fn tell_connector(
    gateway: &Gateway,
    connector: Option<&Connector>,
    status: StatusCode,
    tag: Option<&ProvenanceTag>,
) -> Result<(), Stop> {
    let Some(connector) = connector else { return Ok(()) };
    connector.answered(status, tag, gateway.clock.now());
    if status == StatusCode::UNAUTHORIZED {
        // The agent would take it for a word on its own token.
        let detail = "the upstream does not take the gateway's own credential";
        return Err(Stop::new(ProblemCode::BadGateway, detail));
    }
    Ok(())
}

/// Refuses a reply that leads the agent elsewhere with what it holds for this gateway: clients of MCP
/// and A2A follow a redirect, and take a challenge for one of their own.
fn require_no_lead(status: StatusCode, manner: Manner) -> Result<(), Stop> {
    let detail = match status {
        StatusCode::NOT_MODIFIED => return Ok(()),
        StatusCode::UNAUTHORIZED => {
            "the upstream asks for a credential that nobody gave the gateway"
        }
        _ if status.is_redirection() => "the upstream leads elsewhere, where nothing is decided",
        _ => return Ok(()),
    };
    if manner.strict { Err(Stop::new(ProblemCode::BadGateway, detail)) } else { Ok(()) }
}

/// An allowed call came to nothing: its outcome says so.
fn failed(outcome: Option<Outcoming>, stop: Stop) -> Stop {
    let cut = stop.code == ProblemCode::Outcome(Outcome::Revoked);
    if let Some(outcome) = outcome {
        outcome.ended(if cut { Ending::Cut } else { Ending::Failed });
    }
    stop
}

/// The request as the upstream gets it.
pub(crate) async fn prepare(
    gateway: &Gateway,
    route: &Route,
    outgoing: Outgoing,
    body: Option<Incoming>,
    tag: Option<&ProvenanceTag>,
    manner: Manner,
) -> Result<(Request<Body>, Option<Echo>), Stop> {
    let connector = manner.connector(route);
    let unusable = |error: http::Error| Stop::new(ProblemCode::Internal, error.to_string());
    let Outgoing { method, path_and_query, headers, body: kept } = outgoing;
    let uri = route.upstream.uri(&path_and_query).map_err(unusable)?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.headers = strip_request(headers);
    if manner.hooked || connector.is_some() {
        // Hooks read the reply as it is, and so does the search for an echoed credential.
        parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // The whole of it: a part that the caller chose is another document.
        parts.headers.remove(header::RANGE);
        parts.headers.remove(header::IF_RANGE);
    }
    if let Ok(host) = HeaderValue::from_str(route.upstream.host()) {
        parts.headers.insert(header::HOST, host);
    }
    let (bytes, body) = match (kept, body) {
        (OutgoingBody::Bytes(bytes), _) => (Some(bytes.clone()), full(bytes)),
        (OutgoingBody::Json { mut value, carry_at }, _) => {
            if let (Some(at), Some(tag)) = (&carry_at, tag) {
                gateway.carry.out_in_message(route, &mut value, at, tag);
            }
            let bytes = Bytes::from(value.to_string());
            (Some(bytes.clone()), full(bytes))
        }
        (OutgoingBody::Untouched, Some(body)) => {
            let moved = Moved::default();
            parts.extensions.insert(moved.clone());
            (None, Upload::new(body, moved).map_err(Into::into).boxed_unsync())
        }
        (OutgoingBody::Untouched, None) => (Some(Bytes::new()), full(Bytes::new())),
    };
    gateway.carry.out(route, &mut parts.headers, tag);
    let echo = match connector {
        Some(connector) => {
            connector.apply(&mut parts, bytes.as_ref(), tag, gateway.clock.now()).await?
        }
        None => None,
    };
    Ok((Request::from_parts(parts, body), echo))
}

/// Sends a request to its upstream.
pub(crate) async fn send(
    gateway: &Gateway,
    route: &Route,
    request: Request<Body>,
) -> Result<Response<Incoming>, Stop> {
    send_by(gateway, ways(gateway, route).client(false), request).await
}

/// The connections to a route's upstream.
fn ways<'a>(gateway: &'a Gateway, route: &'a Route) -> &'a Upstreams {
    route.connections.as_ref().unwrap_or(&gateway.upstream)
}

async fn send_by(
    gateway: &Gateway,
    client: &UpstreamClient,
    request: Request<Body>,
) -> Result<Response<Incoming>, Stop> {
    let limit = Duration::from_millis(gateway.config.limits.upstream_timeout_ms);
    // A long upload is no late answer, as long as the upstream takes it.
    let moved = request.extensions().get::<Moved>().cloned();
    let late = async {
        match moved {
            Some(moved) => moved.stalled(limit).await,
            None => tokio::time::sleep(limit).await,
        }
    };
    let answer = tokio::select! {
        biased;
        answer = client.request(request) => answer,
        () = late => {
            let detail =
                format!("the upstream did not begin to answer within {} ms", limit.as_millis());
            return Err(Stop::new(ProblemCode::GatewayTimeout, detail));
        }
    };
    answer.map_err(|error| {
        let causes = upstream::causes(&error);
        tracing::warn!(%error, %causes, "the upstream cannot be reached");
        Stop::new(ProblemCode::BadGateway, upstream::why(&error))
    })
}

/// What of the agent's headers goes on.
pub(crate) fn strip_request(mut headers: HeaderMap) -> HeaderMap {
    strip_connection(&mut headers);
    for name in STRIPPED {
        headers.remove(name);
    }
    headers
}

pub(crate) fn strip_reply(headers: &mut HeaderMap) {
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
