//! One action as a person approves it: exactly this call, by exactly this chain, in this task.
//!
//! The canonical bytes are RFC 8785 JSON. They name the task, who started it, every agent, the hop,
//! the audience, what is touched, the scope, the tool's descriptor and every argument; their SHA-256
//! is the [`ActionDigest`]. Whoever changes any of it asks about another action.
//!
//! The hop is the hash of the grant that its delegator signed. A grant commits to its parent's bytes
//! and they to theirs, so the hash binds the whole chain; renewing a token keeps it, settling the
//! same authority again does not. The first hop has no grant and is named `root`: a task has one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::chain::verify::VerifiedChain;
use crate::crypto::sha256;
use crate::hash::{HashError, Sha256Hash};
use crate::jcs::{self, JcsError};
use crate::json::{object, put, text};
use crate::outcome::Outcome;
use crate::scope::Scope;

/// Value of `type`: these bytes are no token, no receipt and no other document of ours.
const TYPE: &str = "bailiwick_action";
/// Version of the form.
const VERSION: u64 = 1;
/// Value of `hop` for the first token of a task.
const ROOT: &str = "root";
/// Bytes of one canonical action: more is not put to a person, who could not read it.
pub const ACTION_BYTES_MAX: usize = 64 * 1024;

/// SHA-256 of an action's canonical bytes; text form `sha-256:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionDigest(Sha256Hash);

impl ActionDigest {
    /// The digest of canonical action bytes.
    #[must_use]
    pub fn of_bytes(canonical: &[u8]) -> Self {
        Self(sha256(canonical))
    }

    /// The digest's bytes, for storage.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The digest that has these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Sha256Hash(bytes))
    }
}

impl fmt::Display for ActionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.named())
    }
}

impl FromStr for ActionDigest {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        Sha256Hash::from_named(text).map(Self)
    }
}

impl Serialize for ActionDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for ActionDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::from_text(deserializer)
    }
}

/// What a call is, as its enforcement point vouches for it.
#[derive(Clone, Copy, Debug)]
pub struct ActionCall<'a> {
    /// The system that is touched.
    pub system: &'a str,
    /// The resource, unique within its system.
    pub resource: &'a str,
    /// The scope that is used.
    pub scope: &'a Scope,
    /// The tool's name and the hash of its descriptor, where the protocol has tools.
    pub tool: Option<(&'a str, Option<&'a str>)>,
    /// The canonical arguments: exactly what will be forwarded.
    pub arguments: &'a Map<String, Value>,
}

/// An action in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalAction {
    bytes: String,
    digest: ActionDigest,
}

/// Why a call has no canonical form that could be approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The chain ends in a hop that no Authority has settled, so none knows what it is bound to.
    #[error("a hop that nobody settled cannot be approved; settle the grant first")]
    Unsettled,
    /// An argument has no canonical form.
    #[error("an argument has no canonical form: {0}")]
    NotCanonical(#[from] JcsError),
    /// Longer than [`ACTION_BYTES_MAX`].
    #[error("the action is longer than {ACTION_BYTES_MAX} bytes: nobody could read it")]
    TooLong,
}

impl ActionError {
    /// The stable outcome.
    #[must_use]
    pub fn code(self) -> Outcome {
        match self {
            Self::Unsettled => Outcome::OfflineHopForbidden,
            Self::NotCanonical(error) => error.code(),
            Self::TooLong => Outcome::Malformed,
        }
    }
}

impl CanonicalAction {
    /// This chain's call.
    ///
    /// # Errors
    /// [`ActionError`].
    pub fn new(chain: &VerifiedChain, call: &ActionCall<'_>) -> Result<Self, ActionError> {
        let claims = chain.claims();
        if chain.unsettled() > 0 {
            return Err(ActionError::Unsettled);
        }
        let hop = match (claims.hop.grant, claims.del_depth) {
            (Some(grant), _) => grant.named(),
            (None, 0) => ROOT.to_owned(),
            (None, _) => return Err(ActionError::Unsettled),
        };
        let mut action = object([
            ("type", TYPE.into()),
            ("v", VERSION.into()),
            ("task", text(&claims.txn)),
            ("subject", text(&claims.sub)),
            ("agents", chain.agents().into()),
            ("hop", hop.into()),
            ("audience", claims.aud.as_str().into()),
            ("system", call.system.into()),
            ("resource", call.resource.into()),
            ("scope", text(call.scope)),
            ("arguments", Value::Object(call.arguments.clone())),
        ]);
        let tool = call.tool.map(|(name, descriptor)| {
            let mut tool = object([("name", name.into())]);
            put(&mut tool, "descriptor", descriptor.map(Value::from));
            tool
        });
        put(&mut action, "tool", tool);
        let bytes = jcs::canonicalize_value(&action)?;
        if bytes.len() > ACTION_BYTES_MAX {
            return Err(ActionError::TooLong);
        }
        let digest = ActionDigest::of_bytes(&bytes);
        // JSON text is UTF-8; were it not, it would not be canonical.
        let bytes = String::from_utf8(bytes).map_err(|_| JcsError::Malformed)?;
        Ok(Self { bytes, digest })
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.bytes
    }

    /// Their digest.
    #[must_use]
    pub fn digest(&self) -> ActionDigest {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_text() {
        let digest = ActionDigest::of_bytes(b"{}");
        assert_eq!(digest.to_string().parse::<ActionDigest>(), Ok(digest));
        assert!(digest.to_string().starts_with("sha-256:"));
        assert!(digest.to_string().replace("sha-256:", "").parse::<ActionDigest>().is_err());
        assert_eq!(ActionDigest::from_bytes(*digest.as_bytes()), digest);
    }
}
