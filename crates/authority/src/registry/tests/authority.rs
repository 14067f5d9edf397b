use bailiwick_core::ids::AgentId;
use bailiwick_core::scope::ScopeSet;
use proptest::prelude::*;

use super::super::RegistryErrorCode as Code;
use super::*;

fn compiled(changes: &[(&str, Value)]) -> WorkflowEntry {
    let mut world = world("", Value::Null);
    for (pointer, value) in changes {
        set(&mut world, &format!("/workflow/0{pointer}"), value.clone());
    }
    let changes = check(&world).unwrap_or_else(|errors| panic!("{errors:#?}"));
    Registry::default().apply(&changes).workflow("crm.report").unwrap().clone()
}

fn with_rule(rule: Value, parameters: Value) -> WorkflowEntry {
    compiled(&[
        ("/authority/scopes", json!(["crm.read"])),
        ("/authority/constraints", json!([rule])),
        ("/parameters", schema(&parameters)),
    ])
}

fn schema(properties: &Value) -> Value {
    let names: Vec<&String> = properties.as_object().unwrap().keys().collect();
    json!({"type": "object", "required": names, "properties": properties})
}

fn detail(workflow: &CompiledWorkflow, parameters: Value) -> Result<Value, TemplateError> {
    workflow.instantiate(&parameters).map(|filled| filled.authority.to_detail())
}

#[test]
fn parameters_fill_the_templates() {
    let workflow = compiled(&[]);
    let filled = workflow.instantiate(&json!({"customer": "Ørsted", "rows": 7})).unwrap();
    let detail = filled.authority.to_detail();
    assert_eq!(detail["scopes"], json!(["crm.eu.export", "crm.read"]));
    let constraints = detail["constraints"].as_array().unwrap();
    assert!(constraints.contains(&json!({"key": "rows", "max": 7})));
    assert!(constraints.contains(&json!({"key": "crm.read:customer", "one_of": ["Ørsted"]})));
    assert!(constraints.contains(&json!({"key": "calls", "max_lifetime": 20})));
    assert_eq!(filled.parameters["region"], "eu");
    assert_eq!(filled.parameters["rows"], 7);
    assert_eq!(filled.ask, None);
}

#[test]
fn parameters_that_do_not_satisfy_the_schema_are_refused() {
    let workflow = compiled(&[]);
    for (parameters, part) in [
        (json!({}), "customer"),
        (json!({"customer": 7}), "/customer"),
        (json!({"customer": "x", "rows": 1001}), "/rows"),
        (json!({"customer": "x".repeat(65)}), "/customer"),
        (json!({"customer": "x", "costumer": "y"}), "did you mean `customer`?"),
        (json!(["customer"]), "must be a JSON object"),
        (json!({"customer": "x", "note": "n".repeat(20_000)}), "larger than 16384 bytes"),
    ] {
        let error = workflow.instantiate(&parameters).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(part), "{text}");
        assert!(text.chars().count() < 400, "{text}");
        assert_eq!(error.code().code(), "malformed");
    }
    assert!(workflow.instantiate(&json!({"customer": "x", "rows": 1000})).is_ok());
}

