//! A running gateway in front of an upstream that tells what reached it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use bailiwick_gateway::{Config, Server};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::authority::{Agent, Held, World, paying, reading};

/// Operations, as `gateway.toml` has them.
const ROUTES: &str = r#"
[[route]]
name = "bank"
path = "/bank"
audience = "https://tools.dev.example"
upstream = "UPSTREAM"
owner = "team:payments"
binding = "carries"
sensitivity = "confidential"
OFFLINE

[route.http]

[[route.http.operation]]
method = "POST"
path = "/payments"
scope = "banking.send_money"
argument = [{ name = "recipient", in = "body" }, { name = "amount", in = "body" }]

[[route.http.operation]]
method = "GET"
path = "/files/{path}"
scope = "files.read"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/stream"
scope = "files.read"

[[route.http.operation]]
method = "GET"
path = "/slow"
scope = "files.read"

[[route.http.operation]]
method = "GET"
path = "/broken"
scope = "files.read"

[[route.http.operation]]
method = "PUT"
path = "/upload"
scope = "files.read"
body = "opaque"
"#;

/// The gateway's own agent in the quickstart registry.
const GATEWAY: &str = "spiffe://dev.bailiwick.example/gateway/tools";

/// What reached the upstream.
#[derive(Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A gateway, its Authority and its upstream.
pub struct Edge {
    pub world: World,
    pub running: Running,
}

impl std::ops::Deref for Edge {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl std::ops::DerefMut for Edge {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// A gateway and its upstream.
pub struct Running {
    pub url: String,
    pub management: String,
    pub http: Client,
    pub seen: mpsc::UnboundedReceiver<Seen>,
    stop: Option<oneshot::Sender<()>>,
    done: Option<tokio::task::JoinHandle<()>>,
    _state: tempfile::TempDir,
}

impl Edge {
    pub async fn start() -> Self {
        Self::start_with("", "").await
    }

    /// `top` goes before the routes, `route` into the route.
    pub async fn start_with(top: &str, route: &str) -> Self {
        Self::start_before(World::start().await, top, route).await
    }

    pub async fn start_before(world: World, top: &str, route: &str) -> Self {
        let running = Running::start(&world.url, top, route).await;
        Self { world, running }
    }

    /// Another gateway of the same Authority.
    pub async fn beside(&self, route: &str) -> Running {
        Running::start(&self.world.url, "", route).await
    }
}

impl Running {
    async fn start(issuer: &str, top: &str, route: &str) -> Self {
        let (upstream, seen) = upstream().await;
        let state = tempfile::tempdir().unwrap();
        let routes =
            ROUTES.replace("UPSTREAM", &format!("http://{upstream}")).replace("OFFLINE", route);
        let text = format!(
            "listen = \"127.0.0.1:0\"\nmanagement_listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n{top}\n\
             [dpop]\nnonce = \"off\"\n\
             [authority]\nissuer = \"{}\"\n[identity]\ndev_agent = \"{GATEWAY}\"\n{routes}",
            issuer
        );
        let config = Config::from_toml(&text, "gateway.toml", state.path()).unwrap();
        let server = Server::start(config).await.unwrap();
        let url = format!("http://{}", server.address().unwrap());
        let management = format!("http://{}", server.management_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let http = Client::builder().no_proxy().build().unwrap();
        let (stop, done) = (Some(stop), Some(done));
        let running = Self { url, management, http, seen, stop, done, _state: state };
        running.wait_until_ready().await;
        running
    }

    async fn wait_until_ready(&self) {
        for _ in 0..200 {
            let ready = self.http.get(format!("{}/ready", self.management)).send().await;
            if ready.is_ok_and(|reply| reply.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the gateway did not become ready");
    }

    /// Where the gateway keeps its state.
    pub fn state_dir(&self) -> std::path::PathBuf {
        self._state.path().join("state")
    }

    /// Asks the gateway to stop; the handle resolves when it has.
    pub fn shut_down(&mut self) -> tokio::task::JoinHandle<()> {
        let _ = self.stop.take().unwrap().send(());
        self.done.take().unwrap()
    }

    /// One call under a token, with a fresh proof.
    pub async fn call(
        &self,
        agent: &Agent,
        held: &Held,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let url = format!("{}{path}", self.url);
        let proof = agent.proof(method, url.split('?').next().unwrap(), Some(&held.token));
        self.call_with(&held.token, &proof, method, path, body).await
    }

    pub async fn call_with(
        &self,
        token: &str,
        proof: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let method: Method = method.parse().unwrap();
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .header("Authorization", format!("DPoP {token}"))
            .header("DPoP", proof);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// A payment, and the status and code of the answer.
    pub async fn pay(&self, agent: &Agent, held: &Held, to: &str, amount: f64) -> (u16, String) {
        let body = json!({ "recipient": to, "amount": amount });
        told(self.call(agent, held, "POST", "/bank/payments", Some(body)).await).await
    }

    /// What reached the upstream so far.
    pub fn arrived(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

impl Edge {
    /// An agent that may pay, with its token.
    pub async fn payer(&self) -> (Agent, Held) {
        let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
        let root = self.world.open(&orchestrator).await;
        let detail = paying(&root);
        let held = self.world.hop(&orchestrator, &root, &payer, &detail).await;
        (payer, held)
    }

    /// An agent that may read, with its token.
    pub async fn reader(&self) -> (Agent, Held) {
        let (orchestrator, reader) = (Agent::orchestrator(), Agent::reader());
        let root = self.world.open(&orchestrator).await;
        let detail = reading(&root);
        let held = self.world.hop(&orchestrator, &root, &reader, &detail).await;
        (reader, held)
    }

    /// The trace of a task, once it tells of `what`.
    pub async fn trace_with(&self, task: &str, what: impl Fn(&Value) -> bool) -> Value {
        let mut trace = Value::Null;
        for _ in 0..200 {
            let reply = self.world.get_as_operator(&format!("/v1/trace/{task}")).await;
            trace = reply.json().await.unwrap();
            if what(&trace) {
                return trace;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the trace does not tell it: {trace}");
    }
}

/// Status and code of an answer.
pub async fn told(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    let code = body["code"].as_str().unwrap_or("none").to_owned();
    (status, code)
}

async fn upstream() -> (SocketAddr, mpsc::UnboundedReceiver<Seen>) {
    let (tell, seen) = mpsc::unbounded_channel();
    let echo = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(Seen { method, uri, headers, body });
            (
                [
                    ("connection", "x-internal"),
                    ("x-internal", "1"),
                    ("set-cookie", "vendor=1"),
                    ("x-kept", "1"),
                ],
                axum::Json(json!({ "done": true })),
            )
        }
    };
    let router = Router::new()
        .route("/stream", get(ticks))
        .route("/slow", get(slow))
        .route("/broken", get(broken))
        .fallback(any(echo))
        .layer(axum::extract::DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

/// An event every 20 ms, without end.
async fn ticks() -> impl IntoResponse {
    let stream = async_stream();
    ([("content-type", "text/event-stream")], Body::from_stream(stream))
}

fn async_stream() -> impl futures_core::Stream<Item = Result<Bytes, std::io::Error>> {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        for tick in 0_u64.. {
            let event = Bytes::from(format!("data: {{\"tick\":{tick}}}\n\n"));
            if send.send(Ok(event)).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(receive)
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(700)).await;
    "late"
}

/// Promises more than it sends.
async fn broken() -> impl IntoResponse {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        let _ = send.send(Ok(Bytes::from_static(b"half"))).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let _ = send.send(Err(std::io::Error::other("gone"))).await;
    });
    Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receive))
}
