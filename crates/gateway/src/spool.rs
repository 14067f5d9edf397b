//! The gateway's durable journal: what it decided, drew and burnt, until the Authority has it.
//!
//! An append-only log of segments with one writer at a time: a call's receipt, its proof of possession
//! and its draws on budgets are one record, and a record is answered for after the sync that covers
//! it. What was acknowledged survives a kill at any moment; what the Authority has is deleted. Each
//! opening of the directory begins a new *epoch*, in which records are numbered from zero, so that
//! the Authority takes each record once, and sees when a spool was lost or put back.

pub(crate) mod frame;
mod proofs;
mod queue;
pub(crate) mod record;
mod recover;
mod segment;
mod tail;
mod writer;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use bailiwick_core::outcome::Outcome;
use bailiwick_core::{EpochId, UnixMillis};
use bailiwick_ledger::{Journal, LeafIndex, Receipt, ReceiptKind};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use self::proofs::Proof;
use self::queue::Queue;
use self::segment::Segment;
use self::writer::Writer;
use crate::budget::{Draw, Fate};
use crate::config::SpoolConfig;
use crate::stop::Stop;

pub(crate) use self::record::OutOfBounds;
pub(crate) use self::tail::{Batch, Tail};

/// Part of the room that is left for the outcomes of calls that were already released.
const OUTCOME_SHARE: u64 = 16;

/// Bytes that a record has room for when the spool is said to be writable.
const RECORD_BYTES: u64 = 4096;

/// The gateway's own state that changes with a receipt: all of it durable, or none.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalEffect {
    /// The proof of possession that is burnt, and when it would be too old anyway.
    pub(crate) proof: Option<Proof>,
    /// What is taken from leases.
    pub(crate) draws: Vec<Draw>,
}

/// Why a record was not taken. Nothing may be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The log holds this proof of possession.
    #[error("the proof was used before; make a new one")]
    Replayed,
    /// The Authority has not taken what is spooled, and there is no room for more.
    #[error("the spool of receipts is full: the Authority has not taken them for too long")]
    Full,
    /// The last write failed, and the spool has not been opened again since.
    #[error("the spool of receipts cannot be written")]
    Failed,
    /// Too many records wait for the disk.
    #[error("too many receipts wait for the disk; try again in a second")]
    Busy,
    /// No Authority would take such a receipt.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

impl AppendError {
    /// Whether it was refused for its proof alone.
    pub(crate) fn is_replay(&self) -> bool {
        matches!(self, Self::Replayed)
    }
}

impl From<AppendError> for Stop {
    fn from(error: AppendError) -> Self {
        let outcome = match error {
            AppendError::Replayed => Outcome::ProofReplayed,
            AppendError::OutOfBounds(_) => Outcome::Malformed,
            AppendError::Full | AppendError::Failed | AppendError::Busy => {
                Outcome::LedgerUnavailable
            }
        };
        Self::new(outcome, error.to_string())
    }
}

/// Why the spool could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// The directory or a file in it cannot be made, read or written.
    #[error("cannot use {}: {source}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Something that was acknowledged cannot be read.
    #[error(
        "{} is damaged at byte {offset}: receipts that were acknowledged are lost. Keep the \
         directory as evidence and start with an empty `state_dir`; the Authority records the gap",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: usize,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl SpoolError {
    fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Path { path, source }
    }
}

/// What a spool held when it was opened.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Proofs that have not expired.
    pub(crate) proofs: Vec<Proof>,
    /// The spool, for who draws on leases: a lease is good for one epoch only.
    pub(crate) spool: Spool,
}

/// The journal. Clones are handles of the same one; the last one to go finishes what is waiting.
#[derive(Clone, Debug)]
pub(crate) struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    writer: Arc<Mutex<Writer>>,
    thread: Option<JoinHandle<()>>,
}

/// A decision on its way to the spool; see [`Spool::expect`].
pub(crate) struct Expected(Arc<Shared>);

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.expected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A record on its way: what became of it.
pub(crate) type Appending = oneshot::Receiver<Result<LeafIndex, AppendError>>;

/// What handles, writer and tail share.
#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    queue: Queue,
    /// Decisions on their way here.
    expected: AtomicUsize,
    /// The last write went well.
    healthy: AtomicBool,
    /// Records that the Authority has not acknowledged.
    pending: AtomicU64,
    /// Bytes of them.
    bytes_pending: AtomicU64,
    bytes_max: u64,
    segment_bytes: u64,
    /// Oldest first; the last one grows. Never empty.
    segments: Mutex<VecDeque<Segment>>,
    /// How much of which epoch the Authority has, as far as it has said.
    shipped: Mutex<Option<(EpochId, u64)>>,
    /// Something became durable.
    grown: Notify,
    /// Held for as long as the spool is open: no second process may write.
    _lock: std::fs::File,
    #[cfg(test)]
    faults: fixture::Faults,
}

/// A record on its way to the writer.
#[derive(Debug)]
struct Pending {
    frame: Vec<u8>,
    proof: Option<Proof>,
    time: UnixMillis,
    /// It tells what became of a call that was already released.
    is_outcome: bool,
    /// That of its draws.
    fate: Option<Fate>,
    reply: oneshot::Sender<Result<LeafIndex, AppendError>>,
}

