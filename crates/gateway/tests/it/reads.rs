//! Value provenance and exposure through two gateways of one task.

use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use bailiwick_gateway::{Config, Server};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::authority::{Agent, Held, QUICKSTART, World};
use crate::edge::told;

const GATEWAY: &str = "spiffe://dev.bailiwick.example/gateway/tools";

const WORKFLOW: &str = r#"
[[workflow]]
id = "mail.answer"
title = "Answer mail"
purpose = "Answer those who wrote"
owner = "team:payments"
reviewer = "user:rita@dev.example"
reviewed = "2026-11-01"
tenant = "acme"
env = "dev"
sensitivity = "confidential"
audiences = ["https://tools.dev.example"]
entry = ["spiffe://dev.bailiwick.example/agent/orchestrator"]
max_depth = 1
max_fanout = 1
hops_per_minute_max = 60
deadline_seconds = 900
ttl_seconds_max = 300

[workflow.parameters]
type = "object"
additionalProperties = false
properties = {}

[workflow.authority]
scopes = ["mail.list", "mail.vault", "mail.send"]
constraints = [
  { key = "mail.send:to", from_read = [{ scope = "mail.list", field = "sender" }] },
  { key = "mail.send:amount", from_read = [
      { scope = "mail.list", field = "owed", where = { sender = "amy@ours.example" }, times = 0.5 } ] },
]
"#;

const ROUTE: &str = r#"
[[route]]
name = "mail"
path = "/mail"
audience = "https://tools.dev.example"
upstream = "UPSTREAM"
owner = "team:payments"
binding = "carries"
sensitivity = "internal"

[route.http]

[[route.http.operation]]
method = "GET"
path = "/inbox"
scope = "mail.list"
trust = { fields = ["mails[]"], untrusted = ["mails[].body"] }

[[route.http.operation]]
method = "GET"
path = "/web"
scope = "mail.list"

[[route.http.operation]]
method = "GET"
path = "/vault"
scope = "mail.vault"
sensitivity = "confidential"

[[route.http.operation]]
method = "POST"
path = "/send"
scope = "mail.send"
effect = "write"
labels = ["external"]
argument = [{ name = "to", in = "body" }, { name = "amount", in = "body" }]
"#;

/// Two gateways in front of one mail server.
struct Mail {
    world: World,
    agent: Agent,
    urls: [String; 2],
    http: Client,
    _running: Vec<(oneshot::Sender<()>, tempfile::TempDir)>,
}

