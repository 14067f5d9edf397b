//! Whatever is done to a published log, verification says so and names the first bad sequence.

use bailiwick_ledger::bundle;
use bailiwick_ledger::verify::FaultKind;
use bailiwick_ledger::{
    Checkpoint, LogFault, LogReport, TrustedTree, VerifyError, VerifyOptions, verify_log,
};

use crate::log::{LogKey, MemoryFiles, MemoryLog, ORIGIN};

/// Two full bundles and a partial one.
const SIZE: u64 = 600;

fn key() -> LogKey {
    LogKey::new(ORIGIN, 1)
}

fn verify(files: &MemoryFiles) -> Result<LogReport, LogFault> {
    verify_trusting(files, &[])
}

fn verify_trusting(files: &MemoryFiles, trusted: &[TrustedTree]) -> Result<LogReport, LogFault> {
    let options = VerifyOptions { trusted: trusted.to_vec() };
    verify_log(files, &key().verifier, &options).map_err(|error| match error {
        VerifyError::Fault(fault) => fault,
        VerifyError::Source(error) => panic!("{error}"),
    })
}

fn bundle_path(sequence: u64) -> String {
    match sequence / 256 {
        2 => "tile/entries/002.p/88".to_owned(),
        full => format!("tile/entries/00{full}"),
    }
}

/// Rewrites the entries of the bundle that holds `sequence`.
fn rewrite(files: &mut MemoryFiles, sequence: u64, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let path = bundle_path(sequence);
    let mut entries: Vec<Vec<u8>> = {
        let (entries, whole) = bundle::decode(&files.files[&path]);
        whole.unwrap();
        entries.into_iter().map(<[u8]>::to_vec).collect()
    };
    edit(&mut entries);
    files.put(&path, bundle::encode(&entries).unwrap());
}

#[track_caller]
fn assert_exact(files: &MemoryFiles, sequence: u64, code: &str) {
    let fault = verify(files).unwrap_err();
    assert_eq!(
        (fault.first_bad_seq, fault.exact, fault.code()),
        (Some(sequence), true, code),
        "{fault}"
    );
}

#[test]
fn intact_logs_verify_at_all_sizes() {
    for size in (0..=70).chain([255, 256, 257, 511, 512, 513, SIZE]) {
        let log = MemoryLog::of_receipts(size);
        let report = verify(&log.publish(&key())).unwrap();
        assert_eq!(report.checkpoint, log.checkpoint());
    }
}

#[test]
fn every_edited_entry_is_named() {
    let intact = MemoryLog::of_receipts(SIZE).publish(&key());
    for sequence in (0..SIZE).step_by(37).chain([255, 256, 511, 512, SIZE - 1]) {
        let mut files = intact.clone();
        rewrite(&mut files, sequence, |entries| entries[(sequence % 256) as usize][20] ^= 1);
        assert_exact(&files, sequence, "edited");
    }
    verify(&intact).unwrap();
}

#[test]
fn every_deleted_entry_is_named() {
    let intact = MemoryLog::of_receipts(SIZE).publish(&key());
    for sequence in (0..SIZE - 1).step_by(41).chain([254, 256, 510, 512]) {
        let mut files = intact.clone();
        rewrite(&mut files, sequence, |entries| {
            entries.remove((sequence % 256) as usize);
        });
        assert_exact(&files, sequence, "deleted");
    }
    for last in [255, 511, SIZE - 1] {
        let mut files = intact.clone();
        rewrite(&mut files, last, |entries| {
            entries.pop();
        });
        assert_exact(&files, last, "file_malformed");
    }
}

#[test]
fn an_entry_deleted_across_all_bundles_is_named() {
    let mut log = MemoryLog::of_receipts(SIZE);
    let honest = log.publish(&key());
    log.entries.remove(100);
    let mut files = honest.clone();
    for (index, chunk) in log.entries.chunks(256).enumerate() {
        files.put(&bundle_path(index as u64 * 256), bundle::encode(chunk).unwrap());
    }
    assert_exact(&files, 100, "deleted");
    verify(&honest).unwrap();
}

