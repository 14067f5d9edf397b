//! Effects of work: a task opens, hops settle, tokens are renewed, budgets are drawn on.

use bailiwick_core::{Micros, ReadsSalt, Sha256Hash, TaskId, TokenId};
use bailiwick_policy::Sensitivity;

use super::super::live::BudgetOf;
use super::super::row::{self, signed};
use super::{Append, Fault, Writer};
use crate::model::{ApprovalUse, NodeDebit, ProofRow, Refused, TaskRecord, TaskState, TokenRecord};

impl Writer<'_> {
    pub(super) fn open_task(
        &mut self,
        op: &Append,
        task: &TaskRecord,
        token: &TokenRecord,
        proof: Option<&ProofRow>,
    ) -> Result<(), Fault> {
        self.live.check_proof(proof)?;
        self.live.agents.check(&token.agent)?;
        if task.state != TaskState::Open || self.mark >= task.deadline_ms {
            return Err(Refused::TaskClosed.into());
        }
        if self.live.task(self.conn, task.id)?.is_some() {
            return Err(Refused::VersionConflict.into());
        }
        self.write_leaf(op)?;
        self.write_task(task)?;
        self.write_token(token, None)?;
        self.live.add_task(task, token);
        self.fanouts.push((token.hop, 0));
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        op: &Append,
        token: &TokenRecord,
        grant: &[u8],
        proof: Option<&ProofRow>,
        (fanout_max, rate_per_minute_max): (u32, u32),
    ) -> Result<(), Fault> {
        self.live.check_proof(proof)?;
        let found = self.live.task(self.conn, token.task)?;
        let (task, agents) = found.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        let parent = token.parent.ok_or(Refused::Revoked)?;
        task.check_token(parent, agents, self.mark)?;
        task.check_lineage(&token.lineage, agents)?;
        agents.check(&token.agent)?;
        if task.knows(token.jti) {
            return Err(Refused::VersionConflict.into());
        }
        task.check_room(parent, fanout_max, rate_per_minute_max, token.iat)?;
        self.write_leaf(op)?;
        self.write_token(token, Some(grant))?;
        self.remember_token(token)
    }

    pub(super) fn renew(
        &mut self,
        op: &Append,
        token: &TokenRecord,
        proof: Option<&ProofRow>,
    ) -> Result<(), Fault> {
        self.live.check_proof(proof)?;
        let found = self.live.task(self.conn, token.task)?;
        let (task, agents) = found.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        task.check_hop(token.hop, agents)?;
        task.check_lineage(&token.lineage, agents)?;
        if task.knows(token.jti) {
            return Err(Refused::VersionConflict.into());
        }
        self.write_leaf(op)?;
        self.write_token(token, None)?;
        self.remember_token(token)
    }

    pub(super) fn debit(
        &mut self,
        op: &Append,
        (id, jti): (TaskId, TokenId),
        debits: &[NodeDebit],
        proof: Option<&ProofRow>,
        (exposes, approval): (Option<Sensitivity>, Option<&ApprovalUse>),
    ) -> Result<(), Fault> {
        self.live.check_proof(proof)?;
        let (task, agents) = self.live.task(self.conn, id)?.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        task.check_token(jti, agents, self.mark)?;
        let totals = task.check_budgets(debits)?;
        if let Some(approval) = approval {
            self.check_approval(id, approval)?;
        }
        self.write_leaf(op)?;
        if let Some(approval) = approval {
            self.write_approval_used(approval)?;
        }
        for (of, used) in &totals {
            self.write_used(id, of, *used)?;
        }
        if let Some((task, _)) = self.live.task(self.conn, id)? {
            task.set_used(totals);
        }
        match exposes {
            Some(level) => self.raise_exposure(id, level),
            None => Ok(()),
        }
    }

    pub(super) fn expose(
        &mut self,
        op: &Append,
        id: TaskId,
        level: Sensitivity,
    ) -> Result<(), Fault> {
        let (task, _) = self.live.task(self.conn, id)?.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        self.write_leaf(op)?;
        self.raise_exposure(id, level)
    }

    fn raise_exposure(&mut self, id: TaskId, level: Sensitivity) -> Result<(), Fault> {
        let mut update = self
            .conn
            .prepare_cached("UPDATE task SET exposure = max(exposure, ?2) WHERE id = ?1")?;
        update.execute((id.as_bytes(), level.rank()))?;
        Ok(())
    }

    pub(super) fn write_used(
        &mut self,
        id: TaskId,
        (node, kind, key): &BudgetOf,
        used: Micros,
    ) -> Result<(), Fault> {
        let kind = row::place(&row::DEBIT_KINDS, kind);
        let columns = (id.as_bytes(), node.as_bytes(), kind, &**key, used.0);
        self.statements.budget.execute(columns)?;
        Ok(())
    }

    fn remember_token(&mut self, token: &TokenRecord) -> Result<(), Fault> {
        if let Some((task, _)) = self.live.task(self.conn, token.task)? {
            self.fanouts.extend(task.add_token(token));
        }
        Ok(())
    }

    fn write_task(&mut self, task: &TaskRecord) -> Result<(), Fault> {
        let leaf = self.leaf();
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO task (id, leaf, state, opened_ms, deadline_ms, subject, workflow,
               workflow_version, tenant, env, sensitivity, root_jti, max_depth, max_fanout,
               hop_rate, detail, exposure, reads_salt, subject_token)
             VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
               ?17, ?18)",
        )?;
        insert.execute(rusqlite::params![
            task.id.as_bytes(),
            leaf,
            signed(task.opened_ms.0),
            signed(task.deadline_ms.0),
            task.subject.as_str(),
            task.workflow.as_str(),
            task.workflow_version,
            task.tenant.as_str(),
            task.env,
            task.sensitivity.as_str(),
            task.root_jti.as_bytes(),
            task.max_depth,
            task.max_fanout,
            task.hop_rate_per_minute,
            row::to_json(&row::TaskDetail::of(task))?,
            task.exposure.rank(),
            task.reads_salt.as_ref().map(ReadsSalt::as_bytes),
            task.subject_token.as_ref().map(Sha256Hash::as_bytes),
        ])?;
        Ok(())
    }

    fn write_token(&mut self, token: &TokenRecord, grant: Option<&[u8]>) -> Result<(), Fault> {
        let leaf = self.leaf();
        let (holder_kind, holder) = row::holder_columns(&token.holder);
        self.statements.token.execute(rusqlite::params![
            leaf,
            token.jti.as_bytes(),
            token.hop.as_bytes(),
            token.task.as_bytes(),
            token.parent.as_ref().map(TokenId::as_bytes),
            row::lineage_bytes(&token.lineage),
            row::place(&crate::model::TokenKind::ALL, &token.kind),
            token.depth,
            token.iat,
            token.exp,
            signed(token.status_idx),
            token.agent.as_str(),
            token.audience,
            holder_kind,
            holder,
            token.signing_hash.as_bytes(),
            token.decision.as_bytes(),
            token.grant_hash.as_ref().map(bailiwick_core::Sha256Hash::as_bytes),
            token.signing_input,
            grant,
        ])?;
        Ok(())
    }
}
