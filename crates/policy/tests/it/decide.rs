//! Permits and denials: the chain is an input, the facts must be its own, errors refuse.

use std::sync::Arc;

use bailiwick_core::{
    ActChain, Actor, Algorithm, DecisionId, HolderBinding, HopClaims, HopFacts, Outcome, TokenId,
    UnixMillis, UnsignedToken, VerifiedChain, sha256,
};
use bailiwick_policy::{Act, ChainFacts, Facts, PolicySet, decide};
use serde_json::{Value, json};

use crate::support::{TASK, ask, facts, invoke, load};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const ORCHESTRATOR: &str = "spiffe://dev.bailiwick.example/agent/orchestrator";
const PLANNER: &str = "spiffe://dev.bailiwick.example/agent/planner";

fn token_id(n: u8) -> TokenId {
    TokenId::new(NOW, [n; 10])
}

/// A chain of one or more agents, as the Authority would read it back.
fn chain(agents: &[&str], max_depth: u8) -> VerifiedChain {
    let actor = |agent: &&str| Actor {
        iss: "https://authority.dev.example".to_owned(),
        sub: agent.parse().unwrap(),
    };
    let depth = u8::try_from(agents.len() - 1).unwrap();
    let claims = HopClaims {
        iss: "https://authority.dev.example".to_owned(),
        sub: "user:alice@dev.example".parse().unwrap(),
        aud: "https://tools.dev.example".to_owned(),
        client_id: agents.last().unwrap().parse().unwrap(),
        iat: NOW.seconds(),
        exp: NOW.seconds() + 300,
        jti: token_id(depth),
        cnf: HolderBinding::X5tS256(sha256(b"certificate")),
        authority: serde_json::from_value(json!({
            "type": "agent_delegation", "scopes": ["banking.*"], "constraints": [],
        }))
        .unwrap(),
        del_depth: depth,
        del_max_depth: max_depth,
        par_hash: (depth > 0).then(|| sha256(b"parent")),
        act: ActChain(agents.iter().rev().map(actor).collect()),
        txn: TASK.parse().unwrap(),
        status: None,
        hop: HopFacts {
            purpose: "pay the bill".to_owned(),
            workflow: "banking.pay-bill".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            env: "dev".to_owned(),
            decision: None,
            policy: None,
            grant: None,
            lineage: (0..depth).map(token_id).collect(),
            ask: None,
        },
    };
    let unsigned = UnsignedToken::settled(&claims, "k", Algorithm::Es256).unwrap();
    VerifiedChain::from_issuer_record(unsigned.signing_input()).unwrap()
}

fn on_chain(chain: &VerifiedChain, changes: &[(&str, Value)]) -> Facts {
    let mut facts = facts(changes);
    facts.chain = ChainFacts::of(chain, 0);
    Arc::make_mut(&mut facts.actor).id = chain.claims().client_id.clone();
    facts
}

/// The outcome's code, `allowed` for a permit.
fn outcome(
    set: &PolicySet,
    chain: Option<&VerifiedChain>,
    act: &Act,
    facts: &Facts,
) -> &'static str {
    let id = DecisionId::new(NOW, [1; 10]);
    match decide(set, chain, act.clone(), facts.clone(), id, NOW, ()) {
        Ok(_) => "allowed",
        Err(denial) => denial.outcome().code(),
    }
}

#[test]
fn a_permit_owns_its_request_and_tells_its_decision() {
    let set = PolicySet::default_pack().unwrap();
    let chain = chain(&[ORCHESTRATOR, PLANNER], 4);
    let facts = on_chain(&chain, &[]);
    let id = DecisionId::new(NOW, [1; 10]);
    let request = String::from("the request");
    let permit = decide(&set, Some(&chain), Act::Delegate, facts, id, NOW, request).unwrap();
    assert_eq!(permit.request(), "the request");
    let decision = permit.decision();
    assert!(decision.allow);
    assert_eq!(decision.determining, ["default.delegate"]);
    assert_eq!(decision.policy_hash, set.hash());
    let json = decision.to_json();
    assert_eq!(json["policy"], json!(set.hash()));
    assert_eq!(json["inputs"]["facts"]["chain"]["agents"], json!([ORCHESTRATOR, PLANNER]));
    assert_eq!(json["inputs"]["act"], json!({ "kind": "delegate" }));
    assert!(json.get("code").is_none());
    assert_eq!(permit.into_request(), "the request");
}

