//! The unshipped tail: what the Authority has not acknowledged, read in order from the oldest segment.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bailiwick_core::{EpochId, UnixMillis};
use bailiwick_ledger::Receipt;

use super::frame::{self, Front};
use super::proofs::{self, Proof};
use super::segment::{self, HEADER_BYTES, Previous, Segment};
use super::writer::wide;
use super::{LocalEffect, Spool, SpoolError, record};
use crate::budget::Draw;

/// Records in one batch.
const BATCH_RECORDS: usize = 512;
/// Bytes of one batch; a single record may be larger.
const BATCH_BYTES: u64 = 512 * 1024;
/// Bytes that are read when a record does not fit into a batch.
const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Records of one epoch, in order.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The epoch.
    pub(crate) epoch: EpochId,
    /// The one before.
    pub(crate) previous: Option<Previous>,
    /// Sequence number of the first record.
    pub(crate) first: u64,
    /// The records; none when an epoch is announced.
    pub(crate) records: Vec<(Receipt, Vec<Draw>)>,
    /// Where each record's frame begins and ends.
    frames: Vec<(u64, u64)>,
    /// Proofs of the records.
    proofs: Vec<Option<Proof>>,
}

/// Reads the tail and deletes what is acknowledged. There is one of it.
#[derive(Debug)]
pub(crate) struct Tail {
    spool: Spool,
    open: Option<Open>,
    /// The epoch that the Authority knows of, and how much it said it had.
    announced: Option<(EpochId, u64)>,
    /// Files of kept proofs, and when the last of each expires.
    kept: Vec<(u64, UnixMillis)>,
}

/// The segment that is being shipped.
#[derive(Debug)]
struct Open {
    number: u64,
    file: File,
    offset: u64,
    next: u64,
    proofs: Vec<Proof>,
    /// The newest record's time.
    time: UnixMillis,
}

impl Tail {
    /// The tail of a spool.
    pub(crate) fn of(spool: &Spool) -> Self {
        Self { spool: spool.clone(), open: None, announced: None, kept: Vec::new() }
    }

    /// Waits until something may have been added.
    pub(crate) async fn grown(&self) {
        self.spool.0.shared.grown.notified().await;
    }

