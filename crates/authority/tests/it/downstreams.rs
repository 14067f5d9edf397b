//! What stands behind gateways, and the gap, over HTTP.

use bailiwick_api::enforcement::downstreams::DownstreamsReport;
use bailiwick_api::enforcement::receipts::{ReceiptsRequest, ReportedPayload, ReportedReceipt};
use bailiwick_api::{Client, ClientError};
use bailiwick_core::{DecisionId, EpochId};
use serde_json::{Value, json};

use crate::world::{Agent, Held, World, now, paying};

const TOOLS: &str = "spiffe://dev.bailiwick.example/gateway/tools";

async fn client(world: &World, id: &str) -> Client {
    let svid = world.svid(id).await;
    Client::new(world.url.parse().unwrap()).unwrap().with_bearer_token(svid)
}

fn declaration(permissions: &[&str]) -> DownstreamsReport {
    let permissions: Vec<Value> = permissions.iter().map(|it| json!({"actions": [it]})).collect();
    serde_json::from_value(json!({"routes": [
        {"route": "bank", "system": "bank", "owner": "team:payments", "binding": "wrapped", "protocol": "http",
         "credential": {"kind": "oauth", "permissions": {"dialect": "oauth", "permissions": permissions}},
         "needs": ["payments.write"], "operations": 2, "undeclared": 0},
        {"route": "fax", "system": "fax", "owner": "team:payments", "binding": "opaque", "protocol": "http",
         "operations": 1, "undeclared": 1},
    ]}))
    .unwrap()
}

fn fresh() -> [u8; 10] {
    let mut random = [0; 10];
    bailiwick_core::fill_random(&mut random).unwrap();
    random
}

/// A decision as a gateway records it.
fn decision(held: &Held, route: &str, binding: &str, needs: &[&str]) -> ReportedReceipt {
    let id = DecisionId::new(now(), fresh());
    let payload = json!({
        "v": 1, "act": "invoke", "task": held.task(), "jti": held.jti(), "agent": Agent::payer().id,
        "route": route, "needs": needs,
        "decision": {
            "id": id, "time": now().0, "allow": true, "determining": ["pay"], "policy": "sha-256:x",
            "inputs": {"act": {"scope": "banking.send_money"}, "facts": {
                "binding": binding, "resource": {"id": "x", "system": route}}},
        },
    });
    let ids = vec![id.to_string(), held.task()];
    let payload = ReportedPayload::try_from(&payload).unwrap();
    ReportedReceipt { kind: "decision".to_owned(), time: now().0, ids, payload, draws: vec![] }
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}

async fn gap(world: &World, query: &str) -> Value {
    world.get_as_operator(&format!("/v1/gap{query}")).await.json().await.unwrap()
}

#[tokio::test]
async fn a_declaration_is_recorded_when_it_is_new() {
    let world = World::start().await;
    let gateway = client(&world, TOOLS).await;
    let first = declaration(&["payments.write"]);
    let told = gateway.declare_downstreams(&first).await.unwrap();
    assert_eq!((told.version, told.changed), (1, true));
    let again = gateway.declare_downstreams(&first).await.unwrap();
    assert_eq!((again.version, again.changed), (1, false));
    let other = gateway.declare_downstreams(&declaration(&["payments.*"])).await.unwrap();
    assert_eq!((other.version, other.changed), (2, true));

    let agent = client(&world, Agent::payer().id).await;
    assert_eq!(code(agent.declare_downstreams(&first).await), "role_required");
    let mut twice = first.clone();
    twice.routes.push(first.routes[0].clone());
    assert_eq!(code(gateway.declare_downstreams(&twice).await), "malformed");
    let mut unknown = first.clone();
    unknown.routes[0].binding = "trusted".to_owned();
    assert_eq!(code(gateway.declare_downstreams(&unknown).await), "malformed");
}

#[tokio::test]
async fn the_gap_is_what_can_be_done_minus_what_was_justified() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let gateway = client(&world, TOOLS).await;
    let declared = declaration(&["payments.write", "payments.refund", "accounts.*"]);
    gateway.declare_downstreams(&declared).await.unwrap();
    let receipts = vec![
        decision(&hop, "bank", "wrapped", &["payments.write"]),
        decision(&hop, "bank", "wrapped", &["payments.write"]),
        decision(&hop, "fax", "opaque", &[]),
    ];
    let epoch = EpochId::new(now(), fresh());
    let report = ReceiptsRequest { epoch, previous: None, first: 0, receipts };
    gateway.report_receipts(&report).await.unwrap();

    let found = gap(&world, "?days=7").await;
    let bank = &found["systems"][0];
    assert_eq!((&bank["system"], &bank["owners"]), (&json!("bank"), &json!(["team:payments"])));
    assert_eq!(bank["calls"], json!({"allowed": 2, "unbound": 0}));
    let credential = &bank["credentials"][0];
    assert_eq!(credential["count"], json!({"unneeded": 2, "unused": 0, "wider": 0, "used": 1}));
    assert_eq!(credential["lines"][2]["used"], json!({"payments.write": 2}));
    assert_eq!(credential["gateway"], TOOLS);
    let fax = &found["systems"][1];
    assert_eq!(fax["calls"], json!({"allowed": 1, "unbound": 1}));
    assert_eq!(fax["hops"][0]["calls"], 1);
    assert_eq!(fax["trend"].as_array().unwrap().len(), 1);
    assert_eq!(gap(&world, "?system=fax").await["systems"].as_array().unwrap().len(), 1);

    // What the Authority itself decided for another enforcement point counts too.
    let answer = world
        .evaluate(
            &payer,
            &hop,
            "banking.send_money",
            json!({"amount": 5, "recipient": crate::world::IBAN}),
        )
        .await;
    assert_eq!(answer["decision"], true, "{answer}");
    let names: Vec<Value> = gap(&world, "").await["systems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["calls"]["allowed"].clone())
        .collect();
    assert_eq!(names.iter().filter_map(Value::as_u64).sum::<u64>(), 4, "{names:?}");
}

#[tokio::test]
async fn the_gap_is_for_operators_and_bounded() {
    let world = World::start().await;
    for bad in ["?days=0", "?days=100000", "?days=x", "?other=1"] {
        assert_eq!(world.get_as_operator(&format!("/v1/gap{bad}")).await.status(), 400, "{bad}");
    }
    assert_eq!(world.get_as_operator("/v1/gap?days=180").await.status(), 200);
    let agent = client(&world, Agent::payer().id).await;
    assert_eq!(code(agent.gap(&bailiwick_api::GapQuery::default()).await), "role_required");
}
