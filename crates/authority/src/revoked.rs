//! The tokens that were revoked and have not expired: one look-up an ancestor.

use std::collections::HashMap;

use bailiwick_core::ids::TokenId;
use bailiwick_core::time::UnixMillis;
use parking_lot::RwLock;

/// Revoked, unexpired tokens. Filled from the store at start, then by each revocation.
#[derive(Debug, Default)]
pub(crate) struct RevokedSet(RwLock<HashMap<TokenId, i64>>);

impl RevokedSet {
    /// Adds tokens with the second they expire at.
    pub(crate) fn extend(&self, tokens: impl IntoIterator<Item = (TokenId, i64)>) {
        self.0.write().extend(tokens);
    }

    /// Every one that has not expired, with the second it expires at.
    pub(crate) fn live(&self, now: UnixMillis) -> Vec<(TokenId, i64)> {
        let set = self.0.read();
        let live = set.iter().filter(|(_, exp)| **exp > now.seconds());
        live.map(|(jti, exp)| (*jti, *exp)).collect()
    }

    /// Whether any of the tokens is revoked.
    pub(crate) fn contains_any<'a>(&self, tokens: impl Iterator<Item = &'a TokenId>) -> bool {
        let set = self.0.read();
        if set.is_empty() {
            return false;
        }
        tokens.into_iter().any(|jti| set.contains_key(jti))
    }

    /// Forgets tokens that have expired anyway.
    pub(crate) fn prune(&self, now: UnixMillis) {
        self.0.write().retain(|_, exp| *exp > now.seconds());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_ancestor_is_found_and_forgotten_once_expired() {
        let jti = |n: u8| TokenId::new(UnixMillis(1_000), [n; 10]);
        let set = RevokedSet::default();
        assert!(!set.contains_any([jti(1)].iter()), "nothing is revoked yet");
        set.extend([(jti(1), 50)]);
        assert!(set.contains_any([jti(0), jti(1), jti(2)].iter()));
        assert!(!set.contains_any([jti(0), jti(2)].iter()));
        set.prune(UnixMillis(50_000));
        assert!(!set.contains_any([jti(1)].iter()));
    }
}
