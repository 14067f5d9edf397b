//! Effects: every change of state, each committed together with its receipt, and the reasons for
//! which the store refuses one at the instant of the change.

use bailiwick_core::{
    ActionDigest, AgentId, ApprovalId, Debit, EpochId, LeaseId, Outcome, RevocationId, Sha256Hash,
    TaskId, TokenId, UnixMillis,
};
use bailiwick_ledger::LeafIndex;
use bailiwick_policy::Sensitivity;

use super::{
    ApprovalRecord, ApprovalUse, ApprovalVote, DownstreamsRecord, HolderKeyRecord, IssuerKeyRecord,
    NewLease, PolicyRecord, RecordStatus, RegistryRecord, SpoolReport, TaskRecord, TaskState,
    TokenRecord, VerdictBounds,
};

/// A proof of possession that must never be accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofRow {
    /// SHA-256 that identifies the proof.
    pub jti_hash: Sha256Hash,
    /// When the proof would be refused as too old anyway.
    pub expires_ms: UnixMillis,
}

/// One draw on one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDebit {
    /// The token whose constraint it is: the caller's or an ancestor's. Counted by its hop.
    pub node: TokenId,
    /// What is drawn, and what may be drawn in all. A negative amount is refused.
    pub debit: Debit,
}

/// What a revocation is aimed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationTarget {
    /// A task and every token of it.
    Task(TaskId),
    /// A hop (every token of it) and everything settled below it.
    Token(TokenId),
    /// Every live token of an agent and everything below them. The agent itself stays as it is.
    Agent(AgentId),
}

/// A change of state, committed in one transaction with its receipt or not at all. It happens at
/// the receipt's time.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Only the receipt.
    None,
    /// A task and its DT_0. Refused: replay, deadline passed, quarantined agent, known id.
    OpenTask {
        /// The task, `Open`.
        task: Box<TaskRecord>,
        /// Its root token.
        token: TokenRecord,
        /// The proof of possession that came with the request.
        proof: Option<ProofRow>,
    },
    /// A hop. Refused: replay, task not open, an ancestor revoked or expired, fan-out, rate,
    /// quarantined agent.
    Settle {
        /// The hop token.
        token: TokenRecord,
        /// The delegator's grant, compact form.
        grant: Vec<u8>,
        /// The delegatee's proof of possession.
        proof: Option<ProofRow>,
        /// Hops that the parent's hop may settle in all.
        fanout_max: u32,
        /// Hops that the task may settle in one minute.
        rate_per_minute_max: u32,
    },
    /// The same hop again: a later expiry or another audience. Refused: replay, task not open, the
    /// hop or an ancestor revoked, quarantined agent.
    Renew {
        /// The new token, of kind `Renewal` or `Reaudience`.
        token: TokenRecord,
        /// The holder's proof of possession.
        proof: Option<ProofRow>,
    },
    /// An enforced call. All of the entries are drawn, or none. Refused: replay, task not open,
    /// the token or an ancestor revoked or expired, quarantined agent, a budget exhausted.
    Debit {
        /// The task.
        task: TaskId,
        /// The caller's token.
        jti: TokenId,
        /// What to draw; may be empty.
        entries: Vec<NodeDebit>,
        /// The caller's proof of possession.
        proof: Option<ProofRow>,
        /// What the call lets the task read, when that is more sensitive than what it has read.
        exposes: Option<Sensitivity>,
        /// An approval that this uses up; refused when it does not stand.
        approval: Option<ApprovalUse>,
    },
    /// A question is put to people. Refused: task not open, the token or an ancestor revoked or
    /// expired, the same question open, the same action refused a while ago, too many open
    /// questions in the task.
    AskApproval {
        /// The question, `Pending`.
        asked: Box<ApprovalRecord>,
        /// Questions that one task may have open.
        pending_max: u32,
    },
    /// Somebody answers a question. Refused: unknown, task not open, no longer pending, another
    /// action, an approver who has answered it, or who has approved too much in this hour.
    DecideApproval {
        /// The question.
        id: ApprovalId,
        /// The action that was answered.
        digest: ActionDigest,
        /// The answer.
        vote: ApprovalVote,
        /// Bounds on it.
        bounds: VerdictBounds,
    },
    /// One decision of an enforcement point uses an approval up. Refused: task not open, the token
    /// or an ancestor revoked or expired, an approval that does not stand or is not for this.
    UseApproval {
        /// The task.
        task: TaskId,
        /// The caller's token.
        jti: TokenId,
        /// What is used.
        approval: ApprovalUse,
    },
    /// A task has read something this sensitive; what it has read before does not get less. Refused
    /// when it is not open.
    Expose {
        /// The task.
        task: TaskId,
        /// How sensitive.
        level: Sensitivity,
    },
    /// A task ends: every token of it dies. Refused when it is not open, or when it is completed or
    /// cancelled after its deadline.
    CloseTask {
        /// The task.
        task: TaskId,
        /// The final state.
        state: TaskState,
    },
    /// Tokens die before their time. Refused when the target is unknown, or a task that is not
    /// open.
    Revoke {
        /// Its id.
        id: RevocationId,
        /// What dies.
        target: RevocationTarget,
        /// Why, as given.
        reason: String,
    },
    /// Registry documents, all or none. Each must carry the stored version plus one (1 when new).
    PutRegistry {
        /// The new versions.
        records: Vec<RegistryRecord>,
    },
    /// An agent's status; any but `Active` also kills its live tokens and everything below them.
    SetAgentStatus {
        /// The agent.
        agent: AgentId,
        /// Its new status.
        status: RecordStatus,
    },
    /// A policy set comes into force. It must carry the latest version plus one (1 when first).
    PutPolicy {
        /// The set.
        record: PolicyRecord,
    },
    /// An agent binds a holder key to its identity. Refused: replay, quarantined agent.
    PutHolderKey {
        /// The key.
        record: HolderKeyRecord,
        /// Proof that the agent holds it.
        proof: Option<ProofRow>,
    },
    /// A gateway says what stands behind it. It must carry the latest version plus one (1 when first).
    DeclareDownstreams(Box<DownstreamsRecord>),
    /// A leaf's payload and salt are deleted for good; its entry stays.
    Erase {
        /// Which leaf.
        leaf: LeafIndex,
    },
    /// Only a proof of possession. Refused: replay.
    Proof(ProofRow),
    /// A gateway's spool begins an epoch. Refused when it is known.
    OpenEpoch {
        /// The gateway.
        gateway: AgentId,
        /// The epoch.
        epoch: EpochId,
        /// An epoch whose every record is here: its leases go back.
        release: Option<EpochId>,
    },
    /// Records of a gateway's spool: each a leaf, and what they drew on leases. Refused when the
    /// epoch does not stand where it is expected.
    ReceiptsFrom(Box<SpoolReport>),
    /// Parts of budgets of one task are handed to a gateway, all or none. Refused: task not open, the
    /// token or an ancestor revoked or expired, quarantined agent, a budget exhausted.
    Lease {
        /// The token whose call needs them.
        jti: TokenId,
        /// The leases, all of one task.
        leases: Vec<NewLease>,
    },
    /// A gateway returns leases: what was not drawn goes back. Refused when records of the epoch
    /// are missing, or none of the leases is held by the gateway under this epoch.
    ReturnLease {
        /// The gateway.
        gateway: AgentId,
        /// The epoch in which draws on them were recorded.
        epoch: EpochId,
        /// How many records of the epoch must be here.
        through: u64,
        /// The leases.
        leases: Vec<LeaseId>,
    },
    /// A signing key starts to sign; the ones before it retire.
    RotateKey {
        /// The new key.
        record: IssuerKeyRecord,
    },
}

