//! Neither index nor memory ever changes an answer: not allow or deny, not the grounds, not the
//! obligations.

use std::fmt::Write as _;

use bailiwick_policy::{Act, PolicySet, PolicySource};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ask, facts, invoke};

const SCOPES: [&str; 8] = [
    "banking.send_money",
    "banking.read",
    "banking.cards.block",
    "crm.read",
    "crm.notes.read",
    "mail.send",
    "Opaque:Scope",
    "banking.cards.limits.raise",
];

const ACTIONS: [&str; 14] = [
    "action",
    "action in Action::\"Invoke\"",
    "action == Action::\"banking.send_money\"",
    "action == Action::\"banking.cards.block\"",
    "action == Action::\"Opaque:Scope\"",
    "action in Action::\"banking.*\"",
    "action in Action::\"banking.cards.*\"",
    "action in Action::\"crm.*\"",
    "action in [Action::\"crm.*\", Action::\"crm.read\", Action::\"mail.send\"]",
    "action in [Action::\"banking.read\", Action::\"Delegate\"]",
    "action == Action::\"Delegate\"",
    "action == Action::\"StartTask\"",
    "action in [Action::\"StartTask\", Action::\"Delegate\"]",
    "action == Action::\"CrossDomain\"",
];

const PRINCIPALS: [&str; 9] = [
    "principal",
    "principal is Agent",
    "principal == Agent::\"spiffe://dev.bailiwick.example/agent/orchestrator\"",
    "principal == Agent::\"spiffe://dev.bailiwick.example/agent/other\"",
    "principal in Team::\"team:payments\"",
    "principal is Agent in TrustDomain::\"dev.bailiwick.example\"",
    "principal in Group::\"finance\"",
    "principal is Subject in Group::\"sales\"",
    "principal == Subject::\"user:alice@dev.example\"",
];

const RESOURCES: [&str; 9] = [
    "resource",
    "resource is Resource",
    "resource == Resource::\"account-1\"",
    "resource in System::\"bank\"",
    "resource is Resource in System::\"crm\"",
    "resource == Agent::\"spiffe://dev.bailiwick.example/agent/payer\"",
    "resource in Team::\"team:payments\"",
    "resource == Workflow::\"banking.pay-bill\"",
    "resource == TrustDomain::\"b.example\"",
];

const CONDITIONS: [&str; 28] = [
    "",
    "when { context.offline }",
    "when { context.sensitivity.rank <= 1 }",
    "when { context.agent.clearance.rank >= context.sensitivity.rank }",
    "when { context.agent.clearance == context.sensitivity }",
    "when { context.sensitivity == context.task.sensitivity_ceiling }",
    "unless { context.agent.status == AgentStatus::\"active\" }",
    "when { context.subject in Group::\"finance\" }",
    "when { context.subject.hasTag(\"department\") && context.subject.getTag(\"department\") == \"finance\" }",
    "when { context.subject.issuer == \"https://idp.dev.example\" }",
    "when { context.task.tenant == context.agent.tenant && context.task.environment == \"dev\" }",
    "when { context.chain.depth + 1 < context.chain.max_depth }",
    "when { context.chain.path like \"*orchestrator*\" || context.chain.fanout > 2 }",
    "when { context.chain.agents.contains(\"spiffe://dev.bailiwick.example/agent/orchestrator\") }",
    "when { context.requested.scopes.contains(\"crm.read\") || context.held.scopes.contains(\"banking.*\") }",
    "when { context.requested == context.held }",
    "when { context.held.constrained.isEmpty() && context.approvals.contains(\"owner\") }",
    "when { context.arguments.hasTag(\"amount\") && context.arguments.getTag(\"amount\") has decimal && context.arguments.getTag(\"amount\").decimal.greaterThan(decimal(\"10.0\")) }",
    "when { context.binding == Binding::\"opaque\" || context.provenance != Provenance::\"intact\" }",
    "when { [context.agent.owner].contains(Team::\"team:payments\") }",
    "when { (if context.offline then context.agent else context.agent).environment == \"dev\" }",
    "when { context has sensitivity && context.sensitivity has rank && context.sensitivity.rank == 1 }",
    "when { context.ttl_seconds * 9007199254740991 * 9007199254740991 > 0 }",
    "when { {a: context.agent.tenant} == {a: \"acme\"} && context.task.deadline_seconds_left > 0 }",
    "when { context.agent in Team::\"team:payments\" && context.task.workflow == Workflow::\"banking.pay-bill\" }",
    "when { context.effect != CallEffect::\"read\" }",
    "when { context.task.exposure.rank > 1 && context.agent.clearance.rank < 3 }",
    "when { context.task.age_seconds < 5 && context.task.purpose like \"pay*\" && context.task.id != \"\" }",
];

