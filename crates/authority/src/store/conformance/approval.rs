//! Questions put to people: asked once, answered once, used once.

use bailiwick_core::{ActionDigest, ApprovalId, DecisionId, UnixMillis};

use super::*;
use crate::model::{
    ApprovalFilter, ApprovalRecord, ApprovalState, ApprovalUse, ApprovalUsed, ApprovalVote,
    RevocationTarget, TaskState, VerdictBounds,
};
use crate::store::conformance::fixture::{TASK_SECONDS, TOKEN_SECONDS};

const LIFE_SECONDS: u64 = 100;

fn question(rig: &mut Rig, token: &TokenRecord, action: &str, needs: &[&str]) -> ApprovalRecord {
    ApprovalRecord {
        id: ApprovalId::from_bytes(*rig.make.token_id().as_bytes()),
        task: token.task,
        digest: ActionDigest::of_bytes(action.as_bytes()),
        action: action.to_owned(),
        jti: token.jti,
        agent: token.agent.clone(),
        asked_by: agent("gateway"),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        why: vec!["a test".to_owned()],
        asked_ms: rig.make.now,
        expires_ms: rig.make.now.saturating_add_seconds(LIFE_SECONDS),
        state: ApprovalState::Pending,
        votes: Vec::new(),
        used: None,
    }
}

fn ask(asked: &ApprovalRecord) -> Effect {
    Effect::AskApproval { asked: Box::new(asked.clone()), pending_max: 3 }
}

async fn asked(rig: &mut Rig, token: &TokenRecord, action: &str) -> ApprovalRecord {
    let asked = question(rig, token, action, &["ask"]);
    rig.ok(ask(&asked)).await;
    asked
}

fn vote(rig: &Rig, who: &str, approve: bool, needs: &[&str]) -> ApprovalVote {
    ApprovalVote {
        approver: format!("user:{who}@a.example").parse().unwrap(),
        approve,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        reason: "because".to_owned(),
        at_ms: rig.make.now,
        dwell_ms: Some(1_500),
    }
}

fn decide(rig: &Rig, asked: &ApprovalRecord, vote: ApprovalVote) -> Effect {
    let stands_until = rig.make.now.saturating_add_seconds(LIFE_SECONDS);
    let bounds = VerdictBounds { hourly_max: 2, stands_until };
    Effect::DecideApproval { id: asked.id, digest: asked.digest, vote, bounds }
}

async fn approved(rig: &mut Rig, token: &TokenRecord, action: &str, who: &str) -> ApprovalRecord {
    let asked = asked(rig, token, action).await;
    let effect = decide(rig, &asked, vote(rig, who, true, &["ask"]));
    rig.ok(effect).await;
    rig.store.approval(asked.id).await.unwrap().unwrap()
}

fn usage(rig: &mut Rig, approval: &ApprovalRecord) -> ApprovalUse {
    let decision = DecisionId::from_bytes(*rig.make.token_id().as_bytes());
    ApprovalUse {
        id: approval.id,
        digest: approval.digest,
        needs: approval.needs.clone(),
        used: ApprovalUsed { decision, by: agent("gateway") },
    }
}

fn debit_with(token: &TokenRecord, usage: &ApprovalUse) -> Effect {
    let mut effect = debit(token, vec![draw(token.jti, "calls", 1, 1)]);
    if let Effect::Debit { approval, .. } = &mut effect {
        *approval = Some(usage.clone());
    }
    effect
}

fn use_alone(token: &TokenRecord, usage: &ApprovalUse) -> Effect {
    Effect::UseApproval { task: token.task, jti: token.jti, approval: usage.clone() }
}

pub(crate) async fn a_question_is_read_back_and_asked_once(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = asked(&mut rig, &root, "pay 1").await;
    assert_eq!(rig.store.approval(one.id).await.unwrap().as_ref(), Some(&one));
    assert_eq!(rig.store.approval_of(root.task, one.digest).await.unwrap(), Some(one.clone()));
    let again = question(&mut rig, &root, "pay 1", &["ask"]);
    rig.refused(ask(&again), Refused::VersionConflict).await;
    let (_, elsewhere) = rig.task().await;
    let other = question(&mut rig, &elsewhere, "pay 1", &["ask"]);
    rig.ok(ask(&other)).await;
    // Once nobody has answered in time, it can be asked anew.
    rig.make.now = rig.make.now.saturating_add_seconds(LIFE_SECONDS);
    let anew = question(&mut rig, &root, "pay 1", &["ask"]);
    rig.ok(ask(&anew)).await;
    let newest = rig.store.approval_of(root.task, one.digest).await.unwrap().unwrap();
    assert_eq!(newest.id, anew.id);
}

