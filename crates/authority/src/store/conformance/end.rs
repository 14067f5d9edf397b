//! Tasks end, tokens are revoked.

use super::*;
use crate::model::{RevocationTarget, STATUS_LIST_ENTRIES, TaskState};
use crate::store::conformance::fixture::{TASK_SECONDS, TOKEN_SECONDS};

fn close(task: &TaskRecord, state: TaskState) -> Effect {
    Effect::CloseTask { task: task.id, state }
}

fn revoke(rig: &mut Rig, target: RevocationTarget) -> Effect {
    Effect::Revoke { id: rig.make.revocation_id(), target, reason: "a test".to_owned() }
}

pub(crate) async fn a_closed_task_is_dead_with_its_tokens(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let hop = rig.settled(&root, "a").await;
    let (other, other_root) = rig.task().await;
    let leaf = rig.ok(close(&task, TaskState::Completed)).await;
    let read = rig.store.task(task.id).await.unwrap().unwrap();
    assert_eq!((read.state, read.closed_ms), (TaskState::Completed, Some(rig.make.now)));
    assert_eq!(rig.revoked(&[&root, &hop, &other_root]).await, [true, true, false]);
    assert_eq!(rig.store.task(other.id).await.unwrap().unwrap().state, TaskState::Open);
    let mut dead: Vec<_> = rig.store.revoked_at(leaf).await.unwrap();
    dead.sort_by_key(|token| token.jti);
    let mut expected = [root.jti, hop.jti];
    expected.sort_unstable();
    assert_eq!(dead.iter().map(|token| token.jti).collect::<Vec<_>>(), expected);
    assert!(dead.iter().all(|token| token.task == task.id && token.at_ms == rig.make.now));
    assert_eq!(rig.store.open_tasks().await.unwrap(), 1);
}

pub(crate) async fn a_task_ends_once(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, _) = rig.task().await;
    rig.refused(close(&task, TaskState::Open), Refused::VersionConflict).await;
    rig.ok(close(&task, TaskState::Cancelled)).await;
    for state in TaskState::ALL.into_iter().filter(|state| *state != TaskState::Open) {
        rig.refused(close(&task, state), Refused::TaskClosed).await;
    }
    let effect = revoke(&mut rig, RevocationTarget::Task(task.id));
    rig.refused(effect, Refused::TaskClosed).await;
    assert_eq!(rig.store.task(task.id).await.unwrap().unwrap().state, TaskState::Cancelled);
}

pub(crate) async fn a_late_task_only_expires(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, _) = rig.task().await;
    let (punctual, _) = rig.task().await;
    rig.make.now = rig.make.now.saturating_add_seconds(TASK_SECONDS - 1);
    rig.ok(close(&punctual, TaskState::Completed)).await;
    rig.make.now = rig.make.now.saturating_add_seconds(1);
    rig.refused(close(&task, TaskState::Completed), Refused::TaskClosed).await;
    rig.refused(close(&task, TaskState::Cancelled), Refused::TaskClosed).await;
    assert_eq!(rig.store.tasks_past_deadline(rig.make.now, 10).await.unwrap(), [task.id]);
    let before = bailiwick_core::UnixMillis(task.deadline_ms.0 - 1);
    assert_eq!(rig.store.tasks_past_deadline(before, 10).await.unwrap(), []);
    rig.ok(close(&task, TaskState::Expired)).await;
    assert_eq!(rig.store.tasks_past_deadline(rig.make.now, 10).await.unwrap(), []);
}

pub(crate) async fn a_revoked_task_is_dead(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let target = RevocationTarget::Task(task.id);
    let preview = rig.store.preview_revocation(target.clone(), rig.make.now).await.unwrap();
    assert_eq!((preview.tokens, preview.tasks), (vec![root.jti], vec![task.id]));
    let effect = revoke(&mut rig, target.clone());
    let Effect::Revoke { id, .. } = &effect else { panic!("a revocation") };
    let id = *id;
    let leaf = rig.ok(effect).await;
    let row = rig.store.revocation(id).await.unwrap().unwrap();
    assert_eq!((row.target, row.leaf, row.reason.as_str()), (target, leaf, "a test"));
    assert_eq!(rig.store.task(task.id).await.unwrap().unwrap().state, TaskState::Revoked);
    assert!(rig.is_revoked(root.jti).await);
    let token = rig.child(&root, "a").await;
    rig.refused(settle(&token), Refused::TaskClosed).await;
}

pub(crate) async fn revoking_a_token_kills_its_subtree(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let (left, right) = (rig.settled(&root, "a").await, rig.settled(&root, "b").await);
    let below = rig.settled(&left, "c").await;
    let deepest = rig.settled(&below, "d").await;
    let target = RevocationTarget::Token(left.jti);
    let preview = rig.store.preview_revocation(target.clone(), rig.make.now).await.unwrap();
    let mut expected = vec![left.jti, below.jti, deepest.jti];
    expected.sort_unstable();
    assert_eq!((preview.tokens, preview.tasks), (expected, vec![root.task]));
    let effect = revoke(&mut rig, target);
    rig.ok(effect).await;
    let all = [&root, &left, &right, &below, &deepest];
    assert_eq!(rig.revoked(&all).await, [false, true, false, true, true]);
    for parent in [&left, &below, &deepest] {
        let token = rig.child(parent, "e").await;
        rig.refused(settle(&token), Refused::Revoked).await;
        rig.refused(debit(parent, vec![]), Refused::Revoked).await;
        let renewal = rig.make.renewal(parent);
        rig.refused(renew(&renewal), Refused::Revoked).await;
    }
    rig.settled(&right, "e").await;
    rig.ok(debit(&right, vec![])).await;
    rig.renewed(&root).await;
}

