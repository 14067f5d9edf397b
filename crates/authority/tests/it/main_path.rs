//! The main job: a task is started, handed on, narrowed and decided at each hop, used and ended.

use serde_json::{Value, json};

use crate::world::{Agent, Held, IBAN, World, evaluation, paying, reading, whole};

#[tokio::test]
async fn a_task_is_opened_handed_on_used_and_completed() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    assert_eq!(root.answer["token_type"], "DPoP");
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let claims = hop.chain();
    let claims = claims.claims();
    assert_eq!(claims.sub.as_ref(), "user:alice@dev.example", "the subject is never erased");
    assert_eq!(claims.txn.to_string(), root.task());
    assert_eq!(claims.del_depth, 1);
    assert_eq!(claims.hop.lineage.len(), 1);
    let agents: Vec<&str> = claims.act.0.iter().map(|actor| actor.sub.as_ref()).collect();
    assert_eq!(agents, [payer.id, orchestrator.id]);

    let good = json!({"recipient": IBAN, "amount": 60});
    let answer = world.evaluate(&payer, &hop, "banking.send_money", good).await;
    assert_eq!(answer["decision"], true, "{answer}");
    let wrong = json!({"recipient": "DE89370400440532013000", "amount": 60});
    let answer = world.evaluate(&payer, &hop, "banking.send_money", wrong).await;
    assert_eq!(answer["context"]["code"], "ceiling_exceeded", "{answer}");
    let answer = world.evaluate(&payer, &hop, "files.read", json!({})).await;
    assert_eq!(answer["context"]["code"], "scope_not_granted", "{answer}");

    let url = format!("{}/v1/tasks/{}/complete", world.url, root.task());
    let done = world
        .http
        .post(&url)
        .header("Authorization", format!("DPoP {}", root.token))
        .header("DPoP", orchestrator.proof("POST", &url, Some(&root.token)))
        .json(&json!({"reason": "paid"}))
        .send()
        .await
        .unwrap();
    assert_eq!(done.status(), 200, "{}", done.text().await.unwrap());
    let again = json!({"recipient": IBAN, "amount": 1});
    let answer = world.evaluate(&payer, &hop, "banking.send_money", again).await;
    assert_eq!(answer["decision"], false);
    assert_eq!(answer["context"]["code"], "task_closed", "{answer}");
    let (status, answer) = world
        .settle(
            &Agent::reader(),
            &orchestrator.grant(&root, &Agent::reader(), &reading(&root), |_| {}),
        )
        .await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("task_closed")), "{answer}");
}

#[tokio::test]
async fn siblings_never_jointly_overspend_a_subtree_budget() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let one = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let two = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    // 100 may be spent in all; each call spends 15, from two hops at once.
    let calls = (0..20).map(|n| {
        let held = if n % 2 == 0 { &one } else { &two };
        let body = evaluation(
            &payer,
            held,
            "banking.send_money",
            json!({"recipient": IBAN, "amount": 15}),
        );
        async { world.evaluate_body(&{ body }).await.json::<Value>().await.unwrap() }
    });
    let mut allowed = 0;
    let mut codes = Vec::new();
    for answer in futures_join(calls).await {
        match answer["decision"].as_bool() {
            Some(true) => allowed += 1,
            _ => codes.push(answer["context"]["code"].as_str().unwrap().to_owned()),
        }
    }
    assert_eq!(allowed, 6, "six times 15 is 90; a seventh would be 105");
    assert!(codes.iter().all(|code| code == "budget_exhausted"), "{codes:?}");
}

async fn futures_join<F: Future<Output = Value>>(calls: impl Iterator<Item = F>) -> Vec<Value> {
    let mut pending: Vec<_> = calls.map(Box::pin).collect();
    let mut done: Vec<Option<Value>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (call, slot) in pending.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match call.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *slot = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_renewed_token_is_the_same_hop_and_refills_nothing() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let spend = json!({"recipient": IBAN, "amount": 90});
    assert_eq!(
        world.evaluate(&payer, &hop, "banking.send_money", spend.clone()).await["decision"],
        true
    );
    let (status, answer) = world.renew(&payer, &hop).await;
    assert_eq!(status, 200, "{answer}");
    let renewed = Held::from(answer);
    assert_ne!(renewed.jti(), hop.jti());
    assert_eq!(renewed.chain().claims().del_depth, 1);
    assert_eq!(renewed.chain().claims().par_hash, hop.chain().claims().par_hash);
    let answer = world.evaluate(&payer, &renewed, "banking.send_money", spend).await;
    assert_eq!(answer["context"]["code"], "budget_exhausted", "{answer}");
    let rest = json!({"recipient": IBAN, "amount": 10});
    let answer = world.evaluate(&payer, &renewed, "banking.send_money", rest).await;
    assert_eq!(answer["decision"], true, "{answer}");
}

