//! A published log as a reader: tiles and bundles fetched by path, bounded and shape-checked, never trusted.

use std::cell::RefCell;

use crate::bundle;
use crate::hash::{HASH_BYTES, Hash};
use crate::read::{EntryReader, HashReader, TileSource};
use crate::tile::TilePath;
use crate::tree::{TILE_WIDTH, rows_at};

/// Reads the tiles of a log of `size` leaves from a source. Keeps one tile a level in memory, and one bundle.
///
/// What it returns has the right shape and nothing more: whoever reads has to hash it up to a signed root.
pub struct PublishedLog<'a, S> {
    source: &'a S,
    size: u64,
    kept: RefCell<Vec<(TilePath, Vec<Hash>)>>,
}

/// Why a published tile could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileFault<E> {
    /// The source failed: nothing is known about the tile.
    #[error("the source failed: {0}")]
    Source(E),
    /// The source has no such file.
    #[error("{0} is missing")]
    Missing(TilePath),
    /// The file has the wrong length or does not divide into entries.
    #[error("{0} is malformed")]
    Malformed(TilePath),
}

/// A bundle as far as it could be read.
pub(crate) struct Bundle<E> {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) fault: Option<TileFault<E>>,
}

impl<'a, S: TileSource> PublishedLog<'a, S> {
    /// The log of `size` leaves at `source`.
    pub fn new(source: &'a S, size: u64) -> Self {
        Self { source, size, kept: RefCell::new(Vec::new()) }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Entries of bundle `index`: as many as the tree has there, or as many as could be read and why no more.
    pub(crate) fn bundle(&self, index: u64) -> Bundle<S::Error> {
        let Some(path) = self.path(None, index) else {
            return Bundle { entries: Vec::new(), fault: None };
        };
        let bytes = match self.fetch(path) {
            Ok(bytes) => bytes,
            Err(fault) => return Bundle { entries: Vec::new(), fault: Some(fault) },
        };
        let width = usize::from(path.width());
        let (entries, whole) = bundle::decode(&bytes);
        let malformed = whole.is_err() || entries.len() < width;
        Bundle {
            entries: entries.into_iter().take(width).map(<[u8]>::to_vec).collect(),
            fault: malformed.then_some(TileFault::Malformed(path)),
        }
    }

    /// The tile or bundle that a log of this size has at `index`, as wide as it can be.
    fn path(&self, level: Option<u8>, index: u64) -> Option<TilePath> {
        let before = index.checked_mul(TILE_WIDTH)?;
        let width = rows_at(level.unwrap_or(0), self.size).checked_sub(before)?.min(TILE_WIDTH);
        let width = u16::try_from(width).ok()?;
        match level {
            Some(level) => TilePath::hashes(level, index, width).ok(),
            None => TilePath::entries(index, width).ok(),
        }
    }

    /// The file at `path`, or the full one that replaced it when the log grew.
    fn fetch(&self, path: TilePath) -> Result<Vec<u8>, TileFault<S::Error>> {
        let read = |path: TilePath| self.source.read(&path.to_string()).map_err(TileFault::Source);
        let bytes = match read(path)? {
            None if path.is_partial() => read(path.full())?,
            found => found,
        };
        bytes.ok_or(TileFault::Missing(path))
    }

    /// Appends hashes `skip .. skip + count` of a tile to `into`.
    fn tile(
        &self,
        path: TilePath,
        (skip, count): (usize, usize),
        into: &mut Vec<Hash>,
    ) -> Result<(), TileFault<S::Error>> {
        let mut kept = self.kept.borrow_mut();
        if !kept.iter().any(|(other, _)| *other == path) {
            let bytes = self.fetch(path)?;
            let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
            let right = [usize::from(path.width()), TILE_WIDTH as usize].contains(&hashes.len());
            if !rest.is_empty() || !right {
                return Err(TileFault::Malformed(path));
            }
            kept.retain(|(other, _)| other.level() != path.level());
            kept.push((path, hashes.iter().copied().map(Hash).collect()));
        }
        let tile = kept.iter().find(|(other, _)| *other == path);
        into.extend(tile.into_iter().flat_map(|(_, hashes)| hashes).skip(skip).take(count));
        Ok(())
    }
}

impl<S: TileSource> HashReader for PublishedLog<'_, S> {
    type Error = TileFault<S::Error>;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Self::Error> {
        let end = start.saturating_add(count).min(rows_at(level, self.size));
        let mut hashes = Vec::new();
        let mut at = start;
        while at < end {
            let (index, skip) = (at / TILE_WIDTH, at % TILE_WIDTH);
            let Some(path) = self.path(Some(level), index) else { break };
            let here = (end - at).min(TILE_WIDTH - skip);
            self.tile(path, (skip as usize, here as usize), &mut hashes)?;
            at += here;
        }
        Ok(hashes)
    }
}

impl<S: TileSource> EntryReader for PublishedLog<'_, S> {
    type Error = TileFault<S::Error>;

    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, Self::Error> {
        let end = start.saturating_add(count).min(self.size);
        let mut entries = Vec::new();
        let mut at = start;
        while at < end {
            let (index, skip) = (at / TILE_WIDTH, at % TILE_WIDTH);
            let here = (end - at).min(TILE_WIDTH - skip);
            let found = self.bundle(index);
            if let Some(fault) = found.fault {
                return Err(fault);
            }
            entries.extend(found.entries.into_iter().skip(skip as usize).take(here as usize));
            at += here;
        }
        Ok(entries)
    }
}