const MARKS: [&str; 5] = ["", "@notify(\"ann\") ", "@x_mark(\"1\") ", "", ""];
const PERMIT_MARKS: [&str; 4] = ["", "@approval(\"owner\") ", "@max_ttl(\"60\") ", ""];

#[derive(Clone, Debug)]
struct Rule {
    permit: bool,
    head: (usize, usize, usize),
    condition: usize,
    marks: (usize, usize),
}

fn rule() -> impl Strategy<Value = Rule> {
    let head = (0..PRINCIPALS.len(), 0..ACTIONS.len(), 0..RESOURCES.len());
    let marks = (0..MARKS.len(), 0..PERMIT_MARKS.len());
    (prop::bool::weighted(0.7), head, 0..CONDITIONS.len(), marks)
        .prop_map(|(permit, head, condition, marks)| Rule { permit, head, condition, marks })
}

fn source(number: usize, rule: &Rule) -> PolicySource {
    let mut text = format!("@id(\"r{number}\") {}", MARKS[rule.marks.0]);
    if rule.permit {
        text.push_str(PERMIT_MARKS[rule.marks.1]);
    }
    let (principal, action, resource) = rule.head;
    let effect = if rule.permit { "permit" } else { "forbid" };
    let _ = write!(
        text,
        "{effect}({}, {}, {}) {};",
        PRINCIPALS[principal], ACTIONS[action], RESOURCES[resource], CONDITIONS[rule.condition]
    );
    PolicySource::new("rules", text)
}

/// Rules that load: of a random head, most parts exclude each other and are refused.
fn loadable(rules: &[Rule]) -> Vec<PolicySource> {
    let sources = rules.iter().enumerate().map(|(number, rule)| source(number, rule));
    sources.filter(|one| PolicySet::load(std::slice::from_ref(one)).is_ok()).collect()
}

/// A policy that applies to nobody and names every scope.
fn naming_every_scope() -> PolicySource {
    let actions = SCOPES.map(|scope| format!("Action::\"{scope}\"")).join(", ");
    let text = format!("forbid(principal == Agent::\"nobody\", action in [{actions}], resource);");
    PolicySource::new("names", text)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..SCOPES.len()).prop_map(|n| invoke(SCOPES[n])),
        2 => Just(Act::Delegate),
        2 => Just(Act::StartTask),
        1 => Just(Act::CrossDomain { domain: "b.example".to_owned() }),
    ]
}

