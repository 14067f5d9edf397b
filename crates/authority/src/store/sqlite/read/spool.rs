//! Epochs of spools, and leases.

use bailiwick_core::{AgentId, EpochId, LeaseId, Micros, TaskId};
use rusqlite::{Connection, Row};

use super::super::row;
use super::{all, first};
use crate::model::{EpochRecord, LeaseRecord};

/// Columns of a lease, in the order of [`lease_row`].
pub(in super::super) const LEASE_COLUMNS: &str =
    "id, gateway, epoch, task, node, kind, key, amount, spent, expires_ms";

const EPOCH_COLUMNS: &str = "gateway, epoch, next, heard_ms";

pub(in super::super) fn epoch(
    conn: &Connection,
    gateway: &AgentId,
    epoch: EpochId,
) -> rusqlite::Result<Option<EpochRecord>> {
    let sql = format!("SELECT {EPOCH_COLUMNS} FROM spool_epoch WHERE gateway = ?1 AND epoch = ?2");
    first(conn, &sql, (gateway.as_str(), epoch.as_bytes()), epoch_row)
}

/// The newest epochs of a gateway, newest first. An epoch's id begins with its time.
pub(in super::super) fn epochs(
    conn: &Connection,
    gateway: &AgentId,
    limit: usize,
) -> rusqlite::Result<Vec<EpochRecord>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {EPOCH_COLUMNS} FROM spool_epoch WHERE gateway = ?1 ORDER BY epoch DESC LIMIT ?2"
    );
    all(conn, &sql, (gateway.as_str(), limit), epoch_row)
}

fn epoch_row(found: &Row<'_>) -> rusqlite::Result<EpochRecord> {
    Ok(EpochRecord {
        gateway: row::parsed(found, 0)?,
        epoch: EpochId::from_bytes(found.get(1)?),
        next: row::unsigned(found.get(2)?),
        heard_ms: row::millis(found, 3)?,
    })
}

pub(in super::super) fn lease(
    conn: &Connection,
    id: LeaseId,
) -> rusqlite::Result<Option<LeaseRecord>> {
    let sql = format!("SELECT {LEASE_COLUMNS} FROM lease WHERE id = ?1");
    first(conn, &sql, [id.as_bytes()], lease_row)
}

pub(in super::super) fn leases_of_epoch(
    conn: &Connection,
    gateway: &AgentId,
    epoch: EpochId,
) -> rusqlite::Result<Vec<LeaseRecord>> {
    let sql = format!("SELECT {LEASE_COLUMNS} FROM lease WHERE gateway = ?1 AND epoch = ?2");
    all(conn, &sql, (gateway.as_str(), epoch.as_bytes()), lease_row)
}

pub(in super::super) fn leases_of_task(
    conn: &Connection,
    task: TaskId,
) -> rusqlite::Result<Vec<LeaseRecord>> {
    let sql = format!("SELECT {LEASE_COLUMNS} FROM lease WHERE task = ?1 ORDER BY id");
    all(conn, &sql, [task.as_bytes()], lease_row)
}

fn lease_row(found: &Row<'_>) -> rusqlite::Result<LeaseRecord> {
    Ok(LeaseRecord {
        id: LeaseId::from_bytes(found.get(0)?),
        gateway: row::parsed(found, 1)?,
        epoch: EpochId::from_bytes(found.get(2)?),
        task: row::task_id(found, 3)?,
        node: row::token_id(found, 4)?,
        kind: row::debit_kind(found, 5)?,
        key: found.get(6)?,
        amount: Micros(found.get(7)?),
        spent: Micros(found.get(8)?),
        expires_ms: row::millis(found, 9)?,
    })
}
