//! Leaves, receipts and proofs of possession.

use std::ops::Range;

use bailiwick_core::{Sha256Hash, UnixMillis};
use bailiwick_ledger::{Hash, LeafIndex, leaf_hash};
use rusqlite::Connection;

use super::super::key::Key;
use super::super::lookup::{Finder, Wanted};
use super::super::readers::bad_cursor;
use super::super::row::{self, RECEIPT_COLUMNS, signed};
use super::{all, cut, first};
use crate::model::{ProofRow, ReceiptRow};
use crate::store::{Page, PageRequest};

const ENTRIES: &str = "SELECT entry FROM leaf WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";

pub(in super::super) fn entries(
    conn: &Connection,
    range: Range<u64>,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    all(conn, ENTRIES, (signed(range.start), signed(range.end)), |found| found.get(0))
}

pub(in super::super) fn leaf_hashes(
    conn: &Connection,
    range: Range<u64>,
) -> rusqlite::Result<Vec<Hash>> {
    all(conn, ENTRIES, (signed(range.start), signed(range.end)), |found| {
        Ok(leaf_hash(found.get_ref(0)?.as_blob()?))
    })
}

pub(in super::super) fn receipt(
    conn: &Connection,
    index: LeafIndex,
) -> rusqlite::Result<Option<ReceiptRow>> {
    let sql = format!("SELECT {RECEIPT_COLUMNS} FROM leaf WHERE idx = ?1");
    first(conn, &sql, [signed(index.0)], row::receipt)
}

pub(in super::super) fn receipts(
    conn: &Connection,
    range: Range<u64>,
) -> rusqlite::Result<Vec<ReceiptRow>> {
    let sql =
        format!("SELECT {RECEIPT_COLUMNS} FROM leaf WHERE idx >= ?1 AND idx < ?2 ORDER BY idx");
    all(conn, &sql, (signed(range.start), signed(range.end)), row::receipt)
}

pub(in super::super) fn by_key(
    finder: &Finder<'_>,
    key: Key,
    page: &PageRequest,
) -> rusqlite::Result<Page<ReceiptRow>> {
    let after = match &page.cursor {
        Some(text) => text.parse::<i64>().map_err(|_| bad_cursor())?,
        None => -1,
    };
    let limit = page.rows().saturating_add(1);
    let sql = format!("SELECT {RECEIPT_COLUMNS} FROM leaf WHERE idx = ?1");
    let leaves = finder.leaves(Wanted { key, role: None, after, limit })?;
    let receipts = leaves.into_iter().map(|leaf| first(finder.conn, &sql, [leaf], row::receipt));
    let found = receipts.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
    Ok(cut(found, page, |receipt| receipt.index.to_string()))
}

pub(in super::super) fn proofs_unexpired(
    conn: &Connection,
    now: UnixMillis,
) -> rusqlite::Result<Vec<ProofRow>> {
    all(
        conn,
        "SELECT proof_expires_ms, proof FROM recent WHERE proof_expires_ms > ?1
         ORDER BY proof_expires_ms, proof",
        [signed(now.0)],
        |found| {
            let expires_ms = row::millis(found, 0)?;
            Ok(ProofRow { jti_hash: Sha256Hash(found.get(1)?), expires_ms })
        },
    )
}
