//! The receipts of an export, line by line in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::opening::{Opening, OpeningError, RECEIPT_LINE_BYTES_MAX, ReceiptLine};
use crate::verify::{EntryVisitor, FaultKind, LogFault};

use super::{RECEIPTS, VerifyExportError};

/// Iterates over the receipts of an export.
#[derive(Debug)]
pub struct ReceiptLines {
    lines: BufReader<File>,
}

/// Opens the receipts of an export. They prove nothing until [`verify_export`](super::verify_export) has passed.
///
/// # Errors
/// A file that cannot be opened.
pub fn read_receipts(directory: &Path) -> io::Result<ReceiptLines> {
    Ok(ReceiptLines { lines: BufReader::new(File::open(directory.join(RECEIPTS))?) })
}

impl Iterator for ReceiptLines {
    type Item = io::Result<Result<ReceiptLine, OpeningError>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        let limit = RECEIPT_LINE_BYTES_MAX as u64 + 2;
        if let Err(error) = self.lines.by_ref().take(limit).read_until(b'\n', &mut line) {
            return Some(Err(error));
        }
        let line = line.strip_suffix(b"\n").or((!line.is_empty()).then_some(&line[..]))?;
        Some(Ok(ReceiptLine::parse(line)))
    }
}

/// How many receipts there were of each form.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) opened: u64,
    pub(super) erased: u64,
}

/// Holds each entry of the log against its receipt.
pub(super) struct Opener {
    lines: ReceiptLines,
    counts: Counts,
    fault: Option<(u64, FaultKind)>,
    failed: Option<io::Error>,
}

impl Opener {
    pub(super) fn new(lines: ReceiptLines) -> Self {
        Self { lines, counts: Counts::default(), fault: None, failed: None }
    }

    /// The verdict, once the log of `size` leaves is verified.
    pub(super) fn finish(mut self, size: u64) -> Result<Counts, VerifyExportError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        if let Some((sequence, kind)) = self.fault {
            return Err(LogFault::exact(sequence, kind).into());
        }
        match self.lines.next() {
            Some(Err(error)) => Err(error.into()),
            Some(Ok(_)) => Err(LogFault::exact(size, FaultKind::ReceiptsBeyondEnd).into()),
            None => Ok(self.counts),
        }
    }

    fn check(&mut self, index: u64, entry: &[u8]) -> Result<(), FaultKind> {
        let line = match self.lines.next() {
            None => return Err(FaultKind::ReceiptOutOfOrder),
            Some(Err(error)) => {
                self.failed = Some(error);
                return Ok(());
            }
            Some(Ok(line)) => line.map_err(|_| FaultKind::ReceiptMalformed)?,
        };
        if line.index != index {
            return Err(FaultKind::ReceiptOutOfOrder);
        }
        if !line.opening.fits(entry) {
            return Err(FaultKind::PayloadMismatch);
        }
        match line.opening {
            Opening::Open { .. } => self.counts.opened += 1,
            Opening::Erased => self.counts.erased += 1,
        }
        Ok(())
    }
}

impl EntryVisitor for Opener {
    fn visit(&mut self, index: u64, entry: &[u8]) -> bool {
        if self.fault.is_some() || self.failed.is_some() {
            return true;
        }
        match self.check(index, entry) {
            Ok(()) => true,
            Err(kind) => {
                self.fault = Some((index, kind));
                false
            }
        }
    }
}
