//! Effects that end something: a task closes, tokens are revoked, an agent is stopped.

use bailiwick_core::{AgentId, RevocationId, TaskId, TokenId};

use super::super::live::{Killed, task_of_token, tasks_of_agent};
use super::super::row::{self, signed};
use super::{Append, Fault, Writer};
use crate::model::{Refused, RevocationTarget, TaskState};

impl Writer<'_> {
    pub(super) fn close_task(
        &mut self,
        op: &Append,
        id: TaskId,
        state: TaskState,
    ) -> Result<(), Fault> {
        let (task, _) = self.live.task(self.conn, id)?.ok_or(Refused::TaskClosed)?;
        task.check_close(state, self.mark)?;
        self.write_leaf(op)?;
        self.end_task(id, state)
    }

    /// Every token of the task that is still good dies with it.
    fn end_task(&mut self, id: TaskId, state: TaskState) -> Result<(), Fault> {
        let mut update = self.conn.prepare_cached(
            "UPDATE task SET state = ?2, closed_ms = ?3, reads_salt = NULL WHERE id = ?1",
        )?;
        let place = row::place(&TaskState::ALL, &state);
        update.execute((id.as_bytes(), place, signed(self.mark.0)))?;
        self.conn
            .prepare_cached("DELETE FROM task_read WHERE task = ?1")?
            .execute([id.as_bytes()])?;
        self.drop_leases(id)?;
        self.deaths.tasks.push((id, state));
        self.end_approvals(id)?;
        let now = self.mark;
        let killed = match self.live.task(self.conn, id)? {
            Some((task, _)) => task.close(id, state, now),
            None => Vec::new(),
        };
        self.write_killed(&killed)
    }

    pub(super) fn revoke(
        &mut self,
        op: &Append,
        id: RevocationId,
        target: &RevocationTarget,
        reason: &str,
    ) -> Result<(), Fault> {
        let (kind, key): (i64, &[u8]) = match target {
            RevocationTarget::Task(task) => {
                let (task, _) = self.live.task(self.conn, *task)?.ok_or(Refused::NotFound)?;
                task.check_close(TaskState::Revoked, self.mark)?;
                (0, target_bytes(target))
            }
            RevocationTarget::Token(_) => (1, target_bytes(target)),
            RevocationTarget::Agent(_) => (2, target_bytes(target)),
        };
        let of_token = match target {
            RevocationTarget::Token(jti) => {
                let finder = self.live.lookups.finder(self.conn);
                Some((task_of_token(&finder, *jti)?.ok_or(Refused::NotFound)?, *jti))
            }
            _ => None,
        };
        self.write_leaf(op)?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO revocation (id, leaf, target_kind, target, at_ms, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let at = signed(self.mark.0);
        insert.execute((id.as_bytes(), self.leaf(), kind, key, at, reason))?;
        match (target, of_token) {
            (RevocationTarget::Task(task), _) => self.end_task(*task, TaskState::Revoked),
            (RevocationTarget::Agent(agent), _) => self.kill_held_by(agent),
            (RevocationTarget::Token(_), Some((task, jti))) => self.kill(task, &[jti]),
            (RevocationTarget::Token(_), None) => Ok(()),
        }
    }

    /// Kills every live token of the agent and everything below them.
    pub(super) fn kill_held_by(&mut self, agent: &AgentId) -> Result<(), Fault> {
        for id in tasks_of_agent(self.conn, agent, self.mark)? {
            let now = self.mark;
            let Some((task, _)) = self.live.task(self.conn, id)? else {
                continue;
            };
            let held = task.held_by(agent, now);
            self.kill(id, &held)?;
        }
        Ok(())
    }

    fn kill(&mut self, id: TaskId, targets: &[TokenId]) -> Result<(), Fault> {
        let killed: Vec<Killed> = match self.live.task(self.conn, id)? {
            Some((task, _)) => task.revoke(id, targets),
            None => Vec::new(),
        };
        self.write_killed(&killed)
    }
}

fn target_bytes(target: &RevocationTarget) -> &[u8] {
    match target {
        RevocationTarget::Task(task) => task.as_bytes(),
        RevocationTarget::Token(jti) => jti.as_bytes(),
        RevocationTarget::Agent(agent) => agent.as_str().as_bytes(),
    }
}
