use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::call::Mapped;

const CONFIG: &str = r#"
    [[operation]]
    method = "GET"
    path = "/contacts/{id}"
    scope = "crm.read"
    sensitivity = "internal"
    resource = "contact/{id}"
    argument = [{ name = "fields", in = "query", list = true }, { name = "limit", in = "query", type = "integer" }]

    [[operation]]
    method = "GET"
    path = "/contacts/me"
    scope = "crm.me"

    [[operation]]
    method = "POST"
    path = "/payments"
    scope = "bank.pay"
    argument = [
      { name = "amount", in = "body" },
      { name = "payee", in = "body", lower = true },
      { name = "iban", in = "body", pointer = "/to/iban" },
      { name = "note", in = "body", pointer = "/to/note" },
      { name = "X-Tenant", in = "header", as = "tenant" },
    ]

    [[operation]]
    method = "POST"
    path = "/forms"
    scope = "forms.send"
    body = "form"
    argument = [{ name = "to", in = "body" }, { name = "urgent", in = "body", type = "boolean" }]

    [[operation]]
    method = "PUT"
    path = "/files/{name}"
    scope = "files.write"
    body = "opaque"
"#;

fn route() -> RouteConfig {
    toml::from_str(
        r#"
        name = "crm"
        path = "/crm"
        upstream = "http://127.0.0.1:9"
        owner = "team"
        binding = "carries"
        sensitivity = "confidential"
        labels = ["crm"]
        "#,
    )
    .unwrap()
}

pub(super) fn adapter(config: &str) -> HttpAdapter {
    HttpAdapter::compile(&toml::from_str(config).unwrap(), &route()).unwrap()
}

pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Option<String>,
}

pub(super) fn ask(method: &'static str, target: &str) -> Ask {
    Ask { method, target: target.to_owned(), headers: Vec::new(), body: None }
}

pub(super) fn json_ask(target: &str, body: &str) -> Ask {
    Ask {
        method: "POST",
        target: target.to_owned(),
        headers: vec![("content-type", "application/json")],
        body: Some(body.to_owned()),
    }
}

pub(super) fn map(adapter: &HttpAdapter, ask: &Ask) -> Result<Mapped, Stop> {
    let mut request = Request::builder().method(ask.method).uri(format!("/crm{}", ask.target));
    for (name, value) in &ask.headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let path = parts.uri.path().strip_prefix("/crm").unwrap().to_owned();
    let body = adapter
        .reads_body(&parts, &path)
        .then(|| Bytes::from(ask.body.clone().unwrap_or_default()));
    adapter.map(Inbound { parts: &parts, path: &path, body })
}

fn told(ask: &Ask) -> Result<(String, Value, String, String), &'static str> {
    told_by(&adapter(CONFIG), ask)
}

/// Scope, arguments and what is forwarded.
pub(super) fn told_by(
    adapter: &HttpAdapter,
    ask: &Ask,
) -> Result<(String, Value, String, String), &'static str> {
    let mapped = map(adapter, ask).map_err(|stop| stop.code.code())?;
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    let outgoing = mapped.outgoing;
    let body = match outgoing.body {
        OutgoingBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => "untouched".to_owned(),
    };
    Ok((call.scope.to_string(), Value::Object(call.arguments), outgoing.path_and_query, body))
}

