//! Remembering proofs until they are too old to be used again.

use std::collections::HashMap;

use bailiwick_core::{Sha256Hash, UnixMillis};
use parking_lot::Mutex;

use crate::error::IdentityError;
use crate::limits::REPLAY_ENTRIES_MAX;

const SHARDS: usize = 16;
const SWEEP_FLOOR: usize = 1024;
/// A full shard is not swept more often than this, whatever comes in.
const SWEEP_MILLIS: u64 = 1000;

/// Why a proof cannot be taken as new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replayed {
    /// It was used before.
    #[error("the proof was used before")]
    Seen,
    /// It ended before a moment up to which proofs were already forgotten; a clock went back.
    #[error("the proof is older than what is remembered")]
    Forgotten,
    /// No room to remember it. Refused rather than taken unremembered.
    #[error("too many proofs at a time")]
    Full,
}

impl From<Replayed> for IdentityError {
    fn from(_: Replayed) -> Self {
        Self::ProofReplayed
    }
}

/// A bounded memory of used proofs. It forgets a proof only when that is too old to pass verification,
/// and refuses when it has no room. [`ReplayGuard::preload`] fills it from a durable store.
#[derive(Debug)]
pub struct ReplayGuard {
    shards: Vec<Mutex<Shard>>,
    shard_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    used: HashMap<Sha256Hash, UnixMillis>,
    /// Everything that expires at or before this was forgotten.
    horizon: UnixMillis,
    sweep_at: usize,
}

impl Default for ReplayGuard {
    fn default() -> Self {
        Self::new(REPLAY_ENTRIES_MAX)
    }
}

impl ReplayGuard {
    /// A guard that remembers at most about `entries_max` proofs at a time.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, shard_max: entries_max.div_ceil(SHARDS).max(1) }
    }

    /// Take a proof as used now.
    ///
    /// # Errors
    /// [`Replayed`] when it was used before, or cannot be shown not to have been.
    pub fn check_and_insert(
        &self,
        jti_hash: Sha256Hash,
        expires: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), Replayed> {
        let Some(shard) = self.shard(&jti_hash) else { return Err(Replayed::Full) };
        let mut shard = shard.lock();
        if shard.used.contains_key(&jti_hash) {
            return Err(Replayed::Seen);
        }
        if expires <= shard.horizon {
            return Err(Replayed::Forgotten);
        }
        let grown = shard.used.len() >= shard.sweep_at.max(SWEEP_FLOOR).min(self.shard_max);
        if grown && now.millis_since(shard.horizon) >= SWEEP_MILLIS {
            shard.sweep(now);
        }
        if shard.used.len() >= self.shard_max {
            return Err(Replayed::Full);
        }
        shard.used.insert(jti_hash, expires);
        Ok(())
    }

    /// Remember proofs that a durable store says were used.
    pub fn preload(&self, used: impl IntoIterator<Item = (Sha256Hash, UnixMillis)>) {
        for (jti_hash, expires) in used {
            if let Some(shard) = self.shard(&jti_hash) {
                shard.lock().used.insert(jti_hash, expires);
            }
        }
    }

    /// How many proofs are remembered, some of which may be too old by now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().used.len()).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, jti_hash: &Sha256Hash) -> Option<&Mutex<Shard>> {
        let [first, ..] = jti_hash.0;
        self.shards.get(usize::from(first) % SHARDS)
    }
}

impl Shard {
    /// Forget what is too old. Costs the size of the shard, and happens when that has doubled.
    fn sweep(&mut self, now: UnixMillis) {
        self.horizon = self.horizon.max(now);
        let horizon = self.horizon;
        self.used.retain(|_, expires| *expires > horizon);
        self.sweep_at = self.used.len().saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::sha256;

    use super::*;

    fn hash(n: u64) -> Sha256Hash {
        sha256(&n.to_be_bytes())
    }

    #[test]
    fn a_proof_is_new_once() {
        let guard = ReplayGuard::default();
        let (now, expires) = (UnixMillis(0), UnixMillis(60_000));
        assert_eq!(guard.check_and_insert(hash(1), expires, now), Ok(()));
        assert_eq!(guard.check_and_insert(hash(2), expires, now), Ok(()));
        assert_eq!(guard.check_and_insert(hash(1), expires, now), Err(Replayed::Seen));
        assert_eq!(guard.len(), 2);
    }

    #[test]
    fn what_the_store_remembers_is_not_new_after_a_restart() {
        let guard = ReplayGuard::default();
        guard.preload([(hash(1), UnixMillis(60_000))]);
        assert_eq!(
            guard.check_and_insert(hash(1), UnixMillis(60_000), UnixMillis(0)),
            Err(Replayed::Seen)
        );
        assert_eq!(guard.check_and_insert(hash(2), UnixMillis(60_000), UnixMillis(0)), Ok(()));
    }

    #[test]
    fn a_full_guard_refuses_and_recovers_when_proofs_age() {
        let guard = ReplayGuard::new(160);
        let fill = |from: u64, now: u64| {
            let take =
                |n| guard.check_and_insert(hash(n), UnixMillis(now + 60_000), UnixMillis(now));
            (from..from + 4000).filter(|n| take(*n) == Ok(())).count()
        };
        assert_eq!(fill(0, 0), 160);
        assert_eq!(guard.len(), 160);
        assert_eq!(fill(10_000, 30_000), 0, "still remembered");
        assert_eq!(fill(20_000, 60_000), 160, "all of them aged out");
    }

    #[test]
    fn a_clock_that_jumps_back_revives_nothing() {
        let guard = ReplayGuard::new(16);
        let (now, later) = (UnixMillis(0), UnixMillis(100_000));
        for n in 0..200 {
            let _ = guard.check_and_insert(hash(n), UnixMillis(60_000), now);
        }
        for n in 200..400 {
            let _ = guard.check_and_insert(hash(n), UnixMillis(160_000), later);
        }
        let revived =
            (0..200).filter(|n| guard.check_and_insert(hash(*n), UnixMillis(60_000), now).is_ok());
        assert_eq!(revived.count(), 0);
    }

    #[test]
    fn memory_stays_flat_while_proofs_come_and_go() {
        let guard = ReplayGuard::default();
        for second in 0..600_u64 {
            for n in 0..100 {
                let (now, expires) = (UnixMillis(second * 1000), UnixMillis((second + 60) * 1000));
                assert_eq!(guard.check_and_insert(hash(second * 100 + n), expires, now), Ok(()));
            }
        }
        assert!(guard.len() < 40_000, "{}", guard.len());
    }
}