pub(crate) async fn questions_are_bounded_and_need_a_live_token(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    for action in ["a", "b", "c"] {
        asked(&mut rig, &root, action).await;
    }
    let fourth = question(&mut rig, &root, "d", &["ask"]);
    rig.refused(ask(&fourth), Refused::TooManyQuestions).await;
    let (_, other) = rig.task().await;
    let hop = rig.settled(&other, "a").await;
    let effect = Effect::Revoke {
        id: rig.make.revocation_id(),
        target: RevocationTarget::Token(hop.jti),
        reason: String::new(),
    };
    rig.ok(effect).await;
    let dead = question(&mut rig, &hop, "d", &["ask"]);
    rig.refused(ask(&dead), Refused::Revoked).await;
    asked(&mut rig, &other, "d").await;
    rig.ok(Effect::CloseTask { task: task.id, state: TaskState::Completed }).await;
    let late = question(&mut rig, &root, "e", &["ask"]);
    rig.refused(ask(&late), Refused::TaskClosed).await;
}

pub(crate) async fn an_answer_is_for_the_action_that_was_seen(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = asked(&mut rig, &root, "pay 1").await;
    let other = ApprovalRecord { digest: ActionDigest::of_bytes(b"pay 2"), ..one.clone() };
    let effect = decide(&rig, &other, vote(&rig, "bob", true, &["ask"]));
    rig.refused(effect, Refused::ApprovalInvalid).await;
    let unknown = question(&mut rig, &root, "pay 1", &["ask"]);
    let effect = decide(&rig, &unknown, vote(&rig, "bob", true, &["ask"]));
    rig.refused(effect, Refused::NotFound).await;
    let effect = decide(&rig, &one, vote(&rig, "bob", true, &["ask"]));
    rig.ok(effect).await;
    let read = rig.store.approval(one.id).await.unwrap().unwrap();
    assert_eq!(read.state, ApprovalState::Approved);
    assert_eq!(read.votes, [vote(&rig, "bob", true, &["ask"])]);
    let effect = decide(&rig, &one, vote(&rig, "carol", false, &["ask"]));
    rig.refused(effect, Refused::ApprovalInvalid).await;
    let late = asked(&mut rig, &root, "pay 3").await;
    rig.make.now = rig.make.now.saturating_add_seconds(LIFE_SECONDS);
    let effect = decide(&rig, &late, vote(&rig, "bob", true, &["ask"]));
    rig.refused(effect, Refused::ApprovalInvalid).await;
}

pub(crate) async fn every_need_is_approved_before_it_stands(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let asked = question(&mut rig, &root, "pay 1", &["ask", "owner"]);
    rig.ok(ask(&asked)).await;
    let effect = decide(&rig, &asked, vote(&rig, "alice", true, &["ask"]));
    rig.ok(effect.clone()).await;
    let half = rig.store.approval(asked.id).await.unwrap().unwrap();
    assert_eq!(half.state, ApprovalState::Pending);
    let usage_of_half = usage(&mut rig, &half);
    rig.refused(use_alone(&root, &usage_of_half), Refused::ApprovalInvalid).await;
    rig.refused(effect, Refused::VersionConflict).await;
    let effect = decide(&rig, &asked, vote(&rig, "bob", true, &["owner"]));
    rig.ok(effect).await;
    rig.ok(use_alone(&root, &usage_of_half)).await;
    let used = rig.store.approval(asked.id).await.unwrap().unwrap();
    assert_eq!((used.state, used.used), (ApprovalState::Used, Some(usage_of_half.used)));
}

pub(crate) async fn an_approval_is_used_once_with_its_decision(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = approved(&mut rig, &root, "pay 1", "bob").await;
    let (first, second) = (usage(&mut rig, &one), usage(&mut rig, &one));
    let other = ActionDigest::of_bytes(b"pay 2");
    let changed = ApprovalUse { digest: other, ..first.clone() };
    rig.refused(debit_with(&root, &changed), Refused::ApprovalInvalid).await;
    let more = ApprovalUse { needs: vec!["ask".into(), "owner".into()], ..first.clone() };
    rig.refused(debit_with(&root, &more), Refused::ApprovalInvalid).await;
    let (_, stranger) = rig.task().await;
    rig.refused(debit_with(&stranger, &first), Refused::ApprovalInvalid).await;
    rig.ok(debit_with(&root, &first)).await;
    rig.refused(use_alone(&root, &second), Refused::ApprovalInvalid).await;
    // What no budget covers uses nothing up.
    let two = approved(&mut rig, &root, "pay 2", "bob").await;
    let third = usage(&mut rig, &two);
    rig.refused(debit_with(&root, &third), exhausted("calls")).await;
    rig.ok(use_alone(&root, &third)).await;
}

