//! Every refusal has its code and is logged once; each test has a benign twin that passes.

use bailiwick_core::grant::GrantClaims;
use bailiwick_core::{HeldAuthority, UnixMillis};
use serde_json::{Value, json};

use crate::world::{
    Agent, Held, IBAN, World, default_task, evaluation, now, paying, reading, whole,
};

async fn refused(world: &World, to: &Agent, grant: &str, code: &str) {
    let before = ledger_size(world).await;
    let (status, answer) = world.settle(to, grant).await;
    assert!(status >= 400, "{code}: {answer}");
    assert_eq!(answer["code"], code, "{answer}");
    assert!(answer["decision_id"].is_string(), "{code} is a logged decision: {answer}");
    assert_eq!(ledger_size(world).await, before + 1, "{code} is logged once");
}

async fn ledger_size(world: &World) -> u64 {
    let url = format!("{}/ledger/checkpoint", world.url);
    let text = world.http.get(url).send().await.unwrap().text().await.unwrap();
    text.lines().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn spoilt_grants_are_refused_and_the_whole_one_settles() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let detail = paying(&root);
    type Spoil = Box<dyn Fn(&mut GrantClaims)>;
    let wider = |change: fn(&mut Value)| -> Spoil {
        let mut detail = detail.clone();
        change(&mut detail);
        Box::new(move |claims| {
            claims.authority = HeldAuthority::from_detail(&detail).unwrap().into()
        })
    };
    let cases: Vec<(&str, Spoil)> = vec![
        ("not_narrower", wider(|detail| detail["scopes"] = json!(["banking.*"]))),
        ("not_narrower", wider(|detail| detail["constraints"] = json!([]))),
        (
            "principal_altered",
            Box::new(|claims| claims.sub = "user:mallory@dev.example".parse().unwrap()),
        ),
        ("tenant_mismatch", Box::new(|claims| claims.hop.tenant = "other".parse().unwrap())),
        ("audience_mismatch", Box::new(|claims| claims.aud = "https://elsewhere.example".into())),
        ("depth_invalid", Box::new(|claims| claims.del_depth = 2)),
        ("not_narrower", Box::new(|claims| claims.del_max_depth += 1)),
        ("expired", Box::new(|claims| claims.exp += 1)),
        (
            "expired",
            Box::new(|claims| {
                claims.iat -= 100;
                claims.exp = claims.iat + 1;
            }),
        ),
    ];
    for (code, spoil) in cases {
        refused(&world, &payer, &orchestrator.grant(&root, &payer, &detail, spoil), code).await;
    }
    world.hop(&orchestrator, &root, &payer, &detail).await;
}

#[tokio::test]
async fn a_grant_by_another_key_or_of_an_unknown_parent_is_refused() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let thief = Agent::new(orchestrator.id);
    let forged = thief.grant(&root, &payer, &paying(&root), |_| {});
    refused(&world, &payer, &forged, "holder_binding_failed").await;
    let orphan = orchestrator.grant(&root, &payer, &paying(&root), |claims| {
        claims.par_hash = bailiwick_core::sha256(b"nothing");
    });
    refused(&world, &payer, &orphan, "par_hash_mismatch").await;
    let mut flipped = orchestrator.grant(&root, &payer, &paying(&root), |_| {});
    let last = flipped.pop().unwrap();
    let mut bytes = flipped.into_bytes();
    let at = bytes.len() - 20;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    let mut flipped = String::from_utf8(bytes).unwrap();
    flipped.push(last);
    refused(&world, &payer, &flipped, "signature_invalid").await;
    refused(&world, &payer, "not.a.token", "malformed").await;
    world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
}

#[tokio::test]
async fn only_the_named_delegatee_with_the_named_key_settles() {
    let world = World::start().await;
    let (orchestrator, payer, reader) = (Agent::orchestrator(), Agent::payer(), Agent::reader());
    let root = world.open(&orchestrator).await;
    let grant = orchestrator.grant(&root, &payer, &paying(&root), |_| {});
    refused(&world, &reader, &grant, "holder_binding_failed").await;
    refused(&world, &Agent::payer(), &grant, "holder_binding_failed").await;
    let agent_bound = orchestrator.grant(&root, &payer, &paying(&root), |claims| claims.cnf = None);
    let (status, answer) = world.settle(&payer, &agent_bound).await;
    assert_eq!(status, 200, "agent-bound: the key that is proven is bound: {answer}");
}

