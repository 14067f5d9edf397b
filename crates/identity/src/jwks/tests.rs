use bailiwick_core::{Algorithm, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing;

fn signing_key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

fn parsed(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn check(set: &KeySet, kid: Option<&str>, key: &SigningKey) -> Result<(), IdentityError> {
    let signature = URL_SAFE_NO_PAD.encode(key.sign(b"message").unwrap());
    set.verify(kid, ForeignAlgorithm::Es256, b"message", &signature)
}

#[test]
fn a_key_is_chosen_by_its_id() {
    let (one, two) = (signing_key(), signing_key());
    let set = parsed(&[testing::jwk(&one, "1"), testing::jwk(&two, "2")]);
    assert!(check(&set, Some("1"), &one).is_ok());
    assert!(check(&set, Some("2"), &two).is_ok());
    assert!(check(&set, Some("2"), &one).is_err());
    assert!(check(&set, Some("3"), &one).is_err());
    assert!(check(&set, None, &one).is_err(), "without an id the choice must be clear");
    assert!(check(&parsed(&[testing::jwk(&one, "1")]), None, &one).is_ok());
}

#[test]
fn one_id_for_two_keys_is_no_choice() {
    let (one, two) = (signing_key(), signing_key());
    let set = parsed(&[testing::jwk(&one, "1"), testing::jwk(&two, "1")]);
    assert!(check(&set, Some("1"), &one).is_err());
}

#[test]
fn only_public_signature_keys_are_taken() {
    let key = signing_key();
    let with = |name: &str, value: Value| {
        let mut jwk = testing::jwk(&key, "1");
        jwk[name] = value;
        !parsed(&[jwk]).is_empty()
    };
    assert!(with("other", json!(1)));
    assert!(with("use", json!("jwt-svid")));
    assert!(with("key_ops", json!(["verify"])));
    for (name, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("ES384")),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("kty", json!("oct")),
        ("kty", json!("RSA")),
        ("crv", json!("P-521")),
        ("crv", json!("secp256k1")),
        ("x", json!("AAAA")),
        ("y", json!("not base64url!")),
        ("kid", json!("k".repeat(257))),
        ("kid", json!(7)),
    ] {
        assert!(!with(name, value.clone()), "{name} {value}");
    }
}

#[test]
fn weak_rsa_keys_are_not_taken() {
    let rsa = |bytes: usize, exponent: &str| {
        let n = URL_SAFE_NO_PAD.encode(vec![0xC1; bytes]);
        !parsed(&[json!({"kty": "RSA", "n": n, "e": exponent})]).is_empty()
    };
    assert!(rsa(256, "AQAB") && rsa(1024, "AQAB"));
    assert!(!rsa(128, "AQAB") && !rsa(255, "AQAB") && !rsa(1025, "AQAB"));
    assert!(!rsa(256, "") && !rsa(256, "AQABAQABAQABAQAB"));
}

#[test]
fn sizes_are_bounded() {
    let key = testing::jwk(&signing_key(), "1");
    let document = |n| json!({ "keys": vec![key.clone(); n] }).to_string();
    assert!(KeySet::parse(document(64).as_bytes()).is_ok());
    assert!(KeySet::parse(document(65).as_bytes()).is_err());
    assert!(KeySet::parse(&vec![b' '; JWKS_BYTES_MAX + 1]).is_err());
}

proptest! {
    #[test]
    fn no_document_makes_the_parser_panic(
        text in ".{0,200}",
        kty in "(EC|RSA|OKP|oct|)",
        crv in "(P-256|P-384|Ed25519|X|)",
        x in "[A-Za-z0-9_-]{0,70}",
    ) {
        let _ = KeySet::parse(text.as_bytes());
        let jwk = json!({"kty": kty, "crv": crv, "x": x, "y": x, "n": x, "e": "AQAB", "kid": x});
        let set = parsed(&[jwk]);
        prop_assert!(set.verify(None, ForeignAlgorithm::Es256, b"message", &x).is_err());
        prop_assert!(set.verify(None, ForeignAlgorithm::Rs256, b"message", &x).is_err());
    }
}
