//! An A2A agent of a vendor that knows one key, behind a running gateway.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::authority::{Agent, Held, IBAN};
use crate::edge::Edge;

const KEY: &str = "hunter2-vendor-key";
const ROUTE: &str = r#"
[[route]]
name = "clerk"
path = "/clerk"
audience = "https://tools.dev.example"
upstream = "UPSTREAM"
owner = "team:payments"
binding = "wrapped"
sensitivity = "confidential"

[route.a2a]
rpc_path = "/rpc"

[[route.a2a.skill]]
id = "pay"
scope = "banking.send_money"

[route.connector]
permissions = ["pay"]

[route.connector.key]
header = "X-Api-Key"
secret = { file = "KEY" }
"#;

/// What reached the agent, and how it answers instead of serving.
#[derive(Default)]
struct Vendor {
    seen: Mutex<Vec<HeaderMap>>,
    elsewhere: Mutex<Option<u16>>,
}

impl Vendor {
    fn answer(&self, headers: HeaderMap, body: Value) -> Response {
        self.seen.lock().unwrap().push(headers);
        match *self.elsewhere.lock().unwrap() {
            None => axum::Json(body).into_response(),
            Some(401) => {
                let challenge =
                    [("www-authenticate", "Bearer resource_metadata=\"https://evil.example\"")];
                (axum::http::StatusCode::UNAUTHORIZED, challenge).into_response()
            }
            Some(_) => Redirect::temporary("https://evil.example/").into_response(),
        }
    }
}

async fn card(State(vendor): State<Arc<Vendor>>, headers: HeaderMap) -> Response {
    vendor.answer(headers, json!({ "name": "clerk", "supportedInterfaces": [], "skills": [] }))
}

async fn rpc(State(vendor): State<Arc<Vendor>>, headers: HeaderMap, body: String) -> Response {
    let message: Value = serde_json::from_str(&body).unwrap();
    let task = match message["method"].as_str() {
        Some("SendMessage") => json!({ "task": { "id": "r-1", "contextId": "c-1" } }),
        _ => json!({ "id": "r-1", "contextId": "c-1" }),
    };
    vendor.answer(headers, json!({ "jsonrpc": "2.0", "id": message["id"], "result": task }))
}

async fn behind() -> (Edge, Arc<Vendor>, tempfile::TempDir) {
    let vendor = Arc::new(Vendor::default());
    let router = Router::new()
        .route("/agent/.well-known/agent-card.json", get(card))
        .route("/agent/rpc", post(rpc))
        .with_state(Arc::clone(&vendor));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}/agent", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    bailiwick_identity::private_files::write(&key, KEY.as_bytes()).unwrap();
    let route = ROUTE.replace("UPSTREAM", &upstream).replace("KEY", &key.display().to_string());
    (Edge::start_with(&route, "").await, vendor, directory)
}

async fn ask(edge: &Edge, agent: &Agent, held: &Held, message: Value) -> (u16, Value) {
    let url = format!("{}/clerk/rpc", edge.url);
    let request = edge
        .http
        .post(&url)
        .header("Authorization", format!("DPoP {}", held.token))
        .header("DPoP", agent.proof("POST", &url, Some(&held.token)))
        .header("A2A-Version", "1.0");
    let reply = request.json(&message).send().await.unwrap();
    assert!(!reply.headers().contains_key("location"));
    (reply.status().as_u16(), reply.json().await.unwrap())
}

fn pay(to: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": {
        "messageId": "m", "role": "ROLE_USER", "metadata": { "urn:bailiwick:skill": "pay" },
        "parts": [{ "data": { "recipient": to, "amount": 1 } }],
    }}})
}

fn get_task() -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "GetTask", "params": { "id": "r-1" } })
}

