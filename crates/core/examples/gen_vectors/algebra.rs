//! Scopes, constraints and narrowing.

use bailiwick_core::{
    CallArguments, Constraint, ConstraintSet, HeldAuthority, MemoryReads, Scope, ScopeForm,
    ScopeSet, Totals, narrow,
};
use serde_json::{Value, json};

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

pub fn scopes() -> Value {
    let forms = [
        ("crm.read", "literal"),
        ("a.b-c.d_1", "literal"),
        ("crm.*", "wildcard"),
        ("crm.accounts.*", "wildcard"),
        ("crm", "opaque"),
        ("User.Read", "opaque"),
        ("repo:status", "opaque"),
        ("crm..read", "opaque"),
        ("1crm.read", "opaque"),
        ("", "invalid"),
        ("*", "invalid"),
        ("crm.*.read", "invalid"),
        ("User.*", "invalid"),
        ("crm*", "invalid"),
        ("crm.read\n", "invalid"),
        ("crm read", "invalid"),
        ("a\"b", "invalid"),
        ("a\\b", "invalid"),
        ("café.x", "invalid"),
    ]
    .map(|(text, form)| {
        let found = match text.parse::<Scope>().map(|s| s.form()) {
            Ok(ScopeForm::Literal) => "literal",
            Ok(ScopeForm::Wildcard) => "wildcard",
            Ok(ScopeForm::Opaque) => "opaque",
            Err(_) => "invalid",
        };
        assert_eq!(found, form, "{text}");
        json!({"scope": text, "form": form})
    });
    let covers = [
        ("crm.read", "crm.read", true),
        ("crm.read", "crm.reader", false),
        ("crm.*", "crm.read", true),
        ("crm.*", "crm.a.b", true),
        ("crm.*", "crm.*", true),
        ("crm.*", "crm.a.*", true),
        ("crm.a.*", "crm.*", false),
        ("crm.*", "crmx.read", false),
        ("crm.*", "crm", false),
        ("drive.*", "drive.Read", false),
        ("drive.Read", "drive.*", false),
        ("User.Read", "user.read", false),
        ("User.Read", "User.Read", true),
    ]
    .map(|(held, requested, covers)| {
        assert_eq!(scope(held).covers(&scope(requested)), covers, "{held} {requested}");
        json!({"held": held, "requested": requested, "covers": covers})
    });
    let meets = [
        ("crm.* mail.send", "crm.read pay.x", "crm.read"),
        ("crm.*", "crm.* crm.read", "crm.*"),
        ("crm.a.* crm.b", "crm.*", "crm.a.* crm.b"),
        ("User.Read", "User.Read a.b", "User.Read"),
        ("a.b", "c.d", ""),
    ]
    .map(|(a, b, meet)| {
        let set = |text: &str| text.parse::<ScopeSet>().unwrap();
        assert_eq!(set(a).meet(&set(b)), set(meet));
        json!({"a": set(a), "b": set(b), "meet": set(meet)})
    });
    json!({"forms": forms, "covers": covers, "meets": meets})
}

