//! Tasks open, hops settle, tokens are renewed, budgets are drawn on.

use std::sync::Arc;

use super::*;
use crate::model::{RecordStatus, RegistryRecord, TaskState};
use crate::store::conformance::fixture::TASK_SECONDS;

pub(crate) async fn opened_task_is_read_back(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, token) = rig.task().await;
    assert_eq!(rig.store.task(task.id).await.unwrap().as_deref(), Some(&task));
    assert_eq!(rig.store.token(token.jti).await.unwrap().as_deref(), Some(&token));
    let found = rig.store.token_by_signing_hash(token.signing_hash).await.unwrap();
    assert_eq!(found.as_deref(), Some(&token));
    assert_eq!(rig.store.grant(token.jti).await.unwrap(), None);
    assert_eq!(rig.store.open_tasks().await.unwrap(), 1);
    let other = rig.make.hash();
    assert_eq!(rig.store.token_by_signing_hash(other).await.unwrap(), None);
    assert_eq!(rig.store.task(rig.make.task_id()).await.unwrap(), None);
    assert_eq!(rig.store.token(rig.make.token_id()).await.unwrap(), None);
}

pub(crate) async fn a_task_is_opened_once(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, _) = rig.task().await;
    let (other, token) = rig.make.task();
    let again = Box::new(TaskRecord { id: task.id, ..(*other).clone() });
    let effect = Effect::OpenTask { task: again, token: token.clone(), proof: None };
    rig.refused(effect, Refused::VersionConflict).await;
    rig.ok(Effect::OpenTask { task: other, token, proof: None }).await;
}

pub(crate) async fn a_late_task_is_refused(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (mut task, token) = rig.make.task();
    task.deadline_ms = rig.make.now;
    let effect = Effect::OpenTask { task: task.clone(), token: token.clone(), proof: None };
    rig.refused(effect, Refused::TaskClosed).await;
    task.deadline_ms.0 += 1;
    rig.ok(Effect::OpenTask { task, token, proof: None }).await;
}

pub(crate) async fn settled_hops_are_read_back(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let (one, two) = (rig.settled(&root, "a").await, rig.settled(&root, "b").await);
    let deep = rig.settled(&one, "c").await;
    let tokens = rig.store.tokens_of_task(task.id).await.unwrap();
    let tokens: Vec<TokenRecord> = tokens.iter().map(|token| (**token).clone()).collect();
    assert_eq!(tokens, [root.clone(), one.clone(), two.clone(), deep.clone()]);
    let children = rig.store.children(root.jti).await.unwrap();
    assert_eq!(children.iter().map(|t| t.jti).collect::<Vec<_>>(), [one.jti, two.jti]);
    assert_eq!(rig.store.fanout(root.jti).await.unwrap(), 2);
    assert_eq!(rig.store.fanout(deep.jti).await.unwrap(), 0);
    let grant = rig.store.grant(deep.jti).await.unwrap().unwrap();
    assert_eq!(grant, format!("grant of {}", deep.jti).into_bytes());
}

pub(crate) async fn a_replayed_proof_is_refused(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let proof = rig.make.proof();
    let (one, two) = (rig.child(&root, "a").await, rig.child(&root, "b").await);
    rig.ok(settle_within(&one, Some(proof), 16, 600)).await;
    // The same proof, in whatever it comes, and however it is dated.
    let later = ProofRow { expires_ms: proof.expires_ms.saturating_add_seconds(60), ..proof };
    for proof in [proof, later] {
        rig.refused(settle_within(&two, Some(proof), 16, 600), Refused::ProofReplayed).await;
        rig.refused(Effect::Proof(proof), Refused::ProofReplayed).await;
        let (task, token) = rig.make.task();
        let open = Effect::OpenTask { task, token, proof: Some(proof) };
        rig.refused(open, Refused::ProofReplayed).await;
        let renewal = rig.make.renewal(&one);
        let renew = Effect::Renew { token: renewal, proof: Some(proof) };
        rig.refused(renew, Refused::ProofReplayed).await;
        let mut debit = super::debit(&one, vec![]);
        if let Effect::Debit { proof: with, .. } = &mut debit {
            *with = Some(proof);
        }
        rig.refused(debit, Refused::ProofReplayed).await;
    }
    let fresh = rig.make.proof();
    rig.ok(settle_within(&two, Some(fresh), 16, 600)).await;
    let mut known = rig.store.proofs_unexpired(rig.make.now).await.unwrap();
    let mut expected = vec![proof, fresh];
    known.sort_by_key(|proof| proof.jti_hash);
    expected.sort_by_key(|proof| proof.jti_hash);
    assert_eq!(known, expected);
}

