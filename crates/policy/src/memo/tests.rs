//! What makes two questions the same.

use std::cell::Cell;

use serde_json::{Value, json};

use super::Memo;
use crate::act::Act;
use crate::facts::Facts;
use crate::index::Bucket;
use crate::need::Needs;
use crate::pack::default_sources;
use crate::request::{Frame, Unaskable, question};
use crate::set::PolicySet;
use crate::verdict::Answer;

fn facts(changes: &[(&str, Value)]) -> Facts {
    let agent = |name: &str| {
        json!({
            "id": format!("spiffe://dev.bailiwick.example/agent/{name}"), "owner": "team:a",
            "environment": "dev", "tenant": "acme", "trust_domain": "dev.bailiwick.example",
            "clearance": "internal", "status": "active",
        })
    };
    let none = json!({ "type": "agent_delegation", "scopes": ["a.b"], "constraints": [] });
    let mut facts = json!({
        "actor": agent("one"), "delegatee": agent("two"), "approvals": ["owner"],
        "arguments": { "amount": 12.5 }, "binding": "verifies", "effect": "read",
        "chain": { "agents": ["one"], "depth": 0, "fanout": 0, "max_depth": 4 },
        "held": none, "requested": none, "offline": false, "provenance": "intact",
        "resource": { "id": "r", "system": "s", "labels": ["pii"], "sensitivity": "internal" },
        "sensitivity": "internal",
        "subject": { "id": "user:ann@x.example", "issuer": "https://i.example",
                     "groups": ["g"], "attributes": { "department": "d" } },
        "task": {
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "purpose": "p", "workflow": "w",
            "age_seconds": 1, "deadline_seconds_left": 9, "environment": "dev",
            "tenant": "acme", "sensitivity_ceiling": "internal", "exposure": "public",
        },
        "ttl_seconds": 60,
    });
    for (pointer, value) in changes {
        *facts.pointer_mut(pointer).unwrap() = value.clone();
    }
    serde_json::from_value(facts).unwrap()
}

/// How often Cedar is asked when these questions are put one after another.
fn asked(needs: Needs, acts: &[Act], all: &[Facts]) -> usize {
    let set = PolicySet::load(&default_sources()).unwrap();
    let (memo, times) = (Memo::new(), Cell::new(0));
    let bucket = Bucket::default();
    for act in acts {
        for facts in all {
            let frame = Frame::new(set.names(), act, facts).unwrap();
            let question = question(frame, act, facts, needs);
            let ask = || {
                times.set(times.get() + 1);
                question.cedar(set.names())?;
                Ok::<_, Unaskable>(Answer::default())
            };
            memo.answer(&question, &[&bucket], ask).unwrap();
        }
    }
    times.get()
}

#[test]
fn every_fact_that_is_looked_at_makes_another_question() {
    let bent = [
        ("/actor/clearance", json!("public")),
        ("/actor/environment", json!("prod")),
        ("/actor/id", json!("spiffe://dev.bailiwick.example/agent/three")),
        ("/actor/owner", json!("team:b")),
        ("/actor/status", json!("retired")),
        ("/actor/tenant", json!("other")),
        ("/actor/trust_domain", json!("b.example")),
        ("/approvals", json!([])),
        ("/arguments", json!({})),
        ("/arguments/amount", json!(12.6)),
        ("/arguments/amount", json!("12.5")),
        ("/binding", json!("opaque")),
        ("/chain/agents", json!(["one", "two"])),
        ("/chain/depth", json!(1)),
        ("/chain/fanout", json!(1)),
        ("/chain/max_depth", json!(3)),
        ("/effect", json!("write")),
        ("/held/scopes", json!(["a.c"])),
        ("/offline", json!(true)),
        ("/provenance", json!("dropped")),
        ("/requested/scopes", json!(["a.b", "a.c"])),
        ("/resource/id", json!("q")),
        ("/resource/labels", json!(["pii", "hr"])),
        ("/resource/sensitivity", json!("public")),
        ("/resource/system", json!("t")),
        ("/sensitivity", json!("restricted")),
        ("/subject/attributes", json!({ "department": "e" })),
        ("/subject/groups", json!(["g", "h"])),
        ("/subject/id", json!("user:bob@x.example")),
        ("/subject/issuer", json!("https://j.example")),
        ("/task/age_seconds", json!(2)),
        ("/task/deadline_seconds_left", json!(8)),
        ("/task/environment", json!("prod")),
        ("/task/exposure", json!("internal")),
        ("/task/id", json!("01890a5d-ac96-774b-bcce-b302099a8058")),
        ("/task/purpose", json!("q")),
        ("/task/sensitivity_ceiling", json!("public")),
        ("/task/tenant", json!("other")),
        ("/task/workflow", json!("v")),
        ("/ttl_seconds", json!(61)),
    ];
    let mut all = vec![facts(&[])];
    all.extend(bent.iter().map(|change| facts(std::slice::from_ref(change))));
    let act = [Act::Invoke { scope: "a.b".parse().unwrap() }];
    assert_eq!(asked(Needs::ALL, &act, &all), all.len());
    // The twin: none of it is another question when nobody looks; who and what always are.
    let names = ["/actor/id", "/resource/id"];
    let few = bent.iter().filter(|(pointer, _)| !names.contains(pointer));
    let mut few: Vec<Facts> = few.map(|one| facts(std::slice::from_ref(one))).collect();
    few.push(facts(&[]));
    assert_eq!(asked(Needs::default(), &act, &few), 1);
}

#[test]
fn acts_and_what_they_are_about_make_other_questions() {
    let acts = [
        Act::StartTask,
        Act::Delegate,
        Act::Invoke { scope: "a.b".parse().unwrap() },
        Act::CrossDomain { domain: "b.example".to_owned() },
        Act::CrossDomain { domain: "c.example".to_owned() },
    ];
    let other = ("/delegatee/id", json!("spiffe://dev.bailiwick.example/agent/three"));
    let all = [facts(&[]), facts(&[]), facts(&[other])];
    assert_eq!(asked(Needs::default(), &acts, &all), acts.len() + 1);
}

#[test]
fn texts_do_not_run_into_each_other() {
    let act = [Act::Invoke { scope: "a.b".parse().unwrap() }];
    let approvals = |list: Value| facts(&[("/approvals", list)]);
    let lists = [json!(["ab", "c"]), json!(["a", "bc"]), json!(["abc"]), json!(["abc", ""])];
    assert_eq!(asked(Needs::ALL, &act, &lists.map(approvals)), 4);
}

#[test]
fn what_cannot_be_asked_is_not_kept() {
    let set = PolicySet::load(&default_sources()).unwrap();
    let (facts, act, memo) = (facts(&[]), Act::Delegate, Memo::new());
    for _ in 0..2 {
        let frame = Frame::new(set.names(), &act, &facts).unwrap();
        let question = question(frame, &act, &facts, Needs::ALL);
        let refused = memo.answer(&question, &[], || Err("no"));
        assert_eq!(refused.unwrap_err(), "no");
    }
    let frame = Frame::new(set.names(), &act, &facts).unwrap();
    let question = question(frame, &act, &facts, Needs::ALL);
    assert!(memo.answer(&question, &[], || Ok::<_, &str>(Answer::default())).is_ok());
}
