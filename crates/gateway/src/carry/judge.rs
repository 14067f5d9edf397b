//! What a request carries beside its chain, compared with the chain.

use bailiwick_core::VerifiedChain;
use bailiwick_policy::Provenance;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::statement::{Checked, Keys, STATEMENT_BYTES_MAX, Signer, Stated};
use super::{MESSAGE_KEY, STATEMENT_HEADER, baggage, trace};

/// Where messages carry provenance.
const IN_MESSAGES: [&str; 5] = [
    "/params/_meta",
    "/params/message/metadata",
    "/message/metadata",
    "/params/metadata",
    "/metadata",
];
/// Statements and ids that one request may carry.
const PARTS_MAX: usize = 16;

/// What was found in the carriers. Nothing of it is verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    statements: Vec<String>,
    /// Tasks that are named without a signature.
    tasks: Vec<String>,
    /// Something was there that cannot be read.
    broken: bool,
}

impl Found {
    pub(super) fn of(headers: &HeaderMap, body: Option<&Bytes>) -> Self {
        let mut found = Self::default();
        for value in headers.get_all(STATEMENT_HEADER) {
            match value.to_str() {
                Ok(text) if text.len() <= STATEMENT_BYTES_MAX => {
                    found.statements.push(text.to_owned())
                }
                _ => found.broken = true,
            }
        }
        found.tasks.extend(baggage::task(headers));
        found.tasks.extend(trace::task(headers));
        // Only a body that names the key is worth parsing a second time.
        let named = |body: &Bytes| memchr::memmem::find(body, MESSAGE_KEY.as_bytes()).is_some();
        let Some(body) = body.filter(|body| named(body)) else { return found };
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return found };
        for at in IN_MESSAGES {
            let Some(carried) = message.pointer(at).and_then(|holder| holder.get(MESSAGE_KEY))
            else {
                continue;
            };
            let text = |name: &str| carried.get(name).and_then(Value::as_str).map(str::to_owned);
            let odd = |name: &&str| carried.get(*name).is_some_and(|it| !it.is_string());
            found.broken |= ["statement", "task", "decision"].iter().any(odd);
            match (text("statement"), text("task")) {
                (None, None) => found.broken = true,
                (statement, task) => {
                    found.statements.extend(statement);
                    found.tasks.extend(task);
                }
            }
        }
        found
    }

    fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.tasks.is_empty() && !self.broken
    }
}

/// The verdict. A verified chain is the provenance; what travels beside it must not contradict it,
/// and is there when the route expects it.
pub(super) fn judge(
    signer: &Signer,
    trusted: &Keys,
    expected: bool,
    found: &Found,
    chain: Option<&VerifiedChain>,
) -> Provenance {
    let Some(chain) = chain else {
        return if found.is_empty() { Provenance::Dropped } else { Provenance::Unsigned };
    };
    let task = chain.claims().txn.to_string();
    if found.broken || found.statements.len() > PARTS_MAX || found.tasks.len() > PARTS_MAX {
        return Provenance::Mistranslated;
    }
    for statement in &found.statements {
        let verdict = match signer.check(statement, trusted) {
            Checked::Cut => Provenance::Truncated,
            Checked::Nobody => Provenance::Unsigned,
            Checked::Holds(stated) => compare(chain, &stated),
        };
        if verdict != Provenance::Intact {
            return verdict;
        }
    }
    // An id without a signature proves nothing, and one that contradicts the chain was put there by
    // somebody, or left over from another task.
    if found.tasks.iter().any(|named| *named != task) {
        return Provenance::Substituted;
    }
    match (expected && found.statements.is_empty(), found.tasks.is_empty()) {
        (false, _) => Provenance::Intact,
        (true, true) => Provenance::Dropped,
        (true, false) => Provenance::Unsigned,
    }
}

/// How what is stated differs from the chain.
fn compare(chain: &VerifiedChain, stated: &Stated) -> Provenance {
    let claims = chain.claims();
    if stated.sub != claims.sub.as_ref() || stated.txn != claims.txn.to_string() {
        return Provenance::Substituted;
    }
    // One agent for each hop, or some are missing in what was stated already.
    let hops = stated.depth.saturating_add(1);
    if stated.agents.len() < hops {
        return Provenance::Truncated;
    }
    if stated.agents.len() > hops || stated.workflow != claims.hop.workflow.to_string() {
        return Provenance::Mistranslated;
    }
    let line = chain.agents();
    let agents: Vec<&str> = stated.agents.iter().map(String::as_str).collect();
    // It was stated where the work was less far: every agent of it is still there, in order.
    if line.starts_with(&agents) {
        return Provenance::Intact;
    }
    // Agents that are in one are not in the other, and nobody stands in their place.
    if is_part(&line, &agents) || is_part(&agents, &line) {
        return Provenance::Truncated;
    }
    let same_agents = agents.len() <= line.len() && agents.iter().all(|it| line.contains(it));
    // The same token by another line of names, or names that are the same but for their spelling.
    let same_token = stated.jti.parse().is_ok_and(|jti| chain.descends_from(&jti));
    let alike = agents.len() <= line.len()
        && agents.iter().zip(&line).all(|(a, b)| spelled(a) == spelled(b));
    if same_agents || same_token || alike {
        return Provenance::Mistranslated;
    }
    Provenance::Substituted
}

/// Whether every name of `part` is in `whole`, in the same order.
fn is_part(part: &[&str], whole: &[&str]) -> bool {
    let mut names = whole.iter();
    part.iter().all(|name| names.any(|other| other == name))
}

/// A name without what carriers change: case, escapes, the scheme.
fn spelled(name: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_lowercase();
    let bare = decoded.rsplit_once("://").map_or(decoded.as_str(), |(_, rest)| rest);
    bare.trim_matches('/').to_owned()
}
