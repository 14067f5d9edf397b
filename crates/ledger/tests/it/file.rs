//! The file driver: what it writes, and what it does when the disk fails.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;

use bailiwick_ledger::file::{Directory, Disk, FileLogError, KeptCheckpoint, KeptError};
use bailiwick_ledger::{FileLog, TileSource, VerifyOptions, verify_log};
use tempfile::TempDir;

use crate::log::{LogKey, MemoryLog, ORIGIN};

fn key() -> LogKey {
    LogKey::new(ORIGIN, 1)
}

fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
    MemoryLog::of_receipts(to).entries.split_off(from as usize)
}

fn append<D: Directory>(
    log: &mut FileLog<D>,
    new: &[Vec<u8>],
) -> Result<std::ops::Range<u64>, FileLogError> {
    log.append(new, |body| Some(key().sign(body)))
}

#[test]
fn a_log_grows_in_a_directory_as_it_would_in_memory() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("a/b");
    let mut size = 0;
    for step in [1, 1, 2, 100, 152, 1, 255, 1, 87] {
        // Opened afresh each time: everything is on disk.
        let mut log = FileLog::open(Disk::new(&root), key().verifier).unwrap();
        assert_eq!(log.size(), size);
        let range = append(&mut log, &entries(size, size + step)).unwrap();
        assert_eq!(range, size..size + step);
        size += step;
        let report = verify_log(&log, &key().verifier, &VerifyOptions::default()).unwrap();
        assert_eq!(report.checkpoint, MemoryLog::of_receipts(size).checkpoint());
    }
    for (path, bytes) in MemoryLog::of_receipts(size).publish(&key()).files {
        assert_eq!(fs::read(root.join(&path)).unwrap(), bytes, "{path}");
    }
    let report = verify_log(&Disk::new(&root), &key().verifier, &VerifyOptions::default());
    assert_eq!(report.unwrap().checkpoint.size(), size);
}

#[test]
fn a_disk_reads_nothing_but_the_log() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("secret"), "").unwrap();
    fs::create_dir(dir.path().join("log")).unwrap();
    let disk = Disk::new(dir.path().join("log"));
    for path in ["../secret", "tile/../../secret", "/etc/hostname", "", "tile/0/0", "vkey"] {
        assert!(TileSource::read(&disk, path).is_err(), "{path}");
    }
    for path in ["../secret", "tile//0", ".hidden", "a/./b"] {
        assert!(Directory::read(&disk, path).is_err(), "{path}");
        assert!(disk.write(path, b"x").is_err(), "{path}");
    }
    assert!(TileSource::read(&disk, "checkpoint").unwrap().is_none());
    assert!(TileSource::read(&disk, "tile/0/000").unwrap().is_none());
}

#[test]
fn a_directory_that_does_not_fit_its_checkpoint_is_not_opened() {
    let dir = TempDir::new().unwrap();
    let mut log = FileLog::open(Disk::new(dir.path()), key().verifier).unwrap();
    append(&mut log, &entries(0, 300)).unwrap();
    let reopen = || FileLog::open(Disk::new(dir.path()), key().verifier);
    reopen().unwrap();
    let tile = dir.path().join("tile/0/001.p/44");
    let bytes = fs::read(&tile).unwrap();
    let mut changed = bytes.clone();
    changed[40] ^= 1;
    fs::write(&tile, changed).unwrap();
    assert!(matches!(reopen(), Err(FileLogError::Inconsistent)));
    fs::remove_file(&tile).unwrap();
    assert!(matches!(reopen(), Err(FileLogError::Inconsistent)));
    fs::write(&tile, bytes).unwrap();
    reopen().unwrap();
    let other = FileLog::open(Disk::new(dir.path()), LogKey::new(ORIGIN, 2).verifier);
    assert!(matches!(other, Err(FileLogError::Checkpoint(_))));
}

#[test]
fn what_cannot_be_signed_or_held_is_not_appended() {
    let dir = TempDir::new().unwrap();
    let mut log = FileLog::open(Disk::new(dir.path()), key().verifier).unwrap();
    append(&mut log, &entries(0, 3)).unwrap();
    assert!(matches!(append(&mut log, &[vec![0; 65_536]]), Err(FileLogError::EntryTooLong)));
    append(&mut log, &[vec![0; 65_535]]).unwrap();
    assert!(matches!(log.append(&entries(4, 5), |_| None), Err(FileLogError::Unsigned)));
    assert!(matches!(append(&mut log, &entries(4, 5)), Err(FileLogError::Unsettled)));
    log.reopen().unwrap();
    assert_eq!(log.size(), 4);
    assert!(matches!(log.append(&entries(4, 5), |_| Some([0; 64])), Err(FileLogError::Unsigned)));
    log.reopen().unwrap();
    append(&mut log, &entries(4, 5)).unwrap();
    verify_log(&log, &key().verifier, &VerifyOptions::default()).unwrap();
}

