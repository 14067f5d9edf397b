//! The embedded store: SQLite in WAL mode, synced on every commit, one writer thread.

mod buckets;
mod cache;
mod checkpoint;
mod generations;
mod key;
mod live;
mod lookup;
mod open;
mod prepare;
mod read;
mod readers;
mod row;
mod schema;
mod signed;
mod tail;
mod write;

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bailiwick_core::{
    ActionDigest, AgentId, ApprovalId, EpochId, LeaseId, RevocationId, Sha256Hash, TaskId, TokenId,
    UnixMillis, WorkflowId,
};
use bailiwick_ledger::{Hash, Journal, LeafIndex, Receipt};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::cache::{HotRows, task_weight, token_weight};
use self::lookup::{Finder, Waiting};
use self::readers::Readers;
use self::signed::Signed;
use self::tail::Tail;
use self::write::Command;
use super::{
    DeathWatch, LEAVES_MAX, PAGE_ROWS_MAX, Page, PageRequest, Pending, READS_OF_TASK_BYTES_MAX,
    READS_OF_TASK_MAX, Store, StoreError,
};
use crate::model::{
    AgentRecord, ApprovalFilter, ApprovalRecord, BudgetRow, DownstreamsRecord, Effect, EpochRecord,
    HolderKeyRecord, IssuerKeyRecord, LeaseRecord, OwnerRecord, PolicyRecord, ProofRow, ReceiptRow,
    RevocationPreview, RevocationRow, RevocationTarget, RevokedToken, TaskFilter, TaskRecord,
    TokenRecord, UseRow, WorkflowRecord,
};

use open::set_page_quota;
pub use open::{OpenError, SqliteOptions};

/// The embedded store. Dropping it finishes what is queued and closes the database.
pub struct SqliteStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Command>,
    threads: Vec<JoinHandle<()>>,
}

/// What the writer and the readers share.
struct Shared {
    readers: Arc<Readers>,
    hot: HotRows,
    signed: Signed,
    tail: Tail,
    /// Lookup rows that are not in the index yet.
    waiting: Arc<Waiting>,
    /// How many of them there may be.
    waiting_max: usize,
    /// From which leaf on there were such rows when the store was opened.
    lookup_done: i64,
    size: AtomicU64,
    mark: AtomicU64,
    next_status_idx: AtomicU64,
    watch: std::sync::OnceLock<Arc<dyn DeathWatch>>,
    /// Held for as long as the store is open: no second process may write.
    _lock: std::fs::File,
}

impl SqliteStore {
    /// Opens the store in a directory, creating both as needed, with access for the owner only.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do; nothing was changed then.
    pub fn open(directory: &Path, options: &SqliteOptions) -> Result<Self, OpenError> {
        open::open(directory, options)
    }

    /// Changes how many pages (8 KiB each in a new one) the database may have; none is no limit. A quota below
    /// the present size only stops growth.
    ///
    /// # Errors
    /// `Unavailable` when the store is closed or cannot be written.
    pub async fn set_page_quota(&self, pages: Option<u32>) -> Result<(), StoreError> {
        self.ask(|reply| Command::Quota(pages, reply)).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let closed = || StoreError::unavailable("the writer has stopped");
        self.queue.send(command(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<'_, T> {
        Box::pin(self.shared.readers.clone().read(query))
    }

    /// As [`SqliteStore::read`], of what is found by an id.
    fn find<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Finder<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<'_, T> {
        let waiting = Arc::clone(&self.shared.waiting);
        self.read(move |conn| query(&Finder::new(conn, &waiting)))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel(1);
        self.queue = closed;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
        self.shared.readers.close();
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("ledger_size", &self.ledger_size()).finish()
    }
}

impl Journal<Effect> for SqliteStore {
    type Error = StoreError;

    async fn append(&self, receipt: Receipt, effect: Effect) -> Result<LeafIndex, StoreError> {
        Store::append(self, receipt, effect).await
    }
}

impl Store for SqliteStore {
    fn append(&self, receipt: Receipt, effect: Effect) -> Pending<'_, LeafIndex> {
        Box::pin(async move {
            let mut prepared = prepare::prepare(receipt, effect)?;
            self.ask(move |reply| {
                prepared.reply = Some(reply);
                Command::Append(prepared)
            })
            .await
        })
    }

    fn watch(&self, watch: Arc<dyn DeathWatch>) {
        if self.shared.watch.set(watch).is_err() {
            tracing::error!("deaths are watched already");
        }
    }

