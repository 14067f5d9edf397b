//! Envoy's external authorization: a stock Envoy enforces with our decisions.
//!
//! Envoy sends what it sends on, so nothing can be rewritten on the way: a request that is not in its
//! canonical form is refused, and so are the protocols whose replies have to be looked at (MCP, A2A):
//! put the gateway itself in front of those.
//!
//! A vendor's credential is told to an Envoy that has shown its own key, in the answer to a call that
//! is allowed and recorded, and only where the route says so: [`released`].

mod key;
mod proto;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::Recorded;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tonic::server::{Grpc, NamedService, UnaryService};

pub(crate) use self::key::{Key, faults, key};
use self::proto::{
    CheckRequest, CheckResponse, Denied, Forwarded, HeaderValueOption, HttpRequest, HttpResponse,
    HttpStatus, RpcStatus, set,
};
use crate::attempt::{Attempt, Refused};
use crate::authorize::{Allowed, Question, authorize};
use crate::call::{Asked, Inbound, OutgoingBody, RefusalForm};
use crate::carry::ProvenanceTag;
use crate::clock::Stopwatch;
use crate::forward::{STRIPPED, strip_request};
use crate::gateway::Gateway;
use crate::http_api::says_the_same;
use crate::identify::{Presented, identify};
use crate::outcome::Outcoming;
use crate::proxy::{count_lost, provenance};
use crate::refusal;
use crate::route::{Adapter, Route};
use crate::stop::Stop;
use crate::stream::Ending;
use crate::upgrade;

/// `google.rpc.Code`.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;

/// Serves Envoy until `shutdown` resolves.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    key: Key,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .add_service(Authorization(Check { gateway, key: Arc::new(key) }))
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
}

/// `envoy.service.auth.v3.Authorization`.
#[derive(Clone)]
struct Authorization(Check);

impl NamedService for Authorization {
    const NAME: &'static str = "envoy.service.auth.v3.Authorization";
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl tower_service::Service<Request<tonic::body::Body>> for Authorization {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let check = self.0.clone();
        Box::pin(async move {
            if request.uri().path() != "/envoy.service.auth.v3.Authorization/Check" {
                return Ok(tonic::Status::unimplemented("only Check is served").into_http());
            }
            let codec = tonic_prost::ProstCodec::<CheckResponse, CheckRequest>::default();
            Ok(Grpc::new(codec).unary(check, request).await)
        })
    }
}

#[derive(Clone)]
struct Check {
    gateway: Arc<Gateway>,
    key: Arc<Key>,
}

impl UnaryService<CheckRequest> for Check {
    type Response = CheckResponse;
    type Future = Pending<Result<tonic::Response<CheckResponse>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let Self { gateway, key } = self.clone();
        Box::pin(async move {
            key.require(request.metadata(), gateway.clock.now()).await?;
            let asked = request.into_inner();
            let asked = asked.attributes.and_then(|a| a.request).and_then(|r| r.http);
            let asked = asked.ok_or_else(|| tonic::Status::invalid_argument("no HTTP request"))?;
            Ok(tonic::Response::new(check(&gateway, asked).await))
        })
    }
}

async fn check(gateway: &Arc<Gateway>, asked: HttpRequest) -> CheckResponse {
    let mut attempt = Attempt::begin(gateway);
    match decide(gateway, asked, &mut attempt).await {
        Ok(allowed) => allowed,
        Err((stop, route)) => {
            let refused = attempt.refuse(gateway, stop).await;
            denied(gateway, route.as_deref(), refused).await
        }
    }
}

async fn decide(
    gateway: &Arc<Gateway>,
    asked: HttpRequest,
    attempt: &mut Attempt,
) -> Result<CheckResponse, (Stop, Option<Arc<Route>>)> {
    let (parts, body) = read(asked).map_err(|stop| (stop, None))?;
    let path = parts.uri.path();
    let Some((route, path)) = gateway.routes.find(path) else {
        return Err((Stop::new(ProblemCode::NotFound, "no route answers to this path"), None));
    };
    let decided = decide_on(gateway, route, &parts, path, body, attempt).await;
    decided.map_err(|stop| (stop, Some(Arc::clone(route))))
}

