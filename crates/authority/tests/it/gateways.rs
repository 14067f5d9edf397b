//! What gateways report and borrow, over HTTP: each record once, each unit once, and nobody else's.

use bailiwick_api::enforcement::leases::{
    Lease, LeaseNeed, LeaseReply, LeaseRequest, LeaseReturnRequest,
};
use bailiwick_api::enforcement::receipts::{
    EpochEnd, ReceiptsRequest, ReportedDraw, ReportedPayload, ReportedReceipt,
};
use bailiwick_api::{Client, ClientError};
use bailiwick_core::{DebitKind, DecisionId, EpochId, Micros};
use serde_json::{Value, json};

use crate::world::{Agent, Held, IBAN, World, now, paying};

const TOOLS: &str = "spiffe://dev.bailiwick.example/gateway/tools";
const OTHER: &str = "spiffe://dev.bailiwick.example/gateway/other";
const FOREIGN: &str = "spiffe://dev.bailiwick.example/gateway/foreign";

/// Two more enforcement points: one of the same tenant, one of another.
const POINTS: &str = r#"
[[agent]]
id = "spiffe://dev.bailiwick.example/gateway/other"
name = "Other gateway"
owner = "team:payments"
env = "dev"
tenant = "acme"
roles = ["enforcement-point"]

[[agent]]
id = "spiffe://dev.bailiwick.example/gateway/foreign"
name = "Gateway of another tenant"
owner = "team:payments"
env = "dev"
tenant = "globex"
roles = ["enforcement-point"]
"#;

async fn world() -> World {
    let world = World::start().await;
    world.apply(POINTS).await;
    world
}

/// The Authority as this workload sees it.
async fn client(world: &World, id: &str) -> Client {
    let svid = world.svid(id).await;
    Client::new(world.url.parse().unwrap()).unwrap().with_bearer_token(svid)
}

fn fresh() -> [u8; 10] {
    let mut random = [0; 10];
    bailiwick_core::fill_random(&mut random).unwrap();
    random
}

fn epoch() -> EpochId {
    EpochId::new(now(), fresh())
}

/// A decision as a gateway records it.
fn decision(held: &Held) -> (DecisionId, ReportedReceipt) {
    let id = DecisionId::new(now(), fresh());
    let (task, jti) = (held.task(), held.jti());
    let body = json!({
        "v": 1, "act": "invoke", "task": task, "jti": jti, "agent": Agent::payer().id, "route": "bank",
        "decision": {
            "id": id, "time": now().0, "allow": true, "determining": ["pay"], "policy": "sha-256:x",
            "inputs": {"act": {"scope": "banking.send_money"}, "arguments": {"amount": 5}},
        },
    });
    let receipt = ReportedReceipt {
        kind: "decision".to_owned(),
        time: now().0,
        ids: vec![id.to_string(), task],
        payload: payload(&body),
        draws: vec![],
    };
    (id, receipt)
}

fn payload(said: &Value) -> ReportedPayload {
    ReportedPayload::try_from(said).unwrap()
}

fn report(epoch: EpochId, first: u64, receipts: Vec<ReportedReceipt>) -> ReceiptsRequest {
    ReceiptsRequest { epoch, previous: None, first, receipts }
}

fn draw(lease: &Lease, task: &str, amount: i64) -> ReportedDraw {
    ReportedDraw {
        lease: lease.id,
        task: task.parse().unwrap(),
        node: lease.node,
        kind: lease.kind,
        key: lease.key.clone(),
        amount_micros: Micros(amount * 1_000_000),
    }
}