#[test]
fn what_decides_is_what_is_forwarded() {
    let (scope, arguments, path, body) =
        told(&ask("GET", "/contacts/a%20b/?limit=%35&fields=x&fields=y")).unwrap();
    assert_eq!(scope, "crm.read");
    assert_eq!(arguments, json!({ "id": "a b", "limit": 5, "fields": ["x", "y"] }));
    assert_eq!(path, "/contacts/a%20b?limit=5&fields=x&fields=y");
    assert_eq!(body, "");

    let mut pay = json_ask(
        "/payments",
        r#" {"amount": 5.50, "payee":"ALICE", "to":{"iban":"GB1","note":"n"}} "#,
    );
    pay.headers.push(("x-tenant", "acme"));
    let (scope, arguments, _, body) = told(&pay).unwrap();
    assert_eq!(scope, "bank.pay");
    let told =
        json!({ "amount": 5.5, "payee": "alice", "iban": "GB1", "note": "n", "tenant": "acme" });
    assert_eq!(arguments, told);
    assert_eq!(body, r#"{"amount":5.5,"payee":"alice","to":{"iban":"GB1","note":"n"}}"#);
}

#[test]
fn literal_segments_come_before_parameters() {
    assert_eq!(told(&ask("GET", "/contacts/me")).unwrap().0, "crm.me");
    assert_eq!(told(&ask("GET", "/contacts/%6de")).unwrap().0, "crm.me");
    assert_eq!(told(&ask("GET", "/contacts/Me")).err(), Some("malformed"), "for some it is me");
    assert_eq!(told(&ask("GET", "/contacts/men")).unwrap().0, "crm.read");
}

#[test]
fn labels_and_sensitivity_are_the_operations_or_the_routes() {
    let mapped = map(&adapter(CONFIG), &ask("GET", "/contacts/7")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.resource.id, "contact/7");
    assert_eq!(call.resource.sensitivity, Sensitivity::Internal);
    assert_eq!(call.resource.labels, ["crm"]);
    assert_eq!(call.effect, CallEffect::Read);
    let mapped = map(&adapter(CONFIG), &json_ask("/payments", r#"{"amount":1}"#)).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.resource.sensitivity, Sensitivity::Confidential);
    assert_eq!(call.effect, CallEffect::Unknown, "nobody said what it does");
}

#[test]
fn an_upload_streams_and_a_form_is_read() {
    let mut put = ask("PUT", "/files/a");
    put.body = Some("anything".to_owned());
    assert_eq!(told(&put).unwrap().3, "untouched");
    let mut form = json_ask("/forms", "to=a%40b&urgent=true");
    form.headers = vec![("content-type", "application/x-www-form-urlencoded")];
    let (_, arguments, _, body) = told(&form).unwrap();
    assert_eq!(arguments, json!({ "to": "a@b", "urgent": true }));
    assert_eq!(body, "to=a%40b&urgent=true");
}

#[rstest]
#[case::unknown_path(ask("GET", "/secrets"), "not_found")]
#[case::unknown_method(ask("DELETE", "/contacts/7"), "method_not_allowed")]
#[case::undeclared_query(ask("GET", "/contacts/7?admin=1"), "malformed")]
#[case::method_in_the_query(ask("GET", "/contacts/7?_method=DELETE"), "malformed")]
#[case::said_twice(ask("GET", "/contacts/7?limit=1&limit=2"), "duplicate_member")]
#[case::not_a_number(ask("GET", "/contacts/7?limit=0x10"), "malformed")]
#[case::not_whole(ask("GET", "/contacts/7?limit=1.5"), "malformed")]
#[case::semicolon(ask("GET", "/contacts/7?limit=1;limit=2"), "malformed")]
#[case::encoded_slash(ask("GET", "/contacts/7%2f..%2f..%2fadmin"), "malformed")]
#[case::above(ask("GET", "/../admin"), "malformed")]
#[case::body_where_none_is(Ask { body: Some("{}".into()), ..ask("GET", "/contacts/7") }, "malformed")]
#[case::undeclared_member(json_ask("/payments", r#"{"amount":1,"bonus":2}"#), "malformed")]
#[case::member_twice(json_ask("/payments", r#"{"amount":1,"amount":999}"#), "duplicate_member")]
#[case::no_object(json_ask("/payments", "[1]"), "malformed")]
#[case::other_media(Ask { headers: vec![("content-type", "text/plain")], ..json_ask("/payments", "{}") }, "unsupported_media_type")]
#[case::other_charset(Ask { headers: vec![("content-type", "application/json; charset=utf-7")], ..json_ask("/payments", "{}") }, "unsupported_media_type")]
#[case::override_header(Ask { headers: vec![("x-http-method-override", "DELETE")], ..ask("GET", "/contacts/7") }, "malformed")]
#[case::another_url(Ask { headers: vec![("x-original-url", "/admin")], ..ask("GET", "/contacts/7") }, "malformed")]
#[case::another_place(Ask { headers: vec![("x-override-url", "/admin")], ..ask("GET", "/contacts/7") }, "malformed")]
#[case::beside_what_is_declared(
    json_ask("/payments", r#"{"to":{"iban":"GB1","account":"GB2"}}"#),
    "malformed"
)]
#[case::in_another_case(
    json_ask("/payments", r#"{"to":{"iban":"GB1","IBAN":"GB2"}}"#),
    "malformed"
)]
#[case::another_shape(json_ask("/payments", r#"{"to":"GB2"}"#), "malformed")]
#[case::a_list_of_it(json_ask("/payments", r#"{"to":[{"iban":"GB2"}]}"#), "malformed")]
#[case::two_names_that_are_one(
    json_ask("/payments", "{\"amount\":1,\"\u{e9}\":1,\"e\u{301}\":2}"),
    "duplicate_member"
)]
#[case::text_that_ends(
    json_ask("/payments", r#"{"payee":"alice\u0000@evil.example"}"#),
    "malformed"
)]
#[case::text_that_turns(json_ask("/payments", "{\"payee\":\"\u{202e}ecila\"}"), "malformed")]
#[case::beyond_exactness(json_ask("/payments", r#"{"amount":9007199254740993}"#), "malformed")]
#[case::compressed(Ask { headers: vec![("content-type", "application/json"), ("content-encoding", "deflate")], ..json_ask("/payments", "{}") }, "unsupported_media_type")]
#[case::spaced_charset(Ask { headers: vec![("content-type", "application/json; charset =utf-16")], ..json_ask("/payments", "{}") }, "unsupported_media_type")]
#[case::two_media(Ask { headers: vec![("content-type", "application/json"), ("content-type", "text/plain")], ..json_ask("/payments", "{}") }, "unsupported_media_type")]
#[case::a_form_as_upload(Ask { headers: vec![("content-type", "application/x-www-form-urlencoded")], body: Some("_method=DELETE".into()), ..ask("PUT", "/files/a") }, "unsupported_media_type")]
#[case::encoded_backslash(ask("GET", "/contacts/a%5Cb"), "malformed")]
#[case::null_byte(ask("GET", "/contacts/a%00"), "malformed")]
#[case::empty_then_up(ask("GET", "/contacts//../admin"), "malformed")]
#[case::matrix(ask("GET", "/contacts;v=1/7"), "malformed")]
#[case::header_twice(Ask { headers: vec![("content-type", "application/json"), ("x-tenant", "a"), ("x-tenant", "b")], ..json_ask("/payments", "{}") }, "malformed")]
fn what_is_not_declared_or_has_two_readings_is_refused(#[case] ask: Ask, #[case] code: &str) {
    assert_eq!(told(&ask).map(|_| "mapped").unwrap_or_else(|code| code), code);
}

