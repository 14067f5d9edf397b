//! A log in memory, with a key, for every test here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bailiwick_ledger::tile::tiles_between;
use bailiwick_ledger::{
    Checkpoint, EntryReader, Frontier, Hash, HashReader, Opening, OpeningReader, Receipt,
    ReceiptKind, TileSource, VerifierKey, leaf_hash,
};

pub(crate) const ORIGIN: &str = "ledger.test.example/log";

pub(crate) struct LogKey {
    pair: Ed25519KeyPair,
    pub(crate) verifier: VerifierKey,
}

impl LogKey {
    pub(crate) fn new(origin: &str, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self { verifier: VerifierKey::new(origin, public).unwrap(), pair }
    }

    pub(crate) fn sign(&self, text: &str) -> [u8; 64] {
        self.pair.sign(text.as_bytes()).as_ref().try_into().unwrap()
    }

    pub(crate) fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> String {
        checkpoint.attach(&self.verifier, &self.sign(&checkpoint.body())).unwrap()
    }
}

/// Entries, stored rows and openings, as an authority's store would hold them.
#[derive(Default)]
pub(crate) struct MemoryLog {
    pub(crate) frontier: Frontier,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) rows: BTreeMap<(u8, u64), Hash>,
    pub(crate) openings: Vec<Opening>,
}

impl MemoryLog {
    pub(crate) fn of_receipts(count: u64) -> Self {
        let mut log = Self::default();
        for index in 0..count {
            log.append_receipt(index);
        }
        log
    }

    pub(crate) fn append_receipt(&mut self, index: u64) {
        let payload = format!(r#"{{"decision":"d{index}","outcome":"allow"}}"#).into_bytes();
        let receipt = Receipt {
            kind: ReceiptKind::Decision,
            time_ms: 1_790_000_000_000 + index,
            subject_ids: vec![format!("task-{}", index / 7)],
            payload,
        };
        let mut salt = [7; 32];
        salt[..8].copy_from_slice(&index.to_be_bytes());
        let sealed = receipt.seal(salt);
        self.append(sealed.entry);
        self.openings.push(Opening::Open { salt, payload: sealed.payload });
    }

    pub(crate) fn append(&mut self, entry: Vec<u8>) {
        for row in self.frontier.append(leaf_hash(&entry)) {
            assert!(self.rows.insert((row.level, row.index), row.hash).is_none());
        }
        self.entries.push(entry);
    }

    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint::of(ORIGIN, &self.frontier).unwrap()
    }

    pub(crate) fn root_at(&self, size: u64) -> Hash {
        Frontier::rebuild(size, self).unwrap().root()
    }

    pub(crate) fn publish(&self, key: &LogKey) -> MemoryFiles {
        let mut files = MemoryFiles::default();
        for tile in tiles_between(0, self.size(), self) {
            let (path, bytes) = tile.unwrap();
            files.files.insert(path.to_string(), bytes);
        }
        files.put("checkpoint", key.sign_checkpoint(&self.checkpoint()).into_bytes());
        files
    }
}

impl HashReader for MemoryLog {
    type Error = Infallible;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Infallible> {
        Ok((start..start + count).map_while(|at| self.rows.get(&(level, at)).copied()).collect())
    }
}

impl EntryReader for MemoryLog {
    type Error = Infallible;

    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(self.entries.iter().skip(start as usize).take(count as usize).cloned().collect())
    }
}

impl OpeningReader for MemoryLog {
    type Error = Infallible;

    fn openings(&self, start: u64, count: u64) -> Result<Vec<Opening>, Infallible> {
        Ok(self.openings.iter().skip(start as usize).take(count as usize).cloned().collect())
    }
}

/// Published files in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryFiles {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Fails on this path.
    pub(crate) broken: RefCell<Option<String>>,
}

impl MemoryFiles {
    pub(crate) fn put(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), bytes);
    }
}

impl TileSource for MemoryFiles {
    type Error = &'static str;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, &'static str> {
        if self.broken.borrow().as_deref() == Some(path) {
            return Err("unreachable");
        }
        Ok(self.files.get(path).cloned())
    }
}
