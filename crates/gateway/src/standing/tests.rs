//! Against a real Authority in this process, over a relay that can be cut.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_core::VerifyOptions;
use bailiwick_core::{UnverifiedToken, verify_leaf};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::feed;

#[path = "../../../authority/tests/it/world.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared test code"
)]
mod world;

use self::world::{AUDIENCE, Agent, Held, World, paying};

/// A relay to the Authority that can be cut and mended.
struct Relay {
    url: String,
    up: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn to(target: &str) -> Self {
        let target = target.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let up = watch::Sender::new(true);
        let state = up.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut state, target) = (state.clone(), target.clone());
                tokio::spawn(async move {
                    if !*state.borrow_and_update() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|up| !*up) => {}
                    }
                });
            }
        });
        Self { url, up, task }
    }

    fn cut(&self) {
        self.up.send_replace(false);
    }

    fn mend(&self) {
        self.up.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A gateway's standing that follows an Authority.
struct Following {
    world: World,
    relay: Relay,
    standing: Arc<Standing>,
    link: Arc<Link>,
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    async fn start() -> Self {
        let world = World::start().await;
        let relay = Relay::to(&world.url).await;
        let text = format!(
            "[authority]\nissuer = \"{}\"\nurl = \"{}\"\n\
             [identity]\ndev_agent = \"spiffe://dev.bailiwick.example/gateway/tools\"\n\
             [staleness]\npublic_ms = 6000\ninternal_ms = 4500\nconfidential_ms = 3000\n\
             restricted_ms = 2500\n",
            world.url, relay.url
        );
        let config: crate::config::Config = toml::from_str(&text).unwrap();
        let link = Arc::new(Link::new(&config).unwrap());
        let clock = Clock::system(UnixMillis(0));
        let standing = Standing::new(Arc::clone(&link), config.staleness.clone(), clock);
        let standing = Arc::new(standing);
        let task = tokio::spawn(feed::follow(Arc::clone(&link), Arc::clone(&standing)));
        let following = Self { world, relay, standing, link, task };
        following.wait("the first policy set", |one| one.standing.policy().is_some()).await;
        following
    }

    fn now(&self) -> UnixMillis {
        self.standing.clock.now()
    }

    fn verdict(&self, held: &Held, sensitivity: Sensitivity) -> Result<(), &'static str> {
        let chain = held.chain();
        let told = self.standing.require_alive(&chain, sensitivity, self.now());
        told.map_err(|stop| stop.code.code())
    }

    async fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..1_000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain for {what}");
    }

    async fn dies(&self, held: &Held, code: &str) {
        self.wait(code, |one| one.verdict(held, Sensitivity::Public) == Err(code)).await;
    }

    async fn end(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        let response = self.world.post_as_operator(path, &body).await;
        let status = response.status();
        let answer: serde_json::Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {answer}");
        answer
    }
}

#[tokio::test]
async fn what_the_authority_kills_is_dead_here_and_a_bystander_is_not() {
    let one = Following::start().await;
    let (lead, payer) = (Agent::orchestrator(), Agent::payer());
    let root = one.world.open(&lead).await;
    let hop = one.world.hop(&lead, &root, &payer, &paying(&root)).await;
    let bystander = one.world.open(&lead).await;
    for held in [&root, &hop, &bystander] {
        assert_eq!(one.verdict(held, Sensitivity::Restricted), Ok(()));
    }
    let (cut, runs_on) = (one.standing.ended(&hop.chain()), one.standing.ended(&bystander.chain()));
    let runs_on = tokio::spawn(runs_on);
    let cut = tokio::spawn(cut);

    let answer = one.end("/v1/revocations", json!({"target": {"jti": root.jti()}})).await;
    assert_eq!(answer["closure"]["state"], "closed", "{answer}");
    // The Authority says closed, so it *is* dead here: no waiting.
    assert_eq!(one.verdict(&root, Sensitivity::Public), Err("revoked"));
    assert_eq!(one.verdict(&hop, Sensitivity::Public), Err("revoked"), "below it, too");
    assert_eq!(one.verdict(&bystander, Sensitivity::Restricted), Ok(()));
    tokio::time::timeout(Duration::from_secs(1), cut).await.expect("a stream runs on").unwrap();
    assert!(!runs_on.is_finished(), "a stream of another task was cut");

    for (verb, code) in [("complete", "task_closed"), ("revoke", "revoked")] {
        let task = one.world.open(&lead).await;
        let answer = one.end(&format!("/v1/tasks/{}/{verb}", task.task()), json!({})).await;
        assert_eq!(answer["closure"]["state"], "closed", "{answer}");
        assert!(answer["closure"]["points"][0]["lag_ms"].as_u64().unwrap() < 250, "{answer}");
        assert_eq!(one.verdict(&task, Sensitivity::Public), Err(code), "{verb}");
    }

    let path = format!("/v1/agents/{}/quarantine", payer.id.replace('/', "%2F"));
    let other = one.world.open(&lead).await;
    let held = one.world.hop(&lead, &other, &payer, &paying(&other)).await;
    assert_eq!(one.verdict(&held, Sensitivity::Public), Ok(()));
    one.end(&path, json!({})).await;
    one.dies(&held, "agent_quarantined").await;
    assert_eq!(one.verdict(&other, Sensitivity::Public), Ok(()), "the delegator acts on");
    assert_eq!(one.verdict(&bystander, Sensitivity::Restricted), Ok(()));
    assert!(!runs_on.is_finished());
    runs_on.abort();
}

