use bailiwick_core::{VerifiedChain, jcs};
use bytes::Bytes;
use http::{Request, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::call::Mapped;
use crate::fixture;
use crate::reply::Touched;

const CONFIG: &str = r#"
    [[skill]]
    id = "summarize"
    scope = "summarizer.summarize"
    sensitivity = "internal"
"#;

fn route() -> RouteConfig {
    toml::from_str(
        r#"
        name = "summarizer"
        path = "/summarizer"
        upstream = "http://127.0.0.1:9"
        owner = "team"
        binding = "carries"
        "#,
    )
    .unwrap()
}

fn adapter(config: &str) -> A2aAdapter {
    let config = toml::from_str(config).unwrap();
    A2aAdapter::compile(&config, &route(), "https://gateway.example").unwrap()
}

async fn map(
    adapter: &A2aAdapter,
    method: &str,
    path: &str,
    body: Value,
    chain: &Arc<VerifiedChain>,
) -> Result<Mapped, Stop> {
    let uri = format!("/summarizer{path}");
    let request = Request::builder().method(method).uri(uri).header("A2A-Version", "1.0");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = (!body.is_null()).then(|| Bytes::from(body.to_string()));
    let path = path.split('?').next().unwrap();
    adapter.map(Inbound { parts: &parts, path, body }, Some(chain)).await
}

fn send(skill: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": "1", "method": "SendMessage", "params": { "message": {
        "messageId": "m", "role": "ROLE_USER",
        "parts": [{ "text": "please" }, { "data": { "document": "d1" } }],
        "metadata": { SKILL_KEY: skill, "urn:bailiwick:chain": "forged", "other": 1 },
    }}})
}

fn alice() -> Arc<VerifiedChain> {
    Arc::new(fixture::chain(1, &["summarizer.*"]))
}

fn refused(mapped: Result<Mapped, Stop>) -> &'static str {
    match mapped {
        Ok(_) => "mapped",
        Err(stop) => stop.code.code(),
    }
}

#[tokio::test]
async fn a_message_is_a_call_of_its_skill_with_its_data_as_arguments() {
    let mapped = map(&adapter(CONFIG), "POST", "/", send("summarize"), &alice()).await.unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.scope.to_string(), "summarizer.summarize");
    assert_eq!(Value::Object(call.arguments), json!({ "document": "d1", "text": "please" }));
    assert_eq!(call.resource.sensitivity, Sensitivity::Internal);
    let outgoing = mapped.outgoing;
    let OutgoingBody::Json { value, carry_at } = outgoing.body else { panic!("no JSON") };
    let at = carry_at.unwrap();
    assert_eq!(value.pointer(&at).unwrap(), &json!({ "other": 1 }), "what is ours is taken away");
    assert_eq!(mapped.refusal, RefusalForm::JsonRpc(json!("1")));
}

#[tokio::test]
async fn both_bindings_say_the_same() {
    let rest = send("summarize")["params"].clone();
    for path in ["/message:send", "/message:stream"] {
        let mapped = map(&adapter(CONFIG), "POST", path, rest.clone(), &alice()).await.unwrap();
        let Asked::Call(call) = mapped.asked else { panic!("not a call") };
        assert_eq!(call.scope.to_string(), "summarizer.summarize");
        assert_eq!(mapped.refusal, RefusalForm::Problem);
    }
}

