//! Where state and ledger are kept: one trait, one transaction for an effect and its receipt.
//!
//! [`SqliteStore`] is the embedded backend. Another backend implements [`Store`] natively and has
//! to pass `conformance`. The Authority holds a [`StoreHandle`], which is the ledger's `Journal`.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, Range, RangeInclusive};
use std::pin::Pin;
use std::sync::Arc;

use bailiwick_core::{
    ActionDigest, AgentId, ApprovalId, EpochId, LeaseId, RevocationId, Sha256Hash, TaskId, TokenId,
    UnixMillis, WorkflowId,
};
use bailiwick_ledger::{Journal, LeafIndex, Receipt};

use crate::model::{
    AgentRecord, ApprovalFilter, ApprovalRecord, BudgetRow, DownstreamsRecord, Effect, EpochRecord,
    HolderKeyRecord, IssuerKeyRecord, LeaseRecord, OwnerRecord, PolicyRecord, ProofRow, ReceiptRow,
    Refused, RevocationPreview, RevocationRow, RevocationTarget, RevokedToken, TaskFilter,
    TaskRecord, TaskState, TokenRecord, UseRow, WorkflowRecord,
};

#[cfg(test)]
mod conformance;
mod sqlite;
pub(crate) mod usage;

pub use sqlite::{OpenError, SqliteOptions, SqliteStore};

/// Rows a page may ask for.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Bytes of a receipt's payload, and of any single document or text in an effect.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Lookup ids of one receipt.
pub const SUBJECT_IDS_MAX: usize = 32;
/// Draws in one debit.
pub const DEBITS_MAX: usize = 256;
/// Reads of one task that are kept; beyond it the oldest are forgotten.
pub const READS_OF_TASK_MAX: usize = 1_024;
/// Bytes of the reads of one task that are kept.
pub const READS_OF_TASK_BYTES_MAX: usize = 1024 * 1024;
/// Leaves that one call of [`Store::entries`] or [`Store::leaf_hashes`] may ask for.
pub const LEAVES_MAX: u64 = 65_536;

/// Why the store did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A condition does not hold; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The input is out of bounds; nothing was written.
    #[error("out of bounds: {0}")]
    Invalid(&'static str),
    /// The store cannot be read or written now: full or unwritable disk, closed store. Nothing
    /// may be released. It recovers by itself when the cause is gone.
    #[error("the store is unavailable: {0}")]
    Unavailable(Arc<str>),
}

impl StoreError {
    /// The refusal, if it is one.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Invalid(_) | Self::Unavailable(_) => None,
        }
    }

    pub(crate) fn unavailable(cause: impl fmt::Display) -> Self {
        Self::Unavailable(cause.to_string().into())
    }
}

/// What a store method gives back: a future that may be awaited on any thread.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give it back to go on; none after the last page.
    pub next: Option<String>,
}

/// Where to start a page and how long it may be.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// [`Page::next`] of the page before.
    pub cursor: Option<String>,
    /// At most this many rows; 0 means 100, and [`PAGE_ROWS_MAX`] is the most.
    pub limit: usize,
}

impl PageRequest {
    /// The first page, of at most `limit` rows.
    pub fn first(limit: usize) -> Self {
        Self { cursor: None, limit }
    }

    pub(crate) fn rows(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit.min(PAGE_ROWS_MAX) }
    }
}

/// What one transaction killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deaths {
    /// Tokens that died before their time, and the second each would have expired at.
    pub tokens: Vec<(TokenId, i64)>,
    /// Tasks that ended, and how.
    pub tasks: Vec<(TaskId, TaskState)>,
}

/// Is told of every death, after it is durable and before whoever caused it is.
pub trait DeathWatch: Send + Sync {
    /// Must return at once: the writer waits.
    fn died(&self, deaths: Deaths);
}

