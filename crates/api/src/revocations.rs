//! Revocation of a task, of a token with everything under it, or of everything an agent holds.

use crate::enforcement::closure::ClosureReport;
use bailiwick_core::ids::{AgentId, RevocationId, TaskId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of `POST /v1/revocations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationRequest {
    /// What to kill.
    pub target: RevocationTarget,
    /// Free text for the record, at most 1024 bytes.
    #[serde(default)]
    pub reason: String,
    /// Answer what would die, and kill nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What to kill: `{"task": …}`, `{"jti": …}` or `{"agent": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RevocationTarget {
    /// A task, with all of its tokens.
    #[schema(value_type = String)]
    Task(TaskId),
    /// A token, with every token under it.
    #[schema(value_type = String)]
    Jti(TokenId),
    /// Every live token that an agent holds, with every token under them.
    #[schema(value_type = String)]
    Agent(AgentId),
}

/// What died, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevocationResponse {
    /// The revocation; absent on a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub revocation_id: Option<RevocationId>,
    /// The tokens that were live and are not any more.
    #[schema(value_type = Vec<String>)]
    pub tokens: Vec<TokenId>,
    /// The tasks that were closed, or whose tokens died.
    #[schema(value_type = Vec<String>)]
    pub tasks: Vec<TaskId>,
    /// The leaf of the revocation; absent on a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_index: Option<u64>,
    /// Where it is in force; absent on a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closure: Option<ClosureReport>,
}
