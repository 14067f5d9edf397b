//! A settled token, as the Authority recorded it before releasing it, and what was spent of it.

use bailiwick_core::{
    AgentId, DebitKind, DecisionId, HolderBinding, Micros, Sha256Hash, TaskId, TokenId, UnixMillis,
};

/// Why a token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// DT_0 of a task.
    Root,
    /// A settled grant.
    Hop,
    /// The same hop with a later expiry.
    Renewal,
    /// The same hop for another audience.
    Reaudience,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Root, Self::Hop, Self::Renewal, Self::Reaudience];

    /// The word used in the API and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Hop => "hop",
            Self::Renewal => "renewal",
            Self::Reaudience => "reaudience",
        }
    }
}

/// One settled token. Only `revoked_ms` ever changes.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRecord {
    /// Its id.
    pub jti: TokenId,
    /// `jti` of the first token of its hop: its own for `Root` and `Hop`, the one that was renewed
    /// for the others. Fan-out, budgets and revocation are counted by hop, so that renewing a
    /// token refills nothing.
    pub hop: TokenId,
    /// Its task.
    pub task: TaskId,
    /// The token it was narrowed from (`par_hash`); none for `Root`.
    pub parent: Option<TokenId>,
    /// Its ancestors, DT_0 first, itself excluded.
    pub lineage: Vec<TokenId>,
    /// `del_depth`.
    pub depth: u8,
    /// The agent that acts at this hop.
    pub agent: AgentId,
    /// The one audience.
    pub audience: String,
    /// The key it is bound to.
    pub holder: HolderBinding,
    /// Issued at, in seconds.
    pub iat: i64,
    /// Expires at, in seconds.
    pub exp: i64,
    /// What a child's `par_hash` names.
    pub signing_hash: Sha256Hash,
    /// The JWS signing input that was signed.
    pub signing_input: Vec<u8>,
    /// SHA-256 of the delegator's grant, for `Hop`.
    pub grant_hash: Option<Sha256Hash>,
    /// The decision that allowed it.
    pub decision: DecisionId,
    /// Its place in the status lists.
    pub status_idx: u64,
    /// When it was revoked or its task ended.
    pub revoked_ms: Option<UnixMillis>,
    /// Why it was issued.
    pub kind: TokenKind,
}

/// What has been used of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// The hop whose constraint it is.
    pub node: TokenId,
    /// The constraint's key.
    pub key: String,
    /// Which of the two budgets of that key.
    pub kind: DebitKind,
    /// Used so far.
    pub used: Micros,
}
