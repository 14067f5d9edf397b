//! What stands behind gateways, and what was used of it.

use bailiwick_core::{AgentId, UnixMillis};
use serde_json::Value;

/// What a gateway declared to stand behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct DownstreamsRecord {
    /// The gateway.
    pub gateway: AgentId,
    /// From 1, one more each time.
    pub version: u32,
    /// When.
    pub declared_ms: UnixMillis,
    /// The declaration, as it was said.
    pub document: Value,
}

/// Allowed calls of one day that are alike. Derived from the receipts, in the transaction that
/// appends them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UseRow {
    /// Days since the Unix epoch, UTC.
    pub day: u32,
    /// The gateway that enforced them; none when another enforcement point asked.
    pub gateway: Option<String>,
    /// Its route.
    pub route: Option<String>,
    /// The system, as policies name it.
    pub system: String,
    /// How far it can honour a chain.
    pub binding: String,
    /// What they took of the vendor's credential.
    pub needs: Vec<String>,
    /// How many.
    pub calls: u64,
}