#[tokio::test]
async fn a_refused_stranger_does_not_choose_how_much_is_recorded() {
    let world = World::start().await;
    let stranger = Agent::new("spiffe://dev.bailiwick.example/agent/stranger");
    let mut detail = default_task();
    detail["workflow"] = "w".repeat(100_000).into();
    let index = ledger_size(&world).await;
    let (_, answer) = world.try_open(&stranger, &detail).await;
    assert_eq!(answer["code"], "agent_unregistered", "{answer}");
    let path = format!("/v1/receipts/{index}");
    let receipt: Value = world.get_as_operator(&path).await.json().await.unwrap();
    let noted = receipt["payload"]["decision"]["inputs"]["workflow"].as_str().unwrap();
    assert_eq!(noted.chars().count(), 257, "cut, and marked as cut");
    world.open(&Agent::orchestrator()).await;
}

#[tokio::test]
async fn a_task_starts_with_no_more_scopes_than_asked_for() {
    let world = World::start().await;
    let orchestrator = Agent::orchestrator();
    let (status, answer) = world.try_open_with(&orchestrator, &default_task(), "files.read").await;
    assert_eq!((status, answer["scope"].as_str()), (200, Some("files.read")), "{answer}");
    let (_, answer) = world.try_open_with(&orchestrator, &default_task(), "files.delete").await;
    assert_eq!(answer["code"], "scope_not_granted", "{answer}");
}

#[tokio::test]
async fn a_signed_grant_that_is_wider_shows_in_the_trace_and_a_forged_one_does_not() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let mut wider = paying(&root);
    wider["constraints"] = json!([]);
    refused(&world, &payer, &orchestrator.grant(&root, &payer, &wider, |_| {}), "not_narrower")
        .await;
    let thief = Agent::new(orchestrator.id);
    let forged = thief.grant(&root, &payer, &paying(&root), |_| {});
    refused(&world, &payer, &forged, "holder_binding_failed").await;
    let path = format!("/v1/trace/{}", root.task());
    let tree: Value = world.get_as_operator(&path).await.json().await.unwrap();
    let codes: Vec<&str> = tree["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["code"].as_str())
        .collect();
    assert_eq!(codes, ["not_narrower"], "{tree}");
}

#[tokio::test]
async fn edges_cycles_and_unregistered_agents() {
    let world = World::start().await;
    let (orchestrator, payer, reader) = (Agent::orchestrator(), Agent::payer(), Agent::reader());
    let root = world.open(&orchestrator).await;
    let to_reader = orchestrator.grant(&root, &reader, &paying(&root), |_| {});
    refused(&world, &reader, &to_reader, "edge_forbidden").await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let back = payer.grant(&hop, &orchestrator, &paying(&root), |_| {});
    refused(&world, &orchestrator, &back, "chain_cycle").await;
    let stranger = Agent::new("spiffe://dev.bailiwick.example/agent/stranger");
    let grant = orchestrator.grant(&root, &stranger, &paying(&root), |_| {});
    let (_, answer) = world.settle(&stranger, &grant).await;
    assert_eq!(answer["code"], "agent_unregistered", "{answer}");
}

#[tokio::test]
async fn fan_out_is_bounded() {
    let world = World::start().await;
    let (orchestrator, reader) = (Agent::orchestrator(), Agent::reader());
    let root = world.open(&orchestrator).await;
    for _ in 0..8 {
        world.hop(&orchestrator, &root, &reader, &reading(&root)).await;
    }
    let ninth = orchestrator.grant(&root, &reader, &reading(&root), |_| {});
    refused(&world, &reader, &ninth, "fanout_exceeded").await;
}

#[tokio::test]
async fn proofs_of_possession() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let url = format!("{}/oauth/token", world.url);
    let svid = world.svid(payer.id).await;
    let grant = orchestrator.grant(&root, &payer, &paying(&root), |_| {});
    let stale = UnixMillis(now().0 - 600_000);
    let cases = [
        (None, "holder_binding_failed"),
        (Some(payer.proof("GET", &url, None)), "holder_binding_failed"),
        (
            Some(payer.proof("POST", "http://127.0.0.1:1/oauth/token", None)),
            "holder_binding_failed",
        ),
        (Some(payer.proof_at("POST", &url, None, stale, &[])), "expired"),
        (Some("a.b.c".to_owned()), "malformed"),
    ];
    for (proof, code) in cases {
        let (status, answer) = world.settle_with(&grant, &svid, proof.as_deref()).await;
        assert!(status >= 400 && answer["code"] == code, "{code}: {answer}");
        assert_eq!(answer["error"], "invalid_dpop_proof", "RFC 9449 §5: {answer}");
    }
    let proof = payer.proof("POST", &url, None);
    let (status, answer) = world.settle_with(&grant, &svid, Some(&proof)).await;
    assert_eq!(status, 200, "{answer}");
    let (_, answer) = world.settle_with(&grant, &svid, Some(&proof)).await;
    assert_eq!(answer["code"], "proof_replayed", "{answer}");
    assert_eq!(answer["error"], "invalid_dpop_proof", "{answer}");
    let late = orchestrator.grant(&root, &payer, &paying(&root), |claims| claims.exp += 60);
    let (_, answer) = world.settle(&payer, &late).await;
    assert_eq!(answer["code"], "expired", "{answer}");
    assert_eq!(answer["error"], "invalid_grant", "not the proof's fault: {answer}");
}

