//! Hostile bytes: nothing panics, and nothing that was changed is accepted.

use bailiwick_core::{
    Algorithm, UnverifiedToken, VerifyOptions, jws::Jws, verify_grant, verify_leaf,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixture::{NOW, World};

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ \n";

#[test]
fn any_changed_character_is_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let world = World::new(algorithm, algorithm);
        let token = world.settled_chain(2).remove(2).token.compact;
        let keys = world.keys();
        let parent = world.settled_chain(0).remove(0);
        let above = world.verify(&parent.token.compact).unwrap();
        let grant = world.offline_suffix(&parent, 1).remove(0).compact;
        for at in 0..token.len() {
            let changed = with(&token, at);
            let token = UnverifiedToken::parse(&changed).unwrap();
            let result = verify_leaf(&token, &keys, &VerifyOptions::default(), NOW);
            assert!(result.is_err(), "character {at}");
        }
        for at in 0..grant.len() {
            let token = UnverifiedToken::parse(&with(&grant, at)).unwrap();
            assert!(verify_grant(&token, &above, &[], NOW).is_err(), "character {at}");
        }
        for shorter in 0..token.len() {
            let Ok(token) = UnverifiedToken::parse(&token[..shorter]) else { continue };
            assert!(verify_leaf(&token, &keys, &VerifyOptions::default(), NOW).is_err());
        }
        for suffix in ["A", ".", ".AA", "=", " "] {
            let token = UnverifiedToken::parse(&format!("{token}{suffix}")).unwrap();
            assert!(verify_leaf(&token, &keys, &VerifyOptions::default(), NOW).is_err());
        }
    }
}

/// The text with one character replaced by another of the alphabet, chosen by its place.
fn with(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut pick = at % ALPHABET.len();
    while ALPHABET[pick] == bytes[at] {
        pick = (pick + 1) % ALPHABET.len();
    }
    bytes[at] = ALPHABET[pick];
    String::from_utf8(bytes).unwrap()
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1.0e6_f64..1.0e6).prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("crm.*")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// Every place of a JSON tree, as pointers.
fn places(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| places(v, format!("{at}/{i}"), out));
        }
        Value::Object(members) => {
            members.iter().for_each(|(k, v)| places(v, format!("{at}/{k}"), out));
        }
        _ => {}
    }
    out.push(at);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parsing_never_panics(text in "\\PC{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        let world = World { issuer: key(), holders: Vec::new() };
        for text in [text, parts.join(".")] {
            let _ = Jws::parse(&text);
            if let Ok(token) = UnverifiedToken::parse(&text) {
                prop_assert!(verify_leaf(&token, &world.keys(), &VerifyOptions::default(), NOW).is_err());
                prop_assert!(token.as_grant().is_err());
            }
        }
    }

    #[test]
    fn a_signed_but_strange_payload_never_panics_and_never_changes_meaning(
        place in any::<prop::sample::Index>(), value in any_value(), remove in any::<bool>(),
    ) {
        let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
        let settled = world.settled_chain(1).remove(1);
        let mut payload = settled.claims.to_json();
        let mut all = Vec::new();
        places(&payload, String::new(), &mut all);
        let place = &all[place.index(all.len())];
        match (place.rsplit_once('/'), remove) {
            (Some((parent, name)), true) => match payload.pointer_mut(parent).unwrap() {
                Value::Object(members) => drop(members.remove(name)),
                Value::Array(items) => drop(items.remove(name.parse::<usize>().unwrap())),
                _ => {}
            },
            _ => *payload.pointer_mut(place).unwrap() = value,
        }
        if payload.is_object() && let Ok(chain) = world.verify(&world.forge(&payload)) {
            // Whatever is accepted says exactly what its bytes say, but for the order of sets.
            let detail = &mut payload["authorization_details"][0];
            *detail = bailiwick_core::HeldAuthority::from_detail(detail).unwrap().to_detail();
            prop_assert_eq!(chain.claims().to_json(), payload);
        }
    }
}

fn key() -> bailiwick_core::SigningKey {
    bailiwick_core::SigningKey::generate(Algorithm::EdDsa).unwrap()
}