#[tokio::test]
async fn a_renewal_takes_the_proof_of_a_stock_client_and_of_the_holder_only() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let held = world.open(&orchestrator).await;
    let url = format!("{}/oauth/token", world.url);
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", held.token.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    let (status, answer) = world.exchange(Some(&payer.proof("POST", &url, None)), &form).await;
    assert_eq!((status, &answer["code"]), (400, &json!("holder_binding_failed")), "{answer}");
    let (status, answer) =
        world.exchange(Some(&orchestrator.proof("POST", &url, None)), &form).await;
    assert_eq!(status, 200, "no `ath` at a token endpoint: {answer}");
}

#[tokio::test]
async fn revoking_a_hop_kills_what_is_below_it_and_nothing_else() {
    let world = World::start().await;
    let (orchestrator, payer, reader) = (Agent::orchestrator(), Agent::payer(), Agent::reader());
    let root = world.open(&orchestrator).await;
    let paid = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let read = world.hop(&orchestrator, &root, &reader, &reading(&root)).await;
    let target = json!({"target": {"jti": paid.jti()}, "reason": "drill", "dry_run": true});
    let preview: Value =
        world.post_as_operator("/v1/revocations", &target).await.json().await.unwrap();
    assert_eq!(preview["tokens"], json!([paid.jti()]));
    let spend = json!({"recipient": IBAN, "amount": 1});
    let answer = world.evaluate(&payer, &paid, "banking.send_money", spend.clone()).await;
    assert_eq!(answer["decision"], true, "a preview kills nothing: {answer}");
    let target = json!({"target": {"jti": paid.jti()}, "reason": "drill"});
    let done: Value =
        world.post_as_operator("/v1/revocations", &target).await.json().await.unwrap();
    assert_eq!(done["tokens"], json!([paid.jti()]), "{done}");
    let answer = world.evaluate(&payer, &paid, "banking.send_money", spend).await;
    assert_eq!(answer["context"]["code"], "revoked", "{answer}");
    let (_, answer) = world.renew(&payer, &paid).await;
    assert_eq!(answer["code"], "revoked", "{answer}");
    let path = json!({"path": crate::world::BILL});
    let answer = world.evaluate(&reader, &read, "files.read", path).await;
    assert_eq!(answer["decision"], true, "the sibling lives: {answer}");
}

#[tokio::test]
async fn a_quarantined_agent_stops_at_once_and_returns_empty_handed() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let path =
        format!("/v1/agents/{}/quarantine", payer.id.replace(':', "%3A").replace('/', "%2F"));
    let stopped = world.post_as_operator(&path, &json!({"reason": "odd"})).await;
    assert_eq!(stopped.status(), 200, "{}", stopped.text().await.unwrap());
    let spend = json!({"recipient": IBAN, "amount": 1});
    let answer = world.evaluate(&payer, &hop, "banking.send_money", spend.clone()).await;
    assert_eq!(answer["decision"], false, "{answer}");
    let (_, answer) =
        world.settle(&payer, &orchestrator.grant(&root, &payer, &paying(&root), |_| {})).await;
    assert_eq!(answer["code"], "agent_quarantined", "{answer}");
    let path = path.replace("quarantine", "reinstate");
    assert_eq!(world.post_as_operator(&path, &json!({})).await.status(), 200);
    let answer = world.evaluate(&payer, &hop, "banking.send_money", spend.clone()).await;
    assert_eq!(answer["context"]["code"], "revoked", "what died stays dead: {answer}");
    let fresh = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let answer = world.evaluate(&payer, &fresh, "banking.send_money", spend).await;
    assert_eq!(answer["decision"], true, "{answer}");
}

#[tokio::test]
async fn introspection_shows_the_chain_to_those_who_may_see_it() {
    let world = World::start().await;
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    let url = format!("{}/oauth/introspect", world.url);
    let ask = |bearer: String| {
        let request = world.http.post(&url).bearer_auth(bearer).form(&[("token", &hop.token)]);
        async { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let seen = ask(world.operator().await).await;
    assert_eq!(seen["active"], true);
    assert_eq!(seen["act"]["sub"], payer.id);
    assert_eq!(seen["act"]["act"]["sub"], orchestrator.id, "introspection keeps the whole chain");
    let hidden = ask(world.subject("mallory@dev.example", &[]).await).await;
    assert_eq!(hidden, json!({"active": false}));
    assert_eq!(whole(&root)["type"], "agent_delegation");
}
