//! Approvals.

use bailiwick_core::{ActionDigest, ApprovalId, DecisionId, SubjectId, TaskId, UnixMillis};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::super::readers::bad_cursor;
use super::super::row;
use super::{all, cut, first, one_more};
use crate::model::{ApprovalFilter, ApprovalRecord, ApprovalState, ApprovalUsed, ApprovalVote};
use crate::store::{Page, PageRequest};

const COLUMNS: &str = "id, task, digest, state, asked_ms, expires_ms, jti, agent, asked_by, needs, \
     why, action, used_decision, used_by";

pub(in super::super) fn one(
    conn: &Connection,
    id: ApprovalId,
) -> rusqlite::Result<Option<ApprovalRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM approval WHERE id = ?1");
    with_votes(conn, first(conn, &sql, [id.as_bytes()], record)?)
}

/// The newest approval of this action.
pub(in super::super) fn of_digest(
    conn: &Connection,
    task: TaskId,
    digest: ActionDigest,
) -> rusqlite::Result<Option<ApprovalRecord>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM approval WHERE task = ?1 AND digest = ?2 ORDER BY id DESC LIMIT 1"
    );
    with_votes(conn, first(conn, &sql, (task.as_bytes(), digest.as_bytes()), record)?)
}

pub(in super::super) fn page(
    conn: &Connection,
    filter: &ApprovalFilter,
    page: &PageRequest,
) -> rusqlite::Result<Page<ApprovalRecord>> {
    let cursor = match &page.cursor {
        Some(text) => Some(text.parse::<ApprovalId>().map_err(|_| bad_cursor())?),
        None => None,
    };
    let conditions: [(&str, Option<Value>); 3] = [
        ("id < ?", cursor.map(|id| Value::Blob(id.as_bytes().to_vec()))),
        ("task = ?", filter.task.map(|id| Value::Blob(id.as_bytes().to_vec()))),
        ("state = ?", filter.state.map(|state| row::place(&ApprovalState::ALL, &state).into())),
    ];
    let mut sql = format!("SELECT {COLUMNS} FROM approval WHERE 1");
    let mut values = Vec::new();
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        }
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(Value::Integer(one_more(page)));
    let mut found = all(conn, &sql, params_from_iter(values), record)?;
    for approval in &mut found {
        approval.votes = votes(conn, approval.id)?;
    }
    Ok(cut(found, page, |approval| approval.id.to_string()))
}

/// Questions of a task that wait for an answer at this instant.
pub(in super::super) fn count_pending(
    conn: &Connection,
    task: TaskId,
    now: UnixMillis,
) -> rusqlite::Result<u64> {
    let count = first(
        conn,
        "SELECT count(*) FROM approval WHERE task = ?1 AND state = 0 AND expires_ms > ?2",
        (task.as_bytes(), row::signed(now.0)),
        |found| found.get(0),
    )?;
    Ok(row::unsigned(count.unwrap_or(0)))
}

/// How often somebody has approved after `since`.
pub(in super::super) fn count_given(
    conn: &Connection,
    approver: &SubjectId,
    since: UnixMillis,
) -> rusqlite::Result<u64> {
    let count = first(
        conn,
        "SELECT count(*) FROM approval_vote WHERE approver = ?1 AND approve = 1 AND at_ms > ?2",
        (approver.as_str(), row::signed(since.0)),
        |found| found.get(0),
    )?;
    Ok(row::unsigned(count.unwrap_or(0)))
}

fn with_votes(
    conn: &Connection,
    found: Option<ApprovalRecord>,
) -> rusqlite::Result<Option<ApprovalRecord>> {
    found
        .map(|approval| Ok(ApprovalRecord { votes: votes(conn, approval.id)?, ..approval }))
        .transpose()
}

fn votes(conn: &Connection, id: ApprovalId) -> rusqlite::Result<Vec<ApprovalVote>> {
    all(
        conn,
        "SELECT approver, approve, needs, reason, at_ms, dwell_ms FROM approval_vote
         WHERE approval = ?1 ORDER BY leaf",
        [id.as_bytes()],
        |found| {
            Ok(ApprovalVote {
                approver: row::parsed(found, 0)?,
                approve: found.get(1)?,
                needs: row::json(found, 2)?,
                reason: found.get(3)?,
                at_ms: row::millis(found, 4)?,
                dwell_ms: found.get::<_, Option<i64>>(5)?.map(row::unsigned),
            })
        },
    )
}

fn record(found: &Row<'_>) -> rusqlite::Result<ApprovalRecord> {
    let used = match found.get::<_, Option<[u8; 16]>>(12)? {
        Some(decision) => Some(ApprovalUsed {
            decision: DecisionId::from_bytes(decision),
            by: row::parsed(found, 13)?,
        }),
        None => None,
    };
    Ok(ApprovalRecord {
        id: ApprovalId::from_bytes(found.get(0)?),
        task: row::task_id(found, 1)?,
        digest: ActionDigest::from_bytes(found.get(2)?),
        state: row::one_of(&ApprovalState::ALL, found, 3)?,
        asked_ms: row::millis(found, 4)?,
        expires_ms: row::millis(found, 5)?,
        jti: row::token_id(found, 6)?,
        agent: row::parsed(found, 7)?,
        asked_by: row::parsed(found, 8)?,
        needs: row::json(found, 9)?,
        why: row::json(found, 10)?,
        action: found.get(11)?,
        votes: Vec::new(),
        used,
    })
}
