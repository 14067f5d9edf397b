//! An appendable log in a directory.

use std::io;
use std::ops::Range;

use crate::bundle::ENTRY_BYTES_MAX;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::{Hash, leaf_hash};
use crate::note::VerifierKey;
use crate::published::{PublishedLog, TileFault};
use crate::read::{EntryReader, HashReader, ReadError, TileSource};
use crate::tile::tiles_between;
use crate::tree::{Frontier, TILE_WIDTH, TileRow};

use super::Directory;

/// A log whose files are in a directory, open for appending by one writer.
#[derive(Debug)]
pub struct FileLog<D> {
    directory: D,
    key: VerifierKey,
    frontier: Frontier,
    /// Set while an append is under way and after one failed: what is on disk has to be read again first.
    unsettled: bool,
}

/// Why the log could not be opened or appended to.
#[derive(Debug, thiserror::Error)]
pub enum FileLogError {
    /// The disk.
    #[error("the ledger directory failed: {0}")]
    Disk(#[from] io::Error),
    /// The checkpoint on disk.
    #[error("the ledger's checkpoint is refused: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Tiles on disk are missing or do not lead to the checkpoint's root.
    #[error("the ledger's tiles do not match its checkpoint")]
    Inconsistent,
    /// An entry is longer than a bundle can hold; nothing was written.
    #[error("an entry is longer than {ENTRY_BYTES_MAX} bytes")]
    EntryTooLong,
    /// The caller's signature does not verify, or it had none to give; the checkpoint was not replaced.
    #[error("the checkpoint was not signed")]
    Unsigned,
    /// An earlier append failed, so that it is not known what is on disk: call [`FileLog::reopen`].
    #[error("an earlier append failed; reopen the ledger first")]
    Unsettled,
}

impl<D: Directory> FileLog<D> {
    /// Opens the log of `key`; a directory without a checkpoint is the empty log.
    ///
    /// # Errors
    /// [`FileLogError`]; a log that does not match its checkpoint is not opened.
    pub fn open(directory: D, key: VerifierKey) -> Result<Self, FileLogError> {
        let mut log = Self { directory, key, frontier: Frontier::new(), unsettled: true };
        log.reopen()?;
        Ok(log)
    }

    /// Reads again what is on disk, after an append failed. [`FileLog::size`] then tells whether it was persisted.
    ///
    /// # Errors
    /// As [`FileLog::open`].
    pub fn reopen(&mut self) -> Result<(), FileLogError> {
        self.unsettled = true;
        let frontier = match self.directory.read("checkpoint")? {
            None => Frontier::new(),
            Some(published) => {
                let checkpoint = Checkpoint::verify(&published, &self.key)?;
                let files = Files(&self.directory);
                let log = PublishedLog::new(&files, checkpoint.size());
                let frontier = Frontier::rebuild(checkpoint.size(), &log).map_err(disk_error)?;
                if frontier.root() != checkpoint.root() {
                    return Err(FileLogError::Inconsistent);
                }
                frontier
            }
        };
        self.frontier = frontier;
        self.unsettled = false;
        Ok(())
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The directory.
    pub fn directory(&self) -> &D {
        &self.directory
    }

    /// Appends entries and publishes a checkpoint over them; when it returns `Ok` they are durable.
    ///
    /// `sign` gets the checkpoint's body and gives an Ed25519 signature of it by the log's key.
    ///
    /// # Errors
    /// [`FileLogError`]. After a failure nothing is appended until [`FileLog::reopen`] has found out what is on disk:
    /// the append may or may not have been persisted. Append the same entries again if not.
    pub fn append<F>(&mut self, entries: &[Vec<u8>], sign: F) -> Result<Range<u64>, FileLogError>
    where
        F: FnOnce(&str) -> Option<[u8; 64]>,
    {
        if self.unsettled {
            return Err(FileLogError::Unsettled);
        }
        if entries.iter().any(|entry| entry.len() > ENTRY_BYTES_MAX) {
            return Err(FileLogError::EntryTooLong);
        }
        self.unsettled = true;
        let old = self.frontier.size();
        let mut frontier = self.frontier.clone();
        let rows = entries.iter().flat_map(|entry| frontier.append(leaf_hash(entry))).collect();
        let files = Files(&self.directory);
        let grown = Grown { before: PublishedLog::new(&files, old), entries, rows };
        for tile in tiles_between(old, frontier.size(), &grown) {
            let (path, bytes) = tile.map_err(disk_error)?;
            self.directory.write(&path.to_string(), &bytes)?;
        }
        let checkpoint = Checkpoint::of(self.key.name(), &frontier)?;
        let signature = sign(&checkpoint.body()).ok_or(FileLogError::Unsigned)?;
        let published =
            checkpoint.attach(&self.key, &signature).map_err(|_| FileLogError::Unsigned)?;
        // INVARIANT: the checkpoint is written last, so a reader never sees one whose tiles are not there.
        self.directory.write("checkpoint", published.as_bytes())?;
        self.frontier = frontier;
        self.unsettled = false;
        Ok(old..self.frontier.size())
    }
}

impl<D: Directory> TileSource for FileLog<D> {
    type Error = io::Error;

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.directory.read(path)
    }
}

fn disk_error(error: ReadError<TileFault<io::Error>>) -> FileLogError {
    match error {
        ReadError::Source(TileFault::Source(error)) => FileLogError::Disk(error),
        _ => FileLogError::Inconsistent,
    }
}

struct Files<'a, D>(&'a D);

impl<D: Directory> TileSource for Files<'_, D> {
    type Error = io::Error;

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(path)
    }
}

/// The log on disk with entries appended that are not on disk yet.
struct Grown<'a, S> {
    before: PublishedLog<'a, S>,
    entries: &'a [Vec<u8>],
    rows: Vec<TileRow>,
}

impl<S: TileSource> HashReader for Grown<'_, S> {
    type Error = TileFault<S::Error>;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Self::Error> {
        let mut hashes = self.before.hashes(level, start, count)?;
        let wanted = start + hashes.len() as u64..start + count;
        let new = self.rows.iter().filter(|row| row.level == level && wanted.contains(&row.index));
        hashes.extend(new.map(|row| row.hash));
        Ok(hashes)
    }
}

impl<S: TileSource> EntryReader for Grown<'_, S> {
    type Error = TileFault<S::Error>;

    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, Self::Error> {
        debug_assert!(count <= TILE_WIDTH, "one bundle at a time");
        let mut entries = self.before.entries(start, count)?;
        let from = (start + entries.len() as u64).saturating_sub(self.before.size());
        let missing = count - entries.len() as u64;
        entries.extend(self.entries.iter().skip(from as usize).take(missing as usize).cloned());
        Ok(entries)
    }
}
