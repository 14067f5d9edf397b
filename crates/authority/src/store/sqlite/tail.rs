//! Leaf hashes of the newest leaves, so that tiles are built without reading the database.

use std::collections::VecDeque;
use std::ops::Range;

use bailiwick_ledger::Hash;
use parking_lot::RwLock;

/// Hashes kept: 2 MiB.
const TAIL_LEAVES: usize = 65_536;

/// The hashes of leaves `first..`, up to the ledger's size.
#[derive(Debug)]
pub(super) struct Tail(RwLock<Inner>);

#[derive(Debug)]
struct Inner {
    first: u64,
    hashes: VecDeque<Hash>,
}

impl Tail {
    /// Nothing yet of a ledger of this size.
    pub(super) fn new(size: u64) -> Self {
        Self(RwLock::new(Inner { first: size, hashes: VecDeque::new() }))
    }

    /// The writer has committed the next leaves.
    pub(super) fn push(&self, hashes: impl Iterator<Item = Hash>) {
        let mut inner = self.0.write();
        inner.hashes.extend(hashes);
        let surplus = inner.hashes.len().saturating_sub(TAIL_LEAVES);
        inner.hashes.drain(..surplus);
        inner.first = inner.first.saturating_add(surplus as u64);
    }

    /// The hashes of a range, if all of them are here.
    pub(super) fn get(&self, range: &Range<u64>) -> Option<Vec<Hash>> {
        let inner = self.0.read();
        let start = usize::try_from(range.start.checked_sub(inner.first)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(inner.first)?).ok()?;
        if start > end || end > inner.hashes.len() {
            return None;
        }
        Some(inner.hashes.range(start..end).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ranges_are_given() {
        let tail = Tail::new(10);
        tail.push((0..3).map(|byte| Hash([byte; 32])));
        assert_eq!(tail.get(&(10..13)).map(|hashes| hashes.len()), Some(3));
        assert_eq!(tail.get(&(11..12)), Some(vec![Hash([1; 32])]));
        assert_eq!(tail.get(&(9..12)), None);
        assert_eq!(tail.get(&(12..14)), None);
        tail.push((0..TAIL_LEAVES).map(|_| Hash([9; 32])));
        assert_eq!(tail.get(&(10..11)), None, "forgotten");
        assert_eq!(tail.get(&(13..14)), Some(vec![Hash([9; 32])]));
    }
}
