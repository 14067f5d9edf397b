//! Epochs of gateways' spools, what they report, and what they lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bailiwick_core::{AgentId, DebitKind, EpochId, LeaseId, Micros};

use super::*;
use crate::model::{LeaseDraw, LeaseRecord, NewLease, SpoolReport, TaskState};

fn gateway(name: &str) -> AgentId {
    format!("spiffe://a.example/gateway/{name}").parse().unwrap()
}

fn epoch(make: &mut Maker) -> EpochId {
    EpochId::from_bytes(*make.token_id().as_bytes())
}

fn begins(gateway: &AgentId, epoch: EpochId) -> Effect {
    Effect::OpenEpoch { gateway: gateway.clone(), epoch, release: None }
}

/// A report of `count` records from `from` on.
fn report(rig: &mut Rig, of: (&AgentId, EpochId), from: u64, count: u64) -> Effect {
    let more = (1..count).map(|_| rig.make.receipt(ReceiptKind::Decision, &[])).collect();
    let (gateway, epoch) = (of.0.clone(), of.1);
    let next = from + count;
    let report = SpoolReport { gateway, epoch, expected: from, next, more, draws: vec![] };
    Effect::ReceiptsFrom(Box::new(report))
}

fn drawing(effect: Effect, draws: Vec<LeaseDraw>) -> Effect {
    match effect {
        Effect::ReceiptsFrom(report) => {
            Effect::ReceiptsFrom(Box::new(SpoolReport { draws, ..*report }))
        }
        other => other,
    }
}

fn lease(
    make: &mut Maker,
    of: (&AgentId, EpochId),
    node: &TokenRecord,
    amount: i64,
) -> LeaseRecord {
    LeaseRecord {
        id: LeaseId::from_bytes(*make.token_id().as_bytes()),
        gateway: of.0.clone(),
        epoch: of.1,
        task: node.task,
        node: node.hop,
        kind: DebitKind::Subtree,
        key: "calls".to_owned(),
        amount: Micros(amount),
        spent: Micros(0),
        expires_ms: make.now.saturating_add_seconds(60),
    }
}

fn leasing(jti: &TokenRecord, lease: &LeaseRecord, limit: i64) -> Effect {
    let new = NewLease { lease: lease.clone(), limit: Micros(limit), unsettled: false };
    Effect::Lease { jti: jti.jti, leases: vec![new] }
}

fn returning(of: (&AgentId, EpochId), through: u64, leases: &[&LeaseRecord]) -> Effect {
    let leases = leases.iter().map(|lease| lease.id).collect();
    Effect::ReturnLease { gateway: of.0.clone(), epoch: of.1, through, leases }
}

fn drawn(lease: &LeaseRecord, amount: i64) -> LeaseDraw {
    LeaseDraw {
        lease: lease.id,
        task: lease.task,
        node: lease.node,
        kind: lease.kind,
        key: lease.key.clone(),
        amount: Micros(amount),
    }
}

async fn used(rig: &Rig, token: &TokenRecord) -> i64 {
    let rows = rig.store.budgets(token.task).await.unwrap();
    let of = rows.iter().filter(|row| row.node == token.hop && row.key == "calls");
    of.map(|row| row.used.0).sum()
}