#[tokio::test]
async fn tasks_that_may_not_be_opened() {
    let world = World::start().await;
    let orchestrator = Agent::orchestrator();
    let with = |change: fn(&mut Value)| {
        let mut detail = default_task();
        change(&mut detail);
        detail
    };
    let cases = [
        (with(|detail| detail["workflow"] = json!("no.such")), "workflow_unregistered"),
        (with(|detail| detail["parameters"]["limit"] = json!(1_000_000)), "malformed"),
        (with(|detail| detail["parameters"]["payee"] = json!("*")), "malformed"),
        (with(|detail| detail["parameters"]["more"] = json!(1)), "malformed"),
        (with(|detail| detail["type"] = json!("other")), "malformed"),
    ];
    for (detail, code) in cases {
        let (status, answer) = world.try_open(&orchestrator, &detail).await;
        assert!(status >= 400 && answer["code"] == code, "{code}: {answer}");
    }
    let (_, answer) = world.try_open(&Agent::payer(), &default_task()).await;
    assert_eq!(answer["code"], "edge_forbidden", "not an entry agent: {answer}");
    world.open(&orchestrator).await;
}

#[tokio::test]
async fn evaluations_that_are_refused() {
    let world = World::start().await;
    let (orchestrator, payer, reader) = (Agent::orchestrator(), Agent::payer(), Agent::reader());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let good =
        || evaluation(&payer, &hop, "banking.send_money", json!({"recipient": IBAN, "amount": 1}));
    let other = world.hop(&orchestrator, &root, &reader, &reading(&root)).await;
    let properties = |body: &mut Value, key: &str, value: Value| {
        body["subject"]["properties"][key] = value;
    };
    let mut cases: Vec<(Value, &str)> = Vec::new();
    let mut add = |change: &dyn Fn(&mut Value), code| {
        let mut body = good();
        change(&mut body);
        cases.push((body, code));
    };
    add(&|body| properties(body, "token", Value::Null), "provenance_missing");
    add(&|body| properties(body, "proof", Value::Null), "holder_binding_failed");
    add(&|body| properties(body, "token", other.token.clone().into()), "holder_binding_failed");
    add(&|body| body["subject"]["id"] = json!(reader.id), "principal_altered");
    add(
        &|body| body["context"]["audience"] = json!("https://elsewhere.example"),
        "audience_mismatch",
    );
    add(&|body| body["action"]["name"] = json!("banking.*.x"), "malformed");
    add(&|body| body["action"]["name"] = json!("banking.close_account"), "scope_not_granted");
    add(&|body| body["context"]["arguments"]["amount"] = json!(101), "ceiling_exceeded");
    add(&|body| body["context"]["arguments"]["amount"] = json!(-5), "budget_exhausted");
    add(&|body| body["context"]["arguments"]["amount"] = json!("1"), "ceiling_exceeded");
    add(
        &|body| body["context"]["arguments"]["note"] = json!(9_007_199_254_740_993_i64),
        "malformed",
    );
    add(
        &|body| {
            let deep = (0..45).fold(json!(1), |inner, _| json!([inner]));
            body["context"]["arguments"]["note"] = deep;
        },
        "malformed",
    );
    add(&|body| body["resource"]["properties"]["sensitivity"] = json!("secret"), "malformed");
    add(
        &|body| body["resource"]["properties"]["sensitivity"] = json!("restricted"),
        "policy_denied",
    );
    for (body, code) in cases {
        let response = world.evaluate_body(&body).await;
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["decision"], false, "{code}: {answer}");
        let got = answer["context"]["code"].as_str().unwrap();
        // A negative amount is refused by whichever bound sees it first.
        let negative = code == "budget_exhausted" && got == "ceiling_exceeded";
        assert!(got == code || negative, "{code}: {answer}");
    }
    let answer: Value = world.evaluate_body(&good()).await.json().await.unwrap();
    assert_eq!(answer["decision"], true, "{answer}");
    let replay = good();
    assert_eq!(world.evaluate_body(&replay).await.json::<Value>().await.unwrap()["decision"], true);
    let answer: Value = world.evaluate_body(&replay).await.json().await.unwrap();
    assert_eq!(answer["context"]["code"], "proof_replayed", "{answer}");
}