fn changes() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let pick = |pointer: &'static str, values: Vec<Value>| {
        prop::option::weighted(0.3, prop::sample::select(values).prop_map(move |v| (pointer, v)))
    };
    let levels = || vec![json!("public"), json!("internal"), json!("confidential")];
    let agents = vec![
        json!("spiffe://dev.bailiwick.example/agent/other"),
        json!("spiffe://dev.bailiwick.example/agent/payer"),
    ];
    let lists = (
        pick("/sensitivity", levels()),
        pick("/actor/clearance", levels()),
        pick("/actor/status", vec![json!("quarantined"), json!("retired")]),
        pick("/actor/id", agents),
        pick("/actor/tenant", vec![json!("other")]),
        pick("/actor/owner", vec![json!("team:other")]),
        pick("/subject/groups", vec![json!([]), json!(["sales", "finance"])]),
        pick("/offline", vec![json!(true)]),
        pick("/approvals", vec![json!(["owner"])]),
        pick("/arguments/amount", vec![json!(3), json!("three"), json!(99.5)]),
    );
    let more = (
        pick("/resource/system", vec![json!("crm")]),
        pick("/resource/id", vec![json!("account-2")]),
        pick("/binding", vec![json!("opaque")]),
        pick("/provenance", vec![json!("dropped")]),
        pick("/chain/fanout", vec![json!(5)]),
        pick("/ttl_seconds", vec![json!(0), json!(60)]),
        pick("/delegatee/id", vec![json!("spiffe://dev.bailiwick.example/agent/other")]),
        pick("/effect", vec![json!("read"), json!("unknown")]),
        pick("/task/exposure", levels()),
    );
    (lists, more).prop_map(|(a, b)| {
        let a = [a.0, a.1, a.2, a.3, a.4, a.5, a.6, a.7, a.8, a.9];
        let b = [b.0, b.1, b.2, b.3, b.4, b.5, b.6, b.7, b.8];
        a.into_iter().chain(b).flatten().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn indexed_and_unindexed_agree(
        rules in prop::collection::vec(rule(), 1..40),
        requests in prop::collection::vec((act(), changes()), 1..24),
    ) {
        let sources = loadable(&rules);
        let indexed = PolicySet::load(&sources).unwrap();
        let unindexed = PolicySet::load(&sources).unwrap().unindexed().unwrap();
        prop_assert_eq!(indexed.hash(), unindexed.hash());
        let forgetful = PolicySet::load(&sources).unwrap().forgetful();
        // A scope that no policy names is asked for through a stand-in; here none needs one.
        let named = PolicySet::load(&[sources.clone(), vec![naming_every_scope()]].concat()).unwrap();
        for (act, changes) in requests {
            let facts = facts(&changes);
            prop_assert_eq!(
                ask(&indexed, &act, &facts),
                ask(&unindexed, &act, &facts),
                "{:?} {:?} among {:#?}", act, changes, sources
            );
            prop_assert_eq!(
                ask(&indexed, &act, &facts),
                ask(&forgetful, &act, &facts),
                "asked again: {:?} {:?} among {:#?}", act, changes, sources
            );
            prop_assert_eq!(
                ask(&indexed, &act, &facts),
                ask(&named, &act, &facts),
                "named: {:?} {:?} among {:#?}", act, changes, sources
            );
        }
    }
}

/// The property is worth nothing if the rules seldom apply: count over a fixed sweep.
#[test]
fn the_rules_of_the_property_do_decide_requests() {
    let rules: Vec<Rule> = (0..PRINCIPALS.len() * ACTIONS.len() * RESOURCES.len())
        .map(|n| Rule {
            permit: n % 5 != 0,
            head: (
                n % PRINCIPALS.len(),
                n / PRINCIPALS.len() % ACTIONS.len(),
                n / PRINCIPALS.len() / ACTIONS.len(),
            ),
            condition: n % CONDITIONS.len(),
            marks: (0, 0),
        })
        .collect();
    let sources = loadable(&rules);
    assert!(sources.len() > 100, "{} rules load", sources.len());
    let set = PolicySet::load(&sources).unwrap();
    let mut determining = std::collections::BTreeSet::new();
    let mut unindexed = 0;
    let flat = PolicySet::load(&sources).unwrap().unindexed().unwrap();
    for act in SCOPES.map(invoke).into_iter().chain([Act::Delegate, Act::StartTask]) {
        for offline in [false, true] {
            let facts = facts(&[("/offline", json!(offline)), ("/ttl_seconds", json!(0))]);
            let verdict = ask(&set, &act, &facts);
            assert_eq!(verdict, ask(&flat, &act, &facts), "{act:?}");
            determining.extend(verdict.determining);
            unindexed += 1;
        }
    }
    assert!(determining.len() >= 10, "{determining:?} over {unindexed} requests");
}
