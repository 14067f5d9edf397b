//! The feed: what died and what changed, signed and numbered, pushed to every enforcement point.

use crate::policies::PolicySourceText;
use crate::tasks::TaskState;
use crate::timestamp::Timestamp;
use bailiwick_core::ids::{AgentId, SubjectId, TaskId, TenantId, TokenId, WorkflowId};
use bailiwick_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// `typ` of a signed feed event. No token has it, so that neither passes for the other.
pub const FEED_TYPE: &str = "bailiwick-feed+jwt";
/// Bytes of one signed event.
pub const FEED_EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Entries of one event; a snapshot of more comes in parts.
pub const FEED_ENTRIES_MAX: usize = 1_000;
/// Parts of one snapshot.
pub const FEED_PARTS_MAX: u32 = 4_096;
/// Milliseconds between heartbeats.
pub const FEED_HEARTBEAT_MS: u64 = 1_000;
/// The longest an enforcement point may go on without hearing from the Authority, whatever its
/// configuration says: the longest life of a token.
pub const STALE_AFTER_MS_MAX: u64 = bailiwick_core::limits::TTL_SECONDS_MAX * 1000;

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeedKind {
    /// Everything that matters, as of `seq`; replaces what the reader knows.
    Snapshot,
    /// What has changed since `prev`.
    Delta,
    /// Nothing has changed: `seq` is where the feed stands.
    Heartbeat,
}

/// The claims of one event: the payload of a compact JWS by a token key, `typ` [`FEED_TYPE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedEvent {
    /// The Authority.
    pub iss: String,
    /// When it was signed, in milliseconds since the Unix epoch. Never goes back.
    #[schema(value_type = u64)]
    pub at: UnixMillis,
    /// What it is.
    pub kind: FeedKind,
    /// Its number; grows with every delta, across restarts too. A heartbeat and a snapshot have
    /// that of the last delta.
    pub seq: u64,
    /// The number that the reader must have reached before: `seq` itself for a heartbeat, 0 for a
    /// snapshot.
    pub prev: u64,
    /// Which part of a snapshot, from 0.
    pub part: u32,
    /// How many parts there are; 1 for anything but a snapshot.
    pub parts: u32,
    /// What changed, or what there is.
    pub entries: Vec<FeedEntry>,
}

/// One thing that an enforcement point has to know. A reader that does not know one refuses the
/// event, and is stale from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum FeedEntry {
    /// A token died before its time, and with it whatever names it in its lineage.
    Revoked {
        /// The token.
        #[schema(value_type = String)]
        jti: TokenId,
        /// When it would have expired, in seconds.
        exp: i64,
    },
    /// A task ended.
    Ended {
        /// The task.
        #[schema(value_type = String)]
        task: TaskId,
        /// How.
        state: TaskState,
    },
    /// An agent of the reader's tenant, as policy sees it.
    Agent(FeedAgent),
    /// The policy set in force.
    Policy {
        /// Its hash.
        hash: String,
    },
    /// The keys that tokens verify with have changed.
    Keys {
        /// The ids of those published now.
        kids: Vec<String>,
    },
    /// A task has read something more sensitive than before.
    Exposure {
        /// The task.
        #[schema(value_type = String)]
        task: TaskId,
        /// The most sensitive it has read.
        level: String,
    },
}

/// A registered agent, as policy sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedAgent {
    /// Its id.
    #[schema(value_type = String)]
    pub id: AgentId,
    /// The team that answers for it.
    pub owner: String,
    /// Its environment.
    pub environment: String,
    /// Its tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Its trust domain.
    pub trust_domain: String,
    /// The highest sensitivity it may see.
    pub clearance: String,
    /// `active`, `quarantined`, `suspended` (also when its owner is gone) or `retired`.
    pub status: String,
}

/// Query of `GET /v1/enforcement/feed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// Which process of the enforcement point reads: 1 to 64 of `A-Z a-z 0-9 - _`, fresh at every
    /// start.
    pub instance: String,
    /// The longest that this process goes on without hearing from the Authority, in milliseconds.
    pub stale_after_ms: u64,
}

/// The body of `POST /v1/enforcement/acks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedAck {
    /// As in the feed's query.
    pub instance: String,
    /// The last event that is in force there.
    pub seq: u64,
    /// When it was applied, by the enforcement point's clock, in milliseconds since the Unix epoch.
    #[schema(value_type = u64)]
    pub at: UnixMillis,
    /// It stops, and allows nothing from now on: no closure waits for it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// The answer to an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedAckReply {
    /// Where the feed stands now.
    pub seq: u64,
}

/// `GET /v1/enforcement/points`: who reads the feed, and how far each one is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnforcementPoints {
    /// Where the feed stands.
    pub seq: u64,
    /// Every process of an enforcement point that may still allow something.
    pub points: Vec<EnforcementPoint>,
}

/// One process of an enforcement point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnforcementPoint {
    /// Whose it is.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// Which of its processes.
    pub instance: String,
    /// Its tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Its environment.
    pub env: String,
    /// Whether it reads the feed now.
    pub connected: bool,
    /// The last event that it has acknowledged; 0 before the first.
    pub acknowledged: u64,
    /// When it connected or acknowledged last.
    pub heard_at: Timestamp,
    /// How long it goes on without hearing from the Authority, in milliseconds.
    pub stale_after_ms: u64,
}

/// Query of `GET /v1/enforcement/policies`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PolicySourcesQuery {
    /// The set to send; the one in force when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// `GET /v1/enforcement/policies`: a policy set with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySources {
    /// Its hash; whoever loads the sources must get the same.
    pub hash: String,
    /// Its files.
    pub sources: Vec<PolicySourceText>,
}

/// `GET /v1/enforcement/tasks/{id}`: what policy has to be told of a task.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnforcementTask {
    /// The task.
    #[schema(value_type = String)]
    pub task_id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Who started it.
    #[schema(value_type = String)]
    pub subject: SubjectId,
    /// Who vouched for the subject.
    pub subject_issuer: String,
    /// The subject's groups when the task was opened.
    pub subject_groups: Vec<String>,
    /// The subject's attributes when the task was opened.
    pub subject_attributes: BTreeMap<String, String>,
    /// What for.
    pub purpose: String,
    /// The workflow.
    #[schema(value_type = String)]
    pub workflow: WorkflowId,
    /// The version that it was opened under.
    pub workflow_version: u32,
    /// The tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// The environment.
    pub env: String,
    /// The most sensitive data that it may touch.
    pub sensitivity: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends by itself.
    pub deadline: Timestamp,
    /// The deepest hop.
    pub max_depth: u8,
    /// Hops that one hop may make.
    pub max_fanout: u32,
    /// The longest life of a hop, in seconds.
    pub ttl_seconds_max: u64,
    /// Whether hops may travel unsettled.
    pub offline: bool,
    /// Who may hand what to whom.
    pub edges: Vec<EnforcementEdge>,
    /// Salt of the digests of what the task has read: 32 bytes, base64url. Secret.
    pub reads_salt: String,
    /// The most sensitive it has read; absent before it read anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<String>,
}

impl std::fmt::Debug for EnforcementTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnforcementTask").field("task_id", &self.task_id).finish_non_exhaustive()
    }
}

/// One allowed hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnforcementEdge {
    /// Who hands over.
    #[schema(value_type = String)]
    pub from: AgentId,
    /// To whom.
    #[schema(value_type = String)]
    pub to: AgentId,
    /// What may go this way; everything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}
