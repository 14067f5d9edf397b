//! Whose the signed bytes are: every token that has not expired, by its signing hash.
//!
//! A grant names its parent by that hash, and only a parent that is alive matters, so the index is
//! in memory: on disk it would cost one scattered page a token.

use bailiwick_core::limits::TTL_SECONDS_MAX;
use bailiwick_core::{Sha256Hash, TokenId, UnixMillis};
use parking_lot::RwLock;
use rusqlite::Connection;

use super::buckets::{Buckets, half};
use super::row;

/// The index.
#[derive(Debug)]
pub(super) struct Signed(RwLock<Buckets<TokenId>>);

impl Signed {
    /// Reads back the tokens that had not expired.
    pub(super) fn load(conn: &Connection, now: UnixMillis) -> rusqlite::Result<Self> {
        let mut map = Buckets::new();
        let mut query = conn.prepare(
            "SELECT half, jti, exp FROM recent WHERE exp IS NOT NULL ORDER BY leaf DESC",
        )?;
        let mut rows = query.query(())?;
        while let Some(found) = rows.next()? {
            let exp = UnixMillis::from_seconds(found.get(2)?);
            // Issued in the order of time, so that all before this one have expired too.
            if exp.saturating_add_seconds(2 * TTL_SECONDS_MAX) < now {
                break;
            }
            if exp > now {
                let half = u128::from_be_bytes(found.get(0)?);
                map.add(half, row::token_id(found, 1)?, exp);
            }
        }
        map.commit();
        Ok(Self(RwLock::new(map)))
    }

    pub(super) fn get(&self, hash: &Sha256Hash) -> Option<TokenId> {
        self.0.read().get(half(hash))
    }

    /// The writer has committed tokens.
    pub(super) fn extend(&self, tokens: impl Iterator<Item = (Sha256Hash, TokenId, UnixMillis)>) {
        let mut map = self.0.write();
        for (hash, jti, exp) in tokens {
            map.add(half(&hash), jti, exp);
        }
        map.commit();
    }

    /// Forgets expired tokens.
    pub(super) fn prune(&self, now: UnixMillis) {
        self.0.write().prune(now);
    }
}
