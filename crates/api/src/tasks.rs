//! Tasks: open, look at, close.

use crate::enforcement::closure::ClosureReport;
use crate::timestamp::Timestamp;
use bailiwick_core::ids::{SubjectId, TaskId, TenantId, TokenId, WorkflowId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use utoipa::{IntoParams, ToSchema};

/// The header that carries the agent's own identity on `POST /v1/tasks`.
pub const ACTOR_TOKEN_HEADER: &str = "Actor-Token";

/// The body of `POST /v1/tasks`. The subject's token is the bearer, the agent's identity the
/// `Actor-Token` header, the agent's key the DPoP proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenTaskRequest {
    /// The workflow's id.
    pub workflow: String,
    /// The workflow's parameters, checked against its JSON Schema.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// Free text for the record; never an input that grants anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The one resource that the first token is for.
    pub audience: String,
}

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Its tokens can be used.
    Open,
    /// Done; its tokens are dead.
    Completed,
    /// Given up; its tokens are dead.
    Cancelled,
    /// Past its deadline; its tokens are dead.
    Expired,
    /// Killed; its tokens are dead.
    Revoked,
}

impl TaskState {
    /// The state's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for TaskState {
    type Err = UnknownTaskState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Open, Self::Completed, Self::Cancelled, Self::Expired, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownTaskState)
    }
}

/// A text that names no state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of open, completed, cancelled, expired, revoked")]
pub struct UnknownTaskState;

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its id: the `txn` of every token of it.
    #[schema(value_type = String)]
    pub task_id: TaskId,
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
    /// The parameters it was opened with.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// The tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The environment.
    pub env: String,
    /// The ceiling of its data's sensitivity.
    pub sensitivity: String,
    /// The ceiling of its authority, as an `agent_delegation` detail.
    #[schema(value_type = Object)]
    pub authority: Value,
    /// What its tokens may be for.
    pub audiences: Vec<String>,
    /// The deepest hop allowed.
    pub max_depth: u8,
    /// State.
    pub state: TaskState,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
    /// When it was closed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// The first token.
    #[schema(value_type = String)]
    pub root_jti: TokenId,
    /// How many tokens were issued in it.
    pub tokens: u64,
    /// What is left of its budgets, by constraint key; in units of the constraint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetView>,
}

/// How much of one budget is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetView {
    /// The token that the budget belongs to.
    #[schema(value_type = String)]
    pub jti: TokenId,
    /// The constraint's key.
    pub key: String,
    /// How much is used.
    pub used: f64,
    /// How much there is, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// `GET /v1/tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    /// Tasks, newest first.
    pub tasks: Vec<TaskView>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Query of `GET /v1/tasks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskQuery {
    /// Only tasks in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<TaskState>,
    /// Only tasks of this workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Only tasks of this subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How many at most; 1 to 1000, 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The answer to complete, cancel and revoke of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloseTaskResponse {
    /// The task.
    #[schema(value_type = String)]
    pub task_id: TaskId,
    /// Its state from now on.
    pub state: TaskState,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// How many tokens died with it.
    pub tokens: u64,
    /// The leaf of the closing.
    pub ledger_index: u64,
    /// Where it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closure: Option<ClosureReport>,
}