    fn allocate_status_idx(&self) -> Pending<'_, u64> {
        let idx = self.shared.next_status_idx.fetch_add(1, Ordering::AcqRel);
        Box::pin(std::future::ready(Ok(idx)))
    }

    fn time_high_water(&self) -> UnixMillis {
        UnixMillis(self.shared.mark.load(Ordering::Acquire))
    }

    fn probe(&self) -> Pending<'_, ()> {
        Box::pin(self.ask(Command::Probe))
    }

    fn task(&self, id: TaskId) -> Pending<'_, Option<Arc<TaskRecord>>> {
        let seen = match self.shared.hot.tasks.get(&id) {
            Ok(task) => return Box::pin(std::future::ready(Ok(Some(task)))),
            Err(seen) => seen,
        };
        Box::pin(async move {
            let found = self.read(move |conn| read::task::one(conn, id)).await?.map(Arc::new);
            if let Some(task) = &found {
                self.shared.hot.tasks.fill(id, task.clone(), task_weight(task), seen);
            }
            Ok(found)
        })
    }

    fn tasks(&self, filter: TaskFilter, page: PageRequest) -> Pending<'_, Page<Arc<TaskRecord>>> {
        self.read(move |conn| read::task::page(conn, &filter, &page))
    }

    fn tasks_past_deadline(&self, now: UnixMillis, limit: usize) -> Pending<'_, Vec<TaskId>> {
        self.read(move |conn| read::task::past_deadline(conn, now, limit.min(PAGE_ROWS_MAX)))
    }

    fn add_reads(&self, task: TaskId, reads: Vec<Vec<u8>>) -> Pending<'_, u64> {
        if reads.iter().any(|read| read.len() > READS_OF_TASK_BYTES_MAX) {
            let large = StoreError::Invalid("a read of more than a task may keep");
            return Box::pin(std::future::ready(Err(large)));
        }
        Box::pin(self.ask(move |reply| Command::AddReads(task, reads, reply)))
    }

    fn reads(&self, task: TaskId, after: u64, limit: usize) -> Pending<'_, Vec<(u64, Vec<u8>)>> {
        self.read(move |conn| read::task::reads(conn, task, after, limit.min(READS_OF_TASK_MAX)))
    }

    fn open_tasks(&self) -> Pending<'_, u64> {
        self.read(read::task::count_open)
    }

    fn token(&self, jti: TokenId) -> Pending<'_, Option<Arc<TokenRecord>>> {
        let seen = match self.shared.hot.tokens.get(&jti) {
            Ok(token) => return Box::pin(std::future::ready(Ok(Some(token)))),
            Err(seen) => seen,
        };
        Box::pin(async move {
            let found = self.find(move |finder| read::token::one(finder, jti)).await?.map(Arc::new);
            if let Some(token) = &found {
                self.shared.hot.tokens.fill(jti, token.clone(), token_weight(token), seen);
            }
            Ok(found)
        })
    }

    fn token_by_signing_hash(&self, hash: Sha256Hash) -> Pending<'_, Option<Arc<TokenRecord>>> {
        match self.shared.signed.get(&hash) {
            None => Box::pin(std::future::ready(Ok(None))),
            Some(jti) => Box::pin(async move {
                Ok(self.token(jti).await?.filter(|token| token.signing_hash == hash))
            }),
        }
    }

    fn tokens_of_task(&self, task: TaskId) -> Pending<'_, Vec<Arc<TokenRecord>>> {
        self.find(move |finder| read::token::of_task(finder, task))
    }

    fn children(&self, jti: TokenId) -> Pending<'_, Vec<Arc<TokenRecord>>> {
        self.find(move |finder| read::token::children(finder, jti))
    }

    fn fanout(&self, jti: TokenId) -> Pending<'_, u32> {
        Box::pin(async move {
            let Some(token) = self.token(jti).await? else {
                return Ok(0);
            };
            let seen = match self.shared.hot.fanout.get(&token.hop) {
                Ok(fanout) => return Ok(fanout),
                Err(seen) => seen,
            };
            let (task, hop) = (token.task, token.hop);
            let fanout = self.find(move |finder| read::token::fanout(finder, task, hop)).await?;
            self.shared.hot.fanout.fill(hop, fanout, 1, seen);
            Ok(fanout)
        })
    }

    fn grant(&self, jti: TokenId) -> Pending<'_, Option<Vec<u8>>> {
        self.find(move |finder| read::token::grant(finder, jti))
    }

    fn budgets(&self, task: TaskId) -> Pending<'_, Vec<BudgetRow>> {
        self.read(move |conn| read::token::budgets(conn, task))
    }

    fn preview_revocation(
        &self,
        target: RevocationTarget,
        now: UnixMillis,
    ) -> Pending<'_, RevocationPreview> {
        let now = now.max(self.time_high_water());
        self.find(move |finder| read::revocation::preview(finder, &target, now))
    }

    fn revocation(&self, id: RevocationId) -> Pending<'_, Option<RevocationRow>> {
        self.read(move |conn| read::revocation::one(conn, id))
    }

    fn revoked_at(&self, leaf: LeafIndex) -> Pending<'_, Vec<RevokedToken>> {
        self.read(move |conn| read::revocation::at(conn, leaf))
    }

    fn revoked_since(&self, from: LeafIndex, limit: usize) -> Pending<'_, Vec<RevokedToken>> {
        self.read(move |conn| read::revocation::since(conn, from, limit.clamp(1, PAGE_ROWS_MAX)))
    }

    fn revoked_live(&self, now: UnixMillis) -> Pending<'_, Vec<RevokedToken>> {
        let now = now.max(self.time_high_water());
        self.read(move |conn| read::revocation::live(conn, now))
    }

    fn revoked_status_bits(&self, list: u64) -> Pending<'_, Vec<u8>> {
        self.read(move |conn| read::revocation::status_bits(conn, list))
    }

    fn spool_epoch(&self, gateway: &AgentId, epoch: EpochId) -> Pending<'_, Option<EpochRecord>> {
        let gateway = gateway.clone();
        self.read(move |conn| read::spool::epoch(conn, &gateway, epoch))
    }

    fn spool_epochs(&self, gateway: &AgentId, limit: usize) -> Pending<'_, Vec<EpochRecord>> {
        let gateway = gateway.clone();
        self.read(move |conn| read::spool::epochs(conn, &gateway, limit.min(PAGE_ROWS_MAX)))
    }

    fn was_handed_over(&self, subject_token: Sha256Hash) -> Pending<'_, bool> {
        self.read(move |conn| read::task::was_handed_over(conn, subject_token))
    }

    fn approval(&self, id: ApprovalId) -> Pending<'_, Option<ApprovalRecord>> {
        self.read(move |conn| read::approval::one(conn, id))
    }

    fn approval_of(
        &self,
        task: TaskId,
        digest: ActionDigest,
    ) -> Pending<'_, Option<ApprovalRecord>> {
        self.read(move |conn| read::approval::of_digest(conn, task, digest))
    }

    fn approvals(
        &self,
        filter: ApprovalFilter,
        page: PageRequest,
    ) -> Pending<'_, Page<ApprovalRecord>> {
        self.read(move |conn| read::approval::page(conn, &filter, &page))
    }

    fn downstreams_of(&self, gateway: &AgentId) -> Pending<'_, Option<DownstreamsRecord>> {
        let gateway = gateway.clone();
        self.read(move |conn| read::downstreams::latest(conn, &gateway))
    }

    fn downstreams(&self, limit: usize) -> Pending<'_, Vec<DownstreamsRecord>> {
        self.read(move |conn| read::downstreams::every(conn, limit))
    }

    fn used(
        &self,
        days: RangeInclusive<u32>,
        system: Option<String>,
        limit: usize,
    ) -> Pending<'_, Vec<UseRow>> {
        self.read(move |conn| read::downstreams::used(conn, &days, system.as_deref(), limit))
    }

    fn lease(&self, id: LeaseId) -> Pending<'_, Option<LeaseRecord>> {
        self.read(move |conn| read::spool::lease(conn, id))
    }

    fn leases_of_task(&self, task: TaskId) -> Pending<'_, Vec<LeaseRecord>> {
        self.read(move |conn| read::spool::leases_of_task(conn, task))
    }

    fn owner(&self, id: &str) -> Pending<'_, Option<OwnerRecord>> {
        let id = id.to_owned();
        self.read(move |conn| read::registry::owner(conn, &id))
    }

    fn owners(&self, page: PageRequest) -> Pending<'_, Page<OwnerRecord>> {
        self.read(move |conn| read::registry::owners(conn, &page))
    }

    fn agent(&self, id: &AgentId) -> Pending<'_, Option<Arc<AgentRecord>>> {
        let seen = match self.shared.hot.agents.get(id) {
            Ok(agent) => return Box::pin(std::future::ready(Ok(Some(agent)))),
            Err(seen) => seen,
        };
        let id = id.clone();
        Box::pin(async move {
            let key = id.clone();
            let found = self.read(move |conn| read::registry::agent(conn, &key)).await?;
            let found = found.map(Arc::new);
            if let Some(agent) = &found {
                self.shared.hot.agents.fill(id, agent.clone(), 1, seen);
            }
            Ok(found)
        })
    }

    fn agents(&self, page: PageRequest) -> Pending<'_, Page<AgentRecord>> {
        self.read(move |conn| read::registry::agents(conn, &page))
    }

    fn workflow(&self, id: &WorkflowId) -> Pending<'_, Option<Arc<WorkflowRecord>>> {
        let seen = match self.shared.hot.workflows.get(id) {
            Ok(workflow) => return Box::pin(std::future::ready(Ok(Some(workflow)))),
            Err(seen) => seen,
        };
        let id = id.clone();
        Box::pin(async move {
            let key = id.clone();
            let found = self.read(move |conn| read::registry::workflow(conn, &key, None)).await?;
            let found = found.map(Arc::new);
            if let Some(workflow) = &found {
                self.shared.hot.workflows.fill(id, workflow.clone(), 1, seen);
            }
            Ok(found)
        })
    }

    fn workflow_version(
        &self,
        id: &WorkflowId,
        version: u32,
    ) -> Pending<'_, Option<WorkflowRecord>> {
        let id = id.clone();
        self.read(move |conn| read::registry::workflow(conn, &id, Some(version)))
    }

    fn workflows(&self, page: PageRequest) -> Pending<'_, Page<WorkflowRecord>> {
        self.read(move |conn| read::registry::workflows(conn, &page))
    }

    fn holder_keys(&self, agent: &AgentId, now: UnixMillis) -> Pending<'_, Vec<HolderKeyRecord>> {
        let (agent, now) = (agent.clone(), now.max(self.time_high_water()));
        self.read(move |conn| read::registry::holder_keys(conn, &agent, now))
    }

    fn policy_latest(&self) -> Pending<'_, Option<PolicyRecord>> {
        self.read(read::registry::policy_latest)
    }

    fn policy_by_hash(&self, hash: &str) -> Pending<'_, Option<PolicyRecord>> {
        let hash = hash.to_owned();
        self.read(move |conn| read::registry::policy_by_hash(conn, &hash))
    }

    fn issuer_keys(&self) -> Pending<'_, Vec<IssuerKeyRecord>> {
        self.read(read::registry::issuer_keys)
    }

    fn proofs_unexpired(&self, now: UnixMillis) -> Pending<'_, Vec<ProofRow>> {
        let now = now.max(self.time_high_water());
        self.read(move |conn| read::ledger::proofs_unexpired(conn, now))
    }

    fn ledger_size(&self) -> u64 {
        self.shared.size.load(Ordering::Acquire)
    }

    fn entries(&self, range: Range<u64>) -> Pending<'_, Vec<Vec<u8>>> {
        match self.within(range, LEAVES_MAX) {
            Ok(range) => self.read(move |conn| read::ledger::entries(conn, range)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Pending<'_, Vec<Hash>> {
        let range = match self.within(range, LEAVES_MAX) {
            Ok(range) => range,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        match self.shared.tail.get(&range) {
            Some(hashes) => Box::pin(std::future::ready(Ok(hashes))),
            None => self.read(move |conn| read::ledger::leaf_hashes(conn, range)),
        }
    }

    fn receipt(&self, index: LeafIndex) -> Pending<'_, Option<ReceiptRow>> {
        self.read(move |conn| read::ledger::receipt(conn, index))
    }

    fn receipts(&self, range: Range<u64>) -> Pending<'_, Vec<ReceiptRow>> {
        match self.within(range, PAGE_ROWS_MAX as u64) {
            Ok(range) => self.read(move |conn| read::ledger::receipts(conn, range)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn receipts_by_key(&self, key: &str, page: PageRequest) -> Pending<'_, Page<ReceiptRow>> {
        let key = key::Key::of_text(key);
        self.find(move |finder| read::ledger::by_key(finder, key, &page))
    }
}

impl SqliteStore {
    /// The part of a range that exists.
    fn within(&self, range: Range<u64>, count_max: u64) -> Result<Range<u64>, StoreError> {
        if range.end.saturating_sub(range.start) > count_max {
            return Err(StoreError::Invalid("more leaves than one call may ask for"));
        }
        Ok(range.start..range.end.min(self.ledger_size()))
    }
}

#[cfg(test)]
mod tests;
