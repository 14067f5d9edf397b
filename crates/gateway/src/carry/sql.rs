//! SQL comments in the form of sqlcommenter: keys in order, values percent-encoded and quoted.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::tag::ProvenanceTag;

/// A comment of opaque ids to append to a statement. Nothing in it can end the comment or the quote:
/// every byte that is not a letter or a digit is encoded.
pub(crate) fn sql_comment(tag: &ProvenanceTag) -> String {
    let pairs = [
        ("bailiwick_decision", tag.decision.to_string()),
        ("bailiwick_task", tag.task.to_string()),
        ("bailiwick_token", tag.jti.to_string()),
    ];
    let encoded = pairs
        .map(|(name, value)| format!("{name}='{}'", utf8_percent_encode(&value, NON_ALPHANUMERIC)));
    format!("/*{}*/", encoded.join(","))
}