#[test]
fn a_denial_owns_its_request_and_says_why() {
    let set = PolicySet::default_pack().unwrap();
    let chain = chain(&[ORCHESTRATOR], 4);
    let facts = on_chain(&chain, &[("/delegatee/tenant", json!("other"))]);
    let id = DecisionId::new(NOW, [1; 10]);
    let denial = decide(&set, Some(&chain), Act::Delegate, facts, id, NOW, 7).unwrap_err();
    assert_eq!(denial.outcome(), Outcome::TenantMismatch);
    let (decision, request) = denial.into_parts();
    assert_eq!(request, 7);
    let json = decision.to_json();
    assert_eq!(json["code"], json!("tenant_mismatch"));
    assert!(json["reason"].as_str().unwrap().contains("another tenant"), "{json}");
}

#[test]
fn only_a_start_goes_without_a_chain() {
    let set = load("permit(principal, action, resource);");
    let facts = facts(&[]);
    let away = Act::CrossDomain { domain: "b.example".to_owned() };
    assert_eq!(outcome(&set, None, &Act::StartTask, &facts), "allowed");
    for act in [Act::Delegate, invoke("crm.read"), away] {
        assert_eq!(outcome(&set, None, &act, &facts), "provenance_missing", "{act:?}");
        let chain = chain(&[ORCHESTRATOR], 4);
        let twin = on_chain(&chain, &[]);
        assert_eq!(outcome(&set, Some(&chain), &act, &twin), "allowed", "{act:?}");
    }
    let chain = chain(&[ORCHESTRATOR], 4);
    let inside = on_chain(&chain, &[]);
    assert_eq!(outcome(&set, Some(&chain), &Act::StartTask, &inside), "task_mismatch");
    assert_eq!(outcome(&set, None, &Act::StartTask, &inside), "provenance_missing");
}