#[rstest]
#[case::another_skill("/", send("translate"), "scope_not_granted")]
#[case::no_skill("/", { let mut b = send("x"); b["params"]["message"]["metadata"] = json!({}); b }, "scope_not_granted")]
#[case::two_skills("/", { let mut b = send("summarize"); b["params"]["metadata"] = json!({SKILL_KEY: "x"}); b }, "malformed")]
#[case::push("/", { let mut b = send("summarize"); b["params"]["configuration"] = json!({"taskPushNotificationConfig": {"url": "https://e.example"}}); b }, "scope_not_granted")]
#[case::tenant("/", { let mut b = send("summarize"); b["params"]["tenant"] = json!("t"); b }, "malformed")]
#[case::foreign_task("/", { let mut b = send("summarize"); b["params"]["message"]["taskId"] = json!("t1"); b }, "task_mismatch")]
#[case::reference("/", { let mut b = send("summarize"); b["params"]["message"]["referenceTaskIds"] = json!(["t1"]); b }, "malformed")]
#[case::same_member_twice("/", { let mut b = send("summarize"); b["params"]["message"]["parts"] = json!([{"data": {"a": 1}}, {"data": {"a": 2}}]); b }, "malformed")]
#[case::part_of_two_kinds("/", { let mut b = send("summarize"); b["params"]["message"]["parts"] = json!([{"text": "a", "url": "b"}]); b }, "malformed")]
#[case::old_method("/", { let mut b = send("summarize"); b["method"] = json!("message/send"); b }, "method_not_allowed")]
#[case::push_config("/", json!({"jsonrpc":"2.0","id":1,"method":"CreateTaskPushNotificationConfig","params":{}}), "method_not_allowed")]
#[case::batch("/", json!([send("summarize")]), "not_found")]
#[case::somebody_elses_task("/", json!({"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t1"}}), "task_mismatch")]
#[case::dots("/tasks/../message:send", send("summarize")["params"].clone(), "malformed")]
#[tokio::test]
async fn what_is_not_plainly_served_is_refused(
    #[case] path: &str,
    #[case] body: Value,
    #[case] code: &str,
) {
    let refusal = refused(map(&adapter(CONFIG), "POST", path, body, &alice()).await);
    assert!(
        refusal == code || (code == "not_found" && refusal == "method_not_allowed"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_remote_task_belongs_to_the_task_that_began_it() {
    let adapter = adapter(CONFIG);
    let (alice, mallory) = (alice(), Arc::new(fixture::chain(2, &["summarizer.*"])));
    let mut mapped = map(&adapter, "POST", "/", send("summarize"), &alice).await.unwrap();
    let mut reply = json!({ "jsonrpc": "2.0", "id": "1", "result": { "task": { "id": "t1" } } });
    assert_eq!(mapped.hooks[0].message(StatusCode::OK, &mut reply), Touched::No);

    let get = |id: &str| json!({"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id": id}});
    assert_eq!(refused(map(&adapter, "POST", "/", get("t1"), &alice).await), "mapped");
    assert_eq!(refused(map(&adapter, "POST", "/", get("t1"), &mallory).await), "task_mismatch");
    let cancel = map(&adapter, "POST", "/tasks/t1:cancel", Value::Null, &mallory).await;
    assert_eq!(refused(cancel), "task_mismatch");
    let cancel = map(&adapter, "POST", "/tasks/t1:cancel", Value::Null, &alice).await;
    assert_eq!(refused(cancel), "mapped");

    // A reply cannot hand the task to another, and a list shows only one's own.
    let mut mapped = map(&adapter, "POST", "/", send("summarize"), &mallory).await.unwrap();
    assert_eq!(mapped.hooks[0].message(StatusCode::OK, &mut reply), Touched::Withhold);
    let mut list = json!({ "tasks": [{ "id": "t1" }, { "id": "t2" }], "totalSize": 2 });
    let mut mapped = map(&adapter, "GET", "/tasks", Value::Null, &alice).await.unwrap();
    assert_eq!(mapped.hooks[0].message(StatusCode::OK, &mut list), Touched::Yes);
    assert_eq!(list, json!({ "tasks": [{ "id": "t1" }], "totalSize": 1 }));
}

fn card() -> Value {
    json!({
        "name": "summarizer", "version": "1",
        "supportedInterfaces": [
            { "url": "http://127.0.0.1:9/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
            { "url": "http://127.0.0.1:9/", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0" },
            { "url": "127.0.0.1:10", "protocolBinding": "GRPC", "protocolVersion": "1.0" },
            { "url": "http://127.0.0.1:9/", "protocolBinding": "JSONRPC", "protocolVersion": "0.3" },
        ],
        "capabilities": { "streaming": true, "pushNotifications": true },
        "skills": [{ "id": "summarize" }, { "id": "hidden" }],
        "signatures": [{ "protected": "p", "signature": "s" }],
    })
}

#[tokio::test]
async fn the_card_leads_to_the_gateway_and_declares_the_chain() {
    let adapter = adapter(CONFIG);
    let (parts, ()) =
        Request::get("/summarizer/.well-known/agent-card.json").body(()).unwrap().into_parts();
    assert!(adapter.is_open(&parts, CARD_PATH));
    let inbound = Inbound { parts: &parts, path: CARD_PATH, body: None };
    let mut mapped = adapter.map(inbound, None).await.unwrap();
    let mut shown = card();
    assert_eq!(mapped.hooks[0].message(StatusCode::OK, &mut shown), Touched::Yes);
    let urls: Vec<&Value> =
        shown["supportedInterfaces"].as_array().unwrap().iter().map(|i| &i["url"]).collect();
    assert_eq!(urls, ["https://gateway.example/summarizer/", "https://gateway.example/summarizer"]);
    assert_eq!(shown["skills"], json!([{ "id": "summarize" }]));
    assert_eq!(shown["capabilities"]["extensions"][0]["uri"], CHAIN_EXTENSION);
    assert_eq!(shown["capabilities"]["extensions"][0]["required"], true);
    assert_eq!(shown["capabilities"]["pushNotifications"], false);
    assert!(shown.get("signatures").is_none());
    assert!(!shown.to_string().contains("127.0.0.1"));
}

#[test]
fn a_pinned_card_that_changed_is_withheld() {
    let hash = sha256_of(&card());
    let pinned = adapter(&format!("card = \"{hash}\"\n{CONFIG}"));
    assert!(pinned.card.rewrite(&card()).is_some());
    let mut other = card();
    other["skills"][0]["description"] = json!("now ignores its instructions");
    assert!(pinned.card.rewrite(&other).is_none());
}

fn sha256_of(card: &Value) -> String {
    bailiwick_core::sha256(&jcs::canonicalize_value(card).unwrap()).named()
}

#[test]
fn a_version_that_is_not_read_is_refused() {
    for (versions, good) in
        [(&["1.0"][..], true), (&["0.3"], false), (&[], false), (&["1.0", "1.0"], false)]
    {
        let mut request = Request::post("/");
        for version in versions {
            request = request.header("A2A-Version", *version);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(require_version(&parts).is_ok(), good, "{versions:?}");
    }
}

#[test]
fn a_configuration_without_skills_is_refused() {
    let none = toml::from_str("").unwrap();
    assert!(A2aAdapter::compile(&none, &route(), "https://g.example").is_err());
    let wrong = toml::from_str(&format!("default_skill = \"x\"\n{CONFIG}")).unwrap();
    assert!(A2aAdapter::compile(&wrong, &route(), "https://g.example").is_err());
}

/// ProtoJSON takes the names of the `.proto` file too, and Go takes any case.
#[rstest]
#[case("/params/message", "task_id", json!("of-another"))]
#[case("/params/message", "TaskId", json!("of-another"))]
#[case("/params/message", "reference_task_ids", json!(["t"]))]
#[case("/params/message", "Parts", json!([{ "data": { "document": "d2" } }]))]
#[case("/params/message/parts/0", "Data", json!({ "document": "d2" }))]
#[case("/params", "Message", json!({ "parts": [] }))]
#[case("/params", "Tenant", json!("other"))]
#[case("/params/configuration", "task_push_notification_config", json!({ "url": "https://x.example" }))]
#[case("/params/configuration", "pushNotificationConfig", json!({ "url": "https://x.example" }))]
#[tokio::test]
async fn no_other_spelling_of_a_name_goes_by(
    #[case] at: &str,
    #[case] name: &str,
    #[case] value: Value,
) {
    let adapter = adapter(CONFIG);
    let mut body = send("summarize");
    body["params"]["configuration"] = json!({ "historyLength": 3 });
    let twin = map(&adapter, "POST", "/", body.clone(), &alice()).await;
    assert_eq!(refused(twin), "mapped");
    body.pointer_mut(at).unwrap()[name] = value;
    let refused = refused(map(&adapter, "POST", "/", body, &alice()).await);
    assert!(["malformed", "scope_not_granted"].contains(&refused), "{refused}");
}

#[rstest]
#[case("POST", "/", json!({ "Id": "theirs" }))]
#[case("POST", "/", json!({ "tenant": "theirs" }))]
#[case("POST", "/", json!({ "name": "tasks/theirs" }))]
#[case("GET", "/tasks/own?id=theirs", Value::Null)]
#[case("GET", "/tasks/own?%69d=theirs", Value::Null)]
#[case("GET", "/tasks/own?tenant=theirs", Value::Null)]
#[case("POST", "/tasks/own:cancel", json!({ "id": "theirs" }))]
#[tokio::test]
async fn nothing_names_a_second_task(
    #[case] method: &str,
    #[case] path: &str,
    #[case] more: Value,
) {
    let adapter = adapter(CONFIG);
    let chain = alice();
    let mut began = adapter.remote.learn(&chain);
    let _ = began.message(StatusCode::OK, &mut json!({ "task": { "id": "own" } }));
    let rpc = |more: &Value| {
        let mut params = json!({ "id": "own", "historyLength": 2 });
        params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        json!({ "jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": params })
    };
    let (twin, twin_body) = match path {
        "/" => ("/", rpc(&Value::Null)),
        path => (path.split('?').next().unwrap(), Value::Null),
    };
    assert_eq!(refused(map(&adapter, method, twin, twin_body, &chain).await), "mapped");
    let body = if path == "/" { rpc(&more) } else { more };
    assert_eq!(refused(map(&adapter, method, path, body, &chain).await), "malformed");
}
