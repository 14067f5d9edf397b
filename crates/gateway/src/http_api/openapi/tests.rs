use rstest::rstest;
use serde_json::{Value, json};

use super::super::tests::{Ask, adapter, ask, json_ask, map, told_by};
use super::*;
use crate::call::{Asked, CallEffect};
use crate::http_api::HttpAdapter;
use crate::http_api::argument::Kind;

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
    let load =
        |extra: &str| adapter(&format!("openapi = {:?}\n{extra}", path.display().to_string()));
    let documented = load("");
    let mapped = map(&documented, &ask("GET", "/contacts/7?limit=3")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.scope.to_string(), "crm.read");
    assert_eq!(Value::Object(call.arguments), json!({ "id": "7", "limit": 3 }));
    assert_eq!(call.resource.labels, ["crm", "people"]);
    let mapped = map(&documented, &json_ask("/notes", r#"{"text":"t","contact":"7"}"#)).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.scope.to_string(), "crm.note");
    let code = |adapter: &HttpAdapter, ask: Ask| {
        map(adapter, &ask).map_or_else(|s| s.code.code(), |_| "mapped")
    };
    assert_eq!(code(&documented, json_ask("/notes", r#"{"text":"t","owner":"x"}"#)), "malformed");
    // Without a scope an operation is not served; a template gives it one.
    assert_eq!(code(&documented, ask("DELETE", "/contacts/7")), "method_not_allowed");
    let templated = load("scope_template = \"crm.{operationId}\"");
    let mapped = map(&templated, &ask("DELETE", "/contacts/7")).unwrap();
    let Asked::Call(call) = mapped.asked else { panic!("not a call") };
    assert_eq!(call.scope.to_string(), "crm.deleteContact");
}

fn loaded(text: &str, config: &str) -> Result<Vec<OperationConfig>, Vec<String>> {
    let document: Value = serde_saphyr::from_str(text).unwrap();
    operations(&document, &toml::from_str(config).unwrap())
}

#[test]
fn what_a_document_does_not_say_is_mapped_by_its_ids() {
    let config = r#"
        [mapping.deleteContact]
        scope = "crm.delete"
        effect = "write"
        sensitivity = "restricted"
        labels = ["crm"]
        resource = "contact/{id}"
        needs = ["contact:Delete"]

        [mapping.getContact]
        scope = "crm.look"
        argument = [{ name = "limit", in = "query", type = "integer", as = "rows", default = 10 }]
    "#;
    let found = loaded(OPENAPI, config).unwrap();
    let of = |method: &str| found.iter().find(|it| it.method == method).unwrap();
    assert_eq!(of("DELETE").scope, "crm.delete");
    assert_eq!(of("DELETE").effect, Some(CallEffect::Write));
    assert_eq!(of("DELETE").resource.as_deref(), Some("contact/{id}"));
    assert_eq!(of("DELETE").needs.len(), 1);
    assert_eq!(of("GET").scope, "crm.look", "the mapping goes before the document");
    let limits: Vec<_> = of("GET").argument.iter().filter(|it| it.name == "limit").collect();
    assert_eq!(limits.len(), 1, "in place of the document's own");
    assert_eq!(limits[0].key(), "rows");
    let faults = loaded(OPENAPI, "[mapping.nobody]\nscope = \"a.b\"").unwrap_err();
    assert!(faults[0].contains("names no `operationId`"), "{faults:?}");
    let faults = loaded(OPENAPI, "[mapping.deleteContact]\neffect = \"write\"").unwrap_err();
    assert!(faults[0].contains("nothing gives it a `scope`"), "{faults:?}");
}

const COMPOSED: &str = r##"
openapi: 3.1.0
paths:
  /mails:
    post:
      operationId: send
      x-bailiwick-scope: mail.send
      parameters:
        - { name: page, in: query, schema: { type: [integer, "null"], default: 20 } }
        - { name: fields, in: query, explode: false, schema: { type: array, items: { type: string } } }
        - { name: X-Tenant, in: header, required: true, x-bailiwick-as: tenant, schema: { type: string } }
      requestBody:
        content:
          application/vnd.mail+json:
            schema:
              allOf:
                - $ref: "#/components/schemas/Base"
                - type: object
                  required: [to]
                  properties:
                    to:
                      type: array
                      items:
                        type: object
                        properties:
                          address: { type: string, x-bailiwick-as: recipients, x-bailiwick-lower: true }
                          name: { type: string }
                    thread: { $ref: "#/components/schemas/Thread" }
components:
  schemas:
    Base: { $ref: "#/components/schemas/Real" }
    Real: { type: object, required: [subject], properties: { subject: { type: string }, kind: { type: string, default: plain } } }
    Thread: { type: object, properties: { id: { type: string, x-bailiwick-as: thread_id }, parent: { $ref: "#/components/schemas/Thread" } } }
"##;

#[test]
fn composed_schemas_say_all_their_members() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.yaml");
    std::fs::write(&path, COMPOSED).unwrap();
    let mail = adapter(&format!("openapi = {:?}", path.display().to_string()));
    let body = r#"{"subject":"s","to":[{"address":"A@x","name":"n"}],"thread":{"id":"7"}}"#;
    let mut send = json_ask("/mails?fields=a,b", body);
    send.headers = vec![("content-type", "application/vnd.mail+json"), ("x-tenant", "acme")];
    let (_, arguments, path, body) = told_by(&mail, &send).unwrap();
    assert_eq!(arguments["recipients"], json!(["a@x"]));
    assert_eq!(arguments["thread_id"], "7");
    assert_eq!(arguments["tenant"], "acme");
    assert_eq!(arguments["fields"], json!(["a", "b"]));
    assert_eq!(arguments["page"], 20, "what the upstream would assume is said");
    assert_eq!(path, "/mails?fields=a%2Cb&page=20");
    assert!(
        body.contains("a@x") && !body.contains("kind"),
        "no default is written into a body: {body}"
    );
    for (wrong, why) in [
        (r#"{"subject":"s","to":[],"owner":"x"}"#, "undeclared"),
        (r#"{"subject":"s"}"#, "`to` is required"),
        (r#"{"subject":"s","to":[{"Address":"e@evil"}]}"#, "another case of what is constrained"),
        (r#"{"subject":"s","to":"e@evil"}"#, "another shape of what is constrained"),
        (r#"{"subject":"s","to":{"address":"e@evil"}}"#, "another shape of what is constrained"),
        (
            r#"{"subject":"s","to":[],"thread":[{"id":"7"}]}"#,
            "another shape of what is constrained",
        ),
    ] {
        let refused = told_by(
            &mail,
            &Ask {
                body: Some(wrong.to_owned()),
                headers: send.headers.clone(),
                ..json_ask("/mails", "")
            },
        );
        assert_eq!(refused.err(), Some("malformed"), "{why}");
    }
}

const SCHEMAS: &str =
    "openapi: 3.0.0\npaths: {/a: {post: {operationId: a, x-bailiwick-scope: a.b, ";

#[rstest]
#[case("openapi: 2.0.0\npaths: {}", "3.0 and 3.1")]
#[case("openapi: 3.0.0", "no `paths`")]
#[case(
    "openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, parameters: [{$ref: '#/no'}]}}}",
    "leads nowhere"
)]
#[case(
    "openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, x-bailiwick-effect: look}}}",
    "x-bailiwick-effect"
)]
#[case(
    "openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, parameters: [{name: s, in: cookie}]}}}",
    "not served"
)]
#[case(
    "openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, parameters: [{name: s, in: path, style: matrix}]}}}",
    "style"
)]
#[case(
    "openapi: 3.0.0\npaths: {/a: {get: {x-bailiwick-scope: a.b, parameters: [{name: s, in: query, schema: {type: object}}]}}}",
    "an object"
)]
#[case(
    "openapi: 3.0.0\npaths: {/a: {get: {operationId: x}}, /b: {get: {operationId: x}}}",
    "two operations"
)]
#[case(&format!("{SCHEMAS} requestBody: {{content: {{multipart/form-data: {{}}}}}}}}}}}}"), "x-bailiwick-body: opaque")]
#[case(&format!("{SCHEMAS} requestBody: {{content: {{application/json: {{schema: {{$ref: '#/x'}}}}}}}}}}}}}}\nx: {{$ref: '#/x'}}"), "circle")]
fn a_document_that_cannot_be_served_says_why(#[case] text: &str, #[case] why: &str) {
    let faults = loaded(text, "").unwrap_err();
    assert!(faults.iter().any(|fault| fault.contains(why)), "{faults:?}");
}

