use std::collections::BTreeSet;

use bailiwick_ledger::{Journal as _, Receipt};
use tempfile::TempDir;

use super::fixture::{START, draw, proof, receipt};
use super::*;

const CONFIG: SpoolConfig = SpoolConfig { bytes_max: 1 << 30 };

fn open(directory: &Path) -> (Spool, Recovered) {
    open_small(directory, &CONFIG)
}

/// Segments of 4 KiB, so that tests have many.
fn open_small(directory: &Path, config: &SpoolConfig) -> (Spool, Recovered) {
    recover::open(directory, config, 4096, START).expect("spool")
}

fn fresh() -> (TempDir, Spool) {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    (directory, spool)
}

async fn append(spool: &Spool, n: u64) -> Result<LeafIndex, AppendError> {
    let effect = LocalEffect { proof: Some(proof(n)), draws: vec![draw(1, 5)] };
    spool.append(receipt(n), effect).await
}

/// Ships everything to nobody: what an Authority would have been sent.
fn ship(spool: &Spool) -> Vec<(EpochId, u64, Receipt)> {
    let mut tail = Tail::of(spool);
    let mut got = Vec::new();
    while let Some(batch) = tail.next().unwrap() {
        let end = batch.end();
        for ((receipt, _), at) in batch.records.iter().zip(batch.first..) {
            got.push((batch.epoch, at, receipt.clone()));
        }
        tail.acknowledged(batch, end);
    }
    got
}

