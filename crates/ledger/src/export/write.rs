//! Writing an export.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::file::{Directory, Disk};
use crate::note::VerifierKey;
use crate::opening::{OpeningError, OpeningReader, ReceiptLine};
use crate::read::{EntryReader, HashReader, ReadError};
use crate::tile::tiles_between;
use crate::tree::TILE_WIDTH;

use super::{CHECKPOINT, HISTORY, RECEIPTS, VKEY};

/// What to export.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// The signed checkpoint; the export ends at its size.
    pub checkpoint: &'a str,
    /// The log's key.
    pub key: &'a VerifierKey,
    /// Older signed checkpoints, in order of size; may be empty.
    pub history: &'a [String],
}

/// Why an export could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError<E> {
    /// The directory has files in it already: an export is never mixed with another.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The disk.
    #[error("the export could not be written: {0}")]
    Disk(#[from] io::Error),
    /// The log.
    #[error(transparent)]
    Read(ReadError<E>),
    /// A checkpoint that the key did not sign.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A payload that is not JSON.
    #[error("receipt {index}: {error}")]
    Receipt {
        /// Which.
        index: u64,
        /// Why.
        error: OpeningError,
    },
    /// A stored payload that does not open its own leaf: the store was changed.
    #[error("receipt {index} does not open its own leaf")]
    Mismatch {
        /// Which.
        index: u64,
    },
}

/// Writes a whole log into an empty or new directory; the checkpoint comes last.
///
/// # Errors
/// [`ExportError`]; a store whose payloads do not open their leaves is not exported.
pub fn export<E, R>(
    directory: &Path,
    what: &Export<'_>,
    log: &R,
) -> Result<Checkpoint, ExportError<E>>
where
    R: HashReader<Error = E> + EntryReader<Error = E> + OpeningReader<Error = E>,
{
    let checkpoint = Checkpoint::verify(what.checkpoint.as_bytes(), what.key)?;
    fs::create_dir_all(directory)?;
    if fs::read_dir(directory)?.next().is_some() {
        return Err(ExportError::NotEmpty);
    }
    let mut history = String::new();
    for older in what.history {
        Checkpoint::verify(older.as_bytes(), what.key)?;
        history.push_str(&serde_json::Value::from(older.as_str()).to_string());
        history.push('\n');
    }
    for tile in tiles_between(0, checkpoint.size(), log) {
        let (path, bytes) = tile.map_err(ExportError::Read)?;
        let path = directory.join(path.to_string());
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, bytes)?;
    }
    write_receipts(&directory.join(RECEIPTS), checkpoint.size(), log)?;
    let disk = Disk::new(directory);
    if !history.is_empty() {
        fs::write(directory.join(HISTORY), history)?;
    }
    disk.write(VKEY, format!("{}\n", what.key).as_bytes())?;
    disk.write(CHECKPOINT, what.checkpoint.as_bytes())?;
    Ok(checkpoint)
}

fn write_receipts<E, R>(path: &Path, size: u64, log: &R) -> Result<(), ExportError<E>>
where
    R: EntryReader<Error = E> + OpeningReader<Error = E>,
{
    let mut out = BufWriter::new(File::create(path)?);
    for start in (0..size).step_by(TILE_WIDTH as usize) {
        let wanted = TILE_WIDTH.min(size - start);
        let source = |error| ExportError::Read(ReadError::Source(error));
        let entries = log.entries(start, wanted).map_err(source)?;
        let openings = log.openings(start, wanted).map_err(source)?;
        let got = entries.len().min(openings.len()) as u64;
        if got != wanted {
            return Err(ExportError::Read(ReadError::Short { level: 0, start, wanted, got }));
        }
        for ((index, entry), opening) in (start..).zip(&entries).zip(openings) {
            if !opening.fits(entry) {
                return Err(ExportError::Mismatch { index });
            }
            let line = ReceiptLine { index, opening }
                .to_line()
                .map_err(|error| ExportError::Receipt { index, error })?;
            writeln!(out, "{line}")?;
        }
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}
