//! What the writer keeps in memory to decide whether an effect may happen.
//!
//! The writer is the only one that changes the database (a file lock sees to that), so what it
//! remembers is the truth. A task is loaded with its tokens and budgets on first touch; every
//! condition is then a pure function of it, checked before the first row of an effect is written.

use std::collections::HashMap;

use bailiwick_core::{AgentId, DebitKind, Micros, Sha256Hash, TaskId, TokenId, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _};

use super::buckets::{Buckets, half};
use super::generations::Generations;
use super::key::{Key, Role};
use super::lookup::{Finder, Lookups, Wanted};
use super::row;
use crate::model::{
    NewLease, NodeDebit, ProofRow, RecordStatus, Refused, TaskRecord, TaskState, TokenKind,
    TokenRecord,
};

/// Tasks and tokens in one generation of the writer's memory.
const LIVE_WEIGHT_MAX: usize = 600_000;

/// The writer's memory.
pub(super) struct Live {
    tasks: Generations<TaskId, LiveTask>,
    pub(super) agents: Agents,
    pub(super) lookups: Lookups,
    /// Proofs of possession that must not be accepted again.
    proofs: Buckets<()>,
}

/// One task as the conditions see it.
#[derive(Debug)]
pub(super) struct LiveTask {
    state: TaskState,
    deadline: UnixMillis,
    minute: i64,
    hops_in_minute: u32,
    tokens: HashMap<TokenId, LiveToken>,
    used: HashMap<BudgetOf, Micros>,
}

/// One budget: whose, of which key, of which kind.
pub(super) type BudgetOf = (TokenId, DebitKind, Box<str>);

/// A draw: hop, kind, key, amount, and what the budget may hold in all.
type DrawOn<'a> = (TokenId, DebitKind, &'a str, Micros, Micros);

/// One token as the conditions see it.
#[derive(Clone, Debug)]
pub(super) struct LiveToken {
    hop: TokenId,
    lineage: Box<[TokenId]>,
    agent: AgentId,
    exp: i64,
    status_idx: u64,
    revoked: bool,
    /// Hops settled from it; counted on the first token of a hop.
    fanout: u32,
}

/// A token that a revocation or the end of its task kills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Killed {
    pub(super) jti: TokenId,
    pub(super) task: TaskId,
    pub(super) exp: i64,
    pub(super) status_idx: u64,
}

impl Live {
    /// Loads what is needed at start.
    pub(super) fn load(
        conn: &Connection,
        now: UnixMillis,
        lookups: Lookups,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            lookups,
            tasks: Generations::new(LIVE_WEIGHT_MAX),
            agents: Agents::load(conn)?,
            proofs: load_proofs(conn, now)?,
        })
    }

    /// A task and everything about it, with the status of every agent.
    pub(super) fn task(
        &mut self,
        conn: &Connection,
        id: TaskId,
    ) -> rusqlite::Result<Option<(&mut LiveTask, &Agents)>> {
        if self.tasks.get_mut(&id).is_none() {
            let Some(task) = LiveTask::load(&self.lookups.finder(conn), id)? else {
                return Ok(None);
            };
            let weight = 1 + task.tokens.len();
            self.tasks.insert(id, task, weight);
        }
        Ok(self.tasks.get_mut(&id).map(|task| (task, &self.agents)))
    }

    /// A task that has just been written.
    pub(super) fn add_task(&mut self, record: &TaskRecord, root: &TokenRecord) {
        let mut task = LiveTask::new(record.state, record.deadline_ms);
        task.add_token(root);
        self.tasks.insert(record.id, task, 4);
    }

    /// Whether this proof is new.
    pub(super) fn check_proof(&self, proof: Option<&ProofRow>) -> Result<(), Refused> {
        match proof.and_then(|proof| self.proofs.get(half(&proof.jti_hash))) {
            None => Ok(()),
            Some(()) => Err(Refused::ProofReplayed),
        }
    }

    /// A proof that has just been written.
    pub(super) fn add_proof(&mut self, proof: &ProofRow) {
        self.proofs.add(half(&proof.jti_hash), (), proof.expires_ms);
    }

    /// Forgets expired proofs.
    pub(super) fn prune(&mut self, now: UnixMillis) {
        self.proofs.prune(now);
    }

    /// After a transaction that was rolled back: nothing that it did is remembered.
    pub(super) fn roll_back(&mut self) {
        self.tasks.clear();
        self.lookups.roll_back();
        self.agents.roll_back();
        self.proofs.roll_back();
    }

    /// After a commit.
    pub(super) fn commit(&mut self) {
        self.lookups.commit();
        self.agents.undo.clear();
        self.proofs.commit();
    }
}

