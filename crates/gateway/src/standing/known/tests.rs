use serde_json::json;

use super::*;
use crate::fixture::{AGENT, NOW, chain_of, claims};
use crate::stop::Stop;

const LATER: UnixMillis = UnixMillis(NOW.0 + 1_000);

fn event(kind: FeedKind, (prev, seq): (u64, u64), entries: Vec<FeedEntry>) -> FeedEvent {
    FeedEvent {
        iss: "https://authority.example".to_owned(),
        at: NOW,
        kind,
        seq,
        prev,
        part: 0,
        parts: 1,
        entries,
    }
}

fn agent(id: &str, status: &str) -> FeedEntry {
    FeedEntry::Agent(FeedAgent {
        id: id.parse().unwrap(),
        owner: "team:x".to_owned(),
        environment: "dev".to_owned(),
        tenant: "acme".parse().unwrap(),
        trust_domain: "dev.bailiwick.example".to_owned(),
        clearance: "internal".to_owned(),
        status: status.to_owned(),
    })
}

fn snapshot(seq: u64) -> FeedEvent {
    event(FeedKind::Snapshot, (0, seq), vec![agent(AGENT, "active")])
}

fn known() -> Known {
    let mut known = Known::default();
    known.apply(&[snapshot(10)], NOW).unwrap();
    known
}

fn verdict(known: &Known, task: u8) -> Result<(), &'static str> {
    let chain = chain_of(&claims(task, &["crm.read"], json!([])));
    known.require_alive(&Line::of(&chain)).map_err(|stop: Stop| stop.code.code())
}

fn apply(known: &mut Known, event: FeedEvent) -> Result<Effects, FeedFault> {
    known.apply(&[event], LATER)
}

fn revoked(task: u8) -> FeedEntry {
    let claims = claims(task, &["crm.read"], json!([]));
    FeedEntry::Revoked { jti: claims.jti, exp: claims.exp }
}

#[test]
fn what_is_told_dead_is_dead_and_its_twin_lives() {
    let mut known = known();
    assert_eq!(verdict(&known, 1), Ok(()));
    apply(&mut known, event(FeedKind::Delta, (10, 11), vec![revoked(1)])).unwrap();
    assert_eq!(verdict(&known, 1), Err("revoked"));
    assert_eq!(verdict(&known, 2), Ok(()));

    let ended =
        |task: u8, state| FeedEntry::Ended { task: claims(task, &["a"], json!([])).txn, state };
    let ends = vec![
        ended(2, TaskState::Completed),
        revoked(2),
        ended(3, TaskState::Revoked),
        ended(4, TaskState::Expired),
    ];
    apply(&mut known, event(FeedKind::Delta, (11, 12), ends)).unwrap();
    assert_eq!(verdict(&known, 2), Err("task_closed"), "why it died is the better answer");
    assert_eq!(verdict(&known, 3), Err("revoked"));
    assert_eq!(verdict(&known, 4), Err("task_closed"));
    assert_eq!(verdict(&known, 5), Ok(()));
}

#[test]
fn an_ancestor_takes_its_line_along() {
    let mut known = known();
    let mut child = claims(7, &["crm.read"], json!([]));
    child.del_depth = 1;
    child.par_hash = Some(bailiwick_core::sha256(b"parent"));
    child.hop.lineage = vec![claims(1, &["a"], json!([])).jti];
    child.act.0.push(bailiwick_core::Actor {
        iss: "x".to_owned(),
        sub: "spiffe://dev.bailiwick.example/agent/lead".parse().unwrap(),
    });
    let chain = chain_of(&child);
    let verdict =
        |known: &Known| known.require_alive(&Line::of(&chain)).map_err(|stop| stop.code.code());
    let lead = |status| agent("spiffe://dev.bailiwick.example/agent/lead", status);
    assert_eq!(verdict(&known), Err("agent_unregistered"), "the delegator is nobody");
    apply(&mut known, event(FeedKind::Delta, (10, 11), vec![lead("active")])).unwrap();
    assert_eq!(verdict(&known), Ok(()));
    apply(&mut known, event(FeedKind::Delta, (11, 12), vec![lead("quarantined")])).unwrap();
    assert_eq!(verdict(&known), Err("agent_quarantined"));
    apply(&mut known, event(FeedKind::Delta, (12, 13), vec![lead("suspended")])).unwrap();
    assert_eq!(verdict(&known), Err("agent_unregistered"));
    apply(&mut known, event(FeedKind::Delta, (13, 14), vec![lead("active"), revoked(1)])).unwrap();
    assert_eq!(verdict(&known), Err("revoked"));
}

