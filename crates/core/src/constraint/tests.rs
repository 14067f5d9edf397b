use rstest::rstest;
use serde_json::{Map, Value, json};

use super::*;
use crate::authority::ConstraintSet;
use crate::outcome::Outcome;

fn constraint(value: Value) -> Constraint {
    Constraint::from_json(&value).unwrap()
}

fn call(scope: &str, arguments: Value) -> CallArguments {
    let Value::Object(arguments) = arguments else { unreachable!("arguments are an object") };
    CallArguments::new(scope.parse().unwrap(), arguments)
}

fn admits(bound: &Constraint, value: Value) -> bool {
    let call = call("crm.read", json!({ "k": value }));
    bound.admits(&call, Totals::Debited, &NoReads).is_ok()
}

/// Each row: a constraint on `k`, values it admits, values it refuses.
#[rstest]
#[case::max(json!({"max": 10}), json!([10, 9.5, -1, null]), json!([10.01, "9", true, [], {}]))]
#[case::max_beyond_safe(json!({"max": 9_007_199_254_740_991_u64}), json!([9_007_199_254_740_991_u64]), json!([9_007_199_254_740_992_u64, 1e300]))]
#[case::min(json!({"min": 1}), json!([1, 2, null]), json!([0.99, "1", false]))]
#[case::one_of(json!({"one_of": ["a", 1, true, null]}), json!(["a", 1, 1.0, true, null]), json!(["A", "1", false, 0, ["a"], {}]))]
#[case::one_of_nothing(json!({"one_of": []}), json!([null]), json!(["a", 1, true]))]
#[case::not_one_of(json!({"not_one_of": ["rm", 1]}), json!(["ls", "1", 2, true, null]), json!(["rm", 1, 1.0, ["ls"], {}, 1e300]))]
#[case::prefix(json!({"prefix": "eu-"}), json!(["eu-", "eu-west", null]), json!(["us-eu-", "EU-", 1, ["eu-"]]))]
#[case::prefix_nothing(json!({"prefix": "eu-\u{0}"}), json!([null]), json!(["eu-", "eu-\u{0}", "eu-\u{0}x"]))]
#[case::rank(json!({"rank": "b", "order": ["a", "b", "c"]}), json!(["a", "b", null]), json!(["c", "d", "", 0]))]
#[case::subset_of(json!({"subset_of": ["a", "b"]}), json!([["a"], ["b", "a", "a"], [], null]), json!([["a", "c"], "a", [["a"]], {}]))]
#[case::absent(json!({"absent": true}), json!([null, "", []]), json!(["x", 0, false, {}, [""]]))]
#[case::contains(json!({"contains": "ab"}), json!(["ab", "cabd", null]), json!(["a b", "AB", ["ab"], 1]))]
#[case::contains_nothing(json!({"contains": "a\u{0}"}), json!([null]), json!(["a", "a\u{0}"]))]
#[case::under(json!({"under": "/data"}), json!(["/data", "/data/x", "/data//x/", null]), json!(["/data/../etc", "/database", "data/x", "/data/%2e%2e", "", 1, ["/data"]]))]
#[case::under_nothing(json!({"under": "/data/\u{0}"}), json!([null]), json!(["/data", "/data/\u{0}", "/data/\u{0}/x"]))]
#[case::host(json!({"host": ["api.example"]}), json!(["https://api.example/x", null]), json!(["http://api.example/", "https://api.example@evil.example/", "https://api.example.evil/", "https://api.example:8443/", "api.example", 1]))]
fn admissible_values(#[case] rule: Value, #[case] good: Value, #[case] bad: Value) {
    let mut object = rule.as_object().unwrap().clone();
    object.insert("key".into(), json!("k"));
    let bound = constraint(Value::Object(object));
    for value in good.as_array().unwrap() {
        assert!(admits(&bound, value.clone()), "{rule} admits {value}");
    }
    for value in bad.as_array().unwrap() {
        assert!(!admits(&bound, value.clone()), "{rule} refuses {value}");
    }
    let missing = call("crm.read", json!({}));
    assert!(bound.admits(&missing, Totals::Debited, &NoReads).is_ok(), "a missing value passes");
    assert_eq!(constraint(bound.to_json()), bound, "the JSON form round-trips");
}

