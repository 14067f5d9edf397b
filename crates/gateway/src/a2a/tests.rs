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

fn compile(config: &str) -> Result<A2aAdapter, Vec<String>> {
    let state = tempfile::tempdir().unwrap();
    let config = toml::from_str(config).unwrap();
    A2aAdapter::compile(&config, &route(), "https://gateway.example", state.path())
}

fn adapter(config: &str) -> A2aAdapter {
    compile(config).unwrap()
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
    let request = request.header("Content-Type", "application/json");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = (!body.is_null()).then(|| Bytes::from(body.to_string()));
    let path = path.split('?').next().unwrap();
    adapter.map(Inbound { parts: &parts, path, body }, Some(chain))
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
    assert_eq!(mapped.refusal, RefusalForm::A2a { id: Some(json!("1")), error: None });
}

#[tokio::test]
async fn both_bindings_say_the_same() {
    let rest = send("summarize")["params"].clone();
    for path in ["/message:send", "/message:stream"] {
        let mapped = map(&adapter(CONFIG), "POST", path, rest.clone(), &alice()).await.unwrap();
        let Asked::Call(call) = mapped.asked else { panic!("not a call") };
        assert_eq!(call.scope.to_string(), "summarizer.summarize");
        assert_eq!(mapped.refusal, RefusalForm::A2a { id: None, error: None });
    }
}

#[rstest]
#[case::another_skill("/", send("translate"), "scope_not_granted")]
#[case::no_skill("/", { let mut b = send("x"); b["params"]["message"]["metadata"] = json!({}); b }, "scope_not_granted")]
#[case::two_skills("/", { let mut b = send("summarize"); b["params"]["metadata"] = json!({SKILL_KEY: "x"}); b }, "malformed")]
#[case::push("/", { let mut b = send("summarize"); b["params"]["configuration"] = json!({"taskPushNotificationConfig": {"url": "https://e.example"}}); b }, "scope_not_granted")]
#[case::tenant("/", { let mut b = send("summarize"); b["params"]["tenant"] = json!("t"); b }, "malformed")]
#[case::foreign_task("/", { let mut b = send("summarize"); b["params"]["message"]["taskId"] = json!("t1"); b }, "task_mismatch")]
#[case::foreign_context("/", { let mut b = send("summarize"); b["params"]["message"]["contextId"] = json!("c1"); b }, "task_mismatch")]
#[case::context_of_another_kind("/", { let mut b = send("summarize"); b["params"]["message"]["contextId"] = json!(["c1"]); b }, "malformed")]
#[case::reference("/", { let mut b = send("summarize"); b["params"]["message"]["referenceTaskIds"] = json!(["t1"]); b }, "malformed")]
#[case::same_member_twice("/", { let mut b = send("summarize"); b["params"]["message"]["parts"] = json!([{"data": {"a": 1}}, {"data": {"a": 2}}]); b }, "malformed")]
#[case::part_of_two_kinds("/", { let mut b = send("summarize"); b["params"]["message"]["parts"] = json!([{"text": "a", "url": "b"}]); b }, "malformed")]
#[case::old_method("/", { let mut b = send("summarize"); b["method"] = json!("message/send"); b }, "method_not_allowed")]
#[case::push_config("/", json!({"jsonrpc":"2.0","id":1,"method":"CreateTaskPushNotificationConfig","params":{}}), "method_not_allowed")]
#[case::batch("/", json!([send("summarize")]), "malformed")]
#[case::somebody_elses_task("/", json!({"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t1"}}), "task_mismatch")]
#[case::dots("/tasks/../message:send", send("summarize")["params"].clone(), "malformed")]
#[tokio::test]
async fn what_is_not_plainly_served_is_refused(
    #[case] path: &str,
    #[case] body: Value,
    #[case] code: &str,
) {
    assert_eq!(refused(map(&adapter(CONFIG), "POST", path, body, &alice()).await), code);
}