impl Spool {
    /// Opens the spool in a directory, creating it as needed, with access for the owner only.
    ///
    /// # Errors
    /// [`SpoolError`] says what is wrong and what to do; the gateway must not start then.
    pub(crate) fn open(
        directory: &Path,
        config: &SpoolConfig,
        now: UnixMillis,
    ) -> Result<(Self, Recovered), SpoolError> {
        recover::open(directory, config, segment::SEGMENT_BYTES, now)
    }

    /// Records that the Authority has not acknowledged.
    pub(crate) fn pending(&self) -> u64 {
        self.0.shared.pending.load(Ordering::Acquire)
    }

    /// Whether a decision would be recorded now.
    pub(crate) fn is_writable(&self) -> bool {
        let shared = &self.0.shared;
        let held = shared.bytes_pending.load(Ordering::Acquire);
        shared.healthy.load(Ordering::Acquire)
            && held.saturating_add(RECORD_BYTES) < shared.room(false)
    }

    /// The present epoch. It changes when the spool recovers from a failed write.
    pub(crate) fn epoch(&self) -> Option<EpochId> {
        let shared = &self.0.shared;
        let healthy = shared.healthy.load(Ordering::Acquire);
        healthy.then(|| shared.last().map(|segment| segment.header.epoch)).flatten()
    }

    /// The present epoch and how many of its records are durable.
    pub(crate) fn written(&self) -> Option<(EpochId, u64)> {
        self.0.shared.last().map(|segment| (segment.header.epoch, segment.next()))
    }

    /// How much of which epoch the Authority has, as far as it has said.
    pub(crate) fn shipped(&self) -> Option<(EpochId, u64)> {
        *self.0.shared.shipped.lock()
    }

    /// Says that a decision is on its way here. One that comes alone has nobody to share a sync with,
    /// and is written in the thread that waits for it.
    pub(crate) fn expect(&self) -> Expected {
        self.0.shared.expected.fetch_add(1, Ordering::Relaxed);
        Expected(Arc::clone(&self.0.shared))
    }

    /// Puts a record into the queue. What became of it is told through what this gives; should nobody
    /// wait for that, the log tells when it was not taken.
    pub(crate) fn submit(
        &self,
        receipt: &Receipt,
        effect: &LocalEffect,
    ) -> Result<Appending, AppendError> {
        let frame = frame::record(&record::encode(receipt, effect)?);
        if !self.0.shared.healthy.load(Ordering::Acquire) {
            return Err(AppendError::Failed);
        }
        let fate = effect.draws.first().map(|draw| draw.fate.clone());
        if let Some(fate) = &fate {
            fate.submitted();
        }
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            frame,
            proof: effect.proof,
            time: UnixMillis(receipt.time_ms),
            is_outcome: receipt.kind == ReceiptKind::Action,
            fate,
            reply,
        };
        let here = if pending.is_outcome { None } else { self.writer_if_alone() };
        if let Some(refused) = self.0.shared.queue.push(pending, here.is_none()) {
            refused.fate.iter().for_each(Fate::refused);
            return Err(AppendError::Busy);
        }
        if let Some(mut writer) = here {
            writer.write_waiting();
        }
        Ok(answer)
    }

    /// The writer, for a decision that comes alone: two threads fewer to be woken in turn. Not where
    /// the disk is slow, or where no other worker would serve whoever comes meanwhile.
    fn writer_if_alone(&self) -> Option<MutexGuard<'_, Writer>> {
        let alone = self.0.shared.expected.load(Ordering::Relaxed) == 1;
        let workers = || Handle::try_current().map_or(0, |handle| handle.metrics().num_workers());
        if !alone || workers() < 2 {
            return None;
        }
        self.0.writer.try_lock().filter(|writer| writer.is_quick())
    }
}

impl Journal<LocalEffect> for Spool {
    type Error = AppendError;

    async fn append(
        &self,
        receipt: Receipt,
        effect: LocalEffect,
    ) -> Result<LeafIndex, AppendError> {
        let answer = self.submit(&receipt, &effect)?;
        answer.await.unwrap_or(Err(AppendError::Failed))
    }
}

impl Shared {
    /// Bytes that records of this kind may fill.
    fn room(&self, is_outcome: bool) -> u64 {
        let kept = self.bytes_max.checked_div(OUTCOME_SHARE).unwrap_or_default();
        if is_outcome { self.bytes_max } else { self.bytes_max.saturating_sub(kept) }
    }

    fn last(&self) -> Option<Segment> {
        self.segments.lock().back().copied()
    }

    /// More of the last segment is durable.
    fn publish(&self, segment: Segment) {
        if let Some(last) = self.segments.lock().back_mut() {
            *last = segment;
        }
        self.grown.notify_one();
    }

    /// Another segment has begun.
    fn add(&self, segment: Segment) {
        self.segments.lock().push_back(segment);
        self.grown.notify_one();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the spool has panicked");
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod tests;
