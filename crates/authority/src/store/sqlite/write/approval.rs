//! Effects of approvals: a question is put, somebody answers it, one decision uses the answer.

use bailiwick_core::{ActionDigest, ApprovalId, TaskId, TokenId};
use bailiwick_ledger::LeafIndex;

use super::super::read::approval as read;
use super::super::row::{self, signed};
use super::{Append, Fault, Writer};
use crate::model::{
    ApprovalRecord, ApprovalState, ApprovalUse, ApprovalVote, Refused, VerdictBounds,
};

/// The time over which an approver's approvals are counted.
const HOUR_MS: u64 = 3_600_000;

impl Writer<'_> {
    pub(super) fn ask_approval(
        &mut self,
        op: &Append,
        asked: &ApprovalRecord,
        pending_max: u32,
    ) -> Result<(), Fault> {
        let (task, agents) = self.live.task(self.conn, asked.task)?.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        task.check_token(asked.jti, agents, self.mark)?;
        match read::of_digest(self.conn, asked.task, asked.digest)? {
            Some(known) if self.mark >= known.expires_ms => {}
            // Whoever asked at the same moment was first: there is one question an action.
            Some(known) if known.state == ApprovalState::Pending => {
                return Err(Refused::VersionConflict.into());
            }
            Some(known) if known.state == ApprovalState::Refused => {
                return Err(Refused::ApprovalRefused.into());
            }
            _ => {}
        }
        if read::count_pending(self.conn, asked.task, self.mark)? >= u64::from(pending_max) {
            return Err(Refused::TooManyQuestions.into());
        }
        self.write_leaf(op)?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO approval (id, leaf, task, digest, state, asked_ms, expires_ms, jti, agent,
               asked_by, needs, why, action)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        insert.execute(rusqlite::params![
            asked.id.as_bytes(),
            self.leaf(),
            asked.task.as_bytes(),
            asked.digest.as_bytes(),
            signed(asked.asked_ms.0),
            signed(asked.expires_ms.0),
            asked.jti.as_bytes(),
            asked.agent.as_str(),
            asked.asked_by.as_str(),
            row::to_json(&asked.needs)?,
            row::to_json(&asked.why)?,
            asked.action,
        ])?;
        Ok(())
    }

    pub(super) fn decide_approval(
        &mut self,
        op: &Append,
        (id, digest): (ApprovalId, ActionDigest),
        vote: &ApprovalVote,
        bounds: VerdictBounds,
    ) -> Result<(), Fault> {
        let known = read::one(self.conn, id)?.ok_or(Refused::NotFound)?;
        let (task, _) = self.live.task(self.conn, known.task)?.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        let open = known.state == ApprovalState::Pending && self.mark < known.expires_ms;
        if !open || known.digest != digest {
            return Err(Refused::ApprovalInvalid.into());
        }
        if known.votes.iter().any(|earlier| earlier.approver == vote.approver) {
            return Err(Refused::VersionConflict.into());
        }
        let since = bailiwick_core::UnixMillis(self.mark.0.saturating_sub(HOUR_MS));
        let given = read::count_given(self.conn, &vote.approver, since)?;
        if vote.approve && given >= u64::from(bounds.hourly_max) {
            return Err(Refused::ApprovalRate.into());
        }
        self.write_leaf(op)?;
        let leaf = self.leaf();
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO approval_vote (approval, approver, leaf, at_ms, approve, needs, reason,
               dwell_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        insert.execute(rusqlite::params![
            id.as_bytes(),
            vote.approver.as_str(),
            leaf,
            signed(vote.at_ms.0),
            vote.approve,
            row::to_json(&vote.needs)?,
            vote.reason,
            vote.dwell_ms.map(signed),
        ])?;
        let state = match vote.approve {
            false => ApprovalState::Refused,
            true if known.is_complete_with(&vote.needs) => ApprovalState::Approved,
            true => return Ok(()),
        };
        let mut update = self
            .conn
            .prepare_cached("UPDATE approval SET state = ?2, expires_ms = ?3 WHERE id = ?1")?;
        let state = row::place(&ApprovalState::ALL, &state);
        update.execute((id.as_bytes(), state, signed(bounds.stands_until.0)))?;
        Ok(())
    }

    pub(super) fn use_approval(
        &mut self,
        op: &Append,
        (task, jti): (TaskId, TokenId),
        approval: &ApprovalUse,
    ) -> Result<(), Fault> {
        let (live, agents) = self.live.task(self.conn, task)?.ok_or(Refused::TaskClosed)?;
        live.check_open(self.mark)?;
        live.check_token(jti, agents, self.mark)?;
        self.check_approval(task, approval)?;
        self.write_leaf(op)?;
        self.write_approval_used(approval)
    }

    /// Whether an approval stands for exactly this, and has not been used.
    pub(super) fn check_approval(&self, task: TaskId, approval: &ApprovalUse) -> Result<(), Fault> {
        let known = read::one(self.conn, approval.id)?.ok_or(Refused::ApprovalInvalid)?;
        let fits = known.task == task && known.digest == approval.digest;
        if fits && known.meets(&approval.needs, self.mark) {
            return Ok(());
        }
        Err(Refused::ApprovalInvalid.into())
    }

    pub(super) fn write_approval_used(&mut self, approval: &ApprovalUse) -> Result<(), Fault> {
        let mut update = self.conn.prepare_cached(
            "UPDATE approval SET state = 3, used_decision = ?2, used_by = ?3 WHERE id = ?1",
        )?;
        let used = &approval.used;
        update.execute((approval.id.as_bytes(), used.decision.as_bytes(), used.by.as_str()))?;
        Ok(())
    }

    /// What was asked in a task, or approved, ends with it.
    pub(super) fn end_approvals(&mut self, task: TaskId) -> Result<(), Fault> {
        let mut update = self
            .conn
            .prepare_cached("UPDATE approval SET state = 4 WHERE task = ?1 AND state IN (0, 1)")?;
        update.execute([task.as_bytes()])?;
        Ok(())
    }

    /// What a leaf said is erased here too: the action that it asked about, the reason it gave.
    pub(super) fn erase_approval(&mut self, leaf: LeafIndex) -> Result<(), Fault> {
        let leaf = signed(leaf.0);
        let mut action = self
            .conn
            .prepare_cached("UPDATE approval SET action = '', why = '[]' WHERE leaf = ?1")?;
        action.execute([leaf])?;
        let mut reason =
            self.conn.prepare_cached("UPDATE approval_vote SET reason = '' WHERE leaf = ?1")?;
        reason.execute([leaf])?;
        Ok(())
    }
}
