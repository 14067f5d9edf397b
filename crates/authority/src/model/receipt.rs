//! Ledger rows and revocations as they are read back.

use bailiwick_core::{RevocationId, TaskId, TokenId, UnixMillis};
use bailiwick_ledger::{LeafIndex, ReceiptKind};

use super::RevocationTarget;

/// One leaf of the ledger with what it commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Position in the log.
    pub index: LeafIndex,
    /// What it is about.
    pub kind: ReceiptKind,
    /// When, as the receipt says.
    pub time_ms: UnixMillis,
    /// The leaf's bytes.
    pub entry: Vec<u8>,
    /// Salt and payload; none once erased.
    pub opening: Option<([u8; 32], Vec<u8>)>,
}

impl ReceiptRow {
    /// The payload (RFC 8785 JSON), unless it was erased.
    pub fn payload(&self) -> Option<&[u8]> {
        self.opening.as_ref().map(|(_, payload)| payload.as_slice())
    }
}

/// A token that is dead before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedToken {
    /// Its id.
    pub jti: TokenId,
    /// Its task.
    pub task: TaskId,
    /// When it would have expired, in seconds.
    pub exp: i64,
    /// When it died.
    pub at_ms: UnixMillis,
    /// The leaf that says why: a revocation, or the end of the task.
    pub leaf: LeafIndex,
}

/// A recorded revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// Its id.
    pub id: RevocationId,
    /// What was revoked.
    pub target: RevocationTarget,
    /// When.
    pub at_ms: UnixMillis,
    /// Why, as given.
    pub reason: String,
    /// Its receipt.
    pub leaf: LeafIndex,
}

/// What a revocation would kill now, or what it has killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationPreview {
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// The tasks they belong to.
    pub tasks: Vec<TaskId>,
}