pub(crate) async fn a_report_is_taken_once_and_is_all_leaves(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let one = gateway("one");
    let at = (&one, epoch(&mut rig.make));
    let early = report(&mut rig, at, 0, 1);
    rig.refused(early, Refused::VersionConflict).await;
    rig.ok(begins(&one, at.1)).await;
    rig.refused(begins(&one, at.1), Refused::VersionConflict).await;
    let before = rig.store.ledger_size();
    let batch = report(&mut rig, at, 0, 5);
    assert_eq!(rig.ok(batch.clone()).await, LeafIndex(before));
    assert_eq!(rig.store.ledger_size(), before + 5);
    rig.refused(batch, Refused::VersionConflict).await;
    let gap = report(&mut rig, at, 7, 1);
    rig.refused(gap, Refused::VersionConflict).await;
    // Another gateway's epoch of the same id is another epoch.
    let other = gateway("two");
    let foreign = report(&mut rig, (&other, at.1), 5, 1);
    rig.refused(foreign, Refused::VersionConflict).await;
    let next = report(&mut rig, at, 5, 2);
    rig.ok(next).await;
    let known = rig.store.spool_epoch(&one, at.1).await.unwrap().unwrap();
    assert_eq!(known.next, 7);
    // What came with a report is read like any other leaf.
    let rows = rig.store.receipts(before..before + 7).await.unwrap();
    assert_eq!(rows.len(), 7);
    let hashes = rig.store.leaf_hashes(before..before + 7).await.unwrap();
    let entries = rig.store.entries(before..before + 7).await.unwrap();
    let made: Vec<_> = entries.iter().map(|entry| bailiwick_ledger::leaf_hash(entry)).collect();
    assert_eq!(hashes, made);
    let later = epoch(&mut rig.make);
    rig.ok(begins(&one, later)).await;
    let all = rig.store.spool_epochs(&one, 10).await.unwrap();
    assert_eq!(all.iter().map(|known| known.next).sum::<u64>(), 7);
    assert_eq!(all.len(), 2);
}

pub(crate) async fn every_leaf_of_a_report_is_found_by_its_ids(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let one = gateway("one");
    let at = (&one, epoch(&mut rig.make));
    rig.ok(begins(&one, at.1)).await;
    let id = "a decision".to_owned();
    let more = vec![rig.make.receipt(ReceiptKind::Action, std::slice::from_ref(&id))];
    let report = SpoolReport {
        gateway: one.clone(),
        epoch: at.1,
        expected: 0,
        next: 2,
        more,
        draws: vec![],
    };
    let first = rig.make.receipt(ReceiptKind::Decision, std::slice::from_ref(&id));
    let effect = Effect::ReceiptsFrom(Box::new(report));
    let index = rig.store.append(first, effect).await.unwrap();
    let found = rig.store.receipts_by_key(&id, PageRequest::first(10)).await.unwrap().items;
    let found: Vec<u64> = found.iter().map(|row| row.index.0).collect();
    assert_eq!(found, [index.0, index.0 + 1]);
}

pub(crate) async fn a_lease_is_debited_in_full_and_returned_as_far_as_it_was_not_drawn(
    backend: &impl Backend,
) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = gateway("one");
    let at = (&one, epoch(&mut rig.make));
    rig.ok(begins(&one, at.1)).await;
    let held = lease(&mut rig.make, at, &root, 6);
    rig.ok(leasing(&root, &held, 10)).await;
    assert_eq!(rig.store.lease(held.id).await.unwrap(), Some(held.clone()));
    let open = rig.store.leases_of_task(root.task).await.unwrap();
    assert_eq!(open, std::slice::from_ref(&held));
    // What a gateway holds is nobody else's: not a call's, not another gateway's.
    rig.refused(debit(&root, vec![draw(root.jti, "calls", 5, 10)]), exhausted("calls")).await;
    let second = lease(&mut rig.make, at, &root, 5);
    rig.refused(leasing(&root, &second, 10), exhausted("calls")).await;
    rig.ok(debit(&root, vec![draw(root.jti, "calls", 4, 10)])).await;

    let batch = drawing(report(&mut rig, at, 0, 3), vec![drawn(&held, 1), drawn(&held, 1)]);
    rig.ok(batch).await;
    assert_eq!(used(&rig, &root).await, 10, "a draw on a lease is debited already");
    // Not before every record that may draw on it is here, and only to its holder's word.
    rig.refused(returning(at, 4, &[&held]), Refused::VersionConflict).await;
    let other = gateway("two");
    rig.refused(returning((&other, at.1), 0, &[&held]), Refused::NotFound).await;
    rig.ok(returning(at, 3, &[&held])).await;
    assert_eq!(used(&rig, &root).await, 6, "two drawn on the lease, four by the call");
    rig.refused(returning(at, 3, &[&held]), Refused::NotFound).await;
    assert_eq!(used(&rig, &root).await, 6);
    rig.ok(debit(&root, vec![draw(root.jti, "calls", 4, 10)])).await;
}

