//! Owners, agents, workflows, policy sets and keys.

use bailiwick_core::{AgentId, Sha256Hash, Thumbprint, UnixMillis, WorkflowId};
use rusqlite::{Connection, Row};
use serde_json::Value;

use super::super::row;
use super::super::write::{AGENT, OWNER, WORKFLOW};
use super::{all, cut, first, one_more};
use crate::model::{
    AgentRecord, HolderKeyRecord, IssuerKeyRecord, OwnerRecord, PolicyRecord, RecordStatus,
    WorkflowRecord,
};
use crate::store::{Page, PageRequest};

/// One version of one document.
struct Document {
    id: String,
    version: u32,
    status: RecordStatus,
    updated_ms: UnixMillis,
    document: Value,
}

const COLUMNS: &str = "id, version, status, updated_ms, document";

fn document(found: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        id: found.get(0)?,
        version: found.get(1)?,
        status: row::status(found, 2)?,
        updated_ms: row::millis(found, 3)?,
        document: row::json(found, 4)?,
    })
}

fn latest<T>(
    conn: &Connection,
    kind: i64,
    id: &str,
    of: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM registry WHERE kind = ?1 AND id = ?2 ORDER BY version DESC LIMIT 1"
    );
    first(conn, &sql, (kind, id), of)
}

fn latest_page<T>(
    conn: &Connection,
    kind: i64,
    page: &PageRequest,
    of: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    id: impl Fn(&T) -> String,
) -> rusqlite::Result<Page<T>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM registry r WHERE kind = ?1 AND id > ?2 AND version =
         (SELECT max(version) FROM registry WHERE kind = r.kind AND id = r.id)
         ORDER BY id LIMIT ?3"
    );
    let after = page.cursor.as_deref().unwrap_or("");
    let found = all(conn, &sql, (kind, after, one_more(page)), of)?;
    Ok(cut(found, page, id))
}

fn owner_row(found: &Row<'_>) -> rusqlite::Result<OwnerRecord> {
    let Document { id, version, status, updated_ms, document } = document(found)?;
    Ok(OwnerRecord { id, version, document, status, updated_ms })
}

fn agent_row(found: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    let id = row::parsed(found, 0)?;
    let Document { version, status, updated_ms, document, .. } = document(found)?;
    Ok(AgentRecord { id, version, document, status, updated_ms })
}

fn workflow_row(found: &Row<'_>) -> rusqlite::Result<WorkflowRecord> {
    let id = row::parsed(found, 0)?;
    let Document { version, status, updated_ms, document, .. } = document(found)?;
    Ok(WorkflowRecord { id, version, document, status, updated_ms })
}

pub(in super::super) fn owner(
    conn: &Connection,
    id: &str,
) -> rusqlite::Result<Option<OwnerRecord>> {
    latest(conn, OWNER, id, owner_row)
}

pub(in super::super) fn owners(
    conn: &Connection,
    page: &PageRequest,
) -> rusqlite::Result<Page<OwnerRecord>> {
    latest_page(conn, OWNER, page, owner_row, |owner| owner.id.clone())
}

pub(in super::super) fn agent(
    conn: &Connection,
    id: &AgentId,
) -> rusqlite::Result<Option<AgentRecord>> {
    latest(conn, AGENT, id.as_str(), agent_row)
}

pub(in super::super) fn agents(
    conn: &Connection,
    page: &PageRequest,
) -> rusqlite::Result<Page<AgentRecord>> {
    latest_page(conn, AGENT, page, agent_row, |agent| agent.id.to_string())
}

pub(in super::super) fn workflow(
    conn: &Connection,
    id: &WorkflowId,
    version: Option<u32>,
) -> rusqlite::Result<Option<WorkflowRecord>> {
    let Some(version) = version else {
        return latest(conn, WORKFLOW, id.as_str(), workflow_row);
    };
    let sql =
        format!("SELECT {COLUMNS} FROM registry WHERE kind = ?1 AND id = ?2 AND version = ?3");
    first(conn, &sql, (WORKFLOW, id.as_str(), version), workflow_row)
}

pub(in super::super) fn workflows(
    conn: &Connection,
    page: &PageRequest,
) -> rusqlite::Result<Page<WorkflowRecord>> {
    latest_page(conn, WORKFLOW, page, workflow_row, |workflow| workflow.id.to_string())
}

pub(in super::super) fn holder_keys(
    conn: &Connection,
    agent: &AgentId,
    now: UnixMillis,
) -> rusqlite::Result<Vec<HolderKeyRecord>> {
    all(
        conn,
        "SELECT jkt, expires_ms FROM holder_key WHERE agent = ?1 AND expires_ms > ?2
         ORDER BY expires_ms DESC, jkt",
        (agent.as_str(), row::signed(now.0)),
        |found| {
            Ok(HolderKeyRecord {
                agent: agent.clone(),
                jkt: Thumbprint(Sha256Hash(found.get(0)?)),
                expires_ms: row::millis(found, 1)?,
            })
        },
    )
}

fn policy_row(found: &Row<'_>) -> rusqlite::Result<PolicyRecord> {
    Ok(PolicyRecord {
        version: found.get(0)?,
        hash: found.get(1)?,
        updated_ms: row::millis(found, 2)?,
        sources: row::json(found, 3)?,
    })
}

pub(in super::super) fn policy_latest(conn: &Connection) -> rusqlite::Result<Option<PolicyRecord>> {
    first(
        conn,
        "SELECT version, hash, updated_ms, sources FROM policy ORDER BY version DESC LIMIT 1",
        (),
        policy_row,
    )
}

pub(in super::super) fn policy_by_hash(
    conn: &Connection,
    hash: &str,
) -> rusqlite::Result<Option<PolicyRecord>> {
    first(
        conn,
        "SELECT version, hash, updated_ms, sources FROM policy WHERE hash = ?1
         ORDER BY version DESC LIMIT 1",
        [hash],
        policy_row,
    )
}

pub(in super::super) fn issuer_keys(conn: &Connection) -> rusqlite::Result<Vec<IssuerKeyRecord>> {
    all(conn, "SELECT kid, jwk, active_ms, retired_ms FROM issuer_key ORDER BY leaf", (), |found| {
        let retired: Option<i64> = found.get(3)?;
        Ok(IssuerKeyRecord {
            kid: found.get(0)?,
            jwk: row::json(found, 1)?,
            active_ms: row::millis(found, 2)?,
            retired_ms: retired.map(|at| UnixMillis(row::unsigned(at))),
        })
    })
}