/// Files in memory; the write numbered `fails_at` reports an error, after or instead of taking effect.
#[derive(Default)]
struct Faulty {
    files: RefCell<BTreeMap<String, Vec<u8>>>,
    writes: Cell<u64>,
    fails_at: Cell<Option<u64>>,
    persists: Cell<bool>,
}

impl Directory for &Faulty {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.borrow().get(path).cloned())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let number = self.writes.get();
        self.writes.set(number + 1);
        let fails = self.fails_at.get() == Some(number);
        if !fails || self.persists.get() {
            self.files.borrow_mut().insert(path.to_owned(), bytes.to_vec());
        }
        if fails { Err(io::Error::other("disk")) } else { Ok(()) }
    }
}

/// Every write of an append fails once in both ways; each time the log on disk is the old or the new one, whole.
#[test]
fn two_way_faults_at_every_write() {
    for (old, new) in [(0, 1), (3, 5), (250, 260), (255, 256), (256, 257), (500, 600)] {
        for persists in [false, true] {
            for fails_at in 0.. {
                if !fault_at(old, new, persists, fails_at) {
                    assert!(fails_at >= 3, "entries, hashes, checkpoint");
                    break;
                }
            }
        }
    }
}

/// Returns whether the append had a write with that number.
fn fault_at(old: u64, new: u64, persists: bool, fails_at: u64) -> bool {
    let disk = Faulty::default();
    let mut log = FileLog::open(&disk, key().verifier).unwrap();
    if old > 0 {
        append(&mut log, &entries(0, old)).unwrap();
    }
    disk.fails_at.set(Some(disk.writes.get() + fails_at));
    disk.persists.set(persists);
    let attempt = append(&mut log, &entries(old, new));
    let Err(error) = attempt else { return false };
    assert!(matches!(error, FileLogError::Disk(_)), "{error}");
    let context = format!("{old} to {new}, write {fails_at}, persists {persists}");
    let last = disk.files.borrow().get("checkpoint").cloned();
    // While unsettled, nothing is appended and readers see a whole log.
    assert!(matches!(append(&mut log, &entries(old, new)), Err(FileLogError::Unsettled)));
    if last.is_some() {
        verify_log(&log, &key().verifier, &VerifyOptions::default()).unwrap();
    }
    log.reopen().unwrap();
    assert!([old, new].contains(&log.size()), "{context}");
    if log.size() == new {
        assert!(persists, "{context}: appended although nothing was persisted");
    } else {
        append(&mut log, &entries(old, new)).unwrap();
    }
    // Other entries than those that failed may follow, too: what was left behind is overwritten.
    append(&mut log, &entries(new, new + 3)).unwrap();
    let report = verify_log(&log, &key().verifier, &VerifyOptions::default()).unwrap();
    assert_eq!(report.checkpoint, MemoryLog::of_receipts(new + 3).checkpoint(), "{context}");
    true
}

#[test]
fn a_failed_append_may_be_followed_by_another_one() {
    let disk = Faulty::default();
    let mut log = FileLog::open(&disk, key().verifier).unwrap();
    append(&mut log, &entries(0, 250)).unwrap();
    disk.fails_at.set(Some(disk.writes.get() + 3));
    append(&mut log, &entries(250, 400)).unwrap_err();
    log.reopen().unwrap();
    assert_eq!(log.size(), 250);
    append(&mut log, &entries(300, 310)).unwrap();
    verify_log(&log, &key().verifier, &VerifyOptions::default()).unwrap();
}

#[test]
fn a_changed_or_restored_store_is_not_signed_again() {
    let dir = TempDir::new().unwrap();
    let kept = KeptCheckpoint::new(Disk::new(dir.path().join("ledger")));
    let store = MemoryLog::of_receipts(300);
    let verifier = key().verifier;
    assert_eq!(kept.check(&verifier, 300, &store).unwrap(), None, "the first start");
    kept.keep(&key().sign_checkpoint(&store.checkpoint())).unwrap();
    let grown = MemoryLog::of_receipts(600);
    for (size, intact) in [(300, &store), (600, &grown)] {
        let found = kept.check(&verifier, size, intact).unwrap();
        assert_eq!(found, Some(store.checkpoint()));
    }
    let restored = MemoryLog::of_receipts(299);
    assert!(matches!(
        kept.check(&verifier, 299, &restored),
        Err(KeptError::CutOff { signed: 300, size: 299 })
    ));
    let mut changed = MemoryLog::default();
    for (index, mut entry) in grown.entries.iter().cloned().enumerate() {
        entry[20] ^= u8::from(index == 7);
        changed.append(entry);
    }
    let refused = kept.check(&verifier, 600, &changed);
    assert!(matches!(refused, Err(KeptError::Rewritten { signed: 300 })));
    let other = LogKey::new(ORIGIN, 2).verifier;
    assert!(matches!(kept.check(&other, 300, &store), Err(KeptError::Checkpoint(_))));
    kept.keep(&key().sign_checkpoint(&grown.checkpoint())).unwrap();
    assert!(kept.check(&verifier, 600, &grown).unwrap().is_some());
}
