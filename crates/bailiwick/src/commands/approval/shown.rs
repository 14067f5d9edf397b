//! An action in a form that a person can read. The canonical bytes follow it, whole: what is
//! readable helps, what is canonical is what is approved.

use crate::output::{Render, facts, printable, table};
use bailiwick_api::approvals::{ApprovalList, ApprovalView};
use serde_json::Value;

/// Characters of one argument before it is cut in the readable part.
const VALUE_CHARS_MAX: usize = 400;

impl Render for ApprovalList {
    fn text(&self) -> String {
        if self.approvals.is_empty() && self.next_cursor.is_none() {
            return "no approvals".to_owned();
        }
        let mut table = table(["APPROVAL", "STATE", "SCOPE", "AGENT", "SUBJECT", "EXPIRES"]);
        for approval in &self.approvals {
            table.add_row([
                approval.approval_id.to_string(),
                approval.state.to_string(),
                printable(&approval.scope),
                printable(approval.agent.as_ref()),
                printable(approval.subject.as_ref()),
                approval.expires_at.to_string(),
            ]);
        }
        match &self.next_cursor {
            Some(cursor) => format!("{table}\nmore: --cursor {}", printable(cursor)),
            None => table.to_string(),
        }
    }
}

impl Render for ApprovalView {
    fn text(&self) -> String {
        text_of(self)
    }
}

/// Who wants to do what, why it is asked, and the bytes that are approved.
pub(super) fn text_of(view: &ApprovalView) -> String {
    let summary = &view.summary;
    let mut text = facts([
        ("approval", summary.approval_id.to_string()),
        ("state", summary.state.to_string()),
        ("agent", summary.agent.to_string()),
        ("wants to use", format!("{} on {}", summary.scope, summary.system)),
        ("for", format!("{} (by {})", summary.subject, view.subject_issuer)),
        ("task", format!("{}: {} ({})", summary.task_id, view.purpose, summary.workflow)),
        ("through", view.agents.join(" → ")),
        ("asked by", view.asked_by.clone()),
        ("asked", summary.asked_at.to_string()),
        ("until", summary.expires_at.to_string()),
        ("why", view.why.join("\n")),
    ]);
    for need in &view.needs {
        let met = need.met_by.as_ref().map(|by| format!(", approved by {by}")).unwrap_or_default();
        let who = need.approvers.join(", ");
        text.push_str(&printable(&format!("needs {}: one of {who}{met}\n", need.need)));
    }
    for decision in &view.decisions {
        let word = if decision.approved { "approved" } else { "refused" };
        let reason = Some(&decision.reason).filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        text.push_str(&printable(&format!(
            "{word} by {} at {}{reason}\n",
            decision.by, decision.at
        )));
    }
    text.push_str(&arguments(&view.action));
    if view.action.is_empty() {
        text.push_str("\nthe action was erased\n");
    } else {
        text.push_str(&format!("\nexactly this is asked:\n{}\n", printable(&view.action)));
    }
    text.push_str(&format!("digest  {}\n", view.digest));
    text
}

/// The arguments, one a line. Each is written as JSON, so that no value can look like a line.
fn arguments(action: &str) -> String {
    let action: Value = serde_json::from_str(action).unwrap_or_default();
    let arguments = action.get("arguments").and_then(Value::as_object);
    let lines = arguments.into_iter().flatten().map(|(name, value)| {
        let value = value.to_string();
        let cut = value.chars().count() > VALUE_CHARS_MAX;
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let more = if cut { " … (whole below)" } else { "" };
        let name = Value::from(name.as_str());
        printable(&format!("  {name} = {value}{more}")).replace('\n', "\u{fffd}") + "\n"
    });
    let lines: String = lines.collect();
    if lines.is_empty() { String::new() } else { format!("with\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_cannot_look_like_something_else() {
        let action = serde_json::json!({"arguments": {
            "note": "x\napproved by user:alice\u{1b}[2J", "to\nfor": "y", "long": "z".repeat(1_000),
        }});
        let text = arguments(&action.to_string());
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(r#""note" = "x\napproved by user:alice\u001b[2J""#), "{text}");
        assert!(text.contains("whole below") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(arguments(""), "");
    }
}
