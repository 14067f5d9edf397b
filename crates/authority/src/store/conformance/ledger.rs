//! Leaves, lookup, erasure, bounds, listings.

use bailiwick_ledger::{leaf_hash, opens};

use super::*;
use crate::model::{TaskFilter, TaskState};
use crate::store::{LEAVES_MAX, PAYLOAD_BYTES_MAX, SUBJECT_IDS_MAX};

pub(crate) async fn leaves_have_no_gap(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    for expected in 0..10 {
        assert_eq!(rig.ok(Effect::None).await, LeafIndex(expected));
    }
    assert_eq!(rig.store.ledger_size(), 10);
    let entries = rig.store.entries(0..100).await.unwrap();
    assert_eq!(entries.len(), 10);
    let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(rig.store.leaf_hashes(0..10).await.unwrap(), hashes);
    assert_eq!(rig.store.leaf_hashes(3..5).await.unwrap(), hashes[3..5]);
    assert_eq!(rig.store.leaf_hashes(8..20).await.unwrap(), hashes[8..]);
    assert_eq!(rig.store.entries(10..11).await.unwrap(), Vec::<Vec<u8>>::new());
    for (index, receipt) in rig.store.receipts(2..5).await.unwrap().into_iter().enumerate() {
        assert_eq!(receipt.index, LeafIndex(index as u64 + 2));
        assert_eq!(receipt.entry, entries[index + 2]);
        let (salt, payload) = receipt.opening.expect("a payload");
        assert!(opens(&receipt.entry, &salt, &payload));
        assert!(!opens(&receipt.entry, &[0; 32], &payload), "the salt is random");
    }
    assert_eq!(rig.store.receipt(LeafIndex(10)).await.unwrap(), None);
}

pub(crate) async fn receipts_are_found_by_their_ids(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let mut leaves = vec![0];
    let decision = root.decision.to_string();
    for _ in 0..4 {
        // The same id twice in a receipt, and the text of another kind of id.
        let ids = [task.id.to_string(), decision.clone(), task.id.to_string(), "spiffe://x".into()];
        let receipt = rig.make.receipt(ReceiptKind::Action, &ids);
        leaves.push(rig.store.append(receipt, Effect::None).await.unwrap().0);
        rig.ok(Effect::None).await;
    }
    let store = &rig.store;
    for (key, expected) in [
        (task.id.to_string(), &leaves[..]),
        (decision, &leaves[1..]),
        ("spiffe://x".to_owned(), &leaves[1..]),
        (root.jti.to_string(), &leaves[..1]),
        ("spiffe://y".to_owned(), &[]),
    ] {
        let found = in_pages(|page| store.receipts_by_key(&key, page)).await;
        let found: Vec<u64> = found.iter().map(|receipt| receipt.index.0).collect();
        assert_eq!(found, expected, "{key}");
    }
    let bad = PageRequest { cursor: Some("x".to_owned()), limit: 1 };
    let answer = store.receipts_by_key("spiffe://x", bad).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
}

pub(crate) async fn an_erased_payload_leaves_its_entry(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let receipt = rig.make.receipt(ReceiptKind::Decision, &["a".to_owned()]);
    let index = rig.store.append(receipt, Effect::None).await.unwrap();
    let before = rig.store.receipt(index).await.unwrap().unwrap();
    let kept = rig.ok(Effect::None).await;
    rig.refused(Effect::Erase { leaf: LeafIndex(2) }, Refused::NotFound).await;
    rig.ok(Effect::Erase { leaf: index }).await;
    let after = rig.store.receipt(index).await.unwrap().unwrap();
    assert!(before.opening.is_some() && after.opening.is_none() && after.payload().is_none());
    assert_eq!(after.entry, before.entry);
    let page = PageRequest::first(1);
    let found = rig.store.receipts_by_key("a", page).await.unwrap().items;
    assert_eq!(found, [after]);
    assert!(rig.store.receipt(kept).await.unwrap().unwrap().payload().is_some());
    // Again is no fault.
    rig.ok(Effect::Erase { leaf: index }).await;
}

