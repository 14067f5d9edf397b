//! Records and faults for the tests of the spool.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU8, Ordering};

use bailiwick_core::{DebitKind, LeaseId, Micros, Sha256Hash, TaskId, TokenId, UnixMillis, sha256};
use bailiwick_ledger::{Receipt, ReceiptKind};

use super::proofs::Proof;
use crate::budget::{Draw, Fate};

/// Where the tests begin.
pub(crate) const START: UnixMillis = UnixMillis(1_700_000_000_000);

pub(crate) fn receipt(n: u64) -> Receipt {
    Receipt {
        kind: ReceiptKind::Decision,
        time_ms: START.0 + n,
        subject_ids: vec![format!("decision {n}"), format!("task {n}")],
        payload: format!(r#"{{"n":{n},"v":1}}"#).into_bytes(),
    }
}

pub(crate) fn proof(n: u64) -> Proof {
    let hash: Sha256Hash = sha256(&n.to_le_bytes());
    (hash, UnixMillis(START.0 + n + 90_000))
}

pub(crate) fn draw(n: u8, amount: i64) -> Draw {
    Draw {
        lease: LeaseId::new(START, [n; 10]),
        task: TaskId::new(START, [n; 10]),
        node: TokenId::new(START, [n; 10]),
        kind: DebitKind::Subtree,
        key: "calls".into(),
        amount: Micros(amount),
        fate: Fate::default(),
    }
}

/// Faults of the disk that a test asks for, and the thread that wrote last.
#[derive(Debug, Default)]
pub(crate) struct Faults(AtomicU8, parking_lot::Mutex<String>);

const NONE: u8 = 0;
const NOT_PERSISTED: u8 = 1;
const PERSISTED: u8 = 2;
const HALF: u8 = 3;

impl Faults {
    /// Writes fail, and nothing gets to the disk.
    pub(crate) fn not_persisted(&self) {
        self.0.store(NOT_PERSISTED, Ordering::SeqCst);
    }

    /// Writes fail after everything got to the disk.
    pub(crate) fn persisted(&self) {
        self.0.store(PERSISTED, Ordering::SeqCst);
    }

    /// Writes fail half-way.
    pub(crate) fn half(&self) {
        self.0.store(HALF, Ordering::SeqCst);
    }

    /// The disk is in order again.
    pub(crate) fn heal(&self) {
        self.0.store(NONE, Ordering::SeqCst);
    }

    /// The name of the thread that wrote last.
    pub(crate) fn wrote(&self) -> String {
        self.1.lock().clone()
    }

    pub(super) fn check(&self, file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
        *self.1.lock() = std::thread::current().name().unwrap_or_default().to_owned();
        let written = match self.0.load(Ordering::SeqCst) {
            NONE => return Ok(()),
            PERSISTED => bytes,
            HALF => &bytes[..bytes.len() / 2],
            _ => &[],
        };
        file.write_all_at(written, at)?;
        Err(std::io::Error::other("a fault that the test asked for"))
    }

    pub(super) fn check_recovery(&self) -> std::io::Result<()> {
        if self.0.load(Ordering::SeqCst) == NONE {
            Ok(())
        } else {
            Err(std::io::Error::other("still"))
        }
    }
}

impl crate::spool::Spool {
    /// One write fails; then the spool has begun a new epoch.
    pub(crate) async fn fail_and_heal(&self) {
        use bailiwick_ledger::Journal as _;
        let faults = &self.0.shared.faults;
        faults.not_persisted();
        let effect = crate::spool::LocalEffect::default();
        assert!(self.append(receipt(0), effect).await.is_err());
        faults.heal();
        while !self.is_writable() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}
