use bailiwick_core::EpochId;
use bailiwick_ledger::Journal as _;
use tempfile::TempDir;

use super::*;
use crate::config::SpoolConfig;
use crate::spool::LocalEffect;
use crate::spool::fixture::{START, proof, receipt};
use crate::uplink::sim::{Net, Sim};

fn open(directory: &TempDir) -> Spool {
    let config = SpoolConfig { bytes_max: 1 << 30 };
    Spool::open(directory.path(), &config, START).unwrap().0
}

async fn append(spool: &Spool, n: u64) {
    let effect = LocalEffect { proof: Some(proof(n)), draws: vec![] };
    spool.append(receipt(n), effect).await.unwrap();
}

/// The numbers that receipts were made with, as they came to the ledger.
fn numbers(sim: &Sim) -> Vec<u64> {
    let of = |(_, _, receipt): &(EpochId, u64, ReportedReceipt)| {
        receipt.payload.read().unwrap()["n"].as_u64().unwrap()
    };
    sim.ledger().iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_arrives_once_and_in_order_however_bad_the_network() {
    for net in [Net::Whole, Net::Flaky] {
        let directory = tempfile::tempdir().unwrap();
        let spool = open(&directory);
        let sim = Sim::default();
        sim.net(net);
        let shipping = tokio::spawn(run(Arc::new(sim.clone()), spool.clone()));
        for n in 0..300 {
            append(&spool, n).await;
            if n % 100 == 50 {
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        }
        drain(&spool).await;
        assert_eq!(numbers(&sim), (0..300).collect::<Vec<_>>(), "{net:?}");
        shipping.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_delays_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(&directory);
    let sim = Sim::default();
    let shipping = tokio::spawn(run(Arc::new(sim.clone()), spool.clone()));
    for net in [Net::Cut, Net::Deaf] {
        sim.net(net);
        let from = if net == Net::Cut { 0 } else { 50 };
        for n in from..from + 50 {
            append(&spool, n).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(spool.pending() >= 50, "nothing is taken for shipped that was not acknowledged");
        sim.net(Net::Whole);
        drain(&spool).await;
    }
    shipping.abort();
    assert_eq!(numbers(&sim), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_resumes_where_the_authority_stands() {
    let directory = tempfile::tempdir().unwrap();
    let sim = Sim::default();
    let mut made = 0;
    for round in 0..5_u64 {
        let spool = open(&directory);
        let shipping = tokio::spawn(run(Arc::new(sim.clone()), spool.clone()));
        for _ in 0..40 {
            append(&spool, made).await;
            made += 1;
        }
        // Some rounds end with the answer lost, some with everything unshipped.
        if round % 2 == 0 {
            sim.net(Net::Deaf);
        }
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        shipping.abort();
        let _ = shipping.await;
        drop(spool);
        sim.net(Net::Whole);
        while Spool::open(directory.path(), &SpoolConfig::default(), START).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let spool = open(&directory);
    let shipping = tokio::spawn(run(Arc::new(sim.clone()), spool.clone()));
    drain(&spool).await;
    shipping.abort();
    assert_eq!(numbers(&sim), (0..made).collect::<Vec<_>>());
}

#[test]
fn a_payload_that_nobody_can_read_does_not_hold_up_the_others() {
    assert_eq!(payload(br#"{"n":1}"#).unwrap().read().unwrap(), serde_json::json!({"n": 1}));
    for bad in [&b"not json"[..], b"[]", b"", b"{\"n\":1"] {
        assert_eq!(payload(bad).unwrap().read().unwrap()["type"], "unrecordable");
    }
}
