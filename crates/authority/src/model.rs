//! What the Authority remembers: records, and the effects that change them.
//!
//! Plain data. The rules live in `ops`; the conditions that must hold at the instant of the
//! change are checked by the store, inside the transaction that makes it.

mod approval;
mod downstream;
mod effect;
mod receipt;
mod registry;
mod spool;
mod task;
mod token;

pub use approval::{
    ApprovalFilter, ApprovalRecord, ApprovalState, ApprovalUse, ApprovalUsed, ApprovalVote,
    VerdictBounds,
};
pub use downstream::{DownstreamsRecord, UseRow};
pub use effect::{Effect, NodeDebit, ProofRow, Refused, RevocationTarget};
pub use receipt::{ReceiptRow, RevocationPreview, RevocationRow, RevokedToken};
pub use registry::{
    AgentRecord, HolderKeyRecord, IssuerKeyRecord, OwnerRecord, PolicyRecord, PolicySourceText,
    RecordStatus, RegistryRecord, UnknownStatus, WorkflowRecord,
};
pub use spool::{EpochRecord, LeaseDraw, LeaseRecord, NewLease, SpoolReport};
pub use task::{TaskFilter, TaskRecord, TaskState, UnknownTaskState};
pub use token::{BudgetRow, TokenKind, TokenRecord};

/// Entries of one status list: status index `i` is bit `i % STATUS_LIST_ENTRIES` of list
/// `i / STATUS_LIST_ENTRIES` (16 KiB a list before compression).
pub const STATUS_LIST_ENTRIES: u64 = 131_072;