/// Each row: a parent, children that are narrower or equal, children that are not.
#[rstest]
#[case(json!({"max": 10}), json!([{"max": 10}, {"max": -5}]), json!([{"max": 11}, {"min": 1}, {"max_lifetime": 1}]))]
#[case(json!({"min": 1}), json!([{"min": 1}, {"min": 2}]), json!([{"min": 0}]))]
#[case(json!({"max_lifetime": 10}), json!([{"max_lifetime": 3}]), json!([{"max_lifetime": 11}, {"max": 1}]))]
#[case(json!({"max_subtree": 10}), json!([{"max_subtree": 3}]), json!([{"max_subtree": 11}, {"max_lifetime": 1}]))]
#[case(json!({"one_of": ["a", 1]}), json!([{"one_of": ["a"]}, {"one_of": []}, {"one_of": [1.0, "a"]}]), json!([{"one_of": ["b"]}, {"one_of": [true]}]))]
#[case(json!({"not_one_of": ["a"]}), json!([{"not_one_of": ["a", "b"]}]), json!([{"not_one_of": []}, {"one_of": ["b"]}]))]
#[case(json!({"prefix": "eu-"}), json!([{"prefix": "eu-w"}, {"prefix": "eu-\u{0}"}]), json!([{"prefix": "eu"}, {"prefix": "us-"}]))]
#[case(json!({"rank": "b", "order": ["a", "b"]}), json!([{"rank": "a", "order": ["a", "b"]}]), json!([{"rank": "a", "order": ["a", "b", "c"]}, {"rank": "a", "order": ["b", "a"]}]))]
#[case(json!({"subset_of": ["a", "b"]}), json!([{"subset_of": ["a"]}]), json!([{"subset_of": ["c"]}, {"one_of": ["a"]}]))]
#[case(json!({"absent": true}), json!([{"absent": true}]), json!([{"one_of": []}]))]
#[case(json!({"contains": "b"}), json!([{"contains": "abc"}]), json!([{"contains": "a"}]))]
#[case(json!({"under": "/a"}), json!([{"under": "/a/b"}, {"under": "/a/\u{0}"}]), json!([{"under": "/"}, {"under": "/ab"}]))]
#[case(json!({"host": ["a.x", "b.x"]}), json!([{"host": ["b.x"]}, {"host": []}]), json!([{"host": ["c.x"]}]))]
#[case(
    json!({"from_read": [{"scope": "crm.read", "field": "payee"}, {"scope": "mail.read"}]}),
    json!([
        {"from_read": [{"scope": "crm.read", "field": "payee"}]},
        {"from_read": [{"scope": "crm.read", "field": "payee", "where": {"id": 1}}]},
        {"from_read": [{"scope": "mail.read", "field": "from"}]},
        {"from_read": []},
    ]),
    json!([
        {"from_read": [{"scope": "crm.read"}]},
        {"from_read": [{"scope": "crm.read", "field": "other"}]},
        {"from_read": [{"scope": "crm.*", "field": "payee"}]},
        {"from_read": [{"scope": "mail.read", "bound": "max"}]},
    ])
)]
#[case(json!({"units": {"v": [1]}}), json!([{"units": {"v": [1.0]}}]), json!([{"units": {"v": [true]}}, {"quota": 1}, {"max": 1}]))]
fn subsumption(#[case] parent: Value, #[case] narrower: Value, #[case] wider: Value) {
    let on_k = |rule: &Value| {
        let mut object = rule.as_object().unwrap().clone();
        object.insert("key".into(), json!("k"));
        constraint(Value::Object(object))
    };
    let parent = on_k(&parent);
    assert!(parent.subsumes(&parent));
    for child in narrower.as_array().unwrap() {
        assert!(parent.subsumes(&on_k(child)), "{child}");
    }
    for child in wider.as_array().unwrap() {
        assert!(!parent.subsumes(&on_k(child)), "{child}");
    }
    let mut elsewhere = parent.to_json();
    elsewhere["key"] = json!("other");
    assert!(!parent.subsumes(&constraint(elsewhere)), "another key is another constraint");
}

