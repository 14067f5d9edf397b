//! The last checkpoint a log signed, kept beside its store.
//!
//! A store that was edited, or put back from a backup, would otherwise be signed anew after a restart: a second history
//! under the same key. Kept before it is published and checked before anything else is signed, it makes that a refusal.

use std::io;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::VerifierKey;
use crate::read::{HashReader, ReadError};
use crate::tree::root;

use super::Directory;

const FILE: &str = "checkpoint";

/// A directory with the last signed checkpoint.
#[derive(Debug)]
pub struct KeptCheckpoint<D> {
    directory: D,
}

/// Why a log must not be signed.
#[derive(Debug, thiserror::Error)]
pub enum KeptError<E> {
    /// The disk.
    #[error("the kept checkpoint could not be read: {0}")]
    Disk(#[from] io::Error),
    /// What is kept was not signed by the log's key.
    #[error("the kept checkpoint is refused: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The store has fewer entries than were signed.
    #[error("{signed} entries were signed and the store has {size}: it was cut off or put back")]
    CutOff {
        /// Entries signed before.
        signed: u64,
        /// Entries there are.
        size: u64,
    },
    /// The store has other entries than were signed.
    #[error("the first {signed} entries are not those that were signed: the store was changed")]
    Rewritten {
        /// Entries signed before.
        signed: u64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(ReadError<E>),
}

impl<D: Directory> KeptCheckpoint<D> {
    /// The checkpoint kept in a directory of its own.
    pub fn new(directory: D) -> Self {
        Self { directory }
    }

    /// Checks that a store of `size` entries begins with what was last signed. Call it before signing after a start.
    ///
    /// # Errors
    /// [`KeptError`]; sign nothing then. `None` means that nothing was ever kept.
    pub fn check<R: HashReader>(
        &self,
        key: &VerifierKey,
        size: u64,
        reader: &R,
    ) -> Result<Option<Checkpoint>, KeptError<R::Error>> {
        let Some(published) = self.directory.read(FILE)? else { return Ok(None) };
        let kept = Checkpoint::verify(&published, key)?;
        let signed = kept.size();
        if signed > size {
            return Err(KeptError::CutOff { signed, size });
        }
        if root(signed, reader).map_err(KeptError::Read)? != kept.root() {
            return Err(KeptError::Rewritten { signed });
        }
        Ok(Some(kept))
    }

    /// Keeps a signed checkpoint. Call it before the checkpoint is published.
    ///
    /// # Errors
    /// What the disk says; do not publish the checkpoint then.
    pub fn keep(&self, published: &str) -> io::Result<()> {
        self.directory.write(FILE, published.as_bytes())
    }
}