fn load_proofs(conn: &Connection, now: UnixMillis) -> rusqlite::Result<Buckets<()>> {
    let mut proofs = Buckets::new();
    let mut query =
        conn.prepare("SELECT proof_expires_ms, proof FROM recent WHERE proof_expires_ms > ?1")?;
    let mut rows = query.query([row::signed(now.0)])?;
    while let Some(found) = rows.next()? {
        let hash = Sha256Hash(found.get(1)?);
        proofs.add(half(&hash), (), row::millis(found, 0)?);
    }
    proofs.commit();
    Ok(proofs)
}

/// The status of every agent that has ever been registered.
#[derive(Debug)]
pub(super) struct Agents {
    status: HashMap<AgentId, RecordStatus>,
    undo: Vec<(AgentId, Option<RecordStatus>)>,
}

impl Agents {
    fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut query = conn
            .prepare("SELECT id, status, max(version) FROM registry WHERE kind = 1 GROUP BY id")?;
        let rows = query
            .query_map((), |row| Ok((row::parsed::<AgentId>(row, 0)?, row::status(row, 1)?)))?;
        Ok(Self { status: rows.collect::<rusqlite::Result<_>>()?, undo: Vec::new() })
    }

    /// Whether the agent may act. Whether it is registered at all is for the caller to know.
    pub(super) fn check(&self, agent: &AgentId) -> Result<(), Refused> {
        match self.status.get(agent) {
            None | Some(RecordStatus::Active) => Ok(()),
            Some(_) => Err(Refused::AgentQuarantined),
        }
    }

    pub(super) fn set(&mut self, agent: &AgentId, status: RecordStatus) {
        let before = self.status.insert(agent.clone(), status);
        self.undo.push((agent.clone(), before));
    }

    fn roll_back(&mut self) {
        while let Some((agent, before)) = self.undo.pop() {
            match before {
                Some(status) => self.status.insert(agent, status),
                None => self.status.remove(&agent),
            };
        }
    }
}

impl LiveTask {
    fn new(state: TaskState, deadline: UnixMillis) -> Self {
        Self {
            state,
            deadline,
            minute: 0,
            hops_in_minute: 0,
            tokens: HashMap::new(),
            used: HashMap::new(),
        }
    }

    /// The task as it is in the database; of one that has ended, only that.
    pub(super) fn load(finder: &Finder<'_>, id: TaskId) -> rusqlite::Result<Option<Self>> {
        let conn = finder.conn;
        let mut query = conn.prepare_cached("SELECT state, deadline_ms FROM task WHERE id = ?1")?;
        let found = query
            .query_row([id.as_bytes()], |row| {
                Ok(Self::new(row::task_state(row, 0)?, row::millis(row, 1)?))
            })
            .optional()?;
        let Some(mut task) = found else {
            return Ok(None);
        };
        if task.state == TaskState::Open {
            task.load_tokens(finder, id)?;
            task.load_budgets(conn, id)?;
        }
        Ok(Some(task))
    }

    fn load_tokens(&mut self, finder: &Finder<'_>, id: TaskId) -> rusqlite::Result<()> {
        let mut query = finder.conn.prepare_cached(
            "SELECT t.jti, t.hop, t.lineage, t.agent, t.exp, t.status_idx, r.at_ms IS NOT NULL,
                    t.kind, t.parent, t.iat
             FROM token t LEFT JOIN revoked r ON r.status_idx = t.status_idx WHERE t.leaf = ?1",
        )?;
        for leaf in finder.leaves(Wanted::all(Key::of_task(id), Role::IssuedFor))? {
            let mut rows = query.query([leaf])?;
            let Some(found) = rows.next()? else { continue };
            let token = LiveToken {
                hop: row::token_id(found, 1)?,
                lineage: row::lineage(found, 2)?.into(),
                agent: row::parsed(found, 3)?,
                exp: found.get(4)?,
                status_idx: row::unsigned(found.get(5)?),
                revoked: found.get(6)?,
                fanout: 0,
            };
            let kind = row::token_kind(found, 7)?;
            let parent = found.get::<_, Option<[u8; 16]>>(8)?.map(TokenId::from_bytes);
            self.add(row::token_id(found, 0)?, token, kind, parent, found.get(9)?);
        }
        Ok(())
    }

