//! Receipts: what a leaf of the ledger commits to, and the salted commitment that lets a payload be erased.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::hash::{Hash, sha256_parts};

/// Prefix of every commitment, so that it can never be mistaken for another hash.
const COMMITMENT_DOMAIN: &[u8] = b"bailiwick/receipt/v1\0";

/// Version of the entry format.
const ENTRY_VERSION: u64 = 1;

/// Largest time an entry holds: the largest integer JSON numbers keep exact (RFC 8785 section 3.2.2.3).
const TIME_MS_MAX: u64 = (1 << 53) - 1;

/// Bytes of a commitment's salt.
pub const SALT_BYTES: usize = 32;

/// What a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiptKind {
    /// A policy evaluation, allowed or refused.
    Decision,
    /// A credential was issued.
    Issue,
    /// A task, token or agent was revoked.
    Revocation,
    /// A task ended.
    Completion,
    /// The registry changed.
    Registry,
    /// The policy set changed.
    Policy,
    /// A signing key changed.
    Key,
    /// An approval was given or refused.
    Approval,
    /// An enforced call was made.
    Action,
    /// The service itself: start, recovery, erasure.
    System,
}

impl ReceiptKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Decision,
        Self::Issue,
        Self::Revocation,
        Self::Completion,
        Self::Registry,
        Self::Policy,
        Self::Key,
        Self::Approval,
        Self::Action,
        Self::System,
    ];

    /// The name in entries; stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Issue => "issue",
            Self::Revocation => "revocation",
            Self::Completion => "completion",
            Self::Registry => "registry",
            Self::Policy => "policy",
            Self::Key => "key",
            Self::Approval => "approval",
            Self::Action => "action",
            Self::System => "system",
        }
    }
}

impl fmt::Display for ReceiptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReceiptKind {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(EntryError::Kind)
    }
}

/// The record of a decision or an action, before it is sealed into a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What it is about.
    pub kind: ReceiptKind,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The ids it can be looked up by: task, `jti`, decision.
    pub subject_ids: Vec<String>,
    /// RFC 8785 JSON.
    pub payload: Vec<u8>,
}

impl Receipt {
    /// Commits to the payload under `salt`, which must be fresh random bytes.
    pub fn seal(self, salt: [u8; SALT_BYTES]) -> SealedReceipt {
        let entry = entry_bytes(self.kind, self.time_ms, &commitment(&salt, &self.payload));
        SealedReceipt {
            kind: self.kind,
            time_ms: self.time_ms,
            subject_ids: self.subject_ids,
            entry,
            salt,
            payload: self.payload,
        }
    }
}

/// A receipt with its leaf bytes. Erase `salt` and `payload` together and the log still verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedReceipt {
    /// What it is about.
    pub kind: ReceiptKind,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The ids it can be looked up by.
    pub subject_ids: Vec<String>,
    /// The leaf: RFC 8785 JSON `{"commit","kind","time","v"}`.
    pub entry: Vec<u8>,
    /// Salt of the commitment.
    pub salt: [u8; SALT_BYTES],
    /// RFC 8785 JSON.
    pub payload: Vec<u8>,
}

/// Whether `entry` commits to `payload` under `salt`.
pub fn opens(entry: &[u8], salt: &[u8; SALT_BYTES], payload: &[u8]) -> bool {
    Entry::parse(entry).is_ok_and(|entry| entry.commit == commitment(salt, payload))
}

/// `SHA-256("bailiwick/receipt/v1\0" || salt || payload)`.
pub fn commitment(salt: &[u8; SALT_BYTES], payload: &[u8]) -> Hash {
    sha256_parts(&[COMMITMENT_DOMAIN, salt, payload])
}

/// What a leaf says in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the receipt is about.
    pub kind: ReceiptKind,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Salted hash of the payload.
    pub commit: Hash,
}

/// Why leaf bytes are not an entry of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not the JSON object of an entry.
    #[error("the entry is not a receipt entry")]
    Malformed,
    /// Another version of the format.
    #[error("the entry has an unknown version")]
    Version,
    /// A kind this version does not know.
    #[error("the entry has an unknown kind")]
    Kind,
    /// Right members, but not in their one canonical spelling.
    #[error("the entry is not canonical JSON")]
    NonCanonical,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryWire<'a> {
    commit: &'a str,
    kind: &'a str,
    time: u64,
    v: u64,
}

impl Entry {
    /// Reads leaf bytes; only the canonical spelling is accepted.
    ///
    /// # Errors
    /// [`EntryError`] names what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let wire: EntryWire<'_> =
            serde_json::from_slice(bytes).map_err(|_| EntryError::Malformed)?;
        if wire.v != ENTRY_VERSION {
            return Err(EntryError::Version);
        }
        let kind: ReceiptKind = wire.kind.parse()?;
        let commit = URL_SAFE_NO_PAD.decode(wire.commit).map_err(|_| EntryError::Malformed)?;
        let commit = Hash::from_slice(&commit).ok_or(EntryError::Malformed)?;
        let entry = Self { kind, time_ms: wire.time, commit };
        if entry_bytes(kind, wire.time, &commit) != bytes {
            return Err(EntryError::NonCanonical);
        }
        Ok(entry)
    }
}

fn entry_bytes(kind: ReceiptKind, time_ms: u64, commit: &Hash) -> Vec<u8> {
    format!(
        r#"{{"commit":"{}","kind":"{}","time":{},"v":{ENTRY_VERSION}}}"#,
        URL_SAFE_NO_PAD.encode(commit.0),
        kind.as_str(),
        time_ms.min(TIME_MS_MAX),
    )
    .into_bytes()
}
