//! Points in time on the wire: RFC 3339, UTC, milliseconds.

use bailiwick_core::time::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use utoipa::ToSchema;

/// A point in time, written as RFC 3339 in UTC with milliseconds (`2026-11-24T05:56:24.123Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-24T05:56:24.123Z")]
pub struct Timestamp(UnixMillis);

impl Timestamp {
    /// The time as milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_millis(self) -> UnixMillis {
        self.0
    }

    /// A time from milliseconds since the Unix epoch.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(UnixMillis(millis))
    }

    /// A time from whole seconds since the Unix epoch, as JWT claims give them; negative is zero.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
    }
}

impl From<UnixMillis> for Timestamp {
    fn from(millis: UnixMillis) -> Self {
        Self(millis)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: jiff::Timestamp = text.parse().map_err(|_| BadTimestamp)?;
        let millis = u64::try_from(time.as_millisecond()).map_err(|_| BadTimestamp)?;
        Ok(Self(UnixMillis(millis)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is not an RFC 3339 time after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time such as 2026-11-24T05:56:24.123Z")]
pub struct BadTimestamp;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_what_is_not_a_time() {
        let time = Timestamp::from_millis(1_795_499_784_123);
        assert_eq!(time.to_string(), "2026-11-24T05:56:24.123Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(Timestamp::from_seconds(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!("yesterday".parse::<Timestamp>(), Err(BadTimestamp));
        assert_eq!("1960-01-01T00:00:00Z".parse::<Timestamp>(), Err(BadTimestamp));
    }
}
