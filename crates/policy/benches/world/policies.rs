//! Policies of a large organisation, and a call that some of them are about.

use std::fmt::Write as _;

use bailiwick_policy::{Act, Evaluated, Facts, Inputs, PolicySource, default_sources};
use serde_json::json;

/// `n` policies beside the default ones: rules for single scopes, for wildcards, for agents and
/// for workflows, as a large organisation would have.
pub fn sources(n: usize) -> Vec<PolicySource> {
    let mut text = String::new();
    for i in 0..n {
        let (a, b) = (i % 100, i / 100);
        let policy = match i % 10 {
            0 => format!(
                "forbid(principal is Agent, action == Action::\"area{a}.sub{b}.delete\", resource) \
                 when {{ context.sensitivity.rank > 1 }};"
            ),
            1 => format!(
                "permit(principal == Agent::\"spiffe://dev.bailiwick.example/agent/a{i}\", \
                 action in Action::\"Invoke\", resource in System::\"system{b}\");"
            ),
            2 => format!(
                "forbid(principal is Subject, action == Action::\"StartTask\", \
                 resource == Workflow::\"workflow{i}\") when {{ context.chain.max_depth > 3 }};"
            ),
            3 => format!(
                "permit(principal is Agent, action == Action::\"Delegate\", \
                 resource == Agent::\"spiffe://dev.bailiwick.example/agent/b{i}\");"
            ),
            4 => format!(
                "@notify(\"team{i}\") permit(principal is Agent, \
                 action in Action::\"area{a}.sub{b}.*\", resource) \
                 when {{ principal.tenant == context.task.tenant }};"
            ),
            _ => format!(
                "permit(principal is Agent, action == Action::\"area{a}.sub{b}.verb{}\", resource) \
                 when {{ principal.tenant == context.task.tenant }};",
                i % 10
            ),
        };
        let _ = writeln!(text, "@id(\"bench.{i}\") {policy}");
    }
    let mut sources = default_sources();
    sources.push(PolicySource::new("bench.cedar", text));
    sources
}

pub fn inputs(scope: &str) -> Inputs {
    let agent = json!({
        "id": "spiffe://dev.bailiwick.example/agent/payer", "owner": "team:payments",
        "environment": "dev", "tenant": "acme", "trust_domain": "dev.bailiwick.example",
        "clearance": "confidential", "status": "active",
    });
    let none = json!({ "type": "agent_delegation", "scopes": [scope], "constraints": [] });
    let facts = json!({
        "actor": agent, "binding": "verifies", "held": none, "requested": none,
        "chain": {
            "agents": ["spiffe://dev.bailiwick.example/agent/orchestrator",
                       "spiffe://dev.bailiwick.example/agent/planner",
                       "spiffe://dev.bailiwick.example/agent/payer"],
            "depth": 2, "fanout": 1, "max_depth": 4,
        },
        "arguments": { "recipient": "bob", "amount": 12.5, "subject": "rent" },
        "offline": false, "provenance": "intact",
        "resource": { "id": "account", "system": "bank", "sensitivity": "internal" },
        "sensitivity": "internal",
        "subject": { "id": "user:alice@dev.example", "issuer": "https://idp.dev.example",
                     "groups": ["finance"], "attributes": { "department": "finance" } },
        "task": {
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "purpose": "pay the bill",
            "workflow": "banking.pay-bill", "age_seconds": 1, "deadline_seconds_left": 600,
            "environment": "dev", "tenant": "acme", "sensitivity_ceiling": "confidential",
        },
        "ttl_seconds": 300,
    });
    let facts: Facts = serde_json::from_value(facts).unwrap();
    let act = Act::Invoke { scope: scope.parse().unwrap() };
    Inputs::Evaluated(Box::new(Evaluated { act, facts }))
}

/// A scope that policies of the set name, and the default policies alone would permit.
pub const SCOPE: &str = "area5.sub0.verb5";
