//! Coverage: every operation of the OpenAPI document refuses a caller without credentials, unless it
//! is listed as public here.

use serde_json::{Value, json};

use crate::world::World;

/// Operations that anybody may call: they hold nothing but public material, or authenticate by what
/// is in the body.
const PUBLIC: &[(&str, &str)] = &[
    ("get", "/.well-known/oauth-authorization-server"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/.well-known/status-list-jwks.json"),
    ("get", "/.well-known/authzen-configuration"),
    ("get", "/status-lists/{list}"),
    ("get", "/ledger/checkpoint"),
    ("get", "/ledger/vkey"),
];

#[tokio::test]
async fn every_operation_refuses_the_anonymous_unless_it_is_public() {
    let world = World::start().await;
    let document = serde_json::to_value(bailiwick_authority::openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let public = PUBLIC.contains(&(method.as_str(), path.as_str()));
            let (status, answer) = anonymous(&world, method, path).await;
            if public {
                assert!(status < 300, "{method} {path}: {status} {answer}");
            } else {
                assert!(matches!(status, 400 | 401), "{method} {path}: {status} {answer}");
                assert!(answer["code"].is_string(), "{method} {path} has no code: {answer}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 35, "only {seen} operations");
    let stale = PUBLIC.iter().filter(|(method, path)| document["paths"][path][method].is_null());
    assert_eq!(stale.count(), 0, "a public operation that the document does not have");
}

async fn anonymous(world: &World, method: &str, path: &str) -> (u16, Value) {
    let at = path.replace("{list}", "0").replace("{index}", "0").replace("{id}", "x");
    let url = format!("{}{at}", world.url);
    let request = match method {
        "get" => world.http.get(if at == "/v1/receipts" { format!("{url}?count=1") } else { url }),
        _ if at.starts_with("/oauth/") => world.http.post(url).form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", "x"),
            ("subject_token_type", "urn:bailiwick:token-type:grant"),
            ("token", "x"),
        ]),
        _ => world.http.post(url).json(&body_of(&at)),
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

const NO_ID: &str = "0192b7a0-0000-7000-8000-000000000000";

/// A body of the right form, so that what refuses is the missing credential.
fn body_of(path: &str) -> Value {
    match path {
        "/v1/tasks" => json!({"workflow": "x", "audience": "https://x.example"}),
        "/v1/revocations" => json!({"target": {"agent": "x"}}),
        "/v1/policies" => json!({"sources": []}),
        "/access/v1/evaluation" => json!({
            "subject": {"type": "agent", "id": "x"}, "action": {"name": "x"},
            "resource": {"type": "system", "id": "x"},
        }),
        "/v1/enforcement/downstreams" => json!({"routes": []}),
        "/v1/enforcement/leases" => json!({
            "epoch": NO_ID, "jti": NO_ID,
            "needs": [{"key": "x", "kind": "subtree", "need_micros": 1, "want_micros": 1}],
        }),
        "/v1/approvals" => json!({"call": call()}),
        "/v1/enforcement/approvals/use" => json!({"call": call(), "decision_id": NO_ID}),
        "/v1/approvals/x/approve" | "/v1/approvals/x/refuse" => {
            json!({"digest": bailiwick_core::ActionDigest::of_bytes(b"")})
        }
        "/v1/enforcement/tasks/x/exposure" => json!({"level": "public"}),
        "/v1/enforcement/leases/return" => json!({"epoch": NO_ID, "through": 0, "leases": []}),
        _ => json!({}),
    }
}

fn call() -> Value {
    json!({
        "jti": NO_ID, "system": "x", "resource": "x", "scope": "x", "needs": ["ask"],
        "digest": bailiwick_core::ActionDigest::of_bytes(b""),
    })
}

/// The reference page and the document are made from the code; run with `BAILIWICK_BLESS=1` to renew.
#[test]
fn the_reference_is_what_the_code_says() {
    let document = serde_json::to_value(bailiwick_authority::openapi()).unwrap();
    let json = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    compare("openapi.json", &json);
    compare("http-api.md", &page(&document));
}

fn compare(name: &str, made: &str) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("BAILIWICK_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{name} is not what the code says: run this test with BAILIWICK_BLESS=1");
}

fn page(document: &Value) -> String {
    let mut page = String::from(
        "# HTTP API\n\nMade from the code; the whole of it, with every field, is in \
         [openapi.json](openapi.json) and at `/openapi.json` of a running Authority. Refusals are\n\
         RFC 9457 problems (RFC 6749 errors at `/oauth/token`) with a stable `code`: see \
         [problems](../problems.md).\n\n\
         People authenticate with `Authorization: Bearer <OIDC token>`, workloads with `Bearer <SVID>` \
         or a client\ncertificate, holders of a hop token with `Authorization: DPoP <token>` and a \
         `DPoP` proof.\n",
    );
    let mut tags: Vec<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    tags.dedup();
    for tag in tags {
        page.push_str(&format!(
            "\n## {tag}\n\n| operation | what | answers |\n| --- | --- | --- |\n"
        ));
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if operation["tags"] != json!([tag]) {
                    continue;
                }
                let answers: Vec<&str> = operation["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(String::as_str)
                    .collect();
                let what = operation["summary"].as_str().unwrap_or_default();
                let method = method.to_uppercase();
                page.push_str(&format!(
                    "| `{method} {path}` | {what} | {} |\n",
                    answers.join(", ")
                ));
            }
        }
    }
    page
}
