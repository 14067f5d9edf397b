//! Approvals: a person says yes or no to exactly one action.

use crate::timestamp::Timestamp;
use bailiwick_core::ids::{
    AgentId, ApprovalId, DecisionId, SubjectId, TaskId, TenantId, TokenId, WorkflowId,
};
use bailiwick_core::{ActionDigest, CanonicalAction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use utoipa::{IntoParams, ToSchema};

/// The need that a workflow's `otherwise = "ask"` makes: whoever its `approvers` name.
pub const NEED_ASK: &str = "ask";
/// Needs of one approval.
pub const NEEDS_MAX: usize = 16;

/// What has become of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalState {
    /// Somebody has to decide.
    Pending,
    /// It may be used once.
    Approved,
    /// It was refused; asking again in a while is of no use.
    Refused,
    /// It was used.
    Used,
    /// Nobody decided, or nobody used it, in time.
    Expired,
    /// Its task has ended.
    Ended,
}

impl ApprovalState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Refused, Self::Used, Self::Expired, Self::Ended];

    /// The state's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for ApprovalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no state of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of pending, approved, refused, used, expired, ended")]
pub struct UnknownApprovalState;

impl std::str::FromStr for ApprovalState {
    type Err = UnknownApprovalState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownApprovalState)
    }
}

/// A call as its enforcement point vouches for it. Task, subject, agents and hop are not in it: the
/// Authority takes them from its own record of the token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalCall {
    /// The token that makes the call.
    #[schema(value_type = String)]
    pub jti: TokenId,
    /// The system that is touched.
    pub system: String,
    /// The resource, unique within its system.
    pub resource: String,
    /// The scope that is used.
    pub scope: String,
    /// The tool, where the protocol has tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ApprovalTool>,
    /// The canonical arguments: exactly what will be forwarded.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub arguments: Map<String, Value>,
    /// The digest that the enforcement point computed itself.
    #[schema(value_type = String)]
    pub digest: ActionDigest,
    /// What has to be approved: `ask`, and the names in the policies' `@approval`.
    pub needs: Vec<String>,
}

/// A tool, by name and by what its server says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalTool {
    /// Its name.
    pub name: String,
    /// Hash of its descriptor, `sha-256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<String>,
}

/// The body of `POST /v1/approvals`, sent by an enforcement point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskApprovalRequest {
    /// The call.
    pub call: ApprovalCall,
    /// Why it needs an approval, a sentence each.
    #[serde(default)]
    pub why: Vec<String>,
}

/// Where an approval stands, as its enforcement point is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalStanding {
    /// Its id. The same action asked again has the same id for as long as it is open.
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// Where it stands.
    pub state: ApprovalState,
    /// The action.
    #[schema(value_type = String)]
    pub digest: ActionDigest,
    /// Until when it stands like that.
    pub expires_at: Timestamp,
}

/// The body of `POST /v1/enforcement/approvals/use`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UseApprovalRequest {
    /// The call.
    pub call: ApprovalCall,
    /// The decision that uses it. Asked again for the same decision, the answer is the same.
    #[schema(value_type = String)]
    pub decision_id: DecisionId,
}

/// The answer: the approval that was used up, if one stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UseApprovalReply {
    /// The approval, used by this decision and by no other; absent when none stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<UsedApproval>,
}

/// An approval that was used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsedApproval {
    /// Its id.
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// The needs that it meets.
    pub needs: Vec<String>,
    /// Who approved.
    #[schema(value_type = Vec<String>)]
    pub approvers: Vec<SubjectId>,
}

/// One approval in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalSummary {
    /// Its id.
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// Where it stands.
    pub state: ApprovalState,
    /// The task.
    #[schema(value_type = String)]
    pub task_id: TaskId,
    /// The kind of task.
    #[schema(value_type = String)]
    pub workflow: WorkflowId,
    /// Who started the task.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// The agent that wants to act.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// The scope it wants to use.
    pub scope: String,
    /// The system it wants to touch.
    pub system: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when it stands like that.
    pub expires_at: Timestamp,
}

/// `GET /v1/approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalList {
    /// Approvals that the caller may see, newest first.
    pub approvals: Vec<ApprovalSummary>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Query of `GET /v1/approvals`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApprovalQuery {
    /// Only approvals that stand like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<ApprovalState>,
    /// Only approvals of this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How many at most; 1 to 200, 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Everything an approver has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// What a list says of it.
    #[serde(flatten)]
    pub summary: ApprovalSummary,
    /// What the task is for.
    pub purpose: String,
    /// Its tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Its environment.
    pub env: String,
    /// Who vouched for the subject.
    pub subject_issuer: String,
    /// The agents that the task has passed through; the last wants to act.
    pub agents: Vec<String>,
    /// Which enforcement point asked.
    pub asked_by: String,
    /// Why it needs an approval.
    pub why: Vec<String>,
    /// What has to be approved, and by whom.
    pub needs: Vec<ApprovalNeed>,
    /// The canonical bytes of the action: exactly what is approved. Nothing in it is an instruction
    /// to whoever reads it. Empty once erased.
    pub action: String,
    /// SHA-256 of those bytes; state it to approve or refuse.
    #[schema(value_type = String)]
    pub digest: ActionDigest,
    /// What was decided so far.
    pub decisions: Vec<ApprovalVerdict>,
    /// The decision that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub used_by: Option<DecisionId>,
    /// Whether the caller may decide it.
    pub yours_to_decide: bool,
}

/// One thing that has to be approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalNeed {
    /// Its name: `ask`, or that in a policy's `@approval`.
    pub need: String,
    /// Who may: `subject`, `group:…`, or the id of a person.
    pub approvers: Vec<String>,
    /// Who has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub met_by: Option<SubjectId>,
}

/// What one approver decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalVerdict {
    /// Who.
    #[schema(value_type = String)]
    pub by: SubjectId,
    /// Yes or no.
    pub approved: bool,
    /// Why, as given.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Milliseconds from when the approver was first shown the action; absent when that is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u64>,
}

/// The body of `POST /v1/approvals/{id}/approve` and `/refuse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideApprovalRequest {
    /// The digest of the action that the approver has seen.
    #[schema(value_type = String)]
    pub digest: ActionDigest,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
}

/// The answer to approve and refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecideApprovalResponse {
    /// The approval.
    #[schema(value_type = String)]
    pub approval_id: ApprovalId,
    /// Where it stands now; `pending` while somebody else has to approve too.
    pub state: ApprovalState,
    /// Until when.
    pub expires_at: Timestamp,
    /// The leaf of this decision.
    pub ledger_index: u64,
}

impl ApprovalView {
    /// Whether the digest is that of the action that is shown. A client checks it before anybody
    /// states the digest.
    #[must_use]
    pub fn is_of_its_digest(&self) -> bool {
        ActionDigest::of_bytes(self.action.as_bytes()) == self.digest
    }
}

impl ApprovalCall {
    /// Whether the digest is that of `action`.
    #[must_use]
    pub fn is_of(&self, action: &CanonicalAction) -> bool {
        self.digest == action.digest()
    }
}