#[test]
fn what_is_passed_undeclared_is_seen_under_its_own_name() {
    let passing = adapter(&format!("undeclared = \"pass\"\n{CONFIG}"));
    let mapped = map(&passing, &ask("GET", "/contacts/7?admin=1")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(Value::Object(call.arguments), json!({ "id": "7", "admin": "1" }));
    // It cannot stand in for another argument, whatever a generous upstream makes of its name.
    for name in [
        "id",
        "ID",
        "id[]",
        "_id",
        "limit%5B0%5D",
        "Limit",
        "calls",
        "sensitivity",
        "_method",
        "X-HTTP-Method-Override",
    ] {
        let refused = map(&passing, &ask("GET", &format!("/contacts/7?{name}=8")));
        assert_eq!(refused.err().unwrap().code.code(), "malformed", "{name}");
    }
    for body in [r#"{"Amount":9}"#, r#"{"to":{"IBAN":"GB2"}}"#, r#"{"_method":"DELETE"}"#] {
        assert_eq!(
            map(&passing, &json_ask("/payments", body)).err().unwrap().code.code(),
            "malformed",
            "{body}"
        );
    }
    assert!(map(&passing, &json_ask("/payments", r#"{"amount":1,"method":"card"}"#)).is_ok());
}

fn post(argument: &str) -> String {
    format!(
        "[[operation]]\nmethod = \"POST\"\npath = \"/a\"\nscope = \"a.b\"\nargument = [{argument}]"
    )
}

#[rstest]
#[case("", "would be refused")]
#[case("[[operation]]\nmethod = \"get\"\npath = \"/a\"\nscope = \"a.b\"", "in capitals")]
#[case("[[operation]]\nmethod = \"GET\"\npath = \"a\"\nscope = \"a.b\"", "does not begin with")]
#[case(
    "[[operation]]\nmethod = \"GET\"\npath = \"/a/{b\"\nscope = \"a.b\"",
    "neither a plain segment"
)]
#[case("[[operation]]\nmethod = \"GET\"\npath = \"/a\"\nscope = \"a b\"", "no scope")]
#[case(
    "[[operation]]\nmethod = \"GET\"\npath = \"/a/{b}\"\nscope = \"a.b\"\nargument = [{ name = \"b\", in = \"query\" }]",
    "called `b`"
)]
#[case(
    "[[operation]]\nmethod = \"GET\"\npath = \"/a/{b}\"\nscope = \"a.b\"\n[[operation]]\nmethod = \"GET\"\npath = \"/a/{c}\"\nscope = \"a.c\"",
    "match the same requests"
)]
#[case("openapi = \"/nowhere.yaml\"", "cannot read")]
#[case("[mapping.x]\nscope = \"a.b\"", "needs an `openapi`")]
#[case("pass_headers = [\"Authorization\"]", "never goes on")]
#[case("pass_headers = [\"X-Original-URL\"]", "never goes on")]
#[case(&post("{ name = \"cookie\", in = \"header\" }"), "never goes on")]
#[case(&post("{ name = \"sensitivity\", in = \"body\" }"), "gateway's own")]
#[case(&post("{ name = \"n\", in = \"body\", as = \"calls\" }"), "gateway's own")]
#[case(&post("{ name = \"_method\", in = \"query\" }"), "makes a request another one")]
#[case(&post("{ name = \"n\", in = \"body\", list = true }"), "several times")]
#[case(&post("{ name = \"n\", in = \"path\" }"), "no such parameter")]
#[case(&post("{ name = \"n\", in = \"query\", pointer = \"/n\" }"), "into a JSON body")]
#[case(&post("{ name = \"n\", in = \"query\", type = \"integer\", default = \"x\" }"), "its default")]
#[case(&post("{ name = \"n\", in = \"query\", required = true, default = \"x\" }"), "no default")]
#[case(&post("{ name = \"n\", in = \"query\", lower = true, value = \"X\" }"), "canonical form")]
#[case(&format!("{}\nresource = \"x/{{y}}\"", post("{ name = \"n\", in = \"query\" }")), "no argument")]
#[case(&format!("{}\nmedia = [\"text/csv\"]", post("{ name = \"n\", in = \"query\" }")), "opaque")]
#[case(&format!("{}\n{}\nbody = \"form\"", post("{ name = \"n\", in = \"query\", value = \"a\" }"), post("{ name = \"n\", in = \"query\", value = \"b\" }")), "in different ways")]
#[case(&format!("{}\n{}", post("{ name = \"n\", in = \"query\", value = \"a\" }"), post("{ name = \"m\", in = \"query\", value = \"b\" }")), "match the same requests")]
fn a_configuration_that_cannot_work_says_why(#[case] config: &str, #[case] why: &str) {
    let faults = HttpAdapter::compile(&toml::from_str(config).unwrap(), &route()).err().unwrap();
    assert!(faults.iter().any(|fault| fault.contains(why)), "{faults:?}");
}

