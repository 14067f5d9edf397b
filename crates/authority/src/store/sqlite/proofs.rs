//! Proofs of possession that must not be accepted again, in memory.
//!
//! Kept in buckets by expiry, so that forgetting the expired is dropping a bucket. Half of the
//! hash is enough to tell proofs apart: a collision costs 2^64 work and makes only its own
//! author's proof be refused.

use std::collections::{BTreeMap, HashSet};

use bailiwick_core::UnixMillis;
use rusqlite::Connection;

use super::row;
use crate::model::{ProofRow, Refused};

/// log2 of the milliseconds in one bucket: about a minute.
const BUCKET_BITS: u32 = 16;

/// The unexpired proofs.
pub(super) struct Proofs {
    buckets: BTreeMap<u64, HashSet<u128>>,
    added: Vec<(u64, u128)>,
}

impl Proofs {
    pub(super) fn load(conn: &Connection, now: UnixMillis) -> rusqlite::Result<Self> {
        let mut proofs = Self { buckets: BTreeMap::new(), added: Vec::new() };
        let mut query = conn.prepare("SELECT expires_ms, hash FROM proof WHERE expires_ms > ?1")?;
        let mut rows = query.query([row::signed(now.0)])?;
        while let Some(found) = rows.next()? {
            let hash: [u8; 32] = found.get(1)?;
            let bucket = row::unsigned(found.get(0)?) >> BUCKET_BITS;
            proofs.buckets.entry(bucket).or_default().insert(half(&hash));
        }
        Ok(proofs)
    }

    /// Whether this proof is new.
    pub(super) fn check(&self, proof: &ProofRow) -> Result<(), Refused> {
        let half = half(&proof.jti_hash.0);
        if self.buckets.values().any(|bucket| bucket.contains(&half)) {
            Err(Refused::ProofReplayed)
        } else {
            Ok(())
        }
    }

    /// Remembers a proof that has just been written.
    pub(super) fn add(&mut self, proof: &ProofRow) {
        let entry = (proof.expires_ms.0 >> BUCKET_BITS, half(&proof.jti_hash.0));
        self.buckets.entry(entry.0).or_default().insert(entry.1);
        self.added.push(entry);
    }

    /// Forgets what has expired.
    pub(super) fn prune(&mut self, now: UnixMillis) {
        let keep_from = now.0 >> BUCKET_BITS;
        while let Some(oldest) = self.buckets.first_entry().filter(|e| *e.key() < keep_from) {
            oldest.remove();
        }
    }

    pub(super) fn commit(&mut self) {
        self.added.clear();
    }

    pub(super) fn roll_back(&mut self) {
        for (bucket, half) in self.added.drain(..) {
            if let Some(bucket) = self.buckets.get_mut(&bucket) {
                bucket.remove(&half);
            }
        }
    }
}

fn half(hash: &[u8; 32]) -> u128 {
    hash.first_chunk::<16>().map_or(0, |first| u128::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use bailiwick_core::Sha256Hash;

    use super::*;

    fn proof(byte: u8, expires_ms: u64) -> ProofRow {
        ProofRow { jti_hash: Sha256Hash([byte; 32]), expires_ms: UnixMillis(expires_ms) }
    }

    #[test]
    fn a_proof_is_refused_until_it_has_expired_and_a_rolled_back_one_is_not() {
        let mut proofs = Proofs { buckets: BTreeMap::new(), added: Vec::new() };
        proofs.add(&proof(1, 100_000));
        proofs.commit();
        proofs.add(&proof(2, 100_000));
        proofs.roll_back();
        assert_eq!(proofs.check(&proof(1, 100_000)), Err(Refused::ProofReplayed));
        assert_eq!(proofs.check(&proof(1, 900_000)), Err(Refused::ProofReplayed));
        assert_eq!(proofs.check(&proof(2, 100_000)), Ok(()));
        proofs.prune(UnixMillis(99_999));
        assert_eq!(proofs.check(&proof(1, 100_000)), Err(Refused::ProofReplayed));
        proofs.prune(UnixMillis(200_000));
        assert_eq!(proofs.check(&proof(1, 100_000)), Ok(()));
    }
}
