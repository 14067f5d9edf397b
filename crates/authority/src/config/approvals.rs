//! How long questions put to people stand, and how much one person may approve.

use serde::Deserialize;

/// Bounds on approvals. None of them outlives the task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsConfig {
    /// How long a question waits for an answer, and then a yes for its one use.
    pub life_seconds: u64,
    /// How long a refused action stays refused: asking again is of no use until then.
    pub refused_seconds: u64,
    /// Approvals that one person may give in an hour.
    pub per_approver_hourly_max: u32,
    /// Questions that one task may have open.
    pub pending_per_task_max: u32,
    /// Clients (`azp`) whose tokens approve; any when empty. Name the client of your people's own
    /// tools here where agents are given tokens of the people they work for.
    pub authorized_parties: Vec<String>,
}

impl Default for ApprovalsConfig {
    fn default() -> Self {
        Self {
            life_seconds: 600,
            refused_seconds: 3_600,
            per_approver_hourly_max: 30,
            pending_per_task_max: 16,
            authorized_parties: Vec::new(),
        }
    }
}
