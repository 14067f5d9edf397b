use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::constraint::{CallArguments, NoReads, Totals};
use crate::scope::ScopeSet;

fn held(scopes: &str, constraints: Value) -> HeldAuthority {
    let scopes = scopes.parse::<ScopeSet>().unwrap();
    let constraints =
        constraints.as_array().unwrap().iter().map(|c| Constraint::from_json(c).unwrap());
    HeldAuthority { scopes, constraints: ConstraintSet::new(constraints).unwrap() }
}

#[test]
fn each_type_meets_exactly() {
    for (parent, asked, met) in [
        (
            json!([{"key": "k", "max": 5}]),
            json!([{"key": "k", "max": 9}]),
            json!([{"key": "k", "max": 5}]),
        ),
        (
            json!([{"key": "k", "min": 5}]),
            json!([{"key": "k", "min": 9}]),
            json!([{"key": "k", "min": 9}]),
        ),
        (
            json!([{"key": "k", "one_of": ["a", "b"]}]),
            json!([{"key": "k", "one_of": ["b", "c"]}]),
            json!([{"key": "k", "one_of": ["b"]}]),
        ),
        (
            json!([{"key": "k", "not_one_of": ["a"]}]),
            json!([{"key": "k", "not_one_of": ["b"]}]),
            json!([{"key": "k", "not_one_of": ["a", "b"]}]),
        ),
        (
            json!([{"key": "k", "host": ["a.x", "b.x"]}]),
            json!([{"key": "k", "host": ["c.x"]}]),
            json!([{"key": "k", "host": []}]),
        ),
        (
            json!([{"key": "k", "prefix": "eu-"}]),
            json!([{"key": "k", "prefix": "us-"}]),
            json!([{"key": "k", "prefix": "eu-\u{0}"}]),
        ),
        (
            json!([{"key": "k", "under": "/a"}]),
            json!([{"key": "k", "under": "/b"}]),
            json!([{"key": "k", "under": "/a/\u{0}"}]),
        ),
        (
            json!([{"key": "k", "rank": "b", "order": ["a", "b"]}]),
            json!([{"key": "k", "rank": "b", "order": ["b", "a"]}]),
            json!([{"key": "k", "one_of": []}, {"key": "k", "rank": "a", "order": ["a", "b"]}]),
        ),
        (
            json!([{"key": "k", "quota": 1}]),
            json!([{"key": "k", "quota": 2}]),
            json!([{"key": "k", "quota": 1}]),
        ),
        (
            json!([{"key": "k", "from_read": [{"scope": "a.b"}]}]),
            json!([{"key": "k", "from_read": [{"scope": "a.b", "field": "f"}, {"scope": "c.d"}]}]),
            json!([{"key": "k", "from_read": [{"scope": "a.b", "field": "f"}]}]),
        ),
        (
            json!([{"key": "k", "max": 5}]),
            json!([{"key": "k", "min": 1}, {"key": "j", "max": 2}]),
            json!([{"key": "j", "max": 2}, {"key": "k", "max": 5}, {"key": "k", "min": 1}]),
        ),
    ] {
        let narrowed = narrow(&held("a.*", parent.clone()), &held("a.b c.d", asked.clone()));
        assert_eq!(narrowed, held("a.b", met), "{parent} meets {asked}");
    }
}

#[test]
fn a_result_too_large_for_a_token_permits_nothing() {
    let many = |prefix: &str| -> Value {
        (0..40).map(|i| json!({"key": format!("{prefix}{i}"), "max": 1})).collect()
    };
    let narrowed = narrow(&held("a.*", many("p")), &held("a.b", many("q")));
    assert!(narrowed.scopes.is_empty());
    assert_eq!(narrowed.is_narrower_than(&held("a.*", many("p"))), Ok(()));
}

fn any_constraint() -> impl Strategy<Value = Value> {
    let key = prop_oneof![Just("k"), Just("j")];
    let word = || prop_oneof![Just("a"), Just("ab"), Just("abc"), Just("b"), Just("ba"), Just("")];
    let members = || {
        proptest::collection::vec(
            prop_oneof![
                word().prop_map(Value::from),
                (0..3_i32).prop_map(Value::from),
                any::<bool>().prop_map(Value::from),
                Just(Value::Null),
            ],
            0..4,
        )
        .prop_map(Value::from)
    };
    let number = || (-2..6_i32).prop_map(|n| json!(f64::from(n) / 2.0));
    let path =
        prop_oneof![Just("/"), Just("/a"), Just("/a/b"), Just("/ab"), Just("a"), Just("/a/\u{0}")];
    let hosts =
        proptest::collection::vec(prop_oneof![Just("a.x"), Just("b.x"), Just("c.x:8443")], 0..3);
    let order = prop_oneof![
        Just(json!(["a", "b", "c"])),
        Just(json!(["c", "a", "b"])),
        Just(json!(["a", "b"]))
    ];
    let source = (
        prop_oneof![Just("a.b"), Just("c.*")],
        proptest::option::of(prop_oneof![Just("f"), Just("g")]),
        proptest::collection::btree_map("[xy]", 0..2_i32, 0..3),
        any::<bool>(),
        proptest::option::of((-1..3_i32, 0..2_i32)),
    )
        .prop_map(|(scope, field, filter, at_most, computed)| {
            let mut source = json!({"scope": scope});
            if let Some(field) = field {
                source["field"] = json!(field);
            }
            if !filter.is_empty() {
                source["where"] = json!(filter);
            }
            if at_most {
                source["bound"] = json!("max");
            }
            if let (Some((times, plus)), true) = (computed, source.get("field").is_some()) {
                source["times"] = json!(times);
                source["plus"] = json!(plus);
            }
            source
        });
    let rule = prop_oneof![
        number().prop_map(|n| json!({"max": n})),
        number().prop_map(|n| json!({"min": n})),
        number().prop_map(|n| json!({"max_lifetime": n})),
        number().prop_map(|n| json!({"max_subtree": n})),
        members().prop_map(|m| json!({"one_of": m})),
        members().prop_map(|m| json!({"not_one_of": m})),
        members().prop_map(|m| json!({"subset_of": m})),
        word().prop_map(|w| json!({"prefix": w})),
        word().prop_map(|w| json!({"prefix": format!("{w}\u{0}")})),
        (prop_oneof![Just("a"), Just("b")], order)
            .prop_map(|(rank, order)| json!({"rank": rank, "order": order})),
        Just(json!({"absent": true})),
        path.prop_map(|p| json!({"under": p})),
        hosts.prop_map(|h| json!({"host": h})),
        proptest::collection::vec(source, 0..4).prop_map(|s| json!({"from_read": s})),
        (0..2_i32).prop_map(|v| json!({"quota": v})),
    ];
    (key, rule).prop_map(|(key, mut rule)| {
        rule["key"] = json!(key);
        rule
    })
}