#[rstest]
#[case(json!("max"))]
#[case(json!({"max": 1}))]
#[case(json!({"key": 1, "max": 1}))]
#[case(json!({"key": "", "max": 1}))]
#[case(json!({"key": "k\n", "max": 1}))]
#[case(json!({"key": "k"}))]
#[case(json!({"key": "k", "max": "1"}))]
#[case(json!({"key": "k", "max": true}))]
#[case(json!({"key": "k", "max": 1e300}))]
#[case(json!({"key": "k", "max": 1, "min": 0}))]
#[case(json!({"key": "k", "max": 1, "note": "x"}))]
#[case(json!({"key": "k", "max": 1, "order": ["a", "b"]}))]
#[case(json!({"key": "k", "one": 1, "two": 2}))]
#[case(json!({"key": "k", "one_of": "abc"}))]
#[case(json!({"key": "k", "one_of": [[1]]}))]
#[case(json!({"key": "k", "one_of": {"a": 1}}))]
#[case(json!({"key": "k", "prefix": 1}))]
#[case(json!({"key": "k", "rank": "a"}))]
#[case(json!({"key": "k", "rank": "c", "order": ["a", "b"]}))]
#[case(json!({"key": "k", "rank": "a", "order": ["a"]}))]
#[case(json!({"key": "k", "rank": "a", "order": ["a", "a"]}))]
#[case(json!({"key": "k", "rank": "a", "order": ["a", "b"], "x": 1}))]
#[case(json!({"key": "k", "absent": false}))]
#[case(json!({"key": "k", "under": "/a/../b"}))]
#[case(json!({"key": "k", "under": "/a/"}))]
#[case(json!({"key": "k", "host": ["API.example"]}))]
#[case(json!({"key": "k", "host": ["https://a.x"]}))]
#[case(json!({"key": "k", "from_read": [{"field": "x"}]}))]
#[case(json!({"key": "k", "from_read": [{"scope": "a.b", "bound": "min"}]}))]
#[case(json!({"key": "k", "from_read": [{"scope": "a.b", "other": 1}]}))]
#[case(json!({"key": "k", "from_read": [{"scope": "a.b", "where": {"x": []}}]}))]
fn malformed_constraints(#[case] value: Value) {
    assert!(Constraint::from_json(&value).is_err(), "{value}");
}

#[test]
fn unknown_types_are_kept_whole_and_deny_everything() {
    let unknown = constraint(json!({"key": "k", "quota": {"b": 1, "a": [2]}}));
    assert_eq!(unknown.to_json(), json!({"key": "k", "quota": {"a": [2], "b": 1}}));
    assert_eq!(unknown.type_name(), "quota");
    for arguments in [json!({}), json!({"k": 1})] {
        let refusal =
            unknown.admits(&call("crm.read", arguments), Totals::Debited, &NoReads).unwrap_err();
        assert_eq!(refusal.outcome, Outcome::UnknownConstraint);
    }
}

#[test]
fn bounds_on_sizes() {
    let members: Vec<u32> = (0..=1024).collect();
    assert!(Constraint::from_json(&json!({"key": "k", "one_of": members})).is_err());
    assert!(Constraint::from_json(&json!({"key": "k", "one_of": members[..1024]})).is_ok());
    let long = "x".repeat(4097);
    assert!(Constraint::from_json(&json!({"key": "k", "prefix": long})).is_err());
    assert!(Constraint::from_json(&json!({"key": long, "prefix": "x"})).is_err());
}

#[test]
fn keys_name_arguments_of_every_or_of_one_scope() {
    let any = constraint(json!({"key": "to", "one_of": ["a"]}));
    let scoped = constraint(json!({"key": "mail.send:to", "one_of": ["a"]}));
    let ok = |bound: &Constraint, scope: &str, arguments: Value| {
        bound.admits(&call(scope, arguments), Totals::Debited, &NoReads).is_ok()
    };
    assert!(!ok(&any, "mail.send", json!({"to": "b"})));
    assert!(!ok(&any, "crm.read", json!({"to": "b"})));
    assert!(!ok(&scoped, "mail.send", json!({"to": "b"})));
    assert!(ok(&scoped, "crm.read", json!({"to": "b"})));
    // An argument that carries the scoped name cannot stand in for the real one.
    assert!(!ok(&scoped, "mail.send", json!({"mail.send:to": "a", "to": "b"})));
    assert!(ok(&scoped, "mail.send", json!({"mail.send:to": "b", "to": "a"})));
}

