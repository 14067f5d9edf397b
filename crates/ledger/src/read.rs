//! What the pure functions of this crate read from: stored hashes, stored entries, published files.

/// Stored tile rows: `level` 0 is leaf hashes, `level` n is roots of full subtrees of 256^n leaves.
///
/// A log stores the [`TileRow`](crate::TileRow)s that [`Frontier::append`](crate::Frontier::append) gives it; every
/// other hash is computed from at most 128 of them.
pub trait HashReader {
    /// Why a read failed.
    type Error;

    /// Hashes `start .. start + count` of `level`, in order; `count` is at most 256.
    ///
    /// # Errors
    /// The store's own. A reader that has fewer rows returns those it has.
    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// Stored leaves.
pub trait EntryReader {
    /// Why a read failed.
    type Error;

    /// Entries `start .. start + count`, in order; `count` is at most 256.
    ///
    /// # Errors
    /// The store's own. A reader that has fewer entries returns those it has.
    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, Self::Error>;
}

/// A published log: files by their C2SP path, from a directory, a cache or a server.
pub trait TileSource {
    /// Why a read failed.
    type Error;

    /// The file at `path` (`checkpoint`, `tile/0/000`, `tile/entries/000.p/5`), or `None` when there is none.
    ///
    /// # Errors
    /// The source's own: what could not be asked, as opposed to what is not there.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// Why something could not be computed from a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError<E> {
    /// The reader failed.
    #[error("the log could not be read: {0}")]
    Source(E),
    /// The reader has fewer rows or entries than the tree has.
    #[error("level {level} of the log has {got} of {wanted} hashes from {start} on")]
    Short {
        /// Tile level; 0 for leaf hashes and for entries.
        level: u8,
        /// First row asked for.
        start: u64,
        /// Rows asked for.
        wanted: u64,
        /// Rows there are.
        got: u64,
    },
    /// The question is about leaves that the tree does not have.
    #[error("the tree of {size} leaves does not reach that far")]
    OutOfRange {
        /// Size of the tree asked about.
        size: u64,
    },
    /// An entry is longer than a bundle can hold.
    #[error("entry {index} is longer than an entry bundle can hold")]
    EntryTooLong {
        /// Which entry.
        index: u64,
    },
}

use crate::hash::Hash;

/// Reads exactly `count` rows.
pub(crate) fn rows<R: HashReader>(
    reader: &R,
    level: u8,
    start: u64,
    count: u64,
) -> Result<Vec<Hash>, ReadError<R::Error>> {
    let hashes = reader.hashes(level, start, count).map_err(ReadError::Source)?;
    let got = hashes.len() as u64;
    if got == count {
        Ok(hashes)
    } else {
        Err(ReadError::Short { level, start, wanted: count, got })
    }
}
