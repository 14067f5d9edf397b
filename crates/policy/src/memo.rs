//! Answers to questions that were asked before.
//!
//! Most of what agents ask is asked again: the same agent, the same use, the same standing. Cedar
//! answers the same question among the same policies always alike, so its answer is kept, with
//! the policies, under everything that Cedar would have seen ([`Question`]). What differs from
//! call to call without a policy looking at it (ids, ages, arguments) is no part of a question.

use std::sync::Arc;

use moka::sync::Cache;

use crate::index::Bucket;
use crate::question::Question;
use crate::verdict::Answer;

/// Memory for one set's answers, in bytes of keys and an allowance for the rest.
const BYTES_MAX: u64 = 16 << 20;
/// What an entry takes besides its key.
const ENTRY_BYTES: usize = 512;
/// A longer question is not kept: it is a large one, and seldom asked twice.
const KEY_MAX: usize = 8 << 10;

/// The answers of one set of policies. Bounded; the least used go first.
#[derive(Debug)]
pub(crate) struct Memo(Cache<Vec<u8>, Arc<Answer>>);

impl Memo {
    pub(crate) fn new() -> Self {
        let cache = Cache::<Vec<u8>, _>::builder().max_capacity(BYTES_MAX);
        Self(cache.weigher(|key, _| weight(key)).build())
    }

    /// The answer to a question that is put to the policies of `slice`: the one kept, else what
    /// `ask` finds out. A question that cannot be asked is not kept.
    pub(crate) fn answer<E>(
        &self,
        question: &Question<'_>,
        slice: &[&Bucket],
        ask: impl FnOnce() -> Result<Answer, E>,
    ) -> Result<Arc<Answer>, E> {
        let mut bytes = question.bytes();
        slice.iter().for_each(|bucket| bytes.number(u64::from(bucket.number)));
        let key = bytes.0;
        if let Some(answer) = self.0.get(key.as_slice()) {
            return Ok(answer);
        }
        let answer = Arc::new(ask()?);
        if key.len() <= KEY_MAX {
            self.0.insert(key, Arc::clone(&answer));
        }
        Ok(answer)
    }
}

fn weight(key: &[u8]) -> u32 {
    u32::try_from(key.len().saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