#[test]
fn cumulative_constraints_are_debits() {
    let set = |values: &[Value]| {
        ConstraintSet::new(values.iter().map(|v| constraint(v.clone()))).unwrap()
    };
    let budget = set(&[
        json!({"key": "calls", "max_lifetime": 20}),
        json!({"key": "mail.send:calls", "max_subtree": 2}),
        json!({"key": "spend_usd", "max_subtree": 50.5}),
    ]);
    let spend = call("pay.send", json!({"spend_usd": 19.99, "calls": 1_000}));
    let debits = budget.debits(&spend);
    let shown: Vec<_> =
        debits.iter().map(|d| (d.key.as_str(), d.kind, d.amount, d.limit)).collect();
    assert_eq!(
        shown,
        [
            ("calls", DebitKind::Lifetime, Micros(1_000_000), Micros(20_000_000)),
            ("spend_usd", DebitKind::Subtree, Micros(19_990_000), Micros(50_500_000)),
        ]
    );
    let mail = budget.debits(&call("mail.send", json!({})));
    assert_eq!(
        mail.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(),
        ["calls", "mail.send:calls"]
    );

    assert!(budget.admits(&spend, Totals::Debited, &NoReads).is_ok());
    let refusal = budget.admits(&spend, Totals::NotHeld, &NoReads).unwrap_err();
    assert_eq!(refusal.outcome, Outcome::CeilingExceeded);
    for uncountable in [json!(-1), json!("5"), json!([5]), json!(9e15)] {
        let call = call("pay.send", json!({"spend_usd": uncountable}));
        assert!(budget.admits(&call, Totals::Debited, &NoReads).is_err(), "{uncountable}");
        let debits = budget.debits(&call);
        assert_eq!(debits.last().unwrap().amount, Micros::MAX, "{uncountable}");
    }
}

#[test]
fn values_from_reads() {
    let mut reads = MemoryReads::new(8);
    let scope = |text: &str| text.parse::<crate::scope::Scope>().unwrap();
    reads.record(
        scope("bank.transactions"),
        json!({"transactions": [
            {"id": 1, "recipient": "GB1", "amount": 50, "tags": ["rent", "home"]},
            {"id": 2, "recipient": "US2", "amount": 10.5},
        ]}),
    );
    reads.record(scope("mail.read"), json!("see GB9"));
    let passes = |rule: Value, value: Value| {
        let bound = constraint(json!({"key": "k", "from_read": rule}));
        let call = call("bank.send", json!({"k": value}));
        assert!(
            value.is_null()
                || bound.admits(&call, Totals::Debited, &NoReads).is_err()
                || value == json!([]),
            "where reads are not seen it denies"
        );
        bound.admits(&call, Totals::Debited, &reads).is_ok()
    };
    let read = |extra: Value| {
        let mut source = Map::from_iter([("scope".to_owned(), json!("bank.*"))]);
        source.extend(extra.as_object().unwrap().clone());
        json!([source])
    };
    assert!(passes(read(json!({})), json!("GB1")));
    assert!(passes(read(json!({})), json!(10.5)));
    assert!(!passes(read(json!({})), json!("GB9")), "another scope's read");
    assert!(!passes(json!([{"scope": "mail.read"}]), json!("GB9")), "a substring is not the value");
    assert!(passes(json!([{"scope": "mail.read"}]), json!("see GB9")));
    assert!(passes(read(json!({"field": "recipient"})), json!("US2")));
    assert!(!passes(read(json!({"field": "recipient"})), json!(50)));
    assert!(passes(read(json!({"field": "tags"})), json!(["home", "rent"])));
    assert!(!passes(read(json!({"field": "tags"})), json!(["home", "evil"])));
    assert!(passes(read(json!({"field": "recipient", "where": {"id": 1}})), json!("GB1")));
    assert!(!passes(read(json!({"field": "recipient", "where": {"id": 1}})), json!("US2")));
    assert!(!passes(read(json!({"where": {"id": "1"}})), json!("GB1")), "types differ");
    assert!(passes(read(json!({"field": "amount", "bound": "max"})), json!(49.99)));
    assert!(!passes(read(json!({"field": "amount", "bound": "max"})), json!(50.01)));
    assert!(!passes(read(json!({"bound": "max"})), json!("GB1")));
    assert!(!passes(json!([]), json!("GB1")));
    assert!(!passes(read(json!({})), json!({"x": "GB1"})));

    let mut small = MemoryReads::new(1);
    small.record(scope("a.b"), json!("old"));
    small.record(scope("a.b"), json!("new"));
    let source = |scope: &str| ReadSource {
        scope: scope.parse().unwrap(),
        field: None,
        filter: std::collections::BTreeMap::new(),
        at_most: false,
        computed: None,
    };
    let text = |text: &str| Scalar::String(text.into());
    assert!(!small.returned(&source("a.b"), &text("old")));
    assert!(small.returned(&source("a.*"), &text("new")));
}
