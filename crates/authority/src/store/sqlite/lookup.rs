//! By which ids a leaf is found, and the rows that are on their way into the index of that.
//!
//! Ids of tasks and parents lie anywhere in the index: written one by one, nearly each row takes a page
//! of it to the log. So the keys of a leaf are written as one row beside it (`recent`) and kept in memory,
//! and moved into the index in the order of keys, a few with every commit: a page takes what belongs to
//! it at once. Once the whole of a pass is done, its mark says so; a row that is moved twice, after a
//! restart, is there once.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rusqlite::Connection;

use super::key::{Key, Role};
use super::row;

/// A row of the index.
type Place = (Key, i64);
type Rows = BTreeMap<Place, Role>;

/// Rows that are not in the index yet.
#[derive(Debug)]
pub(super) struct Waiting(RwLock<Rows>);

impl Waiting {
    /// Reads what an earlier run left: the keys of the leaves from `done` on.
    pub(super) fn load(conn: &Connection, done: i64) -> rusqlite::Result<Self> {
        let mut query = conn.prepare("SELECT leaf, keys FROM recent WHERE leaf >= ?1")?;
        let mut found = query.query([done])?;
        let mut rows = Rows::new();
        while let Some(row) = found.next()? {
            let leaf: i64 = row.get(0)?;
            let keys =
                Key::unpack(row.get_ref(1)?.as_blob()?).ok_or_else(|| row::out_of_range(1))?;
            rows.extend(keys.into_iter().map(|(key, role)| ((key, leaf), role)));
        }
        Ok(Self(RwLock::new(rows)))
    }
}

/// Which leaves are asked for: in order, behind `after`, at most `limit`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) key: Key,
    /// What they are to the id; none is anything.
    pub(super) role: Option<Role>,
    pub(super) after: i64,
    pub(super) limit: usize,
}

impl Wanted {
    /// Every leaf that is this to an id.
    pub(super) fn all(key: Key, role: Role) -> Self {
        Self { key, role: Some(role), after: -1, limit: i64::MAX as usize }
    }

    /// The first leaf that is this to an id.
    pub(super) fn first(key: Key, role: Role) -> Self {
        Self { limit: 1, ..Self::all(key, role) }
    }

    fn among<'r>(&self, rows: &'r Rows) -> impl Iterator<Item = i64> + use<'r> {
        let Self { key, role, after, limit } = *self;
        let range = (key, after.saturating_add(1))..=(key, i64::MAX);
        let found = rows.range(range).filter(move |(_, has)| role.is_none_or(|role| role == **has));
        found.map(|((_, leaf), _)| *leaf).take(limit)
    }
}

/// Finds leaves, on a connection.
#[derive(Clone, Copy)]
pub(super) struct Finder<'a> {
    pub(super) conn: &'a Connection,
    waiting: &'a Waiting,
    /// The writer sees what its transaction has written.
    fresh: Option<&'a Rows>,
}

impl<'a> Finder<'a> {
    /// For a reader.
    pub(super) fn new(conn: &'a Connection, waiting: &'a Waiting) -> Self {
        Self { conn, waiting, fresh: None }
    }

    /// The leaves of an id.
    pub(super) fn leaves(&self, wanted: Wanted) -> rusqlite::Result<Vec<i64>> {
        // INVARIANT: what waits is looked at first. A row that is moved meanwhile is found twice, not never.
        let mut leaves: Vec<i64> = wanted.among(&self.waiting.0.read()).collect();
        leaves.extend(self.fresh.into_iter().flat_map(|rows| wanted.among(rows)));
        let mut query = self.conn.prepare_cached(
            "SELECT leaf FROM lookup WHERE key = ?1 AND leaf > ?2 AND role = coalesce(?3, role)
             ORDER BY leaf LIMIT ?4",
        )?;
        let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
        let role = wanted.role.map(|role| role as i64);
        let indexed = query.query_map((wanted.key, wanted.after, role, limit), |row| row.get(0))?;
        for leaf in indexed {
            leaves.push(leaf?);
        }
        leaves.sort_unstable();
        leaves.dedup();
        leaves.truncate(wanted.limit);
        Ok(leaves)
    }
}

/// The writer's side: what its transaction adds to what waits, and takes from it.
pub(super) struct Lookups {
    waiting: Arc<Waiting>,
    /// Rows that may wait; from then on as many are moved as come.
    waiting_max: usize,
    fresh: Rows,
    pass: Pass,
    /// What the transaction makes of it.
    next: Option<Step>,
}

/// How far a pass over the keys has come.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// The row that was moved last.
    hand: Option<Place>,
    /// Every leaf below this waited when the pass began.
    began: i64,
    /// Every leaf below this is in the index.
    done: i64,
}

struct Step {
    pass: Pass,
    moved: Vec<Place>,
}

