//! WebSockets through the gateway: the handshake is a call, and the tunnel lives as long as its chain.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use crate::authority::{Agent, Held, now, reading};
use crate::edge::{Edge, told};
use crate::wire::raw;

type Socket = WebSocketStream<TcpStream>;

/// What goes before the routes: one whose upstream speaks WebSocket.
fn route(upstream: SocketAddr, limits: &str) -> String {
    format!(
        r#"
        {limits}
        [[route]]
        name = "live"
        path = "/live"
        audience = "https://tools.dev.example"
        upstream = "http://{upstream}/base"
        owner = "team:payments"
        binding = "carries"
        sensitivity = "internal"
        [[route.http.operation]]
        method = "GET"
        path = "/rooms/{{room}}"
        scope = "files.read"
        effect = "read"
        resource = "room/{{room}}"
        upgrade = "websocket"
        [[route.http.operation]]
        method = "GET"
        path = "/plain"
        scope = "files.read"
    "#
    )
}

/// Says every message back; the head of each handshake is told. A room called `closed` lets nobody in.
async fn speaker() -> (SocketAddr, mpsc::UnboundedReceiver<(String, HeaderMap)>) {
    let (tell, heads) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                #[allow(clippy::result_large_err, reason = "the library's type")]
                let look = |asked: &Request, mut reply: Response| {
                    let head = (asked.uri().to_string(), asked.headers().clone());
                    let _ = tell.send(head);
                    if asked.uri().path().ends_with("/closed") {
                        let mut refused = ErrorResponse::new(Some("no".to_owned()));
                        *refused.status_mut() = 403.try_into().unwrap();
                        return Err(refused);
                    }
                    if let Some(wanted) = asked.headers().get("sec-websocket-protocol") {
                        reply.headers_mut().insert("sec-websocket-protocol", wanted.clone());
                    }
                    Ok(reply)
                };
                let Ok(mut socket) = accept_hdr_async(stream, look).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() || socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, heads)
}

/// Opens a WebSocket under a token.
async fn open(edge: &Edge, agent: &Agent, held: &Held, path: &str) -> Result<Socket, Box<Error>> {
    let url = format!("{}{path}", edge.url);
    let mut request = url.replacen("http", "ws", 1).into_client_request().unwrap();
    let headers = request.headers_mut();
    let plain = |text: &str| HeaderValue::from_str(text).unwrap();
    headers.insert("authorization", plain(&format!("DPoP {}", held.token)));
    headers.insert("dpop", plain(&agent.proof("GET", &url, Some(&held.token))));
    headers.insert("cookie", plain("a=b"));
    headers.insert("sec-websocket-protocol", plain("chat.v1"));
    let stream = TcpStream::connect(edge.url.strip_prefix("http://").unwrap()).await.unwrap();
    let (socket, reply) = client_async(request, stream).await.map_err(Box::new)?;
    assert_eq!(reply.headers()["sec-websocket-protocol"], "chat.v1");
    Ok(socket)
}

async fn says_back(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
}

/// Reads until the connection ends; how long that took.
async fn ends(socket: &mut Socket) -> Duration {
    let started = Instant::now();
    let read = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(Duration::from_secs(8), read).await.expect("the tunnel ends");
    started.elapsed()
}

/// The sentence of a task's trace that tells how its tunnel ended.
async fn outcome(edge: &Edge, held: &Held) -> String {
    let find = |trace: &Value| {
        let text = trace.to_string();
        let (_, rest) = text.split_once("was answered 101 ")?;
        rest.split_once(" through").map(|(said, _)| said.to_owned())
    };
    let trace = edge.trace_with(&held.task(), |trace| find(trace).is_some()).await;
    find(&trace).unwrap()
}

#[tokio::test]
async fn a_websocket_goes_through_once_its_handshake_is_allowed() {
    let (upstream, mut heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, ""), "").await;
    let (reader, held) = edge.reader().await;
    let mut socket = open(&edge, &reader, &held, "/live/rooms/x").await.unwrap();
    says_back(&mut socket, "hello").await;
    let long = "x".repeat(300_000);
    says_back(&mut socket, &long).await;
    let (uri, head) = heads.recv().await.unwrap();
    assert_eq!(uri, "/base/rooms/x");
    for stripped in ["authorization", "dpop", "cookie"] {
        assert!(!head.contains_key(stripped), "{stripped} goes on");
    }
    assert!(head.contains_key("bailiwick-decision") && head.contains_key("sec-websocket-key"));
    socket.close(None).await.unwrap();
    ends(&mut socket).await;
    drop(socket);
    let said = outcome(&edge, &held).await;
    assert!(said.starts_with("(complete, 3000") && said.contains("bytes up"), "{said}");
    // It was decided like any call, before anything went on.
    let trace = edge.trace_with(&held.task(), |_| true).await;
    let decision = trace["decisions"].as_array().unwrap().last().unwrap();
    assert_eq!((&decision["act"], &decision["allow"]), (&json!("invoke"), &json!(true)));
    assert_eq!(decision["arguments"], json!({ "room": "x" }));
}

