//! A map that forgets an entry some time after it has expired.
//!
//! Kept in buckets by expiry, so that forgetting is dropping a bucket. Keys are halves of SHA-256
//! hashes: enough to tell them apart, since a collision costs 2^64 work.

use std::collections::{BTreeMap, HashMap};

use bailiwick_core::{Sha256Hash, UnixMillis};

/// log2 of the milliseconds in one bucket: about a minute.
const BUCKET_BITS: u32 = 16;

/// The map, and what the current transaction has added to it.
#[derive(Debug)]
pub(super) struct Buckets<V> {
    buckets: BTreeMap<u64, HashMap<u128, V>>,
    added: Vec<(u64, u128)>,
}

impl<V: Copy> Buckets<V> {
    pub(super) fn new() -> Self {
        Self { buckets: BTreeMap::new(), added: Vec::new() }
    }

    /// Adds an entry; it stays at least until it expires.
    pub(super) fn add(&mut self, half: u128, value: V, expires: UnixMillis) {
        let bucket = expires.0 >> BUCKET_BITS;
        self.buckets.entry(bucket).or_default().insert(half, value);
        self.added.push((bucket, half));
    }

    pub(super) fn get(&self, half: u128) -> Option<V> {
        // Most of what is asked for was added lately, and expires late.
        self.buckets.values().rev().find_map(|bucket| bucket.get(&half)).copied()
    }

    /// Forgets what has expired more than a bucket ago.
    pub(super) fn prune(&mut self, now: UnixMillis) {
        let keep_from = now.0 >> BUCKET_BITS;
        while let Some(oldest) = self.buckets.first_entry().filter(|e| *e.key() < keep_from) {
            oldest.remove();
        }
    }

    /// What was added stays.
    pub(super) fn commit(&mut self) {
        self.added.clear();
    }

    /// What was added since the last commit goes.
    pub(super) fn roll_back(&mut self) {
        for (bucket, half) in self.added.drain(..) {
            if let Some(bucket) = self.buckets.get_mut(&bucket) {
                bucket.remove(&half);
            }
        }
    }
}

/// The first half of a hash.
pub(super) fn half(hash: &Sha256Hash) -> u128 {
    hash.0.first_chunk().map_or(0, |first| u128::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_until_it_has_expired_and_a_rolled_back_one_does_not() {
        let mut map = Buckets::new();
        map.add(1, 'a', UnixMillis(100_000));
        map.commit();
        map.add(2, 'b', UnixMillis(100_000));
        map.roll_back();
        assert_eq!((map.get(1), map.get(2)), (Some('a'), None));
        map.prune(UnixMillis(99_999));
        assert_eq!(map.get(1), Some('a'));
        map.prune(UnixMillis(200_000));
        assert_eq!(map.get(1), None);
    }
}
