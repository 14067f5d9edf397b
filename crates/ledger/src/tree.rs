//! The Merkle tree: an append frontier and subtree roots over stored tile rows (RFC 6962 section 2.1).

use crate::hash::{Hash, empty_root, node_hash};
use crate::read::{HashReader, ReadError, rows};

/// Tree levels in one tile.
pub const TILE_HEIGHT: u8 = 8;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// Largest log this crate works with.
pub const SIZE_MAX: u64 = 1 << 62;

/// One hash that a log stores: a leaf hash, or the root of 256^level leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileRow {
    /// Tile level; 0 for leaf hashes.
    pub level: u8,
    /// Position in the level.
    pub index: u64,
    /// The hash.
    pub hash: Hash,
}

/// The right edge of a tree: enough to append to it and to know its root.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the full subtrees of the tree, largest first: one for every bit set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of the first `size` leaves, rebuilt from stored rows.
    ///
    /// # Errors
    /// The reader's, or that it has too few rows.
    pub fn rebuild<R: HashReader>(size: u64, reader: &R) -> Result<Self, ReadError<R::Error>> {
        if size > SIZE_MAX {
            return Err(ReadError::OutOfRange { size });
        }
        let peaks = peaks_of(0, size)
            .map(|(height, index)| node(reader, height, index))
            .collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        fold_peaks(&self.peaks)
    }

    /// Appends a leaf; gives the rows that the log now has to store: the leaf's, and each full tile's that it closed.
    pub fn append(&mut self, leaf: Hash) -> Vec<TileRow> {
        let index = self.size;
        let mut rows = vec![TileRow { level: 0, index, hash: leaf }];
        let mut hash = leaf;
        let closed = index.trailing_ones();
        for height in 1..=closed {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
            if height % u32::from(TILE_HEIGHT) == 0 {
                let level = (height / u32::from(TILE_HEIGHT)) as u8;
                rows.push(TileRow { level, index: index >> height, hash });
            }
        }
        self.peaks.push(hash);
        self.size += 1;
        rows
    }
}

/// Root of the first `size` leaves.
///
/// # Errors
/// The reader's, or that it has too few rows.
pub fn root<R: HashReader>(size: u64, reader: &R) -> Result<Hash, ReadError<R::Error>> {
    Frontier::rebuild(size, reader).map(|frontier| frontier.root())
}

/// Root of leaves `start .. end`, where `start` is a multiple of the largest power of two in the range.
pub(crate) fn range_root<R: HashReader>(
    reader: &R,
    start: u64,
    end: u64,
) -> Result<Hash, ReadError<R::Error>> {
    let peaks = peaks_of(start, end.saturating_sub(start))
        .map(|(height, index)| node(reader, height, index))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(fold_peaks(&peaks))
}

/// Number of rows that a log of `size` leaves has at a tile level.
pub(crate) fn rows_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}

/// Reduces a power-of-two number of hashes to their root.
pub(crate) fn reduce(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        hashes = hashes
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                rest => rest.first().copied().unwrap_or_else(empty_root),
            })
            .collect();
    }
    hashes.first().copied().unwrap_or_else(empty_root)
}

/// Heights and indexes of the full subtrees of `count` leaves from `start` on, largest first.
fn peaks_of(start: u64, count: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut at = start;
    (0..u64::BITS).rev().filter(move |height| (count >> height) & 1 == 1).map(move |height| {
        let index = at >> height;
        at += 1 << height;
        (height, index)
    })
}

/// Root of the full subtree of 2^height leaves at `index`.
fn node<R: HashReader>(reader: &R, height: u32, index: u64) -> Result<Hash, ReadError<R::Error>> {
    let level = (height / u32::from(TILE_HEIGHT)) as u8;
    let above = height % u32::from(TILE_HEIGHT);
    rows(reader, level, index << above, 1 << above).map(reduce)
}

fn fold_peaks(peaks: &[Hash]) -> Hash {
    peaks
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(empty_root)
}
