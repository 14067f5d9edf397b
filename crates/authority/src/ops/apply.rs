//! Apply registry documents: all of them, or none.

use std::sync::Arc;

use bailiwick_api::{
    Applied, ApplyRequest, ApplyResponse, Change as WireChange, DocumentKind as WireKind,
};
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::{ReceiptKind, record};
use serde_json::json;

use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::feed::changed_agents;
use crate::model::{
    AgentRecord, Effect, OwnerRecord, RecordStatus, RegistryRecord, WorkflowRecord,
};
use crate::registry::{
    Change, ChangeKind, DocumentKind, RegistryDocuments, RegistryError, validate,
};
use crate::spine::{Event, is_recordable};

/// Faults that one answer lists.
const FAULTS_TOLD_MAX: usize = 20;

/// Validates the documents against what is registered and, unless it is a dry run, records and
/// publishes them.
pub(crate) async fn apply(
    authority: &Authority,
    caller: &Caller,
    ask: ApplyRequest,
    dry_run: bool,
) -> Result<ApplyResponse, Fault> {
    try_apply(authority, caller, ask, dry_run).await.map_err(Stop::into_fault)
}

async fn try_apply(
    authority: &Authority,
    caller: &Caller,
    ask: ApplyRequest,
    dry_run: bool,
) -> Result<ApplyResponse, Stop> {
    caller.require_admin()?;
    let documents = json!({"owner": ask.owner, "agent": ask.agent, "workflow": ask.workflow});
    if !is_recordable(&documents) {
        let detail =
            "a document has a number beyond 2^53 - 1, or is nested too deeply, to be recorded";
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    let documents = RegistryDocuments::from_json(&documents).map_err(|faults| refused(&faults))?;
    let _one_change = authority.changes.lock().await;
    let registry = authority.registry.load_full();
    let changes = validate(&documents, registry.as_ref()).map_err(|faults| refused(&faults))?;
    let applied: Vec<Applied> = changes.iter().map(applied).collect();
    let now = authority.clock.now();
    let records: Vec<RegistryRecord> =
        changes.effective().map(|change| to_record(change, now)).collect::<Result<_, _>>()?;
    if dry_run || records.is_empty() {
        return Ok(ApplyResponse { applied, ledger_index: None, warnings: Vec::new() });
    }
    let what: Vec<_> = changes
        .effective()
        .map(|change| {
            json!({
                "kind": change.kind.as_str(), "id": change.id, "version": change.version,
                "change": change.change.as_str(), "document": change.document,
            })
        })
        .collect();
    let event = Event {
        kind: ReceiptKind::Registry,
        time_ms: now.0,
        subject_ids: changes.effective().take(30).map(|change| change.id.clone()).collect(),
        payload: json!({
            "v": 1, "type": "registry", "by": caller.name(), "changes": what, "time": now.0,
        }),
    };
    let effect = Effect::PutRegistry { records };
    let recorded = record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    let next = registry.apply(&changes);
    let changed = changed_agents(&registry, &next);
    authority.registry.store(Arc::new(next));
    authority.feed.publish(changed);
    Ok(ApplyResponse { applied, ledger_index: Some(recorded.index().0), warnings: Vec::new() })
}

fn refused(faults: &[RegistryError]) -> Stop {
    let mut lines: Vec<String> =
        faults.iter().take(FAULTS_TOLD_MAX).map(ToString::to_string).collect();
    if let Some(more) = faults.len().checked_sub(FAULTS_TOLD_MAX).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    Stop::new(Outcome::Malformed, lines.join("\n"))
}

fn applied(change: &Change) -> Applied {
    Applied {
        kind: match change.kind {
            DocumentKind::Owner | DocumentKind::File => WireKind::Owner,
            DocumentKind::Agent => WireKind::Agent,
            DocumentKind::Workflow => WireKind::Workflow,
        },
        id: change.id.clone(),
        version: change.version,
        change: match change.change {
            ChangeKind::Created => WireChange::Created,
            ChangeKind::Updated => WireChange::Updated,
            ChangeKind::Unchanged => WireChange::Unchanged,
        },
    }
}

fn to_record(change: &Change, now: bailiwick_core::UnixMillis) -> Result<RegistryRecord, Stop> {
    let bad = |_| Stop::new(Outcome::Malformed, format!("{} is not a usable id", change.id));
    let (id, version, document) = (&change.id, change.version, change.document.clone());
    // Owners know `inactive`; the store's word for it is `retired`.
    let status = change.status.parse().unwrap_or(RecordStatus::Retired);
    Ok(match change.kind {
        DocumentKind::Owner | DocumentKind::File => RegistryRecord::Owner(OwnerRecord {
            id: id.clone(),
            version,
            document,
            status,
            updated_ms: now,
        }),
        DocumentKind::Agent => RegistryRecord::Agent(AgentRecord {
            id: id.parse().map_err(bad)?,
            version,
            document,
            status,
            updated_ms: now,
        }),
        DocumentKind::Workflow => RegistryRecord::Workflow(WorkflowRecord {
            id: id.parse().map_err(bad)?,
            version,
            document,
            status,
            updated_ms: now,
        }),
    })
}
