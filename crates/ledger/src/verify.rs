//! Verification of a whole log, offline, from its published files and a key the auditor already has.
//!
//! One pass in bounded memory rehashes every entry up to the signed root and compares every published tile. When that
//! fails, [`locate`](self::locate) finds the first sequence from which the log no longer proves itself.

mod fault;
mod locate;

use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::note::VerifierKey;
use crate::published::{PublishedLog, TileFault};
use crate::read::{HashReader, TileSource};
use crate::tile::paths_between;
use crate::tree::{Frontier, TILE_WIDTH, TileRow};

pub use fault::{FaultKind, LogFault, VerifyError};

/// A tree that the auditor already trusts: an older checkpoint of the same log, kept or witnessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedTree {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl From<&Checkpoint> for TrustedTree {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self { size: checkpoint.size(), root: checkpoint.root() }
    }
}

/// What else to hold a log against.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// Trees that the log must begin with; any order. They expose a rewritten log and one cut off with an old
    /// checkpoint, and they narrow down where a log was changed.
    pub trusted: Vec<TrustedTree>,
}

/// What a verified log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// The signed checkpoint.
    pub checkpoint: Checkpoint,
    /// Trusted trees that the log begins with.
    pub trusted_matched: usize,
    /// Hash tiles and entry bundles compared.
    pub files_checked: u64,
}

/// Sees every entry of a log once, in order, while the log is verified.
pub trait EntryVisitor {
    /// Looks at the entry at `index`; `false` says that something beside the log contradicts it.
    fn visit(&mut self, index: u64, entry: &[u8]) -> bool;
}

impl EntryVisitor for () {
    fn visit(&mut self, _: u64, _: &[u8]) -> bool {
        true
    }
}

/// Verifies a published log against the key of its origin.
///
/// # Errors
/// [`VerifyError::Fault`] names the first bad sequence; [`VerifyError::Source`] says that the log could not be read.
pub fn verify_log<S: TileSource>(
    source: &S,
    key: &VerifierKey,
    options: &VerifyOptions,
) -> Result<LogReport, VerifyError<S::Error>> {
    verify_log_with(source, key, options, &mut ())
}

/// The same, showing each entry to `visitor`. What the visitor sees is proven only when this returns `Ok`.
///
/// # Errors
/// As [`verify_log`].
pub fn verify_log_with<S: TileSource, V: EntryVisitor>(
    source: &S,
    key: &VerifierKey,
    options: &VerifyOptions,
    visitor: &mut V,
) -> Result<LogReport, VerifyError<S::Error>> {
    let published = source.read("checkpoint").map_err(VerifyError::Source)?;
    let published = published.ok_or_else(|| LogFault::of_log(FaultKind::CheckpointMissing))?;
    let checkpoint = Checkpoint::verify(&published, key)
        .map_err(|error| LogFault::of_log(FaultKind::CheckpointRefused(error)))?;
    let size = checkpoint.size();
    let mut trusted = options.trusted.clone();
    trusted.sort_by_key(|tree| tree.size);
    if trusted.last().is_some_and(|tree| tree.size > size) {
        return Err(LogFault::exact(size, FaultKind::CutOff).into());
    }
    let log = PublishedLog::new(source, size);
    let mut pass = Pass {
        log: &log,
        frontier: Frontier::new(),
        trusted: &trusted,
        matched: 0,
        seen: Seen::default(),
    };
    pass.run(visitor)?;
    pass.conclude(&checkpoint)?;
    Ok(LogReport {
        checkpoint,
        trusted_matched: trusted.len(),
        files_checked: paths_between(0, size).count() as u64,
    })
}

/// What one pass saw that does not fit, before it is known which side is wrong.
#[derive(Default)]
struct Seen {
    /// First entry that is not there to be read, and why.
    entry_fault: Option<(u64, FaultKind)>,
    /// First published tile row that differs from the entries under it, or is not there.
    tile: Option<(u64, FaultKind)>,
    /// First entry that the visitor contradicts.
    contradicted: Option<u64>,
    /// A trusted tree that the entries do not produce.
    trusted: Option<u64>,
}

