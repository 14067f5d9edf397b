use super::*;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::EdDsa];

#[test]
fn keys_round_trip_and_sign() {
    for algorithm in ALGORITHMS {
        let key = SigningKey::generate(algorithm).unwrap();
        let again = SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        let public = key.verifying_key();
        assert_eq!(again.verifying_key(), public);
        assert_eq!(VerifyingKey::from_jwk(&public.to_jwk()).unwrap(), public);
        assert_eq!(VerifyingKey::from_spki_der(&public.to_spki_der()).unwrap(), public);
        let signature = again.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        assert_eq!(public.verify(b"message", &signature), Ok(()));
        assert_eq!(public.verify(b"massage", &signature), Err(BadSignature));
        assert_eq!(public.verify(b"message", &signature[..63]), Err(BadSignature));
        let other = SigningKey::generate(algorithm).unwrap().verifying_key();
        assert_eq!(other.verify(b"message", &signature), Err(BadSignature));
        assert!(!format!("{key:?}").contains(&URL_SAFE_NO_PAD.encode(&*key.to_pkcs8().unwrap())));
    }
}

/// What aws-lc, which signs, says of an Ed25519 signature.
fn other_library(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

#[test]
fn two_libraries_agree_on_signatures_bent_on_purpose() {
    // The order of the group, little-endian: `s` and `s + L` are one number to a careless verifier.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let public = key.verifying_key();
    let good = key.sign(b"message").unwrap();
    let both = |message: &[u8], signature: &[u8]| {
        let ours = public.verify(message, signature).is_ok();
        assert_eq!(ours, other_library(public.raw(), message, signature), "{signature:02x?}");
        ours
    };
    assert!(both(b"message", &good));
    let mut carry = 0_u16;
    let mut shifted = good.clone();
    for (byte, add) in shifted[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
    assert!(!both(b"message", &shifted), "s + L");
    for bit in 0..512 {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(!both(b"message", &bent), "bit {bit}");
    }
    for start in [[0_u8; 32], [0xff; 32], [1; 32]] {
        assert!(!both(b"message", &[&start, &good[32..]].concat()));
        assert!(!both(b"message", &[&good[..32], &start].concat()));
    }
}

#[test]
fn an_ed25519_key_that_anyone_can_sign_for_is_no_key() {
    let with_y = |low: u8, rest: u8, high: u8| {
        let mut raw = vec![rest; 32];
        (raw[0], raw[31]) = (low, high);
        VerifyingKey::from_raw(Algorithm::EdDsa, raw)
    };
    assert!(with_y(3, 0, 0).is_ok(), "y = 3 is a point of full order");
    for (why, key) in [
        ("the neutral element", with_y(1, 0, 0)),
        ("order two", with_y(0xec, 0xff, 0x7f)),
        ("order four", with_y(0, 0, 0)),
        ("order four, negative", with_y(0, 0, 0x80)),
        ("y = 3, not reduced", with_y(0xf0, 0xff, 0x7f)),
        ("not on the curve", with_y(2, 0, 0)),
    ] {
        assert_eq!(key, Err(KeyError::Public), "{why}");
    }
}

#[test]
fn thumbprint_of_rfc_8037_appendix_a3() {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let key = VerifyingKey::from_jwk(&jwk).unwrap();
    assert_eq!(key.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn jwk_contradictions_are_refused() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap().verifying_key();
    let with = |name: &str, value: Value| {
        let mut jwk = key.to_jwk();
        jwk[name] = value;
        VerifyingKey::from_jwk(&jwk)
    };
    assert!(with("kid", json!("k1")).is_ok());
    assert!(with("use", json!("sig")).is_ok());
    assert_eq!(with("d", json!("AAAA")), Err(KeyError::Private));
    for (name, value) in [
        ("alg", json!("EdDSA")),
        ("alg", json!("HS256")),
        ("use", json!("enc")),
        ("kty", json!("oct")),
        ("crv", json!("P-384")),
        ("x", json!("AAAA")),
        ("y", json!(1)),
        // Not on the curve.
        ("y", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        assert_eq!(with(name, value.clone()), Err(KeyError::Public), "{name} {value}");
    }
    assert_eq!(VerifyingKey::from_spki_der(&[0x30, 0x00]), Err(KeyError::Public));
    assert!(SigningKey::from_pkcs8(b"no key").is_err());
}

#[test]
fn digests_match_published_values() {
    // RFC 4231 test case 2; FIPS 180-2 "abc".
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(
        hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        hex(&sha256(b"abc").0),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert!(ct_eq(b"a", b"a") && !ct_eq(b"a", b"b") && !ct_eq(b"a", b"ab"));
    let mut random = [0_u8; 32];
    fill_random(&mut random).unwrap();
    assert_ne!(random, [0_u8; 32]);
}
