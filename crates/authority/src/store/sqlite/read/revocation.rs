//! Revocations: what one would kill, what they have killed, status lists.

use bailiwick_core::limits::TTL_SECONDS_MAX;
use bailiwick_core::{RevocationId, TaskId, TokenId, UnixMillis};
use bailiwick_ledger::LeafIndex;
use rusqlite::{Connection, Row};

use super::super::live::{Killed, LiveTask, task_of_token, tasks_of_agent};
use super::super::lookup::Finder;
use super::super::row::{self, REVOKED_COLUMNS};
use super::{all, first};
use crate::model::{
    RevocationPreview, RevocationRow, RevocationTarget, RevokedToken, STATUS_LIST_ENTRIES,
    TaskState,
};

/// Loads the tasks concerned as the writer does and revokes in that copy.
pub(in super::super) fn preview(
    finder: &Finder<'_>,
    target: &RevocationTarget,
    now: UnixMillis,
) -> rusqlite::Result<RevocationPreview> {
    let tasks = match target {
        RevocationTarget::Task(task) => vec![*task],
        RevocationTarget::Token(jti) => task_of_token(finder, *jti)?.into_iter().collect(),
        RevocationTarget::Agent(agent) => tasks_of_agent(finder.conn, agent, now)?,
    };
    let mut killed: Vec<Killed> = Vec::new();
    for id in tasks {
        let Some(mut task) = LiveTask::load(finder, id)? else {
            continue;
        };
        killed.extend(match target {
            RevocationTarget::Task(_) => task.close(id, TaskState::Revoked, now),
            RevocationTarget::Token(jti) => task.revoke(id, &[*jti]),
            RevocationTarget::Agent(agent) => {
                let held = task.held_by(agent, now);
                task.revoke(id, &held)
            }
        });
    }
    killed.retain(|token| UnixMillis::from_seconds(token.exp) > now);
    let mut tokens: Vec<TokenId> = killed.iter().map(|token| token.jti).collect();
    let mut tasks: Vec<TaskId> = killed.iter().map(|token| token.task).collect();
    tokens.sort_unstable();
    tasks.sort_unstable();
    tasks.dedup();
    Ok(RevocationPreview { tokens, tasks })
}

pub(in super::super) fn one(
    conn: &Connection,
    id: RevocationId,
) -> rusqlite::Result<Option<RevocationRow>> {
    first(
        conn,
        "SELECT id, target_kind, target, at_ms, reason, leaf FROM revocation WHERE id = ?1",
        [id.as_bytes()],
        |found| {
            Ok(RevocationRow {
                id: RevocationId::from_bytes(found.get(0)?),
                target: target(found, 1, 2)?,
                at_ms: row::millis(found, 3)?,
                reason: found.get(4)?,
                leaf: row::leaf(found, 5)?,
            })
        },
    )
}

fn target(found: &Row<'_>, kind: usize, value: usize) -> rusqlite::Result<RevocationTarget> {
    match found.get::<_, i64>(kind)? {
        0 => Ok(RevocationTarget::Task(row::task_id(found, value)?)),
        1 => Ok(RevocationTarget::Token(row::token_id(found, value)?)),
        _ => row::parsed_bytes(found, value).map(RevocationTarget::Agent),
    }
}

pub(in super::super) fn at(
    conn: &Connection,
    leaf: LeafIndex,
) -> rusqlite::Result<Vec<RevokedToken>> {
    let sql = format!("SELECT {REVOKED_COLUMNS} FROM revoked WHERE leaf = ?1 ORDER BY status_idx");
    all(conn, &sql, [row::signed(leaf.0)], row::revoked)
}

pub(in super::super) fn since(
    conn: &Connection,
    from: LeafIndex,
    limit: usize,
) -> rusqlite::Result<Vec<RevokedToken>> {
    let sql = format!(
        "SELECT {REVOKED_COLUMNS} FROM revoked WHERE leaf >= ?1 AND leaf <=
         coalesce((SELECT leaf FROM revoked WHERE leaf >= ?1 ORDER BY leaf LIMIT 1 OFFSET ?2),
                  ?3)
         ORDER BY leaf, status_idx"
    );
    let params = (row::signed(from.0), row::signed(limit as u64 - 1), i64::MAX);
    all(conn, &sql, params, row::revoked)
}

pub(in super::super) fn live(
    conn: &Connection,
    now: UnixMillis,
) -> rusqlite::Result<Vec<RevokedToken>> {
    let sql = format!("SELECT {REVOKED_COLUMNS} FROM revoked ORDER BY leaf DESC");
    let mut query = conn.prepare_cached(&sql)?;
    let mut rows = query.query(())?;
    let mut revoked = Vec::new();
    while let Some(found) = rows.next()? {
        let token = row::revoked(found)?;
        // Leaves are in the order of time, and no token outlives its revocation by more than this.
        if token.at_ms.saturating_add_seconds(TTL_SECONDS_MAX) < now {
            break;
        }
        if UnixMillis::from_seconds(token.exp) > now {
            revoked.push(token);
        }
    }
    Ok(revoked)
}

pub(in super::super) fn status_bits(conn: &Connection, list: u64) -> rusqlite::Result<Vec<u8>> {
    let first = list.saturating_mul(STATUS_LIST_ENTRIES);
    let mut bits = vec![0_u8; usize::try_from(STATUS_LIST_ENTRIES / 8).unwrap_or(0)];
    let mut query = conn.prepare_cached(
        "SELECT status_idx FROM revoked WHERE status_idx >= ?1 AND status_idx < ?2",
    )?;
    let end = first.saturating_add(STATUS_LIST_ENTRIES);
    let mut rows = query.query((row::signed(first), row::signed(end)))?;
    while let Some(found) = rows.next()? {
        let bit = row::unsigned(found.get(0)?).saturating_sub(first);
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bits.get_mut(at)) {
            *byte |= 1 << (bit % 8);
        }
    }
    Ok(bits)
}