#[test]
fn a_body_that_nothing_can_look_at_passes_only_when_that_is_said() {
    let body = "requestBody: {content: {image/png: {}, image/jpeg: {}}}}}}";
    let found = loaded(&format!("{SCHEMAS} x-bailiwick-body: opaque, {body}"), "").unwrap();
    assert_eq!(found[0].body, Some(BodyUse::Opaque));
    assert_eq!(found[0].media, ["image/png", "image/jpeg"]);
    let mapped = "[mapping.a]\nbody = \"opaque\"\nmedia = [\"image/png\"]";
    assert_eq!(loaded(&format!("{SCHEMAS} {body}"), mapped).unwrap()[0].media, ["image/png"]);
    let merge = "requestBody: {content: {application/merge-patch+json: {}}}}}}";
    assert_eq!(loaded(&format!("{SCHEMAS} {merge}"), "").unwrap()[0].body, Some(BodyUse::Json));
}

#[test]
fn text_of_several_types_stays_text() {
    let of = |schema: Value| kind(Some(&schema));
    assert_eq!(of(json!({ "type": ["integer", "null"] })), Kind::Integer);
    assert_eq!(of(json!({ "type": ["integer", "string"] })), Kind::String);
    assert_eq!(of(json!({})), Kind::String);
    assert_eq!(kind(None), Kind::String);
}
