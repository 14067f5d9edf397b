//! The enforcement feed and the closure report, as an enforcement point sees them.

use std::time::{Duration, Instant};

use bailiwick_api::client::{FeedFrame, FeedStream};
use bailiwick_api::enforcement::closure::{ClosureReport, ClosureState, PointState};
use bailiwick_api::enforcement::feed::{
    EnforcementPoints, FEED_TYPE, FeedAck, FeedEntry, FeedEvent, FeedKind, FeedQuery,
    STALE_AFTER_MS_MAX,
};
use bailiwick_api::{Client, TaskState};
use bailiwick_core::VerifyingKey;
use bailiwick_core::jws::Jws;
use serde_json::{Value, json};

use crate::world::{Agent, Held, World, now, paying};

const TOOLS: &str = "spiffe://dev.bailiwick.example/gateway/tools";

/// An enforcement point that reads the feed and acknowledges when told to.
struct Point {
    client: Client,
    stream: FeedStream,
    instance: String,
    key: VerifyingKey,
    kid: String,
    seq: u64,
    at: u64,
}

async fn client(world: &World, id: &str) -> Client {
    let svid = world.svid(id).await;
    Client::new(world.url.parse().unwrap()).unwrap().with_bearer_token(svid)
}

fn query(instance: &str, stale_after_ms: u64) -> FeedQuery {
    FeedQuery { instance: instance.to_owned(), stale_after_ms }
}

impl Point {
    async fn join(world: &World, instance: &str, stale_after_ms: u64) -> Self {
        Self::resume(world, instance, stale_after_ms, None).await
    }

    async fn resume(
        world: &World,
        instance: &str,
        stale_after_ms: u64,
        last: Option<&str>,
    ) -> Self {
        let client = client(world, TOOLS).await;
        let stream = client.enforcement_feed(&query(instance, stale_after_ms), last).await.unwrap();
        let set = client.jwks().await.unwrap();
        let jwk = set.keys.first().unwrap();
        Self {
            stream,
            instance: instance.to_owned(),
            key: VerifyingKey::from_jwk(jwk).unwrap(),
            kid: jwk["kid"].as_str().unwrap().to_owned(),
            client,
            seq: 0,
            at: 0,
        }
    }

    async fn frame(&mut self) -> FeedFrame {
        let next = tokio::time::timeout(Duration::from_secs(5), self.stream.next());
        next.await.expect("the feed is silent").unwrap().expect("the feed ended")
    }

    /// The next event, its signature checked and its number noted.
    async fn event(&mut self) -> FeedEvent {
        let frame = self.frame().await;
        let jws = Jws::parse(&frame.data).unwrap();
        let header: Value = serde_json::from_str(&jws.header).unwrap();
        assert_eq!(header["typ"], FEED_TYPE);
        assert_eq!(header["kid"], self.kid.as_str());
        self.key.verify(jws.signing_input.as_bytes(), &jws.signature).unwrap();
        let event: FeedEvent = serde_json::from_str(&jws.payload).unwrap();
        assert!(event.at.0 >= self.at, "time goes back");
        match event.kind {
            FeedKind::Delta => assert_eq!(event.prev, self.seq, "a gap"),
            FeedKind::Heartbeat => assert_eq!(event.seq, self.seq, "a heartbeat of another place"),
            FeedKind::Snapshot => {}
        }
        if event.part + 1 == event.parts {
            assert_eq!(frame.id.as_deref(), Some(event.seq.to_string().as_str()));
        }
        (self.seq, self.at) = (event.seq, event.at.0);
        event
    }

    /// Entries of events up to the first that `wanted` accepts.
    async fn until(&mut self, wanted: impl Fn(&FeedEntry) -> bool) -> Vec<FeedEntry> {
        let mut seen = Vec::new();
        for _ in 0..20 {
            let event = self.event().await;
            seen.extend(event.entries);
            if seen.iter().any(&wanted) {
                return seen;
            }
        }
        panic!("not told of: {seen:?}");
    }