/// A constraint on `k`, values it admits, values it refuses.
fn admissions() -> Vec<(Value, Value, Value)> {
    vec![
        (json!({"max": 10}), json!([10, 9.5, -1, null]), json!([10.01, "9", true, [], {}])),
        (json!({"min": 1}), json!([1, 2, null]), json!([0.99, "1", false])),
        (
            json!({"one_of": ["a", 1, true]}),
            json!(["a", 1, true, null]),
            json!(["A", "1", false, 0, ["a"], {}]),
        ),
        (json!({"one_of": []}), json!([null]), json!(["a", 1, true])),
        (
            json!({"not_one_of": ["rm", 1]}),
            json!(["ls", "1", 2, true, null]),
            json!(["rm", 1, ["ls"], {}]),
        ),
        (
            json!({"prefix": "eu-"}),
            json!(["eu-", "eu-west", null]),
            json!(["us-eu-", "EU-", 1, ["eu-"]]),
        ),
        (json!({"prefix": "eu-\u{0}"}), json!([null]), json!(["eu-", "eu-\u{0}", "eu-\u{0}x"])),
        (
            json!({"rank": "b", "order": ["a", "b", "c"]}),
            json!(["a", "b", null]),
            json!(["c", "d", "", 0]),
        ),
        (
            json!({"subset_of": ["a", "b"]}),
            json!([["a"], ["b", "a"], [], null]),
            json!([["a", "c"], "a", [["a"]], {}]),
        ),
        (json!({"absent": true}), json!([null, "", []]), json!(["x", 0, false, {}, [""]])),
        (json!({"contains": "ab"}), json!(["ab", "cabd", null]), json!(["a b", "AB", ["ab"], 1])),
        (json!({"contains": "a\u{0}"}), json!([null]), json!(["a", "a\u{0}"])),
        (
            json!({"under": "/data"}),
            json!(["/data", "/data/x", "/data//x/", "/data/./x", null]),
            json!([
                "/data/../etc",
                "/database",
                "data/x",
                "/data/%2e%2e",
                "/data/%252e",
                "/data\\x",
                "",
                1,
                ["/data"]
            ]),
        ),
        (
            json!({"under": "notes"}),
            json!(["notes/a.txt", "notes"]),
            json!(["/notes/a.txt", "~/notes", "C:/notes", "file:/notes"]),
        ),
        (json!({"under": "/data/\u{0}"}), json!([null]), json!(["/data", "/data/\u{0}"])),
        (
            json!({"host": ["api.example", "api.example:8443"]}),
            json!([
                "https://api.example",
                "https://API.example/x?y#z",
                "https://api.example:443/",
                "https://api.example:8443/",
                null
            ]),
            json!([
                "http://api.example/",
                "https://api.example@evil.example/",
                "https://u@api.example/",
                "https://api.example.evil/",
                "https://api.example./",
                "https://api.example:8444/",
                "https://api.example\\@evil.example",
                "https://api.exam\tple/",
                "api.example",
                1
            ]),
        ),
        (json!({"quota": 5}), json!([]), json!([null, 1, "x"])),
    ]
}

fn bound(rule: &Value) -> Constraint {
    Constraint::from_json(&with_key(rule)).unwrap()
}

fn with_key(rule: &Value) -> Value {
    let mut object = rule.clone();
    object["key"] = json!("k");
    object
}

fn judge(
    constraint: &Constraint,
    scope: &str,
    arguments: &Value,
    reads: &MemoryReads,
) -> &'static str {
    let call = CallArguments::new(self::scope(scope), arguments.as_object().unwrap().clone());
    let result = constraint.admits(&call, Totals::Debited, reads);
    result.map_or_else(|refusal| refusal.outcome.code(), |()| "accept")
}

pub fn constraints() -> Value {
    let none = MemoryReads::new(0);
    let mut admits = Vec::new();
    for (rule, good, bad) in admissions() {
        let constraint = bound(&rule);
        let refused = if constraint.type_name() == "quota" {
            "unknown_constraint"
        } else {
            "ceiling_exceeded"
        };
        let mut case = |arguments: Value, outcome: &str| {
            assert_eq!(
                judge(&constraint, "crm.read", &arguments, &none),
                outcome,
                "{rule} {arguments}"
            );
            admits.push(json!({
                "constraint": with_key(&rule), "scope": "crm.read", "arguments": arguments, "outcome": outcome,
            }));
        };
        for value in good.as_array().unwrap() {
            case(json!({"k": value}), "accept");
        }
        for value in bad.as_array().unwrap() {
            case(json!({"k": value}), refused);
        }
        case(json!({}), if refused == "unknown_constraint" { refused } else { "accept" });
    }
    admits.extend(scoped_keys());
    json!({
        "admits": admits,
        "reads": reads(),
        "subsumes": subsumes(),
        "malformed": malformed(),
        "debits": debits(),
    })
}