#[rstest]
#[case::given(json!({ "one_of": ["d1"], "key": "summarizer.summarize:document" }), json!({ "data": { "document": "d1" } }), "mapped")]
#[case::asked_in_prose(json!({ "one_of": ["d1"], "key": "summarizer.summarize:document" }), json!({ "text": "document d2" }), "ceiling_exceeded")]
#[case::null(json!({ "one_of": ["d1"], "key": "summarizer.summarize:document" }), json!({ "data": { "document": null } }), "ceiling_exceeded")]
#[case::nothing_is_allowed(json!({ "absent": true, "key": "summarizer.summarize:document" }), json!({ "text": "it" }), "mapped")]
#[case::of_another_skill(json!({ "one_of": ["d1"], "key": "summarizer.translate:document" }), json!({ "text": "it" }), "mapped")]
#[case::of_all_scopes(json!({ "one_of": ["d1"], "key": "document" }), json!({ "text": "it" }), "mapped")]
#[case::calls(json!({ "max_lifetime": 5, "key": "summarizer.summarize:calls" }), json!({ "text": "it" }), "mapped")]
#[tokio::test]
async fn a_constraint_is_not_met_by_asking_in_prose(
    #[case] constraint: Value,
    #[case] part: Value,
    #[case] expected: &str,
) {
    let claims = fixture::claims(1, &["summarizer.*"], json!([constraint]));
    let chain = Arc::new(fixture::chain_of(&claims));
    let mut body = send("summarize");
    body["params"]["message"]["parts"] = json!([part]);
    assert_eq!(refused(map(&adapter(CONFIG), "POST", "/", body, &chain).await), expected);
}

/// A message of `chain` whose reply begins a remote task in the context `c1`.
async fn begin(adapter: &A2aAdapter, chain: &Arc<VerifiedChain>, id: &str) {
    let mut mapped = map(adapter, "POST", "/", send("summarize"), chain).await.unwrap();
    let task = json!({ "task": { "id": id, "contextId": "c1" } });
    let mut reply = json!({ "jsonrpc": "2.0", "id": "1", "result": task });
    assert_eq!(mapped.hooks[0].message(StatusCode::OK, &mut reply), Touched::No);
}

fn about(method: &str, id: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "id": id } })
}

#[rstest]
#[case::get("POST", "/", about("GetTask", "t1"))]
#[case::cancel("POST", "/", about("CancelTask", "t1"))]
#[case::subscribe("POST", "/", about("SubscribeToTask", "t1"))]
#[case::go_on("POST", "/", { let mut b = send("summarize"); b["params"]["message"]["taskId"] = json!("t1"); b })]
#[case::same_context("POST", "/", { let mut b = send("summarize"); b["params"]["message"]["contextId"] = json!("c1"); b })]
#[case::rest_get("GET", "/tasks/t1", Value::Null)]
#[case::rest_cancel("POST", "/tasks/t1:cancel", Value::Null)]
#[case::rest_subscribe("POST", "/tasks/t1:subscribe", Value::Null)]
#[case::rest_go_on("POST", "/message:stream", { let mut b = send("summarize")["params"].clone(); b["message"]["taskId"] = json!("t1"); b })]
#[tokio::test]
async fn a_remote_task_belongs_to_the_task_that_began_it(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: Value,
) {
    let adapter = adapter(CONFIG);
    let (alice, mallory) = (alice(), Arc::new(fixture::chain(2, &["summarizer.*"])));
    let narrower = Arc::new(fixture::chain(1, &["summarizer.translate"]));
    let ask = async |chain| refused(map(&adapter, method, path, body.clone(), chain).await);
    assert_eq!(ask(&alice).await, "task_mismatch", "nothing is known of it yet");
    begin(&adapter, &alice, "t1").await;
    assert_eq!(ask(&alice).await, "mapped");
    assert_eq!(ask(&mallory).await, "task_mismatch");
    assert_eq!(ask(&narrower).await, "scope_not_granted", "of the same task, without its skill");
}

#[rstest]
#[case::create("CreateTaskPushNotificationConfig")]
#[case::get("GetTaskPushNotificationConfig")]
#[case::list("ListTaskPushNotificationConfigs")]
#[case::delete("DeleteTaskPushNotificationConfig")]
#[tokio::test]
async fn push_notifications_are_nobodys(#[case] method: &str) {
    let adapter = adapter(CONFIG);
    begin(&adapter, &alice(), "t1").await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "taskId": "t1" } });
    assert_eq!(refused(map(&adapter, "POST", "/", body, &alice()).await), "method_not_allowed");
    let rest = "/tasks/t1/pushNotificationConfigs";
    assert_eq!(
        refused(map(&adapter, "GET", rest, Value::Null, &alice()).await),
        "method_not_allowed"
    );
}

