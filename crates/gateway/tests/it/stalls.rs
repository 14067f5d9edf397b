//! Callers who do not read, upstreams that do not take, and handshakes that do not go on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{any, get};
use bailiwick_gateway::{Config, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::authority::{Agent, Held};
use crate::edge::Edge;

fn route(upstream: SocketAddr, limits: &str) -> String {
    let operation = |method: &str, path: &str, body: &str| {
        format!(
            "[[route.http.operation]]\nmethod = \"{method}\"\npath = \"{path}\"\n\
             scope = \"files.read\"\nbody = \"{body}\"\n"
        )
    };
    format!(
        "[limits]\n{limits}\n[[route]]\nname = \"still\"\npath = \"/still\"\n\
         audience = \"https://tools.dev.example\"\nupstream = \"http://{upstream}\"\n\
         owner = \"team:payments\"\nbinding = \"carries\"\nsensitivity = \"internal\"\n{}{}{}{}",
        operation("GET", "/flood", "none"),
        operation("GET", "/quiet", "none"),
        operation("GET", "/short", "none"),
        operation("PUT", "/upload", "opaque"),
    )
}

/// A flood without end, a stream that pauses for a second, a short answer, and a taker of uploads.
async fn upstream() -> SocketAddr {
    let streamed = |pieces: usize, size: usize, pause: Duration| {
        let (send, receive) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        tokio::spawn(async move {
            for _ in 0..pieces {
                if send.send(Ok(vec![b'x'; size].into())).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        });
        Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receive))
    };
    let router = Router::new()
        .route("/flood", get(move || async move { streamed(usize::MAX, 65536, Duration::ZERO) }))
        .route("/quiet", get(move || async move { streamed(3, 10, Duration::from_secs(1)) }))
        .route("/short", get(|| async { "short" }))
        .fallback(any(|body: Bytes| async move { body.len().to_string() }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn head(edge: &Edge, agent: &Agent, held: &Held, method: &str, path: &str) -> String {
    let host = edge.url.strip_prefix("http://").unwrap();
    let proof = agent.proof(method, &format!("{}{path}", edge.url), Some(&held.token));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n",
        held.token
    )
}

async fn connect(edge: &Edge) -> TcpStream {
    TcpStream::connect(edge.url.strip_prefix("http://").unwrap()).await.unwrap()
}

async fn ends_as(edge: &Edge, held: &Held, ending: &str) {
    let said = format!("({ending},");
    edge.trace_with(&held.task(), |trace| trace.to_string().contains(&said)).await;
}

async fn in_flight(edge: &Edge) -> String {
    let url = format!("{}/metrics", edge.management);
    let text = edge.http.get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("bailiwick_gateway_in_flight ")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_caller_who_takes_nothing_is_let_go_and_a_slow_one_is_not() {
    let edge = Edge::start_with(&route(upstream().await, "write_timeout_ms = 600"), "").await;
    let (reader, held) = edge.reader().await;
    let ask = |held: &Held| format!("{}\r\n", head(&edge, &reader, held, "GET", "/still/flood"));
    let mut deaf = connect(&edge).await;
    deaf.write_all(ask(&held).as_bytes()).await.unwrap();
    ends_as(&edge, &held, "abandoned").await;
    assert_eq!(in_flight(&edge).await, "0");

    // Takes a little now and then, for longer than the bound.
    let (reader, held) = edge.reader().await;
    let mut slow = connect(&edge).await;
    let request = format!("{}\r\n", head(&edge, &reader, &held, "GET", "/still/flood"));
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut part = vec![0; 8 * 1024 * 1024];
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        slow.read_exact(&mut part).await.unwrap();
    }
    assert_eq!(in_flight(&edge).await, "1");
}

#[tokio::test]
async fn a_stream_of_http_2_that_nobody_reads_keeps_no_place() {
    let edge = Edge::start_with(&route(upstream().await, "write_timeout_ms = 600"), "").await;
    let (reader, held) = edge.reader().await;
    let ask = |reader: &Agent, held: &Held, path: &str| {
        let url = format!("{}{path}", edge.url);
        axum::http::Request::builder()
            .uri(&url)
            .header("authorization", format!("DPoP {}", held.token))
            .header("dpop", reader.proof("GET", &url, Some(&held.token)))
            .body(())
            .unwrap()
    };
    // A window of nothing: what was asked for can never be sent.
    let mut shut = h2::client::Builder::new();
    shut.initial_window_size(0);
    let (mut asking, connection) = shut.handshake::<_, Bytes>(connect(&edge).await).await.unwrap();
    tokio::spawn(connection);
    let (answer, _) = asking.send_request(ask(&reader, &held, "/still/flood"), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(in_flight(&edge).await, "1");
    ends_as(&edge, &held, "abandoned").await;
    assert_eq!(in_flight(&edge).await, "0");

    // The benign twin waits for the upstream, for longer than the bound.
    let (reader, others) = edge.reader().await;
    let stream = connect(&edge).await;
    let (mut asking, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let (answer, _) = asking.send_request(ask(&reader, &others, "/still/quiet"), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut length = 0;
    while let Some(part) = body.data().await {
        let part = part.unwrap();
        body.flow_control().release_capacity(part.len()).unwrap();
        length += part.len();
    }
    assert_eq!(length, 30);
    ends_as(&edge, &others, "complete").await;
}

#[tokio::test]
async fn an_upload_is_bounded_by_its_progress_and_not_by_its_length() {
    let upstream = upstream().await;
    let edge = Edge::start_with(&route(upstream, "upstream_timeout_ms = 600"), "").await;
    let (reader, held) = edge.reader().await;
    let head = head(&edge, &reader, &held, "PUT", "/still/upload");
    let mut slow = connect(&edge).await;
    let begin = format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    slow.write_all(begin.as_bytes()).await.unwrap();
    let started = Instant::now();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        slow.write_all(b"3\r\nabc\r\n").await.unwrap();
    }
    slow.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("24"), "{answer}");
    assert!(started.elapsed() > Duration::from_millis(1500));
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok(accepted) = listener.accept().await {
            kept.push(accepted);
        }
    });
    let edge = Edge::start_with(&route(deaf, "upstream_timeout_ms = 600"), "").await;
    let (reader, held) = edge.reader().await;
    let url = format!("{}/still/upload", edge.url);
    let started = Instant::now();
    let reply = edge
        .http
        .put(&url)
        .header("Authorization", format!("DPoP {}", held.token))
        .header("DPoP", reader.proof("PUT", &url, Some(&held.token)))
        .body(vec![7; 64 * 1024 * 1024])
        .send()
        .await;
    // The caller may still be writing when the answer comes: the outcome is what counts.
    if let Ok(reply) = reply {
        assert_eq!(reply.status(), 504);
    }
    assert!(started.elapsed() < Duration::from_secs(8));
    ends_as(&edge, &held, "failed").await;
}

#[tokio::test]
async fn an_upload_is_cut_when_its_chain_dies() {
    let edge = Edge::start_with(&route(upstream().await, ""), "").await;
    let (reader, held) = edge.reader().await;
    let head = head(&edge, &reader, &held, "PUT", "/still/upload");
    let mut stream = connect(&edge).await;
    let begin = format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    stream.write_all(begin.as_bytes()).await.unwrap();
    edge.trace_with(&held.task(), |trace| trace.to_string().contains("still")).await;
    let body = json!({ "target": { "jti": held.jti() }, "reason": "test", "dry_run": false });
    assert!(edge.world.post_as_operator("/v1/revocations", &body).await.status().is_success());
    ends_as(&edge, &held, "cut").await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 401");
}

/// A gateway with TLS, and the trust in its certificate. Nobody calls its Authority.
async fn behind_tls(limits: &str) -> (SocketAddr, TlsConnector, tempfile::TempDir) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(state.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
    let text = format!(
        "listen = \"127.0.0.1:0\"\nmanagement_listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n\
         public_url = \"https://localhost\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n\
         [authority]\nissuer = \"http://127.0.0.1:9\"\n\
         [identity]\ndev_agent = \"spiffe://dev.bailiwick.example/g\"\n{}",
        route(upstream, limits)
    );
    let config = Config::from_toml(&text, "gateway.toml", state.path()).unwrap();
    let server = Server::start(config).await.unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.run(std::future::pending()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (address, TlsConnector::from(Arc::new(client)), state)
}

async fn greets(address: SocketAddr, tls: &TlsConnector) -> Duration {
    let started = Instant::now();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = tls.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let ask = "GET /still/short HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 401");
    started.elapsed()
}

#[tokio::test]
async fn handshakes_that_do_not_go_on_cost_the_others_little() {
    let limits = "handshake_timeout_ms = 1000\nhandshakes_max = 1";
    let (address, tls, _state) = behind_tls(limits).await;
    // Who says nothing takes no slot.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(greets(address, &tls).await < Duration::from_millis(700));
    // Who begins and does not go on takes the only one, and not for long.
    let begun = Instant::now();
    let mut hello = Vec::new();
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::clone(tls.config()), name).unwrap();
    client.write_tls(&mut hello).unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(&hello).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    greets(address, &tls).await;
    assert!(begun.elapsed() > Duration::from_millis(900), "it waited for the slot");
    // All of them are closed in the end.
    for mut stream in silent.into_iter().chain([half]) {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut rest));
        let _ = closed.await.expect("it is closed");
    }
}
