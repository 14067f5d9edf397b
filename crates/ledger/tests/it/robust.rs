//! Arbitrary bytes never panic, and no changed byte of an export goes unnoticed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bailiwick_ledger::export::VerifyExportError;
use bailiwick_ledger::receipt::Entry;
use bailiwick_ledger::{
    Checkpoint, Export, KeySource, ReceiptLine, ReceiptProof, SignedNote, TilePath, TileSource,
    VerifierKey, VerifyOptions, bundle, export, verify_export, verify_log,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::log::{LogKey, MemoryFiles, MemoryLog, ORIGIN};

fn key() -> LogKey {
    LogKey::new(ORIGIN, 1)
}

/// Everything here that reads bytes from outside; the fuzz entry point.
fn read_anything(bytes: &[u8]) {
    let key = key().verifier;
    let _ = SignedNote::parse(bytes);
    let _ = Checkpoint::verify(bytes, &key);
    let _ = Checkpoint::parse_unverified(bytes);
    let _ = Entry::parse(bytes);
    let _ = ReceiptLine::parse(bytes);
    let _ = ReceiptProof::parse(bytes).map(|proof| proof.verify(&key));
    let _ = bundle::decode(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<TilePath>();
        let _ = text.parse::<VerifierKey>();
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_anything(&bytes);
    }

    #[test]
    fn almost_valid_bytes_never_panic(
        pick in 0..4_usize,
        at in any::<prop::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let log = MemoryLog::of_receipts(3);
        let line = ReceiptLine { index: 1, opening: log.openings[1].clone() }.to_line().unwrap();
        let valid = [
            key().sign_checkpoint(&log.checkpoint()).into_bytes(),
            log.entries[0].clone(),
            line.into_bytes(),
            key().verifier.to_string().into_bytes(),
        ];
        let mut bytes = valid[pick].clone();
        let from = at.index(bytes.len());
        let to = (from + with.len()).min(bytes.len());
        bytes.splice(from..to, with);
        read_anything(&bytes);
    }

    #[test]
    fn a_log_of_arbitrary_files_never_panics_and_never_verifies(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        gone in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
        path in any::<prop::sample::Index>(),
    ) {
        static INTACT: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
        let intact = INTACT.get_or_init(|| MemoryLog::of_receipts(260).publish(&key()).files);
        let mut files = MemoryFiles::default();
        files.files.clone_from(intact);
        let paths: Vec<String> = files.files.keys().cloned().collect();
        files.put(&paths[path.index(paths.len())], bytes);
        for index in gone {
            files.files.remove(&paths[index.index(paths.len())]);
        }
        prop_assert!(verify_log(&files, &key().verifier, &VerifyOptions::default()).is_err());
    }
}

fn files_under(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

/// Flips bits all over every file of an export: each is refused, and put back it verifies again.
#[test]
fn no_changed_byte_of_an_export_goes_unnoticed() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("export");
    let log = MemoryLog::of_receipts(260);
    let older = MemoryLog::of_receipts(100).checkpoint();
    let history = [key().sign_checkpoint(&older)];
    let checkpoint = key().sign_checkpoint(&log.checkpoint());
    let what = Export { checkpoint: &checkpoint, key: &key().verifier, history: &history };
    export(&root, &what, &log).unwrap();
    let given = KeySource::Given(key().verifier);
    let verify = || verify_export(&root, &given, &VerifyOptions::default());
    let mut files = Vec::new();
    files_under(&root, &mut files);
    assert_eq!(files.len(), 9, "{files:?}");
    for path in files.iter().filter(|path| !path.ends_with("vkey")) {
        let intact = fs::read(path).unwrap();
        let step = (intact.len() / 60).max(1);
        for at in (0..intact.len()).step_by(step).chain([intact.len() - 1]) {
            let mut changed = intact.clone();
            changed[at] ^= 1 << (at % 7);
            fs::write(path, &changed).unwrap();
            let error = verify().expect_err(&format!("{} at {at}", path.display()));
            assert!(matches!(error, VerifyExportError::Fault(_)), "{error}");
        }
        fs::write(path, &intact[..intact.len() - 1]).unwrap();
        // The last newline of the lines files says nothing; every other file has to be whole.
        assert_eq!(verify().is_ok(), path.extension().is_some_and(|ext| ext == "jsonl"));
        fs::write(path, &intact).unwrap();
    }
    let report = verify().unwrap();
    assert_eq!((report.opened, report.history), (260, 1));
}

#[test]
fn files_over_the_limit_are_not_read() {
    let dir = TempDir::new().unwrap();
    let disk = bailiwick_ledger::file::Disk::new(dir.path());
    let file = fs::File::create(dir.path().join("checkpoint")).unwrap();
    file.set_len(bailiwick_ledger::file::FILE_BYTES_MAX + 1).unwrap();
    assert!(TileSource::read(&disk, "checkpoint").is_err());
    file.set_len(100).unwrap();
    assert_eq!(TileSource::read(&disk, "checkpoint").unwrap().unwrap().len(), 100);
}
