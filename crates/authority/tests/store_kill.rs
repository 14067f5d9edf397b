//! Kill -9 at any moment loses nothing that was acknowledged and leaves nothing half-written.
//!
//! The test starts itself as a writer that prints what was acknowledged, kills it at a random
//! moment, opens the store again and compares; many times over, on one store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bailiwick_authority::model::{
    self, Effect, ReceiptRow, RevocationTarget, TaskFilter, TaskState, TokenRecord,
};
use bailiwick_authority::store::{PageRequest, SqliteOptions, SqliteStore, StoreHandle};
use bailiwick_core::TaskId;
use bailiwick_ledger::{LeafIndex, ReceiptKind};
use serde_json::{Value, json};

#[path = "../src/store/fixture.rs"]
#[allow(dead_code, reason = "shared with the conformance suite")]
mod fixture;
use fixture::{Maker, draw};

const KILLS: u64 = 30;
const CALLERS: u64 = 16;
const WRITER: &str = "BAILIWICK_TEST_STORE_WRITER";
const SEED: &str = "BAILIWICK_TEST_SEED";

fn open(directory: &Path) -> StoreHandle {
    // Few rows wait, so that they are moved into the index all the time.
    let options = SqliteOptions { lookups_waiting_max: 100, ..SqliteOptions::default() };
    StoreHandle::new(SqliteStore::open(directory, &options).expect("store"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_acknowledged_and_leaves_nothing_half_written() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into()
    });
    println!("seed {seed}: repeat with {SEED}={seed}");
    let directory = tempfile::tempdir().unwrap();
    let mut make = Maker::new(seed);
    let (mut checked, mut acknowledged) = (0, 0);
    for round in 0..KILLS {
        let acks = write_until_killed(directory.path(), &mut make, round);
        acknowledged += acks.len();
        let store = open(directory.path());
        checked = check(&store, &acks, checked).await;
    }
    println!("{KILLS} kills, {acknowledged} acknowledged, {checked} leaves");
    assert!(acknowledged > 100, "only {acknowledged} ops were acknowledged: nothing was tested");
}

/// What the writer printed of one op: its leaf and its payload.
type Acks = BTreeMap<u64, String>;

fn write_until_killed(directory: &Path, make: &mut Maker, round: u64) -> Acks {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
        .env(WRITER, directory)
        .env(SEED, make.next().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acks = Acks::new();
    let mut take = |line: std::io::Result<String>| {
        // The last line may be cut off: it counts only if it is whole.
        if let Ok(line) = line
            && let Some((index, payload)) =
                line.strip_prefix("ack ").and_then(|l| l.split_once(' '))
            && let Some(payload) = payload.strip_suffix(" .")
        {
            assert_eq!(acks.insert(index.parse().unwrap(), payload.to_owned()), None);
        }
    };
    // Every fifth one dies while it starts, the others at work.
    if round % 5 == 4 {
        std::thread::sleep(Duration::from_millis(make.next() % 40));
    } else {
        let first = lines.by_ref().find(|line| line.as_ref().is_ok_and(|l| l.starts_with("ack ")));
        take(first.expect("the writer wrote nothing"));
        std::thread::sleep(Duration::from_micros(make.next() % 120_000));
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    lines.for_each(take);
    acks
}

/// Checks the leaves from `from` on, and every task that they name; gives the ledger's size.
async fn check(store: &StoreHandle, acks: &Acks, from: u64) -> u64 {
    let size = store.ledger_size();
    assert!(size >= from, "leaves of an earlier round are gone");
    let mut rows: Vec<ReceiptRow> = Vec::new();
    while from + (rows.len() as u64) < size {
        let next = from + rows.len() as u64;
        let more = store.receipts(next..size.min(next + 1_000)).await.unwrap();
        assert!(!more.is_empty(), "leaf {next} is missing");
        rows.extend(more);
    }
    let mut tasks = BTreeSet::new();
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row.index, LeafIndex(from + place as u64), "a gap");
        let payload = String::from_utf8(row.payload().unwrap().to_vec()).unwrap();
        if let Some(acked) = acks.get(&row.index.0) {
            assert_eq!(&payload, acked, "leaf {} is another one", row.index);
        }
        let said: Value = serde_json::from_str(&payload).unwrap();
        tasks.insert(said["task"].as_str().unwrap().parse::<TaskId>().unwrap());
    }
    let last = acks.keys().last().copied();
    assert!(last.is_none_or(|last| last < size), "leaf {last:?} was acknowledged, size is {size}");
    for task in tasks {
        check_task(store, task).await;
    }
    let open = store.open_tasks().await.unwrap();
    let filter = TaskFilter { state: Some(TaskState::Open), ..TaskFilter::default() };
    let listed = store.tasks(filter, PageRequest::first(1_000)).await.unwrap().items.len();
    assert_eq!(open.min(1_000), listed as u64);
    size
}