pub(crate) async fn bounds_are_refused(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let good = rig.make.receipt(ReceiptKind::System, &[]);
    let mut large = good.clone();
    large.payload = vec![b'x'; PAYLOAD_BYTES_MAX + 1];
    let mut crowded = good.clone();
    crowded.subject_ids = vec!["x".to_owned(); SUBJECT_IDS_MAX + 1];
    let mut long = good.clone();
    long.subject_ids = vec!["x".repeat(2_000)];
    let mut never = good.clone();
    never.time_ms = u64::MAX;
    for bad in [large, crowded, long, never] {
        let answer = rig.store.append(bad, Effect::None).await;
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    }
    let lasting =
        ProofRow { expires_ms: rig.make.now.saturating_add_seconds(7_200), ..rig.make.proof() };
    let answer = rig.append(Effect::Proof(lasting)).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    let answer = rig.store.entries(0..LEAVES_MAX + 1).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    assert_eq!(rig.store.ledger_size(), 0);
    let mut largest = good;
    largest.payload = vec![b'x'; PAYLOAD_BYTES_MAX];
    largest.subject_ids = (0..SUBJECT_IDS_MAX).map(|n| n.to_string()).collect();
    rig.store.append(largest.clone(), Effect::None).await.unwrap();
    let read = rig.store.receipt(LeafIndex(0)).await.unwrap().unwrap();
    assert_eq!(read.payload(), Some(&largest.payload[..]));
    assert_eq!(rig.store.entries(0..LEAVES_MAX).await.unwrap().len(), 1);
}

pub(crate) async fn tasks_are_listed_newest_first(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let mut ids = Vec::new();
    for place in 0..7_u64 {
        rig.make.now.0 += 1;
        let (mut task, mut token) = rig.make.task();
        token.status_idx = rig.store.allocate_status_idx().await.unwrap();
        if place % 2 == 0 {
            task.subject = "user:bob@a.example".parse().unwrap();
            task.tenant = "other".parse().unwrap();
        }
        ids.insert(0, task.id);
        rig.ok(Effect::OpenTask { task, token, proof: None }).await;
    }
    rig.ok(Effect::CloseTask { task: ids[1], state: TaskState::Completed }).await;
    let store = &rig.store;
    let listed = async |filter: TaskFilter| {
        let tasks = in_pages(|page| store.tasks(filter.clone(), page)).await;
        tasks.iter().map(|task| task.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(TaskFilter::default()).await, ids);
    let even: Vec<_> = ids.iter().copied().step_by(2).collect();
    let subject = Some("user:bob@a.example".parse().unwrap());
    assert_eq!(listed(TaskFilter { subject, ..TaskFilter::default() }).await, even);
    let tenant = Some("other".parse().unwrap());
    assert_eq!(listed(TaskFilter { tenant, ..TaskFilter::default() }).await, even);
    let state = Some(TaskState::Completed);
    assert_eq!(listed(TaskFilter { state, ..TaskFilter::default() }).await, [ids[1]]);
    let workflow = Some("another".parse().unwrap());
    assert_eq!(listed(TaskFilter { workflow, ..TaskFilter::default() }).await, []);
    let cursor = Some("' OR 1 --".to_owned());
    let answer = store.tasks(TaskFilter::default(), PageRequest { cursor, limit: 1 }).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
}

pub(crate) async fn status_indices_are_never_given_twice(backend: &impl Backend) {
    let rig = Rig::new(backend);
    let mut running = Vec::new();
    for _ in 0..8 {
        let store = rig.store.clone();
        running.push(tokio::spawn(async move {
            let mut given = Vec::new();
            for _ in 0..50 {
                given.push(store.allocate_status_idx().await.unwrap());
            }
            given
        }));
    }
    let mut given = Vec::new();
    for each in running {
        given.extend(each.await.unwrap());
    }
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 400);
}

pub(crate) async fn a_probe_writes_no_leaf(backend: &impl Backend) {
    let rig = Rig::new(backend);
    rig.store.probe().await.unwrap();
    rig.store.probe().await.unwrap();
    assert_eq!(rig.store.ledger_size(), 0);
}
