//! What is allowed goes through and leaves its record; what is not, does not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::authority::{Agent, BILL, IBAN, World, now};
use crate::edge::{Edge, told};

#[tokio::test]
async fn an_allowed_call_arrives_without_credentials_and_leaves_its_record() {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let response = edge
        .call(
            &payer,
            &held,
            "POST",
            "/bank/payments",
            Some(json!({"recipient": IBAN, "amount": 5})),
        )
        .await;
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["x-kept"], "1");
    assert!(!headers.contains_key("x-internal"), "named by Connection: for one hop only");
    assert!(!headers.contains_key("set-cookie"), "the vendor's session is not the agent's");

    let seen = edge.arrived().pop().unwrap();
    assert_eq!(seen.uri.path(), "/payments");
    for name in ["authorization", "dpop", "cookie", "delegation-chain", "actor-token"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert!(seen.headers.contains_key("bailiwick-provenance"));
    let decision = seen.headers["bailiwick-decision"].to_str().unwrap().to_owned();

    let trace = edge
        .trace_with(&held.task(), |trace| {
            let text = trace.to_string();
            text.contains(&decision) && text.contains("(complete,")
        })
        .await;
    let action = trace["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|action| action["decision_id"] == decision.as_str())
        .unwrap()
        .clone();
    assert_eq!(action["allow"], true);
    assert_eq!(action["agent"], payer.id);
    assert_eq!(action["scope"], "banking.send_money");
    assert_eq!(action["arguments"]["amount"], 5);
}

#[tokio::test]
async fn every_refusal_has_its_code_and_reaches_nobody() {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let (reader, reading) = edge.reader().await;
    let other = Agent::payer();
    let url = format!("{}/bank/payments", edge.url);
    let body = || Some(json!({ "recipient": IBAN, "amount": 1 }));

    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await.0, 200, "the benign twin");
    let proof = payer.proof("POST", &url, Some(&held.token));
    let first = edge.call_with(&held.token, &proof, "POST", "/bank/payments", body()).await;
    assert_eq!(first.status(), 200);
    edge.arrived();

    let again = edge.call_with(&held.token, &proof, "POST", "/bank/payments", body()).await;
    assert_eq!(told(again).await, (401, "proof_replayed".into()));
    let none = edge.http.post(&url).json(&body()).send().await.unwrap();
    assert!(none.headers()["www-authenticate"].to_str().unwrap().contains("resource_metadata"));
    assert_eq!(told(none).await, (401, "provenance_missing".into()));
    assert_eq!(edge.pay(&other, &held, IBAN, 1.0).await, (401, "holder_binding_failed".into()));
    let get = payer.proof("GET", &url, Some(&held.token));
    let wrong = edge.call_with(&held.token, &get, "POST", "/bank/payments", body()).await;
    assert_eq!(told(wrong).await, (401, "holder_binding_failed".into()));
    let old = bailiwick_core::UnixMillis(now().0 - 3_600_000);
    let stale = payer.proof_at("POST", &url, Some(&held.token), old, &[]);
    let stale = edge.call_with(&held.token, &stale, "POST", "/bank/payments", body()).await;
    assert_eq!(told(stale).await.0, 401);
    let flipped = held.token.replacen("eyJ", "eyK", 1);
    let forged = payer.proof("POST", &url, Some(&flipped));
    let forged = edge.call_with(&flipped, &forged, "POST", "/bank/payments", body()).await;
    assert!(forged.status().is_client_error());

    assert_eq!(
        edge.pay(&payer, &held, "DE89370400440532013000", 1.0).await,
        (403, "ceiling_exceeded".into())
    );
    assert_eq!(edge.pay(&payer, &held, IBAN, 101.0).await, (403, "ceiling_exceeded".into()));
    assert_eq!(edge.pay(&reader, &reading, IBAN, 1.0).await, (403, "scope_not_granted".into()));
    assert_eq!(
        edge.pay(&payer, &held, IBAN, 99.5).await,
        (403, "budget_exhausted".into()),
        "2 of 100 are spent"
    );
    let extra = json!({ "recipient": IBAN, "amount": 1, "memo": "x" });
    let extra = edge.call(&payer, &held, "POST", "/bank/payments", Some(extra)).await;
    assert_eq!(told(extra).await, (400, "malformed".into()));
    let unmapped = edge.call(&payer, &held, "DELETE", "/bank/payments", None).await;
    assert_eq!(told(unmapped).await, (405, "method_not_allowed".into()));
    let unrouted = edge.call(&payer, &held, "GET", "/vault", None).await;
    assert_eq!(told(unrouted).await, (404, "not_found".into()));
    assert!(edge.arrived().is_empty(), "nothing of it reached the upstream");

    let task = held.task();
    let trace =
        edge.trace_with(&task, |trace| trace.to_string().contains("budget_exhausted")).await;
    assert!(trace.to_string().contains("ceiling_exceeded"), "refusals are on record: {trace}");
}