#[tokio::test]
async fn a_reply_hands_no_task_to_another_and_shows_none() {
    let adapter = adapter(CONFIG);
    let (alice, mallory) = (alice(), Arc::new(fixture::chain(2, &["summarizer.*"])));
    begin(&adapter, &alice, "t1").await;
    begin(&adapter, &alice, "t2").await;
    let rpc = |result: Value| json!({ "jsonrpc": "2.0", "id": "x", "result": result });
    // An event of a stream names it as well as a reply does.
    let sending = map(&adapter, "POST", "/", send("summarize"), &mallory).await;
    let mut learns = sending.unwrap().hooks.remove(0);
    for taken in [
        json!({ "task": { "id": "t1" } }),
        json!({ "statusUpdate": { "taskId": "t1" } }),
        json!({ "task": { "id": "t9", "contextId": "c1" } }),
        json!({ "message": { "contextId": "c1" } }),
    ] {
        assert_eq!(learns.message(StatusCode::OK, &mut rpc(taken)), Touched::Withhold);
    }
    let mut fresh = rpc(json!({ "task": { "id": "t8", "contextId": "c8" } }));
    assert_eq!(learns.message(StatusCode::OK, &mut fresh), Touched::No);

    let get = map(&adapter, "GET", "/tasks/t1", Value::Null, &alice).await;
    let mut shows = get.unwrap().hooks.remove(0);
    for (shown, touched) in [
        (json!({ "id": "t1", "contextId": "c1" }), Touched::No),
        (json!({ "id": "t8" }), Touched::Withhold),
        (json!({ "artifactUpdate": { "taskId": "t8" } }), Touched::Withhold),
        (json!({ "artifactUpdate": { "taskId": "t2" } }), Touched::No),
    ] {
        assert_eq!(shows.message(StatusCode::OK, &mut shown.clone()), touched, "{shown}");
    }
    // The id of a JSON-RPC reply is no task's.
    let get = map(&adapter, "POST", "/", about("GetTask", "t1"), &alice).await;
    let mut reply = rpc(json!({ "id": "t1" }));
    assert_eq!(get.unwrap().hooks[0].message(StatusCode::OK, &mut reply), Touched::No);
}

#[rstest]
#[case::both(json!({ "tasks": [{ "id": "t1" }, { "id": "t2" }], "totalSize": 2, "nextPageToken": "n", "more": 1 }), json!([{ "id": "t1" }]))]
#[case::none(json!({ "totalSize": 7 }), json!([]))]
#[tokio::test]
async fn a_list_shows_ones_own(#[case] listed: Value, #[case] own: Value) {
    let adapter = adapter(CONFIG);
    let alice = alice();
    begin(&adapter, &alice, "t1").await;
    let size = own.as_array().unwrap().len();
    let next = listed.get("nextPageToken").cloned().unwrap_or_else(|| "".into());
    let expected =
        json!({ "tasks": own, "totalSize": size, "pageSize": size, "nextPageToken": next });
    let mut mapped = map(&adapter, "GET", "/tasks", Value::Null, &alice).await.unwrap();
    let mut list = listed.clone();
    assert_eq!(mapped.hooks[0].message(StatusCode::OK, &mut list), Touched::Yes);
    assert_eq!(list, expected);
    let rpc = json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {} });
    let mut mapped = map(&adapter, "POST", "/", rpc, &alice).await.unwrap();
    let mut list = json!({ "jsonrpc": "2.0", "id": 1, "result": listed });
    assert_eq!(mapped.hooks[0].message(StatusCode::OK, &mut list), Touched::Yes);
    assert_eq!(list["result"], expected);
}