fn scoped_keys() -> Vec<Value> {
    let none = MemoryReads::new(0);
    let rows = [
        ("to", "mail.send", json!({"to": "b"}), "ceiling_exceeded"),
        ("mail.send:to", "mail.send", json!({"to": "b"}), "ceiling_exceeded"),
        ("mail.send:to", "mail.send", json!({"to": "a"}), "accept"),
        ("mail.send:to", "crm.read", json!({"to": "b"}), "accept"),
        ("mail.send:to", "mail.send", json!({"mail.send:to": "a", "to": "b"}), "ceiling_exceeded"),
    ];
    rows.into_iter()
        .map(|(key, scope, arguments, outcome)| {
            let constraint = json!({"key": key, "one_of": ["a"]});
            let parsed = Constraint::from_json(&constraint).unwrap();
            assert_eq!(judge(&parsed, scope, &arguments, &none), outcome);
            json!({"constraint": constraint, "scope": scope, "arguments": arguments, "outcome": outcome})
        })
        .collect()
}

fn reads() -> Value {
    let done = json!([
        {"scope": "bank.transactions", "result": {"transactions": [
            {"id": 1, "recipient": "GB1", "amount": 50, "tags": ["rent", "home"]},
            {"id": 2, "recipient": "US2", "amount": 10.5}]}},
        {"scope": "mail.read", "result": "see GB9"},
    ]);
    let mut seen = MemoryReads::new(8);
    for read in done.as_array().unwrap() {
        seen.record(scope(read["scope"].as_str().unwrap()), read["result"].clone());
    }
    let rows = [
        (json!([{"scope": "bank.*"}]), json!("GB1"), true),
        (json!([{"scope": "bank.*"}]), json!("GB9"), false),
        (json!([{"scope": "mail.read"}]), json!("GB9"), false),
        (json!([{"scope": "mail.read"}]), json!("see GB9"), true),
        (json!([{"scope": "bank.*", "field": "recipient"}]), json!("US2"), true),
        (json!([{"scope": "bank.*", "field": "recipient"}]), json!(50), false),
        (json!([{"scope": "bank.*", "field": "tags"}]), json!(["home", "rent"]), true),
        (json!([{"scope": "bank.*", "field": "tags"}]), json!(["home", "evil"]), false),
        (
            json!([{"scope": "bank.*", "field": "recipient", "where": {"id": 1}}]),
            json!("GB1"),
            true,
        ),
        (
            json!([{"scope": "bank.*", "field": "recipient", "where": {"id": 1}}]),
            json!("US2"),
            false,
        ),
        (json!([{"scope": "bank.*", "where": {"id": "1"}}]), json!("GB1"), false),
        (json!([{"scope": "bank.*", "field": "amount", "bound": "max"}]), json!(49.99), true),
        (json!([{"scope": "bank.*", "field": "amount", "bound": "max"}]), json!(50.01), false),
        (json!([{"scope": "bank.*", "field": "amount", "times": 0.5}]), json!(25), true),
        (json!([{"scope": "bank.*", "field": "amount", "times": 0.5}]), json!(50), false),
        (json!([{"scope": "bank.*", "field": "amount", "plus": -6}]), json!(4.5), true),
        (
            json!([{"scope": "bank.*", "field": "amount", "plus": -6, "where": {"id": 1}}]),
            json!(4.5),
            false,
        ),
        (
            json!([{"scope": "bank.*", "field": "amount", "times": 0.195, "plus": 5.29, "where": {"id": 2}}]),
            json!(7.34),
            true,
        ),
        (
            json!([{"scope": "bank.*", "field": "amount", "times": 0.195, "plus": 5.29, "where": {"id": 2}}]),
            json!(7.35),
            false,
        ),
        (
            json!([{"scope": "bank.*", "field": "amount", "times": 0.5, "bound": "max"}]),
            json!(12.5),
            true,
        ),
        (
            json!([{"scope": "bank.*", "field": "amount", "times": 0.5, "bound": "max"}]),
            json!(25.01),
            false,
        ),
        (json!([{"scope": "bank.*", "field": "recipient", "plus": 1}]), json!("GB1"), false),
        (json!([]), json!("GB1"), false),
    ];
    let cases: Vec<Value> = rows
        .into_iter()
        .map(|(sources, value, admitted)| {
            let outcome = if admitted { "accept" } else { "ceiling_exceeded" };
            let constraint = json!({"key": "k", "from_read": sources});
            let parsed = Constraint::from_json(&constraint).unwrap();
            assert_eq!(judge(&parsed, "bank.send", &json!({"k": value}), &seen), outcome, "{constraint}");
            json!({"constraint": constraint, "scope": "bank.send", "arguments": {"k": value}, "outcome": outcome})
        })
        .collect();
    json!({"done": done, "cases": cases})
}