pub(crate) async fn fanout_is_bounded(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = rig.settled(&root, "a").await;
    let two = rig.child(&root, "b").await;
    rig.refused(settle_within(&two, None, 1, 600), Refused::FanoutExceeded).await;
    rig.ok(settle_within(&two, None, 2, 600)).await;
    let deep = rig.child(&one, "c").await;
    rig.ok(settle_within(&deep, None, 1, 600)).await;
}

pub(crate) async fn the_rate_is_bounded(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    rig.settled(&root, "a").await;
    rig.settled(&root, "b").await;
    let third = rig.child(&root, "c").await;
    rig.refused(settle_within(&third, None, 16, 2), Refused::RateExceeded).await;
    rig.make.now = rig.make.now.saturating_add_seconds(60);
    let third = rig.child(&root, "c").await;
    rig.ok(settle_within(&third, None, 16, 2)).await;
    // A time in the minute before gives no room again.
    rig.make.now = rig.make.now.saturating_sub_seconds(60);
    rig.settled(&root, "d").await;
    let fifth = rig.child(&root, "e").await;
    rig.refused(settle_within(&fifth, None, 16, 2), Refused::RateExceeded).await;
    rig.ok(settle_within(&fifth, None, 16, 3)).await;
}

pub(crate) async fn an_expired_parent_is_refused(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let parent = rig.settled(&root, "a").await;
    let lasting = rig.child(&root, "b").await;
    let lasting = TokenRecord { exp: lasting.exp + 1, ..lasting };
    rig.ok(settle(&lasting)).await;
    rig.make.now.0 = u64::try_from(parent.exp).unwrap() * 1000;
    let late = rig.child(&parent, "c").await;
    rig.refused(settle(&late), Refused::Expired).await;
    rig.refused(debit(&parent, vec![]), Refused::Expired).await;
    rig.ok(debit(&lasting, vec![])).await;
    let in_time = rig.child(&lasting, "c").await;
    rig.ok(settle(&in_time)).await;
}

pub(crate) async fn an_unknown_parent_is_refused(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let (_, other) = rig.task().await;
    let never_settled = rig.child(&root, "a").await;
    let token = rig.child(&never_settled, "b").await;
    rig.refused(settle(&token), Refused::Revoked).await;
    // A parent of another task is no parent here: chains are never combined.
    let spliced = TokenRecord { task: other.task, ..rig.child(&root, "b").await };
    rig.refused(settle(&spliced), Refused::Revoked).await;
    let orphan = TokenRecord { parent: None, ..rig.child(&root, "b").await };
    rig.refused(settle(&orphan), Refused::Revoked).await;
    let no_task = TokenRecord { task: rig.make.task_id(), ..rig.child(&root, "b").await };
    rig.refused(settle(&no_task), Refused::TaskClosed).await;
    rig.refused(debit(&no_task, vec![]), Refused::TaskClosed).await;
    rig.refused(debit(&never_settled, vec![]), Refused::Revoked).await;
    rig.ok(settle(&never_settled)).await;
    rig.ok(settle(&token)).await;
}

