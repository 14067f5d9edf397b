//! AWS session tags and SourceIdentity: what CloudTrail writes beside each call of a session.
//!
//! Tag keys to 128 and values to 256 characters of `[\p{L}\p{Z}\p{N}_.:/=+\-@]`; SourceIdentity 2 to
//! 64 characters of `[\w+=,.@-]` (AWS STS API reference, AssumeRole).

use super::tag::ProvenanceTag;

const VALUE_CHARS_MAX: usize = 256;
const IDENTITY_CHARS_MAX: usize = 64;

/// Session tags: the task, the decision and who is behind them.
pub(crate) fn session_tags(tag: &ProvenanceTag) -> Vec<(&'static str, String)> {
    vec![
        ("bailiwick:task", tag.task.to_string()),
        ("bailiwick:decision", tag.decision.to_string()),
        ("bailiwick:subject", fit(&tag.subject, VALUE_CHARS_MAX, "_.:/=+-@ ")),
        ("bailiwick:agent", fit(tag.agent(), VALUE_CHARS_MAX, "_.:/=+-@ ")),
        ("bailiwick:workflow", fit(&tag.workflow, VALUE_CHARS_MAX, "_.:/=+-@ ")),
    ]
}

/// The source identity of the session: the task, which leads to everything else.
pub(crate) fn source_identity(tag: &ProvenanceTag) -> String {
    fit(&format!("bailiwick-{}", tag.task), IDENTITY_CHARS_MAX, "_+=,.@-")
}

/// Text cut to a length, with `_` for what the carrier cannot hold.
fn fit(text: &str, chars_max: usize, allowed: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || allowed.contains(c) { c } else { '_' };
    text.chars().take(chars_max).map(keep).collect()
}
