//! Provenance goes out to the upstream, and what comes back beside a chain is judged.

use serde_json::json;

use crate::authority::{Agent, Held, IBAN};
use crate::edge::{Edge, Running, told};

/// A payment that brings these headers along.
async fn pay_with(
    edge: &Running,
    agent: &Agent,
    held: &Held,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let url = format!("{}/bank/payments", edge.url);
    let proof = agent.proof("POST", &url, Some(&held.token));
    let mut request = edge
        .http
        .post(url)
        .header("Authorization", format!("DPoP {}", held.token))
        .header("DPoP", proof)
        .json(&json!({ "recipient": IBAN, "amount": 1 }));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    told(request.send().await.unwrap()).await
}

/// What the upstream was told in this header.
fn told_upstream(edge: &mut Running, name: &str) -> String {
    edge.arrived().pop().unwrap().headers[name].to_str().unwrap().to_owned()
}

async fn counted(edge: &Running, agent: &str, verdict: &str) -> bool {
    let metrics = edge.http.get(format!("{}/metrics", edge.management)).send().await.unwrap();
    let line =
        format!("provenance_total{{agent=\"{agent}\",route=\"bank\",provenance=\"{verdict}\"}}");
    metrics.text().await.unwrap().contains(&line)
}

const ALLOWED: (u16, &str) = (200, "none");
const REFUSED: (u16, &str) = (401, "provenance_missing");

#[tokio::test]
async fn what_comes_back_with_a_chain_has_to_fit_it() {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let (payer2, held2) = edge.payer().await;
    let is = |told: (u16, String), (status, code): (u16, &str)| {
        assert_eq!((told.0, told.1.as_str()), (status, code));
    };
    is(pay_with(&edge, &payer, &held, &[]).await, ALLOWED);
    let own = told_upstream(&mut edge, "bailiwick-provenance");
    is(pay_with(&edge, &payer2, &held2, &[]).await, ALLOWED);
    let others = told_upstream(&mut edge, "bailiwick-provenance");
    let name = "bailiwick-provenance";

    is(pay_with(&edge, &payer, &held, &[(name, &own)]).await, ALLOWED);
    assert!(counted(&edge, payer.id, "intact").await);
    edge.arrived();

    is(pay_with(&edge, &payer, &held, &[(name, &others)]).await, REFUSED);
    assert!(counted(&edge, payer.id, "substituted").await);
    is(pay_with(&edge, &payer, &held, &[(name, &own[..own.len() - 9])]).await, REFUSED);
    assert!(counted(&edge, payer.id, "truncated").await);
    let changed = own.replacen(&own[100..101], if &own[100..101] == "A" { "B" } else { "A" }, 1);
    is(pay_with(&edge, &payer, &held, &[(name, &changed)]).await, REFUSED);
    assert!(counted(&edge, payer.id, "unsigned").await);
    let long = "x".repeat(9000);
    is(pay_with(&edge, &payer, &held, &[(name, &long)]).await, REFUSED);
    assert!(counted(&edge, payer.id, "mistranslated").await);
    let baggage = format!("bailiwick.task={}", held2.task());
    is(pay_with(&edge, &payer, &held, &[("baggage", &baggage)]).await, REFUSED);
    assert!(edge.arrived().is_empty(), "nothing of it reached the upstream");

    let baggage = format!("bailiwick.task={},user=7", held.task());
    is(pay_with(&edge, &payer, &held, &[("baggage", &baggage)]).await, ALLOWED);
    assert!(told_upstream(&mut edge, "baggage").starts_with("user=7,bailiwick.task="));

    let none = edge.http.post(format!("{}/bank/payments", edge.url)).send().await.unwrap();
    assert_eq!(told(none).await.1, "provenance_missing");
    assert!(counted(&edge, "", "dropped").await);
    edge.trace_with(&held.task(), |trace| trace.to_string().contains("provenance_missing")).await;
}

#[tokio::test]
async fn another_gateways_statement_counts_where_its_key_is_pinned() {
    let mut there = Edge::start().await;
    let key = there.http.get(format!("{}/.well-known/bailiwick-provenance.jwk", there.url));
    let key = key.send().await.unwrap().text().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("there.jwk");
    std::fs::write(&file, &key).unwrap();
    let (payer, held) = there.payer().await;
    assert_eq!(pay_with(&there, &payer, &held, &[]).await.0, 200);
    let statement = told_upstream(&mut there, "bailiwick-provenance");
    let brought = [("bailiwick-provenance", statement.as_str())];

    // Two more gateways of the same Authority; one of them pins the first one's key.
    let pinned = format!("[route.carry]\nexpect_statement = true\ntrusted_keys = [{file:?}]");
    let knows = there.beside(&pinned).await;
    assert_eq!(pay_with(&knows, &payer, &held, &brought).await.0, 200);
    let lost = pay_with(&knows, &payer, &held, &[]).await;
    assert_eq!((lost.0, lost.1.as_str()), REFUSED, "a statement was expected");
    assert!(counted(&knows, payer.id, "dropped").await);
    let stranger = there.beside("").await;
    let refused = pay_with(&stranger, &payer, &held, &brought).await;
    assert_eq!((refused.0, refused.1.as_str()), REFUSED);
    assert_eq!(pay_with(&stranger, &payer, &held, &[]).await.0, 200, "the twin");
}