pub(crate) async fn a_closed_or_late_task_settles_nothing(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (closed, closed_root) = rig.task().await;
    let (_, late_root) = rig.task().await;
    let (_, good_root) = {
        let (mut task, mut token) = rig.make.task();
        task.deadline_ms.0 += 1;
        token.status_idx = rig.store.allocate_status_idx().await.unwrap();
        let effect = Effect::OpenTask { task: task.clone(), token: token.clone(), proof: None };
        rig.ok(effect).await;
        (task, token)
    };
    rig.ok(Effect::CloseTask { task: closed.id, state: TaskState::Completed }).await;
    let token = rig.child(&closed_root, "a").await;
    rig.refused(settle(&token), Refused::TaskClosed).await;
    rig.refused(debit(&closed_root, vec![]), Refused::TaskClosed).await;
    let renewal = rig.make.renewal(&closed_root);
    rig.refused(renew(&renewal), Refused::TaskClosed).await;

    rig.make.now = rig.make.now.saturating_add_seconds(TASK_SECONDS);
    let renewal = rig.make.renewal(&late_root);
    rig.refused(renew(&renewal), Refused::TaskClosed).await;
    rig.refused(debit(&late_root, vec![]), Refused::TaskClosed).await;
    let token = rig.child(&late_root, "a").await;
    rig.refused(settle(&token), Refused::TaskClosed).await;
    let renewal = rig.make.renewal(&good_root);
    rig.ok(renew(&renewal)).await;
}

pub(crate) async fn a_renewal_keeps_the_hops_fanout(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let hop = rig.settled(&root, "a").await;
    let one = rig.settled(&hop, "b").await;
    let renewal = rig.renewed(&hop).await;
    assert_eq!(rig.store.token(renewal.jti).await.unwrap().as_deref(), Some(&renewal));
    assert_eq!(rig.store.fanout(renewal.jti).await.unwrap(), 1);
    assert_eq!(rig.store.fanout(root.jti).await.unwrap(), 1, "a renewal is no hop");
    let two = rig.child(&renewal, "c").await;
    rig.refused(settle_within(&two, None, 1, 600), Refused::FanoutExceeded).await;
    rig.ok(settle_within(&two, None, 2, 600)).await;
    let children = rig.store.children(hop.jti).await.unwrap();
    assert_eq!(children.iter().map(|t| t.jti).collect::<Vec<_>>(), [one.jti, two.jti]);
}

pub(crate) async fn a_quarantined_agent_does_nothing(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let bad = agent_record("bad", 1, RecordStatus::Quarantined);
    let good = agent_record("good", 1, RecordStatus::Active);
    let records = vec![RegistryRecord::Agent(bad), RegistryRecord::Agent(good)];
    rig.ok(Effect::PutRegistry { records }).await;
    let (_, root) = rig.task().await;
    let (bad, good) = (rig.child(&root, "bad").await, rig.child(&root, "good").await);
    rig.refused(settle(&bad), Refused::AgentQuarantined).await;
    rig.ok(settle(&good)).await;
    let (task, token) = rig.make.task();
    let held = |name: &str| TokenRecord { agent: agent(name), ..token.clone() };
    let open = |name: &str| Effect::OpenTask { task: task.clone(), token: held(name), proof: None };
    rig.refused(open("bad"), Refused::AgentQuarantined).await;
    rig.ok(open("good")).await;
}

pub(crate) async fn budgets_are_all_or_nothing(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let spend = |calls: i64, usd: i64| {
        vec![draw(root.jti, "calls", calls, 10), draw(root.jti, "usd", usd, 100)]
    };
    rig.ok(debit(&root, spend(4, 60))).await;
    rig.refused(debit(&root, spend(1, 41)), exhausted("usd")).await;
    rig.refused(debit(&root, spend(7, 1)), exhausted("calls")).await;
    let twice = vec![draw(root.jti, "calls", 3, 10), draw(root.jti, "calls", 4, 10)];
    rig.refused(debit(&root, twice), exhausted("calls")).await;
    rig.ok(debit(&root, spend(6, 40))).await;
    rig.refused(debit(&root, spend(1, 0)), exhausted("calls")).await;
    rig.ok(debit(&root, spend(0, 0))).await;
    let most = vec![draw(root.jti, "huge", i64::MAX, i64::MAX)];
    rig.ok(debit(&root, most.clone())).await;
    rig.refused(debit(&root, most), exhausted("huge")).await;
    let used = rig.store.budgets(task.id).await.unwrap();
    let used: Vec<_> = used.iter().map(|row| (row.node, row.key.as_str(), row.used.0)).collect();
    let of = root.jti;
    assert_eq!(used, [(of, "calls", 10), (of, "huge", i64::MAX), (of, "usd", 100)]);
}

