//! Tasks.

use std::sync::Arc;

use bailiwick_core::{Sha256Hash, TaskId, UnixMillis};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::super::readers::bad_cursor;
use super::super::row::{self, TASK_COLUMNS};
use super::{all, cut, first, one_more};
use crate::model::{TaskFilter, TaskRecord, TaskState};
use crate::store::{Page, PageRequest};

pub(in super::super) fn one(conn: &Connection, id: TaskId) -> rusqlite::Result<Option<TaskRecord>> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM task WHERE id = ?1");
    first(conn, &sql, [id.as_bytes()], row::task)
}

pub(in super::super) fn page(
    conn: &Connection,
    filter: &TaskFilter,
    page: &PageRequest,
) -> rusqlite::Result<Page<Arc<TaskRecord>>> {
    let cursor = match &page.cursor {
        Some(text) => Some(text.parse::<TaskId>().map_err(|_| bad_cursor())?),
        None => None,
    };
    let conditions: [(&str, Option<Value>); 5] = [
        ("id < ?", cursor.map(|id| Value::Blob(id.as_bytes().to_vec()))),
        ("state = ?", filter.state.map(|state| row::place(&TaskState::ALL, &state).into())),
        ("workflow = ?", filter.workflow.as_ref().map(|id| Value::Text(id.to_string()))),
        ("subject = ?", filter.subject.as_ref().map(|id| Value::Text(id.to_string()))),
        ("tenant = ?", filter.tenant.as_ref().map(|id| Value::Text(id.to_string()))),
    ];
    let mut sql = format!("SELECT {TASK_COLUMNS} FROM task WHERE 1");
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
    let found = all(conn, &sql, params_from_iter(values), |found| row::task(found).map(Arc::new))?;
    Ok(cut(found, page, |task| task.id.to_string()))
}

pub(in super::super) fn past_deadline(
    conn: &Connection,
    now: UnixMillis,
    limit: usize,
) -> rusqlite::Result<Vec<TaskId>> {
    all(
        conn,
        "SELECT id FROM task WHERE state = 0 AND deadline_ms <= ?1 ORDER BY deadline_ms LIMIT ?2",
        (row::signed(now.0), row::signed(limit as u64)),
        |found| row::task_id(found, 0),
    )
}

pub(in super::super) fn count_open(conn: &Connection) -> rusqlite::Result<u64> {
    let count = first(conn, "SELECT count(*) FROM task WHERE state = 0", (), |found| found.get(0))?;
    Ok(row::unsigned(count.unwrap_or(0)))
}

pub(in super::super) fn was_handed_over(
    conn: &Connection,
    subject_token: Sha256Hash,
) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM task WHERE subject_token = ?1 LIMIT 1";
    Ok(first(conn, sql, [subject_token.as_bytes()], |_| Ok(()))?.is_some())
}

pub(in super::super) fn reads(
    conn: &Connection,
    id: TaskId,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    all(
        conn,
        "SELECT seq, bytes FROM task_read WHERE task = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        (id.as_bytes(), row::signed(after), row::signed(limit as u64)),
        |found| Ok((row::unsigned(found.get(0)?), found.get(1)?)),
    )
}
