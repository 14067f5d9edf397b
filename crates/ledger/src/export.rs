//! An export: a whole log in one directory, with its receipts, for an auditor.
//!
//! `checkpoint`, `tile/…` (C2SP), `vkey` (text), `receipts.jsonl` (a line a leaf) and, when older checkpoints were kept,
//! `checkpoints.jsonl` (a JSON string a line), which narrow down where a changed log was changed.

mod receipts;
mod write;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::file::Disk;
use crate::note::{NOTE_BYTES_MAX, NoteError, VerifierKey};
use crate::verify::{
    FaultKind, LogFault, LogReport, TrustedTree, VerifyError, VerifyOptions, verify_log_with,
};

pub use receipts::{ReceiptLines, read_receipts};
pub use write::{Export, ExportError, export};

const CHECKPOINT: &str = "checkpoint";
const VKEY: &str = "vkey";
const RECEIPTS: &str = "receipts.jsonl";
const HISTORY: &str = "checkpoints.jsonl";

/// Most older checkpoints that an export may carry.
pub const HISTORY_CHECKPOINTS_MAX: usize = 1 << 20;

/// Where the auditor's trust in a log's key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A key that the auditor got by another road than the export.
    Given(VerifierKey),
    /// The key in the export: shows that the export fits together, not whose it is.
    FromExport,
}

/// What a verified export is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The log.
    pub log: LogReport,
    /// The key it was verified with.
    pub key: VerifierKey,
    /// Whether that key was taken from the export itself.
    pub key_from_export: bool,
    /// Receipts whose commitment was opened.
    pub opened: u64,
    /// Receipts that are stated to be erased.
    pub erased: u64,
    /// Older checkpoints in the export that the log begins with.
    pub history: usize,
}

/// Why an export could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyExportError {
    /// The export is not what its log signed.
    #[error(transparent)]
    Fault(#[from] LogFault),
    /// The export could not be read.
    #[error("the export could not be read: {0}")]
    Read(#[from] io::Error),
    /// The export's own key, asked for with [`KeySource::FromExport`], is missing or malformed.
    #[error("the export's verifier key: {0}")]
    Key(#[from] NoteError),
}

/// Verifies an export: its log, and that every receipt opens its leaf or is stated to be erased.
///
/// # Errors
/// [`VerifyExportError::Fault`] names the first bad sequence.
pub fn verify_export(
    directory: &Path,
    key: &KeySource,
    options: &VerifyOptions,
) -> Result<ExportReport, VerifyExportError> {
    let (key, key_from_export) = match key {
        KeySource::Given(key) => (key.clone(), false),
        KeySource::FromExport => (read_vkey(directory)?, true),
    };
    let history = read_history(&directory.join(HISTORY), &key)?;
    let mut options = options.clone();
    options.trusted.extend(&history);
    let mut opener = receipts::Opener::new(read_receipts(directory)?);
    let disk = Disk::new(directory);
    let log = verify_log_with(&disk, &key, &options, &mut opener);
    let log = log.map_err(|error| match error {
        VerifyError::Fault(fault) => VerifyExportError::Fault(fault),
        VerifyError::Source(error) => VerifyExportError::Read(error),
    })?;
    let counts = opener.finish(log.checkpoint.size())?;
    Ok(ExportReport {
        log,
        key,
        key_from_export,
        opened: counts.opened,
        erased: counts.erased,
        history: history.len(),
    })
}

/// The verifier key that an export carries: a claim, not something to trust.
///
/// # Errors
/// A file that is missing or malformed.
pub fn read_vkey(directory: &Path) -> Result<VerifierKey, VerifyExportError> {
    let mut text = String::new();
    let file = File::open(directory.join(VKEY))?;
    file.take(NOTE_BYTES_MAX as u64).read_to_string(&mut text)?;
    Ok(text.trim_end_matches('\n').parse::<VerifierKey>()?)
}

/// Older checkpoints, each signed by the key, in order of size.
fn read_history(path: &Path, key: &VerifierKey) -> Result<Vec<TrustedTree>, VerifyExportError> {
    let mut trees: Vec<TrustedTree> = Vec::new();
    if !fs::exists(path)? {
        return Ok(trees);
    }
    let refused = || LogFault::of_log(FaultKind::HistoryRefused);
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        lines.by_ref().take(2 * NOTE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(trees);
        }
        let note: String = serde_json::from_slice(&line).map_err(|_| refused())?;
        let checkpoint = Checkpoint::verify(note.as_bytes(), key).map_err(|_| refused())?;
        let tree = TrustedTree::from(&checkpoint);
        let in_order = trees.last().is_none_or(|last| last.size <= tree.size);
        if !in_order || trees.len() >= HISTORY_CHECKPOINTS_MAX {
            return Err(refused().into());
        }
        trees.push(tree);
    }
}