#[tokio::test]
async fn a_tunnel_is_cut_when_its_token_is_revoked_and_another_is_not() {
    let (upstream, _heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, ""), "").await;
    let (reader, held) = edge.reader().await;
    let (other, other_held) = edge.reader().await;
    let mut mine = open(&edge, &reader, &held, "/live/rooms/x").await.unwrap();
    let mut others = open(&edge, &other, &other_held, "/live/rooms/x").await.unwrap();
    says_back(&mut mine, "hello").await;
    says_back(&mut others, "hello").await;
    let body = json!({ "target": { "jti": held.jti() }, "reason": "test", "dry_run": false });
    let revoked = edge.world.post_as_operator("/v1/revocations", &body).await;
    assert!(revoked.status().is_success());
    assert!(ends(&mut mine).await < Duration::from_secs(2));
    assert!(outcome(&edge, &held).await.starts_with("(cut, "));
    says_back(&mut others, "still here").await;
    // Completing the task cuts it, too.
    let path = format!("/v1/tasks/{}/cancel", other_held.task());
    let done = edge.world.post_as_operator(&path, &json!({ "reason": "test" })).await;
    assert!(done.status().is_success());
    assert!(ends(&mut others).await < Duration::from_secs(2));
    assert!(outcome(&edge, &other_held).await.starts_with("(cut, "));
}

#[tokio::test]
async fn a_tunnel_ends_with_its_token() {
    let (upstream, _heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, ""), "").await;
    let (orchestrator, reader) = (Agent::orchestrator(), Agent::reader());
    let root = edge.world.open(&orchestrator).await;
    let short = |until: i64| {
        orchestrator.grant(&root, &reader, &reading(&root), |claims| claims.exp = until)
    };
    let (status, answer) = edge.world.settle(&reader, &short(now().seconds() + 3)).await;
    assert_eq!(status, 200, "{answer}");
    let held = Held::from(answer);
    let mut socket = open(&edge, &reader, &held, "/live/rooms/x").await.unwrap();
    says_back(&mut socket, "hello").await;
    assert!(ends(&mut socket).await < Duration::from_secs(5));
    assert!(outcome(&edge, &held).await.starts_with("(cut, "));
}

#[rstest]
#[case::idle("[limits]\nidle_timeout_ms = 400", "(failed, ")]
#[case::total("[limits]\ntunnel_timeout_ms = 800", "(cut, ")]
#[tokio::test]
async fn a_tunnel_is_bounded(#[case] limits: &str, #[case] ending: &str) {
    let (upstream, _heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, limits), "").await;
    let (reader, held) = edge.reader().await;
    let mut socket = open(&edge, &reader, &held, "/live/rooms/x").await.unwrap();
    says_back(&mut socket, "hello").await;
    assert!(ends(&mut socket).await < Duration::from_secs(3));
    assert!(outcome(&edge, &held).await.starts_with(ending));
}

#[tokio::test]
async fn a_shutdown_cuts_tunnels_that_do_not_end_and_their_outcome_is_kept() {
    let (upstream, _heads) = speaker().await;
    let mut edge =
        Edge::start_with(&route(upstream, "[limits]\ndrain_timeout_ms = 1000"), "").await;
    let (reader, held) = edge.reader().await;
    let mut socket = open(&edge, &reader, &held, "/live/rooms/x").await.unwrap();
    says_back(&mut socket, "hello").await;
    let stopped = edge.shut_down();
    // Within the drain time it goes on.
    says_back(&mut socket, "still here").await;
    ends(&mut socket).await;
    tokio::time::timeout(Duration::from_secs(15), stopped).await.unwrap().unwrap();
    assert!(outcome(&edge, &held).await.starts_with("(cut, "));
}

#[tokio::test]
async fn a_handshake_that_is_not_allowed_does_not_reach_the_upstream() {
    let (upstream, mut heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, ""), "").await;
    let (reader, held) = edge.reader().await;
    let (payer, payers) = edge.payer().await;
    let refused =
        async |agent: &Agent, held: &Held, path: &str| match open(&edge, agent, held, path)
            .await
            .err()
            .map(|error| *error)
        {
            Some(Error::Http(reply)) => {
                let body: Value =
                    serde_json::from_slice(reply.body().as_deref().unwrap_or_default())
                        .unwrap_or_default();
                (reply.status().as_u16(), body["code"].as_str().unwrap_or("none").to_owned())
            }
            other => panic!("{other:?}"),
        };
    let code = |status: u16, code: &str| (status, code.to_owned());
    // A token that may not, and an operation that says nothing of upgrades.
    assert_eq!(refused(&payer, &payers, "/live/rooms/x").await, code(403, "scope_not_granted"));
    assert_eq!(refused(&reader, &held, "/live/plain").await, code(400, "malformed"));
    // A token of another key.
    let (stranger, _) = edge.reader().await;
    let (status, _) = refused(&stranger, &held, "/live/rooms/x").await;
    assert_eq!(status, 401);
    assert!(heads.try_recv().is_err(), "nothing went on");
    // What the upstream refuses is its own answer.
    assert_eq!(refused(&reader, &held, "/live/rooms/closed").await, code(403, "none"));
    // The benign twin.
    let mut socket = open(&edge, &reader, &held, "/live/rooms/x").await.unwrap();
    says_back(&mut socket, "hello").await;
}