    /// The next records to ship, or an epoch to announce; none while everything is shipped. Reads
    /// files: not for an async thread.
    ///
    /// # Errors
    /// What was durable cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, SpoolError> {
        loop {
            let Some((segment, is_last)) = self.front() else { return Ok(None) };
            self.open(&segment)?;
            let batch = self.read(&segment)?;
            let announced = self.announced.filter(|(epoch, _)| *epoch == segment.header.epoch);
            match announced {
                None => return Ok(Some(Batch { records: vec![], frames: vec![], ..batch })),
                // After a restart the Authority may have more than this process knows.
                Some((_, has)) if has > batch.first && !batch.records.is_empty() => {
                    self.release(batch, has);
                }
                Some(_) if !batch.records.is_empty() => return Ok(Some(batch)),
                Some(_) if is_last => return Ok(None),
                Some(_) => self.finish(&segment)?,
            }
        }
    }

    /// The Authority has every record of the batch's epoch below `has`.
    pub(crate) fn acknowledged(&mut self, batch: Batch, has: u64) {
        self.announced = Some((batch.epoch, has));
        *self.spool.0.shared.shipped.lock() = self.announced;
        self.release(batch, has);
    }

    fn front(&self) -> Option<(Segment, bool)> {
        let segments = self.spool.0.shared.segments.lock();
        segments.front().map(|segment| (*segment, segments.len() == 1))
    }

    fn open(&mut self, segment: &Segment) -> Result<(), SpoolError> {
        if self.open.as_ref().is_some_and(|open| open.number == segment.number) {
            return Ok(());
        }
        let path = segment::path(&self.spool.0.shared.directory, segment.number);
        let file = File::open(&path).map_err(SpoolError::at(&path))?;
        self.open = Some(Open {
            number: segment.number,
            file,
            offset: wide(HEADER_BYTES),
            next: segment.header.first,
            proofs: Vec::new(),
            time: UnixMillis(0),
        });
        Ok(())
    }

    /// Whole records from where shipping stands, as far as they are durable.
    fn read(&mut self, segment: &Segment) -> Result<Batch, SpoolError> {
        let header = segment.header;
        let mut batch = Batch {
            epoch: header.epoch,
            previous: header.previous,
            first: header.first,
            records: Vec::new(),
            frames: Vec::new(),
            proofs: Vec::new(),
        };
        let Some(open) = &self.open else { return Ok(batch) };
        batch.first = open.next;
        let path = segment::path(&self.spool.0.shared.directory, segment.number);
        let durable = segment.bytes.saturating_sub(open.offset);
        for most in [BATCH_BYTES, READ_BYTES_MAX] {
            let mut bytes = vec![0; usize::try_from(durable.min(most)).unwrap_or_default()];
            open.file.read_exact_at(&mut bytes, open.offset).map_err(SpoolError::at(&path))?;
            batch.fill(&bytes, open.offset).map_err(|at| SpoolError::Damaged {
                path: path.clone(),
                offset: usize::try_from(at).unwrap_or(usize::MAX),
            })?;
            if !batch.records.is_empty() || durable == 0 {
                return Ok(batch);
            }
        }
        // Never taken for the end: what is durable and cannot be read must not be deleted.
        let offset = usize::try_from(open.offset).unwrap_or(usize::MAX);
        Err(SpoolError::Damaged { path, offset })
    }

    /// Counts the records below `has` as shipped.
    fn release(&mut self, batch: Batch, has: u64) {
        let Some(open) = &mut self.open else { return };
        let shared = &self.spool.0.shared;
        let count = usize::try_from(has.saturating_sub(batch.first)).unwrap_or(usize::MAX);
        let frames = batch.frames.iter().zip(&batch.records).zip(&batch.proofs).take(count);
        let (mut done, mut bytes) = (0_u64, 0_u64);
        for ((&(begin, end), (receipt, _)), proof) in frames {
            open.offset = end;
            open.time = open.time.max(UnixMillis(receipt.time_ms));
            open.proofs.extend(proof);
            done = done.saturating_add(1);
            bytes = bytes.saturating_add(end.saturating_sub(begin));
        }
        open.next = open.next.saturating_add(done);
        shared.pending.fetch_sub(done, Ordering::AcqRel);
        shared.bytes_pending.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Deletes a segment that is shipped and will not grow. Its unexpired proofs are kept.
    fn finish(&mut self, segment: &Segment) -> Result<(), SpoolError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let shared = Arc::clone(&self.spool.0.shared);
        let directory = &shared.directory;
        open.proofs.retain(|(_, expires)| *expires > open.time);
        if let Some(last) = open.proofs.iter().map(|(_, expires)| *expires).max() {
            proofs::keep(directory, segment.number, &open.proofs)
                .map_err(SpoolError::at(directory))?;
            self.kept.push((segment.number, last));
        }
        let path = segment::path(directory, segment.number);
        std::fs::remove_file(&path).map_err(SpoolError::at(&path))?;
        shared.segments.lock().pop_front();
        self.kept.retain(|(number, last)| {
            let unexpired = *last > open.time;
            if !unexpired {
                proofs::delete(directory, *number);
            }
            unexpired
        });
        Ok(())
    }
}

impl Batch {
    /// The sequence number after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(wide(self.records.len()))
    }

    /// Takes the whole frames of `bytes`, which begin at `offset`; says where one cannot be read.
    fn fill(&mut self, bytes: &[u8], offset: u64) -> Result<(), u64> {
        let mut at = 0_usize;
        while self.records.len() < BATCH_RECORDS {
            let here = offset.saturating_add(wide(at));
            let length = match frame::front(bytes.get(at..).unwrap_or_default()) {
                Front::Mark(..) => frame::MARK_BYTES,
                Front::Record(body, length) => {
                    let (receipt, effect) = record::decode(body).map_err(|_| here)?;
                    let LocalEffect { proof, draws } = effect;
                    self.records.push((receipt, draws));
                    self.proofs.push(proof);
                    self.frames.push((here, here.saturating_add(wide(length))));
                    length
                }
                // The rest of it was not read.
                Front::Nothing => break,
            };
            at = at.saturating_add(length);
        }
        Ok(())
    }
}
