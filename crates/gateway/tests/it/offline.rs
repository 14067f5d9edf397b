//! Hops that travel unsettled: settled here where the route says so, and nowhere else.

use serde_json::json;

use crate::authority::{Agent, IBAN, QUICKSTART, paying};
use crate::edge::{Edge, told};

async fn offline(edge: &Edge) -> (Agent, String, String, String) {
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = edge.world.open(&orchestrator).await;
    let mut detail = paying(&root);
    // What is confidential may not travel unsettled under the default policies.
    let constraints = detail["constraints"].as_array_mut().unwrap();
    constraints.retain(|constraint| constraint["key"] != "sensitivity");
    constraints.push(json!({
        "key": "sensitivity", "rank": "internal",
        "order": ["public", "internal", "confidential", "restricted"],
    }));
    let grant = orchestrator.grant(&root, &payer, &detail, |_| {});
    (payer, grant, root.token.clone(), root.task())
}

async fn pay(edge: &Edge, payer: &Agent, grant: &str, ancestors: &str) -> (u16, String) {
    let url = format!("{}/bank/payments", edge.url);
    let response = edge
        .http
        .post(&url)
        .header("Authorization", format!("DPoP {grant}"))
        .header("DPoP", payer.proof("POST", &url, Some(grant)))
        .header("Delegation-Chain", ancestors)
        .json(&json!({ "recipient": IBAN, "amount": 1 }))
        .send()
        .await
        .unwrap();
    told(response).await
}

/// Lets hops of the workflow travel unsettled.
async fn let_travel(edge: &Edge) {
    let life = "ttl_seconds_max = 300";
    assert!(QUICKSTART.contains(life));
    edge.world.apply(&QUICKSTART.replace(life, &format!("{life}\noffline = true"))).await;
}

#[tokio::test]
async fn a_grant_is_settled_here_with_the_same_record() {
    let internal = "offline_hops = true";
    let mut edge = Edge::start_with("", internal).await;
    let (payer, grant, root, _) = offline(&edge).await;
    let told = pay(&edge, &payer, &grant, &root).await;
    assert_eq!(told, (403, "offline_hop_forbidden".into()), "the workflow does not let it travel");
    let_travel(&edge).await;
    let (payer, grant, root, task) = offline(&edge).await;
    // The route's payments are confidential, and the grant reaches internal data only.
    assert_eq!(pay(&edge, &payer, &grant, &root).await, (403, "ceiling_exceeded".into()));
    assert!(edge.arrived().is_empty());
    let trace =
        edge.trace_with(&task, |trace| trace.to_string().contains("ceiling_exceeded")).await;
    let text = trace.to_string();
    assert!(
        text.contains("\"delegate\"") || text.contains("offline"),
        "the hop was decided: {text}"
    );
}

#[tokio::test]
async fn where_it_is_not_configured_it_is_refused() {
    let mut edge = Edge::start().await;
    let (payer, grant, root, _) = offline(&edge).await;
    assert_eq!(pay(&edge, &payer, &grant, &root).await, (403, "offline_hop_forbidden".into()));
    // A grant without its ancestors proves nothing.
    assert_eq!(pay(&edge, &payer, &grant, &grant).await.0 / 100, 4);
    assert!(edge.arrived().is_empty());
}
