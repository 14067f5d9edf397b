//! The reads of one task as digests: bounded, shared, and as good as the reads themselves.

use std::collections::VecDeque;
use std::sync::Arc;

use super::digest::{Datumed, ReadDigest, Sought};
use super::salt::ReadsSalt;
use super::{ReadSet, ReadSource, Scalar};
use crate::constraint::number::Number;
use crate::limits::{READ_ROWS_MAX, READS_WEIGHT_MAX};

/// How much of a task's reads is kept; beyond it the oldest reads are forgotten, and what they
/// returned has to be read again before it can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// Rows of all reads together.
    pub rows_max: usize,
    /// [`ReadDigest::weight`] of all reads together.
    pub weight_max: usize,
}

impl Default for ReadBounds {
    fn default() -> Self {
        Self { rows_max: READ_ROWS_MAX, weight_max: READS_WEIGHT_MAX }
    }
}

/// Reads kept as digests, newest last. A copy shares them.
#[derive(Clone, Debug)]
pub struct DigestedReads {
    salt: Arc<ReadsSalt>,
    bounds: ReadBounds,
    reads: VecDeque<Arc<ReadDigest>>,
    rows: usize,
    weight: usize,
}

impl DigestedReads {
    /// No reads yet, of the task with this salt.
    #[must_use]
    pub fn new(salt: ReadsSalt, bounds: ReadBounds) -> Self {
        let reads = VecDeque::new();
        Self { salt: Arc::new(salt), bounds, reads, rows: 0, weight: 0 }
    }

    /// The task's salt.
    #[must_use]
    pub fn salt(&self) -> &ReadsSalt {
        &self.salt
    }

    /// Adds a read, as the newest; one that is there already becomes the newest. Says whether it
    /// is new. A read that is larger than the bounds is not kept.
    pub fn add(&mut self, read: Arc<ReadDigest>) -> bool {
        let known = self.reads.iter().position(|other| *other == read);
        let (rows, weight) = (read.rows(), read.weight());
        match known {
            Some(at) => drop(self.reads.remove(at)),
            None => {
                self.rows = self.rows.saturating_add(rows);
                self.weight = self.weight.saturating_add(weight);
            }
        }
        self.reads.push_back(read);
        while self.rows > self.bounds.rows_max || self.weight > self.bounds.weight_max {
            let Some(oldest) = self.reads.pop_front() else { break };
            self.rows = self.rows.saturating_sub(oldest.rows());
            self.weight = self.weight.saturating_sub(oldest.weight());
        }
        known.is_none()
    }

    /// The reads, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ReadDigest>> {
        self.reads.iter()
    }

    /// About what they take in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    fn under<'a>(&'a self, source: &'a ReadSource) -> impl Iterator<Item = &'a ReadDigest> {
        self.reads.iter().map(Arc::as_ref).filter(|read| source.scope.covers(read.scope()))
    }
}

impl ReadSet for DigestedReads {
    fn returned(&self, source: &ReadSource, value: &Scalar) -> bool {
        let (sought, value) = (Sought::new(&self.salt, source), Datumed::new(&self.salt, value));
        self.under(source).any(|read| read.returned(&sought, &value))
    }

    fn any_number(&self, source: &ReadSource, test: &mut dyn FnMut(Number) -> bool) -> bool {
        let sought = Sought::new(&self.salt, source);
        self.under(source).any(|read| read.any_number(&sought, test))
    }
}