    async fn ack(&self) {
        self.ack_of(self.seq, false).await;
    }

    async fn ack_of(&self, seq: u64, leaving: bool) {
        let ack = FeedAck { instance: self.instance.clone(), seq, at: now(), leaving };
        self.client.enforcement_ack(&ack).await.unwrap();
    }
}

/// The same Authority in a new process.
async fn restarted(world: World) -> World {
    let address = world.url.strip_prefix("http://").unwrap().to_owned();
    let data = world.stop().await;
    World::start_in(data, |config| config.relocate(address.parse().unwrap())).await
}

async fn ended(world: &World, path: &str, body: &Value) -> Value {
    let response = world.post_as_operator(path, body).await;
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    assert!(status.is_success(), "{path}: {answer}");
    answer
}

fn report(answer: &Value) -> ClosureReport {
    serde_json::from_value(answer["closure"].clone()).unwrap()
}

fn state_of(report: &ClosureReport, instance: &str) -> PointState {
    report.points.iter().find(|point| point.instance == instance).unwrap().state
}

fn jti(held: &Held) -> String {
    held.jti()
}

fn revoked(held: &Held) -> impl Fn(&FeedEntry) -> bool {
    let wanted = jti(held);
    move |entry| matches!(entry, FeedEntry::Revoked { jti, .. } if jti.to_string() == wanted)
}

fn has_ended(held: &Held, how: TaskState) -> impl Fn(&FeedEntry) -> bool {
    let wanted = held.task();
    move |entry| {
        matches!(entry, FeedEntry::Ended { task, state }
            if task.to_string() == wanted && *state == how)
    }
}

#[tokio::test]
async fn every_death_is_told_and_nothing_else_dies() {
    let world = World::start().await;
    let (lead, payer) = (Agent::orchestrator(), Agent::payer());
    let early = world.open(&lead).await;
    ended(&world, &format!("/v1/tasks/{}/complete", early.task()), &json!({})).await;
    let mut point = Point::join(&world, "p1", 60_000).await;
    let snapshot = point.event().await;
    assert_eq!(snapshot.kind, FeedKind::Snapshot);
    assert!(snapshot.entries.iter().any(revoked(&early)), "dead before it came");
    assert!(snapshot.entries.iter().any(has_ended(&early, TaskState::Completed)));
    let policy = |entry: &FeedEntry| matches!(entry, FeedEntry::Policy { hash } if hash.starts_with("sha-256:"));
    assert!(snapshot.entries.iter().any(policy));
    let agents = snapshot.entries.iter().filter(|entry| matches!(entry, FeedEntry::Agent(_)));
    assert_eq!(agents.count(), 4);

    let root = world.open(&lead).await;
    let hop = world.hop(&lead, &root, &payer, &paying(&root)).await;
    let bystander = world.open(&lead).await;
    ended(&world, "/v1/revocations?wait_ms=0", &json!({"target": {"jti": jti(&hop)}})).await;
    let told = point.until(revoked(&hop)).await;
    assert!(!told.iter().any(revoked(&root)), "the parent lives");

    for (verb, how) in [
        ("complete", TaskState::Completed),
        ("cancel", TaskState::Cancelled),
        ("revoke", TaskState::Revoked),
    ] {
        let task = world.open(&lead).await;
        ended(&world, &format!("/v1/tasks/{}/{verb}?wait_ms=0", task.task()), &json!({})).await;
        let told = point.until(has_ended(&task, how)).await;
        assert!(told.iter().any(revoked(&task)), "{verb} kills the token, too");
        assert!(!told.iter().any(revoked(&bystander)));
    }
    ended(&world, "/v1/revocations?wait_ms=0", &json!({"target": {"task": root.task()}})).await;
    point.until(has_ended(&root, TaskState::Revoked)).await;

    let path = format!("/v1/agents/{}/quarantine", lead.id.replace('/', "%2F"));
    ended(&world, &path, &json!({"reason": "test"})).await;
    let quarantined = |entry: &FeedEntry| {
        matches!(entry, FeedEntry::Agent(agent)
            if agent.id.as_str() == lead.id && agent.status == "quarantined")
    };
    let told = point.until(quarantined).await;
    assert!(told.iter().any(revoked(&bystander)), "what it held died with it");
}

