//! Hot rows in memory, kept coherent by the writer.
//!
//! A reader that misses reads the database and then fills the cache, but only if the writer has
//! not changed that part of the cache since before the read began: an old row can never be put
//! over a newer one, and after an acknowledged change nobody is given the row from before it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use bailiwick_core::{AgentId, TaskId, TokenId, WorkflowId};
use parking_lot::Mutex;

use super::generations::Generations;
use crate::model::{AgentRecord, TaskRecord, TokenRecord, WorkflowRecord};

const STRIPES: usize = 16;
/// Registry entries are few; this many of each kind are kept.
const REGISTRY_ENTRIES: usize = 16_384;

/// The cache of one kind of row.
#[derive(Debug)]
pub(super) struct Rows<K, V> {
    hasher: RandomState,
    stripes: Vec<Mutex<Stripe<K, V>>>,
}

#[derive(Debug)]
struct Stripe<K, V> {
    changes: u64,
    rows: Generations<K, V>,
}

/// What a reader saw of the cache before it read the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl<K: Hash + Eq + Clone, V: Clone> Rows<K, V> {
    /// A cache of at most about `weight_max`.
    fn new(weight_max: usize) -> Self {
        // Two generations a stripe.
        let each = weight_max.div_ceil(STRIPES * 2);
        let stripe = || Mutex::new(Stripe { changes: 0, rows: Generations::new(each) });
        Self { hasher: RandomState::new(), stripes: (0..STRIPES).map(|_| stripe()).collect() }
    }

    fn stripe(&self, key: &K) -> Option<&Mutex<Stripe<K, V>>> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0);
        self.stripes.get(hash % STRIPES)
    }

    /// The row, or what to remember while reading it.
    pub(super) fn get(&self, key: &K) -> Result<V, Seen> {
        let Some(stripe) = self.stripe(key) else {
            return Err(Seen(0));
        };
        let mut stripe = stripe.lock();
        let changes = stripe.changes;
        stripe.rows.get_mut(key).cloned().ok_or(Seen(changes))
    }

    /// A reader fills in what it has read, unless the writer was there in the meantime.
    pub(super) fn fill(&self, key: K, value: V, weight: usize, seen: Seen) {
        let Some(stripe) = self.stripe(&key) else {
            return;
        };
        let mut stripe = stripe.lock();
        if stripe.changes == seen.0 {
            stripe.rows.insert(key, value, weight);
        }
    }

    /// The writer adds a row that did not exist before, so that no reader can hold an older one.
    pub(super) fn add(&self, key: K, value: V, weight: usize) {
        if let Some(stripe) = self.stripe(&key) {
            stripe.lock().rows.insert(key, value, weight);
        }
    }

    /// The writer has changed the value and gives the new one.
    pub(super) fn replace(&self, key: K, value: V, weight: usize) {
        if let Some(stripe) = self.stripe(&key) {
            let mut stripe = stripe.lock();
            stripe.changes = stripe.changes.wrapping_add(1);
            stripe.rows.insert(key, value, weight);
        }
    }

    /// The writer has changed the row.
    pub(super) fn forget(&self, key: &K) {
        if let Some(stripe) = self.stripe(key) {
            let mut stripe = stripe.lock();
            stripe.changes = stripe.changes.wrapping_add(1);
            stripe.rows.remove(key);
        }
    }
}

/// Every kind of hot row.
#[derive(Debug)]
pub(super) struct HotRows {
    pub(super) tasks: Rows<TaskId, Arc<TaskRecord>>,
    pub(super) tokens: Rows<TokenId, Arc<TokenRecord>>,
    /// Hops settled so far, by hop.
    pub(super) fanout: Rows<TokenId, u32>,
    pub(super) agents: Rows<AgentId, Arc<AgentRecord>>,
    pub(super) workflows: Rows<WorkflowId, Arc<WorkflowRecord>>,
}

impl HotRows {
    pub(super) fn new(task_bytes_max: usize, token_bytes_max: usize) -> Self {
        Self {
            tasks: Rows::new(task_bytes_max),
            tokens: Rows::new(token_bytes_max),
            fanout: Rows::new(token_bytes_max / TOKEN_BYTES_USUAL),
            agents: Rows::new(REGISTRY_ENTRIES),
            workflows: Rows::new(REGISTRY_ENTRIES),
        }
    }
}

/// What a token usually takes in memory.
const TOKEN_BYTES_USUAL: usize = 2_048;
/// What a task takes in memory besides its JSON documents, generously.
const TASK_BYTES_BASE: usize = 2_048;

/// About what a token takes in memory.
pub(super) fn token_weight(token: &TokenRecord) -> usize {
    512 + token.signing_input.len() + token.audience.len() + 16 * token.lineage.len()
}

/// About what a task takes in memory.
pub(super) fn task_weight(task: &TaskRecord) -> usize {
    let lists = task.subject_groups.iter().chain(&task.audiences).map(String::len).sum::<usize>();
    TASK_BYTES_BASE
        + lists
        + task.purpose.len()
        + json_weight(&task.parameters)
        + json_weight(&task.ceiling)
        + json_weight(&task.subject_attributes)
}

fn json_weight(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => 32 + items.iter().map(json_weight).sum::<usize>(),
        Value::Object(map) => {
            64 + map.iter().map(|(key, value)| 32 + key.len() + json_weight(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_read_does_not_fill() {
        let rows: Rows<u32, u32> = Rows::new(1_000);
        let Err(seen) = rows.get(&1) else { panic!("empty") };
        rows.forget(&1);
        rows.fill(1, 10, 1, seen);
        assert!(rows.get(&1).is_err(), "the writer changed it while it was being read");
        let Err(seen) = rows.get(&1) else { panic!("still empty") };
        rows.fill(1, 11, 1, seen);
        assert_eq!(rows.get(&1).ok(), Some(11));
        rows.forget(&1);
        assert!(rows.get(&1).is_err());
    }
}
