//! What a task has read: values that become admissible, and how exposed it is.

use bailiwick_api::Client;
use bailiwick_api::client::ClientError;
use bailiwick_api::enforcement::feed::{FeedEntry, FeedEvent, FeedQuery};
use bailiwick_api::enforcement::reads::{ExposureReport, ReadResult, ReadsReport};
use bailiwick_core::constraint::{ReadDigest, ReadsSalt};
use bailiwick_core::jws::Jws;
use bailiwick_core::{DecisionId, TaskId};
use serde_json::{Value, json};

use crate::world::{Agent, Held, QUICKSTART, World, evaluation, whole};

const TOOLS: &str = "spiffe://dev.bailiwick.example/gateway/tools";
const MAIL: &str = "spiffe://dev.bailiwick.example/gateway/mail";
const FOREIGN: &str = "spiffe://dev.bailiwick.example/gateway/foreign";
const INTERN: &str = "spiffe://dev.bailiwick.example/agent/intern";

const REGISTRY: &str = r#"
[[agent]]
id = "spiffe://dev.bailiwick.example/gateway/mail"
name = "Mail gateway"
owner = "team:payments"
env = "dev"
tenant = "acme"
roles = ["enforcement-point"]

[[agent]]
id = "spiffe://dev.bailiwick.example/gateway/foreign"
name = "Somebody else's gateway"
owner = "team:payments"
env = "dev"
tenant = "other"
roles = ["enforcement-point"]

[[agent]]
id = "spiffe://dev.bailiwick.example/agent/intern"
name = "Intern"
owner = "team:payments"
env = "dev"
tenant = "acme"
clearance = "internal"

[[workflow]]
id = "mail.answer"
title = "Answer mail"
purpose = "Answer those who wrote"
owner = "team:payments"
reviewer = "user:rita@dev.example"
reviewed = "2026-11-01"
tenant = "acme"
env = "dev"
sensitivity = "confidential"
audiences = ["https://tools.dev.example"]
entry = ["spiffe://dev.bailiwick.example/agent/orchestrator"]
max_depth = 2
max_fanout = 8
hops_per_minute_max = 60
deadline_seconds = 900
ttl_seconds_max = 300

[[workflow.edges]]
from = "spiffe://dev.bailiwick.example/agent/orchestrator"
to = "spiffe://dev.bailiwick.example/agent/intern"
scopes = ["mail.list"]

[workflow.parameters]
type = "object"
additionalProperties = false
properties = {}

[workflow.authority]
scopes = ["mail.list", "mail.send"]
constraints = [
  { key = "mail.send:to", from_read = [{ scope = "mail.list", field = "sender" }] },
  { key = "mail.send:amount", from_read = [{ scope = "mail.list", field = "owed", times = 0.5, plus = 1 }] },
]
"#;

struct Mail {
    world: World,
    agent: Agent,
}

impl Mail {
    async fn start() -> Self {
        let world = World::start().await;
        world.apply(&format!("{QUICKSTART}{REGISTRY}")).await;
        Self { world, agent: Agent::orchestrator() }
    }

    async fn open(&self) -> Held {
        let task = json!({"type": "bailiwick_task", "workflow": "mail.answer", "parameters": {}});
        let (status, answer) = self.world.try_open(&self.agent, &task).await;
        assert_eq!(status, 200, "{answer}");
        Held::from(answer)
    }

