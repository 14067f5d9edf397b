//! The committed vectors, which every SDK also checks, against this library.

use bailiwick_core::{
    CallArguments, Constraint, ConstraintSet, HeldAuthority, IssuerKeys, MemoryReads, Scope,
    ScopeForm, ScopeSet, Totals, UnixMillis, UnverifiedToken, VerifyError, VerifyOptions,
    VerifyingKey, jcs, narrow, verify_chain, verify_grant, verify_leaf,
};
use serde_json::Value;

use crate::fixture::presented;

fn load(name: &str) -> Value {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/vectors/");
    serde_json::from_slice(&std::fs::read(format!("{dir}{name}")).unwrap()).unwrap()
}

fn rows<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    let rows = value[name].as_array().unwrap();
    assert!(!rows.is_empty(), "{name} has cases");
    rows
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn outcome<T>(result: Result<T, VerifyError>) -> &'static str {
    result.map_or_else(|error| error.code().code(), |_| "accept")
}

#[test]
fn jcs_vectors() {
    let vectors = load("jcs.json");
    for row in rows(&vectors, "texts") {
        let found = jcs::check(text(row, "text").as_bytes());
        let found = found.map_or_else(|error| error.code().code(), |()| "accept");
        assert_eq!(found, text(row, "outcome"), "{row}");
    }
    for row in rows(&vectors, "values") {
        let bytes = jcs::canonicalize_value(&row["value"]).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), text(row, "canonical"));
    }
}

#[test]
fn scope_vectors() {
    let vectors = load("scopes.json");
    for row in rows(&vectors, "forms") {
        let form = match text(row, "scope").parse::<Scope>().map(|scope| scope.form()) {
            Ok(ScopeForm::Literal) => "literal",
            Ok(ScopeForm::Wildcard) => "wildcard",
            Ok(ScopeForm::Opaque) => "opaque",
            Err(_) => "invalid",
        };
        assert_eq!(form, text(row, "form"), "{row}");
    }
    for row in rows(&vectors, "covers") {
        let scope = |name| text(row, name).parse::<Scope>().unwrap();
        assert_eq!(scope("held").covers(&scope("requested")), row["covers"], "{row}");
    }
    for row in rows(&vectors, "meets") {
        let set = |name: &str| serde_json::from_value::<ScopeSet>(row[name].clone()).unwrap();
        assert_eq!(set("a").meet(&set("b")), set("meet"), "{row}");
    }
}

fn judge(row: &Value, reads: &MemoryReads) -> &'static str {
    let constraint = Constraint::from_json(&row["constraint"]).unwrap();
    let result = constraint.admits(&call(row), Totals::Debited, reads);
    result.map_or_else(|refusal| refusal.outcome.code(), |()| "accept")
}

fn call(row: &Value) -> CallArguments {
    let arguments = row["arguments"].as_object().unwrap().clone();
    CallArguments::new(text(row, "scope").parse().unwrap(), arguments)
}

#[test]
fn constraint_vectors() {
    let vectors = load("constraints.json");
    for row in rows(&vectors, "admits") {
        assert_eq!(judge(row, &MemoryReads::new(0)), text(row, "outcome"), "{row}");
    }
    let mut seen = MemoryReads::new(64);
    for read in rows(&vectors["reads"], "done") {
        seen.record(text(read, "scope").parse().unwrap(), read["result"].clone());
    }
    for row in rows(&vectors["reads"], "cases") {
        assert_eq!(judge(row, &seen), text(row, "outcome"), "{row}");
    }
    for row in rows(&vectors, "subsumes") {
        let constraint = |name: &str| Constraint::from_json(&row[name]).unwrap();
        assert_eq!(constraint("parent").subsumes(&constraint("child")), row["subsumes"], "{row}");
    }
    for row in rows(&vectors, "malformed") {
        assert!(Constraint::from_json(row).is_err(), "{row}");
    }
    for row in rows(&vectors, "debits") {
        let constraints =
            rows(row, "constraints").iter().map(|c| Constraint::from_json(c).unwrap());
        let set = ConstraintSet::new(constraints).unwrap();
        assert_eq!(serde_json::to_value(set.debits(&call(row))).unwrap(), row["debits"], "{row}");
    }
}

#[test]
fn narrow_vectors() {
    for row in rows(&load("narrow.json"), "cases") {
        let held = |name: &str| HeldAuthority::from_detail(&row[name]).unwrap();
        assert_eq!(narrow(&held("parent"), &held("requested")), held("narrowed"), "{row}");
        let narrower = held("requested").is_narrower_than(&held("parent")).is_ok();
        assert_eq!(narrower, row["requested_is_narrower"], "{row}");
        assert_eq!(held("narrowed").is_narrower_than(&held("parent")), Ok(()), "{row}");
    }
}

fn keys(setting: &Value) -> IssuerKeys {
    let mut keys = IssuerKeys::new();
    for issuer in rows(setting, "issuers") {
        let key = VerifyingKey::from_jwk(&issuer["jwk"]).unwrap();
        keys.insert(text(issuer, "iss"), text(issuer, "kid"), key);
    }
    keys
}

#[test]
fn token_vectors() {
    for setting in rows(&load("tokens.json"), "settings") {
        let keys = keys(setting);
        let now = UnixMillis(setting["now_ms"].as_u64().unwrap());
        for row in rows(setting, "cases") {
            let tokens: Vec<&str> =
                rows(row, "chain").iter().map(|t| t.as_str().unwrap()).collect();
            let full_chain = row["full_chain"].as_bool().unwrap();
            let options = VerifyOptions { audience: Some(text(row, "audience")), full_chain };
            let found = match tokens.as_slice() {
                [only] if !full_chain => UnverifiedToken::parse(only)
                    .and_then(|token| verify_leaf(&token, &keys, &options, now)),
                all => presented(all).and_then(|chain| verify_chain(&chain, &keys, &options, now)),
            };
            if let Ok(chain) = &found {
                assert_eq!(chain.claims().to_json(), row["claims"]);
                assert_eq!(Value::from(chain.agents()), row["agents"]);
                assert_eq!(chain.unsettled(), row["unsettled"]);
                assert_eq!(chain.signing_hash().b64(), row["signing_hash"]);
            }
            assert_eq!(outcome(found), text(row, "outcome"), "{}", row["name"]);
        }
    }
}

#[test]
fn grant_vectors() {
    for setting in rows(&load("grants.json"), "settings") {
        let now = UnixMillis(setting["now_ms"].as_u64().unwrap());
        let token = |text: &str| UnverifiedToken::parse(text).unwrap();
        let parent = token(text(setting, "parent"));
        let above = verify_leaf(&parent, &keys(setting), &VerifyOptions::default(), now).unwrap();
        for row in rows(setting, "cases") {
            let allowed: Vec<String> =
                serde_json::from_value(row["allowed_audiences"].clone()).unwrap();
            let found = verify_grant(&token(text(row, "grant")), &above, &allowed, now);
            assert_eq!(outcome(found), text(row, "outcome"), "{}", row["name"]);
        }
        for row in rows(setting, "make") {
            let input = text(row, "signing_input").as_bytes();
            assert_eq!(bailiwick_core::sha256(input).b64(), row["signing_hash"]);
        }
    }
}
