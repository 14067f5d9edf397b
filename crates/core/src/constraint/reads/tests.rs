use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

use super::*;
use crate::constraint::Constraint;

const SALT: [u8; 32] = [3; 32];

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn source(value: &Value) -> ReadSource {
    let constraint = Constraint::from_json(&json!({"key": "k", "from_read": [value]})).unwrap();
    match constraint.rule() {
        crate::constraint::Rule::FromRead(sources) => sources[0].clone(),
        other => unreachable!("{other:?}"),
    }
}

/// Both sets of the same reads, the digests as another component would have got them.
fn both(reads: &[(String, Value)]) -> (MemoryReads, DigestedReads) {
    let mut plain = MemoryReads::new(64);
    let mut digested = DigestedReads::new(ReadsSalt::new(SALT), ReadBounds::default());
    for (under, result) in reads {
        plain.record(scope(under), result.clone());
        let read = ReadDigest::of(digested.salt(), scope(under), result);
        let sent = serde_json::to_string(&read).unwrap();
        let got: ReadDigest = serde_json::from_str(&sent).unwrap();
        assert_eq!(got, read);
        digested.add(Arc::new(got));
    }
    (plain, digested)
}

/// Few words, so that many of them meet.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => prop_oneof![Just("a"), Just("b"), Just(""), Just("1"), Just("true")].prop_map(Value::from),
        2 => prop_oneof![
            Just(json!(1)), Just(json!(1.0)), Just(json!(-0.0)), Just(json!(0)), Just(json!(2.5)),
            Just(json!(19.99)), Just(json!(0.1)), Just(json!(9_007_199_254_740_992_u64)),
            Just(json!(1e300)),
        ],
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<i32>().prop_map(|n| json!(f64::from(n) / 100.0)),
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![Just("f"), Just("g"), Just("id"), Just("")].prop_map(str::to_owned)
}