pub(crate) async fn the_same_lease_twice_gives_back_once(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = gateway("one");
    let at = (&one, epoch(&mut rig.make));
    let held = lease(&mut rig.make, at, &root, 6);
    rig.ok(debit(&root, vec![draw(root.jti, "calls", 4, 10)])).await;
    rig.ok(leasing(&root, &held, 10)).await;
    rig.ok(returning(at, 0, &[&held, &held])).await;
    assert_eq!(used(&rig, &root).await, 4);
}

pub(crate) async fn an_epoch_that_is_complete_gives_its_leases_back(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = gateway("one");
    let (old, new) = (epoch(&mut rig.make), epoch(&mut rig.make));
    rig.ok(begins(&one, old)).await;
    let held = lease(&mut rig.make, (&one, old), &root, 6);
    rig.ok(leasing(&root, &held, 10)).await;
    let batch = drawing(report(&mut rig, (&one, old), 0, 1), vec![drawn(&held, 2)]);
    rig.ok(batch).await;
    // One that is not known to be complete keeps what may have been drawn.
    let kept = epoch(&mut rig.make);
    rig.ok(begins(&one, kept)).await;
    assert_eq!(used(&rig, &root).await, 6);
    let effect = Effect::OpenEpoch { gateway: one.clone(), epoch: new, release: Some(old) };
    rig.ok(effect).await;
    assert_eq!(used(&rig, &root).await, 2);
    assert_eq!(rig.store.lease(held.id).await.unwrap(), None);
}

pub(crate) async fn a_draw_that_no_lease_covers_is_counted_all_the_same(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = gateway("one");
    let at = (&one, epoch(&mut rig.make));
    rig.ok(begins(&one, at.1)).await;
    let held = lease(&mut rig.make, at, &root, 3);
    rig.ok(leasing(&root, &held, 10)).await;
    let batch = drawing(report(&mut rig, at, 0, 1), vec![drawn(&held, 2), drawn(&held, 3)]);
    rig.ok(batch).await;
    assert_eq!(used(&rig, &root).await, 5, "three of the lease, two beyond it");
    rig.ok(returning(at, 1, &[&held])).await;
    let batch = drawing(report(&mut rig, at, 1, 1), vec![drawn(&held, 1)]);
    rig.ok(batch).await;
    assert_eq!(used(&rig, &root).await, 6);
}

pub(crate) async fn a_lease_needs_a_live_task_and_token(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let one = gateway("one");
    let at = (&one, epoch(&mut rig.make));
    let hop = rig.settled(&root, "a").await;
    let held = lease(&mut rig.make, at, &root, 1);
    let unknown = rig.child(&root, "b").await;
    rig.refused(leasing(&unknown, &held, 10), Refused::Revoked).await;
    rig.ok(leasing(&hop, &held, 10)).await;
    // A hop that only gateways have settled has a budget of its own, if it is said to be one.
    let offline = LeaseRecord { node: rig.make.token_id(), ..lease(&mut rig.make, at, &root, 1) };
    rig.refused(leasing(&hop, &offline, 10), Refused::Revoked).await;
    let new = NewLease { lease: offline.clone(), limit: Micros(1), unsettled: true };
    rig.ok(Effect::Lease { jti: hop.jti, leases: vec![new.clone()] }).await;
    let again = LeaseRecord { id: lease(&mut rig.make, at, &root, 1).id, ..offline };
    let new = NewLease { lease: again, ..new };
    rig.refused(Effect::Lease { jti: hop.jti, leases: vec![new] }, exhausted("calls")).await;

    rig.ok(Effect::CloseTask { task: task.id, state: TaskState::Completed }).await;
    let late = lease(&mut rig.make, at, &root, 1);
    rig.refused(leasing(&hop, &late, 10), Refused::TaskClosed).await;
    assert_eq!(rig.store.leases_of_task(task.id).await.unwrap(), [], "they ended with the task");
    // A report that is late for the task is taken, and changes no budget.
    rig.ok(begins(&one, at.1)).await;
    let batch = drawing(report(&mut rig, at, 0, 1), vec![drawn(&held, 1)]);
    rig.ok(batch).await;
}

