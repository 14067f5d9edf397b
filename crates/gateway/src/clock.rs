//! The one file of this crate that reads the clock.
//!
//! Time as the gateway sees it never moves backwards: a system clock that jumps back holds the
//! gateway at the highest instant it has seen, so nothing that was dead becomes alive again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bailiwick_core::limits::CLOCK_SKEW_SECONDS_MAX;
use bailiwick_core::time::UnixMillis;

/// Where raw time comes from.
#[derive(Clone, Debug)]
enum Source {
    System,
    #[cfg(test)]
    Manual(Arc<AtomicU64>),
}

/// A clock that never runs backwards. Cheap to clone; clones share the mark.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    source: Source,
    mark: Arc<AtomicU64>,
}

impl Clock {
    /// The machine's clock, not below `mark` (the highest instant an earlier run has recorded).
    pub(crate) fn system(mark: UnixMillis) -> Self {
        Self { source: Source::System, mark: Arc::new(AtomicU64::new(mark.0)) }
    }

    /// A clock that a test moves by hand: milliseconds since the Unix epoch.
    #[cfg(test)]
    pub(crate) fn manual(millis: Arc<AtomicU64>) -> Self {
        Self { source: Source::Manual(millis), mark: Arc::new(AtomicU64::new(0)) }
    }

    /// Now, never earlier than any instant this clock has given before.
    pub(crate) fn now(&self) -> UnixMillis {
        let raw = self.raw();
        let before = self.mark.fetch_max(raw, Ordering::AcqRel);
        UnixMillis(before.max(raw))
    }

    /// How far the system clock is behind the mark, in milliseconds; 0 when it is not.
    pub(crate) fn lag_ms(&self) -> u64 {
        self.mark.load(Ordering::Acquire).saturating_sub(self.raw())
    }

    /// Whether the system clock can be trusted to issue and decide by.
    pub(crate) fn is_sound(&self) -> bool {
        self.lag_ms() <= CLOCK_SKEW_SECONDS_MAX.saturating_mul(1000)
    }

    fn raw(&self) -> u64 {
        match &self.source {
            Source::System => {
                #[allow(
                    clippy::disallowed_methods,
                    reason = "this is the file that reads the clock"
                )]
                let now = SystemTime::now();
                let elapsed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
            }
            #[cfg(test)]
            Source::Manual(millis) => millis.load(Ordering::Acquire),
        }
    }
}

/// Measures how long something took. Decides nothing but when to try again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub(crate) fn start() -> Self {
        #[allow(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
        let now = Instant::now();
        Self(now)
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_back_stands_still() {
        let hand = Arc::new(AtomicU64::new(1_000_000));
        let clock = Clock::manual(hand.clone());
        assert_eq!(clock.now(), UnixMillis(1_000_000));
        hand.store(900_000, Ordering::Release);
        assert_eq!(clock.now(), UnixMillis(1_000_000));
        assert_eq!(clock.lag_ms(), 100_000);
        assert!(!clock.is_sound());
        hand.store(1_000_001, Ordering::Release);
        assert_eq!(clock.now(), UnixMillis(1_000_001));
        assert!(clock.is_sound());
    }
}
