//! The writer: one file, one sync for everything that is waiting. It has a thread of its own; a decision
//! that comes alone borrows it for its own.
//!
//! INVARIANT: a record is answered for only after the sync that covers it. After a write or sync
//! that failed nothing is answered for until the tail has been cut to what was durable and a new
//! epoch has begun.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick_core::crypto::RandomUnavailable;
use bailiwick_core::{EpochId, UnixMillis, fill_random};
use bailiwick_ledger::LeafIndex;
use parking_lot::Mutex;

use super::proofs::UsedProofs;
use super::segment::{self, Header, Previous, Segment};
use super::{AppendError, Pending, Shared, frame};
use crate::budget::Fate;
use crate::clock::Stopwatch;

/// Records in one batch.
const BATCH_MAX: usize = 1024;
/// How often the writer lets callers run before a batch smaller than the last one.
const GATHER_YIELDS: u32 = 4;
/// A write that takes less holds nobody up.
const QUICK: Duration = Duration::from_millis(1);
/// How long a writer that has failed waits before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// A batch up to this long is written into space that was filled beforehand.
const SMALL_BATCH: usize = 32 * 1024;
/// Bytes that are filled beforehand.
const FILL_BYTES: usize = 512 * 1024;
/// Memory for a batch that is kept for the next.
const BUFFER_BYTES: usize = 256 * 1024;
/// Records between two looks at expired proofs.
const PRUNE_EVERY: usize = 4096;

/// The writer's own state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    file: File,
    segment: Segment,
    /// Where the space ends that was filled beforehand.
    filled: u64,
    /// Memory for the bytes of a batch.
    buffer: Vec<u8>,
    proofs: UsedProofs,
    /// The highest time of a record.
    now: UnixMillis,
    unpruned: usize,
    failed: bool,
    /// How long the last write and its sync took.
    last_took: Duration,
}

/// A record of the current batch that is in order.
struct Accepted {
    pending: Pending,
    sequence: u64,
}