#[test]
fn only_what_is_known_or_declared_goes_on_in_headers() {
    let mut pay = json_ask("/payments", r#"{"amount":1}"#);
    pay.headers = vec![
        ("content-type", "Application/JSON; charset=UTF-8"),
        ("x-tenant", "acme"),
        ("x-amz-copy-source", "/other/secret"),
        ("x-passed", "yes"),
        ("accept", "application/json"),
        ("authorization", "DPoP secret"),
        ("content-md5", "AAAA"),
    ];
    let passing = adapter(&format!("pass_headers = [\"X-Passed\"]\n{CONFIG}"));
    let outgoing = map(&passing, &pay).unwrap().outgoing;
    let mut names: Vec<&str> = outgoing.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-type", "x-passed", "x-tenant"]);
    assert_eq!(outgoing.headers["content-type"], "application/json", "one reading of it");
}

const ACTIONS: &str = r#"
    [[operation]]
    method = "POST"
    path = "/"
    scope = "queue.send"
    body = "form"
    argument = [
      { name = "Action", in = "body", value = "SendMessage" },
      { name = "MessageBody", in = "body", as = "text", required = true },
      { name = "DelaySeconds", in = "body", type = "integer", default = 0 },
    ]

    [[operation]]
    method = "POST"
    path = "/"
    scope = "queue.delete"
    body = "form"
    argument = [{ name = "Action", in = "body", value = "DeleteQueue" }]

    [[operation]]
    method = "POST"
    path = "/rpc"
    scope = "mail.send"
    argument = [
      { name = "op", in = "body", value = "send" },
      { name = "recipients", in = "body", pointer = "/to/*/address", lower = true },
      { name = "names", in = "body", pointer = "/to/*/name" },
    ]

    [[operation]]
    method = "POST"
    path = "/batch"
    scope = "mail.batch"
    argument = [{ name = "changes", in = "body", pointer = "" }]

    [[operation]]
    method = "GET"
    path = "/rows"
    scope = "rows.read"
    resource = "rows/{table}"
    argument = [
      { name = "table", in = "query", required = true, lower = true },
      { name = "limit", in = "query", type = "integer", as = "rows", default = 50 },
      { name = "columns", in = "query", comma = true },
      { name = "X-Schema", in = "header", default = "public" },
    ]

    [[operation]]
    method = "PUT"
    path = "/objects/{bucket}/{key+}"
    scope = "objects.write"
    resource = "{bucket}/{key}"
    body = "opaque"
    media = ["text/csv"]

    [[operation]]
    method = "GET"
    path = "/projects/{id}/"
    scope = "projects.read"
    resource = "project/{id}"
    argument = [{ name = "id", in = "path", slash = true }]
"#;

fn acts(ask: &Ask) -> Result<(String, Value, String, String), &'static str> {
    told_by(&adapter(ACTIONS), ask)
}