#[tokio::test]
async fn a_cut_feed_fails_closed_by_sensitivity_and_resuming_loses_nothing() {
    let one = Following::start().await;
    let lead = Agent::orchestrator();
    let (alive, doomed) = (one.world.open(&lead).await, one.world.open(&lead).await);
    assert_eq!(one.verdict(&alive, Sensitivity::Restricted), Ok(()));
    let stream = tokio::spawn(one.standing.ended(&alive.chain()));
    one.relay.cut();
    let path = format!("/v1/tasks/{}/complete?wait_ms=0", doomed.task());
    let answer = one.end(&path, json!({})).await;
    assert_ne!(answer["closure"]["state"], "closed", "{answer}");

    let order = [
        Sensitivity::Restricted,
        Sensitivity::Confidential,
        Sensitivity::Internal,
        Sensitivity::Public,
    ];
    for (at, level) in order.into_iter().enumerate() {
        one.wait("staleness", |one| one.verdict(&alive, level) == Err("revocation_stale")).await;
        if let Some(next) = order.get(at + 1).filter(|_| at < 2) {
            assert_eq!(
                one.verdict(&alive, *next),
                Ok(()),
                "{next} has a longer bound than {level}"
            );
        }
    }
    let cut = tokio::time::timeout(Duration::from_secs(2), stream).await;
    cut.expect("a stream outlives every bound").unwrap();

    one.relay.mend();
    one.wait("the feed again", |one| one.verdict(&alive, Sensitivity::Restricted).is_ok()).await;
    assert_eq!(one.verdict(&doomed, Sensitivity::Public), Err("task_closed"), "it was missed");
    let path = format!("/v1/tasks/{}/closure?wait_ms=2000", doomed.task());
    let closure: serde_json::Value = one.world.get_as_operator(&path).await.json().await.unwrap();
    assert_eq!(closure["state"], "closed", "{closure}");
}

#[tokio::test]
async fn policy_keys_and_the_registry_follow() {
    let one = Following::start().await;
    let lead = Agent::orchestrator();
    let before = one.standing.policy().unwrap().hash().to_owned();
    let text = "@id(\"all\")\npermit (principal, action, resource);\n";
    let set = json!({"sources": [{"name": "all.cedar", "text": text}]});
    let answer = one.end("/v1/policies", set).await;
    let hash = answer["hash"].as_str().unwrap();
    assert_ne!(hash, before);
    let holds = |one: &Following| one.standing.policy().is_some_and(|set| set.hash() == hash);
    one.wait("the new set", holds).await;
    assert_eq!(one.standing.policy().unwrap().policies().count(), 1);

    let rotated = one.end("/v1/keys/rotate", json!({})).await;
    let kid = rotated["kid"].as_str().unwrap();
    let issuer = one.world.url.clone();
    let has = |one: &Following| one.standing.issuer_keys().get(&issuer, kid).is_some();
    one.wait("the new key", has).await;
    let held = one.world.open(&lead).await;
    let token = UnverifiedToken::parse(&held.token).unwrap();
    let options = VerifyOptions { audience: Some(AUDIENCE), full_chain: false };
    let chain = verify_leaf(&token, &one.standing.issuer_keys(), &options, one.now()).unwrap();
    let alive = |one: &Following| {
        one.standing.require_alive(&chain, Sensitivity::Restricted, one.now()).is_ok()
    };
    one.wait("heartbeats under the new key", alive).await;

    let id: AgentId = lead.id.parse().unwrap();
    assert_eq!(one.standing.agent(&id).unwrap().clearance, Sensitivity::Confidential);
    one.world
        .apply(&format!(
            "[[agent]]\nid = \"{id}\"\nname = \"x\"\nowner = \"team:payments\"\nenv = \"dev\"\n\
             tenant = \"acme\"\nclearance = \"public\"\n"
        ))
        .await;
    let lowered = |one: &Following| {
        one.standing.agent(&id).is_some_and(|agent| agent.clearance == Sensitivity::Public)
    };
    one.wait("the change of the agent", lowered).await;
}

