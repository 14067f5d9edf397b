//! What policy has to be told of a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use bailiwick_api::client::ClientError;
use bailiwick_api::enforcement::feed::EnforcementTask;
use bailiwick_api::{ProblemCode, TaskState};
use bailiwick_core::ReadsSalt;
use bailiwick_core::ids::{AgentId, TaskId, TenantId, TokenId, WorkflowId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::{Scope, ScopeSet};
use bailiwick_core::time::UnixMillis;
use bailiwick_policy::{Sensitivity, SubjectFacts, TaskFacts};

use super::hops::Hops;
use crate::stop::Stop;

/// Hand-overs of one workflow, at most.
const EDGES_MAX: usize = 4_096;

/// One task, as the Authority vouches for it.
pub(crate) struct TaskContext {
    pub(crate) id: TaskId,
    /// Who started it.
    pub(crate) subject: Arc<SubjectFacts>,
    pub(crate) purpose: String,
    pub(crate) workflow: WorkflowId,
    pub(crate) tenant: TenantId,
    pub(crate) environment: String,
    /// The most sensitive data that it may touch.
    pub(crate) ceiling: Sensitivity,
    pub(crate) opened: UnixMillis,
    pub(crate) deadline: UnixMillis,
    /// Salts the digests of what the task has read. Never logged.
    pub(crate) reads_salt: ReadsSalt,
    /// Hops that one hop may make.
    max_fanout: u32,
    /// The longest life of a hop, in seconds.
    ttl_seconds_max: u64,
    /// Whether hops may travel unsettled.
    offline: bool,
    edges: Vec<Edge>,
    /// Hops that were settled here.
    hops: Hops,
    /// The rank of the most sensitive that was read.
    exposure: AtomicU8,
}

struct Edge {
    from: AgentId,
    to: AgentId,
    /// None: everything.
    scopes: Option<ScopeSet>,
}

impl std::fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskContext").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TaskContext {
    /// The task at an instant, as policy sees it.
    pub(crate) fn facts(&self, now: UnixMillis) -> TaskFacts {
        let left = self.deadline.millis_since(now) / 1000;
        TaskFacts {
            age_seconds: now.millis_since(self.opened) / 1000,
            deadline_seconds_left: i64::try_from(left).unwrap_or(i64::MAX),
            environment: self.environment.clone(),
            exposure: self.exposure(),
            id: self.id,
            purpose: self.purpose.clone(),
            sensitivity_ceiling: self.ceiling,
            tenant: self.tenant.clone(),
            workflow: self.workflow.clone(),
        }
    }

    /// Whether the workflow lets `from` hand exactly these scopes to `to` without the Authority.
    ///
    /// # Errors
    /// `offline_hop_forbidden`, `edge_forbidden`.
    pub(crate) fn require_edge(
        &self,
        from: &AgentId,
        to: &AgentId,
        scopes: &ScopeSet,
    ) -> Result<(), Stop> {
        if !self.offline {
            let detail = format!(
                "{} does not let hops travel unsettled; settle the grant at the Authority",
                self.workflow
            );
            return Err(Stop::new(Outcome::OfflineHopForbidden, detail));
        }
        let edge = self.edges.iter().find(|edge| edge.from == *from && edge.to == *to);
        let allowed = edge.is_some_and(|edge| match &edge.scopes {
            None => true,
            Some(allowed) => scopes.is_narrower_than(allowed),
        });
        if allowed && !scopes.is_empty() {
            return Ok(());
        }
        let detail = format!("{} has no edge from {from} to {to} for these scopes", self.workflow);
        Err(Stop::new(Outcome::EdgeForbidden, detail))
    }

    /// How often `parent` has handed on at this gateway, if it may hand on to `child` as well.
    ///
    /// # Errors
    /// `fanout_exceeded`.
    pub(crate) fn require_room(&self, parent: TokenId, child: TokenId) -> Result<u32, Stop> {
        self.hops.require_room(parent, child, self.max_fanout)
    }

    /// The hop from `parent` to `child` was settled here.
    pub(crate) fn hopped(&self, parent: TokenId, child: TokenId) {
        self.hops.add(parent, child);
    }

    /// The end, in seconds, of a hop that was signed at `iat` and ends at `exp`: no hop lives longer
    /// than its workflow says, nor past the task's deadline.
    pub(crate) fn hop_end(&self, iat: i64, exp: i64) -> i64 {
        let longest = i64::try_from(self.ttl_seconds_max).unwrap_or(i64::MAX);
        exp.min(iat.saturating_add(longest)).min(self.deadline.seconds())
    }

    /// The most sensitive that the task has read, as far as it is known here; public before it read
    /// anything.
    pub(crate) fn exposure(&self) -> Sensitivity {
        let rank = i64::from(self.exposure.load(Ordering::Acquire));
        // A rank that is none cannot be stored; should it be, nothing is more sensitive.
        let level = Sensitivity::ALL.iter().find(|level| level.rank() == rank);
        level.copied().unwrap_or_default()
    }

    /// Notes that the task has read something this sensitive; says whether that is news here.
    pub(crate) fn raise_exposure(&self, level: Sensitivity) -> bool {
        let rank = rank(level);
        self.exposure.fetch_max(rank, Ordering::AcqRel) < rank
    }
}