fn subsumes() -> Vec<Value> {
    let rows = [
        (json!({"max": 10}), json!({"max": 10}), true),
        (json!({"max": 10}), json!({"max": 11}), false),
        (json!({"max": 10}), json!({"max_lifetime": 1}), false),
        (json!({"min": 1}), json!({"min": 2}), true),
        (json!({"min": 1}), json!({"min": 0}), false),
        (json!({"max_lifetime": 10}), json!({"max_lifetime": 11}), false),
        (json!({"max_subtree": 10}), json!({"max_subtree": 3}), true),
        (json!({"one_of": ["a", 1]}), json!({"one_of": []}), true),
        (json!({"one_of": ["a", 1]}), json!({"one_of": [true]}), false),
        (json!({"not_one_of": ["a"]}), json!({"not_one_of": ["a", "b"]}), true),
        (json!({"not_one_of": ["a"]}), json!({"not_one_of": []}), false),
        (json!({"prefix": "eu-"}), json!({"prefix": "eu-\u{0}"}), true),
        (json!({"prefix": "eu-"}), json!({"prefix": "eu"}), false),
        (
            json!({"rank": "b", "order": ["a", "b"]}),
            json!({"rank": "a", "order": ["a", "b"]}),
            true,
        ),
        (
            json!({"rank": "b", "order": ["a", "b"]}),
            json!({"rank": "a", "order": ["b", "a"]}),
            false,
        ),
        (json!({"subset_of": ["a", "b"]}), json!({"subset_of": ["a"]}), true),
        (json!({"absent": true}), json!({"absent": true}), true),
        (json!({"contains": "b"}), json!({"contains": "abc"}), true),
        (json!({"under": "/a"}), json!({"under": "/a/b"}), true),
        (json!({"under": "/a"}), json!({"under": "/ab"}), false),
        (json!({"host": ["a.x", "b.x"]}), json!({"host": ["b.x"]}), true),
        (json!({"host": ["a.x"]}), json!({"host": ["c.x"]}), false),
        (
            json!({"from_read": [{"scope": "crm.read"}]}),
            json!({"from_read": [{"scope": "crm.read", "field": "f", "where": {"id": 1}}]}),
            true,
        ),
        (
            json!({"from_read": [{"scope": "crm.read", "field": "f"}]}),
            json!({"from_read": [{"scope": "crm.read"}]}),
            false,
        ),
        (
            json!({"from_read": [{"scope": "crm.read"}]}),
            json!({"from_read": [{"scope": "crm.read", "bound": "max"}]}),
            false,
        ),
        (
            json!({"from_read": [{"scope": "crm.read", "field": "f", "times": 0.5}]}),
            json!({"from_read": [{"scope": "crm.read", "field": "f", "times": 0.5, "where": {"id": 1}}]}),
            true,
        ),
        (
            json!({"from_read": [{"scope": "crm.read", "field": "f", "times": 1, "plus": 0}]}),
            json!({"from_read": [{"scope": "crm.read", "field": "f"}]}),
            true,
        ),
        (
            json!({"from_read": [{"scope": "crm.read", "field": "f"}]}),
            json!({"from_read": [{"scope": "crm.read", "field": "f", "plus": 1}]}),
            false,
        ),
        (
            json!({"from_read": [{"scope": "crm.read", "field": "f", "times": 0.5}]}),
            json!({"from_read": [{"scope": "crm.read", "field": "f", "times": 0.4}]}),
            false,
        ),
        (json!({"quota": {"v": [1]}}), json!({"quota": {"v": [1]}}), true),
        (json!({"quota": {"v": [1]}}), json!({"quota": {"v": [true]}}), false),
    ];
    rows.into_iter()
        .map(|(parent, child, subsumes)| {
            assert_eq!(bound(&parent).subsumes(&bound(&child)), subsumes, "{parent} {child}");
            json!({"parent": with_key(&parent), "child": with_key(&child), "subsumes": subsumes})
        })
        .collect()
}

