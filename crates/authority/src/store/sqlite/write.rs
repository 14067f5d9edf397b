//! The writer: one thread, one connection, one transaction for everything that is waiting.
//!
//! Ops are drained from a bounded queue; while one transaction is being synced to disk the next
//! ones gather, so that the batch grows with the load and nobody ever sleeps. Replies are sent
//! after the commit.
//!
//! INVARIANT: an effect checks every condition before it writes its first row. A refused op has
//! therefore written nothing, and the transaction goes on without it.

mod approval;
mod downstreams;
mod end;
mod reads;
mod registry;
mod spool;
mod statements;
mod work;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick_core::{TaskId, TokenId, UnixMillis};
use bailiwick_ledger::{Hash, LeafIndex, SealedReceipt};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

pub(super) use self::registry::{AGENT, OWNER, WORKFLOW};
use self::statements::Statements;
use super::cache::{task_weight, token_weight};
use super::checkpoint::Checkpointer;
use super::key::{Key, Role};
use super::live::{Killed, Live};
use super::lookup::Lookups;
use super::{Shared, buckets, row};
use crate::model::{Effect, RecordStatus, Refused, RegistryRecord, TokenRecord, UseRow};
use crate::store::{Deaths, StoreError};

/// Ops in one transaction.
const BATCH_MAX: usize = 512;
/// How often the writer lets callers run before a batch smaller than the last one.
const GATHER_YIELDS: u32 = 4;
/// A last batch from which on the writer is busy.
const GATHER_FROM: usize = 8;
/// How often and for how long a busy writer sleeps: less than 3 ms in all.
const GATHER_SLEEPS: u32 = 8;
const GATHER_SLEEP: Duration = Duration::from_micros(300);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
pub(super) enum Command {
    /// Append a receipt and apply its effect.
    Append(Box<Append>),
    /// Add reads to a task.
    AddReads(TaskId, Vec<Vec<u8>>, Reply<u64>),
    /// Write and sync something that does not matter.
    Probe(Reply<()>),
    /// Change how many pages the database may have; none is no limit.
    Quota(Option<u32>, Reply<()>),
}

/// One op, prepared as far as possible by the caller.
pub(super) struct Append {
    pub(super) leaf: Leaf,
    /// Leaves that come with it: a report has several.
    pub(super) more: Vec<Leaf>,
    pub(super) effect: Effect,
    pub(super) reply: Option<Reply<LeafIndex>>,
}

/// One leaf, ready to be written.
pub(super) struct Leaf {
    pub(super) sealed: SealedReceipt,
    pub(super) hash: Hash,
    pub(super) keys: Vec<(Key, Role)>,
    /// The allowed call that it records, if it does.
    pub(super) used: Option<UseRow>,
}

impl Append {
    /// How many leaves it writes.
    fn leaves(&self) -> u64 {
        (self.more.len() as u64).saturating_add(1)
    }
}

