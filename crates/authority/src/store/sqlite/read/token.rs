//! Tokens, grants and budgets.

use std::collections::HashSet;
use std::sync::Arc;

use bailiwick_core::{Micros, TaskId, TokenId};
use rusqlite::Connection;

use super::super::key::{Key, Role};
use super::super::lookup::{Finder, Wanted};
use super::super::row::{self, TOKEN_COLUMNS};
use super::{all, first};
use crate::model::{BudgetRow, TokenKind, TokenRecord};

pub(in super::super) fn one(
    finder: &Finder<'_>,
    jti: TokenId,
) -> rusqlite::Result<Option<TokenRecord>> {
    let leaves = finder.leaves(Wanted::first(Key::of_token(jti), Role::Issued))?;
    leaves.first().map_or(Ok(None), |leaf| at(finder.conn, *leaf))
}

pub(in super::super) fn of_task(
    finder: &Finder<'_>,
    task: TaskId,
) -> rusqlite::Result<Vec<Arc<TokenRecord>>> {
    let leaves = finder.leaves(Wanted::all(Key::of_task(task), Role::IssuedFor))?;
    let tokens = leaves.into_iter().map(|leaf| Ok(at(finder.conn, leaf)?.map(Arc::new)));
    tokens.filter_map(Result::transpose).collect()
}

/// The token that a leaf issued.
fn at(conn: &Connection, leaf: i64) -> rusqlite::Result<Option<TokenRecord>> {
    let sql = format!(
        "SELECT {TOKEN_COLUMNS} FROM token t LEFT JOIN revoked r ON r.status_idx = t.status_idx
         WHERE t.leaf = ?1"
    );
    first(conn, &sql, [leaf], row::token)
}

pub(in super::super) fn children(
    finder: &Finder<'_>,
    jti: TokenId,
) -> rusqlite::Result<Vec<Arc<TokenRecord>>> {
    let Some(token) = one(finder, jti)? else {
        return Ok(Vec::new());
    };
    let tokens = of_task(finder, token.task)?;
    let hop: Vec<TokenId> = tokens.iter().filter(|t| t.hop == token.hop).map(|t| t.jti).collect();
    let is_child = |t: &Arc<TokenRecord>| t.parent.is_some_and(|parent| hop.contains(&parent));
    Ok(tokens.into_iter().filter(is_child).collect())
}

/// Hops that were settled from any token of a hop.
pub(in super::super) fn fanout(
    finder: &Finder<'_>,
    task: TaskId,
    hop: TokenId,
) -> rusqlite::Result<u32> {
    let mut query =
        finder.conn.prepare_cached("SELECT jti, hop, parent, kind FROM token WHERE leaf = ?1")?;
    let (mut of_hop, mut parents) = (HashSet::new(), Vec::new());
    for leaf in finder.leaves(Wanted::all(Key::of_task(task), Role::IssuedFor))? {
        let mut rows = query.query([leaf])?;
        let Some(found) = rows.next()? else { continue };
        if row::token_id(found, 1)? == hop {
            of_hop.insert(row::token_id(found, 0)?);
        }
        if row::token_kind(found, 3)? == TokenKind::Hop {
            parents.extend(found.get::<_, Option<[u8; 16]>>(2)?.map(TokenId::from_bytes));
        }
    }
    let count = parents.iter().filter(|parent| of_hop.contains(parent)).count();
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(in super::super) fn grant(
    finder: &Finder<'_>,
    jti: TokenId,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let leaves = finder.leaves(Wanted::first(Key::of_token(jti), Role::Issued))?;
    let Some(leaf) = leaves.first() else { return Ok(None) };
    first(finder.conn, "SELECT settled_grant FROM token WHERE leaf = ?1", [leaf], |found| {
        found.get(0)
    })
    .map(Option::flatten)
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