/// State and ledger. Every method but [`Store::append`] only reads.
///
/// Reads see everything that was acknowledged before they began.
pub trait Store: Send + Sync + 'static {
    /// Appends the receipt and applies the effect in one transaction; `Ok` only when both are
    /// durable. After `Unavailable` the change may or may not be durable, but it was not
    /// acknowledged; after `Refused` and `Invalid` it is not there.
    ///
    /// "Now" is the receipt's time, or the highest time recorded so far if that is later.
    fn append(&self, receipt: Receipt, effect: Effect) -> Pending<'_, LeafIndex>;
    /// Has every later death told to `watch`, in order. Only the first call counts.
    fn watch(&self, watch: Arc<dyn DeathWatch>);
    /// A status index that no other token has or will have. An index is used up even when the
    /// token is then refused.
    fn allocate_status_idx(&self) -> Pending<'_, u64>;
    /// The highest time recorded so far. Nothing the store decides uses an earlier "now".
    fn time_high_water(&self) -> UnixMillis;
    /// Whether an append would be durable now: writes and syncs.
    fn probe(&self) -> Pending<'_, ()>;

    /// A task.
    fn task(&self, id: TaskId) -> Pending<'_, Option<Arc<TaskRecord>>>;
    /// Tasks, newest first.
    fn tasks(&self, filter: TaskFilter, page: PageRequest) -> Pending<'_, Page<Arc<TaskRecord>>>;
    /// Open tasks whose deadline has passed, oldest deadline first, at most `limit`.
    fn tasks_past_deadline(&self, now: UnixMillis, limit: usize) -> Pending<'_, Vec<TaskId>>;
    /// Adds reads as the newest of an open task, without a leaf: whoever loses them reads again. One
    /// that is there already becomes the newest. Gives the number of the last; later ones are higher.
    fn add_reads(&self, task: TaskId, reads: Vec<Vec<u8>>) -> Pending<'_, u64>;
    /// Reads of a task after this number, oldest first, with their numbers; none once it has ended.
    fn reads(&self, task: TaskId, after: u64, limit: usize) -> Pending<'_, Vec<(u64, Vec<u8>)>>;
    /// How many tasks are recorded as open.
    fn open_tasks(&self) -> Pending<'_, u64>;

    /// A token.
    fn token(&self, jti: TokenId) -> Pending<'_, Option<Arc<TokenRecord>>>;
    /// The token with these signed bytes (the parent that a `par_hash` names), while it has not
    /// expired and for about a minute more.
    fn token_by_signing_hash(&self, hash: Sha256Hash) -> Pending<'_, Option<Arc<TokenRecord>>>;
    /// Every token of a task, in the order of issue.
    fn tokens_of_task(&self, task: TaskId) -> Pending<'_, Vec<Arc<TokenRecord>>>;
    /// The tokens narrowed from this token's hop, in the order of issue, renewals included.
    fn children(&self, jti: TokenId) -> Pending<'_, Vec<Arc<TokenRecord>>>;
    /// Hops that this token's hop has settled so far (renewals not counted).
    fn fanout(&self, jti: TokenId) -> Pending<'_, u32>;
    /// The delegator's grant that was settled into this token, compact form.
    fn grant(&self, jti: TokenId) -> Pending<'_, Option<Vec<u8>>>;
    /// Everything drawn on budgets of a task.
    fn budgets(&self, task: TaskId) -> Pending<'_, Vec<BudgetRow>>;

    /// An epoch of a gateway's spool.
    fn spool_epoch(&self, gateway: &AgentId, epoch: EpochId) -> Pending<'_, Option<EpochRecord>>;
    /// The newest epochs of a gateway's spools, newest first.
    fn spool_epochs(&self, gateway: &AgentId, limit: usize) -> Pending<'_, Vec<EpochRecord>>;
    /// Whether a token with this hash of its signed part has started a task.
    fn was_handed_over(&self, subject_token: Sha256Hash) -> Pending<'_, bool>;
    /// An approval.
    fn approval(&self, id: ApprovalId) -> Pending<'_, Option<ApprovalRecord>>;
    /// The newest approval of an action.
    fn approval_of(
        &self,
        task: TaskId,
        digest: ActionDigest,
    ) -> Pending<'_, Option<ApprovalRecord>>;
    /// Approvals, newest first.
    fn approvals(
        &self,
        filter: ApprovalFilter,
        page: PageRequest,
    ) -> Pending<'_, Page<ApprovalRecord>>;

    /// What a gateway declares to stand behind it.
    fn downstreams_of(&self, gateway: &AgentId) -> Pending<'_, Option<DownstreamsRecord>>;
    /// What every gateway declares, and has declared, newest first within a gateway.
    fn downstreams(&self, limit: usize) -> Pending<'_, Vec<DownstreamsRecord>>;
    /// Allowed calls of these days (days since the Unix epoch, UTC), oldest first; derived from the
    /// receipts.
    fn used(
        &self,
        days: RangeInclusive<u32>,
        system: Option<String>,
        limit: usize,
    ) -> Pending<'_, Vec<UseRow>>;

    /// A lease that has not been returned.
    fn lease(&self, id: LeaseId) -> Pending<'_, Option<LeaseRecord>>;
    /// The leases of an open task that have not been returned.
    fn leases_of_task(&self, task: TaskId) -> Pending<'_, Vec<LeaseRecord>>;

    /// Tokens that a revocation would kill, were it made at `now`.
    fn preview_revocation(
        &self,
        target: RevocationTarget,
        now: UnixMillis,
    ) -> Pending<'_, RevocationPreview>;
    /// A recorded revocation.
    fn revocation(&self, id: RevocationId) -> Pending<'_, Option<RevocationRow>>;
    /// Tokens that died at this leaf.
    fn revoked_at(&self, leaf: LeafIndex) -> Pending<'_, Vec<RevokedToken>>;
    /// Tokens that died at leaf `from` or later, in order of leaf; at most about `limit`, but
    /// never part of a leaf. Go on after the last leaf given.
    fn revoked_since(&self, from: LeafIndex, limit: usize) -> Pending<'_, Vec<RevokedToken>>;
    /// Revoked tokens that have not expired: what a cache needs at start.
    fn revoked_live(&self, now: UnixMillis) -> Pending<'_, Vec<RevokedToken>>;
    /// Bit string of one status list (Token Status List, 1 bit an entry, lowest bit first), always
    /// of full length: [`crate::model::STATUS_LIST_ENTRIES`] bits.
    fn revoked_status_bits(&self, list: u64) -> Pending<'_, Vec<u8>>;

    /// An owner.
    fn owner(&self, id: &str) -> Pending<'_, Option<OwnerRecord>>;
    /// Owners, by id.
    fn owners(&self, page: PageRequest) -> Pending<'_, Page<OwnerRecord>>;
    /// An agent.
    fn agent(&self, id: &AgentId) -> Pending<'_, Option<Arc<AgentRecord>>>;
    /// Agents, by id.
    fn agents(&self, page: PageRequest) -> Pending<'_, Page<AgentRecord>>;
    /// A workflow, in its latest version.
    fn workflow(&self, id: &WorkflowId) -> Pending<'_, Option<Arc<WorkflowRecord>>>;
    /// A workflow, in a given version.
    fn workflow_version(
        &self,
        id: &WorkflowId,
        version: u32,
    ) -> Pending<'_, Option<WorkflowRecord>>;
    /// Workflows, by id, in their latest version.
    fn workflows(&self, page: PageRequest) -> Pending<'_, Page<WorkflowRecord>>;
    /// Holder keys of an agent that have not expired at `now`, newest expiry first.
    fn holder_keys(&self, agent: &AgentId, now: UnixMillis) -> Pending<'_, Vec<HolderKeyRecord>>;
    /// The policy set in force.
    fn policy_latest(&self) -> Pending<'_, Option<PolicyRecord>>;
    /// A policy set by its hash, for replay.
    fn policy_by_hash(&self, hash: &str) -> Pending<'_, Option<PolicyRecord>>;
    /// Signing keys, oldest first.
    fn issuer_keys(&self) -> Pending<'_, Vec<IssuerKeyRecord>>;

    /// Proofs of possession that have not expired at `now`.
    fn proofs_unexpired(&self, now: UnixMillis) -> Pending<'_, Vec<ProofRow>>;

    /// Leaves in the ledger.
    fn ledger_size(&self) -> u64;
    /// Leaf bytes of a range, in order; at most [`LEAVES_MAX`].
    fn entries(&self, range: Range<u64>) -> Pending<'_, Vec<Vec<u8>>>;
    /// RFC 6962 leaf hashes of a range, in order; at most [`LEAVES_MAX`].
    fn leaf_hashes(&self, range: Range<u64>) -> Pending<'_, Vec<bailiwick_ledger::Hash>>;
    /// One receipt.
    fn receipt(&self, index: LeafIndex) -> Pending<'_, Option<ReceiptRow>>;
    /// Receipts of a range, in order; at most [`PAGE_ROWS_MAX`].
    fn receipts(&self, range: Range<u64>) -> Pending<'_, Vec<ReceiptRow>>;
    /// Receipts that name this id (task, `jti`, decision, agent…), oldest first.
    fn receipts_by_key(&self, key: &str, page: PageRequest) -> Pending<'_, Page<ReceiptRow>>;
}

/// A shared store of whatever backend; the ledger's `Journal` of this crate's effects.
#[derive(Clone)]
pub struct StoreHandle(Arc<dyn Store>);

impl StoreHandle {
    /// Shares a store.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreHandle")
    }
}

impl Deref for StoreHandle {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl Journal<Effect> for StoreHandle {
    type Error = StoreError;

    async fn append(&self, receipt: Receipt, effect: Effect) -> Result<LeafIndex, StoreError> {
        self.0.append(receipt, effect).await
    }
}
