//! What gateways report and borrow: epochs of their spools, leases of budgets, draws on leases.

use bailiwick_core::{AgentId, DebitKind, EpochId, LeaseId, Micros, TaskId, TokenId, UnixMillis};
use bailiwick_ledger::Receipt;

/// One opening of a gateway's spool, as far as it has been reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// The gateway.
    pub gateway: AgentId,
    /// The epoch.
    pub epoch: EpochId,
    /// How many of its records are in the ledger.
    pub next: u64,
    /// When it was last heard of.
    pub heard_ms: UnixMillis,
}

/// A part of a budget that one gateway may draw on by itself. It is debited in full; what was not
/// drawn is given back when the gateway returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Its id.
    pub id: LeaseId,
    /// Who holds it.
    pub gateway: AgentId,
    /// The epoch of the gateway's spool in which draws on it are recorded.
    pub epoch: EpochId,
    /// The task.
    pub task: TaskId,
    /// The first token of the hop whose constraint it is.
    pub node: TokenId,
    /// Which total.
    pub kind: DebitKind,
    /// The constraint's key.
    pub key: String,
    /// What was debited for it.
    pub amount: Micros,
    /// What has been drawn on it, as far as it has been reported.
    pub spent: Micros,
    /// Until when it may be drawn on.
    pub expires_ms: UnixMillis,
}

/// A lease that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLease {
    /// The lease, nothing spent.
    pub lease: LeaseRecord,
    /// What the budget may hold in all.
    pub limit: Micros,
    /// The hop has no token here: only gateways have settled it.
    pub unsettled: bool,
}

/// One reported draw on one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseDraw {
    /// The lease.
    pub lease: LeaseId,
    /// The task whose budget it is.
    pub task: TaskId,
    /// The first token of the hop whose constraint it is.
    pub node: TokenId,
    /// Which total.
    pub kind: DebitKind,
    /// The constraint's key.
    pub key: String,
    /// How much.
    pub amount: Micros,
}

/// Consecutive records of one epoch. The receipt of the effect is the first of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolReport {
    /// Who reports.
    pub gateway: AgentId,
    /// The epoch.
    pub epoch: EpochId,
    /// How many of its records the store must have before; a report that others got ahead of is
    /// refused with `VersionConflict`.
    pub expected: u64,
    /// How many it has afterwards.
    pub next: u64,
    /// The receipts after the first, each a leaf.
    pub more: Vec<Receipt>,
    /// What the records drew on leases.
    pub draws: Vec<LeaseDraw>,
}