fn any_held() -> impl Strategy<Value = HeldAuthority> {
    let scope = prop_oneof![
        Just("a.*"),
        Just("a.b"),
        Just("a.b.*"),
        Just("a.b.c"),
        Just("ab.c"),
        Just("X.y"),
        Just("c.*"),
        Just("c.d"),
    ];
    (proptest::collection::vec(scope, 0..5), proptest::collection::vec(any_constraint(), 0..6))
        .prop_map(|(scopes, constraints)| {
            let mut kept: Vec<Constraint> = Vec::new();
            for constraint in constraints.iter().map(|c| Constraint::from_json(c).unwrap()) {
                if kept.iter().all(|k| k.identity() != constraint.identity()) {
                    kept.push(constraint);
                }
            }
            HeldAuthority {
                scopes: ScopeSet::new(scopes.iter().map(|s| s.parse().unwrap())).unwrap(),
                constraints: ConstraintSet::new(kept).unwrap(),
            }
        })
}

fn any_call() -> impl Strategy<Value = CallArguments> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..6_i32).prop_map(|n| json!(f64::from(n) / 2.0)),
        prop_oneof![
            Just("a"),
            Just("ab"),
            Just("abc"),
            Just("bab"),
            Just("/a/b"),
            Just("/a"),
            Just("https://a.x/"),
            Just("https://b.x"),
            Just("")
        ]
        .prop_map(Value::from),
        proptest::collection::vec(prop_oneof![Just("a"), Just("ab"), Just("b")], 0..3)
            .prop_map(|v| json!(v)),
    ];
    let scope = prop_oneof![Just("a.b"), Just("a.b.c"), Just("ab.c"), Just("X.y"), Just("c.d")];
    (scope, proptest::collection::btree_map("[kj]", value, 0..3)).prop_map(|(scope, arguments)| {
        CallArguments::new(scope.parse().unwrap(), arguments.into_iter().collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_child_is_within_its_parent_and_its_request(parent in any_held(), asked in any_held(), call in any_call()) {
        let child = narrow(&parent, &asked);
        prop_assert_eq!(child.is_narrower_than(&parent), Ok(()));
        if child.permits(&call, Totals::Debited, &NoReads).is_ok() {
            prop_assert!(parent.permits(&call, Totals::Debited, &NoReads).is_ok());
            prop_assert!(asked.permits(&call, Totals::Debited, &NoReads).is_ok());
        }
        for debit in parent.constraints.debits(&call) {
            let own = child.constraints.debits(&call);
            prop_assert!(own.iter().any(|d| d.key == debit.key && d.kind == debit.kind && d.limit <= debit.limit));
        }
    }

    #[test]
    fn what_both_permit_the_child_permits(parent in any_held(), asked in any_held(), call in any_call()) {
        let both = [&parent, &asked].iter().all(|h| h.permits(&call, Totals::Debited, &NoReads).is_ok());
        if both {
            prop_assert!(narrow(&parent, &asked).permits(&call, Totals::Debited, &NoReads).is_ok());
        }
    }

    #[test]
    fn narrowing_is_idempotent_and_associative(a in any_held(), b in any_held(), c in any_held()) {
        let once = narrow(&a, &b);
        prop_assert_eq!(&narrow(&once, &b), &once);
        prop_assert_eq!(&narrow(&once, &once), &once);
        prop_assert_eq!(narrow(&once, &c), narrow(&a, &narrow(&b, &c)));
    }

    #[test]
    fn narrower_than_is_transitive_and_sound(a in any_held(), b in any_held(), call in any_call()) {
        if a.is_narrower_than(&b).is_ok() && a.permits(&call, Totals::Debited, &NoReads).is_ok() {
            prop_assert!(b.permits(&call, Totals::Debited, &NoReads).is_ok());
        }
    }

    #[test]
    fn details_round_trip(held in any_held()) {
        prop_assert_eq!(HeldAuthority::from_detail(&held.to_detail()).unwrap(), held);
    }

    #[test]
    fn incomparable_contains_denies_or_demands_both(a in "[ab]{0,3}", b in "[ab]{0,3}", value in "[ab]{0,5}") {
        let on = |text: &str| held("a.b", json!([{"key": "k", "contains": text}]));
        let child = narrow(&on(&a), &on(&b));
        prop_assert_eq!(child.is_narrower_than(&on(&a)), Ok(()));
        let call = CallArguments::new("a.b".parse().unwrap(), serde_json::Map::from_iter([("k".into(), json!(value))]));
        if child.permits(&call, Totals::Debited, &NoReads).is_ok() {
            prop_assert!(value.contains(&a) && value.contains(&b));
        }
    }
}