async fn decide_on(
    gateway: &Arc<Gateway>,
    route: &Arc<Route>,
    parts: &Parts,
    path: &str,
    body: Bytes,
    attempt: &mut Attempt,
) -> Result<CheckResponse, Stop> {
    let Adapter::Http(adapter) = &route.adapter else {
        let detail = "replies of this protocol have to be looked at, which ext_authz cannot: put \
                      the gateway itself in front of this route";
        return Err(Stop::new(ProblemCode::NotFound, detail));
    };
    if route.connector.as_ref().is_some_and(|connector| !connector.is_for_envoy()) {
        let detail = "this upstream's credential stays at the gateway: put the gateway itself in \
                      front of this route, or let its connector say `envoy = true`";
        return Err(Stop::new(ProblemCode::NotFound, detail));
    }
    upgrade::require_none(&parts.headers)?;
    let url = format!("{}{}", gateway.config.public_url, parts.uri.path());
    let method = parts.method.as_str();
    let presented = Presented { headers: &parts.headers, peer: None, method, url: &url };
    let identified = identify(gateway, route, presented, attempt);
    let chain = identified.inspect_err(|stop| count_lost(gateway, route, parts, stop))?;
    let read = adapter.reads_body(parts, path).then_some(body);
    let provenance = provenance(gateway, route, parts, read.as_ref(), &chain);
    let mapped = adapter.map(Inbound { parts, path, body: read.clone() })?;
    let outgoing = mapped.outgoing;
    let Asked::Call(call) = mapped.asked else {
        return Err(Stop::new(ProblemCode::Internal, "an HTTP request was mapped to no call"));
    };
    let sent = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
    let decided = format!("{}{}", route.prefix, outgoing.path_and_query);
    if sent != decided && sent != decided.trim_end_matches('/') {
        let detail = format!("the URL is not in its canonical form, which is {decided}");
        return Err(Stop::new(Outcome::NonCanonical, detail));
    }
    if let (OutgoingBody::Bytes(canonical), Some(came)) = (&outgoing.body, &read)
        && !says_the_same(came, canonical)
    {
        let detail = "the body is not in its canonical form: Unicode normal form C, text that is \
                      declared `lower` in lower case, and arguments with a default given";
        return Err(Stop::new(Outcome::NonCanonical, detail));
    }
    if !matches!(outgoing.body, OutgoingBody::Untouched) && parts.headers.contains_key("expect") {
        return Err(Stop::new(Outcome::Malformed, "`Expect` cannot be served with a read body"));
    }
    let question = Question { gateway, route, chain: &chain, call: &call, provenance };
    let recorded = authorize(&question, attempt, ()).await?;
    let going = released(gateway, route, recorded, outgoing.headers).await?;
    // What was not decided on does not go on, and what was goes on as it was decided.
    let added = changed(&parts.headers, &going);
    let headers = added.iter().map(|(name, value)| told(name, value)).collect::<Result<_, _>>()?;
    let headers_to_remove = not_going_on(&parts.headers, &going, &added);
    Ok(CheckResponse {
        status: Some(RpcStatus { code: OK, message: String::new() }),
        http_response: Some(HttpResponse::Ok(Forwarded { headers, headers_to_remove })),
    })
}

/// The headers of a recorded call on its way out: with provenance, and with the vendor's credential.
async fn released(
    gateway: &Arc<Gateway>,
    route: &Route,
    recorded: Recorded<Allowed<()>>,
    decided: HeaderMap,
) -> Result<HeaderMap, Stop> {
    let watch = Stopwatch::start();
    let Allowed { chain, permit, .. } = recorded.into_inner();
    let tag = ProvenanceTag::new(&chain, permit.decision());
    let (mut going, ()) = Request::new(()).into_parts();
    going.headers = strip_request(decided);
    gateway.carry.out(route, &mut going.headers, Some(&tag));
    let Some(connector) = &route.connector else { return Ok(going.headers) };
    let applied = connector.apply(&mut going, None, Some(&tag), gateway.clock.now()).await;
    if let Err(stop) = applied {
        // It was allowed, and Envoy will not make it.
        let (gateway, name) = (Arc::clone(gateway), Arc::clone(&route.name));
        let (decision, task) = (permit.decision().id, chain.claims().txn);
        Outcoming::new(gateway, name, decision, task, watch).ended(Ending::Failed);
        return Err(stop);
    }
    Ok(going.headers)
}