impl Effect {
    /// The token that it issues.
    pub fn issues(&self) -> Option<&TokenRecord> {
        match self {
            Self::OpenTask { token, .. }
            | Self::Settle { token, .. }
            | Self::Renew { token, .. } => Some(token),
            _ => None,
        }
    }

    /// The proof of possession that it uses up.
    pub fn proof(&self) -> Option<&ProofRow> {
        match self {
            Self::Proof(proof) => Some(proof),
            Self::OpenTask { proof, .. }
            | Self::Settle { proof, .. }
            | Self::Renew { proof, .. }
            | Self::Debit { proof, .. }
            | Self::PutHolderKey { proof, .. } => proof.as_ref(),
            _ => None,
        }
    }
}

/// Why the store refused an effect. Nothing was written: the caller records the denial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The proof of possession was used before.
    #[error("the proof of possession was used before")]
    ProofReplayed,
    /// The task is unknown, not open, or past its deadline.
    #[error("the task is not open")]
    TaskClosed,
    /// The parent's hop has settled as many hops as it may.
    #[error("the delegator has handed on as often as it may")]
    FanoutExceeded,
    /// The task has settled as many hops in this minute as it may.
    #[error("the task has settled as many hops in this minute as it may")]
    RateExceeded,
    /// A budget does not cover the draw.
    #[error("the budget `{key}` does not cover this")]
    BudgetExhausted {
        /// The constraint's key.
        key: String,
    },
    /// The token or an ancestor is revoked or unknown.
    #[error("the token or one that it stems from is revoked")]
    Revoked,
    /// The token or an ancestor has expired.
    #[error("the token or one that it stems from has expired")]
    Expired,
    /// The agent, or one that it stems from, may not act.
    #[error("the agent is not active")]
    AgentQuarantined,
    /// No approval of exactly this stands.
    #[error("no approval of exactly this action stands: another action, decided, used or expired")]
    ApprovalInvalid,
    /// An approver has refused the action a while ago.
    #[error("an approver has refused exactly this action")]
    ApprovalRefused,
    /// The approver has approved as much in this hour as one may.
    #[error("the approver has approved as much in this hour as one person may")]
    ApprovalRate,
    /// The task has as many questions open as it may.
    #[error("the task has as many questions open as it may; wait for answers")]
    TooManyQuestions,
    /// Somebody else changed it first, or the id is taken.
    #[error("it was changed in the meantime")]
    VersionConflict,
    /// There is no such thing.
    #[error("there is no such record")]
    NotFound,
}

impl Refused {
    /// The outcome code that a caller is given; none where the fault is no part of the token
    /// profile (a conflict of versions, a missing record).
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::ProofReplayed => Some(Outcome::ProofReplayed),
            Self::TaskClosed => Some(Outcome::TaskClosed),
            Self::FanoutExceeded | Self::RateExceeded => Some(Outcome::FanoutExceeded),
            Self::BudgetExhausted { .. } => Some(Outcome::BudgetExhausted),
            Self::Revoked => Some(Outcome::Revoked),
            Self::Expired => Some(Outcome::Expired),
            Self::AgentQuarantined => Some(Outcome::AgentQuarantined),
            Self::ApprovalInvalid => Some(Outcome::ApprovalInvalid),
            Self::ApprovalRefused => Some(Outcome::ApprovalRefused),
            Self::TooManyQuestions => Some(Outcome::ApprovalRequired),
            Self::VersionConflict | Self::NotFound | Self::ApprovalRate => None,
        }
    }
}