#[rstest]
#[case::refused("/", send("translate").to_string(), Some(json!("1")), None)]
#[case::version("/old", send("summarize").to_string(), None, Some(A2aError::VersionNotSupported))]
#[case::no_json("/", "{".to_owned(), Some(Value::Null), Some(A2aError::Parse))]
#[case::two_readings("/", r#"{"id":7,"id":8}"#.to_owned(), Some(json!(8)), Some(A2aError::InvalidRequest))]
#[case::no_version_of_rpc("/", r#"{"id":7}"#.to_owned(), Some(json!(7)), Some(A2aError::InvalidRequest))]
#[case::unknown("/", json!({"jsonrpc":"2.0","id":7,"method":"message/send"}).to_string(), Some(json!(7)), Some(A2aError::MethodNotFound))]
#[case::push("/", json!({"jsonrpc":"2.0","id":7,"method":"CreateTaskPushNotificationConfig"}).to_string(), Some(json!(7)), Some(A2aError::PushNotificationNotSupported))]
#[case::rest_push("/tasks/t/pushNotificationConfigs", "{}".to_owned(), None, Some(A2aError::PushNotificationNotSupported))]
#[case::rest_unknown("/tasks/t:resubmit", "{}".to_owned(), None, Some(A2aError::UnsupportedOperation))]
fn a_refusal_answers_in_the_binding_that_was_spoken(
    #[case] path: &str,
    #[case] body: String,
    #[case] id: Option<Value>,
    #[case] error: Option<A2aError>,
) {
    let version = if path == "/old" { "0.3" } else { "1.0" };
    let request = Request::post("/x").header("A2A-Version", version);
    let request = request.header("Content-Type", "application/a2a+json").body(()).unwrap();
    let (parts, ()) = request.into_parts();
    let inbound = Inbound { parts: &parts, path, body: Some(Bytes::from(body)) };
    let stop = adapter(CONFIG).map(inbound, Some(&alice())).err().unwrap();
    assert_eq!(stop.form.as_deref(), Some(&RefusalForm::A2a { id, error }));
}

#[rstest]
#[case::rpc("/", send("summarize"), "application/json; charset=utf-16", Ok("application/json"))]
#[case::rest("/message:send", send("summarize")["params"].clone(), "application/a2a+json", Ok("application/a2a+json"))]
#[case::form("/message:send", send("summarize")["params"].clone(), "application/x-www-form-urlencoded", Err("unsupported_media_type"))]
fn of_an_agents_headers_only_the_known_and_the_passed_go_on(
    #[case] path: &str,
    #[case] body: Value,
    #[case] media: &str,
    #[case] expected: Result<&str, &str>,
) {
    let adapter = adapter(&format!("pass_headers = [\"X-Region\"]\n{CONFIG}"));
    let mut request = Request::post("/x").header("Content-Type", media);
    let given = [
        ("a2a-version", "1.0"),
        ("a2a-extensions", "urn:x"),
        ("x-region", "eu"),
        ("x-user", "root"),
        ("x-forwarded-user", "root"),
        ("content-encoding", "gzip"),
    ];
    for (name, value) in given {
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = Some(Bytes::from(body.to_string()));
    let mapped = adapter.map(Inbound { parts: &parts, path, body }, Some(&alice()));
    match (mapped, expected) {
        (Ok(mapped), Ok(media)) => {
            let headers = mapped.outgoing.headers;
            let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["a2a-extensions", "a2a-version", "content-type", "x-region"]);
            assert_eq!(headers["content-type"], media);
        }
        (mapped, expected) => assert_eq!(Err(refused(mapped)), expected.map(|_| "")),
    }
    assert!(compile(&format!("pass_headers = [\"Cookie\"]\n{CONFIG}")).is_err());
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
    let mut mapped = adapter.map(inbound, None).unwrap();
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
    assert!(compile("").is_err());
    assert!(compile(&format!("default_skill = \"x\"\n{CONFIG}")).is_err());
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
    begin(&adapter, &chain, "own").await;
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

#[tokio::test]
async fn the_same_task_may_be_named_twice() {
    let adapter = adapter(CONFIG);
    let alice = alice();
    begin(&adapter, &alice, "own").await;
    for (id, expected) in [("own", "mapped"), ("theirs", "malformed")] {
        let body = json!({ "id": id });
        let cancel = map(&adapter, "POST", "/tasks/own:cancel", body, &alice).await;
        assert_eq!(refused(cancel), expected);
    }
}
