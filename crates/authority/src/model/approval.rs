//! Approvals as they are kept.

use bailiwick_core::{
    ActionDigest, AgentId, ApprovalId, DecisionId, SubjectId, TaskId, TokenId, UnixMillis,
};

/// How an approval is recorded. That one has expired is seen from its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// Somebody has to decide.
    Pending,
    /// It may be used once.
    Approved,
    /// It was refused.
    Refused,
    /// It was used.
    Used,
    /// Its task has ended.
    Ended,
}

impl ApprovalState {
    /// Every state, in the order in which they are stored.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Approved, Self::Refused, Self::Used, Self::Ended];
}

/// One question, and what has become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRecord {
    /// Its id.
    pub id: ApprovalId,
    /// The task.
    pub task: TaskId,
    /// What is asked about.
    pub digest: ActionDigest,
    /// The canonical bytes of it; empty once erased.
    pub action: String,
    /// The token that asked.
    pub jti: TokenId,
    /// The agent that wants to act.
    pub agent: AgentId,
    /// The enforcement point that asked.
    pub asked_by: AgentId,
    /// What has to be approved, each by whoever it names; sorted.
    pub needs: Vec<String>,
    /// Why, for the approver.
    pub why: Vec<String>,
    /// When it was asked.
    pub asked_ms: UnixMillis,
    /// Until when it stands as it does.
    pub expires_ms: UnixMillis,
    /// How it stands.
    pub state: ApprovalState,
    /// What was decided, in order.
    pub votes: Vec<ApprovalVote>,
    /// What used it.
    pub used: Option<ApprovalUsed>,
}

/// What one approver decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalVote {
    /// Who.
    pub approver: SubjectId,
    /// Yes or no.
    pub approve: bool,
    /// Which of the needs this meets.
    pub needs: Vec<String>,
    /// Why, as given.
    pub reason: String,
    /// When.
    pub at_ms: UnixMillis,
    /// How long after the action was first shown to them; none when that is not known.
    pub dwell_ms: Option<u64>,
}

/// The one decision that an approval was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalUsed {
    /// The decision.
    pub decision: DecisionId,
    /// The enforcement point that took it.
    pub by: AgentId,
}

/// The use of an approval by one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalUse {
    /// The approval.
    pub id: ApprovalId,
    /// The action that it must be for.
    pub digest: ActionDigest,
    /// The needs that it must meet.
    pub needs: Vec<String>,
    /// Who uses it, and for which decision.
    pub used: ApprovalUsed,
}

/// Bounds on a verdict, checked at the instant that it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictBounds {
    /// Approvals that one approver may give in an hour.
    pub hourly_max: u32,
    /// Until when it stands once it is approved, or refused.
    pub stands_until: UnixMillis,
}

/// Which approvals a listing wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// Only of this task.
    pub task: Option<TaskId>,
    /// Only those that are recorded like this.
    pub state: Option<ApprovalState>,
}

impl ApprovalRecord {
    /// Whether its time is over while it could still have been decided or used.
    pub fn has_expired(&self, now: UnixMillis) -> bool {
        let open = matches!(self.state, ApprovalState::Pending | ApprovalState::Approved);
        open && now >= self.expires_ms
    }

    /// Whether it can be used now, for at least these needs.
    pub fn meets(&self, needs: &[String], now: UnixMillis) -> bool {
        self.state == ApprovalState::Approved
            && now < self.expires_ms
            && needs.iter().all(|need| self.needs.contains(need))
    }

    /// The needs that somebody has approved.
    pub fn met(&self) -> impl Iterator<Item = (&str, &SubjectId)> {
        let yes = self.votes.iter().filter(|vote| vote.approve);
        yes.flat_map(|vote| vote.needs.iter().map(|need| (need.as_str(), &vote.approver)))
    }

    /// Whether with these needs met, nothing is left to approve.
    pub fn is_complete_with(&self, more: &[String]) -> bool {
        let met: Vec<&str> = self.met().map(|(need, _)| need).collect();
        self.needs.iter().all(|need| met.contains(&need.as_str()) || more.contains(need))
    }
}
