//! Queries, each a function of a read connection.

pub(super) mod approval;
pub(super) mod downstreams;
pub(super) mod ledger;
pub(super) mod registry;
pub(super) mod revocation;
pub(super) mod spool;
pub(super) mod task;
pub(super) mod token;

use rusqlite::{Connection, Params, Row};

use crate::store::{Page, PageRequest};

/// Every row of a query, read by `row`.
fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    conn.prepare_cached(sql)?.query_map(params, row)?.collect()
}

/// The first row of a query, if there is one.
fn first<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    use rusqlite::OptionalExtension as _;
    conn.prepare_cached(sql)?.query_row(params, row).optional()
}

/// How many rows to ask for: one more than the page has, to see whether there is another.
fn one_more(page: &PageRequest) -> i64 {
    i64::try_from(page.rows().saturating_add(1)).unwrap_or(i64::MAX)
}

/// A page of what a query gave with [`one_more`] as its limit.
fn cut<T>(mut items: Vec<T>, page: &PageRequest, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > page.rows();
    items.truncate(page.rows());
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}
