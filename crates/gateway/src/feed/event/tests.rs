use bailiwick_api::enforcement::feed::FeedKind;
use bailiwick_core::crypto::{Algorithm, SigningKey};
use bailiwick_core::{UnixMillis, jcs};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://authority.example";

fn payload() -> Value {
    let event = FeedEvent {
        iss: ISSUER.to_owned(),
        at: UnixMillis(1_800_000_000_000),
        kind: FeedKind::Heartbeat,
        seq: 7,
        prev: 7,
        part: 0,
        parts: 1,
        entries: Vec::new(),
    };
    serde_json::to_value(event).unwrap()
}

fn sign(key: &SigningKey, header: &Value, payload: &Value) -> String {
    let part = |value| URL_SAFE_NO_PAD.encode(jcs::canonicalize_value(value).unwrap());
    let input = format!("{}.{}", part(header), part(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

#[test]
fn only_the_authoritys_own_word_is_taken() {
    let (key, other) = (
        SigningKey::generate(Algorithm::Es256).unwrap(),
        SigningKey::generate(Algorithm::Es256).unwrap(),
    );
    let mut keys = IssuerKeys::new();
    keys.insert(ISSUER, "k", key.verifying_key());
    let verify = |text: &str| verify_event(text, ISSUER, &keys);
    let header = json!({"alg": "ES256", "kid": "k", "typ": FEED_TYPE});

    let good = sign(&key, &header, &payload());
    assert_eq!(verify(&good).unwrap().seq, 7, "the benign twin");

    assert_eq!(verify(&sign(&other, &header, &payload())), Err(FeedFault::Signature), "forged");
    let unknown = sign(&key, &with(header.clone(), "kid", json!("z")), &payload());
    assert_eq!(verify(&unknown), Err(FeedFault::UnknownKey("z".to_owned())));
    let elsewhere = with(payload(), "iss", json!("https://other.example"));
    assert_eq!(verify(&sign(&key, &header, &elsewhere)), Err(FeedFault::Issuer));
    assert_eq!(
        verify_event(&good, "https://other.example", &keys),
        Err(FeedFault::UnknownKey("k".to_owned()))
    );
    let form = [
        // A token of the same key is no event, and an event has no other members.
        (with(header.clone(), "typ", json!("at+jwt")), payload()),
        (with(header.clone(), "alg", json!("EdDSA")), payload()),
        (with(header.clone(), "alg", json!("none")), payload()),
        (with(header.clone(), "jwk", json!({})), payload()),
        (header.clone(), with(payload(), "more", json!(1))),
        (header.clone(), with(payload(), "entries", json!([{"is": "moved"}]))),
    ];
    for (header, payload) in form {
        let told = verify(&sign(&key, &header, &payload));
        assert!(matches!(told, Err(FeedFault::Form(_))), "{header} {payload}: {told:?}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(flipped) = String::from_utf8(bytes) {
            assert!(verify(&flipped).is_err(), "a bit of byte {at} is not covered");
        }
    }
    assert!(verify(&"x".repeat(FEED_EVENT_BYTES_MAX + 1)).is_err());
}
