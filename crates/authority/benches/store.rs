//! Settle-effects per second through the embedded store, durable before the reply.
//!
//! `cargo bench -p bailiwick-authority --bench store` — with the directory to write in as
//! `BAILIWICK_BENCH_DIR`, for the result is that of its disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "benchmark"
)]

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bailiwick_authority::model::{self, Effect, TokenRecord};
use bailiwick_authority::store::{SqliteOptions, SqliteStore, StoreHandle};
use bailiwick_ledger::ReceiptKind;

#[path = "../src/store/fixture.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod fixture;

use fixture::Maker;

const RUN: Duration = Duration::from_secs(4);
const TOKEN_BYTES: usize = 1_800;
const PAYLOAD_BYTES: usize = 2_300;

fn main() {
    let base = std::env::var_os("BAILIWICK_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    println!("fdatasync of 16 KiB appended: {:.0} a second", fdatasync_rate(&base));
    println!(
        "{:<34} {:>9} {:>10} {:>11} {:>8} {:>8}",
        "", "ops/s", "CPU µs/op", "writer µs", "p50 ms", "p99 ms"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    for (tasks, callers) in [(1_000, 1), (1_000, 16), (1_000, 64), (100_000, 64)] {
        let directory = tempfile::tempdir_in(&base).expect("directory");
        runtime.block_on(settle(directory.path(), tasks, callers));
    }
}

fn fdatasync_rate(base: &Path) -> f64 {
    let mut file = tempfile::tempfile_in(base).expect("file");
    file.write_all(&vec![1; 4 << 20]).expect("write");
    file.sync_all().expect("sync");
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&[2; 16_384], u64::from(count % 256) * 16_384).expect("write");
        file.sync_data().expect("sync");
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

async fn settle(directory: &Path, tasks: usize, callers: usize) {
    let store = SqliteStore::open(directory, &SqliteOptions::default()).expect("store");
    let store = StoreHandle::new(store);
    let roots = Arc::new(open_tasks(&store, tasks).await);
    let stop = Arc::new(AtomicBool::new(false));
    let (cpu, writer, start) = (cpu_us(None), cpu_us(Some("store-writer")), Instant::now());
    let running: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, roots, stop) = (store.clone(), roots.clone(), stop.clone());
            tokio::spawn(async move { call(&store, &roots, &stop, caller as u64).await })
        })
        .collect();
    tokio::time::sleep(RUN).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for caller in running {
        latencies.extend(caller.await.expect("caller"));
    }
    let seconds = start.elapsed().as_secs_f64();
    let ops = latencies.len() as f64;
    let cpu = (cpu_us(None) - cpu) / ops;
    let writer = (cpu_us(Some("store-writer")) - writer) / ops;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((ops - 1.0) * share) as usize].as_secs_f64() * 1e3;
    let what = format!("settle, {tasks} tasks, {callers} callers");
    let (rate, p50, p99) = (ops / seconds, at(0.5), at(0.99));
    println!("{what:<34} {rate:>9.0} {cpu:>10.1} {writer:>11.1} {p50:>8.2} {p99:>8.2}");
}

async fn open_tasks(store: &StoreHandle, tasks: usize) -> Vec<TokenRecord> {
    let (tx, mut rx) = tokio::sync::mpsc::channel(512);
    let opener = store.clone();
    tokio::spawn(async move {
        let mut make = Maker::new(7);
        make.token_bytes = TOKEN_BYTES;
        for _ in 0..tasks {
            let (task, mut token) = make.task();
            token.status_idx = opener.allocate_status_idx().await.expect("index");
            let receipt = make.receipt(ReceiptKind::Issue, &[]);
            let store = opener.clone();
            let done = tokio::spawn(async move {
                let effect = Effect::OpenTask { task, token: token.clone(), proof: None };
                store.append(receipt, effect).await.expect("task");
                token
            });
            tx.send(done).await.expect("channel");
        }
    });
    let mut roots = Vec::with_capacity(tasks);
    while let Some(done) = rx.recv().await {
        roots.push(done.await.expect("task"));
    }
    roots
}

async fn call(
    store: &StoreHandle,
    roots: &[TokenRecord],
    stop: &AtomicBool,
    seed: u64,
) -> Vec<Duration> {
    let mut make = Maker::new(1_000 + seed);
    make.token_bytes = TOKEN_BYTES;
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let root = &roots[(make.next() % roots.len() as u64) as usize];
        // What settle reads: the parent by its hash, the task, the fan-out so far.
        let parent = store.token_by_signing_hash(root.signing_hash).await.expect("read");
        let parent = parent.expect("parent");
        let task = store.task(parent.task).await.expect("read").expect("task");
        store.fanout(parent.jti).await.expect("read");
        let mut token = make.child(&parent, "payer");
        token.status_idx = store.allocate_status_idx().await.expect("index");
        let ids = [task.id.to_string(), token.jti.to_string(), token.decision.to_string()];
        let mut receipt = make.receipt(ReceiptKind::Decision, &ids);
        receipt.payload = vec![b'p'; PAYLOAD_BYTES];
        let effect = Effect::Settle {
            token,
            grant: vec![b'g'; TOKEN_BYTES],
            proof: Some(make.proof()),
            fanout_max: u32::MAX,
            rate_per_minute_max: u32::MAX,
        };
        let start = Instant::now();
        store.append(receipt, effect).await.expect("append");
        latencies.push(start.elapsed());
    }
    latencies
}

/// CPU time of this process, or of one of its threads, in microseconds.
fn cpu_us(thread: Option<&str>) -> f64 {
    let stat = |path: std::path::PathBuf| -> Option<(String, f64)> {
        let text = std::fs::read_to_string(path).ok()?;
        let (name, rest) = (text.split('(').nth(1)?.split(')').next()?, text.rsplit(") ").next()?);
        let fields: Vec<&str> = rest.split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?;
        Some((name.to_owned(), ticks * 10_000.0))
    };
    match thread {
        None => stat("/proc/self/stat".into()).map_or(0.0, |(_, us)| us),
        Some(wanted) => std::fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .filter_map(|entry| stat(entry.ok()?.path().join("stat")))
            .filter(|(name, _)| name == wanted)
            .map(|(_, us)| us)
            .sum(),
    }
}
