//! When an approver was first shown an action. What it says is for the record only: how long
//! somebody looked before saying yes. It is not kept across a restart.

use std::collections::HashMap;

use bailiwick_core::{ApprovalId, SubjectId, UnixMillis};
use parking_lot::Mutex;

/// Showings that are remembered.
const SHOWINGS_MAX: usize = 10_000;
/// How long one is: longer than any question waits.
const REMEMBERED_MS: u64 = 24 * 3_600_000;

/// First showings, by question and person.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<HashMap<(ApprovalId, SubjectId), UnixMillis>>);

impl Shown {
    /// Notes that the question was shown; only the first time counts.
    pub(crate) fn note(&self, id: ApprovalId, to: &SubjectId, now: UnixMillis) {
        let mut shown = self.0.lock();
        if shown.len() >= SHOWINGS_MAX {
            shown.retain(|_, at| now.0.saturating_sub(at.0) < REMEMBERED_MS);
        }
        // When nothing is old enough to go, the newest is what is not known.
        if shown.len() < SHOWINGS_MAX {
            shown.entry((id, to.clone())).or_insert(now);
        }
    }

    /// How long ago it was first shown; none when that is not known.
    pub(crate) fn dwell_ms(&self, id: ApprovalId, to: &SubjectId, now: UnixMillis) -> Option<u64> {
        let at = *self.0.lock().get(&(id, to.clone()))?;
        Some(now.0.saturating_sub(at.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_showing_counts_and_memory_is_bounded() {
        let shown = Shown::default();
        let id = |n: u64| ApprovalId::new(UnixMillis(n), [0; 10]);
        let bob: SubjectId = "user:bob".parse().unwrap();
        assert_eq!(shown.dwell_ms(id(1), &bob, UnixMillis(5)), None);
        shown.note(id(1), &bob, UnixMillis(5));
        shown.note(id(1), &bob, UnixMillis(50));
        assert_eq!(shown.dwell_ms(id(1), &bob, UnixMillis(105)), Some(100));
        assert_eq!(shown.dwell_ms(id(2), &bob, UnixMillis(105)), None);
        for n in 10..20_000 {
            shown.note(id(n), &bob, UnixMillis(200));
        }
        assert_eq!(shown.0.lock().len(), SHOWINGS_MAX);
        shown.note(id(3), &bob, UnixMillis(200 + REMEMBERED_MS));
        assert_eq!(shown.0.lock().len(), 1);
    }
}
