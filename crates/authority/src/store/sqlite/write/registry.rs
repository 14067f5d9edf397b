//! Effects on what is configured live: registry, policy sets, keys; and erasure.

use bailiwick_core::{AgentId, UnixMillis};
use bailiwick_ledger::LeafIndex;
use rusqlite::OptionalExtension as _;
use serde_json::Value;

use super::super::row::{self, signed};
use super::{Append, Fault, Writer, is_active};
use crate::model::{
    HolderKeyRecord, IssuerKeyRecord, PolicyRecord, ProofRow, RecordStatus, Refused, RegistryRecord,
};

/// Holder keys of one agent; binding one more forgets the one that expires first.
const HOLDER_KEYS_MAX: i64 = 64;

pub(in super::super) const OWNER: i64 = 0;
pub(in super::super) const AGENT: i64 = 1;
pub(in super::super) const WORKFLOW: i64 = 2;

/// A registry record as a row.
struct Document<'a> {
    kind: i64,
    id: &'a str,
    version: u32,
    status: RecordStatus,
    updated_ms: UnixMillis,
    document: &'a Value,
}

impl<'a> Document<'a> {
    fn of(record: &'a RegistryRecord) -> Self {
        let (kind, id, version, status, updated_ms, document) = match record {
            RegistryRecord::Owner(r) => {
                (OWNER, r.id.as_str(), r.version, r.status, r.updated_ms, &r.document)
            }
            RegistryRecord::Agent(r) => {
                (AGENT, r.id.as_str(), r.version, r.status, r.updated_ms, &r.document)
            }
            RegistryRecord::Workflow(r) => {
                (WORKFLOW, r.id.as_str(), r.version, r.status, r.updated_ms, &r.document)
            }
        };
        Self { kind, id, version, status, updated_ms, document }
    }
}

