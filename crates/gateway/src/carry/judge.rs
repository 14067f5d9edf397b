//! What a request carries beside its chain, compared with the chain.

use bailiwick_core::VerifiedChain;
use bailiwick_policy::Provenance;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::statement::{STATEMENT_BYTES_MAX, Signer};
use super::{MESSAGE_KEY, STATEMENT_HEADER, baggage};

/// Where messages carry provenance.
const IN_MESSAGES: [&str; 4] =
    ["/params/_meta", "/params/message/metadata", "/message/metadata", "/params/metadata"];

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
                Ok(text) if text.len() <= STATEMENT_BYTES_MAX => found.statements.push(text.to_owned()),
                _ => found.broken = true,
            }
        }
        found.tasks.extend(baggage::task(headers));
        // Only a body that names the key is worth parsing a second time.
        let named = |body: &Bytes| memchr::memmem::find(body, MESSAGE_KEY.as_bytes()).is_some();
        let Some(body) = body.filter(|body| named(body)) else { return found };
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return found };
        for at in IN_MESSAGES {
            let Some(carried) = message.pointer(at).and_then(|holder| holder.get(MESSAGE_KEY)) else {
                continue;
            };
            let text = |name: &str| carried.get(name).and_then(Value::as_str).map(str::to_owned);
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

/// The verdict. A verified chain is the provenance; what travels beside it must not contradict it.
pub(super) fn judge(signer: &Signer, found: &Found, chain: Option<&VerifiedChain>) -> Provenance {
    let Some(chain) = chain else {
        return if found.is_empty() { Provenance::Dropped } else { Provenance::Unsigned };
    };
    let claims = chain.claims();
    let task = claims.txn.to_string();
    if found.broken {
        return Provenance::Mistranslated;
    }
    for statement in &found.statements {
        let Some(stated) = signer.verify(statement) else { return Provenance::Unsigned };
        if stated.sub != claims.sub.as_ref() || stated.txn != task {
            return Provenance::Substituted;
        }
        let line = chain.agents();
        if !line.iter().copied().eq(stated.agents.iter().map(String::as_str)) {
            return compare(&line, &stated.agents);
        }
    }
    // An id without a signature proves nothing, and one that contradicts the chain was put there by
    // somebody, or left over from another task.
    if found.tasks.iter().any(|named| *named != task) {
        return Provenance::Substituted;
    }
    Provenance::Intact
}

/// How the line of agents that is stated differs from the chain's.
fn compare(line: &[&str], stated: &[String]) -> Provenance {
    let stated: Vec<&str> = stated.iter().map(String::as_str).collect();
    // It was stated where the work was less far: every agent of it is still there, in order.
    if line.starts_with(&stated) {
        return Provenance::Intact;
    }
    let missing = stated.iter().any(|agent| !line.contains(agent));
    let new = line.iter().any(|agent| !stated.contains(agent));
    match (missing, new) {
        // Agents that were stated are gone, and nobody came in their place.
        (true, false) => Provenance::Truncated,
        // The same agents, in another order; or one is called something else.
        (false, _) => Provenance::Mistranslated,
        (true, true) if line.len() == stated.len() => Provenance::Mistranslated,
        (true, true) => Provenance::Substituted,
    }
}