#[tokio::test]
async fn changes_of_registry_policy_and_keys_are_told() {
    let world = World::start().await;
    let mut point = Point::join(&world, "p1", 60_000).await;
    point.event().await;
    let agent = |id: &str, status: &str, roles: &str| {
        format!(
            "[[agent]]\nid = \"{id}\"\nname = \"x\"\nowner = \"team:payments\"\nenv = \"dev\"\n\
             tenant = \"acme\"\nstatus = \"{status}\"\nroles = [{roles}]\n"
        )
    };
    world.apply(&agent(Agent::payer().id, "suspended", "\"agent\"")).await;
    let suspended =
        |entry: &FeedEntry| matches!(entry, FeedEntry::Agent(agent) if agent.status == "suspended");
    let told = point.until(suspended).await;
    let agents = told.iter().filter(|entry| matches!(entry, FeedEntry::Agent(_)));
    assert_eq!(agents.count(), 1, "only what changed");

    // What is no enforcement point any more is cut off.
    world.apply(&agent(TOOLS, "active", "\"agent\"")).await;
    let cut = tokio::time::timeout(Duration::from_secs(5), async {
        while let Ok(Some(_)) = point.stream.next().await {}
    });
    cut.await.expect("what is no enforcement point reads on");
    world.apply(&agent(TOOLS, "active", "\"enforcement-point\"")).await;
    let mut point = Point::join(&world, "p2", 60_000).await;
    point.event().await;
    let text = "@id(\"all\")\npermit (principal, action, resource);\n";
    let set = json!({"sources": [{"name": "all.cedar", "text": text}]});
    let put = ended(&world, "/v1/policies", &set).await;
    let hash = put["hash"].as_str().unwrap();
    point.until(|entry| matches!(entry, FeedEntry::Policy { hash: told } if told == hash)).await;
    let sources = point.client.enforcement_policies(Some(hash)).await.unwrap();
    assert_eq!((sources.hash.as_str(), sources.sources[0].text.as_str()), (hash, text));
    assert_eq!(point.client.enforcement_policies(None).await.unwrap().hash, hash);
    let missing = point.client.enforcement_policies(Some("sha-256:none")).await.unwrap_err();
    assert_eq!(missing.code(), Some("not_found"));

    let rotated = ended(&world, "/v1/keys/rotate", &json!({})).await;
    let kid = rotated["kid"].as_str().unwrap().to_owned();
    let set = point.client.jwks().await.unwrap();
    let jwk = set.keys.iter().find(|key| key["kid"] == kid.as_str()).unwrap();
    (point.key, point.kid) = (VerifyingKey::from_jwk(jwk).unwrap(), kid.clone());
    point.until(|entry| matches!(entry, FeedEntry::Keys { kids } if kids.contains(&kid))).await;
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing() {
    let world = World::start().await;
    let lead = Agent::orchestrator();
    let mut point = Point::join(&world, "p1", 60_000).await;
    point.event().await;
    let (seq, last) = (point.seq, point.seq.to_string());
    drop(point);
    let mut dead = Vec::new();
    for _ in 0..3 {
        let task = world.open(&lead).await;
        ended(&world, &format!("/v1/tasks/{}/cancel?wait_ms=0", task.task()), &json!({})).await;
        dead.push(task);
    }
    let mut point = Point::resume(&world, "p1", 60_000, Some(&last)).await;
    point.seq = seq;
    for task in &dead {
        let event = point.event().await;
        assert_eq!(event.kind, FeedKind::Delta, "what was missed, and nothing else");
        assert!(event.entries.iter().any(revoked(task)));
    }
    let here = point.seq.to_string();
    drop(point);

    // Nothing was missed: a heartbeat says so at once. A number nobody gave: a snapshot.
    let mut point = Point::resume(&world, "p1", 60_000, Some(&here)).await;
    point.seq = here.parse().unwrap();
    assert_eq!(point.event().await.kind, FeedKind::Heartbeat);
    let mut point = Point::resume(&world, "p1", 60_000, Some("7")).await;
    assert_eq!(point.event().await.kind, FeedKind::Snapshot);

    // A restart keeps who is dead, and no number is given twice.
    // A reader that is still there does not hold the old process up.
    let before = point.seq;
    let stopping = tokio::time::timeout(Duration::from_secs(10), restarted(world));
    let world = stopping.await.expect("a reading holds the Authority up");
    let mut point = Point::resume(&world, "p1", 60_000, Some(&here)).await;
    let snapshot = point.event().await;
    assert_eq!(snapshot.kind, FeedKind::Snapshot);
    assert!(snapshot.seq > before, "{} after {before}", snapshot.seq);
    for task in &dead {
        assert!(snapshot.entries.iter().any(revoked(task)));
        assert!(snapshot.entries.iter().any(has_ended(task, TaskState::Cancelled)));
    }
    world.stop().await;
}

#[tokio::test]
async fn the_feed_beats_and_pushes() {
    let world = World::start().await;
    let lead = Agent::orchestrator();
    let mut point = Point::join(&world, "p1", 60_000).await;
    point.event().await;
    let began = Instant::now();
    let mut beats = 0;
    while beats < 3 {
        beats += usize::from(point.event().await.kind == FeedKind::Heartbeat);
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?} for 3 heartbeats", began.elapsed());
    let task = world.open(&lead).await;
    let closing =
        ended(&world, &format!("/v1/tasks/{}/cancel?wait_ms=0", task.task()), &json!({})).await;
    let closed =
        closing["closed_at"].as_str().unwrap().parse::<bailiwick_api::Timestamp>().unwrap();
    point.until(revoked(&task)).await;
    // Not at the next heartbeat: pushed. The clock of event and answer is one and the same.
    let late = point.at - closed.unix_millis().0;
    assert!(late < 500, "signed {late} ms after the end");
}

#[tokio::test]
async fn a_closure_waits_for_every_enforcement_point() {
    let world = World::start().await;
    let (lead, nothing) = (Agent::orchestrator(), json!({}));

    // Nobody enforces anything: closed at once.
    let task = world.open(&lead).await;
    let answer = ended(&world, &format!("/v1/tasks/{}/complete", task.task()), &json!({})).await;
    let alone = report(&answer);
    assert_eq!((alone.state, alone.points.len()), (ClosureState::Closed, 0));

    let mut first = Point::join(&world, "first", 60_000).await;
    let mut second = Point::join(&world, "second", 60_000).await;
    first.event().await;
    second.event().await;
    first.ack().await;
    second.ack().await;

    let known: EnforcementPoints =
        world.get_as_operator("/v1/enforcement/points").await.json().await.unwrap();
    assert_eq!(known.points.len(), 2);
    assert!(known.points.iter().all(|one| one.connected && one.acknowledged == known.seq));
    let stranger = first.client.enforcement_points().await.unwrap_err();
    assert_eq!(stranger.code(), Some("role_required"), "operators only");

    // One acknowledges, one does not.
    let task = world.open(&lead).await;
    let path = format!("/v1/tasks/{}/complete?wait_ms=400", task.task());
    let (answer, ()) = tokio::join!(ended(&world, &path, &nothing), async {
        first.until(revoked(&task)).await;
        first.ack().await;
    });
    let partial = report(&answer);
    assert_eq!(partial.state, ClosureState::Partial, "{partial:?}");
    assert_eq!(state_of(&partial, "first"), PointState::Acknowledged);
    assert_eq!(state_of(&partial, "second"), PointState::Pending);
    let lag = partial.points.iter().find(|point| point.instance == "first").unwrap().lag_ms;
    assert!(lag.is_some_and(|lag| lag < 400), "{lag:?}");
    assert_eq!(partial.ledger_index, None, "not final, so not recorded");

    // The other one comes round: closed, and recorded once.
    second.until(revoked(&task)).await;
    second.ack().await;
    let path = format!("/v1/tasks/{}/closure?wait_ms=2000", task.task());
    let closed: ClosureReport = world.get_as_operator(&path).await.json().await.unwrap();
    assert_eq!(closed.state, ClosureState::Closed);
    let index = closed.ledger_index.expect("a final closure is recorded");
    let receipt: Value =
        world.get_as_operator(&format!("/v1/receipts/{index}")).await.json().await.unwrap();
    let text = receipt.to_string();
    assert!(text.contains("closure") && text.contains("second"), "{text}");
    let again: ClosureReport = world.get_as_operator(&path).await.json().await.unwrap();
    assert_eq!(again.ledger_index, Some(index));
    let trace: Value =
        world.get_as_operator(&format!("/v1/trace/{}", task.task())).await.json().await.unwrap();
    assert_eq!(trace["closure"]["state"], "closed", "{trace}");

    // Both acknowledge while the call waits: it answers closed, and does not wait longer.
    let task = world.open(&lead).await;
    let path = format!("/v1/tasks/{}/cancel?wait_ms=5000", task.task());
    let began = Instant::now();
    let (answer, (), ()) = tokio::join!(
        ended(&world, &path, &nothing),
        async {
            first.until(revoked(&task)).await;
            first.ack().await;
        },
        async {
            second.until(revoked(&task)).await;
            second.ack().await;
        }
    );
    let closed = report(&answer);
    assert_eq!(closed.state, ClosureState::Closed);
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(closed.points.iter().all(|point| point.lag_ms.is_some()));
}

#[tokio::test]
async fn a_lost_point_is_unknown_until_it_is_stale_even_across_a_restart() {
    let world = World::start().await;
    let lead = Agent::orchestrator();
    let mut point = Point::join(&world, "lost", 4_000).await;
    point.event().await;
    point.ack().await;
    drop(point);
    let task = world.open(&lead).await;
    let path = format!("/v1/tasks/{}/closure", task.task());
    let open = world.get_as_operator(&path).await;
    assert_eq!(open.status(), 404, "nothing has ended yet");
    let answer =
        ended(&world, "/v1/revocations?wait_ms=200", &json!({"target": {"jti": jti(&task)}})).await;
    let unknown = report(&answer);
    assert_eq!(unknown.state, ClosureState::Unknown, "{unknown:?}");
    assert_eq!(state_of(&unknown, "lost"), PointState::Lost);
    assert!(unknown.points[0].closes_at.is_some());

    let world = restarted(world).await;
    let after: ClosureReport = world.get_as_operator(&path).await.json().await.unwrap();
    assert_eq!(after.state, ClosureState::Unknown, "a restart makes nobody known");
    let path = format!("{path}?wait_ms=0");
    let mut closed = after;
    for _ in 0..40 {
        if closed.state == ClosureState::Closed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        closed = world.get_as_operator(&path).await.json().await.unwrap();
    }
    assert_eq!(closed.state, ClosureState::Closed, "{closed:?}");
    assert_eq!(state_of(&closed, "lost"), PointState::Stale);
    assert!(closed.ledger_index.is_some());
}

#[tokio::test]
async fn a_point_that_leaves_is_waited_for_no_more() {
    let world = World::start().await;
    let lead = Agent::orchestrator();
    let mut point = Point::join(&world, "leaver", 60_000).await;
    point.event().await;
    point.ack_of(point.seq, true).await;
    drop(point);
    let task = world.open(&lead).await;
    let answer = ended(&world, &format!("/v1/tasks/{}/complete", task.task()), &json!({})).await;
    assert_eq!(report(&answer).state, ClosureState::Closed);
}

#[tokio::test]
async fn only_enforcement_points_read_the_feed() {
    let world = World::start().await;
    let lead = Agent::orchestrator();
    let task = world.open(&lead).await;
    let agent = client(&world, lead.id).await;
    let point = client(&world, TOOLS).await;
    let good = query("p1", 60_000);
    let refused = |error: bailiwick_api::ClientError| error.code().map(str::to_owned);
    let role = Some("role_required".to_owned());
    assert_eq!(
        agent.enforcement_feed(&good, None).await.map(drop).map_err(refused),
        Err(role.clone())
    );
    assert!(point.enforcement_feed(&good, None).await.is_ok());
    let ack = FeedAck { instance: "p1".to_owned(), seq: 1, at: now(), leaving: false };
    assert_eq!(agent.enforcement_ack(&ack).await.map(drop).map_err(refused), Err(role.clone()));
    assert!(point.enforcement_ack(&ack).await.is_ok());
    assert_eq!(
        agent.enforcement_policies(None).await.map(drop).map_err(refused),
        Err(role.clone())
    );
    assert!(point.enforcement_policies(None).await.is_ok());
    let id = task.task().parse().unwrap();
    assert_eq!(agent.enforcement_task(id).await.map(drop).map_err(refused), Err(role));
    let context = point.enforcement_task(id).await.unwrap();
    assert_eq!(context.state, TaskState::Open);
    assert_eq!(context.edges.len(), 2);
    assert!(context.subject_groups.contains(&"finance".to_owned()));
    assert!(!format!("{context:?}").contains(&context.reads_salt), "the salt is not printed");

    // Names and numbers that cannot be.
    let malformed = Some("malformed".to_owned());
    for bad in [
        query("", 1),
        query("a b", 1),
        query(&"x".repeat(65), 1),
        query("p1", STALE_AFTER_MS_MAX + 1),
    ] {
        let answer = point.enforcement_feed(&bad, None).await.map(drop).map_err(refused);
        assert_eq!(answer, Err(malformed.clone()), "{bad:?}");
    }
    assert_eq!(
        point.enforcement_feed(&good, Some("x")).await.map(drop).map_err(refused),
        Err(malformed.clone())
    );
    let ahead = FeedAck { seq: u64::MAX / 4, ..ack.clone() };
    assert_eq!(point.enforcement_ack(&ahead).await.map(drop).map_err(refused), Err(malformed));
    let stranger = FeedAck { instance: "p9".to_owned(), ..ack };
    let unknown = Some("not_found".to_owned());
    assert_eq!(point.enforcement_ack(&stranger).await.map(drop).map_err(refused), Err(unknown));
}

#[tokio::test]
async fn a_point_of_another_tenant_learns_no_name() {
    let world = World::start().await;
    world
        .apply(
            "[[agent]]\nid = \"spiffe://dev.bailiwick.example/gateway/foreign\"\n\
             name = \"Foreign\"\nowner = \"team:payments\"\nenv = \"dev\"\ntenant = \"globex\"\n\
             roles = [\"enforcement-point\"]\n",
        )
        .await;
    let lead = Agent::orchestrator();
    let task = world.open(&lead).await;
    let foreign = client(&world, "spiffe://dev.bailiwick.example/gateway/foreign").await;
    let missing = foreign.enforcement_task(task.task().parse().unwrap()).await.unwrap_err();
    assert_eq!(missing.code(), Some("not_found"));
    let mut stream = foreign.enforcement_feed(&query("f1", 1_000), None).await.unwrap();
    let frame = stream.next().await.unwrap().unwrap();
    let text = Jws::parse(&frame.data).unwrap().payload;
    assert!(text.contains("gateway/foreign") && !text.contains("agent/orchestrator"), "{text}");
    // Nor does it delay the closure of what it cannot enforce.
    let answer = ended(&world, &format!("/v1/tasks/{}/complete", task.task()), &json!({})).await;
    assert_eq!(report(&answer).points.len(), 0);
}
