//! Tokens, grants and budgets.

use std::sync::Arc;

use bailiwick_core::{Micros, TaskId, TokenId};
use rusqlite::Connection;

use super::super::key::{Key, Role};
use super::super::row::{self, TOKEN_COLUMNS};
use super::{all, first};
use crate::model::{BudgetRow, TokenRecord};

const ISSUED_FOR: i64 = Role::IssuedFor as i64;
const ISSUED: i64 = Role::Issued as i64;

pub(in super::super) fn one(
    conn: &Connection,
    jti: TokenId,
) -> rusqlite::Result<Option<TokenRecord>> {
    let sql = format!(
        "SELECT {TOKEN_COLUMNS} FROM lookup k JOIN token t ON t.leaf = k.leaf
         LEFT JOIN revoked r ON r.status_idx = t.status_idx
         WHERE k.key = ?1 AND k.role = ?2 ORDER BY k.leaf LIMIT 1"
    );
    first(conn, &sql, (Key::of_token(jti), ISSUED), row::token)
}

pub(in super::super) fn of_task(
    conn: &Connection,
    task: TaskId,
) -> rusqlite::Result<Vec<Arc<TokenRecord>>> {
    let sql = format!(
        "SELECT {TOKEN_COLUMNS} FROM lookup k JOIN token t ON t.leaf = k.leaf
         LEFT JOIN revoked r ON r.status_idx = t.status_idx
         WHERE k.key = ?1 AND k.role = ?2 ORDER BY k.leaf"
    );
    all(conn, &sql, (Key::of_task(task), ISSUED_FOR), |found| row::token(found).map(Arc::new))
}

pub(in super::super) fn children(
    conn: &Connection,
    jti: TokenId,
) -> rusqlite::Result<Vec<Arc<TokenRecord>>> {
    let Some(token) = one(conn, jti)? else {
        return Ok(Vec::new());
    };
    let tokens = of_task(conn, token.task)?;
    let hop: Vec<TokenId> = tokens.iter().filter(|t| t.hop == token.hop).map(|t| t.jti).collect();
    let is_child = |t: &Arc<TokenRecord>| t.parent.is_some_and(|parent| hop.contains(&parent));
    Ok(tokens.into_iter().filter(is_child).collect())
}

pub(in super::super) fn fanout(
    conn: &Connection,
    task: TaskId,
    hop: TokenId,
) -> rusqlite::Result<u32> {
    let count = first(
        conn,
        "SELECT count(*) FROM lookup k JOIN token t ON t.leaf = k.leaf
         WHERE k.key = ?1 AND k.role = ?2 AND t.kind = 1 AND t.parent IN
         (SELECT p.jti FROM lookup q JOIN token p ON p.leaf = q.leaf
          WHERE q.key = ?1 AND q.role = ?2 AND p.hop = ?3)",
        (Key::of_task(task), ISSUED_FOR, hop.as_bytes()),
        |found| found.get(0),
    )?;
    Ok(count.unwrap_or(0))
}

pub(in super::super) fn grant(
    conn: &Connection,
    jti: TokenId,
) -> rusqlite::Result<Option<Vec<u8>>> {
    first(
        conn,
        "SELECT g.compact FROM lookup k JOIN settled_grant g ON g.leaf = k.leaf
         WHERE k.key = ?1 AND k.role = ?2 ORDER BY k.leaf LIMIT 1",
        (Key::of_token(jti), ISSUED),
        |found| found.get(0),
    )
}

pub(in super::super) fn budgets(
    conn: &Connection,
    task: TaskId,
) -> rusqlite::Result<Vec<BudgetRow>> {
    all(
        conn,
        "SELECT node, key, kind, used FROM budget WHERE task = ?1 ORDER BY node, key, kind",
        [task.as_bytes()],
        |found| {
            Ok(BudgetRow {
                node: row::token_id(found, 0)?,
                key: found.get(1)?,
                kind: row::debit_kind(found, 2)?,
                used: Micros(found.get(3)?),
            })
        },
    )
}
