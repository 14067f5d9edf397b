//! Checkpoints: what a log signs about its tree (C2SP tlog-checkpoint).

use crate::hash::Hash;
use crate::note::{NoteError, SignedNote, VerifierKey};
use crate::tree::{Frontier, SIZE_MAX};

/// A log's origin, size and root at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

/// Why a checkpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error("the note is not a checkpoint")]
    Malformed,
    /// It belongs to another log.
    #[error("the checkpoint is of another log")]
    Origin,
}

impl Checkpoint {
    /// The checkpoint of a tree. `origin` names the log: a URL without scheme, unique and never reused.
    ///
    /// # Errors
    /// An origin that is not one non-empty printable line, or a size over the limit.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let printable = !origin.is_empty() && !origin.chars().any(char::is_control);
        if !printable || size > SIZE_MAX {
            return Err(CheckpointError::Malformed);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The checkpoint of the tree at a frontier.
    ///
    /// # Errors
    /// As [`Checkpoint::new`].
    pub fn of(origin: &str, frontier: &Frontier) -> Result<Self, CheckpointError> {
        Self::new(origin, frontier.size(), frontier.root())
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The note text: sign exactly these bytes with Ed25519.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The signed checkpoint, as published.
    ///
    /// # Errors
    /// A key that is not named after the origin, or a signature that is not by it.
    pub fn attach(
        &self,
        key: &VerifierKey,
        signature: &[u8; 64],
    ) -> Result<String, CheckpointError> {
        if key.name() != self.origin {
            return Err(CheckpointError::Origin);
        }
        Ok(key.attach(&self.body(), signature)?)
    }

    /// Reads a published checkpoint and verifies that `key`, and so the log named after it, signed it.
    ///
    /// # Errors
    /// [`CheckpointError`] names what is wrong.
    pub fn verify(published: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(published)?;
        let checkpoint = Self::parse_text(note.verify(key)?)?;
        if checkpoint.origin == key.name() { Ok(checkpoint) } else { Err(CheckpointError::Origin) }
    }

    /// What a published checkpoint claims, nothing of it verified: for messages and for the log's own files.
    ///
    /// # Errors
    /// As [`Checkpoint::verify`], signatures aside.
    pub fn parse_unverified(published: &[u8]) -> Result<Self, CheckpointError> {
        Self::parse_text(SignedNote::parse(published)?.unverified_text())
    }

    /// Lines after the third are extensions and are ignored.
    fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed);
        };
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Malformed);
        }
        let count: u64 = size.parse().map_err(|_| CheckpointError::Malformed)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Malformed)?;
        if count.to_string() != size {
            return Err(CheckpointError::Malformed);
        }
        Self::new(origin, count, root)
    }
}