fn form(body: &str) -> Ask {
    let headers = vec![("content-type", "application/x-www-form-urlencoded")];
    Ask { headers, ..json_ask("/", body) }
}

#[test]
fn what_a_request_says_makes_it_one_operation_and_no_other() {
    let (scope, arguments, _, body) = acts(&form("Action=SendMessage&MessageBody=a%0Ab")).unwrap();
    assert_eq!(scope, "queue.send");
    assert_eq!(arguments, json!({ "Action": "SendMessage", "text": "a\nb", "DelaySeconds": 0 }));
    assert_eq!(body, "Action=SendMessage&MessageBody=a%0Ab&DelaySeconds=0");
    assert_eq!(acts(&form("Action=DeleteQueue")).unwrap().0, "queue.delete");
    assert_eq!(acts(&form("%41ction=Delete%51ueue")).unwrap().0, "queue.delete");
    for none in [
        "",
        "Action=",
        "Action=PurgeQueue",
        "action=DeleteQueue",
        "Action=DeleteQueue&Action=SendMessage",
    ] {
        assert_eq!(acts(&form(none)).err(), Some("not_found"), "{none}");
    }
    assert_eq!(
        acts(&form("Action=DeleteQueue&Action=DeleteQueue")).err(),
        Some("duplicate_member")
    );
    assert_eq!(acts(&form("Action=DeleteQueue&MessageBody=x")).err(), Some("malformed"));
    assert_eq!(acts(&form("Action=SendMessage")).err(), Some("malformed"), "a required argument");
}

