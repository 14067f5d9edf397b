//! A vendor that knows one key, behind a running gateway.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::authority::BILL;
use crate::edge::{Edge, told};

const FIRST: &str = "hunter2-first-key";
const SECOND: &str = "hunter2-second-key";

/// What the vendor takes, and what it was told.
#[derive(Default)]
struct Vendor {
    key: Mutex<String>,
    told: Mutex<Vec<HeaderMap>>,
}

async fn files(State(vendor): State<Arc<Vendor>>, headers: HeaderMap) -> Response {
    vendor.told.lock().await.push(headers.clone());
    let given = headers.get("x-api-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given != vendor.key.lock().await.as_str() {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"vendor\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "no").into_response();
    }
    let echo = [("x-debug", format!("key={given}")), ("x-kept", "1".to_owned())];
    (echo, axum::Json(json!({ "ok": true }))).into_response()
}

async fn echo(headers: HeaderMap) -> String {
    format!("you sent {headers:?} and {}", headers["x-api-key"].to_str().unwrap())
}

async fn start(vendor: &Arc<Vendor>, key: &std::path::Path) -> Edge {
    let router = Router::new()
        .route("/files", get(files))
        .route("/slow", get(echo))
        .with_state(Arc::clone(vendor));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let route = format!(
        r#"
[[route]]
name = "vendor"
path = "/vendor"
audience = "https://tools.dev.example"
upstream = "http://{upstream}"
owner = "team:payments"
binding = "wrapped"
sensitivity = "internal"

[[route.http.operation]]
method = "GET"
path = "/files"
scope = "files.read"
needs = ["files.read"]
argument = [{{ name = "path", in = "query" }}]

[[route.http.operation]]
method = "GET"
path = "/slow"
scope = "files.read"
needs = ["files.read"]
argument = [{{ name = "path", in = "query" }}]

[route.connector]
permissions = ["files.*", "billing.read"]
provenance_header = "X-Audit"

[route.connector.key]
header = "X-Api-Key"
secret = {{ file = "{}" }}
"#,
        key.display()
    );
    Edge::start_with(&route, "").await
}

fn put(path: &std::path::Path, key: &str) {
    bailiwick_identity::private_files::write(path, key.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_vendor_gets_its_key_and_the_agent_never_does() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    put(&key, FIRST);
    let vendor = Arc::new(Vendor::default());
    FIRST.clone_into(&mut *vendor.key.lock().await);
    let edge = start(&vendor, &key).await;
    let (reader, held) = edge.reader().await;
    let read = async || {
        edge.call(&reader, &held, "GET", &format!("/vendor/files?path={BILL}"), None).await
    };

    let reply = read().await;
    assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
    assert!(!reply.headers().contains_key("x-debug"), "the vendor echoes the key there");
    assert_eq!(reply.headers()["x-kept"], "1");
    let headers = vendor.told.lock().await.pop().unwrap();
    assert_eq!(headers["x-api-key"], FIRST);
    let decision = headers["bailiwick-decision"].to_str().unwrap();
    assert!(headers["x-audit"].to_str().unwrap().contains(decision));
    assert!(headers["user-agent"].to_str().unwrap().contains(decision));

    // The vendor's key rotates: until the gateway has it, its refusal is no word on the agent's token.
    SECOND.clone_into(&mut *vendor.key.lock().await);
    let refused = read().await;
    assert!(!refused.headers().contains_key("www-authenticate"));
    assert_eq!(told(refused).await, (502, "bad_gateway".into()));
    put(&key, SECOND);
    assert_eq!(read().await.status(), 200, "without a restart");

    // A body that holds the key breaks off: at once, when it is short.
    let url = format!("{}/vendor/slow", edge.url);
    let proof = reader.proof("GET", &url, Some(&held.token));
    let asked = edge.http.get(format!("{url}?path={BILL}")).header("DPoP", proof);
    let sent = asked.header("Authorization", format!("DPoP {}", held.token)).send().await;
    let echoed = match sent {
        Ok(reply) => reply.text().await,
        Err(error) => Err(error),
    };
    assert!(echoed.is_err(), "{echoed:?}");
}

#[tokio::test]
async fn the_gap_knows_what_the_key_was_used_for() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    put(&key, FIRST);
    let vendor = Arc::new(Vendor::default());
    FIRST.clone_into(&mut *vendor.key.lock().await);
    let edge = start(&vendor, &key).await;
    let (reader, held) = edge.reader().await;
    let path = format!("/vendor/files?path={BILL}");
    assert_eq!(edge.call(&reader, &held, "GET", &path, None).await.status(), 200);
    let mut found = Value::Null;
    for _ in 0..200 {
        let report: Value =
            edge.world.get_as_operator("/v1/gap?system=vendor").await.json().await.unwrap();
        found = report["systems"][0].clone();
        if found["calls"]["allowed"] == 1
            && found["credentials"].as_array().is_some_and(|it| !it.is_empty())
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let credential = &found["credentials"][0];
    assert_eq!(credential["kind"], "key", "{found}");
    let standing: Vec<(&Value, &Value)> = credential["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (&line["action"], &line["standing"]))
        .collect();
    assert_eq!(
        standing,
        [(&json!("billing.read"), &json!("unneeded")), (&json!("files.*"), &json!("wider"))]
    );
    assert!(!found.to_string().contains(FIRST));
}