#[tokio::test]
async fn only_an_enforcement_point_asks_and_only_an_admin_applies() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let body =
        evaluation(&payer, &hop, "banking.send_money", json!({"recipient": IBAN, "amount": 1}));
    let svid = world.svid(payer.id).await;
    let url = format!("{}/access/v1/evaluation", world.url);
    let refused = world.http.post(&url).bearer_auth(svid).json(&body).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "role_required");
    assert_eq!(world.evaluate_body(&body).await.status(), 200);

    let alice = world.subject("alice@dev.example", &["finance"]).await;
    let url = format!("{}/v1/registry/apply", world.url);
    let refused = world.http.post(&url).bearer_auth(alice).json(&json!({})).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(world.post_as_operator("/v1/registry/apply", &json!({})).await.status(), 200);
}

#[tokio::test]
async fn server_nonces_are_asked_for_and_accepted() {
    let data = tempfile::tempdir().unwrap();
    let world = World::start_in(data, |config| {
        config.dpop.nonce = bailiwick_authority::config::DpopNonce::Required;
    })
    .await;
    world.apply(crate::world::QUICKSTART).await;
    let orchestrator = Agent::orchestrator();
    let subject = world.subject("alice@dev.example", &[]).await;
    let svid = world.svid(orchestrator.id).await;
    let url = format!("{}/oauth/token", world.url);
    let details = json!([default_task()]).to_string();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", subject.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("actor_token", svid.as_str()),
        ("authorization_details", details.as_str()),
    ];
    let proof = orchestrator.proof("POST", &url, None);
    let first = world.http.post(&url).header("DPoP", proof).form(&form).send().await.unwrap();
    assert_eq!(first.status(), 400);
    let nonce = first.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    assert_eq!(first.json::<Value>().await.unwrap()["error"], "use_dpop_nonce");
    let proof = orchestrator.proof_at("POST", &url, None, now(), &[("nonce", nonce.into())]);
    let (status, answer) = world.exchange(Some(&proof), &form).await;
    assert_eq!(status, 200, "{answer}");
    let keys = format!("{}/v1/agent-keys", world.url);
    let proof = orchestrator.proof("POST", &keys, None);
    let asked =
        world.http.post(&keys).bearer_auth(&svid).header("DPoP", proof).send().await.unwrap();
    assert_eq!(asked.status(), 401);
    let challenge = asked.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("use_dpop_nonce"), "{challenge}");
    assert_eq!(asked.json::<Value>().await.unwrap()["code"], "use_dpop_nonce");
    let forged = orchestrator.proof_at("POST", &url, None, now(), &[("nonce", "made-up".into())]);
    let (_, answer) = world.exchange(Some(&forged), &form).await;
    assert_eq!(answer["error"], "use_dpop_nonce", "{answer}");
}

#[tokio::test]
async fn a_retired_workflow_and_a_departed_owner_stop_new_work() {
    let world = World::start().await;
    let orchestrator = Agent::orchestrator();
    world.open(&orchestrator).await;
    let retired = crate::world::QUICKSTART
        .replace("title = \"Pay a bill\"", "title = \"Pay a bill\"\nstatus = \"retired\"");
    world.apply(&retired).await;
    let (_, answer) = world.try_open(&orchestrator, &default_task()).await;
    assert_eq!(answer["code"], "workflow_unregistered", "{answer}");
    world.apply(crate::world::QUICKSTART).await;
    let root: Held = world.open(&orchestrator).await;
    assert_eq!(whole(&root)["type"], "agent_delegation");
    let gone = json!({"owner": [{
        "id": "team:payments", "name": "Payments", "contact": "x@dev.example", "status": "inactive",
    }]});
    let refused = world.post_as_operator("/v1/registry/apply", &gone).await;
    assert_eq!(refused.status(), 400, "an owner that is still named cannot go");
}
