//! Closure: is what was ended dead everywhere? One answer an enforcement point.

use crate::timestamp::Timestamp;
use bailiwick_core::ids::AgentId;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::{IntoParams, ToSchema};

/// How long a call that ends something waits for acknowledgements when it does not say.
pub const CLOSURE_WAIT_MS: u64 = 250;
/// The longest it may wait.
pub const CLOSURE_WAIT_MS_MAX: u64 = 5_000;

/// Query of whatever ends a task or revokes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ClosureQuery {
    /// How long to wait for the acknowledgement of every enforcement point, in milliseconds; 250 by
    /// default, at most 5000. What was ended is dead at the Authority at once, whatever is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Whether what was ended is dead at every enforcement point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClosureState {
    /// Every enforcement point has acknowledged it, or has been cut off for so long that it refuses
    /// by itself.
    Closed,
    /// An enforcement point that is connected has not acknowledged it yet.
    Partial,
    /// An enforcement point was lost a short time ago: whether it knows cannot be said.
    Unknown,
}

impl ClosureState {
    /// The state's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Partial => "partial",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ClosureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an end is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClosureReport {
    /// All of it in one word.
    pub state: ClosureState,
    /// When this was so.
    pub as_of: Timestamp,
    /// The number of the feed's event that carries the end; no point may be behind it.
    pub seq: u64,
    /// Every process of an enforcement point of the tenant and environment, by agent and process.
    pub points: Vec<ClosurePoint>,
    /// The leaf of the final report; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_index: Option<u64>,
}

/// One enforcement point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClosurePoint {
    /// Whose it is.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// Which of its processes.
    pub instance: String,
    /// What is known of it.
    pub state: PointState,
    /// The last event that it has acknowledged; 0 before the first.
    pub acknowledged: u64,
    /// Milliseconds from the end to its acknowledgement, while it is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// When it refuses by itself, should it never be heard again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
}

/// What is known of an enforcement point with regard to one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PointState {
    /// It has acknowledged the end.
    Acknowledged,
    /// It is cut off for longer than its staleness bound, and refuses everything.
    Stale,
    /// It is connected and has not acknowledged yet.
    Pending,
    /// It was cut off less than its staleness bound ago.
    Lost,
}

impl PointState {
    /// The state's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Stale => "stale",
            Self::Pending => "pending",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing that was ended can be used there any more.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Stale)
    }
}

impl fmt::Display for PointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