/// Why an op did not go through.
pub(super) enum Fault {
    /// A condition does not hold; nothing was written.
    Refused(Refused),
    /// The database failed; the transaction is to be rolled back.
    Database(rusqlite::Error),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Ops that go into one transaction. Boxed, as they come: they are large.
type Batch = Vec<Box<Append>>;
type Outcomes = Vec<Result<LeafIndex, Refused>>;

/// Runs until every sender is gone; what is in the queue then is still done.
pub(super) fn run(
    conn: &Connection,
    shared: Arc<Shared>,
    checkpointer: Checkpointer,
    mut queue: mpsc::Receiver<Command>,
    started: &std::sync::mpsc::SyncSender<rusqlite::Result<()>>,
) {
    let mut writer = match Writer::start(conn, shared, checkpointer) {
        Ok(writer) => {
            let _ = started.send(Ok(()));
            writer
        }
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut last = 0;
    while let Some(first) = queue.blocking_recv() {
        writer.take(first, &mut batch);
        writer.drain(&mut queue, &mut batch);
        writer.gather(last, &mut queue, &mut batch);
        if !batch.is_empty() {
            last = batch.len();
            writer.commit(&mut batch);
        }
    }
}

/// The writer's state. `next_leaf` and `mark` run ahead of what is shared until the commit.
pub(super) struct Writer<'c> {
    conn: &'c Connection,
    statements: Statements<'c>,
    shared: Arc<Shared>,
    checkpointer: Checkpointer,
    live: Live,
    next_leaf: u64,
    mark: UnixMillis,
    mark_written: UnixMillis,
    /// Rows of the current op have been written.
    dirty: bool,
    /// What the current transaction killed.
    deaths: Deaths,
    /// Hops whose fan-out the current transaction has changed, and to what.
    fanouts: Vec<(TokenId, u32)>,
    /// A payload was erased by the current transaction.
    erased: bool,
    /// Ops since the last pruning.
    unpruned: usize,
}

impl<'c> Writer<'c> {
    fn start(
        conn: &'c Connection,
        shared: Arc<Shared>,
        checkpointer: Checkpointer,
    ) -> rusqlite::Result<Self> {
        let mark = UnixMillis(shared.mark.load(Ordering::Acquire));
        let size = shared.size.load(Ordering::Acquire);
        let lookups =
            Lookups::new(Arc::clone(&shared.waiting), shared.waiting_max, size, shared.lookup_done);
        Ok(Self {
            conn,
            statements: Statements::prepare(conn)?,
            live: Live::load(conn, mark, lookups)?,
            next_leaf: size,
            mark,
            mark_written: mark,
            shared,
            checkpointer,
            dirty: false,
            deaths: Deaths::default(),
            fanouts: Vec::new(),
            erased: false,
            unpruned: 0,
        })
    }

    /// Everything that waits, as far as the batch has room.
    fn drain(&mut self, queue: &mut mpsc::Receiver<Command>, batch: &mut Batch) {
        while batch.len() < BATCH_MAX {
            let Ok(command) = queue.try_recv() else { return };
            self.take(command, batch);
        }
    }

    /// Whoever was answered last is on its way back: waiting for them makes one commit of several. A
    /// single caller never waits, and on an idle machine a yield returns at once. Under load a commit
    /// of few rows costs nearly what one of many does, and takes the processor from those that make
    /// them: then the writer sleeps as long as more come.
    fn gather(&mut self, last: usize, queue: &mut mpsc::Receiver<Command>, batch: &mut Batch) {
        let busy = last >= GATHER_FROM;
        for _ in 0..if busy { GATHER_SLEEPS } else { GATHER_YIELDS } {
            let before = batch.len();
            if busy {
                std::thread::sleep(GATHER_SLEEP);
            } else if before >= last {
                return;
            } else {
                std::thread::yield_now();
            }
            self.drain(queue, batch);
            if busy && batch.len() == before {
                return;
            }
        }
    }

    fn take(&mut self, command: Command, batch: &mut Batch) {
        match command {
            Command::Append(append) => batch.push(append),
            Command::AddReads(task, reads, reply) => {
                drop(reply.send(self.add_reads(task, &reads)));
            }
            Command::Probe(reply) => drop(reply.send(self.probe())),
            Command::Quota(pages, reply) => drop(reply.send(self.set_quota(pages))),
        }
    }

    /// Commits a batch and replies. If the fault may be that of a single op, each is tried alone.
    fn commit(&mut self, ops: &mut Batch) {
        match self.transact(ops) {
            Ok(outcomes) => self.acknowledge(ops, outcomes),
            Err(error) if ops.len() > 1 && is_of_one_op(&error) => {
                ops.drain(..).for_each(|op| self.commit(&mut vec![op]));
            }
            Err(error) => {
                tracing::error!(%error, ops = ops.len(), "the store could not commit");
                let answer = StoreError::unavailable(error);
                for reply in ops.drain(..).filter_map(|op| op.reply) {
                    let _ = reply.send(Err(answer.clone()));
                }
            }
        }
    }

