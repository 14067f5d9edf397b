//! W3C Trace Context: task and decision, opaque ids only, as the gateway's own member of `tracestate`.
//!
//! Who writes to `tracestate` has to be a participant of the trace (§3.4): the parent of what follows
//! is then this decision, by the last eight bytes of its id. A trace that does not come in is not
//! begun, and one that cannot be read passes as it came.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::tag::ProvenanceTag;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
const KEY: &str = "bailiwick";
/// Members and characters of `tracestate` that everybody has to pass on (§3.3.1).
const MEMBERS_MAX: usize = 32;
const CHARS_MAX: usize = 512;

/// Makes the decision the parent of what follows.
pub(super) fn out(headers: &mut HeaderMap, tag: &ProvenanceTag) {
    let Some((trace, flags)) = parent(headers) else { return };
    let bytes: u64 =
        tag.decision.as_bytes().iter().skip(8).fold(0, |id, byte| (id << 8) | u64::from(*byte));
    // All zeros would be no parent at all.
    let ours = format!("{KEY}=t:{};d:{}", tag.task, tag.decision);
    let mut state = ours;
    for member in without_ours(headers).iter().take(MEMBERS_MAX - 1) {
        if state.len() + member.len() < CHARS_MAX {
            state.push(',');
            state.push_str(member);
        }
    }
    let parent = HeaderValue::from_str(&format!("00-{trace}-{:016x}-{flags}", bytes.max(1)));
    if let (Ok(parent), Ok(state)) = (parent, HeaderValue::from_str(&state)) {
        headers.insert(PARENT, parent);
        headers.insert(STATE, state);
    }
}

/// Takes away what somebody wrote in the gateway's name.
pub(super) fn strip(headers: &mut HeaderMap) {
    if task(headers).is_empty() {
        return;
    }
    let rest = without_ours(headers).join(",");
    headers.remove(STATE);
    if let (false, Ok(value)) = (rest.is_empty(), HeaderValue::from_str(&rest)) {
        headers.insert(STATE, value);
    }
}

/// The tasks that are named.
pub(super) fn task(headers: &HeaderMap) -> Vec<String> {
    let named = members(headers).filter_map(|member| {
        let (key, value) = member.split_once('=')?;
        (key.trim() == KEY).then(|| {
            let task = value.split(';').find_map(|part| part.trim().strip_prefix("t:"));
            task.unwrap_or_default().to_owned()
        })
    });
    named.collect()
}

fn without_ours(headers: &HeaderMap) -> Vec<String> {
    let ours = |member: &&str| member.split('=').next().is_some_and(|key| key.trim() == KEY);
    members(headers).filter(|member| !ours(member)).map(|member| member.trim().to_owned()).collect()
}

fn members(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(STATE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|member| !member.trim().is_empty())
}

/// Trace id and flags of the one parent that there is, in version 00.
fn parent(headers: &HeaderMap) -> Option<(String, String)> {
    let mut values = headers.get_all(PARENT).iter();
    let text = values.next()?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, chars: usize| {
        text.len() == chars && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let none = |text: &str| text.bytes().all(|byte| byte == b'0');
    let sound = version == "00"
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && !none(trace)
        && !none(span)
        && parts.next().is_none()
        && values.next().is_none();
    sound.then(|| (trace.to_owned(), flags.to_owned()))
}
