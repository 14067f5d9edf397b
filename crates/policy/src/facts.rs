//! What is known about a request: everything a policy may look at.
//!
//! The facts are gathered by the caller from verified sources (the chain, the registry, the
//! store, the resource's own labels), never from text an agent wrote. They serialise, because a
//! decision stores them and a replay reads them back.

mod vocabulary;

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_core::VerifiedChain;
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::ids::{AgentId, SubjectId, TaskId, TenantId, WorkflowId};
use serde::{Deserialize, Serialize};

pub use self::vocabulary::{
    AgentStatus, Binding, CallEffect, Provenance, Sensitivity, UnknownWord,
};

/// Every input of one decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The agent that asks or acts; for [`Act::StartTask`](crate::Act) the entry agent.
    pub actor: Arc<AgentFacts>,
    /// Who has approved this very request.
    #[serde(default)]
    pub approvals: Vec<String>,
    /// Arguments of an invocation.
    #[serde(default)]
    pub arguments: serde_json::Map<String, serde_json::Value>,
    /// How far the downstream can honour the chain.
    pub binding: Binding,
    /// The agents the task has passed through.
    pub chain: ChainFacts,
    /// The agent that is handed authority; present for [`Act::Delegate`](crate::Act) only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegatee: Option<Arc<AgentFacts>>,
    /// Whether an invocation only looks. Records from before it was asked say nothing.
    #[serde(default)]
    pub effect: CallEffect,
    /// Authority the actor holds now.
    pub held: Arc<HeldAuthority>,
    /// Whether the hop travels unsettled, past the Authority.
    pub offline: bool,
    /// How complete the provenance is.
    pub provenance: Provenance,
    /// Authority that is asked for.
    pub requested: Arc<HeldAuthority>,
    /// What an invocation touches.
    #[serde(default)]
    pub resource: ResourceFacts,
    /// Sensitivity of the data at stake.
    pub sensitivity: Sensitivity,
    /// Who started the task.
    pub subject: Arc<SubjectFacts>,
    /// The task.
    pub task: TaskFacts,
    /// Lifetime asked for, in seconds.
    pub ttl_seconds: u64,
}

/// The subject, as its issuer vouched for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectFacts {
    /// Verified attributes: tags of the `Subject` entity.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Groups, as the issuer names them.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The subject's identifier.
    pub id: SubjectId,
    /// Who vouched.
    pub issuer: String,
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFacts {
    /// The highest sensitivity it may see.
    pub clearance: Sensitivity,
    /// Its environment (`dev`, `prod`, …).
    pub environment: String,
    /// Its identity.
    pub id: AgentId,
    /// The team that answers for it.
    pub owner: String,
    /// Whether it may act.
    pub status: AgentStatus,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its trust domain.
    pub trust_domain: String,
}

/// The task the request belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFacts {
    /// Seconds since it was opened.
    pub age_seconds: u64,
    /// Seconds until its deadline; negative when past.
    pub deadline_seconds_left: i64,
    /// Its environment.
    pub environment: String,
    /// The most sensitive data it has read so far; public before it has read any, and in records
    /// from before this was kept.
    #[serde(default = "nothing_read")]
    pub exposure: Sensitivity,
    /// The task.
    pub id: TaskId,
    /// What it is for.
    pub purpose: String,
    /// The highest sensitivity it may touch.
    pub sensitivity_ceiling: Sensitivity,
    /// Its tenant.
    pub tenant: TenantId,
    /// The kind of task.
    pub workflow: WorkflowId,
}

/// The exposure of a task that has read nothing.
const fn nothing_read() -> Sensitivity {
    Sensitivity::Public
}

/// The chain behind the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainFacts {
    /// The agents in order, root first, the one that acts last. Empty when a task is started.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Depth of the agent that acts; the first agent is at 0.
    pub depth: u8,
    /// How many hops the agent that acts has made already.
    pub fanout: u32,
    /// How many tokens the chain may have (`del_max_depth`): a chain of `max_depth` agents is
    /// full.
    pub max_depth: u8,
}

impl ChainFacts {
    /// The chain as it was verified, for the agent at its end. `fanout` comes from the caller's store: a token cannot know
    /// its children.
    pub fn of(chain: &VerifiedChain, fanout: u32) -> Self {
        let claims = chain.claims();
        Self {
            agents: chain.agents().into_iter().map(str::to_owned).collect(),
            depth: claims.del_depth,
            fanout,
            max_depth: claims.del_max_depth,
        }
    }
}

/// What an invocation touches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceFacts {
    /// The resource, unique within its system.
    pub id: String,
    /// Labels its owner put on it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How sensitive its data is.
    #[serde(default)]
    pub sensitivity: Sensitivity,
    /// The system it lives in.
    pub system: String,
}
