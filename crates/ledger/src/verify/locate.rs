//! Where a log stops proving itself.
//!
//! A block of up to 256 entries is proven when the hashes of its own entries, with the published hashes around it, lead
//! to the signed root: nobody can make that true for other entries. The first block for which it does not hold is
//! searched against its published tile, if that one is proven.

use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::proof::{inclusion_proof, verify_inclusion};
use crate::published::{PublishedLog, TileFault};
use crate::read::{HashReader, ReadError, TileSource};
use crate::tree::TILE_WIDTH;

use super::{FaultKind, LogFault, VerifyError};

/// Finds the first sequence from which the log is not what `checkpoint` signed; `proven` leaves are known good.
pub(super) fn locate<S: TileSource>(
    log: &PublishedLog<'_, S>,
    checkpoint: &Checkpoint,
    proven: u64,
) -> Result<LogFault, VerifyError<S::Error>> {
    let size = checkpoint.size();
    for index in proven / TILE_WIDTH..size.div_ceil(TILE_WIDTH) {
        let start = index * TILE_WIDTH;
        let width = TILE_WIDTH.min(size - start);
        let bundle = log.bundle(index);
        if let Some(TileFault::Source(error)) = bundle.fault {
            return Err(VerifyError::Source(error));
        }
        let computed: Vec<Hash> = bundle.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let complete = computed.len() as u64 == width;
        if complete && is_proven(log, checkpoint, start, Some(&computed))? {
            continue;
        }
        let from = start.max(proven);
        if !is_proven(log, checkpoint, start, None)? {
            return Ok(LogFault::from_on(from, FaultKind::RootMismatch));
        }
        let signed = log.hashes(0, start, width).unwrap_or_default();
        return Ok(first_difference(start, &computed, &signed));
    }
    Ok(LogFault::from_on(proven, FaultKind::RootMismatch))
}

/// Holds a block's entries against the hashes that were signed for it.
fn first_difference(start: u64, computed: &[Hash], signed: &[Hash]) -> LogFault {
    let same = computed.iter().zip(signed).take_while(|(ours, theirs)| ours == theirs).count();
    let sequence = start + same as u64;
    let ours = computed.get(same..).unwrap_or_default();
    let theirs = signed.get(same..).unwrap_or_default();
    let shifted = |a: &[Hash], b: &[Hash]| {
        let rest = b.get(1..).unwrap_or_default();
        !rest.is_empty() && a.iter().zip(rest).all(|(a, b)| a == b)
    };
    let kind = match ours.first() {
        None => FaultKind::Deleted,
        Some(_) if shifted(ours, theirs) => FaultKind::Deleted,
        Some(_) if shifted(theirs, ours) => FaultKind::Inserted,
        Some(first) if theirs.contains(first) => FaultKind::Reordered,
        Some(_) => FaultKind::Edited,
    };
    LogFault::exact(sequence, kind)
}

/// Whether the block at `start` leads to the signed root: with the given leaf hashes, or with the published ones.
fn is_proven<S: TileSource>(
    log: &PublishedLog<'_, S>,
    checkpoint: &Checkpoint,
    start: u64,
    computed: Option<&[Hash]>,
) -> Result<bool, VerifyError<S::Error>> {
    let block = Block { log, start, computed };
    let size = checkpoint.size();
    let attempt = crate::read::rows(&block, 0, start, 1)
        .and_then(|leaf| inclusion_proof(start, size, &block).map(|proof| (leaf, proof)));
    match attempt {
        Ok((leaf, proof)) => Ok(leaf.first().is_some_and(|leaf| {
            verify_inclusion(leaf, start, size, &proof, &checkpoint.root()).is_ok()
        })),
        Err(ReadError::Source(TileFault::Source(error))) => Err(VerifyError::Source(error)),
        Err(_) => Ok(false),
    }
}

/// The published log, with one block of leaf hashes replaced by those of its entries.
struct Block<'a, 'b, S> {
    log: &'a PublishedLog<'b, S>,
    start: u64,
    computed: Option<&'a [Hash]>,
}

impl<S: TileSource> HashReader for Block<'_, '_, S> {
    type Error = TileFault<S::Error>;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Self::Error> {
        match (level, self.computed) {
            (0, Some(computed)) if start / TILE_WIDTH == self.start / TILE_WIDTH => {
                let skip = (start - self.start) as usize;
                Ok(computed.iter().skip(skip).take(count as usize).copied().collect())
            }
            _ => self.log.hashes(level, start, count),
        }
    }
}