#[cfg(test)]
impl TaskContext {
    /// A task that has read nothing, for tests without an Authority.
    pub(crate) fn sample(id: TaskId) -> Self {
        Self {
            id,
            subject: Arc::new(SubjectFacts {
                attributes: std::collections::BTreeMap::new(),
                groups: Vec::new(),
                id: "user:alice@a.example".parse().unwrap(),
                issuer: "https://idp.a.example".to_owned(),
            }),
            purpose: "a test".to_owned(),
            workflow: "test".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            environment: "dev".to_owned(),
            ceiling: Sensitivity::Restricted,
            opened: UnixMillis(0),
            deadline: UnixMillis(u64::MAX),
            max_fanout: 4,
            ttl_seconds_max: 300,
            offline: false,
            reads_salt: ReadsSalt::new([9; 32]),
            edges: Vec::new(),
            hops: Hops::default(),
            exposure: AtomicU8::new(0),
        }
    }
}

fn rank(level: Sensitivity) -> u8 {
    u8::try_from(level.rank()).unwrap_or(u8::MAX)
}

/// A context with what tells whether it is as fresh as the feed.
pub(super) struct Kept {
    context: Arc<TaskContext>,
    generation: AtomicU64,
}

impl Kept {
    /// What the Authority answered, checked.
    pub(super) fn read(id: TaskId, view: &EnforcementTask, generation: u64) -> Result<Self, Stop> {
        let context = Arc::new(context(id, view)?);
        Ok(Self { context, generation: AtomicU64::new(generation) })
    }

    pub(super) fn context(&self) -> Arc<TaskContext> {
        Arc::clone(&self.context)
    }

    /// Whether nothing of it can have been missed.
    pub(super) fn is_of(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) >= generation
    }

    /// Takes over what can change from a later answer.
    pub(super) fn refresh(&self, later: &Self) {
        self.context.raise_exposure(later.context.exposure());
        self.generation.fetch_max(later.generation.load(Ordering::Acquire), Ordering::AcqRel);
    }
}

fn context(id: TaskId, view: &EnforcementTask) -> Result<TaskContext, Stop> {
    match view.state {
        TaskState::Open if view.task_id == id => {}
        TaskState::Open => return Err(unreadable("another task")),
        TaskState::Revoked => {
            return Err(Stop::new(Outcome::Revoked, "the task is revoked; start a new one"));
        }
        state => {
            let detail = format!("the task is {state}; start a new one");
            return Err(Stop::new(Outcome::TaskClosed, detail));
        }
    }
    if view.edges.len() > EDGES_MAX {
        return Err(unreadable("too many edges"));
    }
    let mut edges = Vec::with_capacity(view.edges.len());
    for edge in &view.edges {
        let scopes: Result<Vec<Scope>, _> = edge.scopes.iter().map(|text| text.parse()).collect();
        let scopes = scopes.map_err(|_| unreadable("a scope of an edge"))?;
        let scopes = match scopes.is_empty() {
            true => None,
            false => Some(ScopeSet::new(scopes).map_err(|_| unreadable("the scopes of an edge"))?),
        };
        edges.push(Edge { from: edge.from.clone(), to: edge.to.clone(), scopes });
    }
    let reads_salt: ReadsSalt =
        view.reads_salt.parse().map_err(|_| unreadable("the salt of its reads"))?;
    let level = |word: &str| word.parse().map_err(|_| unreadable("a sensitivity"));
    let exposure = match view.exposure.as_deref() {
        None => Sensitivity::Public,
        Some(word) => level(word)?,
    };
    Ok(TaskContext {
        id,
        subject: Arc::new(SubjectFacts {
            attributes: view.subject_attributes.clone(),
            groups: view.subject_groups.clone(),
            id: view.subject.clone(),
            issuer: view.subject_issuer.clone(),
        }),
        purpose: view.purpose.clone(),
        workflow: view.workflow.clone(),
        tenant: view.tenant.clone(),
        environment: view.env.clone(),
        ceiling: level(&view.sensitivity)?,
        opened: view.opened_at.unix_millis(),
        deadline: view.deadline.unix_millis(),
        max_fanout: view.max_fanout,
        ttl_seconds_max: view.ttl_seconds_max,
        offline: view.offline,
        reads_salt,
        edges,
        hops: Hops::default(),
        exposure: AtomicU8::new(rank(exposure)),
    })
}

fn unreadable(what: &str) -> Stop {
    let detail = format!("the Authority's answer about the task cannot be used: {what}");
    Stop::new(Outcome::StatusUnknown, detail)
}

/// The Authority could not be asked.
pub(super) fn unreachable(why: &str) -> Stop {
    tracing::warn!(why, "the Authority cannot be asked about a task");
    let detail = "nothing is known of the task here, and the Authority cannot be asked now";
    Stop::new(Outcome::StatusUnknown, detail)
}

/// The Authority did not say.
pub(super) fn not_told(error: &ClientError) -> Stop {
    match ProblemCode::from_code(error.code().unwrap_or_default()) {
        Some(ProblemCode::NotFound) => {
            let detail = "the token's task is not one that this gateway may enforce";
            Stop::new(Outcome::TaskMismatch, detail)
        }
        Some(code @ ProblemCode::Outcome(Outcome::TenantMismatch)) => {
            Stop::new(code, "the gateway is not of the task's tenant and environment")
        }
        _ => unreachable(&error.to_string()),
    }
}
