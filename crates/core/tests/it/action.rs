//! The digest of an action: the same for the same action, another for any other.

use bailiwick_core::action::ACTION_BYTES_MAX;
use bailiwick_core::{
    ActionCall, ActionDigest, ActionError, Algorithm, CanonicalAction, Outcome, Scope, Sha256Hash,
    TaskId, VerifiedChain,
};
use serde_json::{Map, Value, json};

use crate::fixture::{NOW, World, jti};

fn call<'a>(scope: &'a Scope, arguments: &'a Map<String, Value>) -> ActionCall<'a> {
    ActionCall { system: "bank", resource: "payments", scope, tool: None, arguments }
}

fn digest(chain: &VerifiedChain, arguments: &Value) -> ActionDigest {
    let scope: Scope = "bank.pay".parse().unwrap();
    let arguments = arguments.as_object().unwrap().clone();
    CanonicalAction::new(chain, &call(&scope, &arguments)).unwrap().digest()
}

#[test]
fn the_bytes_are_canonical_and_name_everything() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let chain = world.verify(&world.settled_chain(2)[2].token.compact).unwrap();
    let scope: Scope = "bank.pay".parse().unwrap();
    let arguments = json!({"to": "a", "amount": 1.50}).as_object().unwrap().clone();
    let mut with_tool = call(&scope, &arguments);
    with_tool.tool = Some(("pay", Some("sha-256:x")));
    let action = CanonicalAction::new(&chain, &with_tool).unwrap();
    bailiwick_core::jcs::check(action.as_str().as_bytes()).unwrap();
    assert_eq!(action.digest(), ActionDigest::of_bytes(action.as_str().as_bytes()));
    let read: Value = serde_json::from_str(action.as_str()).unwrap();
    let claims = chain.claims();
    assert_eq!(
        read,
        json!({
            "type": "bailiwick_action", "v": 1, "task": claims.txn, "subject": claims.sub,
            "agents": chain.agents(), "hop": claims.hop.grant.unwrap().named(),
            "audience": claims.aud, "system": "bank", "resource": "payments", "scope": "bank.pay",
            "tool": {"name": "pay", "descriptor": "sha-256:x"},
            "arguments": {"to": "a", "amount": 1.5},
        })
    );
}

#[test]
fn a_renewed_token_of_the_same_hop_asks_the_same_question() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let chain = world.settled_chain(1);
    let mut renewed = chain[1].claims.clone();
    renewed.jti = jti(77);
    renewed.iat += 1;
    renewed.exp += 60;
    renewed.hop.lineage.push(chain[1].claims.jti);
    let renewed = world.settle(renewed);
    let arguments = json!({"amount": 1});
    let of = |compact: &str| digest(&world.verify(compact).unwrap(), &arguments);
    let before = of(&chain[1].token.compact);
    assert_eq!(of(&renewed.token.compact), before);

    let mut again = chain[1].claims.clone();
    again.hop.grant = Some(Sha256Hash([8; 32]));
    assert_ne!(of(&world.settle(again).token.compact), before, "settled again: another hop");
    let mut elsewhere = chain[1].claims.clone();
    elsewhere.txn = TaskId::new(NOW, [3; 10]);
    assert_ne!(of(&world.settle(elsewhere).token.compact), before, "another task");
    assert_ne!(of(&chain[0].token.compact), before, "another agent of the task");
}

#[test]
fn whatever_changes_in_the_call_is_another_action() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let chain = world.verify(&world.settled_chain(1)[1].token.compact).unwrap();
    let scope: Scope = "bank.pay".parse().unwrap();
    let other: Scope = "bank.pay_all".parse().unwrap();
    let arguments = json!({"to": "a", "amount": 1}).as_object().unwrap().clone();
    let base = call(&scope, &arguments);
    let of = |call: &ActionCall<'_>| CanonicalAction::new(&chain, call).unwrap().digest();
    assert_eq!(of(&base), of(&base.clone()), "the benign twin");
    let mut changed = vec![
        ActionCall { system: "bank2", ..base },
        ActionCall { resource: "other", ..base },
        ActionCall { scope: &other, ..base },
        ActionCall { tool: Some(("pay", None)), ..base },
        ActionCall { tool: Some(("pay", Some("sha-256:y"))), ..base },
    ];
    let variants = [
        json!({"to": "b", "amount": 1}),
        json!({"to": "a", "amount": 2}),
        json!({"to": "a", "amount": "1"}),
        json!({"to": "a"}),
        json!({"to": "a", "amount": 1, "approved": true}),
    ];
    let variants: Vec<Map<String, Value>> =
        variants.iter().map(|value| value.as_object().unwrap().clone()).collect();
    changed.extend(variants.iter().map(|arguments| ActionCall { arguments, ..base }));
    let mut seen = std::collections::BTreeSet::from([of(&base)]);
    for call in &changed {
        assert!(seen.insert(of(call)), "{call:?}");
    }
    // The same number is the same number, however it was spelt.
    assert_eq!(digest(&chain, &json!({"amount": 1.0})), digest(&chain, &json!({"amount": 1})));
}

#[test]
fn what_nobody_could_approve_has_no_digest() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let settled = world.settled_chain(1);
    let scope: Scope = "bank.pay".parse().unwrap();
    let small = json!({"a": 1}).as_object().unwrap().clone();
    let chain = world.verify(&settled[1].token.compact).unwrap();
    assert!(CanonicalAction::new(&chain, &call(&scope, &small)).is_ok());

    let long = json!({"a": "x".repeat(ACTION_BYTES_MAX)}).as_object().unwrap().clone();
    let refused = CanonicalAction::new(&chain, &call(&scope, &long)).unwrap_err();
    assert_eq!(refused, ActionError::TooLong);
    let vast = json!({"a": u64::MAX}).as_object().unwrap().clone();
    let refused = CanonicalAction::new(&chain, &call(&scope, &vast)).unwrap_err();
    assert_eq!(refused.code(), Outcome::Malformed);

    let suffix = world.offline_suffix(&settled[1], 1);
    let tokens: Vec<&str> = settled
        .iter()
        .map(|hop| hop.token.compact.as_str())
        .chain(suffix.iter().map(|grant| grant.compact.as_str()))
        .collect();
    let offline = world.verify_all(&tokens).unwrap();
    let refused = CanonicalAction::new(&offline, &call(&scope, &small)).unwrap_err();
    assert_eq!(refused.code(), Outcome::OfflineHopForbidden);
}

#[test]
fn an_unsettled_hop_keeps_what_has_to_be_asked() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let mut root = world.root_claims();
    root.hop.ask = Some(json!({"constraints": [{"key": "recipient", "one_of": ["a@a.example"]}]}));
    let root = world.settle(root);
    let suffix = world.offline_suffix(&root, 2);
    let tokens: Vec<&str> = std::iter::once(root.token.compact.as_str())
        .chain(suffix.iter().map(|grant| grant.compact.as_str()))
        .collect();
    let chain = world.verify_all(&tokens).unwrap();
    assert_eq!(chain.unsettled(), 2);
    assert_eq!(chain.claims().hop.ask, root.claims.hop.ask);
}
