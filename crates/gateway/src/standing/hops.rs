//! Hops of one task that this gateway has settled: how often each hop has handed on.
//!
//! Each gateway counts for itself, so that a task's offline hops are bounded at every gateway.

use std::collections::{HashMap, HashSet};

use bailiwick_core::ids::TokenId;
use bailiwick_core::outcome::Outcome;
use parking_lot::Mutex;

use crate::stop::Stop;

/// Offline hops of one task that one gateway settles.
const HOPS_MAX: usize = 4_096;

/// Children by their parent.
#[derive(Debug, Default)]
pub(super) struct Hops(Mutex<HashMap<TokenId, HashSet<TokenId>>>);

impl Hops {
    /// How often `parent` has handed on to others than `child`.
    pub(super) fn require_room(
        &self,
        parent: TokenId,
        child: TokenId,
        fanout_max: u32,
    ) -> Result<u32, Stop> {
        let hops = self.0.lock();
        let children = hops.get(&parent);
        let known = children.is_some_and(|children| children.contains(&child));
        let others = children.map_or(0, HashSet::len).saturating_sub(usize::from(known));
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        let all: usize = hops.values().map(HashSet::len).sum();
        if !known && (others >= fanout_max || all >= HOPS_MAX) {
            let detail = "the delegator has handed on as often as it may";
            return Err(Stop::new(Outcome::FanoutExceeded, detail));
        }
        Ok(others)
    }

    /// The hop was settled.
    pub(super) fn add(&self, parent: TokenId, child: TokenId) {
        self.0.lock().entry(parent).or_default().insert(child);
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::time::UnixMillis;

    use super::*;

    #[test]
    fn a_hop_hands_on_as_often_as_it_may_and_the_same_hop_counts_once() {
        let jti = |n: u16| {
            let mut random = [0; 10];
            random[..2].copy_from_slice(&n.to_be_bytes());
            TokenId::new(UnixMillis(1), random)
        };
        let hops = Hops::default();
        let ask = |parent, child| {
            hops.require_room(jti(parent), jti(child), 2).map_err(|stop| stop.code.code())
        };
        for child in [1, 2] {
            assert_eq!(ask(0, child), Ok(u32::from(child) - 1));
            hops.add(jti(0), jti(child));
            hops.add(jti(0), jti(child));
        }
        assert_eq!(ask(0, 3), Err("fanout_exceeded"));
        assert_eq!(ask(0, 2), Ok(1), "it was settled before");
        assert_eq!(ask(9, 3), Ok(0), "another delegator");
        for child in 0..u16::try_from(HOPS_MAX).unwrap() {
            hops.add(jti(10 + child % 5_000), jti(child));
        }
        assert_eq!(ask(60_000, 1), Err("fanout_exceeded"), "the task as a whole");
    }
}
