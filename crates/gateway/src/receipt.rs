//! What the receipt of a decision says; read by the Authority's trace like one of its own.

use std::sync::Arc;

use bailiwick_core::ids::{AgentId, ApprovalId, TaskId, TokenId};
use bailiwick_core::jcs;
use bailiwick_ledger::{Receipt, ReceiptKind};
use bailiwick_policy::Decision;
use serde::Serialize;
use serde_json::Value;

use crate::call::ToolFacts;

/// A decision, and what it was about.
pub(crate) struct DecisionReceipt<'a> {
    pub(crate) act: &'a str,
    pub(crate) task: Option<TaskId>,
    pub(crate) jti: Option<TokenId>,
    pub(crate) agent: Option<&'a AgentId>,
    pub(crate) decision: &'a Decision,
    pub(crate) enforced: &'a Enforced,
}

/// Where a decision was enforced, and what it drew.
#[derive(Debug, Default)]
pub(crate) struct Enforced {
    /// The approval that it used up.
    pub(crate) approval: Option<ApprovalId>,
    /// What it drew on budgets.
    pub(crate) debits: Vec<Value>,
    /// The hop that it settled.
    pub(crate) issued: Option<Value>,
    /// What the call takes of the vendor's credential.
    pub(crate) needs: Vec<String>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) tool: Option<ToolFacts>,
}

/// The members in canonical order.
#[derive(Serialize)]
struct Payload<'a> {
    act: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    debits: &'a [Value],
    decision: &'a Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<TokenId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    needs: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a ToolFacts>,
    v: u8,
}

impl DecisionReceipt<'_> {
    /// Builds the receipt. It can be looked up by decision and task.
    pub(crate) fn receipt(self) -> Receipt {
        let Self { act, task, jti, agent, decision, enforced } = self;
        let mut subject_ids = vec![decision.id.to_string()];
        subject_ids.extend(task.map(|task| task.to_string()));
        let payload = Payload {
            act,
            agent,
            approval: enforced.approval,
            debits: &enforced.debits,
            decision,
            issued: enforced.issued.as_ref(),
            jti,
            needs: &enforced.needs,
            route: enforced.route.as_deref(),
            task,
            tool: enforced.tool.as_ref(),
            v: 1,
        };
        let payload = canonical(&payload);
        Receipt { kind: ReceiptKind::Decision, time_ms: decision.time.0, subject_ids, payload }
    }
}

/// The payload's bytes. Whatever comes from outside was checked when it came in; should anything
/// else have no canonical form, the receipt says so rather than being empty.
pub(crate) fn canonical<T: Serialize>(payload: &T) -> Vec<u8> {
    jcs::canonicalize(payload).unwrap_or_else(|error| {
        tracing::error!(%error, "a receipt's payload has no canonical form");
        br#"{"type":"unrecordable","v":1}"#.to_vec()
    })
}
