//! Put a policy set in force: whole, validated, versioned, recorded.

use bailiwick_api::enforcement::feed::FeedEntry;
use bailiwick_api::{PolicySourceText as WireSource, PutPoliciesRequest, PutPoliciesResponse};
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::{ReceiptKind, record};
use bailiwick_policy::{PolicySet, PolicySource};
use serde_json::json;

use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::model::{Effect, PolicyRecord, PolicySourceText};
use crate::spine::Event;

/// Sources in one set.
const SOURCES_MAX: usize = 1_000;

/// Loads the sources and, unless it is a dry run, puts them in force. A set that does not load
/// changes nothing.
pub(crate) async fn put_policies(
    authority: &Authority,
    caller: &Caller,
    ask: PutPoliciesRequest,
    dry_run: bool,
) -> Result<PutPoliciesResponse, Fault> {
    let put = async {
        caller.require_admin()?;
        put_set(authority, &caller.name(), ask.sources, dry_run).await
    };
    put.await.map_err(Stop::into_fault)
}

async fn put_set(
    authority: &Authority,
    by: &str,
    sources: Vec<WireSource>,
    dry_run: bool,
) -> Result<PutPoliciesResponse, Stop> {
    if sources.len() > SOURCES_MAX {
        let detail = format!("a policy set has at most {SOURCES_MAX} sources");
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    let texts: Vec<PolicySource> = sources
        .iter()
        .map(|source| PolicySource { name: source.name.clone(), text: source.text.clone() })
        .collect();
    let set = PolicySet::load(&texts)
        .map_err(|errors| Stop::new(Outcome::Malformed, errors.to_string()))?;
    let policies = set.policies().count();
    let hash = set.hash().to_owned();
    let _one_change = authority.changes.lock().await;
    if dry_run || hash == authority.policy.current().hash() {
        return Ok(PutPoliciesResponse { hash, policies, ledger_index: None });
    }
    let ledger_index = record_set(authority, by, sources, &hash).await?;
    authority.policy.replace(set);
    authority.feed.publish(vec![FeedEntry::Policy { hash: hash.clone() }]);
    Ok(PutPoliciesResponse { hash, policies, ledger_index: Some(ledger_index) })
}

/// Records a set as the one in force.
pub(crate) async fn record_set(
    authority: &Authority,
    by: &str,
    sources: Vec<WireSource>,
    hash: &str,
) -> Result<u64, Stop> {
    let now = authority.clock.now();
    let before = authority.store.policy_latest().await?;
    let version = before.as_ref().map_or(0, |record| record.version).saturating_add(1);
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let event = Event {
        kind: ReceiptKind::Policy,
        time_ms: now.0,
        subject_ids: vec![hash.to_owned()],
        payload: json!({
            "v": 1, "type": "policy", "by": by, "hash": hash, "version": version,
            "sources": names, "before": before.map(|record| record.hash), "time": now.0,
        }),
    };
    let sources = sources
        .into_iter()
        .map(|source| PolicySourceText { name: source.name, text: source.text })
        .collect();
    let policy = PolicyRecord { version, hash: hash.to_owned(), sources, updated_ms: now };
    let recorded = record(&authority.store, event, Effect::PutPolicy { record: policy })
        .await
        .map_err(|error| error.error)?;
    Ok(recorded.index().0)
}