/// The headers whose text is another than the one that came.
fn changed(came: &HeaderMap, going: &HeaderMap) -> HeaderMap {
    let mut changed = HeaderMap::new();
    for (name, value) in going {
        if value.is_sensitive() || !came.get_all(name).iter().any(|it| it == value) {
            changed.append(name, value.clone());
        }
    }
    changed
}

/// A header as Envoy is told it. One that cannot be told is not left as it came.
fn told(name: &HeaderName, value: &HeaderValue) -> Result<HeaderValueOption, Stop> {
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
        Stop::new(ProblemCode::Internal, format!("`{name}` cannot be told to Envoy"))
    })?;
    Ok(set(name.as_str(), text))
}

/// What Envoy takes away: credentials, and what is not known to change nothing. It takes away after it
/// has set, so that nothing of `added` may be among it.
fn not_going_on(came: &HeaderMap, going: &HeaderMap, added: &HeaderMap) -> Vec<String> {
    // The pseudo-headers and what frames the message are Envoy's own.
    let framing = ["host", "content-length", "expect", "transfer-encoding", "connection", "te"];
    let unknown = came.keys().map(HeaderName::as_str).filter(|name| !going.contains_key(*name));
    let mut names: Vec<String> = STRIPPED
        .into_iter()
        .chain(unknown)
        .filter(|name| !framing.contains(name) && !name.starts_with("x-envoy-"))
        .filter(|name| !added.contains_key(*name))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The request as an adapter reads one. Envoy's own headers are left out.
fn read(asked: HttpRequest) -> Result<(Parts, Bytes), Stop> {
    let malformed = |what: &'static str| Stop::new(Outcome::Malformed, what);
    let (mut parts, ()) = Request::builder()
        .method(asked.method.as_str())
        .uri(asked.path)
        .body(())
        .map_err(|_| malformed("the method or the path cannot be read"))?
        .into_parts();
    for (name, value) in &asked.headers {
        if name.starts_with(':') || name.starts_with("x-envoy-") {
            continue;
        }
        let name = HeaderName::try_from(name).map_err(|_| malformed("a header cannot be read"))?;
        let value =
            HeaderValue::try_from(value).map_err(|_| malformed("a header cannot be read"))?;
        parts.headers.append(name, value);
    }
    let body = if asked.raw_body.is_empty() { asked.body.into_bytes() } else { asked.raw_body };
    let said = parts.headers.get("content-length").and_then(|length| length.to_str().ok());
    let said = said.and_then(|length| length.parse::<usize>().ok());
    let partial = asked.headers.get("x-envoy-auth-partial-body").is_some_and(|it| it == "true");
    let chunked = parts.headers.contains_key("transfer-encoding") && body.is_empty();
    // A body that nobody announced a length for is told from none only by the method.
    let writes = [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
    let unsaid = said.is_none() && writes && body.is_empty();
    if partial || chunked || unsaid || said.is_some_and(|length| length != body.len()) {
        let detail = "Envoy did not send the whole body: set `with_request_body` with \
                      `allow_partial_message: false` and a `max_request_bytes` that suffices";
        return Err(malformed(detail));
    }
    Ok((parts, Bytes::from(body)))
}

async fn denied(gateway: &Gateway, route: Option<&Route>, refused: Refused) -> CheckResponse {
    let code = refused.code.code();
    let response = refusal::respond(gateway, route, &RefusalForm::Problem, refused);
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let headers = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some(set(name.as_str(), value.to_str().ok()?)))
        .collect();
    CheckResponse {
        status: Some(RpcStatus { code: PERMISSION_DENIED, message: code.to_owned() }),
        http_response: Some(HttpResponse::Denied(Denied {
            status: Some(HttpStatus { code: i32::from(parts.status.as_u16()) }),
            headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        })),
    }
}