    /// The answer to one evaluation; `facts` changes the question.
    async fn ask(&self, held: &Held, scope: &str, args: Value, facts: &[(&str, Value)]) -> Value {
        let mut body = evaluation(&self.agent, held, scope, args);
        body["resource"]["properties"]["sensitivity"] = json!("internal");
        for (pointer, value) in facts {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        let response = self.world.evaluate_body(&body).await;
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    async fn send(&self, held: &Held, to: &str) -> String {
        code(&self.ask(held, "mail.send", json!({"to": to}), &[write()]).await)
    }

    async fn list(&self, held: &Held) -> DecisionId {
        let answer = self.ask(held, "mail.list", json!({}), &[read()]).await;
        assert_eq!(code(&answer), "allowed", "{answer}");
        answer["context"]["decision_id"].as_str().unwrap().parse().unwrap()
    }

    async fn point(&self, id: &str) -> Client {
        let svid = self.world.svid(id).await;
        Client::new(self.world.url.parse().unwrap()).unwrap().with_bearer_token(svid)
    }
}

fn read() -> (&'static str, Value) {
    ("/context/effect", json!("read"))
}

fn write() -> (&'static str, Value) {
    ("/context/effect", json!("write"))
}

fn code(answer: &Value) -> String {
    match answer["decision"].as_bool() {
        Some(true) => "allowed".to_owned(),
        _ => answer["context"]["code"].as_str().unwrap().to_owned(),
    }
}

fn task(held: &Held) -> TaskId {
    held.task().parse().unwrap()
}

fn results(decision_id: DecisionId, result: Value) -> ReadsReport {
    ReadsReport { reads: Vec::new(), results: vec![ReadResult { decision_id, result }] }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    let error = answer.expect_err("it is refused");
    error.code().unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[tokio::test]
async fn what_an_allowed_read_returned_may_be_used_and_nothing_else() {
    let mail = Mail::start().await;
    let (held, other) = (mail.open().await, mail.open().await);
    let tools = mail.point(TOOLS).await;
    assert_eq!(mail.send(&held, "amy@ours.example").await, "ceiling_exceeded");

    let listed = mail.list(&held).await;
    assert_eq!(mail.send(&held, "amy@ours.example").await, "ceiling_exceeded", "not reported yet");
    let inbox = json!([{"sender": "amy@ours.example", "owed": 9}, {"sender": "bob@ours.example"}]);
    tools.report_reads(task(&held), &results(listed, inbox.clone())).await.unwrap();
    assert_eq!(mail.send(&held, "amy@ours.example").await, "allowed");
    assert_eq!(mail.send(&held, "bob@ours.example").await, "allowed");
    assert_eq!(mail.send(&held, "eve@evil.example").await, "ceiling_exceeded");
    assert_eq!(mail.send(&other, "amy@ours.example").await, "ceiling_exceeded", "another task");

    // An amount computed from what was read.
    let owing = async |amount: f64| {
        let args = json!({"to": "amy@ours.example", "amount": amount});
        code(&mail.ask(&held, "mail.send", args, &[write()]).await)
    };
    assert_eq!(owing(5.5).await, "allowed");
    assert_eq!(owing(9.0).await, "ceiling_exceeded");

    // A result belongs to a read that was allowed in this task.
    let of = async |held: &Held, decision| {
        refused(tools.report_reads(task(held), &results(decision, inbox.clone())).await)
    };
    let decision = |answer: &Value| {
        answer["context"]["decision_id"].as_str().unwrap().parse::<DecisionId>().unwrap()
    };
    assert_eq!(of(&other, listed).await, "malformed", "another task's decision");
    let undeclared = decision(&mail.ask(&held, "mail.list", json!({}), &[]).await);
    assert_eq!(of(&held, undeclared).await, "malformed", "nobody said that it reads");
    let denied = mail.ask(&held, "mail.send", json!({"to": "eve@evil.example"}), &[read()]).await;
    assert_eq!(of(&held, decision(&denied)).await, "malformed", "it was refused");
    let again = mail.list(&held).await;
    tools.report_reads(task(&held), &results(again, inbox.clone())).await.unwrap();
}

#[tokio::test]
async fn gateways_of_a_task_share_digests_until_it_ends() {
    let mail = Mail::start().await;
    let held = mail.open().await;
    let (tools, other) = (mail.point(TOOLS).await, mail.point(MAIL).await);
    let view = tools.enforcement_task(task(&held)).await.unwrap();
    let salt: ReadsSalt = view.reads_salt.parse().unwrap();
    let digest = |address: &str| {
        ReadDigest::of(&salt, "mail.list".parse().unwrap(), &json!([{"sender": address}]))
    };
    let report = |reads| ReadsReport { reads, results: Vec::new() };
    let (amy, bob) = (digest("amy@ours.example"), digest("bob@ours.example"));
    let both = report(vec![amy.clone(), bob.clone()]);
    assert_eq!(tools.report_reads(task(&held), &both).await.unwrap().seq, 2);
    let page = other.reads(task(&held), 0).await.unwrap();
    assert_eq!((page.reads, page.seq, page.more), (vec![amy.clone(), bob.clone()], 2, false));
    let page = other.reads(task(&held), 1).await.unwrap();
    assert_eq!((page.reads, page.seq), (vec![bob.clone()], 2));
    assert_eq!(mail.send(&held, "amy@ours.example").await, "allowed", "evaluations see them too");

    let many = report(vec![amy.clone(); 257]);
    assert_eq!(refused(tools.report_reads(task(&held), &many).await), "malformed");
    let foreign = mail.point(FOREIGN).await;
    assert_eq!(refused(foreign.reads(task(&held), 0).await), "not_found");
    assert_eq!(refused(foreign.report_reads(task(&held), &both).await), "not_found");
    let agent = mail.point(mail.agent.id).await;
    assert_eq!(refused(agent.reads(task(&held), 0).await), "role_required");
    assert_eq!(refused(agent.report_reads(task(&held), &both).await), "role_required");

    let path = format!("/v1/tasks/{}/cancel", held.task());
    let ended = mail.world.post_as_operator(&path, &json!({"reason": "enough"})).await;
    assert!(ended.status().is_success(), "{}", ended.text().await.unwrap());
    assert_eq!(refused(other.reads(task(&held), 0).await), "task_closed");
    assert_eq!(refused(other.report_reads(task(&held), &both).await), "task_closed");
    let view = tools.enforcement_task(task(&held)).await.unwrap();
    assert_eq!(view.reads_salt, "", "the salt is gone with the task");
}

#[tokio::test]
async fn a_task_that_has_read_something_sensitive_hands_on_and_writes_with_care() {
    let mail = Mail::start().await;
    let held = mail.open().await;
    let (tools, other) = (mail.point(TOOLS).await, mail.point(MAIL).await);
    let exposure = async || tools.enforcement_task(task(&held)).await.unwrap().exposure.unwrap();
    let outside = [write(), ("/resource/properties/labels", json!(["external"]))];
    let confidential = ("/resource/properties/sensitivity", json!("confidential"));
    let intern = Agent::new(INTERN);
    let handing_on = async || {
        let mut detail = whole(&held);
        detail["scopes"] = json!(["mail.list"]);
        let rank = json!({"key": "sensitivity", "rank": "internal",
                          "order": ["public", "internal", "confidential", "restricted"]});
        detail["constraints"].as_array_mut().unwrap().push(rank);
        let grant = mail.agent.grant(&held, &intern, &detail, |_| {});
        let (status, answer) = mail.world.settle(&intern, &grant).await;
        if status == 200 {
            "settled".to_owned()
        } else {
            answer["code"].as_str().unwrap().to_owned()
        }
    };

    // Before: internal data has been read at most.
    mail.list(&held).await;
    assert_eq!(exposure().await, "internal");
    assert_eq!(code(&mail.ask(&held, "mail.send", json!({}), &outside).await), "allowed");
    assert_eq!(handing_on().await, "settled");
    // Writing to something sensitive reads nothing of it.
    let writing = [write(), confidential.clone()];
    assert_eq!(code(&mail.ask(&held, "mail.send", json!({}), &writing).await), "allowed");
    assert_eq!(exposure().await, "internal");

    let feed = FeedQuery { instance: "exposed".to_owned(), stale_after_ms: 60_000 };
    let mut feed = other.enforcement_feed(&feed, None).await.unwrap();
    let answer = mail.ask(&held, "mail.list", json!({}), &[read(), confidential]).await;
    assert_eq!(code(&answer), "allowed");
    assert_eq!(exposure().await, "confidential");
    let told = FeedEntry::Exposure { task: task(&held), level: "confidential".to_owned() };
    loop {
        let frame = tokio::time::timeout(std::time::Duration::from_secs(5), feed.next());
        let frame = frame.await.expect("it is told").unwrap().unwrap();
        let event: FeedEvent =
            serde_json::from_str(&Jws::parse(&frame.data).unwrap().payload).unwrap();
        if event.entries.contains(&told) {
            break;
        }
    }
    let answer = mail.ask(&held, "mail.send", json!({}), &outside).await;
    assert_eq!(code(&answer), "policy_denied");
    assert_eq!(answer["context"]["determining"], json!(["default.exposed-write"]));
    assert_eq!(code(&mail.ask(&held, "mail.send", json!({}), &[write()]).await), "allowed", "ours");
    assert_eq!(handing_on().await, "policy_denied");
    // Another task knows nothing of it.
    let fresh = mail.open().await;
    assert_eq!(code(&mail.ask(&fresh, "mail.send", json!({}), &outside).await), "allowed");
}

#[tokio::test]
async fn a_gateway_raises_exposure_and_nobody_lowers_it() {
    let mail = Mail::start().await;
    let held = mail.open().await;
    let tools = mail.point(TOOLS).await;
    let raise = |level: &str| ExposureReport { level: level.to_owned() };
    let to = async |level: &str| tools.expose(task(&held), &raise(level)).await.unwrap().exposure;
    assert_eq!(to("confidential").await, "confidential");
    assert_eq!(to("public").await, "confidential");
    assert_eq!(to("restricted").await, "restricted");
    assert_eq!(refused(tools.expose(task(&held), &raise("secret")).await), "malformed");
    let agent = mail.point(mail.agent.id).await;
    assert_eq!(refused(agent.expose(task(&held), &raise("restricted")).await), "role_required");
    let foreign = mail.point(FOREIGN).await;
    assert_eq!(refused(foreign.expose(task(&held), &raise("restricted")).await), "not_found");
}
