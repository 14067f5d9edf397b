//! What is there again after a restart.

use super::*;
use crate::model::{RecordStatus, RegistryRecord, RevocationTarget, TaskState};
use crate::store::conformance::fixture::TASK_SECONDS;

/// Closes the store and opens it again.
fn restart(mut rig: Rig, backend: &impl Backend) -> Rig {
    let Rig { store, make } = rig;
    drop(store);
    rig = Rig { store: backend.open(), make };
    rig
}

pub(crate) async fn everything_acknowledged_is_there_again(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let bad = RegistryRecord::Agent(agent_record("bad", 1, RecordStatus::Quarantined));
    rig.ok(Effect::PutRegistry { records: vec![bad] }).await;
    let (task, root) = rig.task().await;
    let (closed, closed_root) = rig.task().await;
    let (alive, dead) = (rig.settled(&root, "a").await, rig.settled(&root, "b").await);
    let id = rig.make.revocation_id();
    let target = RevocationTarget::Token(dead.jti);
    rig.ok(Effect::Revoke { id, target, reason: String::new() }).await;
    rig.ok(Effect::CloseTask { task: closed.id, state: TaskState::Completed }).await;
    let size = rig.store.ledger_size();
    let entries = rig.store.entries(0..size).await.unwrap();
    let next = rig.store.allocate_status_idx().await.unwrap();

    let mut rig = restart(rig, backend);
    assert_eq!(rig.store.ledger_size(), size);
    assert_eq!(rig.store.entries(0..size).await.unwrap(), entries);
    let hashes = rig.store.leaf_hashes(0..size).await.unwrap();
    assert_eq!(hashes.len() as u64, size);
    assert_eq!(rig.store.task(task.id).await.unwrap().as_deref(), Some(&task));
    let by_hash = rig.store.token_by_signing_hash(alive.signing_hash).await.unwrap();
    assert_eq!(by_hash.as_deref(), Some(&alive));
    assert!(rig.store.allocate_status_idx().await.unwrap() >= next - 1);
    // The conditions too.
    let token = rig.child(&dead, "c").await;
    rig.refused(settle(&token), Refused::Revoked).await;
    let token = rig.child(&closed_root, "c").await;
    rig.refused(settle(&token), Refused::TaskClosed).await;
    let token = rig.child(&alive, "bad").await;
    rig.refused(settle(&token), Refused::AgentQuarantined).await;
    let token = rig.child(&alive, "c").await;
    assert_eq!(rig.ok(settle(&token)).await, LeafIndex(size));
    assert_eq!(rig.store.leaf_hashes(0..size).await.unwrap(), hashes);
    assert_eq!(rig.store.leaf_hashes(1..size + 1).await.unwrap().len() as u64, size);
}

pub(crate) async fn proofs_are_refused_after_a_restart(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let proof = rig.make.proof();
    rig.ok(Effect::Proof(proof)).await;
    let mut rig = restart(rig, backend);
    rig.refused(Effect::Proof(proof), Refused::ProofReplayed).await;
    let fresh = rig.make.proof();
    rig.ok(Effect::Proof(fresh)).await;
}

pub(crate) async fn time_never_runs_back(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, _) = rig.task().await;
    let start = rig.make.now;
    rig.make.now = task.deadline_ms;
    // Even a refusal is a time that was seen.
    let late = Effect::CloseTask { task: task.id, state: TaskState::Completed };
    rig.refused(late.clone(), Refused::TaskClosed).await;
    assert_eq!(rig.store.time_high_water(), task.deadline_ms);
    rig.make.now = start;
    rig.refused(late.clone(), Refused::TaskClosed).await;
    let mut rig = restart(rig, backend);
    assert_eq!(rig.store.time_high_water(), task.deadline_ms);
    rig.refused(late, Refused::TaskClosed).await;
    let (mut fresh, token) = rig.make.task();
    fresh.deadline_ms = task.deadline_ms.saturating_add_seconds(TASK_SECONDS);
    rig.ok(Effect::OpenTask { task: fresh.clone(), token, proof: None }).await;
    let close = Effect::CloseTask { task: fresh.id, state: TaskState::Completed };
    rig.ok(close).await;
    assert_eq!(rig.store.task(fresh.id).await.unwrap().unwrap().closed_ms, Some(task.deadline_ms));
}

pub(crate) async fn old_proofs_are_pruned(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    for _ in 0..600 {
        let proof = rig.make.proof();
        rig.ok(Effect::Proof(proof)).await;
    }
    let start = rig.make.now;
    assert_eq!(rig.store.proofs_unexpired(start).await.unwrap().len(), 600);
    rig.make.now = start.saturating_add_seconds(600);
    for _ in 0..600 {
        let proof = rig.make.proof();
        rig.ok(Effect::Proof(proof)).await;
    }
    let rig = restart(rig, backend);
    assert_eq!(rig.store.proofs_unexpired(start).await.unwrap().len(), 600);
}

pub(crate) async fn budgets_and_fanout_survive(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let hop = rig.settled(&root, "a").await;
    let renewal = rig.renewed(&hop).await;
    rig.settled(&renewal, "b").await;
    rig.ok(debit(&hop, vec![draw(root.jti, "usd", 60, 100)])).await;
    let mut rig = restart(rig, backend);
    assert_eq!(rig.store.fanout(hop.jti).await.unwrap(), 1);
    let token = rig.child(&hop, "c").await;
    rig.refused(settle_within(&token, None, 1, 600), Refused::FanoutExceeded).await;
    rig.refused(settle_within(&token, None, 2, 2), Refused::RateExceeded).await;
    rig.refused(debit(&hop, vec![draw(root.jti, "usd", 41, 100)]), exhausted("usd")).await;
    rig.ok(debit(&hop, vec![draw(root.jti, "usd", 40, 100)])).await;
    rig.ok(settle_within(&token, None, 2, 3)).await;
}
