//! Exports: written, verified by somebody else, tampered with.

use std::fs;
use std::path::Path;

use bailiwick_ledger::export::{
    ExportError, ExportReport, VerifyExportError, read_receipts, read_vkey,
};
use bailiwick_ledger::{
    Checkpoint, Export, KeySource, LogFault, Opening, TrustedTree, VerifyOptions, bundle, export,
    leaf_hash, verify_export,
};
use tempfile::TempDir;

use crate::log::{LogKey, MemoryLog, ORIGIN};

const SIZE: u64 = 300;

fn key() -> LogKey {
    LogKey::new(ORIGIN, 1)
}

fn write(log: &MemoryLog, history: &[String]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let checkpoint = key().sign_checkpoint(&log.checkpoint());
    let what = Export { checkpoint: &checkpoint, key: &key().verifier, history };
    let written = export(&dir.path().join("export"), &what, log).unwrap();
    assert_eq!(written, log.checkpoint());
    dir
}

fn verify(dir: &TempDir) -> Result<ExportReport, LogFault> {
    let given = KeySource::Given(key().verifier);
    verify_export(&dir.path().join("export"), &given, &VerifyOptions::default()).map_err(|error| {
        match error {
            VerifyExportError::Fault(fault) => fault,
            other => panic!("{other}"),
        }
    })
}

#[track_caller]
fn assert_exact(dir: &TempDir, sequence: u64, code: &str) {
    let fault = verify(dir).unwrap_err();
    assert_eq!(
        (fault.first_bad_seq, fault.exact, fault.code()),
        (Some(sequence), true, code),
        "{fault}"
    );
}

fn edit_lines(dir: &TempDir, edit: impl FnOnce(&mut Vec<String>)) {
    let path = dir.path().join("export/receipts.jsonl");
    let mut lines: Vec<String> =
        fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    edit(&mut lines);
    fs::write(path, lines.join("\n") + if lines.is_empty() { "" } else { "\n" }).unwrap();
}

#[test]
fn an_export_verifies_offline_and_reads_back() {
    let mut log = MemoryLog::of_receipts(SIZE);
    log.openings[7] = Opening::Erased;
    let dir = write(&log, &[]);
    let report = verify(&dir).unwrap();
    assert_eq!((report.opened, report.erased, report.history), (SIZE - 1, 1, 0));
    assert!(!report.key_from_export);
    let path = dir.path().join("export");
    for (index, line) in read_receipts(&path).unwrap().enumerate() {
        let line = line.unwrap().unwrap();
        assert_eq!(line.index, index as u64);
        assert_eq!(line.opening, log.openings[index]);
    }
    assert_eq!(read_vkey(&path).unwrap(), key().verifier);
    let report = verify_export(&path, &KeySource::FromExport, &VerifyOptions::default()).unwrap();
    assert!(report.key_from_export);
}

#[test]
fn empty_and_tiny_logs_export() {
    for size in [0, 1, 2, 256, 257] {
        let report = verify(&write(&MemoryLog::of_receipts(size), &[])).unwrap();
        assert_eq!(report.opened, size);
    }
}