    fn transact(&mut self, ops: &[Box<Append>]) -> rusqlite::Result<Outcomes> {
        self.deaths = Deaths::default();
        self.fanouts.clear();
        self.erased = false;
        self.statements.begin.execute(())?;
        match self.apply_all(ops) {
            Ok(outcomes) => {
                self.live.commit();
                self.mark_written = self.mark;
                Ok(outcomes)
            }
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    fn apply_all(&mut self, ops: &[Box<Append>]) -> rusqlite::Result<Outcomes> {
        let mut outcomes = Vec::with_capacity(ops.len());
        for op in ops {
            outcomes.push(self.apply(op)?);
        }
        if self.mark > self.mark_written {
            self.statements.mark.execute(("time_mark", row::signed(self.mark.0)))?;
        }
        self.move_lookups()?;
        self.prune(ops.len())?;
        self.statements.commit.execute(())?;
        Ok(outcomes)
    }

    /// After a fault. The time mark stays up: time that was seen was seen.
    fn roll_back(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the store could not roll back");
        }
        self.live.roll_back();
        self.next_leaf = self.shared.size.load(Ordering::Acquire);
    }

    fn apply(&mut self, op: &Append) -> rusqlite::Result<Result<LeafIndex, Refused>> {
        self.mark = self.mark.max(UnixMillis(op.leaf.sealed.time_ms));
        self.dirty = false;
        match self.apply_effect(op) {
            Ok(()) => {
                let index = LeafIndex(self.next_leaf);
                self.next_leaf = self.next_leaf.saturating_add(op.leaves());
                Ok(Ok(index))
            }
            Err(Fault::Refused(refused)) if !self.dirty => Ok(Err(refused)),
            // The invariant of this file is broken: keep nothing of the transaction.
            Err(Fault::Refused(_)) => Err(rusqlite::Error::InvalidQuery),
            Err(Fault::Database(error)) => Err(error),
        }
    }

    fn apply_effect(&mut self, op: &Append) -> Result<(), Fault> {
        match &op.effect {
            Effect::None => self.write_leaf(op),
            Effect::Proof(proof) => {
                self.live.check_proof(Some(proof))?;
                self.write_leaf(op)
            }
            Effect::OpenTask { task, token, proof } => {
                self.open_task(op, task, token, proof.as_ref())
            }
            Effect::Settle { token, grant, proof, fanout_max, rate_per_minute_max } => {
                let room = (*fanout_max, *rate_per_minute_max);
                self.settle(op, token, grant, proof.as_ref(), room)
            }
            Effect::Renew { token, proof } => self.renew(op, token, proof.as_ref()),
            Effect::Debit { task, jti, entries, proof, exposes, approval } => {
                let more = (*exposes, approval.as_ref());
                self.debit(op, (*task, *jti), entries, proof.as_ref(), more)
            }
            Effect::AskApproval { asked, pending_max } => {
                self.ask_approval(op, asked, *pending_max)
            }
            Effect::DecideApproval { id, digest, vote, bounds } => {
                self.decide_approval(op, (*id, *digest), vote, *bounds)
            }
            Effect::UseApproval { task, jti, approval } => {
                self.use_approval(op, (*task, *jti), approval)
            }
            Effect::Expose { task, level } => self.expose(op, *task, *level),
            Effect::CloseTask { task, state } => self.close_task(op, *task, *state),
            Effect::Revoke { id, target, reason } => self.revoke(op, *id, target, reason),
            Effect::PutRegistry { records } => self.put_registry(op, records),
            Effect::SetAgentStatus { agent, status } => self.set_agent_status(op, agent, *status),
            Effect::PutPolicy { record } => self.put_policy(op, record),
            Effect::PutHolderKey { record, proof } => {
                self.put_holder_key(op, record, proof.as_ref())
            }
            Effect::OpenEpoch { gateway, epoch, release } => {
                self.open_epoch(op, gateway, *epoch, *release)
            }
            Effect::ReceiptsFrom(report) => self.report(op, report),
            Effect::Lease { jti, leases } => self.lease(op, *jti, leases),
            Effect::ReturnLease { gateway, epoch, through, leases } => {
                self.return_leases(op, (gateway, *epoch), *through, leases)
            }
            Effect::DeclareDownstreams(record) => self.declare_downstreams(op, record),
            Effect::Erase { leaf } => self.erase(op, *leaf),
            Effect::RotateKey { record } => self.rotate_key(op, record),
        }
    }

    /// The leaf that the current op will have.
    fn leaf(&self) -> i64 {
        row::signed(self.next_leaf)
    }

    /// The first thing that every effect writes, after all of its conditions.
    fn write_leaf(&mut self, op: &Append) -> Result<(), Fault> {
        self.dirty = true;
        self.write_sealed(&op.leaf, self.next_leaf, &op.effect)
    }

    /// A leaf, and what is remembered of it and of its effect.
    fn write_sealed(&mut self, leaf: &Leaf, at: u64, effect: &Effect) -> Result<(), Fault> {
        let Leaf { sealed, keys, used, .. } = leaf;
        let leaf = row::signed(at);
        self.statements.leaf.execute((
            leaf,
            row::place(&bailiwick_ledger::ReceiptKind::ALL, &sealed.kind),
            row::signed(sealed.time_ms),
            &sealed.entry,
            sealed.salt,
            &sealed.payload,
        ))?;
        let (token, proof) = (effect.issues(), effect.proof());
        if !keys.is_empty() || token.is_some() || proof.is_some() {
            self.statements.recent.execute((
                leaf,
                Key::pack(keys),
                token.map(|token| buckets::half(&token.signing_hash).to_be_bytes()),
                token.map(|token| token.jti.as_bytes()),
                token.map(|token| Key::agent_number(&token.agent)),
                token.map(|token| token.exp),
                proof.map(|proof| proof.jti_hash.as_bytes()),
                proof.map(|proof| row::signed(proof.expires_ms.0)),
            ))?;
            self.live.lookups.add(leaf, keys);
            proof.into_iter().for_each(|proof| self.live.add_proof(proof));
        }
        if let Some(used) = used {
            self.count_used(used)?;
        }
        Ok(())
    }

    fn move_lookups(&mut self) -> rusqlite::Result<()> {
        let size = self.shared.size.load(Ordering::Acquire);
        for ((key, leaf), role) in self.live.lookups.due(size) {
            self.statements.lookup.execute((key, leaf, role as i64))?;
        }
        if let Some(done) = self.live.lookups.newly_done() {
            self.statements.mark.execute(("lookup_done", done))?;
        }
        Ok(())
    }

    /// A few of the expired rows, now and then: about two for each one written.
    fn prune(&mut self, ops: usize) -> rusqlite::Result<()> {
        self.unpruned = self.unpruned.saturating_add(ops);
        if self.unpruned >= statements::PRUNE_ROWS / 2 {
            self.unpruned = 0;
            let now = row::signed(self.mark.0);
            let useless = (self.live.lookups.done(), self.mark.seconds(), now);
            self.statements.prune_recent.execute(useless)?;
            self.live.prune(self.mark);
            self.shared.signed.prune(self.mark);
        }
        Ok(())
    }

    fn write_killed(&mut self, killed: &[Killed]) -> Result<(), Fault> {
        let leaf = self.leaf();
        for token in killed {
            self.statements.revoked.execute((
                row::signed(token.status_idx),
                token.jti.as_bytes(),
                token.task.as_bytes(),
                token.exp,
                row::signed(self.mark.0),
                leaf,
            ))?;
            self.deaths.tokens.push((token.jti, token.exp));
        }
        Ok(())
    }

    /// Makes the committed batch visible, then replies.
    fn acknowledge(&mut self, ops: &mut Batch, outcomes: Outcomes) {
        self.shared.mark.fetch_max(self.mark.0, Ordering::AcqRel);
        let hashes = ops.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let leaves = hashes.flat_map(|(op, _)| std::iter::once(&op.leaf).chain(&op.more));
        self.shared.tail.push(leaves.map(|leaf| leaf.hash));
        self.shared.size.store(self.next_leaf, Ordering::Release);
        let done = ops.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        self.shared.signed.extend(
            done.filter_map(|(op, _)| op.effect.issues())
                .map(|token| (token.signing_hash, token.jti, UnixMillis::from_seconds(token.exp))),
        );
        let mut replies = Vec::with_capacity(ops.len());
        for (op, outcome) in ops.drain(..).zip(outcomes) {
            if outcome.is_ok() {
                self.publish(op.effect);
            }
            replies.push((op.reply, outcome));
        }
        // After the additions: a token may be issued and killed by the same batch.
        let deaths = std::mem::take(&mut self.deaths);
        for (jti, _) in &deaths.tokens {
            self.shared.hot.tokens.forget(jti);
        }
        for (hop, fanout) in self.fanouts.drain(..) {
            self.shared.hot.fanout.replace(hop, fanout, 1);
        }
        // Before the replies: what is said to be dead is known to be.
        if deaths != Deaths::default()
            && let Some(watch) = self.shared.watch.get()
        {
            watch.died(deaths);
        }
        for (reply, outcome) in replies {
            // A caller that has gone away misses only its answer.
            if let Some(reply) = reply {
                let _ = reply.send(outcome.map_err(StoreError::from));
            }
        }
        self.checkpointer.wrote(self.conn, self.erased);
    }

    fn publish(&self, effect: Effect) {
        let hot = &self.shared.hot;
        match effect {
            Effect::OpenTask { task, token, .. } => {
                let weight = task_weight(&task);
                hot.tasks.add(task.id, Arc::new(*task), weight);
                self.publish_token(token);
            }
            Effect::Settle { token, .. } | Effect::Renew { token, .. } => self.publish_token(token),
            Effect::CloseTask { task, .. }
            | Effect::Expose { task, .. }
            | Effect::Debit { task, exposes: Some(_), .. } => hot.tasks.forget(&task),
            Effect::Revoke { target: crate::model::RevocationTarget::Task(task), .. } => {
                hot.tasks.forget(&task);
            }
            Effect::SetAgentStatus { agent, .. } => hot.agents.forget(&agent),
            Effect::PutRegistry { records } => {
                for record in &records {
                    match record {
                        RegistryRecord::Owner(_) => {}
                        RegistryRecord::Agent(agent) => hot.agents.forget(&agent.id),
                        RegistryRecord::Workflow(workflow) => hot.workflows.forget(&workflow.id),
                    }
                }
            }
            Effect::None
            | Effect::OpenEpoch { .. }
            | Effect::ReceiptsFrom(_)
            | Effect::Lease { .. }
            | Effect::ReturnLease { .. }
            | Effect::Debit { .. }
            | Effect::Revoke { .. }
            | Effect::AskApproval { .. }
            | Effect::DecideApproval { .. }
            | Effect::UseApproval { .. }
            | Effect::PutPolicy { .. }
            | Effect::PutHolderKey { .. }
            | Effect::Erase { .. }
            | Effect::DeclareDownstreams(_)
            | Effect::Proof(_)
            | Effect::RotateKey { .. } => {}
        }
    }

    fn publish_token(&self, token: TokenRecord) {
        let hot = &self.shared.hot;
        let weight = token_weight(&token);
        hot.tokens.add(token.jti, Arc::new(token), weight);
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.statements
            .begin
            .execute(())
            .and_then(|_| self.statements.probe.execute(()))
            .and_then(|_| self.statements.commit.execute(()))
            .map(drop)
            .map_err(|error| {
                self.roll_back();
                StoreError::unavailable(error)
            })
    }

    fn set_quota(&mut self, pages: Option<u32>) -> Result<(), StoreError> {
        super::set_page_quota(self.conn, pages).map_err(StoreError::unavailable)
    }
}

/// Whether a status lets an agent act.
fn is_active(status: RecordStatus) -> bool {
    status == RecordStatus::Active
}

/// A broken constraint is the fault of one op; a full disk is not.
fn is_of_one_op(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch
        ),
        _ => true,
    }
}
