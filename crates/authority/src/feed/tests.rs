use std::sync::atomic::{AtomicU64, Ordering};

use bailiwick_api::enforcement::closure::{ClosureState, PointState};
use bailiwick_core::ids::TokenId;

use super::points::Arrival;
use super::*;

const NOW: u64 = 1_800_000_000_000;

struct Bench {
    feed: Feed,
    hand: Arc<AtomicU64>,
    clock: Clock,
    directory: tempfile::TempDir,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let hand = Arc::new(AtomicU64::new(NOW));
    let clock = Clock::manual(Arc::clone(&hand));
    let points = Points::open(directory.path(), clock.now()).unwrap();
    let feed = Feed::new("https://authority.example", clock.clone(), points);
    Bench { feed, hand, clock, directory }
}

fn dead(number: u8) -> FeedEntry {
    FeedEntry::Revoked { jti: TokenId::new(UnixMillis(NOW), [number; 10]), exp: 1_800_000_300 }
}

fn arrival(agent: &str, instance: &str, stale_after_ms: u64) -> Arrival {
    Arrival {
        agent: agent.parse().unwrap(),
        instance: instance.to_owned(),
        tenant: "acme".parse().unwrap(),
        env: "dev".to_owned(),
        stale_after_ms,
    }
}

#[test]
fn events_follow_each_other_and_large_changes_come_in_several() {
    let Bench { feed, hand, .. } = bench();
    let first = feed.first_seq();
    assert_eq!(feed.publish(vec![dead(1)]), first + 1);
    hand.fetch_add(5, Ordering::AcqRel);
    assert_eq!(feed.publish(vec![dead(2); FEED_ENTRIES_MAX + 1]), first + 3);
    assert_eq!(feed.publish(Vec::new()), first + 3, "nothing is no event");

    let state = feed.state.lock();
    let all = state.after(first).unwrap();
    let numbers: Vec<_> = all.iter().map(|event| (event.claims.prev, event.claims.seq)).collect();
    assert_eq!(numbers, [(first, first + 1), (first + 1, first + 2), (first + 2, first + 3)]);
    assert!(all.windows(2).all(|pair| pair[0].claims.at <= pair[1].claims.at));
    assert_eq!(state.after(first + 2).unwrap().len(), 1);
    assert_eq!(state.after(first + 3).unwrap().len(), 0);
    assert!(state.after(first - 1).is_none() && state.after(first + 4).is_none());
}

#[test]
fn a_reader_that_falls_out_of_the_ring_has_to_begin_anew() {
    let Bench { feed, .. } = bench();
    let first = feed.first_seq();
    for _ in 0..=RING_EVENTS_MAX {
        feed.publish(vec![dead(1)]);
    }
    let state = feed.state.lock();
    assert_eq!(state.ring.len(), RING_EVENTS_MAX);
    assert!(state.after(first).is_none());
    assert_eq!(state.after(first + 1).unwrap().len(), RING_EVENTS_MAX);
    drop(state);
    for _ in 0..(RING_ENTRIES_MAX / FEED_ENTRIES_MAX + 8) {
        feed.publish(vec![dead(1); FEED_ENTRIES_MAX]);
    }
    assert!(feed.state.lock().entries <= RING_ENTRIES_MAX);
}

#[test]
fn ended_tasks_leave_snapshots_when_nothing_of_theirs_can_be_alive() {
    let Bench { feed, hand, .. } = bench();
    let task = TaskId::new(UnixMillis(NOW), [1; 10]);
    feed.remember_ended([(task, TaskState::Completed)]);
    hand.fetch_add(STALE_AFTER_MS_MAX, Ordering::AcqRel);
    feed.prune();
    assert_eq!(feed.state.lock().ended.len(), 1);
    hand.fetch_add(ENDED_MS, Ordering::AcqRel);
    feed.prune();
    assert_eq!(feed.state.lock().ended.len(), 0);
}

#[test]
fn a_point_is_pending_lost_and_then_stale() {
    let Bench { feed, hand, clock, directory } = bench();
    let scope = [("acme".parse().unwrap(), "dev".to_owned())];
    let elsewhere = [("acme".parse().unwrap(), "prod".to_owned())];
    let at = clock.now();
    let look = |points: &Points, scope: &[_]| {
        let report = points.report(Some(scope), 5, at, clock.now());
        (report.state, report.points.first().map(|point| point.state))
    };
    let points = &feed.points;
    assert_eq!(look(points, &scope), (ClosureState::Closed, None));
    let connection = points.connect(arrival("gateway:a", "one", 9_000), &clock).unwrap();
    assert_eq!(look(points, &scope), (ClosureState::Partial, Some(PointState::Pending)));
    assert_eq!(look(points, &elsewhere), (ClosureState::Closed, None), "another environment");
    let agent = "gateway:a".parse().unwrap();
    points.acknowledge(&agent, "one", (4, false), clock.now()).unwrap();
    assert_eq!(look(points, &scope), (ClosureState::Partial, Some(PointState::Pending)));
    assert!(!connection.is_silent(clock.now()));
    hand.fetch_add(11_000, Ordering::AcqRel);
    assert!(connection.is_silent(clock.now()), "half a connection is none");
    drop(connection);
    assert_eq!(look(points, &scope), (ClosureState::Unknown, Some(PointState::Lost)));
    hand.fetch_add(8_999, Ordering::AcqRel);
    assert_eq!(look(points, &scope).0, ClosureState::Unknown);

    // Another process of the Authority knows of it, and starts to count anew.
    let again = Points::open(directory.path(), clock.now()).unwrap();
    assert_eq!(look(&again, &scope), (ClosureState::Unknown, Some(PointState::Lost)));
    hand.fetch_add(2, Ordering::AcqRel);
    assert_eq!(look(points, &scope), (ClosureState::Closed, Some(PointState::Stale)));
    assert_eq!(look(&again, &scope).0, ClosureState::Unknown);
    hand.fetch_add(100_000, Ordering::AcqRel);
    points.prune(clock.now());
    assert_eq!(look(points, &scope), (ClosureState::Closed, None), "forgotten");
    let last = Points::open(directory.path(), clock.now()).unwrap();
    assert_eq!(last.list().len(), 0, "in the file, too");
}

#[test]
fn processes_are_bounded_and_one_that_cannot_be_remembered_is_not_served() {
    let Bench { feed, clock, directory, .. } = bench();
    let join = |instance: &str| feed.points.connect(arrival("gateway:a", instance, 1), &clock);
    let held: Vec<_> =
        (0..256).map(|at| join(&format!("i{at}")).map_err(|_| ()).unwrap()).collect();
    assert!(join("one-more").is_err());
    assert!(join("i0").is_ok(), "one that is known comes back");
    assert!(feed.points.connect(arrival("gateway:b", "i0", 1), &clock).is_ok(), "another agent");
    drop(held);

    // A directory where the file should be written: it cannot be.
    std::fs::create_dir(directory.path().join("enforcement-points.json.tmp")).unwrap();
    assert!(feed.points.connect(arrival("gateway:c", "i0", 1), &clock).is_err());
}