#[test]
fn facts_that_are_not_the_chains_are_refused_before_policy_is_asked() {
    let set = load("permit(principal, action, resource);");
    let chain = chain(&[ORCHESTRATOR, PLANNER], 4);
    let facts = on_chain(&chain, &[]);
    assert_eq!(outcome(&set, Some(&chain), &invoke("crm.read"), &facts), "allowed");
    type Bend = fn(&mut Facts);
    let table: [(&str, Bend); 9] = [
        ("task_mismatch", |f| f.task.id = "01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap()),
        ("principal_altered", |f| {
            Arc::make_mut(&mut f.subject).id = "user:mallory@dev.example".parse().unwrap()
        }),
        ("principal_altered", |f| {
            Arc::make_mut(&mut f.actor).id =
                "spiffe://dev.bailiwick.example/agent/x".parse().unwrap()
        }),
        ("tenant_mismatch", |f| f.task.tenant = "other".parse().unwrap()),
        ("depth_invalid", |f| f.chain.depth = 0),
        ("depth_invalid", |f| f.chain.max_depth = 9),
        ("provenance_missing", |f| f.chain.agents.truncate(1)),
        ("provenance_missing", |f| f.chain.agents.reverse()),
        ("provenance_missing", |f| f.chain.agents.push("one more".to_owned())),
    ];
    for (index, (code, bend)) in table.into_iter().enumerate() {
        let mut bent = facts.clone();
        bend(&mut bent);
        for act in [invoke("crm.read"), Act::Delegate] {
            assert_eq!(outcome(&set, Some(&chain), &act, &bent), code, "row {index} {act:?}");
        }
    }
}

#[test]
fn what_no_policy_can_be_asked_about_is_refused() {
    let set = load("permit(principal, action, resource);");
    let mut facts = facts(&[]);
    for (scope, expected) in [
        ("crm.read", None),
        ("crm.*", Some(Outcome::Malformed)),
        ("StartTask", Some(Outcome::Malformed)),
        ("Invoke", Some(Outcome::Malformed)),
        ("starttask", None),
    ] {
        assert_eq!(ask(&set, &invoke(scope), &facts).outcome, expected, "{scope}");
    }
    facts.delegatee = None;
    let verdict = ask(&set, &Act::Delegate, &facts);
    assert_eq!(verdict.outcome, Some(Outcome::AgentUnregistered));
    facts.arguments = (0..1_025).map(|n| (n.to_string(), json!(n))).collect();
    assert_eq!(ask(&set, &invoke("crm.read"), &facts).outcome, Some(Outcome::Malformed));
    facts.arguments.remove("0");
    assert!(ask(&set, &invoke("crm.read"), &facts).allows());
}

#[test]
fn a_policy_in_error_refuses_whatever_the_others_say() {
    let text = |factor: &str| {
        format!(
            "@id(\"all\") permit(principal, action, resource);
             @id(\"product\") forbid(principal, action, resource)
             when {{ context.ttl_seconds * 9007199254740991 * {factor} < 0 }};"
        )
    };
    let facts = facts(&[("/ttl_seconds", json!(900))]);
    let verdict = ask(&load(&text("1")), &invoke("crm.read"), &facts);
    assert!(verdict.allows(), "{verdict:?}");
    let verdict = ask(&load(&text("9007199254740991")), &invoke("crm.read"), &facts);
    assert_eq!(verdict.outcome, Some(Outcome::PolicyUnavailable));
    assert_eq!(verdict.determining, ["product"]);
}

#[test]
fn obligations_add_up_and_an_unmet_approval_refuses() {
    let set = load(
        "@id(\"plain\") permit(principal, action in Action::\"Invoke\", resource);
         @id(\"money\") @approval(\"owner\") @max_ttl(\"120\") @x_colour(\"red\")
         permit(principal, action in Action::\"banking.*\", resource);
         @id(\"send\") @max_ttl(\"60\") @notify(\"audit\")
         permit(principal, action == Action::\"banking.send_money\", resource);",
    );
    let chain = chain(&[ORCHESTRATOR], 4);
    let id = || DecisionId::new(NOW, [1; 10]);
    let facts = on_chain(&chain, &[]);
    let plain =
        decide(&set, Some(&chain), invoke("crm.read"), facts.clone(), id(), NOW, ()).unwrap();
    assert_eq!(plain.ttl_seconds(), 600);
    assert!(plain.decision().obligations.is_empty());

    let send = invoke("banking.send_money");
    let denied = decide(&set, Some(&chain), send.clone(), facts, id(), NOW, ()).unwrap_err();
    assert_eq!(denied.outcome(), Outcome::ApprovalRequired);
    assert_eq!(denied.decision().determining, ["money", "plain", "send"]);

    let approved = on_chain(&chain, &[("/approvals", json!(["owner"]))]);
    let permit = decide(&set, Some(&chain), send, approved, id(), NOW, ()).unwrap();
    assert_eq!(permit.ttl_seconds(), 60);
    let json = serde_json::to_value(&permit.decision().obligations).unwrap();
    assert_eq!(
        json,
        json!([
            { "kind": "approval", "by": "owner" },
            { "kind": "max_ttl", "seconds": 60 },
            { "kind": "max_ttl", "seconds": 120 },
            { "kind": "notify", "whom": "audit" },
            { "kind": "other", "key": "colour", "value": "red" },
        ])
    );
}

#[test]
fn an_offline_chain_is_decided_hop_by_hop() {
    let set = load("permit(principal, action, resource);");
    let chain = chain(&[ORCHESTRATOR, PLANNER], 4);
    let leaf = on_chain(&chain, &[]);
    assert_eq!(outcome(&set, Some(&chain), &Act::Delegate, &leaf), "allowed");
    // Only hops that were verified can be decided: this chain's root was not presented.
    let mut root = leaf.clone();
    root.chain = ChainFacts { agents: vec![ORCHESTRATOR.to_owned()], depth: 0, ..leaf.chain };
    Arc::make_mut(&mut root.actor).id = ORCHESTRATOR.parse().unwrap();
    assert_eq!(outcome(&set, Some(&chain), &Act::Delegate, &root), "depth_invalid");
}

/// (what, condition of a permit, whether the ordinary facts meet it)
const CONDITIONS: &[(&str, &str, bool)] = &[
    ("subject", "context.subject == Subject::\"user:alice@dev.example\"", true),
    ("effect", "context.effect == CallEffect::\"write\"", true),
    ("other effect", "context.effect == CallEffect::\"read\"", false),
    ("exposure", "context.task.exposure.level == Level::\"internal\"", true),
    ("exposure's rank", "context.task.exposure.rank > 1", false),
    ("subject's issuer", "context.subject.issuer like \"https://idp.*\"", true),
    ("group", "context.subject in Group::\"finance\"", true),
    ("other group", "context.subject in Group::\"sales\"", false),
    (
        "attribute",
        "context.subject.hasTag(\"department\") && context.subject.getTag(\"department\") == \"finance\"",
        true,
    ),
    ("no attribute", "context.subject.hasTag(\"tenant\")", false),
    ("team", "principal in Team::\"team:payments\"", true),
    ("trust domain", "principal in TrustDomain::\"dev.bailiwick.example\"", true),
    ("other trust domain", "principal in TrustDomain::\"b.example\"", false),
    ("owner", "principal.owner == Team::\"team:payments\"", true),
    ("agent is principal", "context.agent == principal", true),
    ("system", "resource in System::\"bank\"", true),
    ("label", "resource.labels.contains(\"pii\")", true),
    ("other label", "resource.labels.contains(\"public\")", false),
    ("records", "context.sensitivity == resource.sensitivity", true),
    ("records differ", "context.sensitivity == context.task.sensitivity_ceiling", false),
    ("level", "context.sensitivity.level == Level::\"internal\"", true),
    ("purpose", "context.task.purpose like \"pay *\"", true),
    ("workflow", "context.task.workflow == Workflow::\"banking.pay-bill\"", true),
    ("age", "context.task.age_seconds < 2", true),
    ("deadline", "context.task.deadline_seconds_left > 600", false),
    ("held", "context.held.scopes.contains(\"banking.*\")", true),
    (
        "requested",
        "context.requested.scopes.containsAny([\"banking.pay\", \"banking.send\"])",
        false,
    ),
    ("constrained", "context.held.constrained.isEmpty()", true),
    ("approvals", "context.approvals.isEmpty()", true),
    ("path", "context.chain.path like \"*agent/a > *agent/b*\"", true),
    ("path of others", "context.chain.path like \"*agent/b > *agent/a*\"", false),
    ("agents", "context.chain.agents.contains(\"spiffe://dev.bailiwick.example/agent/b\")", true),
    ("fan-out", "context.chain.fanout == 3", true),
    (
        "text",
        "context.arguments.hasTag(\"recipient\") && context.arguments.getTag(\"recipient\") has text && context.arguments.getTag(\"recipient\").text == \"bob\"",
        true,
    ),
    (
        "number",
        "context.arguments.hasTag(\"amount\") && context.arguments.getTag(\"amount\") has decimal && context.arguments.getTag(\"amount\").decimal.lessThanOrEqual(decimal(\"12.5\"))",
        true,
    ),
    (
        "no whole number",
        "context.arguments.hasTag(\"amount\") && context.arguments.getTag(\"amount\") has whole",
        false,
    ),
    (
        "list",
        "context.arguments.hasTag(\"tags\") && context.arguments.getTag(\"tags\") has items && context.arguments.getTag(\"tags\").items == [\"b\", \"a\"]",
        true,
    ),
    (
        "flag",
        "context.arguments.hasTag(\"urgent\") && context.arguments.getTag(\"urgent\") has flag && context.arguments.getTag(\"urgent\").flag",
        true,
    ),
    (
        "choice of entity",
        "(if context.offline then context.agent else principal).tenant == \"acme\"",
        true,
    ),
    ("action in condition", "action == Action::\"banking.send_money\"", true),
    ("other action in condition", "action in Action::\"crm.*\"", false),
];

#[test]
fn every_input_reaches_policy() {
    let facts = facts(&[
        (
            "/chain/agents",
            json!([
                "spiffe://dev.bailiwick.example/agent/a",
                "spiffe://dev.bailiwick.example/agent/b"
            ]),
        ),
        ("/chain/fanout", json!(3)),
    ]);
    for (what, condition, expected) in CONDITIONS {
        let text = format!(
            "permit(principal is Agent, action in Action::\"Invoke\", resource is Resource) when {{ {condition} }};"
        );
        let verdict = ask(&load(&text), &invoke("banking.send_money"), &facts);
        assert_eq!(verdict.allows(), *expected, "{what}: {verdict:?}");
        let denied = if *expected { None } else { Some(Outcome::PolicyDenied) };
        assert_eq!(verdict.outcome, denied, "{what}: {verdict:?}");
        // The same by negation: a condition that errs would pass neither.
        let verdict =
            ask(&load(&text.replace("when", "unless")), &invoke("banking.send_money"), &facts);
        assert_eq!(verdict.allows(), !expected, "{what}, negated: {verdict:?}");
    }
}
