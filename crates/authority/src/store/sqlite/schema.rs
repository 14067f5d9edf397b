//! Migrations: forward only, one transaction each. A database that a newer program has written is
//! refused, and so is a file that is not a Bailiwick store.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::OpenError;

/// `application_id` of the database file: "Bwk1".
const APPLICATION_ID: i32 = 0x4277_6b31;

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "first", sql: include_str!("migrations/0001_first.sql") },
    Migration { version: 2, name: "reads", sql: include_str!("migrations/0002_reads.sql") },
    Migration { version: 3, name: "spool", sql: include_str!("migrations/0003_spool.sql") },
    Migration { version: 4, name: "approvals", sql: include_str!("migrations/0004_approvals.sql") },
    Migration {
        version: 5,
        name: "downstreams",
        sql: include_str!("migrations/0005_downstreams.sql"),
    },
    Migration {
        version: 6,
        name: "written_in_order",
        sql: include_str!("migrations/0006_written_in_order.sql"),
    },
    Migration {
        version: 7,
        name: "one_row_a_leaf",
        sql: include_str!("migrations/0007_one_row_a_leaf.sql"),
    },
];

/// The newest schema this program knows.
pub(super) fn newest_version() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Brings the database up to the newest schema.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    let found = current_version(conn)?;
    if found > newest_version() {
        return Err(OpenError::NewerSchema { found, known: newest_version() });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if migration.version == 1 {
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.execute_batch(
                "CREATE TABLE schema_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
            )?;
        }
        tx.execute_batch(migration.sql)?;
        tx.execute(
            "INSERT INTO schema_migration (version, name) VALUES (?1, ?2)",
            (migration.version, migration.name),
        )?;
        tx.commit()?;
    }
    Ok(())
}