    fn load_budgets(&mut self, conn: &Connection, id: TaskId) -> rusqlite::Result<()> {
        let mut query =
            conn.prepare_cached("SELECT node, kind, key, used FROM budget WHERE task = ?1")?;
        let mut rows = query.query([id.as_bytes()])?;
        while let Some(found) = rows.next()? {
            let node = row::token_id(found, 0)?;
            let budget = (node, row::debit_kind(found, 1)?, found.get(2)?);
            self.used.insert(budget, Micros(found.get(3)?));
        }
        Ok(())
    }

    /// A token that has just been written; returns the fan-outs that this changes.
    pub(super) fn add_token(&mut self, record: &TokenRecord) -> Vec<(TokenId, u32)> {
        let token = LiveToken {
            hop: record.hop,
            lineage: record.lineage.as_slice().into(),
            agent: record.agent.clone(),
            exp: record.exp,
            status_idx: record.status_idx,
            revoked: false,
            fanout: 0,
        };
        self.add(record.jti, token, record.kind, record.parent, record.iat);
        let parents = record.parent.and_then(|parent| self.tokens.get(&parent)).map(|t| t.hop);
        let hops = parents.into_iter().chain([record.hop]);
        hops.filter_map(|hop| Some((hop, self.tokens.get(&hop)?.fanout))).collect()
    }

    fn add(
        &mut self,
        jti: TokenId,
        token: LiveToken,
        kind: TokenKind,
        parent: Option<TokenId>,
        iat: i64,
    ) {
        self.tokens.insert(jti, token);
        if kind != TokenKind::Hop {
            return;
        }
        let hop = parent.and_then(|parent| self.tokens.get(&parent)).map(|parent| parent.hop);
        if let Some(first) = hop.and_then(|hop| self.tokens.get_mut(&hop)) {
            first.fanout = first.fanout.saturating_add(1);
        }
        let minute = iat.div_euclid(60);
        if minute > self.minute {
            self.minute = minute;
            self.hops_in_minute = 0;
        }
        self.hops_in_minute = self.hops_in_minute.saturating_add(1);
    }

    /// Whether work may go on.
    pub(super) fn check_open(&self, now: UnixMillis) -> Result<(), Refused> {
        if self.state == TaskState::Open && now < self.deadline {
            Ok(())
        } else {
            Err(Refused::TaskClosed)
        }
    }

    /// Whether a final state may be recorded: a task that has run out is neither completed nor
    /// cancelled.
    pub(super) fn check_close(&self, state: TaskState, now: UnixMillis) -> Result<(), Refused> {
        match state {
            TaskState::Open => Err(Refused::VersionConflict),
            TaskState::Completed | TaskState::Cancelled => self.check_open(now),
            TaskState::Expired | TaskState::Revoked if self.state == TaskState::Open => Ok(()),
            TaskState::Expired | TaskState::Revoked => Err(Refused::TaskClosed),
        }
    }

    /// Whether this token is known and alive, and everything it stems from.
    pub(super) fn check_token(
        &self,
        jti: TokenId,
        agents: &Agents,
        now: UnixMillis,
    ) -> Result<(), Refused> {
        let token = self.tokens.get(&jti).ok_or(Refused::Revoked)?;
        self.check_alive(token, agents)?;
        self.check_lineage(&token.lineage, agents)?;
        if now >= UnixMillis::from_seconds(token.exp) {
            return Err(Refused::Expired);
        }
        Ok(())
    }

