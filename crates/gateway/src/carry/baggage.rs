//! W3C Baggage: task and decision, opaque ids only. Other people's members pass.

use http::HeaderMap;

use super::BAGGAGE;
use super::tag::ProvenanceTag;

const TASK: &str = "bailiwick.task";
const DECISION: &str = "bailiwick.decision";
const PREFIX: &str = "bailiwick.";
/// Characters and members that everybody has to pass on (W3C Baggage §3.3.2).
const CHARS_MAX: usize = 8192;
const MEMBERS_MAX: usize = 64;
/// What is kept free for ours.
const OURS_CHARS: usize = 256;
const OURS: usize = 2;

/// Our members.
pub(super) fn ours(tag: &ProvenanceTag) -> String {
    format!("{TASK}={},{DECISION}={}", tag.task, tag.decision)
}

/// The members that are not ours, as they came.
pub(super) fn without_ours(headers: &HeaderMap) -> Vec<String> {
    let mut chars = 0_usize;
    members(headers)
        .filter(|member| !member.trim_start().to_ascii_lowercase().starts_with(PREFIX))
        .take(MEMBERS_MAX - OURS)
        .take_while(|member| {
            chars = chars.saturating_add(member.len() + 1);
            chars <= CHARS_MAX - OURS_CHARS
        })
        .map(|member| member.trim().to_owned())
        .collect()
}

/// The tasks that are named.
pub(super) fn task(headers: &HeaderMap) -> Vec<String> {
    members(headers)
        .filter_map(|member| {
            let (name, value) = member.split_once('=')?;
            let value = value.split(';').next().unwrap_or(value);
            (name.trim() == TASK).then(|| value.trim().to_owned())
        })
        .collect()
}

fn members(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(BAGGAGE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|member| !member.trim().is_empty())
}