#[tokio::test]
async fn a_task_is_asked_for_once_and_its_end_forgets_it() {
    let one = Following::start().await;
    let (lead, payer, reader) = (Agent::orchestrator(), Agent::payer(), Agent::reader());
    let held = one.world.open(&lead).await;
    let id = held.chain().claims().txn;
    let task = one.standing.task(id).await.unwrap();
    assert_eq!(task.subject.groups, ["finance"]);
    assert_eq!((task.environment.as_str(), task.ceiling), ("dev", Sensitivity::Confidential));
    assert_eq!(task.facts(one.now()).exposure, Sensitivity::Public);
    assert!(task.deadline > one.now() && task.opened <= one.now());

    let agent = |agent: &Agent| agent.id.parse::<AgentId>().unwrap();
    let scopes = |scope: &str| bailiwick_core::ScopeSet::new([scope.parse().unwrap()]).unwrap();
    let edge = |from, to, scope| {
        task.require_edge(&from, &to, &scopes(scope)).map_err(|stop| stop.code.code())
    };
    // The workflow does not let hops travel unsettled.
    let forbidden = Err("offline_hop_forbidden");
    assert_eq!(edge(agent(&lead), agent(&payer), "banking.send_money"), forbidden);
    assert_eq!(edge(agent(&payer), agent(&reader), "files.read"), forbidden);

    // Without the Authority, what is known goes on and what is not does not.
    let unknown = one.world.open(&lead).await.chain().claims().txn;
    one.relay.cut();
    assert!(Arc::ptr_eq(&task, &one.standing.task(id).await.unwrap()));
    let stop = one.standing.task(unknown).await.unwrap_err();
    assert_eq!(stop.code.code(), "status_unknown");
    one.relay.mend();

    assert!(
        task.raise_exposure(Sensitivity::Internal) && !task.raise_exposure(Sensitivity::Public)
    );
    one.wait("the feed again", |one| one.standing.age_ms(one.now()) < 1_000).await;
    one.end(&format!("/v1/tasks/{id}/complete"), json!({})).await;
    one.wait("the end", |one| one.standing.known_task(&id).is_none()).await;
    assert_eq!(one.standing.task(id).await.unwrap_err().code.code(), "task_closed");
    let nobody = TaskId::new(one.now(), [9; 10]);
    assert_eq!(one.standing.task(nobody).await.unwrap_err().code.code(), "task_mismatch");
}

#[tokio::test]
async fn a_gateway_that_stops_is_waited_for_no_more() {
    let one = Following::start().await;
    one.task.abort();
    feed::leave(&one.link, &one.standing).await;
    let held = one.world.open(&Agent::orchestrator()).await;
    let answer = one.end(&format!("/v1/tasks/{}/complete", held.task()), json!({})).await;
    assert_eq!(answer["closure"]["state"], "closed", "{answer}");
    assert_eq!(answer["closure"]["points"], json!([]));
}

#[test]
fn a_policy_set_that_cannot_be_had_stops_everything_after_a_moment() {
    use bailiwick_api::enforcement::feed::{FeedEntry, FeedEvent, FeedKind};
    use std::sync::atomic::{AtomicU64, Ordering};

    let hand = Arc::new(AtomicU64::new(1_800_000_000_000));
    let text = "[authority]\nissuer = \"http://127.0.0.1:1\"\n\
                [identity]\ndev_agent = \"spiffe://dev.bailiwick.example/gateway/tools\"\n";
    let config: crate::config::Config = toml::from_str(text).unwrap();
    let link = Arc::new(Link::new(&config).unwrap());
    let standing = Standing::new(link, config.staleness.clone(), Clock::manual(Arc::clone(&hand)));
    let set = PolicySet::load(&bailiwick_policy::default_sources()).unwrap();
    let first = set.hash().to_owned();
    let told = |seq: u64, prev: u64, hash: &str| FeedEvent {
        iss: "http://127.0.0.1:1".to_owned(),
        at: UnixMillis(hand.load(Ordering::Acquire)),
        kind: if prev == 0 { FeedKind::Snapshot } else { FeedKind::Delta },
        seq,
        prev,
        part: 0,
        parts: 1,
        entries: vec![FeedEntry::Policy { hash: hash.to_owned() }],
    };
    standing.put_policy(set);
    assert!(standing.policy().is_none(), "nobody said that it is in force");
    standing.apply(&[told(1, 0, &first)]).unwrap();
    assert!(standing.policy().is_none());
    assert_eq!(standing.policy_missing(), Some(first.clone()));
    standing.put_policy(PolicySet::load(&bailiwick_policy::default_sources()).unwrap());
    assert!(standing.policy().is_some() && standing.policy_missing().is_none());

    standing.apply(&[told(2, 1, "sha-256:another")]).unwrap();
    assert_eq!(standing.policy_missing(), Some("sha-256:another".to_owned()));
    assert!(standing.policy().is_some(), "for a moment the set before decides");
    hand.fetch_add(POLICY_GRACE_MS + 1, Ordering::AcqRel);
    assert!(standing.policy().is_none(), "and then nothing is decided");
    standing.apply(&[told(3, 2, &first)]).unwrap();
    assert!(standing.policy().is_some());
}