#[test]
fn reordered_and_inserted_entries_are_named() {
    let intact = MemoryLog::of_receipts(SIZE).publish(&key());
    for (first, second) in [(0, 1), (3, 200), (300, 301), (590, 599)] {
        let mut files = intact.clone();
        rewrite(&mut files, first, |entries| {
            entries.swap((first % 256) as usize, (second % 256) as usize);
        });
        assert_exact(&files, first, "reordered");
    }
    let mut files = intact.clone();
    rewrite(&mut files, 520, |entries| entries.insert(8, b"{}".to_vec()));
    assert_exact(&files, 520, "inserted");
    verify(&intact).unwrap();
}

#[test]
fn cut_off_logs_are_named() {
    let log = MemoryLog::of_receipts(SIZE);
    let intact = log.publish(&key());
    for (gone, first) in [(vec![2], 512), (vec![1, 2], 256), (vec![0, 1, 2], 0), (vec![1], 256)] {
        let mut files = intact.clone();
        for bundle in gone {
            files.files.remove(&bundle_path(bundle * 256));
        }
        assert_exact(&files, first, "file_missing");
    }
    let mut files = intact.clone();
    files.files.get_mut(&bundle_path(512)).unwrap().truncate(1000);
    let fault = verify(&files).unwrap_err();
    assert_eq!((fault.exact, fault.code()), (true, "file_malformed"));
    let whole = 512 + (1000 / (log.entries[520].len() as u64 + 2));
    assert_eq!(fault.first_bad_seq, Some(whole));
}

#[test]
fn an_old_checkpoint_is_exposed_by_a_newer_trusted_one() {
    let log = MemoryLog::of_receipts(SIZE);
    let newer = TrustedTree::from(&log.checkpoint());
    let old = MemoryLog::of_receipts(400).publish(&key());
    verify(&old).unwrap();
    let fault = verify_trusting(&old, &[newer]).unwrap_err();
    assert_eq!(fault, exact(400, FaultKind::CutOff));
    let report = verify_trusting(&log.publish(&key()), &[newer]).unwrap();
    assert_eq!(report.trusted_matched, 1);
}

fn exact(sequence: u64, what: FaultKind) -> LogFault {
    LogFault { first_bad_seq: Some(sequence), exact: true, suspect: None, what }
}

#[test]
fn a_rewritten_and_resigned_log_is_exposed_by_older_trusted_ones() {
    let honest = MemoryLog::of_receipts(SIZE);
    let trees: Vec<TrustedTree> =
        [100, 300, 500].map(|size| TrustedTree { size, root: honest.root_at(size) }).to_vec();
    let mut rewritten = MemoryLog::default();
    for (index, entry) in honest.entries.iter().enumerate() {
        let mut entry = entry.clone();
        entry[20] ^= u8::from(index == 350);
        rewritten.append(entry);
    }
    let files = rewritten.publish(&key());
    verify(&files).unwrap();
    let fault = verify_trusting(&files, &trees).unwrap_err();
    assert_eq!(fault.what, FaultKind::Rewritten { trusted_size: 500 });
    assert_eq!((fault.first_bad_seq, fault.exact), (Some(300), false));
    let report = verify_trusting(&honest.publish(&key()), &trees).unwrap();
    assert_eq!(report.trusted_matched, 3);
}

#[test]
fn an_edit_hidden_in_entry_and_tile_is_still_found() {
    let honest = MemoryLog::of_receipts(SIZE);
    let mut forged = MemoryLog::default();
    for (index, entry) in honest.entries.iter().enumerate() {
        let mut entry = entry.clone();
        entry[20] ^= u8::from(index == 300);
        forged.append(entry);
    }
    let forged = forged.publish(&key());
    let mut files = honest.publish(&key());
    for path in ["tile/entries/001", "tile/0/001"] {
        files.put(path, forged.files[path].clone());
    }
    let fault = verify(&files).unwrap_err();
    assert_eq!((fault.first_bad_seq, fault.exact), (Some(256), false), "block 1 only");
    assert_eq!(fault.suspect, Some(256), "the level above contradicts block 1");
    // With an older trusted tree, what it covers is proven.
    let tree = TrustedTree { size: 290, root: honest.root_at(290) };
    let fault = verify_trusting(&files, &[tree]).unwrap_err();
    assert_eq!((fault.first_bad_seq, fault.exact), (Some(290), false));
    // Hidden at every level: nothing but the signed root contradicts it.
    files = forged.clone();
    files.put("checkpoint", honest.publish(&key()).files["checkpoint"].clone());
    let fault = verify(&files).unwrap_err();
    assert_eq!(fault.what, FaultKind::RootMismatch);
    assert_eq!((fault.first_bad_seq, fault.exact), (Some(0), false));
}

