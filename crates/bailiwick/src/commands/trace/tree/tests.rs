//! A tree with a hop, an action, a denial, a loose decision, an event and a gap.

use super::*;
use serde_json::json;

fn id(last: u64) -> String {
    format!("0192b7a0-0000-7000-8000-{last:012}")
}

fn hop(last: u64, parent: Option<u64>, depth: u8) -> Value {
    let mut hop = json!({
        "jti": id(last), "agent": format!("spiffe://a.example/agent/{last}"),
        "kind": if depth == 0 { "root" } else { "hop" }, "depth": depth,
        "audience": "https://t.example", "scopes": ["crm.read"],
        "constraints": [{"key": "rows", "max": 100}],
        "issued_at": "2026-11-24T05:00:00.000Z", "expires_at": "2026-11-24T05:05:00.000Z",
        "state": "live",
        "decision": {"id": id(last + 100), "policy_hash": "sha-256:x",
                     "determining": ["delegate"], "ledger_index": last},
    });
    if let Some(parent) = parent {
        hop["parent"] = json!(id(parent));
    }
    hop
}

fn decision(last: u64, jti: Option<u64>, allow: bool) -> Value {
    let mut decision = json!({
        "time": "2026-11-24T05:01:00.000Z", "decision_id": id(last), "act": "invoke",
        "scope": "crm.read", "arguments": {"rows": 5, "note": "\u{1b}[2J"}, "allow": allow,
        "determining": [], "ledger_index": 40,
    });
    if let Some(jti) = jti {
        decision["jti"] = json!(id(jti));
    }
    if !allow {
        decision["code"] = json!("policy_denied");
    } else {
        decision["reported_by"] = json!("spiffe://a.example/gateway/one");
        decision["route"] = json!("bank");
    }
    decision
}

fn trace() -> TraceTree {
    serde_json::from_value(json!({
        "focus": {"kind": "token", "id": id(3)},
        "task": id(0), "subject": "user:alice@a.example", "subject_issuer": "https://i.example",
        "workflow": "crm.summarize", "workflow_version": 1, "purpose": "p", "tenant": "acme",
        "env": "dev", "state": "open", "opened_at": "2026-11-24T05:00:00.000Z",
        "deadline": "2026-11-24T05:15:00.000Z",
        "hops": [hop(1, None, 0), hop(2, Some(1), 1), hop(3, Some(2), 2), hop(4, Some(1), 1),
                 hop(5, Some(99), 1)],
        "decisions": [decision(103, Some(2), true), decision(200, Some(3), true),
                      decision(201, Some(4), false), decision(202, None, false)],
        "events": [{"time": "2026-11-24T05:02:00.000Z", "kind": "revocation",
                    "summary": "revoked by the operator", "ledger_index": 41}],
        "gaps": ["the parent of 5 is not in the record"],
    }))
    .unwrap()
}

#[test]
fn the_tree_shows_every_hop_decision_event_and_gap_once() {
    let text = draw(&trace());
    for last in 1..=5 {
        let agent = format!("spiffe://a.example/agent/{last} ");
        assert_eq!(text.matches(&agent).count(), 1, "{agent} in\n{text}");
    }
    for last in [200, 201, 202] {
        assert!(!text.contains(&format!("decision {}", id(last))));
    }
    assert_eq!(text.matches("✓ ").count(), 1, "a hop's own decision is not drawn again\n{text}");
    assert_eq!(text.matches("✗ ").count(), 2, "{text}");
    assert!(text.contains("policy_denied"));
    assert_eq!(text.matches("at spiffe://a.example/gateway/one, bank").count(), 1, "{text}");
    assert!(text.contains("revoked by the operator  leaf 41"));
    assert!(text.contains("the parent of 5 is not in the record"));
    assert!(text.contains("DT_2 spiffe://a.example/agent/3  [live]  ◀ asked for"), "{text}");
    assert!(!text.contains('\u{1b}'), "control characters never reach the terminal");
}

#[test]
fn branches_are_drawn_under_their_parents() {
    let text = draw(&trace());
    let starts: Vec<_> = text
        .lines()
        .filter_map(|line| line.find("DT_").map(|at| line[..at].chars().count()))
        .collect();
    assert_eq!(starts, [0, 3, 6, 3, 3], "{text}");
}