/// `units` of the token's `amount` budget and those above it.
fn need(epoch: EpochId, held: &Held, units: i64, want: i64) -> LeaseRequest {
    LeaseRequest {
        epoch,
        jti: held.jti().parse().unwrap(),
        needs: vec![LeaseNeed {
            key: "amount".to_owned(),
            kind: DebitKind::Subtree,
            need_micros: Micros(units * 1_000_000),
            want_micros: Micros(want * 1_000_000),
            node: None,
            unsettled_limit_micros: None,
        }],
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}

async fn trace(world: &World, id: &str) -> Value {
    let response = world.get_as_operator(&format!("/v1/trace/{id}")).await;
    response.json().await.unwrap()
}

fn gaps(trace: &Value) -> usize {
    trace["gaps"].as_array().map_or(0, Vec::len)
}

async fn paid(world: &World) -> (Agent, Held, Held) {
    let (orchestrator, payer) = (Agent::orchestrator(), Agent::payer());
    let root = world.open(&orchestrator).await;
    let hop = world.hop(&orchestrator, &root, &payer, &paying(&root)).await;
    (payer, root, hop)
}

#[tokio::test]
async fn a_reported_call_is_traced_like_any_other_and_says_who_reported_it() {
    let world = world().await;
    let (_, root, hop) = paid(&world).await;
    let gateway = client(&world, TOOLS).await;
    let epoch = epoch();
    assert_eq!(gateway.report_receipts(&report(epoch, 0, vec![])).await.unwrap().next, 0);
    let (id, receipt) = decision(&hop);
    let outcome = ReportedReceipt {
        kind: "action".to_owned(),
        payload: payload(&json!({
            "v": 1, "type": "outcome", "decision": id, "task": hop.task(), "route": "bank",
            "status": 201, "ending": "complete", "bytes": 17, "took_ms": 3,
        })),
        ..receipt.clone()
    };
    let batch = report(epoch, 0, vec![receipt, outcome]);
    assert_eq!(gateway.report_receipts(&batch).await.unwrap().next, 2);
    for named in [root.task(), hop.jti(), id.to_string()] {
        let trace = trace(&world, &named).await;
        let found = trace["decisions"].as_array().unwrap().iter();
        let found: Vec<_> = found.filter(|d| d["decision_id"] == id.to_string()).collect();
        assert_eq!(found.len(), 1, "{trace}");
        assert_eq!(found[0]["reported_by"], TOOLS);
        assert_eq!(found[0]["route"], "bank");
        assert_eq!(found[0]["scope"], "banking.send_money");
        let events = trace["events"].as_array().unwrap();
        let told = |event: &&Value| event["summary"].as_str().unwrap().contains("answered 201");
        let outcome = events.iter().find(told).expect("the outcome");
        assert_eq!(outcome["reported_by"], TOOLS);
        assert_eq!(gaps(&trace), 0);
    }
}

#[tokio::test]
async fn a_record_is_taken_once_however_often_it_is_posted() {
    let world = world().await;
    let (_, _, hop) = paid(&world).await;
    let gateway = client(&world, TOOLS).await;
    let epoch = epoch();
    let made: Vec<_> = (0..6).map(|_| decision(&hop)).collect();
    let receipts: Vec<_> = made.iter().map(|(_, receipt)| receipt.clone()).collect();
    let posts = [(0, 3), (0, 3), (1, 5), (0, 6), (5, 6)];
    let all = posts.map(|(from, to)| report(epoch, from, receipts[from as usize..to].to_vec()));
    for batch in &all {
        let next = gateway.report_receipts(batch).await.unwrap().next;
        assert!(next >= batch.first + batch.receipts.len() as u64);
    }
    // The same posts at the same moment, of another epoch.
    let second = self::epoch();
    let made: Vec<_> = (0..6).map(|_| decision(&hop)).collect();
    let receipts: Vec<_> = made.iter().map(|(_, receipt)| receipt.clone()).collect();
    let previous = Some(EpochEnd { epoch, next: 6 });
    let batch = ReceiptsRequest { epoch: second, previous, first: 0, receipts };
    let answers =
        futures(8, || async { gateway.report_receipts(&batch).await.unwrap().next }).await;
    assert_eq!(answers, vec![6; 8]);
    let trace = trace(&world, &hop.task()).await;
    let reported = trace["decisions"].as_array().unwrap();
    let reported = reported.iter().filter(|d| d["reported_by"] == TOOLS).count();
    assert_eq!(reported, 12, "{trace}");
    assert_eq!(gaps(&trace), 0);
}

async fn futures<T, F: Future<Output = T>>(count: usize, make: impl Fn() -> F) -> Vec<T> {
    let mut all: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn what_is_lost_is_recorded_as_lost() {
    let world = world().await;
    let (_, _, hop) = paid(&world).await;
    let gateway = client(&world, TOOLS).await;
    let one = || vec![decision(&hop).1];
    let first = epoch();
    gateway.report_receipts(&report(first, 0, one())).await.unwrap();
    assert_eq!(gaps(&trace(&world, &hop.task()).await), 0);
    // Numbers that never came.
    assert_eq!(gateway.report_receipts(&report(first, 5, one())).await.unwrap().next, 6);
    assert_eq!(gaps(&trace(&world, &hop.task()).await), 1);
    // A restart that continues where it was.
    let second = epoch();
    let continued = ReceiptsRequest {
        previous: Some(EpochEnd { epoch: first, next: 6 }),
        ..report(second, 0, one())
    };
    gateway.report_receipts(&continued).await.unwrap();
    assert_eq!(gaps(&trace(&world, &hop.task()).await), 1);
    // One that held more than it reported, one that remembers less, one that remembers nothing.
    for (place, previous) in [Some((second, 9)), Some((second, 0)), None].into_iter().enumerate() {
        let previous = previous.map(|(epoch, next)| EpochEnd { epoch, next });
        let begun = ReceiptsRequest { previous, ..report(epoch(), 0, one()) };
        gateway.report_receipts(&begun).await.unwrap();
        assert_eq!(gaps(&trace(&world, &hop.task()).await), 2 + place);
    }
}

#[tokio::test]
async fn only_an_enforcement_point_reports_and_only_its_own_tenant_is_found_by() {
    let world = world().await;
    let (_, _, hop) = paid(&world).await;
    let (id, receipt) = decision(&hop);
    let batch = report(epoch(), 0, vec![receipt.clone()]);
    let agent = client(&world, Agent::payer().id).await;
    assert_eq!(code(agent.report_receipts(&batch).await), "role_required");
    assert_eq!(code(agent.lease(&need(batch.epoch, &hop, 1, 1)).await), "role_required");
    let foreign = client(&world, FOREIGN).await;
    // It is recorded that it said so; the task's trace does not know it.
    assert_eq!(foreign.report_receipts(&batch).await.unwrap().next, 1);
    let trace = trace(&world, &hop.task()).await;
    let decisions = trace["decisions"].as_array().unwrap();
    assert!(decisions.iter().all(|d| d["decision_id"] != id.to_string()), "{trace}");
    let response = world.get_as_operator(&format!("/v1/trace/{id}")).await;
    assert_eq!(response.status(), 404);
    assert_eq!(code(foreign.lease(&need(batch.epoch, &hop, 1, 1)).await), "tenant_mismatch");

    let gateway = client(&world, TOOLS).await;
    for spoil in [
        |receipt: &mut ReportedReceipt| receipt.kind = "revocation".to_owned(),
        |receipt: &mut ReportedReceipt| receipt.kind = "system".to_owned(),
        |receipt: &mut ReportedReceipt| receipt.payload = payload(&json!([1])),
        |receipt: &mut ReportedReceipt| {
            let mut said = receipt.payload.read().unwrap();
            said["reported"] = json!({"by": "another"});
            receipt.payload = payload(&said);
        },
        |receipt: &mut ReportedReceipt| receipt.ids = vec!["x".to_owned(); 17],
    ] {
        let mut spoiled = receipt.clone();
        spoil(&mut spoiled);
        let batch = report(epoch(), 0, vec![spoiled]);
        assert_eq!(code(gateway.report_receipts(&batch).await), "malformed");
    }
    assert_eq!(gateway.report_receipts(&batch).await.unwrap().next, 1);
}

#[tokio::test]
async fn gateways_and_the_authority_never_jointly_overspend() {
    let world = world().await;
    let (payer, root, hop) = paid(&world).await;
    let (one, two) = (client(&world, TOOLS).await, client(&world, OTHER).await);
    let (first, second) = (epoch(), epoch());
    // A hundred in all, over the whole task: a lease of the hop's budget and one of the root's.
    let LeaseReply { leases } = one.lease(&need(first, &hop, 30, 30)).await.unwrap();
    assert_eq!(leases.len(), 2, "{leases:?}");
    assert!(leases.iter().all(|lease| lease.amount_micros == Micros(30_000_000)));
    assert!(leases.iter().any(|lease| lease.node.to_string() == root.jti()));
    two.lease(&need(second, &hop, 30, 30)).await.unwrap();
    // Forty are left: for a call that the Authority decides, or for a gateway.
    let pay = |amount: i64| json!({"recipient": IBAN, "amount": amount});
    let answer = world.evaluate(&payer, &hop, "banking.send_money", pay(41)).await;
    assert_eq!(answer["context"]["code"], "budget_exhausted", "{answer}");
    let answer = world.evaluate(&payer, &hop, "banking.send_money", pay(39)).await;
    assert_eq!(answer["decision"], true, "{answer}");
    assert_eq!(code(two.lease(&need(second, &hop, 2, 2)).await), "budget_exhausted");
    // The last unit goes to whoever asks.
    assert_eq!(two.lease(&need(second, &hop, 1, 50)).await.unwrap().leases.len(), 2);

    // Ten of the thirty were drawn; nothing comes back before that is reported.
    let (_, mut receipt) = decision(&hop);
    receipt.draws = leases.iter().map(|lease| draw(lease, &hop.task(), 10)).collect();
    let ids: Vec<_> = leases.iter().map(|lease| lease.id).collect();
    let giving = LeaseReturnRequest { epoch: first, through: 1, leases: ids.clone() };
    assert_eq!(code(one.return_leases(&giving).await), "version_conflict");
    one.report_receipts(&report(first, 0, vec![receipt])).await.unwrap();
    // Nobody returns what others hold.
    let stolen = LeaseReturnRequest { epoch: second, through: 0, leases: ids.clone() };
    assert_eq!(two.return_leases(&stolen).await.unwrap().returned, []);
    assert_eq!(one.return_leases(&giving).await.unwrap().returned, ids);
    assert_eq!(one.return_leases(&giving).await.unwrap().returned, [], "once");
    let answer = world.evaluate(&payer, &hop, "banking.send_money", pay(21)).await;
    assert_eq!(answer["context"]["code"], "budget_exhausted", "{answer}");
    let answer = world.evaluate(&payer, &hop, "banking.send_money", pay(20)).await;
    assert_eq!(answer["decision"], true, "{answer}");
}

#[tokio::test]
async fn a_lease_is_of_a_budget_that_the_token_has() {
    let world = world().await;
    let (_, root, hop) = paid(&world).await;
    let gateway = client(&world, TOOLS).await;
    let epoch = epoch();
    let asks = |change: fn(&mut LeaseRequest)| {
        let mut ask = need(epoch, &hop, 1, 1);
        change(&mut ask);
        ask
    };
    for (ask, refusal) in [
        (asks(|ask| ask.needs[0].key = "spend".to_owned()), "malformed"),
        (asks(|ask| ask.needs[0].kind = DebitKind::Lifetime), "malformed"),
        (asks(|ask| ask.needs[0].need_micros = Micros(0)), "malformed"),
        (asks(|ask| ask.needs.clear()), "malformed"),
        (asks(|ask| ask.needs.push(ask.needs[0].clone())), "malformed"),
        (
            asks(|ask| {
                ask.needs[0].node = Some("0192b7a0-0000-7000-8000-000000000001".parse().unwrap())
            }),
            "malformed",
        ),
        (
            asks(|ask| ask.jti = "0192b7a0-0000-7000-8000-000000000001".parse().unwrap()),
            "provenance_missing",
        ),
    ] {
        assert_eq!(code(gateway.lease(&ask).await), refusal, "{ask:?}");
    }
    // A settled hop is measured by the record, whatever a gateway says it may hold.
    let mut widened = need(epoch, &hop, 1_000, 1_000);
    widened.needs[0].node = Some(hop.jti().parse().unwrap());
    widened.needs[0].unsettled_limit_micros = Some(Micros(i64::MAX));
    assert_eq!(code(gateway.lease(&widened).await), "malformed");
    // A hop that only gateways have settled has one budget, whichever of them asks.
    let other = client(&world, OTHER).await;
    let mut unsettled = need(epoch, &hop, 3, 3);
    unsettled.needs[0].node = Some("0192b7a0-0000-7000-8000-000000000002".parse().unwrap());
    unsettled.needs[0].unsettled_limit_micros = Some(Micros(5_000_000));
    assert_eq!(gateway.lease(&unsettled).await.unwrap().leases.len(), 1);
    assert_eq!(code(other.lease(&unsettled).await), "budget_exhausted");
    unsettled.needs[0].need_micros = Micros(2_000_000);
    assert_eq!(other.lease(&unsettled).await.unwrap().leases.len(), 1);
    // One node alone, as an earlier answer named it.
    let mut alone = need(epoch, &hop, 1, 1);
    alone.needs[0].node = Some(root.jti().parse().unwrap());
    assert_eq!(gateway.lease(&alone).await.unwrap().leases.len(), 1);
    // A token's own lifetime budget, and not its parent's.
    let mut calls = need(epoch, &hop, 1, 1);
    calls.needs[0].key = "calls".to_owned();
    calls.needs[0].kind = DebitKind::Lifetime;
    let leases = gateway.lease(&calls).await.unwrap().leases;
    assert_eq!(leases.iter().map(|l| l.node.to_string()).collect::<Vec<_>>(), [hop.jti()]);
}

#[tokio::test]
async fn a_closed_task_leases_nothing_and_its_leases_end_with_it() {
    let world = world().await;
    let (_, root, hop) = paid(&world).await;
    let gateway = client(&world, TOOLS).await;
    let epoch = epoch();
    let leases = gateway.lease(&need(epoch, &hop, 5, 5)).await.unwrap().leases;
    let path = format!("/v1/tasks/{}/cancel", root.task());
    let response = world.post_as_operator(&path, &json!({"reason": "a test"})).await;
    assert!(response.status().is_success());
    assert_eq!(code(gateway.lease(&need(epoch, &hop, 5, 5)).await), "task_closed");
    let ids: Vec<_> = leases.iter().map(|lease| lease.id).collect();
    let giving = LeaseReturnRequest { epoch, through: 0, leases: ids };
    assert_eq!(gateway.return_leases(&giving).await.unwrap().returned, []);
    // What was done before is still recorded.
    let (_, mut receipt) = decision(&hop);
    receipt.draws = leases.iter().map(|lease| draw(lease, &hop.task(), 1)).collect();
    assert_eq!(gateway.report_receipts(&report(epoch, 0, vec![receipt])).await.unwrap().next, 1);
}

#[tokio::test]
async fn after_a_crash_the_complete_epoch_gives_back_what_it_did_not_draw() {
    let world = world().await;
    let (payer, _, hop) = paid(&world).await;
    let gateway = client(&world, TOOLS).await;
    let (old, new) = (epoch(), epoch());
    let leases = gateway.lease(&need(old, &hop, 90, 90)).await.unwrap().leases;
    let (_, mut receipt) = decision(&hop);
    receipt.draws = leases.iter().map(|lease| draw(lease, &hop.task(), 10)).collect();
    gateway.report_receipts(&report(old, 0, vec![receipt])).await.unwrap();
    let pay = json!({"recipient": IBAN, "amount": 90});
    let answer = world.evaluate(&payer, &hop, "banking.send_money", pay.clone()).await;
    assert_eq!(answer["context"]["code"], "budget_exhausted", "{answer}");
    let begun = ReceiptsRequest {
        previous: Some(EpochEnd { epoch: old, next: 1 }),
        ..report(new, 0, vec![])
    };
    gateway.report_receipts(&begun).await.unwrap();
    let answer = world.evaluate(&payer, &hop, "banking.send_money", pay).await;
    assert_eq!(answer["decision"], true, "{answer}");
}