#[tokio::test]
async fn a_card_is_asked_for_without_the_credential_and_a_call_with_it() {
    let (edge, vendor, _key) = behind().await;
    let url = format!("{}/clerk/.well-known/agent-card.json", edge.url);
    let card = edge.http.get(&url).header("X-User", "root").send().await.unwrap();
    assert_eq!(card.status(), 200);
    let seen = vendor.seen.lock().unwrap().pop().unwrap();
    assert!(!seen.contains_key("x-api-key") && !seen.contains_key("x-user"), "{seen:?}");

    let (payer, held) = edge.payer().await;
    let (status, reply) = ask(&edge, &payer, &held, pay(IBAN)).await;
    assert_eq!((status, &reply["result"]["task"]["id"]), (200, &json!("r-1")));
    assert_eq!(vendor.seen.lock().unwrap().pop().unwrap()["x-api-key"], KEY);
}

#[tokio::test]
async fn no_reply_leads_an_agent_elsewhere() {
    let (edge, vendor, _key) = behind().await;
    let (payer, held) = edge.payer().await;
    let url = format!("{}/clerk/.well-known/agent-card.json", edge.url);
    for elsewhere in [307, 401] {
        *vendor.elsewhere.lock().unwrap() = Some(elsewhere);
        let card = edge.http.get(&url).send().await.unwrap();
        assert_eq!(card.status(), 502);
        assert!(!card.headers().contains_key("location"));
        assert!(!card.headers().contains_key("www-authenticate"));
        let (status, reply) = ask(&edge, &payer, &held, pay(IBAN)).await;
        assert_eq!((status, &reply["error"]["code"]), (200, &json!(-32_603)));
        assert_eq!(reply["error"]["data"][0]["metadata"]["code"], "bad_gateway");
    }
    *vendor.elsewhere.lock().unwrap() = None;
    assert_eq!(edge.http.get(&url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn refusals_are_errors_of_a2a_and_reach_nobody() {
    let (edge, vendor, _key) = behind().await;
    let (payer, held) = edge.payer().await;
    let (status, reply) = ask(&edge, &payer, &held, pay("GB00ATTACKER")).await;
    assert_eq!((status, &reply["id"]), (200, &json!(1)));
    assert_eq!(reply["error"]["code"], -32_004);
    let info = &reply["error"]["data"][0];
    assert_eq!(info["metadata"]["code"], "ceiling_exceeded");
    assert!(info["metadata"]["decision_id"].is_string());
    assert!(reply["error"]["message"].as_str().unwrap().starts_with("ceiling_exceeded: "));

    // The task of another chain, before and after there is one.
    let (other, theirs) = edge.payer().await;
    assert_eq!(ask(&edge, &payer, &held, get_task()).await.1["error"]["code"], -32_001);
    assert!(vendor.seen.lock().unwrap().is_empty());
    assert_eq!(ask(&edge, &payer, &held, pay(IBAN)).await.0, 200);
    assert_eq!(ask(&edge, &payer, &held, get_task()).await.1["result"]["id"], "r-1");
    let (_, reply) = ask(&edge, &other, &theirs, get_task()).await;
    assert_eq!(reply["error"]["code"], -32_001);
    assert_eq!(reply["error"]["data"][0]["metadata"]["code"], "task_mismatch");
    assert_eq!(vendor.seen.lock().unwrap().len(), 2);

    let nobody = edge.http.post(format!("{}/clerk/rpc", edge.url)).json(&get_task());
    let reply = nobody.header("A2A-Version", "1.0").send().await.unwrap();
    assert_eq!(reply.status(), 401);
    assert!(reply.headers().contains_key("www-authenticate"));
    let told: Value = reply.json().await.unwrap();
    assert_eq!(told["error"]["data"][0]["metadata"]["code"], "provenance_missing");
    let rest = edge.http.get(format!("{}/clerk/tasks/r-1", edge.url));
    let reply = rest.header("A2A-Version", "1.0").send().await.unwrap();
    assert_eq!(reply.status(), 401);
    assert_eq!(reply.headers()["content-type"], "application/a2a+json");
    let told: Value = reply.json().await.unwrap();
    assert_eq!(told["error"]["status"], "UNAUTHENTICATED");
}