#[test]
fn every_change_to_the_receipts_is_named() {
    let log = MemoryLog::of_receipts(SIZE);
    for sequence in [0, 1, 255, 256, SIZE - 1] {
        let at = sequence as usize;
        let dir = write(&log, &[]);
        edit_lines(&dir, |lines| lines[at] = lines[at].replace("allow", "deny"));
        assert_exact(&dir, sequence, "payload_mismatch");
        let dir = write(&log, &[]);
        edit_lines(&dir, |lines| lines[at] = lines[at].replace("\"outcome\":", "\"outcome\": "));
        assert_exact(&dir, sequence, "payload_mismatch");
        let dir = write(&log, &[]);
        edit_lines(&dir, |lines| drop(lines.remove(at)));
        assert_exact(&dir, sequence, "receipt_out_of_order");
        let dir = write(&log, &[]);
        edit_lines(&dir, |lines| lines[at].truncate(20));
        assert_exact(&dir, sequence, "receipt_malformed");
    }
    let dir = write(&log, &[]);
    edit_lines(&dir, |lines| lines.swap(40, 90));
    assert_exact(&dir, 40, "receipt_out_of_order");
    let dir = write(&log, &[]);
    edit_lines(&dir, |lines| lines.truncate(200));
    assert_exact(&dir, 200, "receipt_out_of_order");
    let dir = write(&log, &[]);
    edit_lines(&dir, |lines| lines.push(lines[0].clone()));
    assert_exact(&dir, SIZE, "receipts_beyond_end");
    let dir = write(&log, &[]);
    edit_lines(&dir, |lines| lines[3] = r#"{"index":3,"erased":true,"payload":{}}"#.to_owned());
    assert_exact(&dir, 3, "receipt_malformed");
    verify(&write(&log, &[])).unwrap();
}

#[test]
fn salts_make_equal_payloads_unlinkable_and_moved_openings_fail() {
    let log = MemoryLog::of_receipts(3);
    let dir = write(&log, &[]);
    edit_lines(&dir, |lines| {
        let other = lines[2].replace("\"index\":2", "\"index\":1");
        lines[1] = other;
    });
    assert_exact(&dir, 1, "payload_mismatch");
}

#[test]
fn entry_and_receipt_changed_together_are_named() {
    let log = MemoryLog::of_receipts(SIZE);
    let dir = write(&log, &[]);
    let path = dir.path().join("export/tile/entries/000");
    let mut other = MemoryLog::of_receipts(SIZE);
    other.entries.swap(9, 10);
    fs::write(path, bundle::encode(&other.entries[..256]).unwrap()).unwrap();
    edit_lines(&dir, |lines| {
        let (nine, ten) = (lines[9].clone(), lines[10].clone());
        lines[9] = ten.replace("\"index\":10", "\"index\":9");
        lines[10] = nine.replace("\"index\":9", "\"index\":10");
    });
    assert_exact(&dir, 9, "reordered");
}

/// A forger who rebuilds everything but cannot sign: older checkpoints say where, the receipts where exactly.
#[test]
fn history_and_receipts_narrow_down_a_complete_rewrite() {
    let honest = MemoryLog::of_receipts(SIZE);
    let history: Vec<String> = [50, 100, 150, 200, 250]
        .map(|size| Checkpoint::new(ORIGIN, size, honest.root_at(size)).unwrap())
        .iter()
        .map(|checkpoint| key().sign_checkpoint(checkpoint))
        .collect();
    let dir = write(&honest, &history);
    assert_eq!(verify(&dir).unwrap().history, 5);
    let mut forged = MemoryLog::default();
    for (index, entry) in honest.entries.iter().enumerate() {
        let mut entry = entry.clone();
        entry[20] ^= u8::from(index == 120);
        forged.append(entry);
    }
    for tile in bailiwick_ledger::tile::tiles_between(0, SIZE, &forged) {
        let (path, bytes) = tile.unwrap();
        fs::write(dir.path().join("export").join(path.to_string()), bytes).unwrap();
    }
    let fault = verify(&dir).unwrap_err();
    assert_eq!((fault.first_bad_seq, fault.exact), (Some(100), false), "{fault}");
    assert_eq!(fault.suspect, Some(120), "the receipt no longer opens");

    let path = dir.path().join("export/checkpoints.jsonl");
    let changed = fs::read_to_string(&path).unwrap().replacen("\\n50\\n", "\\n51\\n", 1);
    fs::write(&path, changed).unwrap();
    assert_eq!(verify(&dir).unwrap_err().code(), "history_refused");
}

#[test]
fn the_key_and_older_trust_come_from_the_auditor() {
    let log = MemoryLog::of_receipts(SIZE);
    let dir = write(&log, &[]);
    let path = dir.path().join("export");
    let other = KeySource::Given(LogKey::new(ORIGIN, 2).verifier);
    let error = verify_export(&path, &other, &VerifyOptions::default()).unwrap_err();
    assert!(error.to_string().contains("not signed by the key"), "{error}");
    let newer = TrustedTree { size: SIZE + 1, root: leaf_hash(b"kept by the auditor") };
    let options = VerifyOptions { trusted: vec![newer] };
    let error = verify_export(&path, &KeySource::Given(key().verifier), &options).unwrap_err();
    let VerifyExportError::Fault(fault) = error else { panic!("{error}") };
    assert_eq!((fault.first_bad_seq, fault.code()), (Some(SIZE), "cut_off"));
    let older = TrustedTree { size: 77, root: log.root_at(77) };
    let options = VerifyOptions { trusted: vec![older] };
    verify_export(&path, &KeySource::Given(key().verifier), &options).unwrap();
}

#[test]
fn what_must_not_be_exported_is_not() {
    let log = MemoryLog::of_receipts(5);
    let checkpoint = key().sign_checkpoint(&log.checkpoint());
    let what = Export { checkpoint: &checkpoint, key: &key().verifier, history: &[] };
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("other"), "").unwrap();
    assert!(matches!(export(dir.path(), &what, &log), Err(ExportError::NotEmpty)));

    let fresh = |name: &str| Path::new(dir.path()).join(name);
    let mut changed = MemoryLog::of_receipts(5);
    changed.openings[3] = changed.openings[2].clone();
    let result = export(&fresh("a"), &what, &changed);
    assert!(matches!(result, Err(ExportError::Mismatch { index: 3 })));
    let foreign = LogKey::new(ORIGIN, 2);
    let wrong = Export { key: &foreign.verifier, ..what };
    assert!(matches!(export(&fresh("b"), &wrong, &log), Err(ExportError::Checkpoint(_))));
    let short = MemoryLog::of_receipts(4);
    assert!(matches!(export(&fresh("c"), &what, &short), Err(ExportError::Read(_))));
    export(&fresh("d"), &what, &log).unwrap();
}
