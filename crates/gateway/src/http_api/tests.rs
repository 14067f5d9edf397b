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

fn adapter(config: &str) -> HttpAdapter {
    HttpAdapter::compile(&toml::from_str(config).unwrap(), &route()).unwrap()
}

struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<String>,
}

fn ask(method: &'static str, target: &str) -> Ask {
    Ask { method, target: target.to_owned(), headers: Vec::new(), body: None }
}

fn json_ask(target: &str, body: &str) -> Ask {
    Ask {
        method: "POST",
        target: target.to_owned(),
        headers: vec![("content-type", "application/json")],
        body: Some(body.to_owned()),
    }
}

fn map(adapter: &HttpAdapter, ask: &Ask) -> Result<Mapped, Stop> {
    let mut request = Request::builder().method(ask.method).uri(format!("/crm{}", ask.target));
    for (name, value) in &ask.headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let path = parts.uri.path().strip_prefix("/crm").unwrap().to_owned();
    let body = adapter.reads_body(&parts, &path).then(|| {
        Bytes::from(ask.body.clone().unwrap_or_default())
    });
    adapter.map(Inbound { parts: &parts, path: &path, body })
}

/// Scope, arguments and what is forwarded.
fn told(ask: &Ask) -> Result<(String, Value, String, String), &'static str> {
    let mapped = map(&adapter(CONFIG), ask).map_err(|stop| stop.code.code())?;
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    let Forward::Upstream(outgoing) = mapped.forward else { panic!("answered") };
    let body = match outgoing.body {
        OutgoingBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => "untouched".to_owned(),
    };
    Ok((call.scope.to_string(), Value::Object(call.arguments), outgoing.path_and_query, body))
}

