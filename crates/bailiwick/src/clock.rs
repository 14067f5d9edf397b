//! The only file of the program that reads a clock.

use bailiwick_core::time::UnixMillis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, by the machine's clock.
#[allow(clippy::disallowed_methods, reason = "this is the program's clock")]
pub(crate) fn now() -> UnixMillis {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// A point for measuring how long something takes.
#[allow(clippy::disallowed_methods, reason = "this is the program's clock")]
pub(crate) fn stopwatch() -> Instant {
    Instant::now()
}
