//! One request, from the first byte to the last: read [`handle`] downward.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_core::VerifiedChain;
use bailiwick_core::outcome::Outcome;
use bailiwick_identity::X509Peer;
use bailiwick_policy::Provenance;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::attempt::Attempt;
use crate::authorize::{Question, authorize};
use crate::call::{Asked, Inbound, Mapped, Outgoing, RefusalForm};
use crate::errand::Errand;
use crate::forward::{Cleared, Sending, forward};
use crate::gateway::Gateway;
use crate::identify::{Presented, identify};
use crate::refusal;
use crate::route::{Adapter, Route};
use crate::stop::Stop;
use crate::stream::Body;
use crate::upgrade;

/// How much of a refused request's body is read, and for how long.
const DRAIN_BYTES_MAX: usize = 256 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What stopped a request, and how its protocol wants to hear it.
struct Refusing {
    stop: Stop,
    form: RefusalForm,
    route: Option<Arc<Route>>,
}

/// Serves one request. Whatever stops it is recorded in one place and told in the protocol's form.
pub(crate) async fn handle(
    gateway: Arc<Gateway>,
    peer: Option<Arc<X509Peer>>,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut attempt = Attempt::begin(&gateway);
    let (parts, body) = request.into_parts();
    let awaited = parts.headers.contains_key(header::EXPECT);
    let mut body = Some(body);
    match serve(&gateway, peer.as_deref(), parts, &mut body, &mut attempt).await {
        Ok(response) => response,
        Err(refusing) => {
            let Refusing { mut stop, form, route } = *refusing;
            let form = stop.form.take().map_or(form, |own| *own);
            // Recorded before anything is waited for: whoever goes away meanwhile was refused, too.
            let refused = attempt.refuse(&gateway, stop).await;
            // A body that waits for a `100 Continue` is not on its way.
            if let Some(rest) = body.filter(|_| !awaited) {
                drain(rest).await;
            }
            refusal::respond(&gateway, route.as_deref(), &form, refused)
        }
    }
}

/// Reads what is left of a refused request. A connection that is closed under a body on its way takes
/// the refusal with it, or the client's next request: the one with the nonce it was just told. Nothing
/// of it is kept: nobody has said who they are.
async fn drain(mut body: Incoming) {
    let read = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
                return;
            };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

async fn serve(
    gateway: &Arc<Gateway>,
    peer: Option<&X509Peer>,
    parts: Parts,
    body: &mut Option<Incoming>,
    attempt: &mut Attempt,
) -> Result<Response<Body>, Box<Refusing>> {
    let early = |stop| Box::new(Refusing { stop, form: RefusalForm::Problem, route: None });
    let place = Arc::clone(&gateway.in_flight).try_acquire_owned().map_err(|_| early(busy()))?;
    require_sound(gateway, &parts).map_err(early)?;
    if let Some(answer) = refusal::well_known(gateway, &parts) {
        return Ok(answer);
    }
    let path = parts.uri.path();
    let (route, path) = gateway.routes.find(path).ok_or_else(|| early(no_route(path)))?;
    let form = early_form(route, &parts, path);
    let refusing = |stop| {
        let route = Some(Arc::clone(route));
        Box::new(Refusing { stop, form: form.clone(), route })
    };
    let upgrade = upgrade::asked(&parts, route, path).map_err(refusing)?;

    // Who is calling. What the protocol makes public needs nobody; everything else stops here.
    let expected = gateway.spool.expect();
    let identified = {
        let url = format!("{}{}", gateway.config.public_url, parts.uri.path());
        let method = parts.method.as_str();
        let presented = Presented { headers: &parts.headers, peer, method, url: &url };
        identify(gateway, route, presented, attempt)
    };
    let chain = identified.as_ref().ok();
    if chain.is_none() && !is_open(route, &parts, path) {
        let stop = identified.err().unwrap_or_else(|| Outcome::ProvenanceMissing.into());
        count_lost(gateway, route, &parts, &stop);
        return Err(refusing(stop));
    }

    // What is asked.
    let read = read_body(gateway, route, &parts, path, body).await.map_err(refusing)?;
    let provenance = chain.map_or(Provenance::Dropped, |chain| {
        provenance(gateway, route, &parts, read.as_ref(), chain)
    });
    let inbound = Inbound { parts: &parts, path, body: read };
    let mapped = map(gateway, route, inbound, chain).await.map_err(refusing)?;
    let Mapped { asked, outgoing, hooks, refusal: form } = mapped;
    let told = |stop| {
        let route = Some(Arc::clone(route));
        Box::new(Refusing { stop, form: form.clone(), route })
    };

    // May it, and off it goes.
    let asking = Asking { gateway, route, identified, provenance };
    let cleared = clear(asking, asked, outgoing, attempt).await.map_err(told)?;
    drop(expected);
    let version = parts.version;
    let sending = Sending { gateway, route, version, body: body.take(), hooks, place, upgrade };
    forward(cleared, sending).await.map_err(told)
}