fn files(directory: &TempDir, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn records_are_numbered_shipped_in_order_and_deleted() {
    let (directory, spool) = fresh();
    for n in 0..100 {
        assert_eq!(append(&spool, n).await, Ok(LeafIndex(n)));
    }
    assert_eq!(spool.pending(), 100);
    assert!(files(&directory, "seg").len() > 2);
    let shipped = ship(&spool);
    assert_eq!(shipped.len(), 100);
    for (n, (_, at, sent)) in shipped.into_iter().enumerate() {
        assert_eq!((at, sent), (n as u64, receipt(n as u64)));
    }
    assert_eq!((spool.pending(), files(&directory, "seg").len()), (0, 1));
    assert_eq!(spool.0.shared.bytes_pending.load(Ordering::SeqCst), 0);
    // Further on, in the segment that was left.
    append(&spool, 100).await.unwrap();
    assert_eq!(spool.pending(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_comes_alone_is_written_by_the_thread_that_waits_for_it() {
    const THREAD: &str = "spool-writer";
    let (directory, spool) = fresh();
    let faults = &spool.0.shared.faults;
    append(&spool, 0).await.unwrap();
    assert_eq!(faults.wrote(), THREAD, "nobody said that it would come");
    let expected = spool.expect();
    // A slow write sends the next one to the thread: a busy machine may need several.
    let mut n = 1;
    while faults.wrote() == THREAD {
        assert_eq!(append(&spool, n).await, Ok(LeafIndex(n)));
        n += 1;
    }
    {
        let _another = spool.expect();
        assert_eq!(append(&spool, n).await, Ok(LeafIndex(n)));
        assert_eq!(faults.wrote(), THREAD, "another one is on its way");
    }
    assert!(matches!(append(&spool, 1).await, Err(AppendError::Replayed)));
    faults.not_persisted();
    assert_eq!(append(&spool, n + 1).await, Err(AppendError::Failed));
    faults.heal();
    while !spool.is_writable() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(append(&spool, n + 2).await, Ok(LeafIndex(0)), "a new epoch");
    drop((expected, spool));
    let (again, _) = open(directory.path());
    assert_eq!(ship(&again).len() as u64, n + 2);
}

#[tokio::test]
async fn a_restart_brings_back_the_tail_and_the_proofs_under_a_new_epoch() {
    let (directory, spool) = fresh();
    for n in 0..60 {
        append(&spool, n).await.unwrap();
    }
    let epoch = spool.epoch().unwrap();
    drop(spool);
    let (spool, recovered) = open(directory.path());
    assert_eq!((spool.pending(), recovered.proofs.len()), (60, 60));
    assert_ne!(spool.epoch(), Some(epoch));
    assert_eq!(append(&spool, 7).await, Err(AppendError::Replayed));
    assert_eq!(append(&spool, 60).await, Ok(LeafIndex(0)), "numbers begin again");
    let shipped = ship(&spool);
    let numbers: Vec<u64> = shipped.iter().map(|(_, at, _)| *at).collect();
    assert_eq!(numbers, (0..60).chain([0]).collect::<Vec<_>>());
    assert_eq!(shipped[59].0, epoch);
}

#[tokio::test]
async fn proofs_of_shipped_records_survive_a_restart_until_they_expire() {
    let (directory, spool) = fresh();
    for n in 0..60 {
        append(&spool, n).await.unwrap();
    }
    ship(&spool);
    drop(spool);
    assert!(!files(&directory, "proofs").is_empty());
    let (spool, recovered) = open(directory.path());
    let known: BTreeSet<_> = recovered.proofs.iter().copied().collect();
    assert_eq!(known, (0..60).map(proof).collect());
    assert_eq!(append(&spool, 3).await, Err(AppendError::Replayed));
    drop((spool, recovered));
    let late = UnixMillis(START.0 + 200_000);
    let (_spool, recovered) = recover::open(directory.path(), &CONFIG, 4096, late).unwrap();
    assert_eq!(recovered.proofs, []);
    assert_eq!(files(&directory, "proofs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_proof_is_taken_once_whoever_asks_at_the_same_time() {
    let (_directory, spool) = fresh();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..64 {
        let spool = spool.clone();
        asking.spawn(async move {
            let effect = LocalEffect { proof: Some(proof(1)), draws: vec![] };
            spool.append(receipt(n), effect).await
        });
    }
    let answers = asking.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|a| **a == Err(AppendError::Replayed)).count(), 63);
    // The twin: another proof, and the same receipt without one.
    let effect = LocalEffect { proof: Some(proof(2)), draws: vec![] };
    assert!(spool.append(receipt(1), effect).await.is_ok());
    assert!(spool.append(receipt(1), LocalEffect::default()).await.is_ok());
}

#[tokio::test]
async fn a_full_spool_refuses_decisions_and_recovers_when_it_is_shipped() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open_small(directory.path(), &SpoolConfig { bytes_max: 16 * 1024 });
    let mut taken = 0;
    let refused = loop {
        match append(&spool, taken).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert_eq!(Stop::from(refused).code.code(), "ledger_unavailable");
    assert!(taken > 20 && !spool.is_writable(), "{taken}");
    // What became of a released call still has room, and a refused proof was not burnt.
    let outcome = Receipt { kind: ReceiptKind::Action, ..receipt(1_000) };
    assert!(spool.append(outcome, LocalEffect::default()).await.is_ok());
    assert_eq!(ship(&spool).len() as u64, taken + 1);
    assert!(spool.is_writable());
    assert!(append(&spool, taken).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_write_nothing_is_acknowledged_until_it_is_opened_again() {
    for fault in ["not persisted", "persisted", "half"] {
        let (directory, spool) = fresh();
        append(&spool, 0).await.unwrap();
        let epoch = spool.epoch();
        let faults = &spool.0.shared.faults;
        match fault {
            "not persisted" => faults.not_persisted(),
            "persisted" => faults.persisted(),
            _ => faults.half(),
        }
        let units = draw(1, 5);
        let effect = LocalEffect { proof: Some(proof(1)), draws: vec![units.clone()] };
        assert_eq!(spool.append(receipt(1), effect).await, Err(AppendError::Failed));
        assert!(!units.fate.may_give_back(), "{fault}: it may be durable");
        assert_eq!(append(&spool, 2).await, Err(AppendError::Failed));
        assert!(!spool.is_writable() && spool.epoch().is_none());
        faults.heal();
        while !spool.is_writable() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_ne!(spool.epoch(), epoch);
        // The proof of what was never acknowledged is good again.
        assert_eq!(append(&spool, 1).await, Ok(LeafIndex(0)), "{fault}");
        let shipped: Vec<_> = ship(&spool).into_iter().map(|(_, _, sent)| sent).collect();
        assert_eq!(shipped, [receipt(0), receipt(1)], "{fault}");
        drop(spool);
        let (spool, _) = open(directory.path());
        assert_eq!(spool.pending(), 1, "{fault}: what is left in the last segment");
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let (directory, spool) = fresh();
    append(&spool, 0).await.unwrap();
    let durable = spool.0.shared.last().unwrap().bytes;
    append(&spool, 1).await.unwrap();
    drop(spool);
    let path = files(&directory, "seg").pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut torn_ones = 0;
    for cut in durable as usize..whole.len() {
        let other = tempfile::tempdir().unwrap();
        let mut torn = whole[..cut].to_vec();
        // Every other one as in space that was filled beforehand.
        torn.resize(cut + cut % 2 * 300, 0);
        std::fs::write(other.path().join(path.file_name().unwrap()), &torn).unwrap();
        let (spool, _) = open(other.path());
        // Where only zeros were cut off, the zeros behind make it whole.
        let found = 1 + u64::from(torn.starts_with(&whole));
        assert_eq!(spool.pending(), found, "cut at {cut}");
        torn_ones += 2 - found;
        assert_eq!(append(&spool, 2).await, Ok(LeafIndex(0)));
        assert_eq!(ship(&spool).len() as u64, found + 1);
    }
    assert!(torn_ones > 200, "{torn_ones}");
}

#[tokio::test]
async fn damage_to_what_was_acknowledged_is_told_from_a_torn_tail() {
    let (directory, spool) = fresh();
    append(&spool, 0).await.unwrap();
    let second = spool.0.shared.last().unwrap().bytes as usize;
    append(&spool, 1).await.unwrap();
    drop(spool);
    let path = files(&directory, "seg").pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join(path.file_name().unwrap()), &damaged).unwrap();
        let opened = recover::open(other.path(), &CONFIG, 4096, START);
        match opened {
            // The last batch cannot be told from one that was being written.
            Ok((spool, _)) => {
                assert!(at >= second && spool.pending() == 1, "byte {at}");
            }
            Err(SpoolError::Damaged { .. }) => assert!(at < second, "byte {at}"),
            Err(error) => panic!("{at}: {error}"),
        }
    }
}

#[tokio::test]
async fn an_outcome_goes_with_the_next_decision_or_by_itself() {
    let (_directory, spool) = fresh();
    let outcome = |n| Receipt { kind: ReceiptKind::Action, ..receipt(n) };
    let first = spool.submit(&outcome(0), &LocalEffect::default()).unwrap();
    assert_eq!(append(&spool, 1).await, Ok(LeafIndex(1)));
    assert_eq!(spool.pending(), 2, "they share a batch");
    assert_eq!(first.await.unwrap(), Ok(LeafIndex(0)));
    assert_eq!(spool.append(outcome(2), LocalEffect::default()).await, Ok(LeafIndex(2)));
    assert_eq!(spool.pending(), 3);
}

#[tokio::test]
async fn what_was_filled_beforehand_is_cut_from_a_segment_that_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open_small(directory.path(), &CONFIG);
    while files(&directory, "seg").len() < 3 {
        append(&spool, spool.pending()).await.unwrap();
    }
    let (written, names) = (spool.pending(), files(&directory, "seg"));
    let length = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    assert!(length(&names[0]) < 8192 && length(&names[1]) < 8192, "nothing behind the frames");
    assert!(length(&names[2]) < 8192 || length(&names[2]) > 500_000);
    // As after a kill: the last one still has its zeros.
    let other = tempfile::tempdir().unwrap();
    for name in &names {
        std::fs::copy(name, other.path().join(name.file_name().unwrap())).unwrap();
    }
    let (spool, _) = open_small(other.path(), &CONFIG);
    assert_eq!(spool.pending(), written);
    assert_eq!(ship(&spool).len() as u64, written);
}

#[tokio::test]
async fn a_missing_segment_is_damage() {
    let (directory, spool) = fresh();
    for n in 0..100 {
        append(&spool, n).await.unwrap();
    }
    drop(spool);
    let all = files(&directory, "seg");
    std::fs::remove_file(&all[1]).unwrap();
    let opened = recover::open(directory.path(), &CONFIG, 4096, START);
    assert!(matches!(opened, Err(SpoolError::Damaged { .. })));
    // The oldest may be gone: it was shipped.
    std::fs::remove_file(&all[0]).unwrap();
    assert!(recover::open(directory.path(), &CONFIG, 4096, START).is_ok());
}

#[tokio::test]
async fn a_spool_has_one_process() {
    let (directory, spool) = fresh();
    let second = Spool::open(directory.path(), &CONFIG, START);
    assert!(matches!(second, Err(SpoolError::InUse { .. })));
    drop(spool);
    assert!(Spool::open(directory.path(), &CONFIG, START).is_ok());
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_get_its_units_back() {
    let (_directory, spool) = fresh();
    let units = draw(1, 5);
    let effect = LocalEffect { proof: None, draws: vec![units.clone()] };
    {
        let mut going = Box::pin(spool.append(receipt(1), effect));
        // Polled once: the record is on its way. Then the caller is gone.
        let polled = futures_once(going.as_mut()).await;
        assert!(polled.is_none_or(|answer| answer.is_ok()));
    }
    assert!(!units.fate.may_give_back());
    // The twin: a refused record gives its units back.
    let effect = LocalEffect { proof: Some(proof(9)), draws: vec![] };
    spool.append(receipt(2), effect).await.unwrap();
    let units = draw(2, 5);
    let effect = LocalEffect { proof: Some(proof(9)), draws: vec![units.clone()] };
    assert_eq!(spool.append(receipt(3), effect).await, Err(AppendError::Replayed));
    assert!(units.fate.may_give_back());
}

/// Polls a future once.
async fn futures_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => Some(answer),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn the_authority_may_have_more_than_this_process_knows() {
    let (directory, spool) = fresh();
    for n in 0..50 {
        append(&spool, n).await.unwrap();
    }
    drop(spool);
    // Forty had been shipped before the kill, but nothing on this side says so.
    let (spool, _) = open(directory.path());
    let mut tail = Tail::of(&spool);
    let announced = tail.next().unwrap().unwrap();
    assert_eq!(announced.records, []);
    tail.acknowledged(announced, 40);
    let batch = tail.next().unwrap().unwrap();
    assert_eq!((batch.first, batch.records.len()), (40, batch.records.len()));
    assert_eq!(batch.records[0].0, receipt(40));
    assert_eq!(spool.pending(), 10);
}
