//! Facts to which nothing objects, and ways to bend them.

use bailiwick_policy::{Act, Evaluated, Facts, Inputs, PolicySet, PolicySource, Verdict, replay};
use serde_json::{Value, json};

pub(crate) const TASK: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

pub(crate) fn facts_json() -> Value {
    let agent = |name: &str, clearance: &str| {
        json!({
            "id": format!("spiffe://dev.bailiwick.example/agent/{name}"),
            "owner": "team:payments", "environment": "dev", "tenant": "acme",
            "trust_domain": "dev.bailiwick.example", "clearance": clearance, "status": "active",
        })
    };
    let none = json!({ "type": "agent_delegation", "scopes": [], "constraints": [] });
    json!({
        "actor": agent("orchestrator", "confidential"),
        "delegatee": agent("payer", "internal"),
        "effect": "write",
        "approvals": [],
        "arguments": { "amount": 12.5, "recipient": "bob", "tags": ["a", "b"], "urgent": true },
        "binding": "verifies",
        "chain": { "agents": [], "depth": 0, "fanout": 0, "max_depth": 4 },
        "held": { "type": "agent_delegation", "scopes": ["banking.*"], "constraints": [] },
        "requested": none,
        "offline": false,
        "provenance": "intact",
        "resource": {
            "id": "account-1", "system": "bank", "labels": ["pii"], "sensitivity": "internal",
        },
        "sensitivity": "internal",
        "subject": {
            "id": "user:alice@dev.example", "issuer": "https://idp.dev.example",
            "groups": ["finance"], "attributes": { "department": "finance" },
        },
        "task": {
            "id": TASK, "purpose": "pay the bill", "workflow": "banking.pay-bill",
            "age_seconds": 1, "deadline_seconds_left": 600, "environment": "dev",
            "tenant": "acme", "sensitivity_ceiling": "confidential", "exposure": "internal",
        },
        "ttl_seconds": 600,
    })
}

/// Ordinary facts with some of them replaced, each by its JSON pointer.
pub(crate) fn facts(changes: &[(&str, Value)]) -> Facts {
    let mut json = facts_json();
    for (pointer, value) in changes {
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
    }
    serde_json::from_value(json).unwrap()
}

pub(crate) fn load(text: &str) -> PolicySet {
    PolicySet::load(&[PolicySource::new("test.cedar", text)]).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn invoke(scope: &str) -> Act {
    Act::Invoke { scope: scope.parse().unwrap() }
}

/// What policy says, without a chain.
pub(crate) fn ask(set: &PolicySet, act: &Act, facts: &Facts) -> Verdict {
    let inputs = Evaluated { act: act.clone(), facts: facts.clone() };
    replay(set, &Inputs::Evaluated(Box::new(inputs))).unwrap()
}