#[test]
fn errors_do_not_repeat_long_or_unprintable_input() {
    let workflow = compiled(&[]);
    let name = format!("a\u{1b}[31m{}", "x".repeat(5000));
    let text = workflow.instantiate(&json!({"customer": "c", name: 1})).unwrap_err().to_string();
    assert!(text.chars().count() < 400 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn lists_are_spliced_and_scalars_interpolated() {
    let parameters = json!({"people": {"type": "array", "items": {"type": "string"}},
        "n": {"type": "integer"}, "flag": {"type": "boolean"}});
    let rule =
        json!({"key": "to", "one_of": ["fixed@a.example", "${people}", "n-${n}-${flag}", "${n}"]});
    let workflow = with_rule(rule, parameters);
    let given = json!({"people": ["b@a.example", "c@a.example"], "n": 3, "flag": true});
    let filled = detail(&workflow, given).unwrap();
    let mut members: Vec<String> = filled["constraints"][0]["one_of"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    members.sort();
    let mut wanted: Vec<String> =
        ["\"fixed@a.example\"", "\"b@a.example\"", "\"c@a.example\"", "\"n-3-true\"", "3"]
            .map(str::to_owned)
            .to_vec();
    wanted.sort();
    assert_eq!(members, wanted);
    let none = json!({"people": [], "n": 3, "flag": true});
    assert!(detail(&workflow, none).is_ok());
}

#[test]
fn an_empty_list_admits_nothing() {
    let workflow = with_rule(
        json!({"key": "to", "one_of": ["${people}"]}),
        json!({"people": {"type": "array", "items": {"type": "string"}, "examples": [["a"]]}}),
    );
    let filled = detail(&workflow, json!({"people": []})).unwrap();
    assert_eq!(filled["constraints"][0]["one_of"], json!([]));
}

#[test]
fn templates_are_filled_deep_inside_rules() {
    let workflow = with_rule(
        json!({"key": "amount", "from_read": [
            {"scope": "crm.read", "field": "total", "where": {"id": "${id}"}, "bound": "max"}]}),
        json!({"id": {"type": "string"}}),
    );
    let filled = detail(&workflow, json!({"id": "4711"})).unwrap();
    assert_eq!(filled["constraints"][0]["from_read"][0]["where"]["id"], "4711");
}

#[test]
fn values_cannot_change_the_shape_of_what_they_fill() {
    let text = json!({"x": {"type": "string"}});
    let cases: &[(Value, &[&str], &[&str])] = &[
        (
            json!({"key": "p", "under": "/home/${x}"}),
            &["alice", "a.b", "a b"],
            &["..", ".", "", "a/b", "a/../..", "%2e%2e", "a\\b", "*"],
        ),
        (
            json!({"key": "u", "host": ["${x}.a.example"]}),
            &["crm", "crm-2"],
            &["evil.example/", "a.b", "", "a@b", "x:1"],
        ),
        (json!({"key": "t", "prefix": "ticket-${x}"}), &["7", "x y"], &["", "a\nb", "\u{0}"]),
        (json!({"key": "t", "prefix": "${x}"}), &["a"], &[""]),
        (json!({"key": "t", "contains": "${x}"}), &["a"], &[""]),
    ];
    for (rule, good, bad) in cases {
        let workflow = with_rule(rule.clone(), text.clone());
        for value in *good {
            assert!(detail(&workflow, json!({"x": value})).is_ok(), "{rule} {value:?}");
        }
        for value in *bad {
            assert!(detail(&workflow, json!({"x": value})).is_err(), "{rule} {value:?}");
        }
    }
}

#[test]
fn a_scope_is_never_widened_by_a_parameter() {
    let workflow = compiled(&[]);
    let filled = |region: &str| detail(&workflow, json!({"customer": "c", "region": region}));
    assert_eq!(filled("us-west").unwrap()["scopes"][1], "crm.us-west.export");
    for region in ["*", "", "eu.x", "EU", "eu export", "eu:", "é", "a\u{0}"] {
        assert!(filled(region).is_err(), "{region:?}");
    }
}

#[test]
fn a_scope_that_is_a_parameter_needs_a_closed_list() {
    let open =
        json!({"type": "object", "required": ["s"], "properties": {"s": {"type": "string"}}});
    let mut bad = world("/workflow/0/parameters", open);
    set(&mut bad, "/workflow/0/authority", json!({"scopes": ["${s}"]}));
    refused(&bad, Code::Template, "authority.scopes[0]", "choose any scope");
    let closed = json!({"s": {"type": "string", "enum": ["crm.read", "crm.write"]}});
    let workflow =
        compiled(&[("/parameters", schema(&closed)), ("/authority", json!({"scopes": ["${s}"]}))]);
    assert_eq!(
        detail(&workflow, json!({"s": "crm.write"})).unwrap()["scopes"],
        json!(["crm.write"])
    );
    assert!(detail(&workflow, json!({"s": "crm.delete"})).is_err());
    let list = json!({"s": {"type": "array", "minItems": 1, "items": {"enum": ["crm.read", "crm.write"]}}});
    let workflow =
        compiled(&[("/parameters", schema(&list)), ("/authority", json!({"scopes": ["${s}"]}))]);
    let both = detail(&workflow, json!({"s": ["crm.write", "crm.read"]})).unwrap();
    assert_eq!(both["scopes"], json!(["crm.read", "crm.write"]));
}

#[test]
fn what_is_asked_about_is_kept_apart_from_the_ceiling() {
    let workflow = compiled(&[
        ("/approvers", json!(["subject"])),
        ("/authority/scopes", json!(["crm.read"])),
        (
            "/authority/constraints",
            json!([
                {"key": "rows", "max": 1000},
                {"key": "rows", "max": "${rows}", "otherwise": "ask"},
            ]),
        ),
    ]);
    let filled = workflow.instantiate(&json!({"customer": "c", "rows": 5})).unwrap();
    assert_eq!(filled.authority.to_detail()["constraints"], json!([{"key": "rows", "max": 1000}]));
    assert_eq!(filled.ask, Some(json!({"constraints": [{"key": "rows", "max": 5}]})));
}

#[test]
fn faulty_authority_is_refused_at_load() {
    for (constraint, code, field, part) in [
        (json!({"key": "rows", "max": "${row}"}), Code::Template, "", "did you mean `rows`?"),
        (json!({"key": "note", "one_of": ["${note}"]}), Code::Template, "", "may be missing"),
        (json!({"key": "rows", "max": "${rows"}), Code::Template, "", "without its `}`"),
        (json!({"key": "rows", "max": "${a b}"}), Code::Template, "", "does not name a parameter"),
        (json!({"key": "${customer}", "max": 1}), Code::Template, ".key", "cannot be a template"),
        (json!({"key": "rows", "maxx": 1}), Code::Template, "", "is not a constraint type"),
        (json!({"key": "rows", "max": "ten"}), Code::Template, "", ""),
        (json!({"key": "rows", "max": "${customer}"}), Code::Template, "", "give `examples`"),
        (json!({"key": "rows", "max": 1, "min": 1}), Code::Template, "", "exactly one"),
        (json!({"key": "rows"}), Code::Template, "", ""),
        (json!({"max": 1}), Code::Missing, ".key", "is required"),
        (json!("rows < 3"), Code::Value, "", "must be a table"),
        (
            json!({"key": "rows", "max": 1, "otherwise": "allow"}),
            Code::Value,
            ".otherwise",
            "must be \"ask\"",
        ),
        (
            json!({"key": "calls", "max_subtree": 1, "otherwise": "ask"}),
            Code::Value,
            ".otherwise",
            "budget",
        ),
        (
            json!({"key": "crm.write:rows", "max": 1}),
            Code::NeverMatches,
            ".key",
            "no scope of this workflow covers",
        ),
        (
            json!({"key": "x", "from_read": [{"scope": "mail.read"}]}),
            Code::NeverMatches,
            ".from_read",
            "no scope of this workflow covers",
        ),
        (json!({"key": "x", "one_of": []}), Code::NeverMatches, "", "the list is empty"),
        (json!({"key": "x", "prefix": ""}), Code::NeverMatches, "", "restricts nothing"),
    ] {
        let world = world("/workflow/0/authority/constraints", json!([constraint]));
        refused(&world, code, &format!("authority.constraints[0]{field}"), part);
    }
    let mut both = world(
        "/workflow/0/authority/constraints",
        json!([{"key": "x", "min": 5}, {"key": "x", "max": 4}]),
    );
    refused(&both, Code::NeverMatches, "authority.constraints[1]", "min 5 is above max 4");
    set(&mut both, "/workflow/0/authority/constraints/1/max", json!(5));
    assert!(check(&both).is_ok());
    let twice = world(
        "/workflow/0/authority/constraints",
        json!([{"key": "x", "max": 5}, {"key": "x", "max": 4}]),
    );
    refused(&twice, Code::Duplicate, "authority.constraints[1]", "repeats `max`");
    refused(
        &world("/workflow/0/authority/scopes", json!(["crm.*x"])),
        Code::Template,
        "authority.scopes[0]",
        "is not a scope",
    );
    refused(
        &world("/workflow/0/purpose", json!("For ${customer}")),
        Code::Template,
        "purpose",
        "used as it stands",
    );
}

#[test]
fn keys_may_name_any_scope_that_the_task_can_have() {
    for (scopes, key) in [
        (json!(["crm.*"]), "crm.read:rows"),
        (json!(["crm.${region}.export"]), "crm.us.export:rows"),
        (json!(["crm.read"]), "rows"),
    ] {
        compiled(&[
            ("/authority/scopes", scopes),
            ("/authority/constraints", json!([{"key": key, "max": 5}])),
        ]);
    }
    let mut bad = world("/workflow/0/authority/scopes", json!(["crm.${region}.export"]));
    set(
        &mut bad,
        "/workflow/0/authority/constraints",
        json!([{"key": "crm.us.import:rows", "max": 5}]),
    );
    refused(&bad, Code::NeverMatches, "authority.constraints[0].key", "no scope");
}

#[test]
fn faulty_schemas_are_refused_at_load() {
    let base = "/workflow/0/parameters";
    for (value, code, field, part) in [
        (json!({"type": "array"}), Code::Schema, "parameters", "type = \"object\""),
        (json!("object"), Code::Schema, "parameters", "type = \"object\""),
        (
            json!({"type": "object", "properties": {"a": {"type": "strng"}}}),
            Code::Schema,
            "parameters",
            "not a valid JSON Schema",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "https://x.example/s"}}}),
            Code::Schema,
            "parameters.properties.a.$ref",
            "nothing is fetched",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "other.json"}}}),
            Code::Schema,
            "parameters.properties.a.$ref",
            "nothing is fetched",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$dynamicRef": "#x"}}}),
            Code::UnknownKey,
            "parameters.properties.a.$dynamicRef",
            "unknown schema keyword",
        ),
        (
            json!({"type": "object", "$id": "https://x.example"}),
            Code::UnknownKey,
            "parameters.$id",
            "unknown schema keyword",
        ),
        (
            json!({"type": "object", "required": ["b"]}),
            Code::Schema,
            "parameters.required",
            "not among `properties`",
        ),
        (
            json!({"type": "object", "additionalProperties": true}),
            Code::Schema,
            "parameters.additionalProperties",
            "must be false",
        ),
        (
            json!({"type": "object", "properties": {"a-b": {}}}),
            Code::Schema,
            "parameters.properties.a-b",
            "must start with a letter",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "default": 1}}}),
            Code::Schema,
            "parameters.properties.a.default",
            "does not satisfy",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "examples": ["x", 1]}}}),
            Code::Schema,
            "parameters.properties.a.examples[1]",
            "does not satisfy",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
            Code::Schema,
            "parameters",
            "not a valid JSON Schema",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}),
            Code::Schema,
            "parameters",
            "not a valid JSON Schema",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "format": "emial"}}}),
            Code::Schema,
            "parameters",
            "not a valid JSON Schema",
        ),
        (
            json!({"type": "object", "description": "x".repeat(40_000)}),
            Code::TooLarge,
            "parameters",
            "larger than",
        ),
    ] {
        let mut world = world(base, value);
        set(&mut world, "/workflow/0/authority", json!({"scopes": ["crm.read"]}));
        refused(&world, code, field, part);
    }
    let mut deep = json!({"type": "object"});
    for _ in 0..20 {
        deep = json!({"type": "object", "properties": {"a": deep}});
    }
    let mut world = world(base, deep);
    set(&mut world, "/workflow/0/authority", json!({"scopes": ["crm.read"]}));
    let errors = check(&world).unwrap_err();
    assert!(errors.iter().any(|error| error.code == Code::TooLarge));
}

