//! The writer's statements, prepared once.

use rusqlite::{Connection, Statement};

/// Expired rows deleted at a time.
pub(super) const PRUNE_ROWS: usize = 512;

/// Statements of the hot effects; rare ones use the connection's statement cache.
pub(super) struct Statements<'c> {
    pub(super) begin: Statement<'c>,
    pub(super) commit: Statement<'c>,
    pub(super) leaf: Statement<'c>,
    pub(super) lookup: Statement<'c>,
    pub(super) recent: Statement<'c>,
    pub(super) prune_recent: Statement<'c>,
    pub(super) token: Statement<'c>,
    pub(super) budget: Statement<'c>,
    pub(super) revoked: Statement<'c>,
    pub(super) mark: Statement<'c>,
    pub(super) used: Statement<'c>,
    pub(super) probe: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            leaf: conn.prepare(
                "INSERT INTO leaf (idx, kind, time_ms, entry, salt, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            // A row that was moved before a restart may come once more.
            lookup: conn
                .prepare("INSERT OR IGNORE INTO lookup (key, leaf, role) VALUES (?1, ?2, ?3)")?,
            recent: conn.prepare(
                "INSERT INTO recent (leaf, keys, half, jti, agent, exp, proof, proof_expires_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            // Looks at the front only; no row stays there for longer than a token or a pass lives.
            prune_recent: conn.prepare(&format!(
                "DELETE FROM recent WHERE leaf IN
                 (SELECT leaf FROM recent ORDER BY leaf LIMIT {PRUNE_ROWS})
                 AND leaf < ?1 AND coalesce(exp < ?2, TRUE) AND coalesce(proof_expires_ms <= ?3, TRUE)"
            ))?,
            token: conn.prepare(
                "INSERT INTO token (leaf, jti, hop, task, parent, lineage, kind, depth, iat, exp,
                   status_idx, agent, audience, holder_kind, holder, signing_hash, decision,
                   grant_hash, signing_input, settled_grant)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                   ?17, ?18, ?19, ?20)",
            )?,
            budget: conn.prepare(
                "INSERT INTO budget (task, node, kind, key, used) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET used = excluded.used",
            )?,
            used: conn.prepare(
                "INSERT INTO used (day, gateway, route, system, binding, needs, calls)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
            )?,
            revoked: conn.prepare(
                "INSERT INTO revoked (status_idx, jti, task, exp, at_ms, leaf)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            mark: conn.prepare(
                "INSERT INTO mark (name, value) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            )?,
            probe: conn.prepare(
                "INSERT INTO mark (name, value) VALUES ('probe', 1)
                 ON CONFLICT DO UPDATE SET value = value + 1",
            )?,
        })
    }
}
