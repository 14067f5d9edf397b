//! Receipts while the Authority is away: kept, bounded, and in the ledger once when it is back.

use std::collections::BTreeSet;

use bailiwick_authority::config::Config;
use serde_json::{Value, json};

use crate::authority::{Agent, Held, IBAN, World};
use crate::edge::Edge;

const PATIENT: &str = "[staleness]\nconfidential_ms = 600000\ninternal_ms = 600000\n";

/// Takes the Authority away; what gives it back, at the same address.
async fn take_away(edge: &mut Edge) -> impl AsyncFnOnce(&mut Edge) + use<> {
    let address = edge.world.url.strip_prefix("http://").unwrap().parse().unwrap();
    let world = std::mem::replace(&mut edge.world, World::start().await);
    let data = world.stop().await;
    async move |edge: &mut Edge| {
        let again = |config: &mut Config| *config = config_at(config, address);
        edge.world = World::start_in(data, again).await;
    }
}

fn config_at(config: &Config, address: std::net::SocketAddr) -> Config {
    let mut at = Config::dev(&config.data_dir, address);
    at.dpop = config.dpop.clone();
    at
}

fn decisions(trace: &Value, held: &Held) -> Vec<String> {
    let all = trace["decisions"].as_array().unwrap().iter();
    let own = all.filter(|decision| decision["jti"] == held.jti() && decision["act"] == "invoke");
    own.map(|decision| decision["decision_id"].as_str().unwrap().to_owned()).collect()
}

async fn pay(edge: &Edge, payer: &Agent, held: &Held) -> (u16, Option<String>) {
    let body = json!({ "recipient": IBAN, "amount": 0.001 });
    let response = edge.call(payer, held, "POST", "/bank/payments", Some(body)).await;
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    (status, answer["code"].as_str().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_while_the_authority_was_away_is_in_its_ledger_once() {
    let mut edge = Edge::start_with(PATIENT, "").await;
    let (payer, held) = edge.payer().await;
    assert_eq!(pay(&edge, &payer, &held).await.0, 200);
    edge.arrived();
    let give_back = take_away(&mut edge).await;
    // Within what is leased calls go on; beyond it nothing does.
    let mut done = 0;
    loop {
        match pay(&edge, &payer, &held).await {
            (200, _) => done += 1,
            (503, code) => {
                assert_eq!(code.as_deref(), Some("ledger_unavailable"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let seen: BTreeSet<String> = edge
        .arrived()
        .iter()
        .map(|seen| seen.headers["bailiwick-decision"].to_str().unwrap().to_owned())
        .collect();
    assert!(done > 0 && seen.len() == done, "{done} done, {} arrived", seen.len());

    give_back(&mut edge).await;
    let whole = |trace: &Value| {
        let known = decisions(trace, &held);
        seen.iter().all(|id| known.contains(id))
    };
    let trace = edge.trace_with(&held.task(), whole).await;
    let known = decisions(&trace, &held);
    assert_eq!(known.len(), known.iter().collect::<BTreeSet<_>>().len(), "none is there twice");
    let own = trace["decisions"].as_array().unwrap().iter();
    let reported =
        own.filter(|d| d["reported_by"] == "spiffe://dev.bailiwick.example/gateway/tools");
    assert_eq!(reported.count(), known.len());
    assert!(trace["gaps"].as_array().is_none_or(Vec::is_empty), "{trace}");
    // And there is more to be leased again.
    for tries in 0.. {
        if pay(&edge, &payer, &held).await.0 == 200 {
            break;
        }
        assert!(tries < 100, "nothing is leased again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_fails_closed_and_recovers() {
    let top = format!("{PATIENT}[spool]\nbytes_max = 32768\n");
    let mut edge = Edge::start_with(&top, "").await;
    let (payer, held) = edge.payer().await;
    assert_eq!(pay(&edge, &payer, &held).await.0, 200);
    edge.arrived();
    let give_back = take_away(&mut edge).await;
    // Refusals are recorded too; when they cannot be, that is the answer.
    let widened = ("DE89370400440532013000", 1.0);
    let mut refused = 0;
    loop {
        match edge.pay(&payer, &held, widened.0, widened.1).await {
            (403, code) => assert_eq!(code, "ceiling_exceeded"),
            (503, code) => {
                assert_eq!(code, "ledger_unavailable");
                break;
            }
            other => panic!("{other:?}"),
        }
        refused += 1;
        assert!(refused < 1_000, "the spool has no bound");
    }
    assert!(refused > 3, "{refused}");
    // What would be allowed is not done either: it could not be recorded.
    assert_eq!(pay(&edge, &payer, &held).await, (503, Some("ledger_unavailable".to_owned())));
    assert!(edge.arrived().is_empty());
    let ready = edge.http.get(format!("{}/ready", edge.management)).send().await.unwrap();
    assert_eq!(ready.status(), 503);

    give_back(&mut edge).await;
    for tries in 0.. {
        if pay(&edge, &payer, &held).await.0 == 200 {
            break;
        }
        assert!(tries < 200, "the spool stays full");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let trace =
        edge.trace_with(&held.task(), |trace| decisions(trace, &held).len() > refused).await;
    assert!(trace["gaps"].as_array().is_none_or(Vec::is_empty), "{trace}");
}