#[test]
fn every_item_of_a_list_is_seen() {
    let body =
        r#"{"op":"send","to":[{"address":"A@x.example","name":"A"},{"address":"b@x.example"}]}"#;
    let (_, arguments, _, body) = acts(&json_ask("/rpc", body)).unwrap();
    let told =
        json!({ "op": "send", "recipients": ["a@x.example", "b@x.example"], "names": ["A"] });
    assert_eq!(arguments, told);
    assert!(body.contains("a@x.example"), "{body}");
    let (_, arguments, ..) = acts(&json_ask("/rpc", r#"{"op":"send","to":[]}"#)).unwrap();
    assert_eq!(arguments["recipients"], json!([]));
    for hidden in [
        r#"{"op":"send","to":[{"address":"a@x","bcc":"e@evil"}]}"#,
        r#"{"op":"send","to":{"address":"e@evil"}}"#,
        r#"{"op":"send","to":{"0":{"address":"e@evil"}}}"#,
        r#"{"op":"send","to":["e@evil"]}"#,
        r#"{"op":"send","to":[[{"address":"e@evil"}]]}"#,
    ] {
        assert_eq!(acts(&json_ask("/rpc", hidden)).err(), Some("malformed"), "{hidden}");
    }
    let (_, arguments, ..) = acts(&json_ask("/batch", "[1,{\"a\":2}]")).unwrap();
    assert_eq!(arguments, json!({ "changes": [1, {"a": 2}] }));
}

#[test]
fn what_an_upstream_would_assume_is_said_and_decided_on() {
    let (_, arguments, path, _) = acts(&ask("GET", "/rows?table=Users")).unwrap();
    assert_eq!(arguments, json!({ "table": "users", "rows": 50, "X-Schema": "public" }));
    assert_eq!(path, "/rows?table=users&limit=50");
    let (_, arguments, path, _) =
        acts(&ask("GET", "/rows?limit=7&table=t&columns=a,b%2Cc")).unwrap();
    assert_eq!(arguments["rows"], 7);
    assert_eq!(arguments["columns"], json!(["a", "b", "c"]));
    assert_eq!(path, "/rows?limit=7&table=t&columns=a%2Cb%2Cc");
    let outgoing = map(&adapter(ACTIONS), &ask("GET", "/rows?table=t")).unwrap().outgoing;
    assert_eq!(outgoing.headers["x-schema"], "public");
}

#[test]
fn the_rest_of_a_path_is_one_argument() {
    let csv =
        |target: &str| Ask { headers: vec![("content-type", "Text/CSV")], ..ask("PUT", target) };
    let adapter = adapter(ACTIONS);
    let mapped = map(&adapter, &csv("/objects/b/x/y%20z//./w")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(Value::Object(call.arguments), json!({ "bucket": "b", "key": "x/y z/w" }));
    assert_eq!(call.resource.id, "b/x/y z/w");
    assert_eq!(
        acts(&csv("/objects/b/x/../../c/y")).unwrap().1,
        json!({ "bucket": "c", "key": "y" })
    );
    assert_eq!(acts(&csv("/objects/b")).err(), Some("not_found"));
    assert_eq!(acts(&csv("/objects/b/x%2Fy")).err(), Some("malformed"));
    assert_eq!(acts(&ask("PUT", "/objects/b/x")).err(), Some("unsupported_media_type"));
    let page = Ask { headers: vec![("content-type", "text/html")], ..ask("PUT", "/objects/b/x") };
    assert_eq!(acts(&page).err(), Some("unsupported_media_type"));
}

#[test]
fn an_encoded_slash_stands_only_where_it_may() {
    let mapped = map(&adapter(ACTIONS), &ask("GET", "/projects/group%2fproject")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    let outgoing = mapped.outgoing;
    assert_eq!(call.arguments["id"], "group/project");
    assert_eq!(call.resource.id, "project/group%2Fproject");
    assert_eq!(outgoing.path_and_query, "/projects/group%2Fproject/");
    for path in
        ["/projects/..%2f..", "/projects/a%2f..%2fb", "/projects/a%2f%2fb", "/projects/%2fa"]
    {
        assert_eq!(acts(&ask("GET", path)).err(), Some("malformed"), "{path}");
    }
    assert_eq!(told(&ask("GET", "/contacts/a%2fb")).err(), Some("malformed"), "another operation");
}

#[test]
fn nothing_where_something_is_required_is_nothing() {
    assert_eq!(acts(&ask("GET", "/rows")).err(), Some("malformed"));
    let required = adapter(
        "[[operation]]\nmethod = \"POST\"\npath = \"/a\"\nscope = \"a.b\"\nargument = [{ name = \"n\", in = \"body\", required = true }]",
    );
    for body in ["", "{}", r#"{"n":null}"#] {
        assert_eq!(told_by(&required, &json_ask("/a", body)).err(), Some("malformed"), "{body}");
    }
    assert!(told_by(&required, &json_ask("/a", r#"{"n":0}"#)).is_ok());
}

proptest! {
    /// However the id is spelled, one form decides and that form is forwarded.
    #[test]
    fn no_spelling_slips_past(id in "[a-zA-Z0-9 _.~-]{1,12}", bits: u32) {
        prop_assume!(id.trim() != "." && id.trim() != ".." && id.to_lowercase() != "me" && id != "." && id != "..");
        let spelled: String = id.bytes().enumerate().map(|(at, byte)| {
            if (bits >> (at % 32)) & 1 == 0 || byte == b' ' { format!("%{byte:02X}") } else { char::from(byte).to_string() }
        }).collect();
        let (_, arguments, path, _) = told(&ask("GET", &format!("/contacts/./{spelled}/"))).unwrap();
        prop_assert_eq!(&arguments["id"], &json!(id));
        let again = told(&ask("GET", &path)).unwrap();
        prop_assert_eq!(again.1, arguments);
        prop_assert_eq!(again.2, path);
    }

    /// Whatever body is served, its canonical form is served as itself, with the same arguments; and
    /// every leaf of what is forwarded is in an argument.
    #[test]
    fn a_canonical_body_is_its_own_canonical_form(value in body_value()) {
        let ask = json_ask("/payments", &value.to_string());
        if let Ok((_, arguments, _, body)) = told(&ask) {
            let again = told(&json_ask("/payments", &body)).unwrap();
            prop_assert_eq!(&again.1, &arguments);
            prop_assert_eq!(&again.3, &body);
            let sent: Value = serde_json::from_str(&body).unwrap();
            let mut leaves = Vec::new();
            leaves_of(&sent, &mut leaves);
            let mut seen = Vec::new();
            leaves_of(&Value::Object(arguments.as_object().unwrap().clone()), &mut seen);
            for leaf in leaves {
                prop_assert!(seen.contains(&leaf), "{} goes on unseen", leaf);
            }
        }
    }

    /// Another spelling of the same JSON, with spaces and escapes, decides alike.
    #[test]
    fn a_body_decides_alike_however_it_is_written(payee in "[a-zé]{1,8}", amount in 0_u32..10_000, space in "[ \n\t]{0,3}", escape: bool) {
        let spelled: String = if escape {
            payee.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
        } else {
            payee.clone()
        };
        let plain = told(&json_ask("/payments", &json!({ "amount": amount, "payee": payee }).to_string())).unwrap();
        let text = format!("{space}{{{space}\"payee\"{space}:\"{spelled}\",{space}\"amount\":{amount}{space}}}");
        let other = told(&json_ask("/payments", &text)).unwrap();
        prop_assert_eq!(plain.1, other.1);
        let bytes = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        prop_assert_eq!(bytes(&plain.3), bytes(&other.3));
    }

    /// No target whatever makes the gateway panic, and what it maps it maps to itself.
    #[test]
    fn a_mapped_target_is_mapped_to_itself(path in "(/[a-z%.2eF{};é ]{0,6}){0,5}", query in "[a-z%=&+0-9]{0,20}") {
        let target = format!("{}?{query}", if path.is_empty() { "/" } else { &path });
        prop_assume!(format!("/crm{target}").parse::<http::Uri>().is_ok());
        for config in [CONFIG, ACTIONS] {
            let adapter = adapter(config);
            if let Ok((scope, arguments, path, _)) = told_by(&adapter, &ask("GET", &target)) {
                let again = told_by(&adapter, &ask("GET", &path)).unwrap();
                prop_assert_eq!((again.0, again.1, again.2), (scope, arguments, path));
            }
        }
    }
}

/// Bodies of a payment, some of them odd.
fn body_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1000_i32..1000).prop_map(Value::from),
        "[a-zA-Zé\u{301}\n\u{202e}]{0,5}".prop_map(Value::from),
    ];
    let name = || {
        prop_oneof![
            Just("amount"),
            Just("payee"),
            Just("to"),
            Just("iban"),
            Just("note"),
            Just("IBAN"),
            Just("x")
        ]
    };
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4).prop_map(|members| Value::Object(
                members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()
            )),
        ]
    })
}

fn leaves_of(value: &Value, leaves: &mut Vec<Value>) {
    match value {
        Value::Object(members) => members.values().for_each(|it| leaves_of(it, leaves)),
        Value::Array(items) => items.iter().for_each(|it| leaves_of(it, leaves)),
        Value::Null => {}
        leaf => leaves.push(leaf.clone()),
    }
}

#[test]
fn what_envoy_sends_as_it_came_has_to_say_the_same() {
    assert!(says_the_same(b"{ \"a\" : 1 }", b"{\"a\":1}"));
    assert!(!says_the_same(b"{\"a\":\"A\"}", b"{\"a\":\"a\"}"));
    assert!(!says_the_same(b"{}", b"{\"a\":1}"));
    assert!(says_the_same(b"a=b+c", b"a=b%20c") && !says_the_same(b"a=B", b"a=b"));
    assert!(!says_the_same(b"", b"{\"a\":1}") && says_the_same(b"", b""));
}