pub(crate) async fn leases_and_calls_never_overspend_together(backend: &impl Backend) {
    const LIMIT: i64 = 500;
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let spent = Arc::new(AtomicI64::new(0));
    let mut running = Vec::new();
    for place in 0..8_u64 {
        let (store, root, spent) = (rig.store.clone(), root.clone(), spent.clone());
        running.push(tokio::spawn(async move {
            let mut make = Maker::new(place);
            let one = gateway(&format!("g{place}"));
            let at = (&one, epoch(&mut make));
            let receipt = make.receipt(ReceiptKind::System, &[]);
            store.append(receipt, begins(&one, at.1)).await.unwrap();
            let mut next = 0;
            for round in 0..40_i64 {
                let receipt = make.receipt(ReceiptKind::Decision, &[]);
                let amount = i64::try_from(make.next() % 9).unwrap() + 1;
                if place % 2 == 0 {
                    let effect = debit(&root, vec![draw(root.jti, "calls", amount, LIMIT)]);
                    if store.append(receipt, effect).await.is_ok() {
                        spent.fetch_add(amount, Ordering::SeqCst);
                    }
                    continue;
                }
                let held = lease(&mut make, at, &root, amount);
                if store.append(receipt, leasing(&root, &held, LIMIT)).await.is_err() {
                    continue;
                }
                // Some is drawn, and what is drawn is done before it is reported.
                let part = round % amount + 1;
                spent.fetch_add(part, Ordering::SeqCst);
                let more = SpoolReport {
                    gateway: one.clone(),
                    epoch: at.1,
                    expected: next,
                    next: next + 1,
                    more: vec![],
                    draws: vec![drawn(&held, part)],
                };
                next += 1;
                let receipt = make.receipt(ReceiptKind::Decision, &[]);
                store.append(receipt, Effect::ReceiptsFrom(Box::new(more))).await.unwrap();
                if round % 3 != 0 {
                    let receipt = make.receipt(ReceiptKind::System, &[]);
                    store.append(receipt, returning(at, next, &[&held])).await.unwrap();
                }
            }
        }));
    }
    for one in running {
        one.await.unwrap();
    }
    let spent = spent.load(Ordering::SeqCst);
    assert!(spent <= LIMIT, "{spent} of {LIMIT}");
    let open = rig.store.leases_of_task(root.task).await.unwrap();
    let unused: i64 = open.iter().map(|lease| lease.amount.0 - lease.spent.0).sum();
    assert_eq!(used(&rig, &root).await, spent + unused);
}

pub(crate) async fn leases_and_epochs_survive_a_restart(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = gateway("one");
    let at = (&one, epoch(&mut rig.make));
    rig.ok(begins(&one, at.1)).await;
    let held = lease(&mut rig.make, at, &root, 6);
    rig.ok(leasing(&root, &held, 10)).await;
    let batch = drawing(report(&mut rig, at, 0, 4), vec![drawn(&held, 2)]);
    rig.ok(batch).await;
    let Rig { store, make } = rig;
    drop(store);
    let mut rig = Rig { store: backend.open(), make };
    assert_eq!(rig.store.spool_epoch(&one, at.1).await.unwrap().unwrap().next, 4);
    rig.refused(debit(&root, vec![draw(root.jti, "calls", 5, 10)]), exhausted("calls")).await;
    rig.ok(returning(at, 4, &[&held])).await;
    assert_eq!(used(&rig, &root).await, 2);
}
