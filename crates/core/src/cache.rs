//! Verified tokens by the hash of their text, so that a repeated token costs no signature.
//!
//! An entry ends with its token, and with its revocation. The cache does not replace the revocation
//! check: a token verified before a revocation may be inserted after it, so enforcement still looks
//! every `jti` of [`VerifiedChain::lineage`] up on every use.

use std::sync::Arc;

use moka::sync::Cache;

use crate::chain::verify::VerifiedChain;
use crate::hash::Sha256Hash;
use crate::ids::{TaskId, TokenId};
use crate::time::UnixMillis;

/// Verified chains by [`crate::UnverifiedToken::token_hash`] of their leaf. Safe to share.
///
/// One cache serves one verifier: entries were verified for its keys, audience and options.
#[derive(Clone, Debug)]
pub struct VerifiedCache(Cache<Sha256Hash, Arc<VerifiedChain>>);

impl VerifiedCache {
    /// An empty cache of at most `entries_max` chains.
    #[must_use]
    pub fn new(entries_max: u64) -> Self {
        Self(Cache::new(entries_max))
    }

    /// The chain verified for this text, if it is still valid.
    #[must_use]
    pub fn get(&self, token_hash: &Sha256Hash, now: UnixMillis) -> Option<Arc<VerifiedChain>> {
        let chain = self.0.get(token_hash)?;
        if now >= chain.expires() {
            self.0.invalidate(token_hash);
            return None;
        }
        Some(chain)
    }

    /// Keeps a chain; one without a token hash is only wrapped.
    pub fn insert(&self, chain: VerifiedChain) -> Arc<VerifiedChain> {
        let chain = Arc::new(chain);
        if let Some(token_hash) = chain.token_hash() {
            self.0.insert(token_hash, Arc::clone(&chain));
        }
        chain
    }

    /// Drops the token and every descendant; says how many entries went.
    pub fn revoke(&self, jti: &TokenId) -> usize {
        self.drop_if(|chain| chain.descends_from(jti))
    }

    /// Drops every token of the task; says how many entries went.
    pub fn revoke_task(&self, task: &TaskId) -> usize {
        self.drop_if(|chain| chain.claims().txn == *task)
    }

    /// Drops everything, as after a change of the pinned keys.
    pub fn clear(&self) {
        self.0.invalidate_all();
    }

    fn drop_if(&self, dead: impl Fn(&VerifiedChain) -> bool) -> usize {
        // Revocation is rare and the cache bounded: a scan costs less than an index on every insert.
        let hashes: Vec<Sha256Hash> =
            self.0.iter().filter(|(_, chain)| dead(chain)).map(|(hash, _)| *hash).collect();
        hashes.iter().for_each(|hash| self.0.invalidate(hash));
        hashes.len()
    }
}