    /// Whether these tokens are known and not revoked, and their agents active.
    pub(super) fn check_lineage(
        &self,
        lineage: &[TokenId],
        agents: &Agents,
    ) -> Result<(), Refused> {
        for ancestor in lineage {
            self.check_alive(self.tokens.get(ancestor).ok_or(Refused::Revoked)?, agents)?;
        }
        Ok(())
    }

    fn check_alive(&self, token: &LiveToken, agents: &Agents) -> Result<(), Refused> {
        let hop_revoked = self.tokens.get(&token.hop).is_none_or(|first| first.revoked);
        if token.revoked || hop_revoked {
            return Err(Refused::Revoked);
        }
        agents.check(&token.agent)
    }

    /// Whether the hop that is to be renewed is alive.
    pub(super) fn check_hop(&self, hop: TokenId, agents: &Agents) -> Result<(), Refused> {
        self.check_alive(self.tokens.get(&hop).ok_or(Refused::Revoked)?, agents)
    }

    /// Whether the parent's hop may settle one more hop, and the task one more in this minute.
    pub(super) fn check_room(
        &self,
        parent: TokenId,
        fanout_max: u32,
        rate_per_minute_max: u32,
        iat: i64,
    ) -> Result<(), Refused> {
        let hop = self.tokens.get(&parent).map(|parent| parent.hop);
        let first = hop.and_then(|hop| self.tokens.get(&hop)).ok_or(Refused::Revoked)?;
        if first.fanout >= fanout_max {
            return Err(Refused::FanoutExceeded);
        }
        // A time before the minute being counted counts to that minute: going back gives no room.
        let in_minute = if iat.div_euclid(60) > self.minute { 0 } else { self.hops_in_minute };
        if in_minute >= rate_per_minute_max {
            return Err(Refused::RateExceeded);
        }
        Ok(())
    }

    /// The new totals, if every budget covers its draws; several draws on one budget add up.
    pub(super) fn check_budgets(
        &self,
        entries: &[NodeDebit],
    ) -> Result<Vec<(BudgetOf, Micros)>, Refused> {
        let mut draws = Vec::with_capacity(entries.len());
        for NodeDebit { node, debit } in entries {
            let hop = self.tokens.get(node).ok_or(Refused::Revoked)?.hop;
            draws.push((hop, debit.kind, debit.key.as_str(), debit.amount, debit.limit));
        }
        self.totals(&draws)
    }

    /// The new totals, if every budget covers its lease.
    pub(super) fn check_leases(
        &self,
        leases: &[NewLease],
    ) -> Result<Vec<(BudgetOf, Micros)>, Refused> {
        let mut draws = Vec::with_capacity(leases.len());
        for NewLease { lease, limit, unsettled } in leases {
            let hop = match self.tokens.get(&lease.node) {
                Some(token) => token.hop,
                None if *unsettled => lease.node,
                None => return Err(Refused::Revoked),
            };
            draws.push((hop, lease.kind, lease.key.as_str(), lease.amount, *limit));
        }
        self.totals(&draws)
    }

