//! The registry: owners, agents, workflows, and the holder keys of agents.

use crate::timestamp::Timestamp;
use bailiwick_core::ids::AgentId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The body of `POST /v1/registry/apply`: documents in the order owners, agents, workflows.
///
/// The documents stay JSON here; the authority validates each against its closed form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Owner documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub owner: Vec<Value>,
    /// Agent documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub agent: Vec<Value>,
    /// Workflow documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub workflow: Vec<Value>,
}

/// Query of the endpoints that can be tried without effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DryRunQuery {
    /// Validate and answer as usual, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of the documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplyResponse {
    /// One entry a document, in the order applied.
    pub applied: Vec<Applied>,
    /// The leaf of the last change; absent when nothing changed or on a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_index: Option<u64>,
    /// Faults that do not refuse the document but deserve a look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// What kind of document.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// Its version from now on; starts at 1.
    pub version: u32,
    /// What happened.
    pub change: Change,
}

/// The kinds of registry document.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DocumentKind {
    /// A team or person answerable for agents and workflows.
    Owner,
    /// A registered workload.
    Agent,
    /// A named kind of task.
    Workflow,
}

/// What applying a document did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there before.
    Created,
    /// A new version replaced the old one.
    Updated,
    /// It says what the registry already said.
    Unchanged,
}

/// One document of the registry as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegistryEntry {
    /// Its id.
    pub id: String,
    /// Its version; starts at 1.
    pub version: u32,
    /// `active`, `quarantined` (agents) or `retired`.
    pub status: String,
    /// When this version was applied.
    pub updated_at: Timestamp,
    /// The document.
    #[schema(value_type = Object)]
    pub document: Value,
}

/// `GET /v1/agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentList {
    /// Agents, by id.
    pub agents: Vec<RegistryEntry>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /v1/workflows`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowList {
    /// Workflows, by id.
    pub workflows: Vec<RegistryEntry>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /v1/owners`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OwnerList {
    /// Owners, by id.
    pub owners: Vec<RegistryEntry>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Query of the lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many at most; 1 to 1000, 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The body of quarantine, reinstate, complete, cancel and revoke: why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Free text for the record, at most 1024 bytes.
    #[serde(default)]
    pub reason: String,
}

/// The answer to quarantine and reinstate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentStatusResponse {
    /// The agent.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// Its status from now on.
    pub status: String,
    /// The leaf of the change.
    pub ledger_index: u64,
}

/// The body of `POST /v1/agent-keys`: empty, since the key is the one of the DPoP proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterKeyRequest {}

/// A holder key, bound to its agent for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterKeyResponse {
    /// The key's RFC 7638 thumbprint.
    pub jkt: String,
    /// The agent.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// Until when the binding holds.
    pub expires_at: Timestamp,
}

/// `GET /v1/agents/{id}/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentKeyList {
    /// Keys that are bound now.
    pub keys: Vec<AgentKey>,
}

/// One bound holder key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentKey {
    /// The key's RFC 7638 thumbprint.
    pub jkt: String,
    /// Until when the binding holds.
    pub expires_at: Timestamp,
}