#[test]
fn what_decides_is_what_is_forwarded() {
    let (scope, arguments, path, body) = told(&ask("GET", "/contacts/a%20b/?limit=%35&fields=x&fields=y")).unwrap();
    assert_eq!(scope, "crm.read");
    assert_eq!(arguments, json!({ "id": "a b", "limit": 5, "fields": ["x", "y"] }));
    assert_eq!(path, "/contacts/a%20b?limit=5&fields=x&fields=y");
    assert_eq!(body, "");

    let mut pay = json_ask("/payments", r#" {"amount": 5.50, "payee":"ALICE", "to":{"iban":"GB1","note":"n"}} "#);
    pay.headers.push(("x-tenant", "acme"));
    let (scope, arguments, _, body) = told(&pay).unwrap();
    assert_eq!(scope, "bank.pay");
    assert_eq!(arguments, json!({ "amount": 5.5, "payee": "alice", "iban": "GB1", "tenant": "acme" }));
    assert_eq!(body, r#"{"amount":5.5,"payee":"alice","to":{"iban":"GB1","note":"n"}}"#);
}

#[test]
fn literal_segments_come_before_parameters() {
    assert_eq!(told(&ask("GET", "/contacts/me")).unwrap().0, "crm.me");
    assert_eq!(told(&ask("GET", "/contacts/%6de")).unwrap().0, "crm.me");
    assert_eq!(told(&ask("GET", "/contacts/Me")).unwrap().0, "crm.read");
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
    // It cannot stand in for another argument.
    assert_eq!(map(&passing, &ask("GET", "/contacts/7?id=8")).err().unwrap().code.code(), "duplicate_member");
}

#[rstest]
#[case("", "would be refused")]
#[case("[[operation]]\nmethod = \"get\"\npath = \"/a\"\nscope = \"a.b\"", "in capitals")]
#[case("[[operation]]\nmethod = \"GET\"\npath = \"a\"\nscope = \"a.b\"", "does not begin with")]
#[case("[[operation]]\nmethod = \"GET\"\npath = \"/a/{b\"\nscope = \"a.b\"", "neither a plain segment")]
#[case("[[operation]]\nmethod = \"GET\"\npath = \"/a\"\nscope = \"a b\"", "no scope")]
#[case("[[operation]]\nmethod = \"GET\"\npath = \"/a/{b}\"\nscope = \"a.b\"\nargument = [{ name = \"b\", in = \"query\" }]", "called `b`")]
#[case("[[operation]]\nmethod = \"GET\"\npath = \"/a/{b}\"\nscope = \"a.b\"\n[[operation]]\nmethod = \"GET\"\npath = \"/a/{c}\"\nscope = \"a.c\"", "match the same requests")]
#[case("openapi = \"/nowhere.yaml\"", "cannot read")]
fn a_configuration_that_cannot_work_says_why(#[case] config: &str, #[case] why: &str) {
    let faults = HttpAdapter::compile(&toml::from_str(config).unwrap(), &route()).err().unwrap();
    assert!(faults.iter().any(|fault| fault.contains(why)), "{faults:?}");
}

const OPENAPI: &str = r#"
openapi: 3.1.0
paths:
  /contacts/{id}:
    parameters:
      - { name: id, in: path, required: true, schema: { type: string } }
    get:
      operationId: getContact
      x-bailiwick-scope: crm.read
      x-bailiwick-sensitivity: internal
      x-bailiwick-labels: [crm, people]
      parameters:
        - $ref: '#/components/parameters/limit'
    delete:
      operationId: deleteContact
  /notes:
    post:
      operationId: addNote
      x-bailiwick-effect: write
      x-bailiwick-scope: crm.note
      requestBody:
        content:
          application/json:
            schema: { $ref: '#/components/schemas/Note' }
components:
  parameters:
    limit: { name: limit, in: query, schema: { type: integer } }
  schemas:
    Note: { type: object, properties: { text: { type: string }, contact: { type: string } } }
"#;

#[test]
fn operations_come_from_an_openapi_document() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("crm.yaml");
    std::fs::write(&path, OPENAPI).unwrap();
    let load = |extra: &str| adapter(&format!("openapi = {:?}\n{extra}", path.display().to_string()));
    let documented = load("");
    let mapped = map(&documented, &ask("GET", "/contacts/7?limit=3")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.scope.to_string(), "crm.read");
    assert_eq!(Value::Object(call.arguments), json!({ "id": "7", "limit": 3 }));
    assert_eq!(call.resource.labels, ["crm", "people"]);
    let mapped = map(&documented, &json_ask("/notes", r#"{"text":"t","contact":"7"}"#)).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.scope.to_string(), "crm.note");
    let code = |adapter: &HttpAdapter, ask: Ask| map(adapter, &ask).map_or_else(|s| s.code.code(), |_| "mapped");
    assert_eq!(code(&documented, json_ask("/notes", r#"{"text":"t","owner":"x"}"#)), "malformed");
    // Without a scope an operation is not served; a template gives it one.
    assert_eq!(code(&documented, ask("DELETE", "/contacts/7")), "method_not_allowed");
    let templated = load("scope_template = \"crm.{operationId}\"");
    let mapped = map(&templated, &ask("DELETE", "/contacts/7")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.scope.to_string(), "crm.deleteContact");
}

#[rstest]
#[case("openapi: 2.0.0\npaths: {}", "3.0 and 3.1")]
#[case("openapi: 3.0.0", "no `paths`")]
#[case("openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, parameters: [{$ref: '#/no'}]}}}", "leads nowhere")]
#[case("openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, x-bailiwick-effect: look}}}", "x-bailiwick-effect")]
#[case("openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, parameters: [{name: s, in: cookie}]}}}", "not served")]
fn a_document_that_cannot_be_served_says_why(#[case] text: &str, #[case] why: &str) {
    let document: Value = serde_saphyr::from_str(text).unwrap();
    let fault = openapi::operations(&document, None).err().unwrap();
    assert!(fault.contains(why), "{fault}");
}

proptest! {
    /// However the id is spelled, one form decides and that form is forwarded.
    #[test]
    fn no_spelling_slips_past(id in "[a-zA-Z0-9 _.~-]{1,12}", bits: u32) {
        prop_assume!(id.trim() != "." && id.trim() != ".." && id != "me" && id != "." && id != "..");
        let spelled: String = id.bytes().enumerate().map(|(at, byte)| {
            if (bits >> (at % 32)) & 1 == 0 || byte == b' ' { format!("%{byte:02X}") } else { char::from(byte).to_string() }
        }).collect();
        let (_, arguments, path, _) = told(&ask("GET", &format!("/contacts/./{spelled}/"))).unwrap();
        prop_assert_eq!(&arguments["id"], &json!(id));
        let again = told(&ask("GET", &path)).unwrap();
        prop_assert_eq!(again.1, arguments);
        prop_assert_eq!(again.2, path);
    }
}