#[tokio::test]
async fn two_spellings_of_a_path_are_one_argument() {
    let mut edge = Edge::start().await;
    let (reader, held) = edge.reader().await;
    assert_eq!(BILL, "/bills/december.txt");
    // The task allows one file, so a path parameter without slashes can never be it.
    for path in ["/bank/files/x", "/bank/files/%78", "/bank/./files/x", "/bank/files/x/"] {
        let response = edge.call(&reader, &held, "GET", path, None).await;
        assert_eq!(told(response).await, (403, "ceiling_exceeded".into()), "{path}");
    }
    for path in ["/bank/files/%2Fbills%2Fdecember.txt", "/bank/files/..%2Fx"] {
        let response = edge.call(&reader, &held, "GET", path, None).await;
        assert_eq!(told(response).await, (400, "malformed".into()), "{path}");
    }
    assert!(edge.arrived().is_empty());
}

#[tokio::test]
async fn what_the_authority_ends_is_dead_here() {
    let edge = Edge::start().await;
    let revoke = async |target: Value| {
        let body = json!({ "target": target, "reason": "test", "dry_run": false });
        let reply = edge.world.post_as_operator("/v1/revocations", &body).await;
        assert!(reply.status().is_success());
    };
    let (payer, held) = edge.payer().await;
    let (payer2, held2) = edge.payer().await;
    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await.0, 200);
    revoke(json!({ "jti": held.jti() })).await;
    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await, (401, "revoked".into()));
    assert_eq!(edge.pay(&payer2, &held2, IBAN, 1.0).await.0, 200, "another token lives on");

    revoke(json!({ "task": held2.task() })).await;
    let (status, code) = edge.pay(&payer2, &held2, IBAN, 1.0).await;
    assert!(matches!((status, code.as_str()), (401, "revoked") | (409, "task_closed")), "{code}");

    let (payer3, held3) = edge.payer().await;
    assert_eq!(edge.pay(&payer3, &held3, IBAN, 1.0).await.0, 200);
    let id = payer3.id.replace('/', "%2F").replace(':', "%3A");
    let body = json!({ "reason": "test" });
    let reply = edge.world.post_as_operator(&format!("/v1/agents/{id}/quarantine"), &body).await;
    assert!(reply.status().is_success());
    let (_, code) = edge.pay(&payer3, &held3, IBAN, 1.0).await;
    assert!(code == "agent_quarantined" || code == "revoked", "{code}");
}

#[tokio::test]
async fn while_the_authority_is_away_calls_go_on_as_long_as_their_data_allows() {
    let top = "[staleness]\nconfidential_ms = 1500\ninternal_ms = 600000";
    let mut edge = Edge::start_with(top, "").await;
    let (payer, held) = edge.payer().await;
    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await.0, 200);
    let world = std::mem::replace(&mut edge.world, World::start().await);
    world.stop().await;
    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await.0, 200, "within its bound and its lease");
    tokio::time::sleep(Duration::from_millis(2600)).await;
    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await, (503, "revocation_stale".into()));
}

#[tokio::test]
async fn an_upstream_that_fails_is_told_from_a_refusal() {
    let edge = Edge::start_with("[limits]\nupstream_timeout_ms = 300", "").await;
    let (reader, held) = edge.reader().await;
    let late = edge.call(&reader, &held, "GET", "/bank/slow", None).await;
    assert_eq!(told(late).await, (504, "gateway_timeout".into()));
    let broken = edge.call(&reader, &held, "GET", "/bank/broken", None).await;
    assert_eq!(broken.status(), 200);
    assert!(broken.bytes().await.is_err(), "a reply that broke off does not look whole");
    edge.trace_with(&held.task(), |trace| trace.to_string().contains("(failed,")).await;
}

#[tokio::test]
async fn a_route_says_what_protects_it() {
    let edge = Edge::start().await;
    let url = format!("{}/.well-known/oauth-protected-resource/bank", edge.url);
    let document: Value = edge.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["resource"], format!("{}/bank", edge.url));
    assert_eq!(document["authorization_servers"], json!([edge.world.url]));
    assert_eq!(document["dpop_bound_access_tokens_required"], true);
}

#[tokio::test]
async fn what_happens_is_counted() {
    let edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let metrics = edge.http.get(format!("{}/metrics", edge.management)).send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains("bailiwick_gateway_build_info"));
    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await.0, 200);
    let text = edge.http.get(format!("{}/metrics", edge.management)).send().await.unwrap();
    let text = text.text().await.unwrap();
    assert!(text.contains("bailiwick_gateway_decisions_total{outcome=\"allow\"} 1"), "{text}");
    assert!(text.contains("provenance=\"intact\""), "{text}");
}
