//! What verification found, and where.

use std::fmt;

use crate::checkpoint::CheckpointError;
use crate::tile::TilePath;

/// Why a log could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError<E> {
    /// The log is not what its key signed.
    #[error(transparent)]
    Fault(#[from] LogFault),
    /// The log could not be read, so nothing is known.
    #[error("the log could not be read: {0}")]
    Source(E),
}

/// The first place where a log is not what its key signed. Every entry before `first_bad_seq` is proven intact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFault {
    /// First sequence that is bad or, when not `exact`, from which on nothing can be proven; `None` when the
    /// checkpoint itself is refused, so that no entry can be judged.
    pub first_bad_seq: Option<u64>,
    /// Whether exactly that sequence is shown to be bad.
    pub exact: bool,
    /// When not `exact`: the first sequence where the log's files contradict each other, the likeliest place.
    pub suspect: Option<u64>,
    /// What is wrong there.
    pub what: FaultKind,
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// There is no checkpoint.
    CheckpointMissing,
    /// The checkpoint is malformed, of another log or not signed by the key.
    CheckpointRefused(CheckpointError),
    /// The checkpoint is older than a tree that is already trusted: the log was cut off.
    CutOff,
    /// The log does not begin with a tree that is already trusted: signed anew after a change.
    Rewritten {
        /// Size of the trusted tree.
        trusted_size: u64,
    },
    /// The entry is not the one that was signed.
    Edited,
    /// The signed entry is gone and later ones moved up.
    Deleted,
    /// An entry that was never signed pushed later ones down.
    Inserted,
    /// A signed entry from elsewhere is in its place.
    Reordered,
    /// A file of the log is gone: cut off, or a piece taken out.
    Missing {
        /// Which.
        path: TilePath,
    },
    /// A file of the log is too short, too long or does not divide into entries.
    Malformed {
        /// Which.
        path: TilePath,
    },
    /// The entries are as signed, but a published hash tile differs from them.
    TileMismatch {
        /// Tile level.
        level: u8,
        /// Row in the level.
        row: u64,
    },
    /// The entries do not lead to the signed root, and the published hashes do not either.
    RootMismatch,
    /// The receipt beside the log does not open the entry's commitment.
    PayloadMismatch,
    /// The receipt's line is gone, or lines were moved.
    ReceiptOutOfOrder,
    /// The receipt's line cannot be read.
    ReceiptMalformed,
    /// There are receipts beyond the end of the log.
    ReceiptsBeyondEnd,
    /// An older checkpoint in the export is not one the key signed, or they are out of order.
    HistoryRefused,
}

impl LogFault {
    /// A fault of the log as a whole.
    pub(crate) fn of_log(what: FaultKind) -> Self {
        Self { first_bad_seq: None, exact: false, suspect: None, what }
    }

    /// A fault shown at exactly this sequence.
    pub(crate) fn exact(sequence: u64, what: FaultKind) -> Self {
        Self { first_bad_seq: Some(sequence), exact: true, suspect: None, what }
    }

    /// A fault somewhere from this sequence on.
    pub(crate) fn from_on(sequence: u64, what: FaultKind) -> Self {
        Self { first_bad_seq: Some(sequence), exact: false, suspect: None, what }
    }

    /// Stable name of what is wrong.
    pub fn code(&self) -> &'static str {
        self.what.code()
    }
}

impl FaultKind {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CheckpointMissing => "checkpoint_missing",
            Self::CheckpointRefused(_) => "checkpoint_refused",
            Self::CutOff => "cut_off",
            Self::Rewritten { .. } => "rewritten",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Missing { .. } => "file_missing",
            Self::Malformed { .. } => "file_malformed",
            Self::TileMismatch { .. } => "tile_mismatch",
            Self::RootMismatch => "root_mismatch",
            Self::PayloadMismatch => "payload_mismatch",
            Self::ReceiptOutOfOrder => "receipt_out_of_order",
            Self::ReceiptMalformed => "receipt_malformed",
            Self::ReceiptsBeyondEnd => "receipts_beyond_end",
            Self::HistoryRefused => "history_refused",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CheckpointMissing => "there is no checkpoint",
            Self::CheckpointRefused(error) => return write!(f, "{error}"),
            Self::CutOff => "the log ends before a checkpoint that is already trusted",
            Self::Rewritten { trusted_size } => {
                return write!(f, "the log does not begin with the trusted tree of {trusted_size}");
            }
            Self::Edited => "the entry is not the one that was signed",
            Self::Deleted => "the signed entry is gone and later ones moved up",
            Self::Inserted => "an entry that was never signed is in its place",
            Self::Reordered => "a signed entry from elsewhere is in its place",
            Self::Missing { path } => return write!(f, "{path} is missing"),
            Self::Malformed { path } => return write!(f, "{path} is cut short or malformed"),
            Self::TileMismatch { level, row } => {
                return write!(f, "hash {row} of tile level {level} differs from the entries");
            }
            Self::RootMismatch => "the entries do not lead to the signed root",
            Self::PayloadMismatch => "the receipt does not open the entry's commitment",
            Self::ReceiptOutOfOrder => "the receipt is missing or out of order",
            Self::ReceiptMalformed => "the receipt cannot be read",
            Self::ReceiptsBeyondEnd => "there are receipts beyond the end of the log",
            Self::HistoryRefused => "an older checkpoint of the export is not one the log signed",
        })
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first_bad_seq, self.exact) {
            (None, _) => write!(f, "{}", self.what),
            (Some(sequence), true) => write!(f, "first bad sequence {sequence}: {}", self.what),
            (Some(sequence), false) => {
                write!(f, "nothing from sequence {sequence} on can be proven: {}", self.what)?;
                match self.suspect {
                    Some(suspect) => write!(f, "; its files first disagree at sequence {suspect}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for LogFault {}
