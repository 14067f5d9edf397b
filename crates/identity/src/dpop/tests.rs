use bailiwick_core::{Algorithm, Outcome, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{ProofExtras, dpop_proof, sign};
use crate::{ReplayGuard, Replayed};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const URL: &str = "https://authority.example/oauth/token";

fn expect() -> ProofExpectation<'static> {
    ProofExpectation {
        method: "POST",
        url: URL,
        access_token_hash: None,
        nonce: NonceRule::NotRequired,
    }
}

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).unwrap()
}

fn header(key: &SigningKey) -> Value {
    json!({ "typ": "dpop+jwt", "jwk": key.verifying_key().to_jwk() })
}

fn claims() -> Value {
    json!({ "jti": "a-unique-text", "htm": "POST", "htu": URL, "iat": NOW.seconds() })
}

fn merged(base: Value, changes: &Value) -> Value {
    let mut document = base;
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            document.as_object_mut().unwrap().remove(name);
        } else {
            document[name] = value.clone();
        }
    }
    document
}

fn outcome(proof: &str, expect: &ProofExpectation<'_>) -> Option<Outcome> {
    verify_proof(proof, expect, NOW).err().map(|error| error.code())
}

#[test]
fn a_proof_shows_which_key_was_held() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = key(algorithm);
        let proof = dpop_proof(&key, "POST", URL, ProofExtras::default(), NOW);
        let verified = verify_proof(&proof, &expect(), NOW).unwrap();
        assert_eq!(verified.jkt(), key.verifying_key().thumbprint());
        assert_eq!(verified.expires(), UnixMillis(NOW.0 + 61_000));
    }
}

#[test]
fn an_ed25519_key_signs_under_both_of_its_names_and_no_other_key_under_them() {
    let (edwards, p256) = (key(Algorithm::EdDsa), key(Algorithm::Es256));
    for name in PROOF_ALGORITHMS {
        let named = |key: &SigningKey| merged(header(key), &json!({"alg": name}));
        let refused = Some(Outcome::SignatureInvalid);
        let (by_edwards, by_p256) = if name == "ES256" { (refused, None) } else { (None, refused) };
        assert_eq!(outcome(&sign(&edwards, &named(&edwards), &claims()), &expect()), by_edwards);
        assert_eq!(outcome(&sign(&p256, &named(&p256), &claims()), &expect()), by_p256, "{name}");
    }
}

#[test]
fn members_that_nobody_reads_are_text_too() {
    let key = key(Algorithm::EdDsa);
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.verifying_key().to_jwk() });
    let with = |more: &[u8]| {
        let claims = claims().to_string();
        let claims =
            [claims.trim_end_matches('}').as_bytes(), b",\"more\":\"", more, b"\"}"].concat();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let input = format!("{}.{}", part(header.to_string().as_bytes()), part(&claims));
        format!("{input}.{}", part(&key.sign(input.as_bytes()).unwrap()))
    };
    assert_eq!(outcome(&with(b"text"), &expect()), None, "the benign twin");
    assert_eq!(outcome(&with(b"\xa4"), &expect()), Some(Outcome::Malformed));
}