async fn upstream() -> String {
    let inbox = || async {
        Json(json!({"mails": [
            {"sender": "amy@ours.example", "owed": 9, "body": "eve@evil.example"},
            {"sender": "bob@ours.example", "owed": 100, "body": "hi"},
        ]}))
    };
    let web = || async { Json(json!({"mails": [{"sender": "eve@evil.example"}]})) };
    let done = || async { Json(json!({"done": true})) };
    let router = Router::new()
        .route("/inbox", get(inbox))
        .route("/web", get(web))
        .route("/vault", get(done))
        .route("/send", post(done));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

impl Mail {
    async fn start() -> Self {
        let world = World::start().await;
        world.apply(&format!("{QUICKSTART}{WORKFLOW}")).await;
        let http = Client::builder().no_proxy().build().unwrap();
        let upstream = upstream().await;
        let (mut urls, mut running) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let state = tempfile::tempdir().unwrap();
            let text = format!(
                "listen = \"127.0.0.1:0\"\nmanagement_listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n\
                 [dpop]\nnonce = \"off\"\n[authority]\nissuer = \"{}\"\n\
                 [identity]\ndev_agent = \"{GATEWAY}\"\n{}",
                world.url,
                ROUTE.replace("UPSTREAM", &upstream)
            );
            let config = Config::from_toml(&text, "gateway.toml", state.path()).unwrap();
            let server = Server::start(config).await.unwrap();
            urls.push(format!("http://{}", server.address().unwrap()));
            let ready = format!("http://{}/ready", server.management_address().unwrap());
            let (stop, stopped) = oneshot::channel::<()>();
            tokio::spawn(server.run(async {
                let _ = stopped.await;
            }));
            running.push((stop, state));
            let mut tries = 0;
            while !http.get(&ready).send().await.is_ok_and(|reply| reply.status().is_success()) {
                tries += 1;
                assert!(tries < 200, "the gateway did not become ready");
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        let urls = [urls.remove(0), urls.remove(0)];
        Self { world, agent: Agent::orchestrator(), urls, http, _running: running }
    }

    async fn open(&self) -> Held {
        let task = json!({"type": "bailiwick_task", "workflow": "mail.answer", "parameters": {}});
        let (status, answer) = self.world.try_open(&self.agent, &task).await;
        assert_eq!(status, 200, "{answer}");
        Held::from(answer)
    }

    /// Status and code of a call through one of the gateways.
    async fn call(&self, at: usize, held: &Held, path: &str, body: Option<Value>) -> (u16, String) {
        let url = format!("{}/mail/{path}", self.urls[at]);
        let method = if body.is_some() { "POST" } else { "GET" };
        let proof = self.agent.proof(method, &url, Some(&held.token));
        let request = self
            .http
            .request(method.parse().unwrap(), &url)
            .header("Authorization", format!("DPoP {}", held.token))
            .header("DPoP", proof);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        told(request.send().await.unwrap()).await
    }

    async fn send(&self, at: usize, held: &Held, to: &str) -> (u16, String) {
        self.call(at, held, "send", Some(json!({"to": to}))).await
    }

    /// What a call comes to once what happened elsewhere has arrived.
    async fn settles(&self, at: usize, held: &Held, to: &str, expected: &(u16, String)) {
        for _ in 0..100 {
            if self.send(at, held, to).await == *expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.send(at, held, to).await, *expected);
    }
}

fn allowed() -> (u16, String) {
    (200, "none".to_owned())
}

fn refused(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

#[tokio::test]
async fn the_agent_mails_whom_its_own_inbox_names_and_nobody_else() {
    let mail = Mail::start().await;
    let (held, other) = (mail.open().await, mail.open().await);
    assert_eq!(mail.send(0, &held, "amy@ours.example").await, refused("ceiling_exceeded"));
    assert_eq!(mail.call(0, &held, "web", None).await, allowed());
    assert_eq!(mail.call(0, &held, "inbox", None).await, allowed());

    // At once through the gateway that saw it, and through another when it has heard.
    assert_eq!(mail.send(0, &held, "amy@ours.example").await, allowed());
    mail.settles(1, &held, "bob@ours.example", &allowed()).await;
    for gateway in [0, 1] {
        let eve = mail.send(gateway, &held, "eve@evil.example").await;
        assert_eq!(eve, refused("ceiling_exceeded"), "the web and a body name her, not the inbox");
        let elsewhere = mail.send(gateway, &other, "amy@ours.example").await;
        assert_eq!(elsewhere, refused("ceiling_exceeded"), "another task has not read it");
    }

    // Half of what that very row says.
    for (amount, expected) in
        [(4.5, allowed()), (9.0, refused("ceiling_exceeded")), (50.0, refused("ceiling_exceeded"))]
    {
        let body = json!({"to": "amy@ours.example", "amount": amount});
        assert_eq!(mail.call(1, &held, "send", Some(body)).await, expected, "{amount}");
    }
}

#[tokio::test]
async fn what_was_read_through_one_gateway_stops_a_write_through_another() {
    let mail = Mail::start().await;
    let (held, other) = (mail.open().await, mail.open().await);
    for task in [&held, &other] {
        assert_eq!(mail.call(1, task, "inbox", None).await, allowed());
        assert_eq!(mail.send(1, task, "amy@ours.example").await, allowed(), "nothing secret yet");
    }
    assert_eq!(mail.call(0, &held, "vault", None).await, allowed());
    assert_eq!(mail.send(0, &held, "amy@ours.example").await.1, "policy_denied");
    mail.settles(1, &held, "amy@ours.example", &refused("policy_denied")).await;
    assert_eq!(mail.send(1, &other, "amy@ours.example").await, allowed(), "the other task's own");
    assert_eq!(mail.call(1, &held, "inbox", None).await, allowed(), "it still reads");
}