pub(crate) async fn an_approval_expires_and_dies_with_its_task(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (task, root) = rig.task().await;
    let one = approved(&mut rig, &root, "pay 1", "bob").await;
    let two = approved(&mut rig, &root, "pay 2", "carol").await;
    let usages = (usage(&mut rig, &one), usage(&mut rig, &two));
    rig.make.now = UnixMillis(one.expires_ms.0 - 1);
    rig.ok(use_alone(&root, &usages.0)).await;
    rig.make.now = two.expires_ms;
    rig.refused(use_alone(&root, &usages.1), Refused::ApprovalInvalid).await;
    let three = approved(&mut rig, &root, "pay 3", "dave").await;
    let pending = asked(&mut rig, &root, "pay 4").await;
    let usage_of_three = usage(&mut rig, &three);
    rig.ok(Effect::CloseTask { task: task.id, state: TaskState::Completed }).await;
    rig.refused(use_alone(&root, &usage_of_three), Refused::TaskClosed).await;
    let effect = decide(&rig, &pending, vote(&rig, "erin", true, &["ask"]));
    rig.refused(effect, Refused::TaskClosed).await;
    for id in [three.id, pending.id] {
        assert_eq!(rig.store.approval(id).await.unwrap().unwrap().state, ApprovalState::Ended);
    }
    const { assert!(TOKEN_SECONDS > LIFE_SECONDS && TASK_SECONDS > TOKEN_SECONDS) }
}

pub(crate) async fn a_refused_action_stays_refused_for_a_while(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let one = asked(&mut rig, &root, "pay 1").await;
    let effect = decide(&rig, &one, vote(&rig, "bob", false, &["ask"]));
    rig.ok(effect).await;
    let again = question(&mut rig, &root, "pay 1", &["ask"]);
    rig.refused(ask(&again), Refused::ApprovalRefused).await;
    asked(&mut rig, &root, "pay 2").await;
    let read = rig.store.approval(one.id).await.unwrap().unwrap();
    assert_eq!(read.state, ApprovalState::Refused);
    rig.make.now = read.expires_ms;
    asked(&mut rig, &root, "pay 1").await;
}

pub(crate) async fn one_person_approves_so_much_an_hour(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    approved(&mut rig, &root, "a", "bob").await;
    approved(&mut rig, &root, "b", "bob").await;
    let third = asked(&mut rig, &root, "c").await;
    let effect = decide(&rig, &third, vote(&rig, "bob", true, &["ask"]));
    rig.refused(effect, Refused::ApprovalRate).await;
    // Saying no is free, and somebody else may say yes.
    let effect = decide(&rig, &third, vote(&rig, "carol", true, &["ask"]));
    rig.ok(effect).await;
    let fourth = asked(&mut rig, &root, "d").await;
    let effect = decide(&rig, &fourth, vote(&rig, "bob", false, &["ask"]));
    rig.ok(effect).await;
    rig.make.now = rig.make.now.saturating_add_seconds(3_600);
    let (_, fresh) = rig.task().await;
    approved(&mut rig, &fresh, "e", "bob").await;
}

pub(crate) async fn approvals_are_listed_erased_and_survive(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let (_, root) = rig.task().await;
    let (_, other) = rig.task().await;
    let one = approved(&mut rig, &root, "a", "bob").await;
    let two = question(&mut rig, &root, "b", &["ask"]);
    let leaf = rig.ok(ask(&two)).await;
    let three = asked(&mut rig, &other, "c").await;
    let of = |filter: ApprovalFilter| {
        let store = rig.store.clone();
        async move {
            let read = |page| store.approvals(filter.clone(), page);
            let found = in_pages(read).await;
            found.into_iter().map(|approval| approval.id).collect::<Vec<_>>()
        }
    };
    let mut all = [one.id, two.id, three.id];
    all.sort_unstable();
    all.reverse();
    assert_eq!(of(ApprovalFilter::default()).await, all);
    let filter = ApprovalFilter { task: Some(other.task), state: None };
    assert_eq!(of(filter).await, [three.id]);
    let filter = ApprovalFilter { task: None, state: Some(ApprovalState::Approved) };
    assert_eq!(of(filter).await, [one.id]);

    rig.ok(Effect::Erase { leaf }).await;
    drop(rig);
    let store = backend.open();
    let erased = store.approval(two.id).await.unwrap().unwrap();
    assert_eq!((erased.action.as_str(), erased.digest), ("", two.digest));
    assert_eq!(store.approval(one.id).await.unwrap().unwrap(), one);
}
