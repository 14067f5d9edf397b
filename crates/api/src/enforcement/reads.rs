//! What a task has read: shared by those who enforce it, as digests, and how sensitive it was.

use bailiwick_core::constraint::ReadDigest;
use bailiwick_core::ids::DecisionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Reads in one report, and in one page.
pub const READS_AT_ONCE_MAX: usize = 256;
/// Bytes of one report.
pub const READS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The body of `POST /v1/enforcement/tasks/{id}/reads`: what allowed reads returned, only the part
/// of it that nobody outside can write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadsReport {
    /// Digests, by an enforcement point that decided itself and has the task's salt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub reads: Vec<ReadDigest>,
    /// Results, by an enforcement point that had the Authority decide; they are digested here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ReadResult>,
}

/// What an allowed read returned.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadResult {
    /// The evaluation that allowed it; it had `"effect": "read"`.
    #[schema(value_type = String)]
    pub decision_id: DecisionId,
    /// The trusted part of what came back: rows may stay rows, fields that strangers write are left
    /// out.
    pub result: Value,
}

impl std::fmt::Debug for ReadResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReadResult({})", self.decision_id)
    }
}

/// The answer to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadsReceived {
    /// The number of the newest read of the task.
    pub seq: u64,
}

/// Query of `GET /v1/enforcement/tasks/{id}/reads`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadsQuery {
    /// The last read that is known already.
    #[serde(default)]
    pub after: u64,
}

/// Reads of a task, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadsPage {
    /// The reads.
    #[schema(value_type = Vec<Object>)]
    pub reads: Vec<ReadDigest>,
    /// The number of the last of them, to go on after.
    pub seq: u64,
    /// Whether there are more.
    pub more: bool,
}

/// The body of `POST /v1/enforcement/tasks/{id}/exposure`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExposureReport {
    /// How sensitive what the task is about to read is: `public`, `internal`, `confidential` or
    /// `restricted`.
    pub level: String,
}

/// How exposed the task is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposureReply {
    /// The most sensitive that it has read.
    pub exposure: String,
}