#[test]
fn wrong_headers_are_refused() {
    let key = key(Algorithm::EdDsa);
    let jwk = key.verifying_key().to_jwk();
    let es256 = SigningKey::generate(Algorithm::Es256).unwrap();
    assert_eq!(outcome(&sign(&key, &header(&key), &claims()), &expect()), None);
    let cases = [
        (json!({"typ": "JWT"}), Outcome::Malformed),
        (json!({"typ": "DPOP+JWT"}), Outcome::Malformed),
        (json!({"typ": null}), Outcome::Malformed),
        (json!({"alg": "none"}), Outcome::SignatureInvalid),
        (json!({"alg": "HS256"}), Outcome::SignatureInvalid),
        (json!({"alg": "ES256"}), Outcome::SignatureInvalid),
        (json!({"alg": "RS256"}), Outcome::SignatureInvalid),
        (json!({"jwk": null}), Outcome::Malformed),
        (json!({"jwk": "x"}), Outcome::Malformed),
        (json!({"jwk": es256.verifying_key().to_jwk()}), Outcome::SignatureInvalid),
        (json!({"jwk": merged(jwk.clone(), &json!({"d": "AAAA"}))}), Outcome::Malformed),
        (json!({"jwk": merged(jwk.clone(), &json!({"k": "AAAA"}))}), Outcome::Malformed),
        (json!({"jwk": merged(jwk.clone(), &json!({"crv": "X25519"}))}), Outcome::SignatureInvalid),
        (json!({"jwk": merged(jwk.clone(), &json!({"x": null}))}), Outcome::SignatureInvalid),
        (json!({"jwk": {"kty": "oct", "k": "AAAA"}}), Outcome::Malformed),
        (json!({"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}), Outcome::SignatureInvalid),
        (json!({"jku": "https://evil.example"}), Outcome::Malformed),
        (json!({"x5u": "https://evil.example"}), Outcome::Malformed),
        (json!({"x5c": ["AAAA"]}), Outcome::Malformed),
        (json!({"crit": ["htm"]}), Outcome::Malformed),
    ];
    for (change, want) in cases {
        let proof = sign(&key, &merged(header(&key), &change), &claims());
        assert_eq!(outcome(&proof, &expect()), Some(want), "{change}");
    }
    let kid = sign(&key, &merged(header(&key), &json!({"kid": "x", "other": 1})), &claims());
    assert_eq!(outcome(&kid, &expect()), None, "unknown members are not looked at");
}

#[test]
fn wrong_claims_are_refused() {
    let key = key(Algorithm::EdDsa);
    let now = NOW.seconds();
    let cases = [
        (json!({"jti": null}), Outcome::Malformed),
        (json!({"jti": ""}), Outcome::Malformed),
        (json!({"jti": "x".repeat(257)}), Outcome::Malformed),
        (json!({"jti": 1}), Outcome::Malformed),
        (json!({"htm": "GET"}), Outcome::HolderBindingFailed),
        (json!({"htm": "post"}), Outcome::HolderBindingFailed),
        (json!({"htm": null}), Outcome::Malformed),
        (json!({"htu": "https://other.example/oauth/token"}), Outcome::HolderBindingFailed),
        (json!({"htu": null}), Outcome::Malformed),
        (json!({"iat": null}), Outcome::Malformed),
        (json!({"iat": "now"}), Outcome::Malformed),
        (json!({"iat": -1}), Outcome::Malformed),
        (json!({"iat": now - 61}), Outcome::Expired),
        (json!({"iat": now + 31}), Outcome::ClockSkew),
    ];
    for (change, want) in cases {
        let proof = sign(&key, &header(&key), &merged(claims(), &change));
        assert_eq!(outcome(&proof, &expect()), Some(want), "{change}");
    }
    let twins = [
        json!({"jti": "x".repeat(256)}),
        json!({"iat": now - 60}),
        json!({"iat": now + 30}),
        json!({"htu": "https://AUTHORITY.example:443/oauth/token?x"}),
    ];
    for change in twins {
        let proof = sign(&key, &header(&key), &merged(claims(), &change));
        assert_eq!(outcome(&proof, &expect()), None, "{change}");
    }
}

#[test]
fn the_proof_is_over_the_token_that_is_presented() {
    let key = key(Algorithm::EdDsa);
    let over = |access_token| {
        dpop_proof(&key, "POST", URL, ProofExtras { access_token, ..Default::default() }, NOW)
    };
    let expect = ProofExpectation { access_token_hash: Some(sha256(b"the-token")), ..expect() };
    assert_eq!(outcome(&over(Some("the-token")), &expect), None);
    assert_eq!(outcome(&over(Some("a-token")), &expect), Some(Outcome::HolderBindingFailed));
    assert_eq!(outcome(&over(None), &expect), Some(Outcome::HolderBindingFailed));
}

#[test]
fn a_nonce_is_asked_for_by_rule() {
    let (key, nonces) = (key(Algorithm::EdDsa), NonceIssuer::new([1; 32]));
    let current = nonces.current(NOW);
    let stale = nonces.current(UnixMillis(NOW.0 - 600_000));
    let proof = |nonce| {
        let extras = ProofExtras { nonce, ..Default::default() };
        dpop_proof(&key, "POST", URL, extras, NOW)
    };
    let verify = |proof: &str, nonce| {
        verify_proof(proof, &ProofExpectation { nonce, ..expect() }, NOW).err()
    };
    let refused = Some(IdentityError::NonceRequired);
    let (none, good, bad) = (proof(None), proof(Some(&current)), proof(Some(&stale)));
    assert_eq!(verify(&none, NonceRule::Required(&nonces)), refused);
    assert_eq!(verify(&bad, NonceRule::Required(&nonces)), refused);
    assert_eq!(verify(&good, NonceRule::Required(&nonces)), None);
    assert_eq!(verify(&none, NonceRule::Optional(&nonces)), None);
    assert_eq!(verify(&bad, NonceRule::Optional(&nonces)), refused);
    assert_eq!(verify(&bad, NonceRule::NotRequired), None);
}

#[test]
fn the_same_proof_with_another_spelling_of_its_signature_is_the_same_proof() {
    let key = key(Algorithm::Es256);
    let proof = dpop_proof(&key, "POST", URL, ProofExtras::default(), NOW);
    let (input, signature) = proof.rsplit_once('.').unwrap();
    let respelled = format!("{input}.{}", malleated(signature));
    let (first, second) =
        (verify_proof(&proof, &expect(), NOW), verify_proof(&respelled, &expect(), NOW));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(proof, respelled);
    assert_eq!(first.jti_hash(), second.jti_hash());
    let guard = ReplayGuard::default();
    assert_eq!(guard.check_and_insert(first.jti_hash(), first.expires(), NOW), Ok(()));
    let again = guard.check_and_insert(second.jti_hash(), second.expires(), NOW);
    assert_eq!(again, Err(Replayed::Seen));
}

#[test]
fn two_holders_may_choose_the_same_jti() {
    let extras = ProofExtras { jti: Some("1"), ..Default::default() };
    let hash = |key: &SigningKey| {
        let proof = dpop_proof(key, "POST", URL, extras, NOW);
        verify_proof(&proof, &expect(), NOW).unwrap().jti_hash()
    };
    let (one, two) = (key(Algorithm::EdDsa), key(Algorithm::EdDsa));
    assert_ne!(hash(&one), hash(&two));
    assert_eq!(hash(&one), hash(&one));
}

#[test]
fn a_proof_is_too_old_from_the_moment_it_may_be_forgotten() {
    let key = key(Algorithm::EdDsa);
    let proof = dpop_proof(&key, "POST", URL, ProofExtras::default(), NOW);
    let expires = verify_proof(&proof, &expect(), NOW).unwrap().expires();
    let just_before = UnixMillis(expires.0 - 1);
    assert!(verify_proof(&proof, &expect(), just_before).is_ok());
    assert_eq!(verify_proof(&proof, &expect(), expires).err(), Some(IdentityError::Expired));
}

#[test]
fn nothing_of_a_proof_is_printed() {
    let key = key(Algorithm::EdDsa);
    let proof = dpop_proof(&key, "POST", URL, ProofExtras::default(), NOW);
    let verified = verify_proof(&proof, &expect(), NOW).unwrap();
    let shown = format!("{verified:?} {:?}", crate::PresentedToken::new(proof.clone()));
    assert!(proof.split('.').all(|part| !shown.contains(part)));
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic(text in ".{0,200}", head in ".{0,80}", body in ".{0,80}") {
        prop_assert!(verify_proof(&text, &expect(), NOW).is_err());
        use base64::Engine;
        let encode = |part: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(part);
        let framed = format!("{}.{}.AAAA", encode(&head), encode(&body));
        prop_assert!(verify_proof(&framed, &expect(), NOW).is_err());
    }

    #[test]
    fn any_changed_byte_is_refused(at in 0_usize..400, to in 33_u8..127) {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let proof = dpop_proof(&key, "POST", URL, ProofExtras::default(), NOW);
        let mut bytes = proof.clone().into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        prop_assert!(verify_proof(&String::from_utf8(bytes).unwrap(), &expect(), NOW).is_err());
    }
}

/// The other valid ECDSA signature of the same message: `s` becomes `n - s`.
fn malleated(signature: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0_i16;
    for i in (0..32).rev() {
        let digit = i16::from(ORDER[i]) - i16::from(bytes[32 + i]) - borrow;
        borrow = i16::from(digit < 0);
        bytes[32 + i] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    URL_SAFE_NO_PAD.encode(bytes)
}
