use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn canonical_texts_pass_and_others_have_their_reason() {
    use JcsError::{DuplicateMember, Malformed, NonCanonical, NonFinite};
    for good in [
        "{}",
        "[]",
        "null",
        "\"\"",
        "0",
        "-1",
        "0.000001",
        "1e-7",
        "1000000000000000",
        "9007199254740991",
        "0.1",
        "{\"a\":1,\"b\":[true,false,null]}",
        "\"\\u001f\\n\\\"\\\\/\u{7f}é\"",
        "{\"\u{10000}\":1,\"\u{e000}\":2}",
        "-123456789012345",
    ] {
        assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
    }
    for (bad, reason) in [
        ("", Malformed),
        ("{", Malformed),
        ("[1,]", Malformed),
        ("{\"a\"}", Malformed),
        ("{a:1}", Malformed),
        ("1 2", Malformed),
        ("01", Malformed),
        ("1.", Malformed),
        (".5", Malformed),
        ("+1", Malformed),
        ("1e", Malformed),
        ("tru", Malformed),
        ("\"\u{1}\"", Malformed),
        ("\"\\x\"", Malformed),
        ("\"\\ud800\"", Malformed),
        ("\"\\ud800\\u0041\"", Malformed),
        ("\"\\udc00\"", Malformed),
        ("\"\\u12g4\"", Malformed),
        ("\"\\u+123\"", Malformed),
        ("\"abc", Malformed),
        ("9007199254740992", Malformed),
        ("1e+21", Malformed),
        ("-1e300", Malformed),
        ("NaN", NonFinite),
        ("[Infinity]", NonFinite),
        ("-Infinity", NonFinite),
        ("1e999", NonFinite),
        ("{\"a\":1,\"a\":1}", DuplicateMember),
        ("{\"a\":1,\"b\":2,\"a\":3}", DuplicateMember),
        ("{\"b\":1,\"\\u0061\":2,\"a\":3}", DuplicateMember),
        ("{\"b\":{\"a\":1,\"a\":1},\"a\":NaN}", DuplicateMember),
        ("{\"b\":NaN,\"a\":1,\"a\":2}", NonFinite),
        (" {}", NonCanonical),
        ("{} ", NonCanonical),
        ("{\"a\": 1}", NonCanonical),
        ("{\"b\":1,\"a\":2}", NonCanonical),
        ("{\"\u{e000}\":1,\"\u{10000}\":2}", NonCanonical),
        ("\"\\u0041\"", NonCanonical),
        ("\"\\/\"", NonCanonical),
        ("\"\\u000a\"", NonCanonical),
        ("\"\\u001F\"", NonCanonical),
        ("\"\\ud83d\\ude00\"", NonCanonical),
        ("-0", NonCanonical),
        ("1.0", NonCanonical),
        ("1e2", NonCanonical),
        ("0.10", NonCanonical),
        ("1E-7", NonCanonical),
        ("1000000000000000.0", NonCanonical),
    ] {
        assert_eq!(check(bad.as_bytes()), Err(reason), "{bad}");
    }
    assert_eq!(check(&[b'"', 0xff, b'"']), Err(Malformed));
    let deep = "[".repeat(100_000);
    assert_eq!(check(deep.as_bytes()), Err(Malformed));
}

#[test]
fn values_that_cannot_be_signed_are_refused() {
    assert_eq!(canonicalize_value(&json!(u64::MAX)), Err(JcsError::Malformed));
    assert_eq!(canonicalize(&u64::MAX), Err(JcsError::Malformed));
    assert_eq!(canonicalize(&f64::NAN), Err(JcsError::NonFinite));
    assert_eq!(
        canonicalize(&json!({"b": 1.0, "a": "é"})).unwrap(),
        "{\"a\":\"é\",\"b\":1}".as_bytes()
    );
}

#[test]
fn members_are_put_in_order_wherever_they_come_from() {
    #[derive(Serialize)]
    struct Inner {
        z: Option<u8>,
        #[serde(flatten)]
        more: std::collections::BTreeMap<&'static str, f32>,
        b: (i8, char, ()),
    }
    #[derive(Serialize)]
    enum Kind {
        Unit,
        New(u16),
        Pair(u8, bool),
        Record { d: u64, c: Inner },
    }
    let inner = || Inner { z: None, more: [("m", 0.5), ("a", -0.0)].into(), b: (-1, 'é', ()) };
    let kinds =
        vec![Kind::Unit, Kind::New(7), Kind::Pair(1, true), Kind::Record { d: 4, c: inner() }];
    let tree = serde_json::to_value(&kinds).unwrap();
    let ours = canonicalize(&kinds).unwrap();
    assert_eq!(ours, serde_json_canonicalizer::to_vec(&tree).unwrap());
    assert_eq!(check(&ours), Ok(()));

    let utf16: std::collections::HashMap<&str, u8> =
        [("\u{10000}", 1), ("\u{e000}", 2), ("a\n", 3), ("a", 4), ("", 5)].into();
    let ours = canonicalize(&utf16).unwrap();
    assert_eq!(check(&ours), Ok(()));
    assert_eq!(serde_json::from_slice::<Value>(&ours).unwrap(), json!(utf16));
}

#[test]
fn what_has_no_canonical_form_is_refused() {
    #[derive(Serialize)]
    struct Twice {
        a: u8,
        #[serde(flatten)]
        more: std::collections::BTreeMap<&'static str, u8>,
    }
    let twice = |name| canonicalize(&Twice { a: 1, more: [(name, 2)].into() });
    assert_eq!(twice("a"), Err(JcsError::DuplicateMember));
    assert_eq!(twice("b").unwrap(), b"{\"a\":1,\"b\":2}");
    assert_eq!(canonicalize(&[(1, 2)]).unwrap(), b"[[1,2]]");
    let by_number: std::collections::BTreeMap<u8, u8> = [(1, 2)].into();
    assert_eq!(canonicalize(&by_number), Err(JcsError::Malformed));

    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let most = crate::limits::JSON_DEPTH_MAX;
    assert_eq!(check(&canonicalize(&nested(most)).unwrap()), Ok(()));
    assert_eq!(canonicalize(&nested(most + 1)), Err(JcsError::Malformed));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-1.0e15_f64..1.0e15).prop_map(Value::from),
        (-1.0_f64..1.0).prop_map(|f| Value::from(f * 1e-6)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn our_writer_agrees_with_the_oracle_and_our_reader(value in any_json()) {
        let ours = canonicalize_value(&value).unwrap();
        prop_assert_eq!(&ours, &serde_json_canonicalizer::to_vec(&value).unwrap());
        prop_assert_eq!(check(&ours), Ok(()));
        let read = parse_strict(&ours).unwrap();
        prop_assert_eq!(canonicalize_value(&read).unwrap(), ours);
    }

    #[test]
    fn whatever_passes_is_its_own_canonical_form(text in any::<String>(), value in any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = check(text.as_bytes());
        let mut bytes = canonicalize_value(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if check(&bytes).is_ok() {
            let read: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(canonicalize_value(&read).unwrap(), bytes);
        }
    }

    #[test]
    fn scanning_accepts_what_serde_json_accepts(value in any_json()) {
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert!(scan_text(std::str::from_utf8(&pretty).unwrap()).is_ok());
    }
}