#[rstest]
#[case::other_protocol(&[("connection", "upgrade"), ("upgrade", "h2c")])]
#[case::two_protocols(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")])]
#[case::a_list(&[("connection", "upgrade"), ("upgrade", "websocket, h2c")])]
#[case::connection_says_nothing(&[("connection", "keep-alive"), ("upgrade", "websocket")])]
#[case::a_body(&[("connection", "upgrade"), ("upgrade", "websocket"), ("content-length", "3")])]
#[tokio::test]
async fn an_upgrade_has_one_reading(#[case] headers: &[(&str, &str)]) {
    let (upstream, mut heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, ""), "").await;
    let (reader, held) = edge.reader().await;
    let url = format!("{}/live/rooms/x", edge.url);
    let mut request = edge
        .http
        .get(&url)
        .header("Authorization", format!("DPoP {}", held.token))
        .header("DPoP", reader.proof("GET", &url, Some(&held.token)))
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if headers.iter().any(|(name, _)| *name == "content-length") {
        request = request.body("abc");
    }
    assert_eq!(told(request.send().await.unwrap()).await, (400, "malformed".into()));
    assert!(heads.try_recv().is_err());
}

/// Answers every request with these bytes.
async fn parrot(said: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(said.as_bytes()).await;
                let _ = stream.read(&mut head).await;
            });
        }
    });
    address
}

#[rstest]
#[case::other("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")]
#[case::unnamed("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n")]
#[tokio::test]
async fn an_upstream_switches_to_what_was_asked_for_or_to_nothing(#[case] said: &'static str) {
    let edge = Edge::start_with(&route(parrot(said).await, ""), "").await;
    let (reader, held) = edge.reader().await;
    let Err(error) = open(&edge, &reader, &held, "/live/rooms/x").await else {
        panic!("it was let through")
    };
    let Error::Http(reply) = *error else { panic!("{error:?}") };
    assert_eq!(reply.status(), 502);
    assert!(outcome(&edge, &held).await.starts_with("(failed, "));
    // Nor does a plain call become a tunnel.
    let plain = edge.call(&reader, &held, "GET", "/live/plain", None).await;
    assert_eq!(told(plain).await, (502, "bad_gateway".into()));
}

/// Bytes that follow a handshake are a tunnel's when both sides agreed, and otherwise the next request:
/// they never reach an upstream that refused.
#[tokio::test]
async fn a_refused_handshake_smuggles_no_request() {
    let (upstream, mut heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, ""), "").await;
    let (reader, held) = edge.reader().await;
    let host = edge.url.strip_prefix("http://").unwrap();
    let path = "/live/rooms/closed";
    let proof = reader.proof("GET", &format!("{}{path}", edge.url), Some(&held.token));
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
         GET /live/rooms/smuggled HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        held.token
    );
    let lines = raw(&edge, &request).await;
    assert_eq!(lines, ["HTTP/1.1 403 Forbidden", "HTTP/1.1 401 Unauthorized"]);
    assert_eq!(heads.recv().await.unwrap().0, "/base/rooms/closed");
    assert!(heads.try_recv().is_err(), "the second is a request to the gateway");
}

/// RFC 8441 is not offered: over HTTP/2 there are no tunnels.
#[tokio::test]
async fn no_tunnel_is_offered_over_http_2() {
    let (upstream, mut heads) = speaker().await;
    let edge = Edge::start_with(&route(upstream, ""), "").await;
    let (reader, held) = edge.reader().await;
    let stream = TcpStream::connect(edge.url.strip_prefix("http://").unwrap()).await.unwrap();
    let (mut asking, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = |method: &str, path: &str| {
        let url = format!("{}{path}", edge.url);
        axum::http::Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", format!("DPoP {}", held.token))
            .header("dpop", reader.proof(method, &url, Some(&held.token)))
    };
    let mut extended = request("CONNECT", "/live/rooms/x").body(()).unwrap();
    extended.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    asking = asking.ready().await.unwrap();
    let (answer, _) = asking.send_request(extended, false).unwrap();
    assert_eq!(answer.await.unwrap_err().reason(), Some(h2::Reason::PROTOCOL_ERROR));
    assert!(!asking.is_extended_connect_protocol_enabled());
    assert!(heads.try_recv().is_err());
    // The benign twin: the connection lives on, and a plain request on it is served.
    asking = asking.ready().await.unwrap();
    let plain = request("GET", "/bank/stream").body(()).unwrap();
    let (answer, _) = asking.send_request(plain, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
}
