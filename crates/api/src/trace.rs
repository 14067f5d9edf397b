//! The trace of a task: who started it, which agents, which decisions, which actions, when.

use crate::enforcement::closure::ClosureReport;
use crate::tasks::TaskState;
use crate::timestamp::Timestamp;
use bailiwick_core::ids::{AgentId, DecisionId, SubjectId, TaskId, TenantId, TokenId, WorkflowId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /v1/trace/{id}`: the whole tree around a task, token, decision or ledger index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceTree {
    /// What was asked for, and what kind of thing it turned out to be.
    pub focus: TraceFocus,
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Who started it.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// Who vouched for the subject.
    pub subject_issuer: String,
    /// The workflow.
    #[schema(value_type = String)]
    pub workflow: WorkflowId,
    /// The workflow's version when the task was opened.
    pub workflow_version: u32,
    /// What for.
    pub purpose: String,
    /// The tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The environment.
    pub env: String,
    /// The task's state.
    pub state: TaskState,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
    /// When it was closed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Tokens, parents before children; `parent` makes the tree.
    pub hops: Vec<TraceHop>,
    /// Every decision in the order logged: task start, hops, actions; denials too.
    pub decisions: Vec<TraceDecision>,
    /// What else happened: completion, revocation, quarantine.
    #[serde(default)]
    pub events: Vec<TraceEvent>,
    /// Where the last thing that ended in it is dead; absent while nothing has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closure: Option<ClosureReport>,
    /// What is missing from the record. Stated, never guessed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

/// What a trace was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceFocus {
    /// What kind of thing the id named.
    pub kind: FocusKind,
    /// The id as asked.
    pub id: String,
}

/// What an id can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FocusKind {
    /// A task.
    Task,
    /// A token, by its `jti`.
    Token,
    /// A decision.
    Decision,
    /// A leaf of the ledger.
    LedgerIndex,
}

/// One token of the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceHop {
    /// Its id.
    #[schema(value_type = String)]
    pub jti: TokenId,
    /// The token that it was narrowed from; absent on the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent: Option<TokenId>,
    /// The agent that holds it.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// How it came to be: `root`, `hop`, `renewal` or `reaudience`.
    pub kind: String,
    /// Hops from the root.
    pub depth: u8,
    /// What it is for.
    pub audience: String,
    /// What it permits.
    pub scopes: Vec<String>,
    /// Within which bounds.
    #[schema(value_type = Vec<Object>)]
    pub constraints: Vec<Value>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// `live`, `expired`, `revoked` or `closed` (with its task).
    pub state: HopState,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// SHA-256 of the delegator's signed grant, `sha-256:…`; absent on the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The decision that allowed it.
    pub decision: TraceDecisionRef,
}

/// Whether a hop's token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HopState {
    /// It can.
    Live,
    /// Its life is over.
    Expired,
    /// It was revoked, or one above it was.
    Revoked,
    /// Its task is closed.
    Closed,
}

impl HopState {
    /// The state's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Closed => "closed",
        }
    }
}

/// The decision behind a hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceDecisionRef {
    /// Its id.
    #[schema(value_type = String)]
    pub id: DecisionId,
    /// The policy set, by its hash.
    pub policy_hash: String,
    /// The policies that determined it.
    pub determining: Vec<String>,
    /// Its leaf; absent when the record does not hold it (then `gaps` says so).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_index: Option<u64>,
}

/// One decision, with what was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceDecision {
    /// When.
    pub time: Timestamp,
    /// Its id.
    #[schema(value_type = String)]
    pub decision_id: DecisionId,
    /// The agent that acted or asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub agent: Option<AgentId>,
    /// The token used: for an action its own, for a hop the delegator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub jti: Option<TokenId>,
    /// `start_task`, `delegate`, `invoke`, `cross_domain`, `renew` or `reaudience`.
    pub act: String,
    /// The scope of an `invoke`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The arguments of an `invoke`, unless erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub arguments: Option<Value>,
    /// Whether it was allowed.
    pub allow: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policy set, by its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
    /// The policies that determined it.
    #[serde(default)]
    pub determining: Vec<String>,
    /// The gateway that took the decision and reported it; absent when the Authority took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reported_by: Option<AgentId>,
    /// The gateway's route that the call went through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Its leaf.
    pub ledger_index: u64,
}

/// Something else that happened to the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceEvent {
    /// When.
    pub time: Timestamp,
    /// The receipt's kind, such as `completion` or `revocation`.
    pub kind: String,
    /// One sentence: what.
    pub summary: String,
    /// The gateway that reported it; absent when the Authority says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reported_by: Option<AgentId>,
    /// Its leaf.
    pub ledger_index: u64,
}