fn current_version(conn: &Connection) -> Result<u32, OpenError> {
    let application: i32 = conn.query_row("PRAGMA application_id", (), |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application != APPLICATION_ID {
        return if application == 0 && tables == 0 { Ok(0) } else { Err(OpenError::NotAStore) };
    }
    let version: Option<u32> = conn
        .query_row("SELECT max(version) FROM schema_migration", (), |row| row.get(0))
        .optional()?
        .flatten();
    version.ok_or(OpenError::NotAStore)
}

#[cfg(test)]
mod tests {
    use bailiwick_ledger::{Receipt, ReceiptKind};
    use serde_json::{Value, json};

    use super::*;
    use crate::store::usage::used_by;

    #[test]
    fn proofs_of_before_are_kept_in_front_of_those_to_come() {
        let mut conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS.iter().filter(|migration| migration.version < 6) {
            conn.execute_batch(migration.sql).unwrap();
        }
        conn.execute_batch(
            "INSERT INTO proof (expires_ms, hash) VALUES (30, x'03'), (10, x'01'), (20, x'02')",
        )
        .unwrap();
        let tx = conn.transaction().unwrap();
        tx.execute_batch(MIGRATIONS[5].sql).unwrap();
        tx.execute("INSERT INTO proof (leaf, expires_ms, hash) VALUES (0, 15, x'04')", ()).unwrap();
        tx.commit().unwrap();
        let mut query = conn.prepare("SELECT expires_ms, hash FROM proof ORDER BY leaf").unwrap();
        let rows = query.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(i64, Vec<u8>)> = rows.collect::<rusqlite::Result<_>>().unwrap();
        assert_eq!(rows, [(10, vec![1]), (20, vec![2]), (30, vec![3]), (15, vec![4])]);
    }

    #[test]
    fn what_was_in_several_rows_of_a_leaf_is_in_one() {
        let mut conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS.iter().filter(|migration| migration.version < 7) {
            conn.execute_batch(migration.sql).unwrap();
        }
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO token (leaf, jti, hop, task, lineage, kind, depth, iat, exp, status_idx, agent,
               audience, holder_kind, holder, signing_hash, decision, signing_input)
             SELECT value, x'01', x'01', x'02', x'', 0, 0, 1, 9, value, 'a', 'b', 0, x'', x'03', x'04', x'05'
             FROM json_each('[4, 5]');
             INSERT INTO settled_grant (leaf, compact) VALUES (5, x'0606');
             INSERT INTO issued (leaf, half, jti, agent, exp) VALUES (4, x'07', x'01', 8, 9), (5, x'08', x'01', 8, 9);
             INSERT INTO proof (leaf, expires_ms, hash) VALUES (-1, 10, x'0A'), (5, 11, x'0B');
             INSERT INTO lookup_new (leaf, keys) VALUES (5, x'0C'), (6, x'0D');",
        )
        .unwrap();
        let tx = conn.transaction().unwrap();
        tx.execute_batch(MIGRATIONS[6].sql).unwrap();
        tx.commit().unwrap();
        let rows = |sql: &str| -> Vec<String> {
            let mut query = conn.prepare(sql).unwrap();
            let rows = query.query_map((), |row| row.get(0)).unwrap();
            rows.collect::<rusqlite::Result<_>>().unwrap()
        };
        let recent =
            "SELECT concat_ws(' ', leaf, 'k' || hex(keys), hex(half), hex(jti), agent, exp,
                        'p' || hex(proof), proof_expires_ms) FROM recent ORDER BY leaf";
        let expected = ["-1 k   p0A 10", "4 k 07 01 8 9 p", "5 k0C 08 01 8 9 p0B 11", "6 k0D   p"];
        assert_eq!(rows(recent), expected);
        let grants = "SELECT leaf || quote(settled_grant) FROM token ORDER BY leaf";
        assert_eq!(rows(grants), ["4NULL", "5X'0606'"]);
    }

    #[test]
    fn what_is_in_the_ledger_already_is_counted_like_what_comes_later() {
        let mut conn = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS.iter().filter(|migration| migration.version < 5) {
            conn.execute_batch(migration.sql).unwrap();
        }
        let day = 86_400_000_u64;
        let payload = |allow: bool, reported: Value| {
            json!({"act": "invoke", "route": "crm", "reported": reported, "decision": {
                "allow": allow, "inputs": {"facts": {"binding": "opaque", "resource": {"system": "crm"}}}}})
        };
        let by = "spiffe://a.example/gateway/x";
        let leaves = [
            (ReceiptKind::Decision, payload(true, json!({"by": by, "time": 2 * day, "number": 0}))),
            (ReceiptKind::Decision, payload(true, json!({"by": by, "time": 9 * day, "number": 1}))),
            (ReceiptKind::Decision, payload(true, Value::Null)),
            (ReceiptKind::Decision, payload(false, json!({"by": by, "time": 2 * day}))),
            (
                ReceiptKind::Decision,
                payload(true, json!({"by": by, "time": 2 * day, "foreign": true})),
            ),
            (ReceiptKind::Action, payload(true, json!({"by": by, "time": 2 * day}))),
            (ReceiptKind::Decision, json!({"act": "settle"})),
        ];
        let mut expected = Vec::new();
        for ((kind, payload), at) in leaves.into_iter().zip(0_i64..) {
            let payload = payload.to_string().into_bytes();
            let place = ReceiptKind::ALL.iter().position(|it| *it == kind).unwrap();
            conn.execute(
                "INSERT INTO leaf (idx, kind, time_ms, entry, salt, payload) VALUES (?1, ?2, ?3, x'00', x'00', ?4)",
                (at, i64::try_from(place).unwrap(), i64::try_from(3 * day).unwrap(), &payload),
            )
            .unwrap();
            let receipt = Receipt { kind, time_ms: 3 * day, subject_ids: Vec::new(), payload };
            expected.extend(used_by(&receipt));
        }
        assert_eq!(expected.len(), 3);
        let tx = conn.transaction().unwrap();
        tx.execute_batch(MIGRATIONS[4].sql).unwrap();
        tx.commit().unwrap();
        let mut found =
            super::super::read::downstreams::used(&conn, &(0..=u32::MAX), None, 10).unwrap();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}