fn malformed() -> Vec<Value> {
    let rows = vec![
        json!("max"),
        json!({"max": 1}),
        json!({"key": 1, "max": 1}),
        json!({"key": "", "max": 1}),
        json!({"key": "k"}),
        json!({"key": "k", "max": "1"}),
        json!({"key": "k", "max": true}),
        json!({"key": "k", "max": 1, "min": 0}),
        json!({"key": "k", "max": 1, "note": "x"}),
        json!({"key": "k", "one": 1, "two": 2}),
        json!({"key": "k", "one_of": "abc"}),
        json!({"key": "k", "one_of": [[1]]}),
        json!({"key": "k", "rank": "a"}),
        json!({"key": "k", "rank": "c", "order": ["a", "b"]}),
        json!({"key": "k", "rank": "a", "order": ["a"]}),
        json!({"key": "k", "absent": false}),
        json!({"key": "k", "under": "/a/../b"}),
        json!({"key": "k", "under": "/a/"}),
        json!({"key": "k", "host": ["API.example"]}),
        json!({"key": "k", "host": ["https://a.x"]}),
        json!({"key": "k", "from_read": [{"field": "x"}]}),
        json!({"key": "k", "from_read": [{"scope": "a.b", "bound": "min"}]}),
        json!({"key": "k", "from_read": [{"scope": "a.b", "other": 1}]}),
        json!({"key": "k", "from_read": [{"scope": "a.b", "field": "f", "times": "2"}]}),
        json!({"key": "k", "from_read": [{"scope": "a.b", "field": "f", "plus": true}]}),
        json!({"key": "k", "from_read": [{"scope": "a.b", "plus": 1}]}),
    ];
    for row in &rows {
        assert!(Constraint::from_json(row).is_err(), "{row}");
    }
    rows
}

fn debits() -> Vec<Value> {
    let constraints = json!([
        {"key": "calls", "max_lifetime": 20},
        {"key": "mail.send:calls", "max_subtree": 2},
        {"key": "spend_usd", "max_subtree": 50.5},
    ]);
    let set = ConstraintSet::new(
        constraints.as_array().unwrap().iter().map(|c| Constraint::from_json(c).unwrap()),
    )
    .unwrap();
    let rows = [
        (
            "crm.read",
            json!({}),
            json!([
            {"key": "calls", "kind": "lifetime", "amount": 1_000_000, "limit": 20_000_000}]),
        ),
        (
            "pay.send",
            json!({"spend_usd": 19.99, "calls": 1000}),
            json!([
            {"key": "calls", "kind": "lifetime", "amount": 1_000_000, "limit": 20_000_000},
            {"key": "spend_usd", "kind": "subtree", "amount": 19_990_000, "limit": 50_500_000}]),
        ),
        (
            "mail.send",
            json!({}),
            json!([
            {"key": "calls", "kind": "lifetime", "amount": 1_000_000, "limit": 20_000_000},
            {"key": "mail.send:calls", "kind": "subtree", "amount": 1_000_000, "limit": 2_000_000}]),
        ),
    ];
    rows.into_iter()
        .map(|(scope, arguments, debits)| {
            let call = CallArguments::new(self::scope(scope), arguments.as_object().unwrap().clone());
            assert_eq!(serde_json::to_value(set.debits(&call)).unwrap(), debits);
            json!({"constraints": constraints, "scope": scope, "arguments": arguments, "debits": debits})
        })
        .collect()
}

