//! Explanations name what was considered and what was missing.

use bailiwick_policy::{Explanation, PolicySet, explain};
use serde_json::json;

use crate::support::{facts, invoke, load};

fn conditions(explanation: &Explanation, id: &str) -> Vec<(String, Option<bool>)> {
    let all = explanation.considered.iter().chain(&explanation.closest);
    let trace = all.into_iter().find(|trace| trace.id == id).unwrap_or_else(|| panic!("no {id}"));
    trace.conditions.iter().map(|one| (one.text.clone(), one.holds)).collect()
}

#[test]
fn a_denial_shows_the_condition_that_failed() {
    let set = load(
        "@id(\"pay\") permit(principal is Agent, action in Action::\"banking.*\", resource)
         when { context.task.tenant == \"acme\" && context.sensitivity.rank <= 1 }
         unless { context.offline };",
    );
    let explanation = explain(
        &set,
        &invoke("banking.send_money"),
        &facts(&[("/sensitivity", json!("restricted"))]),
    );
    assert!(!explanation.verdict.allows());
    let pay = &explanation.considered[0];
    assert_eq!((pay.id.as_str(), pay.applies, pay.determining), ("pay", Some(false), false));
    assert_eq!(
        conditions(&explanation, "pay"),
        [
            ("principal is Agent".to_owned(), Some(true)),
            ("action in Action::\"banking.*\"".to_owned(), Some(true)),
            ("when { context.task.tenant == \"acme\" }".to_owned(), Some(true)),
            ("when { context.sensitivity.rank <= 1 }".to_owned(), Some(false)),
            ("unless { context.offline }".to_owned(), Some(true)),
        ]
    );
    assert_eq!(explanation.closest[0].id, "pay");
}

#[test]
fn a_permit_shows_what_determined_it_and_what_was_left_out() {
    let set = load(
        "@id(\"mine\") permit(principal, action == Action::\"crm.read\", resource);
         @id(\"other\") permit(principal, action == Action::\"crm.write\", resource);",
    );
    let explanation = explain(&set, &invoke("crm.read"), &facts(&[]));
    assert!(explanation.verdict.allows());
    let considered: Vec<_> =
        explanation.considered.iter().map(|t| (t.id.as_str(), t.determining)).collect();
    assert_eq!(considered, [("mine", true)]);
    assert_eq!(explanation.not_considered, 1);
    assert!(explanation.closest.is_empty());
}

#[test]
fn the_closest_permit_comes_first_even_when_its_head_excluded_it() {
    let set = load(
        "@id(\"near\") permit(principal, action == Action::\"crm.read\", resource)
         when { context.ttl_seconds < 10 };
         @id(\"far\") permit(principal == Agent::\"x\", action == Action::\"crm.read\", resource)
         when { context.ttl_seconds < 10 };",
    );
    let explanation = explain(&set, &invoke("crm.read"), &facts(&[]));
    let closest: Vec<_> = explanation.closest.iter().map(|trace| trace.id.as_str()).collect();
    assert_eq!(closest, ["near", "far"]);
    assert_eq!(
        conditions(&explanation, "far")[0],
        ("principal == Agent::\"x\"".to_owned(), Some(false))
    );
}

#[test]
fn a_forbid_is_named_and_a_condition_behind_a_guard_has_no_value() {
    let set = load(
        "@id(\"all\") permit(principal, action, resource);
         @id(\"big\") forbid(principal, action in Action::\"Invoke\", resource) when {
           context.arguments.hasTag(\"n\") && context.arguments.getTag(\"n\") has whole };
         @id(\"offline\") forbid(principal, action, resource) when { context.offline };",
    );
    let facts = facts(&[("/offline", json!(true))]);
    let explanation = explain(&set, &invoke("crm.read"), &facts);
    assert_eq!(explanation.verdict.determining, ["offline"]);
    let holds: Vec<_> =
        conditions(&explanation, "big").into_iter().map(|(_, holds)| holds).collect();
    assert_eq!(holds, [Some(true), Some(false), None]);
    assert!(explanation.closest.is_empty(), "a forbid decided");
}

#[test]
fn an_explanation_serialises_for_the_console() {
    let set = PolicySet::default_pack().unwrap();
    let explanation =
        explain(&set, &invoke("crm.read"), &facts(&[("/provenance", json!("dropped"))]));
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["verdict"]["code"], json!("provenance_missing"));
    assert!(json["considered"].as_array().unwrap().len() > 3);
}