/// Writes what is queued until the last handle is gone; what waits then is still done.
pub(super) fn run(shared: &Shared, writer: &Mutex<Writer>) {
    let (mut last, mut wait) = (0, None);
    while let Some(mut batch) = shared.queue.take(BATCH_MAX, wait) {
        // Whoever was answered last is on its way back. Letting it run first makes one sync of two; on
        // an idle machine this returns at once. (Sleeping, as the Authority's store does, costs more here.)
        for _ in 0..GATHER_YIELDS {
            if batch.len() >= last {
                break;
            }
            std::thread::yield_now();
            shared.queue.take_more(BATCH_MAX, &mut batch);
        }
        last = if batch.is_empty() { last } else { batch.len() };
        let mut writer = writer.lock();
        writer.take_on(batch);
        wait = writer.failed.then_some(RETRY);
    }
    // Left as it is, it would be cut when the spool is opened.
    let writer = writer.lock();
    let _ = writer.file.set_len(writer.segment.bytes);
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        (segment, file): (Segment, File),
        proofs: UsedProofs,
        now: UnixMillis,
    ) -> Self {
        Self {
            shared,
            file,
            segment,
            filled: 0,
            buffer: Vec::new(),
            proofs,
            now,
            unpruned: 0,
            failed: false,
            last_took: Duration::ZERO,
        }
    }

    /// Whether a write would be over before anybody else misses the thread that does it.
    pub(super) fn is_quick(&self) -> bool {
        !self.failed && self.last_took < QUICK
    }

    /// Writes what waits now. After a failure the thread of the writer goes on trying.
    pub(super) fn write_waiting(&mut self) {
        let mut batch = Vec::new();
        self.shared.queue.take_more(BATCH_MAX, &mut batch);
        self.commit(batch);
        if self.failed {
            self.shared.queue.poke();
        }
    }

    /// Writes a batch, or refuses it as long as the disk does not recover.
    fn take_on(&mut self, batch: Vec<Pending>) {
        if self.failed && !self.recover() {
            for pending in batch {
                pending.refuse(AppendError::Failed);
            }
            return;
        }
        self.commit(batch);
    }

    fn commit(&mut self, batch: Vec<Pending>) {
        let mut bytes = std::mem::take(&mut self.buffer);
        self.commit_in(&mut bytes, batch);
        bytes.clear();
        bytes.shrink_to(BUFFER_BYTES);
        self.buffer = bytes;
    }

    fn commit_in(&mut self, bytes: &mut Vec<u8>, batch: Vec<Pending>) {
        bytes.extend(frame::mark(self.segment.header.epoch, self.segment.bytes));
        let mark = wide(bytes.len());
        let accepted = self.accept(batch, bytes);
        if accepted.is_empty() {
            return;
        }
        let watch = Stopwatch::start();
        let written = self.write(bytes);
        self.last_took = watch.elapsed();
        match written {
            Ok(()) => self.acknowledge(accepted, wide(bytes.len()), mark),
            Err(error) => {
                tracing::error!(%error, records = accepted.len(), "the spool could not be written");
                self.failed = true;
                self.shared.healthy.store(false, Ordering::Release);
                for Accepted { pending, .. } in accepted {
                    pending.proof.into_iter().for_each(|proof| self.proofs.remove(proof));
                    // Whether it is durable is not known: the draws stay spent.
                    pending.answer(Err(AppendError::Failed));
                }
            }
        }
    }

    /// Sorts out replays and what there is no room for; gives every other record its number.
    fn accept(&mut self, batch: Vec<Pending>, bytes: &mut Vec<u8>) -> Vec<Accepted> {
        let mut accepted = Vec::with_capacity(batch.len());
        let mut held = self.shared.bytes_pending.load(Ordering::Acquire);
        for pending in batch {
            let after = held.saturating_add(wide(pending.frame.len()));
            if after > self.shared.room(pending.is_outcome) {
                pending.refuse(AppendError::Full);
                continue;
            }
            let epoch = self.segment.header.epoch;
            if pending.fate.as_ref().is_some_and(|fate| !fate.fits(epoch)) {
                pending.refuse(AppendError::Failed);
                continue;
            }
            if let Some(proof) = pending.proof {
                if self.proofs.holds(&proof.0) {
                    pending.refuse(AppendError::Replayed);
                    continue;
                }
                self.proofs.add(proof);
            }
            held = after;
            bytes.extend(&pending.frame);
            self.now = self.now.max(pending.time);
            let sequence = self.segment.next().saturating_add(wide(accepted.len()));
            accepted.push(Accepted { pending, sequence });
        }
        accepted
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let offset = self.segment.bytes;
        #[cfg(test)]
        self.shared.faults.check(&self.file, bytes, offset)?;
        if bytes.len() <= SMALL_BATCH {
            self.fill(offset.saturating_add(wide(bytes.len())));
        }
        self.file.write_all_at(bytes, offset)?;
        self.file.sync_data()
    }

    /// Fills space up to `end` and beyond. A sync that need not note a longer file takes about half
    /// the time; batches that many share do not need it. Zeros are no frame: to a reader they are
    /// a torn tail.
    fn fill(&mut self, end: u64) {
        let start = self.filled.max(self.segment.bytes);
        if end <= start {
            return;
        }
        let after = end.saturating_add(wide(FILL_BYTES));
        let zeros = vec![0; usize::try_from(after.saturating_sub(start)).unwrap_or_default()];
        // Where there is no room for it, the record itself may still find some.
        if self.file.write_all_at(&zeros, start).is_ok() {
            self.filled = after;
        }
    }

    fn acknowledge(&mut self, accepted: Vec<Accepted>, bytes: u64, mark: u64) {
        let count = wide(accepted.len());
        self.segment.bytes = self.segment.bytes.saturating_add(bytes);
        self.segment.records = self.segment.records.saturating_add(count);
        self.shared.pending.fetch_add(count, Ordering::AcqRel);
        let frames = bytes.saturating_sub(mark);
        self.shared.bytes_pending.fetch_add(frames, Ordering::AcqRel);
        self.shared.publish(self.segment);
        self.unpruned = self.unpruned.saturating_add(accepted.len());
        for Accepted { pending, sequence } in accepted {
            pending.fate.iter().for_each(Fate::durable);
            pending.answer(Ok(LeafIndex(sequence)));
        }
        if self.unpruned >= PRUNE_EVERY {
            self.unpruned = 0;
            self.proofs.prune(self.now);
        }
        if self.segment.bytes >= self.shared.segment_bytes {
            self.roll();
        }
    }

    /// Begins the next segment of the same epoch. Should that fail, this one grows on.
    fn roll(&mut self) {
        let header = Header { first: self.segment.next(), ..self.segment.header };
        // Only the last segment may have anything behind its frames.
        let cut = self.file.set_len(self.segment.bytes).and_then(|()| self.file.sync_all());
        self.filled = 0;
        match cut.and_then(|()| self.begin(header)) {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "the spool could not begin another segment"),
        }
    }

    fn begin(&mut self, header: Header) -> std::io::Result<()> {
        let number = self.segment.number.saturating_add(1);
        let (segment, file) = segment::begin(&self.shared.directory, number, header)?;
        self.segment = segment;
        self.file = file;
        self.shared.add(segment);
        Ok(())
    }

    /// After a failure: cuts what nobody was answered for, and begins a new epoch.
    fn recover(&mut self) -> bool {
        match self.try_recover() {
            Ok(()) => {
                tracing::warn!("the spool can be written again");
                self.failed = false;
                self.shared.healthy.store(true, Ordering::Release);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the spool still cannot be written");
                false
            }
        }
    }

    fn try_recover(&mut self) -> std::io::Result<()> {
        #[cfg(test)]
        self.shared.faults.check_recovery()?;
        self.file.set_len(self.segment.bytes)?;
        self.file.sync_all()?;
        self.filled = 0;
        // What was durable is read once more: a disk that lost it must not be built upon.
        let mut last = [0];
        if let Some(at) = self.segment.bytes.checked_sub(1) {
            self.file.read_exact_at(&mut last, at)?;
        }
        let epoch = fresh_epoch(self.now).map_err(std::io::Error::other)?;
        let ended = self.segment;
        let previous = Previous { epoch: ended.header.epoch, next: ended.next() };
        self.begin(Header { epoch, previous: Some(previous), first: 0 })
    }
}

/// A new epoch of this moment.
pub(super) fn fresh_epoch(now: UnixMillis) -> Result<EpochId, RandomUnavailable> {
    let mut random = [0; 10];
    fill_random(&mut random)?;
    Ok(EpochId::new(now, random))
}

impl Pending {
    /// The record will never be durable.
    fn refuse(self, error: AppendError) {
        if let Some(fate) = &self.fate {
            fate.refused();
        }
        self.answer(Err(error));
    }

    fn answer(self, answer: Result<LeafIndex, AppendError>) {
        // Nobody may be waiting: a caller has gone away, or it is the outcome of a call.
        if let Err(Err(error)) = self.reply.send(answer) {
            tracing::error!(%error, outcome = self.is_outcome, "a receipt was not recorded");
        }
    }
}

pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