/// A fixed sequence, so that the file changes only when the generator does.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn pick<'a>(&mut self, from: &'a [Value]) -> &'a Value {
        &from[self.below(from.len())]
    }
}

pub fn narrow_cases() -> Value {
    let rules = json!([
        {"max": 5}, {"max": 2.5}, {"min": 1}, {"min": -1}, {"max_lifetime": 3}, {"max_lifetime": 9},
        {"max_subtree": 4}, {"one_of": ["a", "b", 1]}, {"one_of": ["b", 1, true]}, {"one_of": []},
        {"not_one_of": ["a"]}, {"not_one_of": ["b", null]}, {"prefix": "a"}, {"prefix": "ab"}, {"prefix": "b"},
        {"rank": "b", "order": ["a", "b", "c"]}, {"rank": "a", "order": ["a", "b", "c"]},
        {"rank": "b", "order": ["b", "c"]}, {"subset_of": ["a", "b"]}, {"subset_of": ["b", "c"]},
        {"absent": true}, {"contains": "a"}, {"contains": "ab"}, {"contains": "c"}, {"under": "/"},
        {"under": "/a"}, {"under": "/a/b"}, {"under": "/c"}, {"host": ["a.x", "b.x"]}, {"host": ["b.x:8443", "b.x"]},
        {"from_read": [{"scope": "a.b"}]}, {"from_read": [{"scope": "a.b", "field": "f"}, {"scope": "c.*"}]},
        {"from_read": [{"scope": "a.b", "where": {"x": 1}}, {"scope": "c.*", "bound": "max"}]},
        {"from_read": [{"scope": "a.b", "field": "f", "times": 0.5}, {"scope": "a.b", "field": "f"}]},
        {"from_read": [{"scope": "a.b", "field": "f", "times": 0.5, "plus": 0, "where": {"x": 1}}]},
        {"quota": 1}, {"quota": 2}
    ]);
    let scopes = json!(["a.*", "a.b", "a.b.*", "a.b.c", "c.*", "c.d", "User.Read", "x.y"]);
    let (rules, scopes) = (rules.as_array().unwrap(), scopes.as_array().unwrap());
    let mut sequence = Sequence(42);
    let mut held = || {
        let mut set: Vec<Constraint> = Vec::new();
        for _ in 0..sequence.below(6) {
            let mut rule = sequence.pick(rules).clone();
            rule["key"] = if sequence.below(2) == 0 { json!("k") } else { json!("j") };
            let constraint = Constraint::from_json(&rule).unwrap();
            let same = |other: &Constraint| {
                (other.key(), other.type_name()) == (constraint.key(), constraint.type_name())
            };
            if !set.iter().any(same) {
                set.push(constraint);
            }
        }
        let count = sequence.below(4) + 1;
        let names: Vec<Scope> =
            (0..count).map(|_| scope(sequence.pick(scopes).as_str().unwrap())).collect();
        HeldAuthority {
            scopes: ScopeSet::new(names).unwrap(),
            constraints: ConstraintSet::new(set).unwrap(),
        }
    };
    let cases: Vec<Value> = (0..120)
        .map(|_| {
            let (parent, requested) = (held(), held());
            let narrowed = narrow(&parent, &requested);
            assert!(narrowed.is_narrower_than(&parent).is_ok());
            json!({
                "parent": parent.to_detail(),
                "requested": requested.to_detail(),
                "narrowed": narrowed.to_detail(),
                "requested_is_narrower": requested.is_narrower_than(&parent).is_ok(),
            })
        })
        .collect();
    json!({"cases": cases})
}
