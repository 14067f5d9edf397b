//! What is asked.

use bailiwick_core::scope::Scope;
use serde::{Deserialize, Serialize};

/// The action under decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// A subject opens a task.
    StartTask,
    /// An agent hands part of its authority to another.
    Delegate,
    /// An agent uses a scope.
    Invoke {
        /// The scope it uses: a literal or opaque one, never a wildcard.
        scope: Scope,
    },
    /// A task leaves for a peer trust domain.
    CrossDomain {
        /// The peer.
        domain: String,
    },
}

impl Act {
    /// Names that actions of the schema have and no scope may have.
    pub const RESERVED: [&'static str; 4] = ["StartTask", "Delegate", "Invoke", "CrossDomain"];

    /// The action's name in the schema; for an invocation the group all scopes are in.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StartTask => "StartTask",
            Self::Delegate => "Delegate",
            Self::Invoke { .. } => "Invoke",
            Self::CrossDomain { .. } => "CrossDomain",
        }
    }
}