pub(crate) async fn revoking_one_token_of_a_hop_kills_the_hop(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let first = rig.settled(&root, "a").await;
    let second = rig.renewed(&first).await;
    let (below_first, below_second) =
        (rig.settled(&first, "b").await, rig.settled(&second, "c").await);
    let sibling = rig.settled(&root, "d").await;
    let effect = revoke(&mut rig, RevocationTarget::Token(second.jti));
    rig.ok(effect).await;
    let all = [&first, &second, &below_first, &below_second, &sibling, &root];
    assert_eq!(rig.revoked(&all).await, [true, true, true, true, false, false]);
    let renewal = rig.make.renewal(&second);
    rig.refused(renew(&renewal), Refused::Revoked).await;
    rig.renewed(&sibling).await;
}

pub(crate) async fn revoking_an_agent_kills_what_it_holds(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, first_root) = rig.task().await;
    let (_, second_root) = rig.task().await;
    let (bad_one, bad_two) =
        (rig.settled(&first_root, "bad").await, rig.settled(&second_root, "bad").await);
    let below = rig.settled(&bad_one, "good").await;
    let good = rig.settled(&second_root, "good").await;
    let target = RevocationTarget::Agent(agent("bad"));
    let preview = rig.store.preview_revocation(target.clone(), rig.make.now).await.unwrap();
    assert_eq!((preview.tokens.len(), preview.tasks.len()), (3, 2));
    let effect = revoke(&mut rig, target.clone());
    rig.ok(effect).await;
    let all = [&first_root, &second_root, &bad_one, &bad_two, &below, &good];
    assert_eq!(rig.revoked(&all).await, [false, false, true, true, true, false]);
    // The agent itself is as it was: it may be handed something new.
    let again = rig.settled(&first_root, "bad").await;
    assert!(!rig.is_revoked(again.jti).await);
    // A token that has expired is not killed again.
    rig.make.now = rig.make.now.saturating_add_seconds(TOKEN_SECONDS);
    let preview = rig.store.preview_revocation(target, rig.make.now).await.unwrap();
    assert_eq!(preview.tokens, []);
}

pub(crate) async fn an_unknown_target_is_refused(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, token) = (rig.make.task_id(), rig.make.token_id());
    for target in [RevocationTarget::Task(task), RevocationTarget::Token(token)] {
        let preview = rig.store.preview_revocation(target.clone(), rig.make.now).await.unwrap();
        assert_eq!(preview.tokens, []);
        let effect = revoke(&mut rig, target);
        rig.refused(effect, Refused::NotFound).await;
    }
    let (_, root) = rig.task().await;
    let effect = revoke(&mut rig, RevocationTarget::Token(root.jti));
    rig.ok(effect).await;
}

pub(crate) async fn revocations_are_listed_by_leaf(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let mut leaves = Vec::new();
    let mut died = Vec::new();
    for _ in 0..5 {
        let (task, root) = rig.task().await;
        let hop = rig.settled(&root, "a").await;
        leaves.push(rig.ok(close(&task, TaskState::Completed)).await);
        died.push([root.jti, hop.jti]);
    }
    let since = rig.store.revoked_since(leaves[1], 100).await.unwrap();
    assert_eq!(since.len(), 8);
    assert!(since.is_sorted_by_key(|token| token.leaf));
    // A leaf is never cut in two.
    let some = rig.store.revoked_since(LeafIndex(0), 3).await.unwrap();
    let some: Vec<_> = some.iter().map(|token| token.leaf).collect();
    assert_eq!(some, [leaves[0], leaves[0], leaves[1], leaves[1]]);
    let none = LeafIndex(leaves[4].0 + 1);
    assert_eq!(rig.store.revoked_since(none, 100).await.unwrap(), []);
    assert_eq!(rig.store.revoked_live(rig.make.now).await.unwrap().len(), 10);
    let later = rig.make.now.saturating_add_seconds(TOKEN_SECONDS);
    assert_eq!(rig.store.revoked_live(later).await.unwrap(), []);
}

pub(crate) async fn status_bits_follow_revocations(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let mut hops = Vec::new();
    for _ in 0..20 {
        hops.push(rig.settled(&root, "a").await);
    }
    let far = TokenRecord { status_idx: STATUS_LIST_ENTRIES + 9, ..rig.child(&root, "far").await };
    rig.ok(settle_within(&far, None, 64, 600)).await;
    for token in [&hops[3], &hops[17], &far] {
        let effect = revoke(&mut rig, RevocationTarget::Token(token.jti));
        rig.ok(effect).await;
    }
    let set = |bits: Vec<u8>| -> Vec<u64> {
        let bit = |at: &u64| bits[usize::try_from(at / 8).unwrap()] >> (at % 8) & 1 == 1;
        (0..STATUS_LIST_ENTRIES).filter(bit).collect()
    };
    let bits = rig.store.revoked_status_bits(0).await.unwrap();
    assert_eq!(bits.len() as u64 * 8, STATUS_LIST_ENTRIES);
    assert_eq!(set(bits), [hops[3].status_idx, hops[17].status_idx]);
    assert_eq!(set(rig.store.revoked_status_bits(1).await.unwrap()), [9]);
    assert_eq!(set(rig.store.revoked_status_bits(2).await.unwrap()), Vec::<u64>::new());
}
