//! Registry, policies and keys.

use bailiwick_core::Thumbprint;
use serde_json::json;

use super::*;
use crate::model::{
    HolderKeyRecord, IssuerKeyRecord, OwnerRecord, PolicyRecord, PolicySourceText, RecordStatus,
    RegistryRecord, RevocationTarget, WorkflowRecord,
};

fn put(records: Vec<RegistryRecord>) -> Effect {
    Effect::PutRegistry { records }
}

fn active(name: &str, version: u32) -> RegistryRecord {
    RegistryRecord::Agent(agent_record(name, version, RecordStatus::Active))
}

fn owner(rig: &Rig, id: &str, version: u32) -> OwnerRecord {
    let (document, updated_ms) = (json!({"name": id}), rig.make.now);
    OwnerRecord { id: id.to_owned(), version, document, status: RecordStatus::Active, updated_ms }
}

fn workflow(rig: &Rig, id: &str, version: u32) -> WorkflowRecord {
    let (document, updated_ms) = (json!({"title": id, "version": version}), rig.make.now);
    let (id, status) = (id.parse().unwrap(), RecordStatus::Active);
    WorkflowRecord { id, version, document, status, updated_ms }
}

pub(crate) async fn versions_must_follow(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    rig.refused(put(vec![active("a", 2)]), Refused::VersionConflict).await;
    rig.ok(put(vec![active("a", 1)])).await;
    rig.refused(put(vec![active("a", 1)]), Refused::VersionConflict).await;
    rig.refused(put(vec![active("a", 3)]), Refused::VersionConflict).await;
    // Read in between, so that a cache would show.
    assert_eq!(rig.store.agent(&agent("a")).await.unwrap().unwrap().version, 1);
    rig.ok(put(vec![active("a", 2)])).await;
    assert_eq!(rig.store.agent(&agent("a")).await.unwrap().unwrap().version, 2);
    let (first, second) = (workflow(&rig, "w", 1), workflow(&rig, "w", 2));
    rig.ok(put(vec![RegistryRecord::Workflow(first.clone())])).await;
    assert_eq!(rig.store.workflow(&first.id).await.unwrap().as_deref(), Some(&first));
    rig.ok(put(vec![RegistryRecord::Workflow(second.clone())])).await;
    assert_eq!(rig.store.workflow(&first.id).await.unwrap().as_deref(), Some(&second));
    assert_eq!(rig.store.workflow_version(&first.id, 1).await.unwrap(), Some(first.clone()));
    assert_eq!(rig.store.workflow_version(&first.id, 3).await.unwrap(), None);
}

pub(crate) async fn an_apply_is_all_or_nothing(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let team = RegistryRecord::Owner(owner(&rig, "team:a", 1));
    let mixed = vec![team.clone(), active("a", 1), active("b", 2)];
    rig.refused(put(mixed), Refused::VersionConflict).await;
    assert_eq!(rig.store.owner("team:a").await.unwrap(), None);
    let twice = vec![active("a", 1), active("a", 2)];
    rig.refused(put(twice), Refused::VersionConflict).await;
    rig.ok(put(vec![team, active("a", 1), active("b", 1)])).await;
    assert_eq!(rig.store.owner("team:a").await.unwrap(), Some(owner(&rig, "team:a", 1)));
}

pub(crate) async fn listings_have_pages(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let mut records: Vec<RegistryRecord> = ["e", "a", "c", "d", "b"].map(|n| active(n, 1)).into();
    records.push(RegistryRecord::Owner(owner(&rig, "team:a", 1)));
    records.push(RegistryRecord::Workflow(workflow(&rig, "w", 1)));
    rig.ok(put(records)).await;
    rig.ok(put(vec![active("c", 2)])).await;
    let store = &rig.store;
    let agents = in_pages(|page| store.agents(page)).await;
    let found: Vec<_> = agents.iter().map(|found| (found.id.clone(), found.version)).collect();
    let expected = [("a", 1), ("b", 1), ("c", 2), ("d", 1), ("e", 1)];
    assert_eq!(found, expected.map(|(name, version)| (agent(name), version)));
    assert_eq!(in_pages(|page| store.owners(page)).await.len(), 1);
    assert_eq!(in_pages(|page| store.workflows(page)).await.len(), 1);
}

