//! Decisions are taken again from what they stored.

use bailiwick_core::{DecisionId, Outcome, UnixMillis};
use bailiwick_policy::{Act, Denial, Inputs, PolicySet, Refusal, decide, replay, replay_json};
use serde_json::{Value, json};

use crate::support::{ask, facts, invoke, load};

fn id() -> DecisionId {
    DecisionId::new(UnixMillis(1_700_000_000_000), [7; 10])
}

fn decided(set: &PolicySet, changes: &[(&str, Value)]) -> Value {
    let facts = facts(changes);
    match decide(set, None, Act::StartTask, facts, id(), UnixMillis(5), ()) {
        Ok(permit) => permit.decision().to_json(),
        Err(denial) => denial.decision().to_json(),
    }
}

#[test]
fn under_the_same_policies_nothing_changes() {
    let set = PolicySet::default_pack().unwrap();
    for changes in [
        vec![],
        vec![("/actor/status", json!("quarantined"))],
        vec![("/sensitivity", json!("restricted"))],
    ] {
        let stored = decided(&set, &changes);
        let bytes = serde_json::to_vec(&stored).unwrap();
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        let replayed = replay_json(&set, &read).unwrap().unwrap();
        assert!(!replayed.answer_changed && !replayed.grounds_changed, "{replayed:?}");
    }
}

#[test]
fn under_other_policies_it_says_what_would() {
    let before =
        load("@id(\"start\") permit(principal, action == Action::\"StartTask\", resource);");
    let after = load(
        "@id(\"start\") permit(principal, action == Action::\"StartTask\", resource);
         @id(\"no-finance\") @code(\"scope_not_granted\")
         forbid(principal in Group::\"finance\", action == Action::\"StartTask\", resource);",
    );
    let other = load("@id(\"other\") @max_ttl(\"60\") permit(principal, action, resource);");
    let stored = decided(&before, &[]);
    assert_eq!(stored["allow"], json!(true));

    let replayed = replay_json(&after, &stored).unwrap().unwrap();
    assert!(replayed.answer_changed);
    assert_eq!(replayed.before, None);
    assert_eq!(replayed.after.outcome, Some(Outcome::ScopeNotGranted));
    assert_eq!(replayed.after.determining, ["no-finance"]);

    let replayed = replay_json(&other, &stored).unwrap().unwrap();
    assert!(!replayed.answer_changed && replayed.grounds_changed, "{replayed:?}");
}

#[test]
fn every_fact_survives_storage() {
    let facts = facts(&[("/arguments/amount", json!(0.1)), ("/offline", json!(true))]);
    let inputs = bailiwick_policy::Evaluated { act: invoke("banking.send_money"), facts };
    let inputs = Inputs::Evaluated(Box::new(inputs));
    assert_eq!(Inputs::from_json(&inputs.to_json()), inputs);
    let text = serde_json::to_string(&inputs.to_json()).unwrap();
    assert_eq!(Inputs::from_json(&serde_json::from_str(&text).unwrap()), inputs);
}

#[test]
fn a_decision_from_before_effect_and_exposure_were_asked_is_taken_again() {
    let set = PolicySet::default_pack().unwrap();
    let mut stored =
        decided(&set, &[("/effect", json!("unknown")), ("/task/exposure", json!("public"))]);
    let facts = stored["inputs"]["facts"].as_object_mut().unwrap();
    facts.remove("effect").unwrap();
    facts["task"].as_object_mut().unwrap().remove("exposure").unwrap();
    let replayed = replay_json(&set, &stored).unwrap().unwrap();
    assert!(!replayed.answer_changed && !replayed.grounds_changed, "{replayed:?}");
}

#[test]
fn what_the_code_refused_policy_does_not_answer_for() {
    let set = load("permit(principal, action, resource);");
    let refusal = Refusal {
        outcome: Outcome::ChainCycle,
        detail: "the agent is in the chain already".to_owned(),
        inputs: Inputs::Refused(json!({ "agent": "a" })),
        policy_hash: set.hash().to_owned(),
    };
    let denial = Denial::refuse(refusal, id(), UnixMillis(5), ());
    assert_eq!(replay(&set, &denial.decision().inputs), None);
    assert_eq!(replay_json(&set, &denial.decision().to_json()).unwrap(), None);
    // Beside it, a contradiction between facts and chain, and a refusal by policy.
    let facts = facts(&[]);
    let contradiction =
        decide(&set, None, invoke("crm.read"), facts.clone(), id(), UnixMillis(5), ());
    let contradiction = contradiction.unwrap_err();
    assert_eq!(contradiction.outcome(), Outcome::ProvenanceMissing);
    assert_eq!(replay_json(&set, &contradiction.decision().to_json()).unwrap(), None);
    assert!(ask(&set, &invoke("crm.read"), &facts).allows());
}

#[test]
fn what_is_no_decision_is_refused() {
    let set = load("permit(principal, action, resource);");
    let good = decided(&set, &[]);
    assert!(replay_json(&set, &good).unwrap().is_some());
    for member in ["id", "allow", "inputs", "determining", "obligations"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(member);
        let error = replay_json(&set, &bad).unwrap_err();
        assert!(error.to_string().contains(member), "{error}");
    }
    let mut bad = good;
    bad["allow"] = json!(false);
    assert!(replay_json(&set, &bad).is_err());
}