#[test]
fn changed_and_missing_tiles_are_named_when_entries_are_intact() {
    let intact = MemoryLog::of_receipts(SIZE).publish(&key());
    for (path, row, first) in
        [("tile/0/000", 9, 9), ("tile/0/001", 0, 256), ("tile/0/002.p/88", 87, 599)]
    {
        let mut files = intact.clone();
        files.files.get_mut(path).unwrap()[row * 32] ^= 1;
        assert_exact(&files, first, "tile_mismatch");
    }
    let mut files = intact.clone();
    files.files.get_mut("tile/1/000.p/2").unwrap()[32] ^= 1;
    assert_exact(&files, 256, "tile_mismatch");
    for (path, first) in [("tile/0/001", 256), ("tile/1/000.p/2", 0)] {
        let mut files = intact.clone();
        files.files.remove(path);
        assert_exact(&files, first, "file_missing");
        files.put(path, vec![0; 31]);
        assert_exact(&files, first, "file_malformed");
    }
    verify(&intact).unwrap();
}

#[test]
fn an_edit_is_named_although_its_own_tiles_are_gone() {
    let mut files = MemoryLog::of_receipts(SIZE).publish(&key());
    rewrite(&mut files, 300, |entries| entries[44][20] ^= 1);
    files.files.remove("tile/0/001");
    let fault = verify(&files).unwrap_err();
    assert_eq!((fault.first_bad_seq, fault.exact), (Some(256), false));
    files.files.retain(|path, _| !path.starts_with("tile/0") && !path.starts_with("tile/1"));
    let fault = verify(&files).unwrap_err();
    assert_eq!((fault.first_bad_seq, fault.exact), (Some(0), false));
}

#[test]
fn the_checkpoint_is_judged_first() {
    let intact = MemoryLog::of_receipts(40).publish(&key());
    let mut files = intact.clone();
    files.files.remove("checkpoint");
    assert_eq!(verify(&files).unwrap_err().what, FaultKind::CheckpointMissing);
    let by_other = MemoryLog::of_receipts(40).publish(&LogKey::new(ORIGIN, 2));
    let fault = verify(&by_other).unwrap_err();
    assert_eq!((fault.first_bad_seq, fault.code()), (None, "checkpoint_refused"));
    verify(&intact).unwrap();
}

#[test]
fn a_source_that_fails_is_not_a_bad_log() {
    let files = MemoryLog::of_receipts(SIZE).publish(&key());
    for path in ["checkpoint", "tile/entries/001", "tile/0/000", "tile/1/000.p/2"] {
        files.broken.replace(Some(path.to_owned()));
        let error = verify_log(&files, &key().verifier, &VerifyOptions::default()).unwrap_err();
        assert!(matches!(error, VerifyError::Source("unreachable")), "{path}");
    }
}

#[test]
fn full_tiles_serve_an_older_checkpoint() {
    let grown = MemoryLog::of_receipts(SIZE);
    let mut files = grown.publish(&key());
    let old = Checkpoint::new(ORIGIN, 300, grown.root_at(300)).unwrap();
    files.put("checkpoint", key().sign_checkpoint(&old).into_bytes());
    assert_eq!(verify(&files).unwrap_err().code(), "file_missing", "no tile/1/000.p/1");
    let row = files.files["tile/1/000.p/2"][..32].to_vec();
    files.put("tile/1/000.p/1", row);
    assert_eq!(verify(&files).unwrap().checkpoint.size(), 300);
}