struct Pass<'a, S> {
    log: &'a PublishedLog<'a, S>,
    frontier: Frontier,
    trusted: &'a [TrustedTree],
    matched: usize,
    seen: Seen,
}

impl<S: TileSource> Pass<'_, S> {
    fn run<V: EntryVisitor>(&mut self, visitor: &mut V) -> Result<(), VerifyError<S::Error>> {
        self.match_trusted();
        for index in 0..self.log.size().div_ceil(TILE_WIDTH) {
            let bundle = self.log.bundle(index);
            for entry in &bundle.entries {
                let at = self.frontier.size();
                if !visitor.visit(at, entry) && self.seen.contradicted.is_none() {
                    self.seen.contradicted = Some(at);
                }
                let rows = self.frontier.append(leaf_hash(entry));
                for row in rows {
                    self.compare(row)?;
                }
                self.match_trusted();
            }
            if let Some(fault) = bundle.fault {
                let kind = FaultKind::of_tile(fault)?;
                self.seen.entry_fault = Some((self.frontier.size(), kind));
                break;
            }
        }
        Ok(())
    }

    /// Holds a computed row against the published one; only the first difference matters.
    fn compare(&mut self, row: TileRow) -> Result<(), VerifyError<S::Error>> {
        if self.seen.tile.is_some() {
            return Ok(());
        }
        let kind = match self.log.hashes(row.level, row.index, 1) {
            Ok(published) if published.first() == Some(&row.hash) => return Ok(()),
            Ok(_) => FaultKind::TileMismatch { level: row.level, row: row.index },
            Err(fault) => FaultKind::of_tile(fault)?,
        };
        let first_leaf = row.index << (u32::from(row.level) * 8);
        self.seen.tile = Some((first_leaf, kind));
        Ok(())
    }

    fn match_trusted(&mut self) {
        while let Some(tree) = self.trusted.get(self.matched) {
            if tree.size != self.frontier.size() || self.seen.trusted.is_some() {
                break;
            }
            if tree.root == self.frontier.root() {
                self.matched += 1;
            } else {
                self.seen.trusted = Some(tree.size);
            }
        }
    }

    /// Leaves that a trusted tree already proves.
    fn proven(&self) -> u64 {
        self.matched.checked_sub(1).and_then(|last| self.trusted.get(last)).map_or(0, |t| t.size)
    }

    fn conclude(&self, checkpoint: &Checkpoint) -> Result<(), VerifyError<S::Error>> {
        let signed =
            self.frontier.size() == checkpoint.size() && self.frontier.root() == checkpoint.root();
        if !signed {
            let mut fault = locate::locate(self.log, checkpoint, self.proven())?;
            if let Some((at, kind)) = &self.seen.entry_fault
                && fault.first_bad_seq == Some(*at)
            {
                // Everything before the break is proven, so the break is the first fault.
                fault = LogFault::exact(*at, kind.clone());
            }
            fault.suspect = if fault.exact { None } else { self.suspect() };
            return Err(fault.into());
        }
        if let Some(size) = self.seen.trusted {
            let kind = FaultKind::Rewritten { trusted_size: size };
            return Err(LogFault::from_on(self.proven(), kind).into());
        }
        if let Some((at, kind)) = &self.seen.tile {
            return Err(LogFault::exact(*at, kind.clone()).into());
        }
        Ok(())
    }

    fn suspect(&self) -> Option<u64> {
        let tile = self.seen.tile.as_ref().map(|(at, _)| *at);
        let entry = self.seen.entry_fault.as_ref().map(|(at, _)| *at);
        [tile, entry, self.seen.contradicted].into_iter().flatten().min()
    }
}

impl FaultKind {
    /// A tile fault as a kind, unless the source itself failed.
    fn of_tile<E>(fault: TileFault<E>) -> Result<Self, VerifyError<E>> {
        match fault {
            TileFault::Source(error) => Err(VerifyError::Source(error)),
            TileFault::Missing(path) => Ok(Self::Missing { path }),
            TileFault::Malformed(path) => Ok(Self::Malformed { path }),
        }
    }
}