/// How what travels beside a chain fits it; counted for the edge from the agent to the route.
pub(crate) fn provenance(
    gateway: &Gateway,
    route: &Route,
    parts: &Parts,
    body: Option<&Bytes>,
    chain: &Arc<VerifiedChain>,
) -> Provenance {
    let found = gateway.carry.classify(route, &parts.headers, body, Some(chain));
    let agent = chain.claims().client_id.as_str();
    gateway.metrics.provenance(&route.name, agent, found.as_str());
    found
}

/// Counts a request that came without any chain.
pub(crate) fn count_lost(gateway: &Gateway, route: &Route, parts: &Parts, stop: &Stop) {
    if stop.code == ProblemCode::Outcome(Outcome::ProvenanceMissing) {
        let found = gateway.carry.classify(route, &parts.headers, None, None);
        gateway.metrics.provenance(&route.name, "", found.as_str());
    }
}

/// Who asks, and where.
struct Asking<'a> {
    gateway: &'a Gateway,
    route: &'a Route,
    identified: Result<Arc<VerifiedChain>, Stop>,
    provenance: Provenance,
}

/// May it go on? A use of authority is decided and recorded, housekeeping takes a live chain, and what
/// is public takes nothing.
async fn clear(
    asking: Asking<'_>,
    asked: Asked,
    outgoing: Outgoing,
    attempt: &mut Attempt,
) -> Result<Cleared, Stop> {
    let Asking { gateway, route, identified, provenance } = asking;
    match asked {
        Asked::Open(what) => {
            gateway.metrics.plumbing(what);
            Ok(Cleared::Open(outgoing))
        }
        Asked::Plumbing(what) => {
            let chain = identified?;
            // Not when it began: reading its body may have taken a while.
            let now = gateway.clock.now();
            gateway.standing.require_alive(&chain, route.sensitivity, now)?;
            gateway.metrics.plumbing(what);
            Ok(Cleared::Plumbing(chain, outgoing))
        }
        Asked::Call(call) => {
            let chain = identified?;
            let question = Question { gateway, route, chain: &chain, call: &call, provenance };
            Ok(Cleared::Call(Box::new(authorize(&question, attempt, outgoing).await?)))
        }
    }
}

fn busy() -> Stop {
    Stop::new(ProblemCode::RateLimited, "too many requests in flight; try again in a second")
}

fn no_route(path: &str) -> Stop {
    let shown: String = path.chars().take(128).collect();
    Stop::new(ProblemCode::NotFound, format!("no route answers to {shown}"))
}

