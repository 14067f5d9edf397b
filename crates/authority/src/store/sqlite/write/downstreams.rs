//! What gateways declare to stand behind them, and the digest of what was used.

use super::super::read::downstreams as read;
use super::super::row::{self, signed};
use super::{Append, Fault, Writer};
use crate::model::{DownstreamsRecord, Refused, UseRow};

/// Declarations of one gateway that are kept.
const VERSIONS_MAX: u32 = 64;

impl Writer<'_> {
    pub(super) fn declare_downstreams(
        &mut self,
        op: &Append,
        record: &DownstreamsRecord,
    ) -> Result<(), Fault> {
        let stored = read::latest(self.conn, &record.gateway)?.map_or(0, |known| known.version);
        if record.version != stored.saturating_add(1) {
            return Err(Refused::VersionConflict.into());
        }
        self.write_leaf(op)?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO downstreams (gateway, version, leaf, declared_ms, document)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        insert.execute((
            record.gateway.as_str(),
            record.version,
            self.leaf(),
            signed(record.declared_ms.0),
            row::to_json(&record.document)?,
        ))?;
        let mut forget = self
            .conn
            .prepare_cached("DELETE FROM downstreams WHERE gateway = ?1 AND version <= ?2")?;
        let oldest = record.version.saturating_sub(VERSIONS_MAX);
        forget.execute((record.gateway.as_str(), oldest))?;
        Ok(())
    }

    /// Counts what a leaf used, in its own transaction.
    pub(super) fn count_used(&mut self, used: &UseRow) -> Result<(), Fault> {
        self.statements.used.execute((
            used.day,
            used.gateway.as_deref().unwrap_or_default(),
            used.route.as_deref().unwrap_or_default(),
            &used.system,
            &used.binding,
            row::to_json(&used.needs)?,
            signed(used.calls),
        ))?;
        Ok(())
    }
}