pub(crate) async fn quarantine_kills_and_reinstating_revives_nothing(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    rig.ok(put(vec![active("a", 1)])).await;
    let (_, root) = rig.task().await;
    let (held, other) = (rig.settled(&root, "a").await, rig.settled(&root, "b").await);
    let below = rig.settled(&held, "c").await;
    let status = |name: &str, status| Effect::SetAgentStatus { agent: agent(name), status };
    rig.refused(status("unknown", RecordStatus::Quarantined), Refused::NotFound).await;
    rig.ok(status("a", RecordStatus::Quarantined)).await;
    assert_eq!(rig.revoked(&[&held, &below, &other, &root]).await, [true, true, false, false]);
    let read = rig.store.agent(&agent("a")).await.unwrap().unwrap();
    assert_eq!((read.version, read.status), (2, RecordStatus::Quarantined));
    let token = rig.child(&root, "a").await;
    rig.refused(settle(&token), Refused::AgentQuarantined).await;
    // Whoever applies a document made before the quarantine does not lift it unknowingly.
    rig.refused(put(vec![active("a", 2)]), Refused::VersionConflict).await;
    rig.ok(status("a", RecordStatus::Active)).await;
    rig.ok(settle(&token)).await;
    rig.refused(debit(&held, vec![]), Refused::Revoked).await;
    let id = rig.make.revocation_id();
    let target = RevocationTarget::Agent(agent("a"));
    rig.ok(Effect::Revoke { id, target, reason: String::new() }).await;
    assert!(rig.is_revoked(token.jti).await);
}

pub(crate) async fn policies_follow_each_other(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    assert_eq!(rig.store.policy_latest().await.unwrap(), None);
    let policy = |version: u32| PolicyRecord {
        version,
        hash: format!("sha-256:{version}"),
        sources: vec![PolicySourceText { name: "a.cedar".to_owned(), text: "permit".to_owned() }],
        updated_ms: rig.make.now,
    };
    let (first, second) = (policy(1), policy(2));
    let put = |record: &PolicyRecord| Effect::PutPolicy { record: record.clone() };
    rig.refused(put(&second), Refused::VersionConflict).await;
    rig.ok(put(&first)).await;
    rig.refused(put(&first), Refused::VersionConflict).await;
    rig.ok(put(&second)).await;
    assert_eq!(rig.store.policy_latest().await.unwrap(), Some(second));
    assert_eq!(rig.store.policy_by_hash("sha-256:1").await.unwrap(), Some(first));
    assert_eq!(rig.store.policy_by_hash("sha-256:3").await.unwrap(), None);
}

pub(crate) async fn holder_keys_expire_and_are_bounded(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let key = |rig: &mut Rig, name: &str, seconds: u64| HolderKeyRecord {
        agent: agent(name),
        jkt: Thumbprint(rig.make.hash()),
        expires_ms: rig.make.now.saturating_add_seconds(seconds),
    };
    let put = |record: &HolderKeyRecord, proof: Option<ProofRow>| Effect::PutHolderKey {
        record: record.clone(),
        proof,
    };
    let (short, long) = (key(&mut rig, "a", 10), key(&mut rig, "a", 20));
    let other = key(&mut rig, "b", 10);
    let proof = rig.make.proof();
    rig.ok(put(&short, Some(proof))).await;
    rig.refused(put(&long, Some(proof)), Refused::ProofReplayed).await;
    rig.ok(put(&long, None)).await;
    rig.ok(put(&other, None)).await;
    let keys = rig.store.holder_keys(&agent("a"), rig.make.now).await.unwrap();
    assert_eq!(keys, [long.clone(), short.clone()]);
    let later = rig.make.now.saturating_add_seconds(10);
    assert_eq!(rig.store.holder_keys(&agent("a"), later).await.unwrap(), [long]);
    let mut last = short;
    for _ in 0..70 {
        last = key(&mut rig, "a", 30);
        rig.ok(put(&last, None)).await;
    }
    let keys = rig.store.holder_keys(&agent("a"), rig.make.now).await.unwrap();
    assert!(keys.len() <= 64 && keys.contains(&last), "{} keys", keys.len());
    let bad = agent_record("bad", 1, RecordStatus::Quarantined);
    rig.ok(super::registry::put(vec![RegistryRecord::Agent(bad)])).await;
    let of_bad = key(&mut rig, "bad", 10);
    rig.refused(put(&of_bad, None), Refused::AgentQuarantined).await;
}

pub(crate) async fn keys_rotate(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let key = |kid: &str, at: u64| IssuerKeyRecord {
        kid: kid.to_owned(),
        jwk: json!({"kty": "EC", "kid": kid}),
        active_ms: rig.make.now.saturating_add_seconds(at),
        retired_ms: None,
    };
    let (one, two) = (key("one", 0), key("two", 60));
    let rotate = |record: &IssuerKeyRecord| Effect::RotateKey { record: record.clone() };
    rig.ok(rotate(&one)).await;
    rig.refused(rotate(&one), Refused::VersionConflict).await;
    rig.ok(rotate(&two)).await;
    let keys = rig.store.issuer_keys().await.unwrap();
    let retired = IssuerKeyRecord { retired_ms: Some(two.active_ms), ..one };
    assert_eq!(keys, [retired, two]);
}