    fn totals(&self, draws: &[DrawOn<'_>]) -> Result<Vec<(BudgetOf, Micros)>, Refused> {
        let mut totals: Vec<(BudgetOf, Micros)> = Vec::with_capacity(draws.len());
        for (hop, kind, key, amount, limit) in draws {
            let budget: BudgetOf = (*hop, *kind, (*key).into());
            let earlier = totals.iter().position(|(of, _)| *of == budget);
            let before = match earlier.and_then(|at| totals.get(at)) {
                Some((_, total)) => *total,
                None => self.used.get(&budget).copied().unwrap_or_default(),
            };
            let exhausted = || Refused::BudgetExhausted { key: (*key).to_owned() };
            let total = Micros(before.0.checked_add(amount.0).ok_or_else(exhausted)?);
            if amount.0 < 0 || total > *limit {
                return Err(exhausted());
            }
            match earlier.and_then(|at| totals.get_mut(at)) {
                Some(entry) => entry.1 = total,
                None => totals.push((budget, total)),
            }
        }
        Ok(totals)
    }

    /// What is used of a budget.
    pub(super) fn used(&self, budget: &BudgetOf) -> Micros {
        self.used.get(budget).copied().unwrap_or_default()
    }

    /// Whether the task is recorded as open.
    pub(super) fn is_open(&self) -> bool {
        self.state == TaskState::Open
    }

    /// Budgets that have just been written.
    pub(super) fn set_used(&mut self, totals: Vec<(BudgetOf, Micros)>) {
        self.used.extend(totals);
    }

    /// The task has ended; returns the tokens that this kills.
    pub(super) fn close(&mut self, id: TaskId, state: TaskState, now: UnixMillis) -> Vec<Killed> {
        let killed = self.living(id, now).collect();
        *self = Self::new(state, self.deadline);
        killed
    }

    fn living(&self, task: TaskId, now: UnixMillis) -> impl Iterator<Item = Killed> {
        self.tokens
            .iter()
            .filter(move |(_, token)| !token.revoked && UnixMillis::from_seconds(token.exp) > now)
            .map(move |(jti, token)| token.killed(*jti, task))
    }

    /// Marks as revoked the hops of `targets` and everything below them; returns what this kills.
    /// Tokens that have expired are marked too, so that their hop cannot be renewed.
    pub(super) fn revoke(&mut self, id: TaskId, targets: &[TokenId]) -> Vec<Killed> {
        let doomed = self.below(targets);
        let mut killed = Vec::with_capacity(doomed.len());
        for jti in doomed {
            if let Some(token) = self.tokens.get_mut(&jti).filter(|token| !token.revoked) {
                token.revoked = true;
                killed.push(token.killed(jti, id));
            }
        }
        killed
    }

    /// Every token of the hops of `targets`, and every token that stems from one of those.
    fn below(&self, targets: &[TokenId]) -> Vec<TokenId> {
        let hop_of = |jti: &TokenId| self.tokens.get(jti).map(|token| token.hop);
        let hops: Vec<TokenId> = targets.iter().filter_map(hop_of).collect();
        let in_hops = |jti: &TokenId| hop_of(jti).is_some_and(|hop| hops.contains(&hop));
        let doomed =
            |jti: &TokenId, token: &LiveToken| in_hops(jti) || token.lineage.iter().any(in_hops);
        let all = self.tokens.iter().filter(|(jti, token)| doomed(jti, token));
        all.map(|(jti, _)| *jti).collect()
    }

    /// Tokens of these agents that have not expired.
    pub(super) fn held_by(&self, agent: &AgentId, now: UnixMillis) -> Vec<TokenId> {
        let held = self.tokens.iter().filter(|(_, token)| {
            token.agent == *agent && UnixMillis::from_seconds(token.exp) > now
        });
        held.map(|(jti, _)| *jti).collect()
    }

    /// Whether the task has such a token.
    pub(super) fn knows(&self, jti: TokenId) -> bool {
        self.tokens.contains_key(&jti)
    }
}

impl LiveToken {
    fn killed(&self, jti: TokenId, task: TaskId) -> Killed {
        Killed { jti, task, exp: self.exp, status_idx: self.status_idx }
    }
}

/// The task that a token belongs to.
pub(super) fn task_of_token(finder: &Finder<'_>, jti: TokenId) -> rusqlite::Result<Option<TaskId>> {
    let leaves = finder.leaves(Wanted::first(Key::of_token(jti), Role::Issued))?;
    let Some(leaf) = leaves.first() else { return Ok(None) };
    let mut query = finder.conn.prepare_cached("SELECT task FROM token WHERE leaf = ?1")?;
    query.query_row([leaf], |found| row::task_id(found, 0)).optional()
}

/// Tasks in which the agent may hold a live token.
pub(super) fn tasks_of_agent(
    conn: &Connection,
    agent: &AgentId,
    now: UnixMillis,
) -> rusqlite::Result<Vec<TaskId>> {
    let mut query = conn.prepare_cached(
        "SELECT DISTINCT t.task FROM recent r JOIN token t ON t.leaf = r.leaf
         WHERE r.agent = ?1 AND r.exp >= ?2 ORDER BY t.task",
    )?;
    let params = (Key::agent_number(agent), now.seconds());
    query.query_map(params, |found| row::task_id(found, 0))?.collect()
}
