//! Time as an argument: milliseconds since the Unix epoch.

use std::fmt;

/// A moment in milliseconds since 1970-01-01T00:00:00Z; always passed in, never read here.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The whole seconds, rounded down, as a JWT `NumericDate`.
    #[must_use]
    pub fn seconds(self) -> i64 {
        i64::try_from(self.0 / 1000).unwrap_or(i64::MAX)
    }

    /// The first millisecond of a `NumericDate`; a negative date is the epoch.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    }

    /// This moment and `seconds` more, stopping at the end of the range.
    #[must_use]
    pub fn saturating_add_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// This moment less `seconds`, stopping at the epoch.
    #[must_use]
    pub fn saturating_sub_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_and_arithmetic_saturates() {
        assert_eq!(UnixMillis(1999).seconds(), 1);
        assert_eq!(UnixMillis::from_seconds(2), UnixMillis(2000));
        assert_eq!(UnixMillis::from_seconds(-1), UnixMillis(0));
        assert_eq!(UnixMillis(u64::MAX).saturating_add_seconds(1), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(500).saturating_sub_seconds(1), UnixMillis(0));
        assert_eq!(UnixMillis(5).millis_since(UnixMillis(9)), 0);
    }
}