/// Refuses what is no plain request to this gateway: a tunnel, a request for another host's URL.
fn require_sound(gateway: &Gateway, parts: &Parts) -> Result<(), Stop> {
    if parts.method == http::Method::CONNECT || parts.method == http::Method::TRACE {
        let detail = format!("{} is not served", parts.method);
        return Err(Stop::new(ProblemCode::MethodNotAllowed, detail));
    }
    // Whoever was led here under another name (DNS rebinding, a wrong proxy) does not mean this
    // gateway, and no proof would fit anyway.
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let said = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = hosts.next().map(|host| host.to_str().unwrap_or_default());
    let own = gateway.config.public_authority();
    let alien = |named: Option<&str>| named.is_some_and(|named| Some(named) != own);
    if alien(said) || alien(host) || hosts.next().is_some() || (said.is_none() && host.is_none()) {
        let detail = "the request is for another host than this gateway's `public_url`";
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    require_plain_connection(&parts.headers)
}

/// What `Connection` names does not go on (RFC 9110 §7.6.1). It may name nothing that the call is
/// decided with: it would be decided as one request and sent as another.
fn require_plain_connection(headers: &HeaderMap) -> Result<(), Stop> {
    const PLAIN: [&str; 6] =
        ["close", "keep-alive", "te", "upgrade", "http2-settings", "proxy-connection"];
    let plain = |value: &HeaderValue| {
        let mut names = value.to_str().ok()?.split(',').map(str::trim).filter(|it| !it.is_empty());
        names.all(|name| PLAIN.iter().any(|it| it.eq_ignore_ascii_case(name))).then_some(())
    };
    if headers.get_all(header::CONNECTION).iter().all(|value| plain(value).is_some()) {
        return Ok(());
    }
    let detail = "`Connection` names a header that is not about the connection";
    Err(Stop::new(Outcome::Malformed, detail))
}

/// How a request is refused before its message is read.
fn early_form(route: &Route, parts: &Parts, path: &str) -> RefusalForm {
    match &route.adapter {
        Adapter::Http(_) | Adapter::Mcp(_) => RefusalForm::Problem,
        Adapter::A2a(a2a) => a2a.form(parts, path, None),
    }
}

/// Whether the adapter makes this request public, such as an agent card.
fn is_open(route: &Route, parts: &Parts, path: &str) -> bool {
    match &route.adapter {
        Adapter::Http(_) => false,
        Adapter::Mcp(mcp) => mcp.is_open(parts, path),
        Adapter::A2a(a2a) => a2a.is_open(parts, path),
    }
}

/// The body, if the adapter looks at it; otherwise it stays where it is.
async fn read_body(
    gateway: &Gateway,
    route: &Route,
    parts: &Parts,
    path: &str,
    body: &mut Option<Incoming>,
) -> Result<Option<Bytes>, Stop> {
    let reads = match &route.adapter {
        Adapter::Http(http) => http.reads_body(parts, path),
        Adapter::Mcp(mcp) => mcp.reads_body(parts),
        Adapter::A2a(a2a) => a2a.reads_body(parts),
    };
    let Some(body) = body.take_if(|_| reads) else { return Ok(None) };
    let limits = &gateway.config.limits;
    let idle = Duration::from_millis(limits.idle_timeout_ms);
    let collected = tokio::time::timeout(idle, Limited::new(body, limits.body_bytes_max).collect());
    match collected.await {
        Ok(Ok(collected)) => Ok(Some(collected.to_bytes())),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("the body is longer than {} bytes", limits.body_bytes_max);
            Err(Stop::new(ProblemCode::TooLarge, detail))
        }
        Ok(Err(_)) => Err(Stop::new(Outcome::Malformed, "the body broke off")),
        Err(_) => Err(Stop::new(Outcome::Malformed, "the body did not come to its end in time")),
    }
}

async fn map(
    gateway: &Gateway,
    route: &Arc<Route>,
    inbound: Inbound<'_>,
    chain: Option<&Arc<VerifiedChain>>,
) -> Result<Mapped, Stop> {
    match &route.adapter {
        Adapter::Http(http) => http.map(inbound),
        Adapter::Mcp(mcp) => {
            let chain = chain.ok_or(Outcome::ProvenanceMissing)?;
            mcp.map(inbound, chain, &Errand { gateway, route, chain }).await
        }
        Adapter::A2a(a2a) => a2a.map(inbound, chain),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["keep-alive"], true)]
    #[case(&["Upgrade, HTTP2-Settings", "close"], true)]
    #[case(&[], true)]
    #[case(&["keep-alive, X-Amz-Target"], false)]
    #[case(&["close", "Content-Type"], false)]
    #[case(&["mcp-name"], false)]
    #[case(&["\u{e9}"], false)]
    fn connection_takes_no_header_of_the_call_away(#[case] values: &[&str], #[case] plain: bool) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONNECTION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        assert_eq!(require_plain_connection(&headers).is_ok(), plain);
    }
}
