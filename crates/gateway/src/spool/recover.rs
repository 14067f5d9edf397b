//! Opening a spool: lock, read everything, cut the torn tail, begin a new epoch.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use bailiwick_core::UnixMillis;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::proofs::{self, Proof, UsedProofs};
use super::queue::Queue;
use super::segment::{self, Found, Header, Previous, Segment};
use super::writer::{Writer, fresh_epoch, wide};
use super::{Inner, Recovered, Shared, Spool, SpoolError, frame, record, writer};
use crate::config::SpoolConfig;

/// What the files hold.
#[derive(Default)]
struct Held {
    segments: VecDeque<Segment>,
    proofs: Vec<Proof>,
    records: u64,
    /// Bytes of the records' frames.
    bytes: u64,
    /// A number above that of every segment.
    number: u64,
}

pub(super) fn open(
    directory: &Path,
    config: &SpoolConfig,
    segment_bytes: u64,
    now: UnixMillis,
) -> Result<(Spool, Recovered), SpoolError> {
    segment::make_directory(directory)?;
    let lock = segment::lock(directory)?;
    let mut held = read(directory, now)?;
    held.proofs.extend(proofs::load(directory, now)?);

    let epoch = fresh_epoch(now).map_err(|_| SpoolError::Random)?;
    let previous = held.segments.back().map(|s| Previous { epoch: s.header.epoch, next: s.next() });
    let header = Header { epoch, previous, first: 0 };
    let (first, file) =
        segment::begin(directory, held.number, header).map_err(SpoolError::at(directory))?;
    held.segments.push_back(first);

    let mut used = UsedProofs::default();
    held.proofs.iter().for_each(|proof| used.add(*proof));
    let shared = Arc::new(Shared {
        directory: directory.to_owned(),
        queue: Queue::default(),
        expected: AtomicUsize::new(0),
        healthy: AtomicBool::new(true),
        pending: AtomicU64::new(held.records),
        bytes_pending: AtomicU64::new(held.bytes),
        bytes_max: config.bytes_max,
        segment_bytes,
        segments: Mutex::new(held.segments),
        shipped: Mutex::new(None),
        grown: Notify::new(),
        _lock: lock,
        #[cfg(test)]
        faults: super::fixture::Faults::default(),
    });
    let writer = Writer::new(Arc::clone(&shared), (first, file), used, now);
    let writer = Arc::new(Mutex::new(writer));
    let thread = std::thread::Builder::new().name("spool-writer".to_owned());
    let (behind, its) = (Arc::clone(&shared), Arc::clone(&writer));
    let thread = thread.spawn(move || writer::run(&behind, &its));
    let thread = Some(thread.map_err(SpoolError::at(directory))?);
    let spool = Spool(Arc::new(Inner { shared, writer, thread }));
    if held.records > 0 {
        tracing::info!(records = held.records, "the spool holds records of an earlier run");
    }
    let recovered = Recovered { proofs: held.proofs, spool: spool.clone() };
    Ok((spool, recovered))
}

fn read(directory: &Path, now: UnixMillis) -> Result<Held, SpoolError> {
    let mut held = Held::default();
    let numbers = segment::segments(directory).map_err(SpoolError::at(directory))?;
    let last = numbers.last().copied();
    for number in numbers {
        let found = {
            let Held { proofs, records, bytes, .. } = &mut held;
            segment::scan(directory, number, Some(number) == last, |body| {
                let path = segment::path(directory, number);
                let (_, effect) =
                    record::decode(body).map_err(|_| SpoolError::Damaged { path, offset: 0 })?;
                *records = records.saturating_add(1);
                *bytes = bytes.saturating_add(wide(body.len().saturating_add(frame::FRAME_HEAD)));
                proofs.extend(effect.proof.filter(|(_, expires)| *expires > now));
                Ok(())
            })?
        };
        held.number = number.saturating_add(1);
        let Some(Found { segment, torn }) = found else {
            // It was being begun when the process went; its name is used again.
            held.number = number;
            continue;
        };
        if !follows(held.segments.back(), &segment) {
            return Err(SpoolError::Damaged { path: segment::path(directory, number), offset: 0 });
        }
        if torn {
            cut(directory, &segment)?;
        }
        held.segments.push_back(segment);
    }
    Ok(held)
}

/// Whether nothing is missing between a segment and the one before it.
fn follows(before: Option<&Segment>, segment: &Segment) -> bool {
    let Some(before) = before else { return true };
    let header = &segment.header;
    let goes_on = if header.epoch == before.header.epoch {
        header.first == before.next()
    } else {
        let ended = Previous { epoch: before.header.epoch, next: before.next() };
        header.previous == Some(ended) && header.first == 0
    };
    goes_on && segment.number == before.number.saturating_add(1)
}

/// Cuts a tail that nobody was answered for.
fn cut(directory: &Path, segment: &Segment) -> Result<(), SpoolError> {
    let path = segment::path(directory, segment.number);
    let file = OpenOptions::new().write(true).open(&path).map_err(SpoolError::at(&path))?;
    file.set_len(segment.bytes).and_then(|()| file.sync_all()).map_err(SpoolError::at(&path))
}