impl Writer<'_> {
    pub(super) fn put_registry(
        &mut self,
        op: &Append,
        records: &[RegistryRecord],
    ) -> Result<(), Fault> {
        let documents: Vec<Document<'_>> = records.iter().map(Document::of).collect();
        for (at, document) in documents.iter().enumerate() {
            let same =
                |other: &&Document<'_>| other.kind == document.kind && other.id == document.id;
            let before = documents.iter().take(at).filter(same).count();
            let stored = self.registry_version(document.kind, document.id)?;
            if before > 0 || u64::from(document.version) != stored.saturating_add(1) {
                return Err(Refused::VersionConflict.into());
            }
        }
        self.write_leaf(op)?;
        for (document, record) in documents.iter().zip(records) {
            self.write_document(document)?;
            if let RegistryRecord::Agent(agent) = record {
                self.agent_is(&agent.id, agent.status)?;
            }
        }
        Ok(())
    }

    pub(super) fn set_agent_status(
        &mut self,
        op: &Append,
        agent: &AgentId,
        status: RecordStatus,
    ) -> Result<(), Fault> {
        let mut query = self.conn.prepare_cached(
            "SELECT version, document FROM registry WHERE kind = ?1 AND id = ?2
             ORDER BY version DESC LIMIT 1",
        )?;
        let found = query
            .query_row((AGENT, agent.as_str()), |found| Ok((found.get(0)?, row::json(found, 1)?)))
            .optional()?;
        let (version, document): (u32, Value) = found.ok_or(Refused::NotFound)?;
        self.write_leaf(op)?;
        self.write_document(&Document {
            kind: AGENT,
            id: agent.as_str(),
            version: version.saturating_add(1),
            status,
            updated_ms: self.mark,
            document: &document,
        })?;
        self.agent_is(agent, status)
    }

    fn agent_is(&mut self, agent: &AgentId, status: RecordStatus) -> Result<(), Fault> {
        self.live.agents.set(agent, status);
        if is_active(status) { Ok(()) } else { self.kill_held_by(agent) }
    }

    fn registry_version(&self, kind: i64, id: &str) -> Result<u64, Fault> {
        let mut query = self.conn.prepare_cached(
            "SELECT coalesce(max(version), 0) FROM registry WHERE kind = ?1 AND id = ?2",
        )?;
        Ok(row::unsigned(query.query_row((kind, id), |found| found.get(0))?))
    }

    fn write_document(&mut self, document: &Document<'_>) -> Result<(), Fault> {
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO registry (kind, id, version, leaf, status, updated_ms, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        insert.execute((
            document.kind,
            document.id,
            document.version,
            self.leaf(),
            row::place(&RecordStatus::ALL, &document.status),
            signed(document.updated_ms.0),
            row::to_json(document.document)?,
        ))?;
        Ok(())
    }

    pub(super) fn put_policy(&mut self, op: &Append, record: &PolicyRecord) -> Result<(), Fault> {
        let mut query = self.conn.prepare_cached("SELECT coalesce(max(version), 0) FROM policy")?;
        let stored = row::unsigned(query.query_row((), |found| found.get(0))?);
        if u64::from(record.version) != stored.saturating_add(1) {
            return Err(Refused::VersionConflict.into());
        }
        self.write_leaf(op)?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO policy (version, hash, leaf, updated_ms, sources)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let (updated, sources) = (signed(record.updated_ms.0), row::to_json(&record.sources)?);
        insert.execute((record.version, &record.hash, self.leaf(), updated, sources))?;
        Ok(())
    }

    pub(super) fn put_holder_key(
        &mut self,
        op: &Append,
        record: &HolderKeyRecord,
        proof: Option<&ProofRow>,
    ) -> Result<(), Fault> {
        self.live.check_proof(proof)?;
        self.live.agents.check(&record.agent)?;
        self.write_leaf(op)?;
        let agent = record.agent.as_str();
        let mut delete = self.conn.prepare_cached(
            "DELETE FROM holder_key WHERE agent = ?1 AND (expires_ms <= ?2 OR jkt IN
             (SELECT jkt FROM holder_key WHERE agent = ?1 AND jkt <> ?3
              ORDER BY expires_ms DESC LIMIT -1 OFFSET ?4))",
        )?;
        let jkt = record.jkt.0.as_bytes();
        delete.execute((agent, signed(self.mark.0), jkt, HOLDER_KEYS_MAX - 1))?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO holder_key (agent, jkt, expires_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET expires_ms = excluded.expires_ms",
        )?;
        insert.execute((agent, jkt, signed(record.expires_ms.0)))?;
        Ok(())
    }

    pub(super) fn rotate_key(
        &mut self,
        op: &Append,
        record: &IssuerKeyRecord,
    ) -> Result<(), Fault> {
        let mut query = self.conn.prepare_cached("SELECT 1 FROM issuer_key WHERE kid = ?1")?;
        if query.exists([&record.kid])? {
            return Err(Refused::VersionConflict.into());
        }
        self.write_leaf(op)?;
        let active = signed(record.active_ms.0);
        let mut retire = self
            .conn
            .prepare_cached("UPDATE issuer_key SET retired_ms = ?1 WHERE retired_ms IS NULL")?;
        retire.execute([active])?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO issuer_key (kid, leaf, jwk, active_ms, retired_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let retired = record.retired_ms.map(|at| signed(at.0));
        insert.execute((&record.kid, self.leaf(), row::to_json(&record.jwk)?, active, retired))?;
        Ok(())
    }

    pub(super) fn erase(&mut self, op: &Append, leaf: LeafIndex) -> Result<(), Fault> {
        if leaf.0 >= self.next_leaf {
            return Err(Refused::NotFound.into());
        }
        self.write_leaf(op)?;
        let mut erase = self
            .conn
            .prepare_cached("UPDATE leaf SET salt = NULL, payload = NULL WHERE idx = ?1")?;
        erase.execute([signed(leaf.0)])?;
        self.erased = true;
        self.erase_approval(leaf)
    }
}
