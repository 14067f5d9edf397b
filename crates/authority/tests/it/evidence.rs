//! What an auditor gets: trace, receipts with proofs, tiles, and the keys to check them with.

use std::str::FromStr;

use bailiwick_ledger::{Checkpoint, VerifierKey, verify_proof_bundle};
use serde_json::{Value, json};

use crate::world::{Agent, IBAN, World, paying};

#[tokio::test]
async fn a_trace_from_any_id_shows_who_through_whom_and_by_which_decision() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let spend = json!({"recipient": IBAN, "amount": 7});
    let allowed = world.evaluate(&payer, &hop, "banking.send_money", spend).await;
    let steal = json!({"recipient": "DE89370400440532013000", "amount": 7});
    let denied = world.evaluate(&payer, &hop, "banking.send_money", steal).await;
    let ids = [
        root.task(),
        hop.jti(),
        allowed["context"]["decision_id"].as_str().unwrap().to_owned(),
        denied["context"]["decision_id"].as_str().unwrap().to_owned(),
        allowed["context"]["ledger_index"].to_string(),
    ];
    for id in ids {
        let tree: Value =
            world.get_as_operator(&format!("/v1/trace/{id}")).await.json().await.unwrap();
        assert_eq!(tree["subject"], "user:alice@dev.example", "{id}: {tree}");
        assert_eq!(tree["hops"].as_array().unwrap().len(), 2);
        assert_eq!(tree["hops"][1]["agent"], payer.id);
        assert_eq!(tree["hops"][1]["parent"], root.jti());
        assert!(tree["hops"][1]["decision"]["ledger_index"].is_u64());
        let decisions = tree["decisions"].as_array().unwrap();
        assert_eq!(decisions.len(), 4, "start, hop, allowed and denied call: {tree}");
        assert_eq!(decisions[2]["scope"], "banking.send_money");
        assert_eq!(decisions[2]["arguments"]["amount"], 7);
        assert_eq!(decisions[2]["allow"], true);
        assert!(!decisions[2]["determining"].as_array().unwrap().is_empty());
        assert_eq!(decisions[3]["code"], "ceiling_exceeded");
        assert_eq!(decisions[3]["arguments"]["recipient"], "DE89370400440532013000");
        assert!(tree.get("gaps").is_none(), "{tree}");
    }
    let missing = world.get_as_operator("/v1/trace/01890000-0000-7000-8000-000000000000").await;
    assert_eq!(missing.status(), 404);
    let mallory = world.subject("mallory@dev.example", &[]).await;
    let url = format!("{}/v1/trace/{}", world.url, root.task());
    let hidden = world.http.get(url).bearer_auth(mallory).send().await.unwrap();
    assert_eq!(hidden.status(), 404, "existence is secret");
}

#[tokio::test]
async fn one_receipt_is_proven_to_a_third_party_with_nothing_but_the_key() {
    let world = World::start().await;
    let root = world.open(&Agent::orchestrator()).await;
    let index = root.answer["ledger_index"].as_u64().unwrap();
    let bundle = world.get_as_operator(&format!("/v1/receipts/{index}")).await;
    let bundle = bundle.bytes().await.unwrap();
    let key = VerifierKey::from_str(&world.vkey).unwrap();
    let proven = verify_proof_bundle(&bundle, &key).unwrap();
    assert_eq!(proven.index, index);
    let mut altered: Value = serde_json::from_slice(&bundle).unwrap();
    altered["payload"]["task"] = json!("01890000-0000-7000-8000-000000000000");
    let altered = serde_json::to_vec(&altered).unwrap();
    assert!(
        verify_proof_bundle(&altered, &key).is_err(),
        "an edited payload does not open the leaf"
    );
}

#[tokio::test]
async fn checkpoint_and_tiles_are_public_and_agree() {
    let world = World::start().await;
    world.open(&Agent::orchestrator()).await;
    let get = |path: &str| world.http.get(format!("{}/{path}", world.url)).send();
    let text = get("ledger/checkpoint").await.unwrap().text().await.unwrap();
    let key = VerifierKey::from_str(&world.vkey).unwrap();
    let checkpoint = Checkpoint::verify(text.as_bytes(), &key).unwrap();
    let tile = get(&format!("ledger/tile/0/000.p/{}", checkpoint.size())).await.unwrap();
    assert_eq!(tile.status(), 200);
    let hashes = tile.bytes().await.unwrap();
    assert_eq!(hashes.len() as u64, checkpoint.size() * 32);
    assert_eq!(get("ledger/tile/0/x999/999").await.unwrap().status(), 404);
    assert_eq!(get("ledger/tile/../keys").await.unwrap().status(), 404);
}

#[tokio::test]
async fn keys_rotate_without_downtime() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let rotated: Value =
        world.post_as_operator("/v1/keys/rotate", &json!({})).await.json().await.unwrap();
    assert_ne!(rotated["kid"], rotated["previous_kid"], "{rotated}");
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let spend = json!({"recipient": IBAN, "amount": 1});
    let answer = world.evaluate(&payer, &hop, "banking.send_money", spend).await;
    assert_eq!(answer["decision"], true, "{answer}");
    let url = format!("{}/.well-known/jwks.json", world.url);
    let jwks: Value = world.http.get(url).send().await.unwrap().json().await.unwrap();
    let kids: Vec<&str> =
        jwks["keys"].as_array().unwrap().iter().filter_map(|key| key["kid"].as_str()).collect();
    assert!(kids.contains(&rotated["kid"].as_str().unwrap()));
    assert!(kids.contains(&rotated["previous_kid"].as_str().unwrap()));
}
