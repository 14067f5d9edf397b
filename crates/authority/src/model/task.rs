//! A task: one piece of work, from its opening to its end.

use std::fmt;
use std::str::FromStr;

use bailiwick_core::{
    ReadsSalt, Sha256Hash, SubjectId, TaskId, TenantId, TokenId, UnixMillis, WorkflowId,
};
use bailiwick_policy::Sensitivity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a task is in its life. Everything but `Open` is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Work may go on until the deadline.
    Open,
    /// Its agent said that it is done.
    Completed,
    /// Its subject or agent gave it up.
    Cancelled,
    /// The deadline passed.
    Expired,
    /// Authority over it was withdrawn.
    Revoked,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Completed, Self::Cancelled, Self::Expired, Self::Revoked];

    /// The word used in the API and on screens.
    pub const fn as_str(self) -> &'static str {
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

/// A word that names no task state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task is `open`, `completed`, `cancelled`, `expired` or `revoked`")]
pub struct UnknownTaskState;

impl FromStr for TaskState {
    type Err = UnknownTaskState;

    fn from_str(word: &str) -> Result<Self, UnknownTaskState> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(UnknownTaskState)
    }
}

/// One task. Only `state`, `closed_ms`, `exposure` and `reads_salt` ever change.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// `txn` of every token of the task.
    pub id: TaskId,
    /// Who started it; `sub` of every token.
    pub subject: SubjectId,
    /// Who vouched for the subject.
    pub subject_issuer: String,
    /// The subject's groups when the task was opened.
    pub subject_groups: Vec<String>,
    /// The subject's attributes when the task was opened (a JSON object).
    pub subject_attributes: Value,
    /// For what.
    pub purpose: String,
    /// The named kind of task.
    pub workflow: WorkflowId,
    /// The version of the workflow it was opened under.
    pub workflow_version: u32,
    /// The workflow's parameters as given (a JSON object).
    pub parameters: Value,
    /// Tenant; the same on every token.
    pub tenant: TenantId,
    /// Environment, such as `dev` or `prod`.
    pub env: String,
    /// The most that any token of it may permit, as an authorization detail.
    pub ceiling: Value,
    /// The most sensitive data it may touch.
    pub sensitivity: Sensitivity,
    /// When it was opened.
    pub opened_ms: UnixMillis,
    /// When it ends by itself.
    pub deadline_ms: UnixMillis,
    /// Where it is in its life.
    pub state: TaskState,
    /// When it left `Open`.
    pub closed_ms: Option<UnixMillis>,
    /// `jti` of its DT_0.
    pub root_jti: TokenId,
    /// The deepest hop allowed.
    pub max_depth: u8,
    /// Hops that one hop may settle.
    pub max_fanout: u32,
    /// Hops settled in one minute, over the whole task.
    pub hop_rate_per_minute: u32,
    /// Audiences its tokens may name.
    pub audiences: Vec<String>,
    /// The most sensitive data that it has read so far; public before it has read any.
    pub exposure: Sensitivity,
    /// Salts the digests of what it has read. None once it has ended: nothing is read then.
    pub reads_salt: Option<ReadsSalt>,
    /// SHA-256 of the signed part of the token that started it. Whoever started it for the subject
    /// has held that token, so it approves nothing.
    pub subject_token: Option<Sha256Hash>,
}

impl TaskRecord {
    /// Its state at an instant: a task whose deadline has passed is expired, whether or not
    /// anybody has recorded that yet.
    pub fn state_at(&self, now: UnixMillis) -> TaskState {
        if self.state == TaskState::Open && now >= self.deadline_ms {
            TaskState::Expired
        } else {
            self.state
        }
    }
}

/// Which tasks to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only in this recorded state.
    pub state: Option<TaskState>,
    /// Only of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Only of this subject.
    pub subject: Option<SubjectId>,
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
}
