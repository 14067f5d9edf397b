//! Writes `testdata/vectors/*.json`: `gen_vectors DIR`. What must come out is written here by hand
//! and checked against the library before a file is written; only the random meets of
//! `narrow.json` are computed. The format is described in `testdata/vectors/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a generator stops at the first disagreement"
)]

#[path = "../../tests/it/fixture.rs"]
mod fixture;

mod algebra;
mod tokens;

use std::path::Path;

use serde_json::{Value, json};

fn main() {
    let dir = std::env::args().nth(1).expect("usage: gen_vectors DIR");
    let dir = Path::new(&dir);
    for (name, vectors) in [
        ("jcs.json", jcs()),
        ("scopes.json", algebra::scopes()),
        ("constraints.json", algebra::constraints()),
        ("narrow.json", algebra::narrow_cases()),
        ("tokens.json", tokens::tokens()),
        ("grants.json", tokens::grants()),
    ] {
        let mut text = serde_json::to_string_pretty(&vectors).unwrap();
        text.push('\n');
        std::fs::write(dir.join(name), text).unwrap();
        println!("{name}");
    }
}

fn jcs() -> Value {
    let texts = [
        ("{\"a\":1,\"b\":[true,false,null]}", "accept"),
        ("\"\\u001f\\n\\\"\\\\/\u{7f}é\"", "accept"),
        ("{\"\u{10000}\":1,\"\u{e000}\":2}", "accept"),
        ("[0.000001,1e-7,1000000000000000,9007199254740991,-1.5]", "accept"),
        ("{}", "accept"),
        ("{ \"a\":1}", "non_canonical"),
        ("{\"b\":1,\"a\":2}", "non_canonical"),
        ("{\"\u{e000}\":1,\"\u{10000}\":2}", "non_canonical"),
        ("\"\\u0041\"", "non_canonical"),
        ("\"\\u000a\"", "non_canonical"),
        ("\"\\u001F\"", "non_canonical"),
        ("\"\\/\"", "non_canonical"),
        ("1.0", "non_canonical"),
        ("-0", "non_canonical"),
        ("1e2", "non_canonical"),
        ("{\"a\":1,\"a\":1}", "duplicate_member"),
        ("{\"b\":1,\"\\u0061\":2,\"a\":3}", "duplicate_member"),
        ("NaN", "non_finite"),
        ("[Infinity]", "non_finite"),
        ("-Infinity", "non_finite"),
        ("1e999", "non_finite"),
        ("9007199254740992", "malformed"),
        ("1e+21", "malformed"),
        ("\"\\ud800\"", "malformed"),
        ("{\"a\":1,}", "malformed"),
        ("01", "malformed"),
        ("", "malformed"),
    ];
    let texts: Vec<Value> = texts
        .into_iter()
        .map(|(text, outcome)| {
            let found = bailiwick_core::jcs::check(text.as_bytes());
            let found = found.map_or_else(|error| error.code().code(), |()| "accept");
            assert_eq!(found, outcome, "{text}");
            json!({"text": text, "outcome": outcome})
        })
        .collect();
    let values = [
        (
            json!({"b": 1.0, "a": [1, 2.5, "é"], "\u{e000}": null, "\u{10000}": true}),
            "{\"a\":[1,2.5,\"é\"],\"b\":1,\"\u{10000}\":true,\"\u{e000}\":null}",
        ),
        (
            json!([1e-7, 1e20 / 1e6, 0.1, -0.0, 1e15]),
            "[1e-7,100000000000000,0.1,0,1000000000000000]",
        ),
        (
            json!("\u{8}\t\n\u{b}\u{c}\r\"\\/\u{1f}\u{7f}"),
            "\"\\b\\t\\n\\u000b\\f\\r\\\"\\\\/\\u001f\u{7f}\"",
        ),
    ];
    let values: Vec<Value> = values
        .into_iter()
        .map(|(value, canonical)| {
            let found = bailiwick_core::jcs::canonicalize_value(&value).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), canonical);
            json!({"value": value, "canonical": canonical})
        })
        .collect();
    json!({"texts": texts, "values": values})
}
