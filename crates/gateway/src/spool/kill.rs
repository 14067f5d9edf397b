//! Kill -9 at any moment loses no acknowledged record, ships none twice, and burns every proof.
//!
//! The test starts itself as a writer that prints what was acknowledged, kills it at a random
//! moment, opens the spool again and compares; many times over, on one directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bailiwick_core::{EpochId, Sha256Hash, UnixMillis};
use bailiwick_ledger::Journal as _;

use super::fixture::{START, draw, proof, receipt};
use super::{AppendError, LocalEffect, Spool, Tail, recover};
use crate::config::SpoolConfig;

const KILLS: u64 = 30;
const CALLERS: u64 = 16;
const WRITER: &str = "BAILIWICK_TEST_SPOOL_WRITER";
const SEED: &str = "BAILIWICK_TEST_SEED";

fn open(directory: &Path) -> Spool {
    let config = SpoolConfig { bytes_max: 1 << 30 };
    recover::open(directory, &config, 64 * 1024, START).expect("spool").0
}

/// The proof of receipt `n`.
fn burnt(n: u64) -> (Sha256Hash, UnixMillis) {
    (proof(n).0, UnixMillis(START.0 + 90_000))
}

/// What the writer said was acknowledged: epoch and number, and which receipt.
type Acks = BTreeMap<(EpochId, u64), u64>;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

#[tokio::test]
async fn kill_9_loses_no_acknowledged_record() {
    let mut random = [0; 8];
    bailiwick_core::fill_random(&mut random).unwrap();
    let random = u64::from_le_bytes(random) >> 32;
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(random);
    println!("seed {seed}: repeat with {SEED}={seed}");
    let mut random = Random(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut taken: BTreeMap<(EpochId, u64), u64> = BTreeMap::new();
    let mut reached: BTreeMap<EpochId, u64> = BTreeMap::new();
    let mut acknowledged = 0;
    for round in 0..KILLS {
        let acks = write_until_killed(directory.path(), &mut random, round);
        acknowledged += acks.len();
        let spool = open(directory.path());
        // A proof that was acknowledged is burnt.
        for n in acks.values().take(5) {
            let effect = LocalEffect { proof: Some(burnt(*n)), draws: vec![] };
            assert_eq!(spool.append(receipt(0), effect).await, Err(AppendError::Replayed));
        }
        // Some rounds nobody ships, some stop half-way.
        if round % 3 != 0 {
            let batches = if round % 3 == 1 { 2 } else { usize::MAX };
            ship(&spool, batches, &mut taken, &mut reached);
        }
        if round % 3 == 2 {
            for (at, n) in &acks {
                assert_eq!(taken.get(at), Some(n), "{at:?} was acknowledged and is not there");
            }
        }
    }
    ship(&open(directory.path()), usize::MAX, &mut taken, &mut reached);
    let distinct: BTreeSet<u64> = taken.values().copied().collect();
    assert_eq!(distinct.len(), taken.len(), "a record is there twice");
    for (epoch, next) in reached {
        assert_eq!(taken.range((epoch, 0)..=(epoch, u64::MAX)).count() as u64, next, "a gap");
    }
    println!("{KILLS} kills, {acknowledged} acknowledged, {} records", taken.len());
    assert!(acknowledged > 100, "only {acknowledged} were acknowledged: nothing was tested");
}

/// Ships to an Authority that takes each record once.
fn ship(
    spool: &Spool,
    batches: usize,
    taken: &mut BTreeMap<(EpochId, u64), u64>,
    reached: &mut BTreeMap<EpochId, u64>,
) {
    let mut tail = Tail::of(spool);
    for _ in 0..batches {
        let Some(batch) = tail.next().unwrap() else { return };
        let next = reached.entry(batch.epoch).or_default();
        for ((receipt, draws), at) in batch.records.iter().zip(batch.first..) {
            assert_eq!(draws.len(), 1);
            if at < *next {
                continue;
            }
            assert_eq!(at, *next, "a gap");
            *next += 1;
            let text = std::str::from_utf8(&receipt.payload).unwrap();
            let n = text.trim_start_matches(r#"{"n":"#).split(',').next().unwrap();
            taken.insert((batch.epoch, at), n.parse().unwrap());
        }
        let next = *next;
        tail.acknowledged(batch, next);
    }
}

fn write_until_killed(directory: &Path, random: &mut Random, round: u64) -> Acks {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spool::kill::writer", "--nocapture", "--test-threads=1"])
        .env(WRITER, directory)
        .env(SEED, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acks = Acks::new();
    let mut take = |line: std::io::Result<String>| {
        // The last line may be cut off: it counts only if it is whole.
        let Ok(line) = line else { return };
        let parts: Vec<&str> = line.split(' ').collect();
        if let ["ack", epoch, at, n, "."] = parts[..] {
            let at = (epoch.parse().unwrap(), at.parse().unwrap());
            assert_eq!(acks.insert(at, n.parse().unwrap()), None, "acknowledged twice");
        }
    };
    // Every fifth one dies while it starts, the others at work.
    if round % 5 == 4 {
        std::thread::sleep(Duration::from_millis(random.next() % 40));
    } else {
        let first = lines.by_ref().find(|line| line.as_ref().is_ok_and(|l| l.starts_with("ack ")));
        take(first.expect("the writer wrote nothing"));
        std::thread::sleep(Duration::from_micros(random.next() % 120_000));
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    lines.for_each(take);
    acks
}

/// The writer; a test of nothing unless the other one starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Some(directory) = std::env::var_os(WRITER) else { return };
    let round: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let spool = open(Path::new(&directory));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let spool = spool.clone();
            tokio::spawn(async move {
                let epoch = spool.epoch().unwrap();
                // No receipt of one round or caller is made by another.
                for n in (round * 1_000_000_000 + caller * 10_000_000).. {
                    let mut receipt = receipt(n);
                    receipt.time_ms = START.0;
                    let effect = LocalEffect { proof: Some(burnt(n)), draws: vec![draw(1, 1)] };
                    // Some are written by the thread that waits for them.
                    let _expected = (n % 4 == 0).then(|| spool.expect());
                    let at = spool.append(receipt, effect).await.expect("append");
                    let line = format!("ack {epoch} {at} {n} .\n");
                    std::io::stdout().write_all(line.as_bytes()).expect("stdout");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}