pub(crate) async fn a_budget_of_an_ancestor_is_shared(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let (one, two) = (rig.settled(&root, "a").await, rig.settled(&root, "b").await);
    rig.ok(debit(&one, vec![draw(root.jti, "calls", 6, 10)])).await;
    rig.refused(debit(&two, vec![draw(root.jti, "calls", 5, 10)]), exhausted("calls")).await;
    rig.ok(debit(&two, vec![draw(root.jti, "calls", 4, 10)])).await;
    // A budget of its own is another one.
    rig.ok(debit(&two, vec![draw(two.jti, "calls", 5, 10)])).await;
    let stranger = rig.make.token_id();
    rig.refused(debit(&two, vec![draw(stranger, "calls", 1, 10)]), Refused::Revoked).await;
}

pub(crate) async fn renewing_refills_no_budget(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let hop = rig.settled(&root, "a").await;
    rig.ok(debit(&hop, vec![draw(hop.jti, "calls", 7, 10)])).await;
    let renewal = rig.renewed(&hop).await;
    let over = vec![draw(renewal.jti, "calls", 4, 10)];
    rig.refused(debit(&renewal, over), exhausted("calls")).await;
    rig.ok(debit(&renewal, vec![draw(renewal.jti, "calls", 3, 10)])).await;
}

pub(crate) async fn siblings_never_overspend_together(backend: &impl Backend) {
    const SIBLINGS: usize = 16;
    const DRAWS: usize = 40;
    const LIMIT: i64 = 1_000;
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let mut siblings = Vec::new();
    for _ in 0..SIBLINGS {
        siblings.push(rig.settled(&root, "a").await);
    }
    let spent = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let mut running = Vec::new();
    for (place, token) in siblings.into_iter().enumerate() {
        let (store, root, spent) = (rig.store.clone(), root.jti, spent.clone());
        let mut make = Maker::new(place as u64);
        running.push(tokio::spawn(async move {
            for _ in 0..DRAWS {
                let amount = i64::try_from(make.next() % 9).unwrap();
                let receipt = make.receipt(ReceiptKind::Action, &[]);
                let draws = vec![draw(root, "usd", amount, LIMIT)];
                match store.append(receipt, debit(&token, draws)).await {
                    Ok(_) => drop(spent.fetch_add(amount, std::sync::atomic::Ordering::SeqCst)),
                    Err(error) => assert_eq!(error.refused(), Some(&exhausted("usd"))),
                }
            }
        }));
    }
    for sibling in running {
        sibling.await.unwrap();
    }
    let spent = spent.load(std::sync::atomic::Ordering::SeqCst);
    assert!(spent <= LIMIT && spent > LIMIT - 9, "{spent} of {LIMIT}");
    assert_eq!(rig.store.budgets(task.id).await.unwrap()[0].used.0, spent);
}

pub(crate) async fn a_negative_draw_is_out_of_bounds(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let answer = rig.append(debit(&root, vec![draw(root.jti, "usd", -1, 10)])).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    rig.ok(debit(&root, vec![draw(root.jti, "usd", 1, 10)])).await;
}

pub(crate) async fn a_refused_op_leaves_its_batch_alone(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let mut running = Vec::new();
    for place in 0..200_u64 {
        // Every third one names a parent that does not exist.
        let stray = rig.make.token_id();
        let token = rig.child(&root, "a").await;
        let good = place % 3 != 0;
        let token = if good { token } else { TokenRecord { parent: Some(stray), ..token } };
        let receipt = rig.make.receipt(ReceiptKind::Decision, &[]);
        let store = rig.store.clone();
        running.push(tokio::spawn(async move {
            let effect = settle_within(&token, None, 1_000, 1_000);
            (good, store.append(receipt, effect).await)
        }));
    }
    let mut leaves = Vec::new();
    for op in running {
        match op.await.unwrap() {
            (true, answer) => leaves.push(answer.unwrap().0),
            (false, answer) => {
                assert_eq!(answer.unwrap_err().refused(), Some(&Refused::Revoked));
            }
        }
    }
    leaves.sort_unstable();
    let count = leaves.len() as u64;
    assert_eq!(leaves, (1..=count).collect::<Vec<_>>(), "no gap and none twice");
    assert_eq!(rig.store.tokens_of_task(task.id).await.unwrap().len(), leaves.len() + 1);
    assert_eq!(u64::from(rig.store.fanout(root.jti).await.unwrap()), count);
}
