//! What stands behind gateways, and what was used of it.

use std::ops::RangeInclusive;

use bailiwick_core::AgentId;
use rusqlite::{Connection, Row};

use super::super::row;
use super::{all, first};
use crate::model::{DownstreamsRecord, UseRow};

const COLUMNS: &str = "gateway, version, declared_ms, document";

pub(in super::super) fn latest(
    conn: &Connection,
    gateway: &AgentId,
) -> rusqlite::Result<Option<DownstreamsRecord>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM downstreams WHERE gateway = ?1 ORDER BY version DESC LIMIT 1"
    );
    first(conn, &sql, [gateway.as_str()], record)
}

pub(in super::super) fn every(
    conn: &Connection,
    limit: usize,
) -> rusqlite::Result<Vec<DownstreamsRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM downstreams ORDER BY gateway, version DESC LIMIT ?1");
    all(conn, &sql, [i64::try_from(limit).unwrap_or(i64::MAX)], record)
}

fn record(found: &Row<'_>) -> rusqlite::Result<DownstreamsRecord> {
    Ok(DownstreamsRecord {
        gateway: row::parsed(found, 0)?,
        version: found.get(1)?,
        declared_ms: row::millis(found, 2)?,
        document: row::json(found, 3)?,
    })
}

pub(in super::super) fn used(
    conn: &Connection,
    days: &RangeInclusive<u32>,
    system: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<UseRow>> {
    let sql = "SELECT day, gateway, route, system, binding, needs, calls FROM used
               WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR system = ?3)
               ORDER BY day, gateway, route, system, binding, needs LIMIT ?4";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    all(conn, sql, (days.start(), days.end(), system, limit), |found| {
        let named = |text: String| (!text.is_empty()).then_some(text);
        Ok(UseRow {
            day: found.get(0)?,
            gateway: named(found.get(1)?),
            route: named(found.get(2)?),
            system: found.get(3)?,
            binding: found.get(4)?,
            needs: row::json(found, 5)?,
            calls: row::unsigned(found.get(6)?),
        })
    })
}