/// The state of a task is exactly what its leaves say.
async fn check_task(store: &StoreHandle, id: TaskId) {
    let mut leaves = Vec::new();
    let mut page = PageRequest::first(1_000);
    loop {
        let found = store.receipts_by_key(&id.to_string(), page.clone()).await.unwrap();
        leaves.extend(found.items);
        page.cursor = found.next;
        if page.cursor.is_none() {
            break;
        }
    }
    let (mut tokens, mut spent, mut state, mut dead) = (Vec::new(), 0, None, BTreeSet::new());
    for leaf in &leaves {
        let said: Value = serde_json::from_slice(leaf.payload().unwrap()).unwrap();
        match said["did"].as_str().unwrap() {
            "open" => {
                state = Some(TaskState::Open);
                tokens.push(said["jti"].as_str().unwrap().to_owned());
            }
            "settle" => tokens.push(said["jti"].as_str().unwrap().to_owned()),
            "debit" => spent += said["amount"].as_i64().unwrap(),
            "revoke" => drop(dead.insert(said["jti"].as_str().unwrap().to_owned())),
            "close" => state = Some(TaskState::Completed),
            other => panic!("{other}"),
        }
    }
    let task = store.task(id).await.unwrap();
    assert_eq!(task.map(|task| task.state), state, "task {id}");
    let recorded = store.tokens_of_task(id).await.unwrap();
    let recorded: Vec<_> = recorded.iter().map(|token| token.jti.to_string()).collect();
    assert_eq!(recorded, tokens, "task {id}");
    let used: i64 = store.budgets(id).await.unwrap().iter().map(|row| row.used.0).sum();
    assert_eq!(used, spent, "task {id}");
    for token in store.tokens_of_task(id).await.unwrap() {
        let gone = dead.contains(&token.jti.to_string()) || state == Some(TaskState::Completed);
        assert_eq!(token.revoked_ms.is_some(), gone, "token {}", token.jti);
        assert_eq!(store.grant(token.jti).await.unwrap().is_some(), token.parent.is_some());
        let found = store.token_by_signing_hash(token.signing_hash).await.unwrap();
        assert_eq!(found.map(|found| found.jti), Some(token.jti));
    }
}

/// The writer; a test of nothing unless the other one starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Some(directory) = std::env::var_os(WRITER) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let store = open(Path::new(&directory));
    let callers: Vec<_> =
        (0..CALLERS).map(|caller| tokio::spawn(work(store.clone(), seed ^ caller))).collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

async fn work(store: StoreHandle, seed: u64) {
    let mut make = Maker::new(seed);
    make.token_bytes = 700;
    // The seed is in the ids, so that no round makes those of another.
    make.now.0 += seed % 1_000;
    loop {
        let (task, mut root) = make.task();
        let id = task.id;
        root.status_idx = store.allocate_status_idx().await.unwrap();
        let effect = Effect::OpenTask { task, token: root.clone(), proof: Some(make.proof()) };
        let said = json!({"did": "open", "jti": root.jti, "task": id});
        acknowledged(&store, &mut make, said, effect).await;
        let mut hop = root.clone();
        for _ in 0..4 {
            hop = settled(&store, &mut make, &hop).await;
            let amount = i64::try_from(make.next() % 100).unwrap();
            let entries = vec![draw(root.jti, "usd", amount, 1_000_000)];
            let said = json!({"did": "debit", "amount": amount, "task": id});
            let effect = Effect::Debit {
                task: id,
                jti: hop.jti,
                entries,
                proof: None,
                exposes: None,
                approval: None,
            };
            acknowledged(&store, &mut make, said, effect).await;
        }
        let target = RevocationTarget::Token(hop.jti);
        let effect = Effect::Revoke { id: make.revocation_id(), target, reason: String::new() };
        let said = json!({"did": "revoke", "jti": hop.jti, "task": id});
        acknowledged(&store, &mut make, said, effect).await;
        if make.next().is_multiple_of(2) {
            let effect = Effect::CloseTask { task: id, state: TaskState::Completed };
            acknowledged(&store, &mut make, json!({"did": "close", "task": id}), effect).await;
        }
    }
}

async fn settled(store: &StoreHandle, make: &mut Maker, parent: &TokenRecord) -> TokenRecord {
    let mut token = make.child(parent, "a");
    token.status_idx = store.allocate_status_idx().await.unwrap();
    let effect = Effect::Settle {
        token: token.clone(),
        grant: vec![b'g'; 700],
        proof: Some(make.proof()),
        fanout_max: 9,
        rate_per_minute_max: 99,
    };
    let said = json!({"did": "settle", "jti": token.jti, "task": token.task});
    acknowledged(store, make, said, effect).await;
    token
}

/// Appends and, once that is acknowledged, says so in one line.
async fn acknowledged(store: &StoreHandle, make: &mut Maker, said: Value, effect: Effect) {
    let ids = [said["task"].as_str().unwrap().to_owned()];
    let mut receipt = make.receipt(ReceiptKind::Decision, &ids);
    receipt.payload = said.to_string().into_bytes();
    let index = store.append(receipt, effect).await.expect("append");
    let line = format!("ack {index} {said} .\n");
    std::io::stdout().write_all(line.as_bytes()).expect("stdout");
}
