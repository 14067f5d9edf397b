//! What tasks have read: digests, bounded by forgetting the oldest. No ledger entry: whoever loses
//! them reads again.

use bailiwick_core::TaskId;

use super::super::row::{self, signed};
use super::{Fault, Writer};
use crate::model::Refused;
use crate::store::{READS_OF_TASK_BYTES_MAX, READS_OF_TASK_MAX, StoreError};

impl Writer<'_> {
    /// Adds reads as the newest of the task; gives the number of the last.
    pub(super) fn add_reads(&mut self, task: TaskId, reads: &[Vec<u8>]) -> Result<u64, StoreError> {
        let written = self.statements.begin.execute(()).map_err(Fault::from).and_then(|_| {
            let seq = self.write_reads(task, reads)?;
            self.statements.commit.execute(())?;
            Ok(seq)
        });
        match written {
            Ok(seq) => {
                self.live.commit();
                Ok(seq)
            }
            Err(fault) => {
                self.roll_back();
                Err(match fault {
                    Fault::Refused(refused) => refused.into(),
                    Fault::Database(error) => StoreError::unavailable(error),
                })
            }
        }
    }

    fn write_reads(&mut self, id: TaskId, reads: &[Vec<u8>]) -> Result<u64, Fault> {
        let (task, _) = self.live.task(self.conn, id)?.ok_or(Refused::TaskClosed)?;
        task.check_open(self.mark)?;
        let key = id.as_bytes();
        let mut newest = self
            .conn
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM task_read WHERE task = ?1")?
            .query_row([key], |found| found.get::<_, i64>(0))?;
        let mut again =
            self.conn.prepare_cached("DELETE FROM task_read WHERE task = ?1 AND bytes = ?2")?;
        let mut insert = self
            .conn
            .prepare_cached("INSERT INTO task_read (task, seq, bytes) VALUES (?1, ?2, ?3)")?;
        for bytes in reads {
            again.execute((key, bytes))?;
            newest = newest.saturating_add(1);
            insert.execute((key, newest, bytes))?;
        }
        self.forget_oldest_reads(key)?;
        Ok(row::unsigned(newest))
    }

    /// Keeps the newest reads that are within both bounds.
    fn forget_oldest_reads(&mut self, key: &[u8; 16]) -> Result<(), Fault> {
        let mut forget = self.conn.prepare_cached(
            "DELETE FROM task_read WHERE task = ?1 AND seq IN (
               SELECT seq FROM (
                 SELECT seq, count(*) OVER newer AS reads, sum(length(bytes)) OVER newer AS size
                 FROM task_read WHERE task = ?1
                 WINDOW newer AS (ORDER BY seq DESC))
               WHERE reads > ?2 OR size > ?3)",
        )?;
        let bounds = (signed(READS_OF_TASK_MAX as u64), signed(READS_OF_TASK_BYTES_MAX as u64));
        forget.execute((key, bounds.0, bounds.1))?;
        Ok(())
    }
}