#[test]
fn local_references_and_formats_work() {
    let parameters = json!({"type": "object", "required": ["mail"],
        "$defs": {"mail": {"type": "string", "format": "email", "examples": ["a@a.example"]}},
        "properties": {"mail": {"$ref": "#/$defs/mail"}}});
    let workflow = compiled(&[
        ("/parameters", parameters),
        (
            "/authority",
            json!({"scopes": ["crm.read"], "constraints": [{"key": "to", "one_of": ["${mail}"]}]}),
        ),
    ]);
    assert!(workflow.instantiate(&json!({"mail": "b@a.example"})).is_ok());
    assert!(workflow.instantiate(&json!({"mail": "not an address"})).is_err());
}

#[test]
fn edges_allow_what_they_list() {
    let workflow = compiled(&[
        ("/authority/scopes", json!(["crm.read", "crm.write", "mail.send"])),
        ("/authority/constraints", Value::Null),
        ("/edges/0/scopes", json!(["crm.*"])),
    ]);
    let id = |name: &str| -> AgentId { format!("spiffe://a.example/{name}").parse().unwrap() };
    let set = |text: &str| -> ScopeSet { text.parse().unwrap() };
    let (lead, reader) = (id("lead"), id("reader"));
    for (from, to, scopes, allowed) in [
        (&lead, &reader, "crm.read", true),
        (&lead, &reader, "crm.read crm.write", true),
        (&lead, &reader, "crm.*", true),
        (&lead, &reader, "mail.send", false),
        (&lead, &reader, "crm.read mail.send", false),
        (&lead, &reader, "", false),
        (&reader, &lead, "crm.read", false),
        (&lead, &lead, "crm.read", false),
    ] {
        assert_eq!(workflow.edge_allows(from, to, &set(scopes)), allowed, "{from} {to} {scopes}");
    }
    assert!(workflow.is_entry(&lead) && !workflow.is_entry(&reader));
    assert!(workflow.has_edge(&lead, &reader) && !workflow.has_edge(&reader, &lead));
    assert!(workflow.allows_audience("https://crm.a.example"));
    assert!(!workflow.allows_audience("https://crm.a.example.evil.example"));
    let open = compiled(&[]);
    assert!(open.edge_allows(&lead, &reader, &set("anything.at.all")));
}

proptest! {
    #[test]
    fn no_parameter_makes_filling_panic_or_widen(region in ".{0,40}", customer in ".{0,40}", rows in any::<i64>()) {
        let workflow = compiled(&[]);
        let given = json!({"customer": customer, "region": region, "rows": rows});
        if let Ok(filled) = workflow.instantiate(&given) {
            let allowed: ScopeSet = "crm.*".parse().unwrap();
            prop_assert!(filled.authority.scopes.is_narrower_than(&allowed));
            prop_assert_eq!(filled.authority.scopes.len(), 2);
            prop_assert!((1..=1000).contains(&rows));
        }
    }
}