impl Lookups {
    /// Of a ledger of this size, the keys of whose leaves below `done` are in the index.
    pub(super) fn new(waiting: Arc<Waiting>, waiting_max: usize, size: u64, done: i64) -> Self {
        let pass = Pass { hand: None, began: row::signed(size), done };
        Self { waiting, waiting_max, fresh: Rows::new(), pass, next: None }
    }

    /// A finder that sees the transaction.
    pub(super) fn finder<'a>(&'a self, conn: &'a Connection) -> Finder<'a> {
        Finder { conn, waiting: &self.waiting, fresh: Some(&self.fresh) }
    }

    /// The keys of a leaf that was written.
    pub(super) fn add(&mut self, leaf: i64, keys: &[(Key, Role)]) {
        self.fresh.extend(keys.iter().map(|(key, role)| ((*key, leaf), *role)));
    }

    /// The rows that this transaction moves into the index, in order; `size` is the ledger's before it.
    pub(super) fn due(&mut self, size: u64) -> Vec<(Place, Role)> {
        let waiting = self.waiting.0.read();
        let surplus =
            waiting.len().saturating_add(self.fresh.len()).saturating_sub(self.waiting_max);
        // Twice what comes, so that what is too much becomes less.
        let count = surplus.min(self.fresh.len().saturating_mul(2));
        if count == 0 {
            return Vec::new();
        }
        let mut pass = self.pass;
        let behind = |hand: Option<Place>| {
            let from = hand.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
            waiting.range((from, std::ops::Bound::Unbounded)).map(|(place, role)| (*place, *role))
        };
        let due: Vec<(Place, Role)> = behind(pass.hand).take(count).collect();
        if due.len() < count {
            pass = Pass { hand: None, began: row::signed(size), done: pass.began };
        } else {
            pass.hand = due.last().map(|(place, _)| *place);
        }
        let moved = due.iter().map(|(place, _)| *place).collect();
        self.next = Some(Step { pass, moved });
        due
    }

    /// Every leaf below this is in the index, and its keys in `recent` are needed no more.
    pub(super) fn done(&self) -> i64 {
        self.pass.done
    }

    /// The same once the transaction is committed, if that ends a pass.
    pub(super) fn newly_done(&self) -> Option<i64> {
        self.next.as_ref().map(|step| step.pass.done).filter(|done| *done > self.pass.done)
    }

    /// After the commit.
    pub(super) fn commit(&mut self) {
        let mut waiting = self.waiting.0.write();
        waiting.extend(std::mem::take(&mut self.fresh));
        if let Some(Step { pass, moved }) = self.next.take() {
            self.pass = pass;
            for place in moved {
                waiting.remove(&place);
            }
        }
    }

    /// After a transaction that was rolled back.
    pub(super) fn roll_back(&mut self) {
        self.fresh.clear();
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key::of_text(&format!("{n}"))
    }

    fn lookups(waiting_max: usize) -> Lookups {
        Lookups::new(Arc::new(Waiting(RwLock::default())), waiting_max, 0, 0)
    }

    #[test]
    fn rows_are_moved_in_the_order_of_keys_and_each_pass_ends() {
        let mut lookups = lookups(10);
        let mut moved: Vec<(Place, Role)> = Vec::new();
        let mut ends = 0;
        for leaf in 0..200_i64 {
            let keys = [(key((leaf % 7) as u8), Role::Named), (key(100), Role::Issued)];
            lookups.add(leaf, &keys);
            let due = lookups.due(leaf as u64);
            assert!(due.is_sorted_by_key(|(place, _)| *place), "in order");
            moved.extend(due);
            let (before, newly) = (lookups.done(), lookups.newly_done());
            lookups.commit();
            assert_eq!(newly.unwrap_or(before), lookups.done());
            if newly.is_some() {
                ends += 1;
                let waits: Vec<i64> =
                    lookups.waiting.0.read().keys().map(|(_, leaf)| *leaf).collect();
                assert!(waits.iter().all(|leaf| *leaf >= lookups.done()), "{waits:?}");
            }
            assert!(lookups.waiting.0.read().len() <= 12);
        }
        assert!(ends > 5, "{ends} passes");
        let distinct: std::collections::BTreeSet<Place> = moved.iter().map(|row| row.0).collect();
        assert_eq!(distinct.len(), moved.len(), "each once");
        assert_eq!(moved.len() + lookups.waiting.0.read().len(), 400);
    }

    #[test]
    fn what_was_rolled_back_neither_waits_nor_is_moved() {
        let mut lookups = lookups(0);
        lookups.add(0, &[(key(1), Role::Named)]);
        lookups.commit();
        lookups.add(1, &[(key(2), Role::Named)]);
        assert_eq!(lookups.due(1).len(), 1);
        lookups.roll_back();
        assert_eq!(lookups.waiting.0.read().len(), 1);
        lookups.add(1, &[(key(3), Role::Named)]);
        assert_eq!(lookups.due(1), vec![((key(1), 0), Role::Named)], "again");
    }
}
