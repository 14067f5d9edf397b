use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bailiwick_core::Scope;
use bailiwick_ledger::Journal as _;
use serde_json::{Map, json};
use tempfile::TempDir;

use super::*;
use crate::config::SpoolConfig;
use crate::fixture::{chain_of, claims};
use crate::ship;
use crate::spool::LocalEffect;
use crate::spool::fixture::{START, receipt};
use crate::uplink::sim::{Net, Sim};

/// One gateway: spool, shipping and budgets.
struct Gate {
    directory: TempDir,
    spool: Spool,
    budgets: Budgets,
    shipping: tokio::task::JoinHandle<()>,
    hand: Arc<AtomicU64>,
}

impl Gate {
    fn new(sim: &Sim) -> Self {
        Self::open(tempfile::tempdir().unwrap(), sim)
    }

    fn open(directory: TempDir, sim: &Sim) -> Self {
        let config = SpoolConfig { bytes_max: 1 << 30 };
        // A read that was under way when its task was aborted keeps the spool for a moment.
        let (spool, _) = loop {
            match Spool::open(directory.path(), &config, START) {
                Ok(opened) => break opened,
                Err(crate::spool::SpoolError::InUse { .. }) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        let hand = Arc::new(AtomicU64::new(START.0));
        let clock = Clock::manual(hand.clone());
        let budgets = Budgets::with(Arc::new(sim.clone()), spool.clone(), clock);
        let shipping = tokio::spawn(ship::run(Arc::new(sim.clone()), spool.clone()));
        Self { directory, spool, budgets, shipping, hand }
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.hand.load(Ordering::SeqCst))
    }

    async fn reserve(&self) -> Result<Reserved, Stop> {
        self.budgets.reserve(&chain(), &call(), self.now()).await
    }

    /// One call as the gateway makes it: reserve, record, and only then it is done.
    async fn call(&self) -> Result<(), Stop> {
        let reserved = self.reserve().await?;
        let effect = LocalEffect { proof: None, draws: reserved.draws().to_vec() };
        self.spool.append(receipt(1), effect).await?;
        reserved.spent();
        Ok(())
    }

    /// The process is gone at once; its directory stays.
    async fn crash(self, sim: &Sim) -> Self {
        let Self { directory, spool, budgets, shipping, .. } = self;
        shipping.abort();
        let _ = shipping.await;
        drop((spool, budgets));
        Self::open(directory, sim)
    }

    /// What the sweep of `giveback` does, now.
    async fn sweep(&self) {
        let mut returning = giveback::Returning::default();
        returning.collect(&self.budgets.0, Some(self.now()));
        for _ in 0..50 {
            if returning.post(&self.budgets.0).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("leases did not go back");
    }
}

fn chain() -> VerifiedChain {
    let calls = json!([{"key": "calls", "max_subtree": 1_000_000}]);
    chain_of(&claims(1, &["crm.read"], calls))
}

fn call() -> CallArguments {
    let scope: Scope = "crm.read".parse().unwrap();
    CallArguments::new(scope, Map::new())
}

fn code(stop: Result<(), Stop>) -> String {
    stop.err().map_or_else(|| "done".to_owned(), |stop| stop.code.code().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_unit_is_spent_by_whoever_asks_and_not_one_more() {
    let sim = Sim::with_calls(20);
    let (one, two) = (Gate::new(&sim), Gate::new(&sim));
    let mut done = 0;
    loop {
        let answers = [one.call().await, two.call().await];
        let ok = answers.iter().filter(|answer| answer.is_ok()).count();
        done += ok;
        if ok == 0 {
            for answer in answers {
                assert_eq!(code(answer), "budget_exhausted");
            }
            break;
        }
    }
    assert_eq!(done, 20);
    assert_eq!(sim.used(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_grows_with_use() {
    let sim = Sim::with_calls(1_000_000);
    let gate = Gate::new(&sim);
    for _ in 0..1_000 {
        gate.call().await.unwrap();
    }
    assert!(sim.asked() <= 10, "{} requests for 1000 calls", sim.asked());
    assert!(sim.used() < 4_096, "{} units are held for 1000 calls", sim.used());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_budgets_asks_nobody() {
    let sim = Sim::with_calls(0);
    let gate = Gate::new(&sim);
    let free = chain_of(&claims(1, &["crm.read"], json!([{"key": "rows", "max": 5}])));
    let reserved = gate.budgets.reserve(&free, &call(), gate.now()).await.unwrap();
    assert_eq!((reserved.draws(), sim.asked()), (&[][..], 0));
    // The twin has a budget, and that is empty.
    assert_eq!(code(gate.call().await), "budget_exhausted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_gives_its_units_back() {
    let sim = Sim::with_calls(1);
    let gate = Gate::new(&sim);
    for _ in 0..3 {
        let reserved = gate.reserve().await.unwrap();
        assert_eq!(reserved.draws().len(), 1);
        drop(reserved);
    }
    // While it is reserved, nobody else has it.
    let reserved = gate.reserve().await.unwrap();
    assert_eq!(code(gate.call().await), "budget_exhausted");
    drop(reserved);
    assert_eq!(code(gate.call().await), "done");
    assert_eq!(code(gate.call().await), "budget_exhausted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_authority_calls_go_on_within_the_lease_and_no_further() {
    let sim = Sim::with_calls(100);
    let gate = Gate::new(&sim);
    gate.call().await.unwrap();
    let leased = sim.used();
    assert!(leased > 1, "only {leased}");
    sim.net(Net::Cut);
    for _ in 1..leased {
        gate.call().await.unwrap();
    }
    assert_eq!(code(gate.call().await), "ledger_unavailable");
    sim.net(Net::Whole);
    assert_eq!(code(gate.call().await), "ledger_unavailable", "not asked again at once");
    gate.hand.fetch_add(DOWN_MS, Ordering::SeqCst);
    assert_eq!(code(gate.call().await), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_goes_back_less_what_was_drawn() {
    let sim = Sim::with_calls(80);
    let (gate, other) = (Gate::new(&sim), Gate::new(&sim));
    gate.call().await.unwrap();
    let held = sim.used();
    assert!(held > 1);
    // A reservation that is out keeps its lease.
    let out = gate.reserve().await.unwrap();
    gate.hand.fetch_add(60_000, Ordering::SeqCst);
    gate.sweep().await;
    assert_eq!(sim.used(), held);
    drop(out);
    gate.sweep().await;
    assert_eq!(sim.used(), 1, "what was drawn stays drawn");
    // An ended lease is drawn on no more: another one is asked for.
    let asked = sim.asked();
    gate.call().await.unwrap();
    assert_eq!(sim.asked(), asked + 1);
    gate.budgets.drain().await;
    assert_eq!(sim.used(), 2);
    for _ in 0..78 {
        other.call().await.unwrap();
    }
    assert_eq!(code(other.call().await), "budget_exhausted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_does_not_go_back_before_its_records_are_there() {
    let sim = Sim::with_calls(80);
    let gate = Gate::new(&sim);
    gate.call().await.unwrap();
    ship::drain(&gate.spool).await;
    let held = sim.used();
    sim.net(Net::Cut);
    gate.call().await.unwrap();
    gate.hand.fetch_add(60_000, Ordering::SeqCst);
    let mut returning = giveback::Returning::default();
    returning.collect(&gate.budgets.0, Some(gate.now()));
    assert!(!returning.post(&gate.budgets.0).await);
    sim.net(Net::Whole);
    assert_eq!(sim.used(), held);
    ship::drain(&gate.spool).await;
    assert!(returning.post(&gate.budgets.0).await);
    assert_eq!(sim.used(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_what_was_not_drawn_goes_back_and_the_rest_stays_drawn() {
    let sim = Sim::with_calls(80);
    let gate = Gate::new(&sim);
    sim.net(Net::Whole);
    gate.call().await.unwrap();
    gate.call().await.unwrap();
    sim.net(Net::Cut);
    gate.call().await.unwrap();
    // Reserved and not recorded when the process went: it was not done.
    let lost = gate.reserve().await.unwrap();
    drop(lost);
    let gate = gate.crash(&sim).await;
    sim.net(Net::Whole);
    while sim.used() != 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(code(gate.call().await), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_an_epoch_that_is_over_is_not_drawn_on() {
    let sim = Sim::with_calls(80);
    let gate = Gate::new(&sim);
    gate.call().await.unwrap();
    // Taken under the old epoch, and still out when the new one begins.
    let reserved = gate.reserve().await.unwrap();
    gate.spool.fail_and_heal().await;
    let effect = LocalEffect { proof: None, draws: reserved.draws().to_vec() };
    let answer = gate.spool.append(receipt(2), effect).await;
    assert_eq!(answer, Err(crate::spool::AppendError::Failed));
    drop(reserved);
    let asked = sim.asked();
    gate.call().await.unwrap();
    assert_eq!(sim.asked(), asked + 1, "what was held is held no more");
}

/// Two gateways and the Authority spend one budget while the network loses requests and answers and
/// the gateways crash: what was done is never more than the budget, and in the end all of it can be
/// spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_overspends_through_crashes_and_partitions() {
    const CALLS: i64 = 400;
    let sim = Sim::with_calls(CALLS);
    let done = Arc::new(AtomicI64::new(0));
    let mut running = Vec::new();
    for place in 0..2_u64 {
        let (sim, done) = (sim.clone(), done.clone());
        running.push(tokio::spawn(async move {
            let mut gate = Gate::new(&sim);
            for round in 0..12_u64 {
                let net =
                    [Net::Whole, Net::Flaky, Net::Cut, Net::Deaf][((round + place) % 4) as usize];
                sim.net(net);
                let all = (0..8).map(|_| work(&gate, &done)).collect::<Vec<_>>();
                for one in all {
                    one.await;
                }
                gate.hand.fetch_add(if round % 3 == 0 { 61_000 } else { 1_500 }, Ordering::SeqCst);
                if round % 2 == place % 2 {
                    gate = gate.crash(&sim).await;
                }
            }
            sim.net(Net::Whole);
            gate
        }));
    }
    for _ in 0..100 {
        if sim.debit() {
            done.fetch_add(1, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut gates = Vec::new();
    for one in running {
        gates.push(one.await.unwrap());
    }
    sim.net(Net::Whole);
    for gate in &gates {
        ship::drain(&gate.spool).await;
        gate.hand.fetch_add(DOWN_MS, Ordering::SeqCst);
        gate.budgets.drain().await;
    }
    let spent = done.load(Ordering::SeqCst);
    assert!(spent > 100 && spent <= CALLS, "{spent} of {CALLS}");
    while gates[0].call().await.is_ok() {
        done.fetch_add(1, Ordering::SeqCst);
    }
    let spent = done.load(Ordering::SeqCst);
    assert!(spent <= CALLS, "{spent} of {CALLS}");
    assert_eq!(sim.used(), CALLS, "what nobody spent is held by nobody");
}

async fn work(gate: &Gate, done: &AtomicI64) {
    for _ in 0..4 {
        if gate.call().await.is_ok() {
            done.fetch_add(1, Ordering::SeqCst);
        }
    }
}
