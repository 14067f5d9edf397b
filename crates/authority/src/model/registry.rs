//! The registry and what else is configured live: owners, agents, workflows, policy sets, keys.

use std::fmt;
use std::str::FromStr;

use bailiwick_core::{AgentId, Thumbprint, UnixMillis, WorkflowId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whether a registry entry may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordStatus {
    /// It may.
    Active,
    /// Stopped by an operator; returns by an explicit act.
    Quarantined,
    /// Stopped for now.
    Suspended,
    /// Gone for good.
    Retired,
}

impl RecordStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::Quarantined, Self::Suspended, Self::Retired];

    /// The word, as documents spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for RecordStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status is `active`, `quarantined`, `suspended` or `retired`")]
pub struct UnknownStatus;

impl FromStr for RecordStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or(UnknownStatus)
    }
}

/// Who answers for agents and workflows.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerRecord {
    /// Such as `team:payments`.
    pub id: String,
    /// 1 for the first; every change adds one.
    pub version: u32,
    /// The validated document.
    pub document: Value,
    /// Whether it may be used.
    pub status: RecordStatus,
    /// When this version was put.
    pub updated_ms: UnixMillis,
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// Its id.
    pub id: AgentId,
    /// 1 for the first; every change adds one.
    pub version: u32,
    /// The validated document.
    pub document: Value,
    /// Whether it may act. The row's status rules, not the document's.
    pub status: RecordStatus,
    /// When this version was put.
    pub updated_ms: UnixMillis,
}

/// A registered workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowRecord {
    /// Its id.
    pub id: WorkflowId,
    /// 1 for the first; every change adds one.
    pub version: u32,
    /// The validated document.
    pub document: Value,
    /// Whether tasks of it may be opened.
    pub status: RecordStatus,
    /// When this version was put.
    pub updated_ms: UnixMillis,
}

/// One document of an `apply`.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistryRecord {
    /// An owner.
    Owner(OwnerRecord),
    /// An agent.
    Agent(AgentRecord),
    /// A workflow.
    Workflow(WorkflowRecord),
}

/// A holder key that an agent has bound to its identity for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderKeyRecord {
    /// Whose key.
    pub agent: AgentId,
    /// RFC 7638 thumbprint of the key.
    pub jkt: Thumbprint,
    /// Until when a delegator may bind a grant to it.
    pub expires_ms: UnixMillis,
}

/// One file of a policy set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySourceText {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A policy set that is, or was, in force. Sets are kept for replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    /// 1 for the first; every change adds one.
    pub version: u32,
    /// `sha-256:…`, canonical.
    pub hash: String,
    /// Its files.
    pub sources: Vec<PolicySourceText>,
    /// When it came into force.
    pub updated_ms: UnixMillis,
}

/// The public half of a signing key of this Authority, and when it was used.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerKeyRecord {
    /// Key id.
    pub kid: String,
    /// Public JWK.
    pub jwk: Value,
    /// Since when it signs.
    pub active_ms: UnixMillis,
    /// Since when it no longer signs.
    pub retired_ms: Option<UnixMillis>,
}
