//! Elapsed time from a series of `now` values, such that a clock that jumps back never makes anything
//! younger.

use bailiwick_core::UnixMillis;
use parking_lot::Mutex;

const JITTER_MILLIS: u64 = 1000;

/// A counter in milliseconds that only grows.
#[derive(Debug, Default)]
pub(crate) struct Elapsed(Mutex<Readings>);

#[derive(Debug, Default)]
struct Readings {
    last: Option<u64>,
    total: u64,
}

impl Elapsed {
    /// Elapsed milliseconds at `now`. Small disorder between threads is ignored; after a jump back
    /// counting goes on from the new reading.
    pub(crate) fn at(&self, now: UnixMillis) -> u64 {
        let mut readings = self.0.lock();
        let last = readings.last.unwrap_or(now.0);
        let jumped_back = last.saturating_sub(now.0) > JITTER_MILLIS;
        readings.total = readings.total.saturating_add(now.0.saturating_sub(last));
        readings.last = Some(if jumped_back { now.0 } else { last.max(now.0) });
        readings.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_back_makes_nothing_younger() {
        let elapsed = Elapsed::default();
        let readings = [(10_000, 0), (12_000, 2_000), (11_900, 2_000), (12_000, 2_000)];
        for (now, want) in readings {
            assert_eq!(elapsed.at(UnixMillis(now)), want);
        }
        assert_eq!(elapsed.at(UnixMillis(1_000)), 2_000, "a jump back");
        assert_eq!(elapsed.at(UnixMillis(1_500)), 2_500, "and time goes on from there");
    }
}
