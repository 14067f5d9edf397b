//! Leases: a part of a budget that one gateway may draw on by itself.

use bailiwick_core::constraint::{DebitKind, Micros};
use bailiwick_core::ids::{EpochId, LeaseId, TokenId};
use bailiwick_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Budgets that one request may ask for.
pub const LEASE_NEEDS_MAX: usize = 64;
/// Leases that one request may return.
pub const LEASE_RETURNS_MAX: usize = 1_024;

/// The body of `POST /v1/enforcement/leases`: what a call by this token needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The epoch of the spool in which the draws will be recorded.
    #[schema(value_type = String)]
    pub epoch: EpochId,
    /// The token of the call; of a chain with unsettled hops, the last settled one.
    #[schema(value_type = String)]
    pub jti: TokenId,
    /// What is needed.
    pub needs: Vec<LeaseNeed>,
}

/// Units of one budget, or of one and those of the same key above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseNeed {
    /// The constraint's key.
    pub key: String,
    /// Which total.
    #[schema(value_type = String)]
    pub kind: DebitKind,
    /// The least that helps, in millionths.
    #[schema(value_type = i64)]
    pub need_micros: Micros,
    /// What would save asking again soon, in millionths.
    #[schema(value_type = i64)]
    pub want_micros: Micros,
    /// Only the budget of this hop, as an earlier answer named it; absent: the token's own, and the
    /// subtree budgets of its ancestors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<TokenId>,
    /// Set for a budget of a hop that nobody has settled but this gateway: what it may hold in all, in
    /// millionths. `node` names the hop then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub unsettled_limit_micros: Option<Micros>,
}

/// The answer to [`LeaseRequest`]: one lease for each budget, or a refusal of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseReply {
    /// The leases.
    pub leases: Vec<Lease>,
}

/// Units that one gateway may draw on by itself; nobody else can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LeaseId,
    /// The first token of the hop whose constraint it is.
    #[schema(value_type = String)]
    pub node: TokenId,
    /// The constraint's key.
    pub key: String,
    /// Which total.
    #[schema(value_type = String)]
    pub kind: DebitKind,
    /// How much, in millionths.
    #[schema(value_type = i64)]
    pub amount_micros: Micros,
    /// For how long it may be drawn on, in milliseconds from the answer. What is not drawn then has to
    /// be returned: the Authority takes nothing back by itself, since draws may be on their way.
    pub lasts_ms: u64,
    /// When that is by the Authority's clock.
    #[schema(value_type = u64)]
    pub expires: UnixMillis,
}

/// The body of `POST /v1/enforcement/leases/return`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseReturnRequest {
    /// The epoch in which the draws on them were recorded.
    #[schema(value_type = String)]
    pub epoch: EpochId,
    /// Every draw on them is among the first so many records of the epoch. The Authority must have
    /// them: what was not drawn is known from them, and not from what this request says.
    pub through: u64,
    /// The leases; none of them is drawn on any more.
    #[schema(value_type = Vec<String>)]
    pub leases: Vec<LeaseId>,
}

/// What went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseReturnReply {
    /// Those of the leases that were open until now.
    #[schema(value_type = Vec<String>)]
    pub returned: Vec<LeaseId>,
    /// The leaf that says so; absent when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_index: Option<u64>,
}