#[test]
fn events_out_of_order_old_or_from_the_future_change_nothing() {
    let gap = |at, prev| Err(FeedFault::Gap { at, prev });
    let cases: Vec<(FeedEvent, Result<(), FeedFault>)> = vec![
        (event(FeedKind::Delta, (9, 11), vec![revoked(1)]), gap(10, 9)),
        (event(FeedKind::Delta, (11, 12), vec![revoked(1)]), gap(10, 11)),
        (event(FeedKind::Delta, (9, 10), vec![revoked(1)]), Err(FeedFault::Old)),
        (event(FeedKind::Delta, (8, 9), vec![revoked(1)]), Err(FeedFault::Old)),
        (event(FeedKind::Heartbeat, (12, 12), Vec::new()), gap(10, 12)),
        (event(FeedKind::Heartbeat, (10, 10), vec![revoked(1)]), gap(10, 10)),
        (event(FeedKind::Snapshot, (0, 9), vec![revoked(1)]), Err(FeedFault::Old)),
        (
            FeedEvent {
                at: UnixMillis(NOW.0 - 1),
                ..event(FeedKind::Delta, (10, 11), vec![revoked(1)])
            },
            Err(FeedFault::Old),
        ),
        (
            FeedEvent {
                at: UnixMillis(LATER.0 + 30_001),
                ..event(FeedKind::Delta, (10, 11), vec![revoked(1)])
            },
            Err(FeedFault::Future(30_001)),
        ),
    ];
    for (event, wanted) in cases {
        let mut known = known();
        assert_eq!(apply(&mut known, event.clone()).map(drop), wanted, "{event:?}");
        assert_eq!(verdict(&known, 1), Ok(()), "a refused event changes something: {event:?}");
        // The benign twin: what should have come.
        apply(&mut known, event_in_order()).unwrap();
        assert_eq!(verdict(&known, 1), Err("revoked"));
    }
    let mut fresh = Known::default();
    assert_eq!(apply(&mut fresh, event_in_order()).map(drop), gap(0, 10), "no snapshot yet");
}

fn event_in_order() -> FeedEvent {
    event(FeedKind::Delta, (10, 11), vec![revoked(1)])
}

#[test]
fn words_that_nobody_knows_are_refused_whole() {
    let mut known = known();
    for bad in [
        agent(AGENT, "resting"),
        FeedEntry::Exposure { task: claims(1, &["a"], json!([])).txn, level: "secret".to_owned() },
        FeedEntry::Ended { task: claims(1, &["a"], json!([])).txn, state: TaskState::Open },
    ] {
        let entries = vec![revoked(1), bad.clone()];
        let told = apply(&mut known, event(FeedKind::Delta, (10, 11), entries));
        assert!(matches!(told, Err(FeedFault::Form(_))), "{bad:?}: {told:?}");
    }
    assert_eq!(verdict(&known, 1), Ok(()));
    let unknown = r#"{"is":"moved","jti":"x"}"#;
    assert!(serde_json::from_str::<FeedEntry>(unknown).is_err());
}

#[test]
fn a_snapshot_says_who_may_act_and_revives_nobody() {
    let mut known = known();
    apply(&mut known, event_in_order()).unwrap();
    let other = "spiffe://dev.bailiwick.example/agent/other";
    apply(&mut known, event(FeedKind::Delta, (11, 12), vec![agent(other, "active")])).unwrap();
    assert!(known.agent(other).is_some());
    let before = known.generation();
    apply(&mut known, snapshot(12)).unwrap();
    assert!(known.agent(other).is_none(), "it is not in the snapshot");
    assert!(known.generation() > before, "contexts of tasks are asked for again");
    assert_eq!(verdict(&known, 1), Err("revoked"));
    assert_eq!(verdict(&known, 2), Ok(()));
}

#[test]
fn the_dead_are_forgotten_when_nothing_of_theirs_can_be_used() {
    let mut known = known();
    let task = claims(2, &["a"], json!([])).txn;
    let ends = vec![revoked(1), FeedEntry::Ended { task, state: TaskState::Cancelled }];
    apply(&mut known, event(FeedKind::Delta, (10, 11), ends)).unwrap();
    let exp = UnixMillis::from_seconds(claims(1, &["a"], json!([])).exp);
    known.prune(exp);
    assert_eq!(verdict(&known, 1), Err("revoked"));
    assert_eq!(verdict(&known, 2), Err("task_closed"));
    known.prune(UnixMillis(LATER.0 + STALE_AFTER_MS_MAX + LINGER_MS + 1));
    assert!(known.revoked.is_empty() && known.ended.is_empty());
}

#[test]
fn parts_make_one_snapshot_in_order_only() {
    let part = |part, parts| FeedEvent {
        part,
        parts,
        ..event(FeedKind::Snapshot, (0, 10), vec![agent(AGENT, "active")])
    };
    let mut parts = Parts::default();
    assert_eq!(parts.add(part(0, 2)), Ok(None));
    assert_eq!(parts.add(part(1, 2)).unwrap().unwrap().len(), 2);
    assert!(parts.add(event(FeedKind::Heartbeat, (10, 10), Vec::new())).unwrap().is_some());

    let broken: [&[FeedEvent]; 6] = [
        &[part(1, 2)],
        &[part(0, 2), part(0, 2)],
        &[part(0, 3), part(2, 3)],
        &[part(0, 2), FeedEvent { seq: 11, ..part(1, 2) }],
        &[part(0, 2), event(FeedKind::Heartbeat, (10, 10), Vec::new())],
        &[part(0, 0)],
    ];
    for events in broken {
        let mut parts = Parts::default();
        let faulty = events.iter().any(|event| parts.add(event.clone()).is_err());
        assert!(faulty, "{events:?}");
    }
}
