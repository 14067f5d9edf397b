//! Effects of gateways: an epoch of a spool begins, its records are reported, budgets are leased and
//! returned.

use bailiwick_core::{AgentId, EpochId, LeaseId, Micros, TaskId};

use super::super::live::BudgetOf;
use super::super::read::spool::{self as read, LEASE_COLUMNS};
use super::super::row::{self, signed};
use super::{Append, Fault, Writer};
use crate::model::{Effect, LeaseDraw, LeaseRecord, NewLease, Refused, SpoolReport};

impl Writer<'_> {
    pub(super) fn open_epoch(
        &mut self,
        op: &Append,
        gateway: &AgentId,
        epoch: EpochId,
        release: Option<EpochId>,
    ) -> Result<(), Fault> {
        if read::epoch(self.conn, gateway, epoch)?.is_some() {
            return Err(Refused::VersionConflict.into());
        }
        let released = match release {
            Some(ended) => read::leases_of_epoch(self.conn, gateway, ended)?,
            None => Vec::new(),
        };
        self.write_leaf(op)?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO spool_epoch (gateway, epoch, leaf, next, heard_ms)
             VALUES (?1, ?2, ?3, 0, ?4)",
        )?;
        let leaf = self.leaf();
        insert.execute((gateway.as_str(), epoch.as_bytes(), leaf, signed(self.mark.0)))?;
        self.give_back(&released)
    }

    pub(super) fn report(&mut self, op: &Append, report: &SpoolReport) -> Result<(), Fault> {
        let known = read::epoch(self.conn, &report.gateway, report.epoch)?;
        if known.is_none_or(|known| known.next != report.expected) {
            return Err(Refused::VersionConflict.into());
        }
        let mut leases: Vec<LeaseRecord> = Vec::new();
        for draw in &report.draws {
            if leases.iter().all(|lease| lease.id != draw.lease) {
                let lease = read::lease(self.conn, draw.lease)?;
                leases.extend(lease.filter(|lease| lease.gateway == report.gateway));
            }
        }
        self.write_leaf(op)?;
        for (leaf, at) in op.more.iter().zip(self.next_leaf.saturating_add(1)..) {
            self.write_sealed(leaf, at, &Effect::None)?;
        }
        let mut update = self.conn.prepare_cached(
            "UPDATE spool_epoch SET next = ?3, heard_ms = ?4 WHERE gateway = ?1 AND epoch = ?2",
        )?;
        let (gateway, epoch) = (report.gateway.as_str(), report.epoch.as_bytes());
        update.execute((gateway, epoch, signed(report.next), signed(self.mark.0)))?;
        self.draw(&mut leases, &report.draws)
    }

    /// Counts draws that happened. What a lease does not cover is debited besides, so that the total
    /// stays that of what was done.
    fn draw(&mut self, leases: &mut [LeaseRecord], draws: &[LeaseDraw]) -> Result<(), Fault> {
        for draw in draws {
            let over = match leases.iter_mut().find(|lease| lease.id == draw.lease) {
                Some(lease) => {
                    let before = lease.spent.0.max(lease.amount.0);
                    lease.spent = lease.spent.saturating_add(draw.amount);
                    lease.spent.0.saturating_sub(before).max(0)
                }
                None => draw.amount.0,
            };
            if over > 0 {
                tracing::error!(
                    lease = %draw.lease, task = %draw.task, key = draw.key, over,
                    "a gateway reports a draw that no lease covers"
                );
                let of = (draw.node, draw.kind, draw.key.as_str().into());
                self.change_used(draw.task, of, over)?;
            }
        }
        let mut update = self.conn.prepare_cached("UPDATE lease SET spent = ?2 WHERE id = ?1")?;
        for lease in leases {
            update.execute((lease.id.as_bytes(), lease.spent.0))?;
        }
        Ok(())
    }

    pub(super) fn lease(
        &mut self,
        op: &Append,
        token: bailiwick_core::TokenId,
        wanted: &[NewLease],
    ) -> Result<(), Fault> {
        let id = wanted.first().map(|new| new.lease.task).ok_or(Refused::NotFound)?;
        let (task, agents) = self.live.task(self.conn, id)?.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        task.check_token(token, agents, self.mark)?;
        let totals = task.check_leases(wanted)?;
        self.write_leaf(op)?;
        for (of, used) in &totals {
            self.write_used(id, of, *used)?;
        }
        if let Some((task, _)) = self.live.task(self.conn, id)? {
            task.set_used(totals);
        }
        let mut insert = self.conn.prepare_cached(&format!(
            "INSERT INTO lease ({LEASE_COLUMNS}, leaf)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10)"
        ))?;
        let leaf = self.leaf();
        for NewLease { lease, .. } in wanted {
            insert.execute((
                lease.id.as_bytes(),
                lease.gateway.as_str(),
                lease.epoch.as_bytes(),
                lease.task.as_bytes(),
                lease.node.as_bytes(),
                row::place(&row::DEBIT_KINDS, &lease.kind),
                &lease.key,
                lease.amount.0,
                signed(lease.expires_ms.0),
                leaf,
            ))?;
        }
        Ok(())
    }

    pub(super) fn return_leases(
        &mut self,
        op: &Append,
        (gateway, epoch): (&AgentId, EpochId),
        through: u64,
        ids: &[LeaseId],
    ) -> Result<(), Fault> {
        let known = read::epoch(self.conn, gateway, epoch)?.map_or(0, |known| known.next);
        if known < through {
            return Err(Refused::VersionConflict.into());
        }
        let mut leases = Vec::with_capacity(ids.len());
        for id in ids {
            let lease = read::lease(self.conn, *id)?;
            let own = lease.filter(|lease| lease.gateway == *gateway && lease.epoch == epoch);
            leases.extend(own);
        }
        if leases.is_empty() {
            return Err(Refused::NotFound.into());
        }
        self.write_leaf(op)?;
        self.give_back(&leases)
    }

    /// What was not drawn on these leases goes back to their budgets.
    fn give_back(&mut self, leases: &[LeaseRecord]) -> Result<(), Fault> {
        let mut delete = self.conn.prepare_cached("DELETE FROM lease WHERE id = ?1")?;
        for lease in leases {
            // The same lease twice gives back once.
            if delete.execute([lease.id.as_bytes()])? == 0 {
                continue;
            }
            let unused = lease.amount.0.saturating_sub(lease.spent.0).max(0);
            let of = (lease.node, lease.kind, lease.key.as_str().into());
            self.change_used(lease.task, of, unused.saturating_neg())?;
        }
        Ok(())
    }

    /// Changes what is counted as used of a budget of an open task.
    fn change_used(&mut self, id: TaskId, of: BudgetOf, by: i64) -> Result<(), Fault> {
        let Some((task, _)) = self.live.task(self.conn, id)? else { return Ok(()) };
        if !task.is_open() || by == 0 {
            return Ok(());
        }
        let used = Micros(task.used(&of).0.saturating_add(by).max(0));
        task.set_used(vec![(of.clone(), used)]);
        self.write_used(id, &of, used)
    }

    /// The leases of a task that has ended are nobody's any more.
    pub(super) fn drop_leases(&mut self, task: TaskId) -> Result<(), Fault> {
        let mut delete = self.conn.prepare_cached("DELETE FROM lease WHERE task = ?1")?;
        delete.execute([task.as_bytes()])?;
        Ok(())
    }
}
