//! What of a decision's provenance is carried.

use bailiwick_core::{DecisionId, TaskId, TokenId, VerifiedChain};
use bailiwick_policy::Decision;

/// Who started it, through whom it came, and by which decision it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProvenanceTag {
    /// The task.
    pub(crate) task: TaskId,
    /// The token that was used.
    pub(crate) jti: TokenId,
    /// The decision that allowed this call.
    pub(crate) decision: DecisionId,
    /// Who started the task.
    pub(crate) subject: String,
    /// The agents, the first one first.
    pub(crate) agents: Vec<String>,
    /// The kind of task.
    pub(crate) workflow: String,
    /// Depth of the agent that calls.
    pub(crate) depth: u8,
    /// When the token ends, in seconds.
    pub(crate) expires: i64,
}

impl ProvenanceTag {
    /// The tag of a decided call.
    pub(crate) fn new(chain: &VerifiedChain, decision: &Decision) -> Self {
        let claims = chain.claims();
        Self {
            task: claims.txn,
            jti: claims.jti,
            decision: decision.id,
            subject: claims.sub.to_string(),
            agents: chain.agents().into_iter().map(str::to_owned).collect(),
            workflow: claims.hop.workflow.to_string(),
            depth: claims.del_depth,
            expires: claims.exp,
        }
    }

    /// Whether another tag is of the same chain: all but the decision.
    pub(super) fn same_chain(&self, other: &Self) -> bool {
        let Self { task, jti, decision: _, subject, agents, workflow, depth, expires } = self;
        (*task, *jti, *depth, *expires) == (other.task, other.jti, other.depth, other.expires)
            && *subject == other.subject
            && *agents == other.agents
            && *workflow == other.workflow
    }

    /// The agent that calls.
    pub(crate) fn agent(&self) -> &str {
        self.agents.last().map_or("", String::as_str)
    }
}
