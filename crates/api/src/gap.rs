//! The gap: what credentials can do at their vendors, minus what decisions justified.

use crate::timestamp::Timestamp;
use bailiwick_core::permission::PermissionLine;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Days that a report looks back when nobody says.
pub const GAP_DAYS: u32 = 30;
/// The longest it may look back.
pub const GAP_DAYS_MAX: u32 = 180;

/// Query of `GET /v1/gap`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GapQuery {
    /// How many days (UTC, today included) are looked at; 30 by default, at most 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// One system only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// The gap of every system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GapReport {
    /// How many days were looked at.
    pub days: u32,
    /// Their beginning. `previous` members are of as many days before it.
    pub since: Timestamp,
    /// When the report was made.
    pub as_of: Timestamp,
    /// The systems, by name.
    pub systems: Vec<SystemGap>,
}

/// The gap of one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemGap {
    /// The system, as policies name it.
    pub system: String,
    /// The teams that answer for it, as its routes say; empty when no gateway declares it.
    pub owners: Vec<String>,
    /// Calls that were allowed.
    pub calls: CallCount,
    /// Calls of the days before.
    pub previous: CallCount,
    /// Day by day, the oldest first; days without a call are left out.
    pub trend: Vec<DayCount>,
    /// Where its calls went that nothing bound to a chain, or that no route declares.
    pub hops: Vec<UnboundHop>,
    /// What gateways hold for it.
    pub credentials: Vec<CredentialGap>,
}

/// Allowed calls, by whether the system could honour the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallCount {
    /// All.
    pub allowed: u64,
    /// Those through a hop that is bound to nothing: `opaque` or `carries`.
    pub unbound: u64,
}

/// Allowed calls of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayCount {
    /// Its beginning, UTC.
    pub day: Timestamp,
    /// Its calls.
    #[serde(flatten)]
    pub calls: CallCount,
}

/// A way to a system by which a chain's authority cannot be proven there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnboundHop {
    /// The gateway; absent for calls that another enforcement point asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Its route; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// `opaque`, `carries`, or another word when no gateway declares the route.
    pub binding: String,
    /// Whether a gateway declares the route now.
    pub declared: bool,
    /// Allowed calls.
    pub calls: u64,
    /// Those of the days before.
    pub previous: u64,
}

/// What one credential can do, beside what was justified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CredentialGap {
    /// The gateway that holds it.
    pub gateway: String,
    /// For which route.
    pub route: String,
    /// The team that answers for it.
    pub owner: String,
    /// `key`, `basic`, `oauth` or `aws`.
    pub kind: String,
    /// When the gateway declared it like this.
    pub declared: Timestamp,
    /// How many lines stand how.
    pub count: LineCount,
    /// The same for the days before, by what was declared then; absent when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<LineCount>,
    /// Every line, the widest gap first.
    #[schema(value_type = Vec<Object>)]
    pub lines: Vec<PermissionLine>,
    /// What calls needed and the credential cannot do as it is declared: the declaration is wrong.
    pub unmet: Vec<NeedCount>,
    /// Allowed calls whose operation declares no needs: they justify nothing.
    pub unmapped_calls: u64,
}

/// How many lines of a credential stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineCount {
    /// No operation needs it.
    pub unneeded: u64,
    /// An operation needs it, and no decision justified its use.
    pub unused: u64,
    /// Used for less than it gives.
    pub wider: u64,
    /// Used for what it gives.
    pub used: u64,
}

impl LineCount {
    /// Lines that give more than was justified.
    #[must_use]
    pub fn excess(self) -> u64 {
        self.unneeded.saturating_add(self.unused).saturating_add(self.wider)
    }

    /// All lines.
    #[must_use]
    pub fn total(self) -> u64 {
        self.excess().saturating_add(self.used)
    }
}

/// A need and how many calls had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NeedCount {
    /// The need.
    pub need: String,
    /// The calls.
    pub calls: u64,
}