fn result() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(6, 48, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(field(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_source() -> impl Strategy<Value = Value> {
    let number = || prop_oneof![Just(json!(0.5)), Just(json!(-1)), Just(json!(2)), Just(json!(0))];
    let extras = (
        proptest::option::of(field()),
        proptest::collection::btree_map(
            field(),
            scalar().prop_filter("safe", |v| Scalar::from_json(v).is_some()),
            0..3,
        ),
        any::<bool>(),
        proptest::option::weighted(0.3, (number(), number())),
    );
    (prop_oneof![Just("x.r"), Just("x.*"), Just("y.r")], extras).prop_map(
        |(scope, (field, filter, at_most, computed))| {
            let mut source = json!({"scope": scope});
            if let (Some((times, plus)), Some(_)) = (computed, &field) {
                source["times"] = times;
                source["plus"] = plus;
            }
            if let Some(field) = field {
                source["field"] = json!(field);
            }
            if !filter.is_empty() {
                source["where"] = json!(filter);
            }
            if at_most {
                source["bound"] = json!("max");
            }
            source
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn digests_give_the_verdicts_of_the_reads(
        reads in proptest::collection::vec(
            (prop_oneof![Just("x.r"), Just("x.s"), Just("y.r")].prop_map(str::to_owned), result()),
            0..4,
        ),
        sources in proptest::collection::vec(any_source(), 1..4),
        values in proptest::collection::vec(scalar(), 1..6),
    ) {
        let (plain, digested) = both(&reads);
        for asked in &sources {
            let source = source(asked);
            for value in values.iter().filter_map(Scalar::from_json) {
                prop_assert_eq!(
                    source.admits(&value, &plain),
                    source.admits(&value, &digested),
                    "{} {:?} in {:?}", asked, value, reads
                );
            }
        }
    }
}

#[test]
fn nesting_ends_at_the_same_depth_for_both() {
    let nest = |depth: usize, inner: Value, row: bool| {
        (0..depth).fold(inner, |inner, _| if row { json!({"in": inner}) } else { json!([inner]) })
    };
    let mut seen = [0, 0];
    for depth in 40..56 {
        for row in [false, true] {
            for inner in [json!("v"), json!({"f": "v"}), json!({"f": ["v"]}), json!({"g": [["v"]]})]
            {
                let reads = [("x.r".to_owned(), nest(depth, inner, row))];
                let (plain, digested) = both(&reads);
                for asked in [json!({"scope": "x.r"}), json!({"scope": "x.r", "field": "f"})] {
                    let (source, value) = (source(&asked), Scalar::String("v".into()));
                    let verdict = source.admits(&value, &plain);
                    assert_eq!(verdict, source.admits(&value, &digested), "{depth} {row} {asked}");
                    seen[usize::from(verdict)] += 1;
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn a_computed_amount_is_a_function_of_one_row() {
    let rows = json!([
        {"payer": "GB29", "amount": 10.0}, {"payer": "apple", "amount": 1000},
        {"payer": "web page says", "amount": 77},
    ]);
    let (plain, digested) = both(&[("bank.read".to_owned(), rows)]);
    let admits = |extra: Value, value: f64| {
        let mut asked = json!({"scope": "bank.read", "field": "amount"});
        asked.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (source, value) = (source(&asked), Scalar::Number(Number::new(value).unwrap()));
        let verdict = source.admits(&value, &plain);
        assert_eq!(verdict, source.admits(&value, &digested));
        verdict
    };
    // What they sent, less their half of 12.00.
    let difference = || json!({"where": {"payer": "GB29"}, "plus": -6});
    assert!(admits(difference(), 4.0));
    assert!(
        !admits(difference(), 4.01) && !admits(difference(), 10.0) && !admits(difference(), 71.0)
    );
    // 19.5 % of what was paid, and a fee.
    let tax = || json!({"where": {"payer": "apple"}, "times": 0.195, "plus": 5.29});
    assert!(admits(tax(), 200.29) && admits(tax(), 200.285) && !admits(tax(), 200.3));
    assert!(!admits(tax(), 1000.0) && !admits(tax(), 77.0 * 0.195 + 5.29));
    // At most half.
    let half = || json!({"where": {"payer": "GB29"}, "times": 0.5, "bound": "max"});
    assert!(admits(half(), 5.0) && admits(half(), 1.0) && !admits(half(), 5.01));
    // Nothing is computed from text.
    assert!(
        !source(&json!({"scope": "bank.read", "field": "payer", "times": 2}))
            .admits(&Scalar::String("GB29".into()), &digested)
    );
    // `times: 1` and `plus: 0` change nothing, and are not said.
    let plain = source(&json!({"scope": "bank.read", "field": "amount", "times": 1.0, "plus": 0}));
    assert_eq!(plain, source(&json!({"scope": "bank.read", "field": "amount"})));
}

#[test]
fn what_is_computed_is_neither_added_nor_dropped_by_a_narrower_element() {
    let of = |extra: Value| {
        let mut asked = json!({"scope": "a.b", "field": "f"});
        asked.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        source(&asked)
    };
    let half = of(json!({"times": 0.5}));
    assert!(half.subsumes(&of(json!({"times": 0.5, "where": {"x": 1}}))));
    for other in [json!({}), json!({"times": 0.4}), json!({"times": 0.5, "plus": 1})] {
        assert!(
            !half.subsumes(&of(other.clone())) && !of(other.clone()).subsumes(&half),
            "{other}"
        );
        assert_eq!(half.meet(&of(other)), None);
    }
    let met = half.meet(&of(json!({"times": 0.5, "where": {"x": 1}}))).unwrap();
    assert_eq!(met, of(json!({"times": 0.5, "where": {"x": 1}})));
}

#[test]
fn the_oldest_reads_go_first_and_a_read_that_came_again_is_new() {
    let bounds = ReadBounds { rows_max: 3, weight_max: 1 << 20 };
    let mut reads = DigestedReads::new(ReadsSalt::new(SALT), bounds);
    let read = |value: &str| {
        Arc::new(ReadDigest::of(&ReadsSalt::new(SALT), scope("a.b"), &json!({"f": value})))
    };
    for value in ["one", "two", "three"] {
        assert!(reads.add(read(value)));
    }
    assert!(!reads.add(read("one")), "it is there already");
    assert!(reads.add(read("four")));
    let any = source(&json!({"scope": "a.b"}));
    let held =
        |reads: &DigestedReads, text: &str| reads.returned(&any, &Scalar::String(text.into()));
    assert!(held(&reads, "one") && held(&reads, "three") && held(&reads, "four"));
    assert!(!held(&reads, "two"), "the oldest has gone");

    let big: Vec<Value> = (0..10).map(|n| json!({"f": n})).collect();
    let big = ReadDigest::of(reads.salt(), scope("a.b"), &Value::from(big));
    reads.add(Arc::new(big));
    assert_eq!((reads.iter().count(), reads.weight()), (0, 0), "more than is kept of a whole task");

    let many = Value::from((0..READ_SCALARS).map(|n| json!({"f": n})).collect::<Vec<_>>());
    let cut = ReadDigest::of(reads.salt(), scope("a.b"), &many);
    assert_eq!(cut.rows(), crate::limits::READ_ROWS_MAX, "of one read the first rows are kept");
}

const READ_SCALARS: usize = 10_000;

#[test]
fn another_salt_recognises_nothing_and_no_text_is_in_the_digest() {
    let result = json!([{"iban": "GB29NWBK", "owner": "alice@a.example", "ok": true}]);
    let read = ReadDigest::of(&ReadsSalt::new(SALT), scope("bank.read"), &result);
    let sent = serde_json::to_string(&read).unwrap();
    for secret in ["GB29", "alice", "iban", "owner", "true"] {
        assert!(!sent.contains(secret), "{secret} in {sent}");
    }
    let iban = Scalar::String("GB29NWBK".into());
    let source = source(&json!({"scope": "bank.read", "field": "iban"}));
    for (salt, verdict) in [(SALT, true), ([4; 32], false)] {
        let mut reads = DigestedReads::new(ReadsSalt::new(salt), ReadBounds::default());
        reads.add(Arc::new(read.clone()));
        assert_eq!(reads.returned(&source, &iban), verdict);
    }
}

#[test]
fn a_digest_that_is_none_is_refused() {
    for bad in [
        json!({"rows": []}),
        json!({"scope": "", "rows": []}),
        json!({"scope": "a.b", "rows": [], "more": 1}),
        json!({"scope": "a.b", "rows": [[["short", "#0000000000000000"]]]}),
        json!({"scope": "a.b", "rows": [], "loose": ["#7ff8000000000000"]}),
        json!({"scope": "a.b", "rows": [], "loose": ["#1"]}),
        json!({"scope": "a.b", "rows": [], "loose": [1]}),
        json!({"scope": "a.b", "rows": vec![json!([]); crate::limits::READ_ROWS_MAX + 1]}),
        json!({"scope": "a.b", "rows": [], "loose": vec!["#0000000000000000"; 9_000]}),
    ] {
        let text = bad.to_string();
        assert!(
            serde_json::from_str::<ReadDigest>(&text).is_err(),
            "{}",
            &text[..text.len().min(90)]
        );
    }
    let good = json!({"scope": "a.b", "rows": [[["AAAAAAAAAAAAAAAAAAAAAA", "#3ff0000000000000"]]]});
    assert!(serde_json::from_value::<ReadDigest>(good).is_ok());
}
