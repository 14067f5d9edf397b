//! A stock JOSE library verifies our tokens, and refuses what we refuse.

use bailiwick_core::{Algorithm, VerifyingKey};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::fixture::{AUDIENCE, ISSUER, KID, World};

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
    });
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    // The fixture's clock is not the wall's.
    validation.validate_exp = false;
    validation
}

fn decoding_key(key: &VerifyingKey) -> DecodingKey {
    let jwk: Jwk = serde_json::from_value(key.to_jwk()).unwrap();
    DecodingKey::from_jwk(&jwk).unwrap()
}

#[test]
fn jsonwebtoken_agrees() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let world = World::new(algorithm, Algorithm::EdDsa);
        let settled = world.settled_chain(3).remove(3);
        let token = &settled.token.compact;
        assert_eq!(decode_header(token).unwrap().kid.as_deref(), Some(KID));
        let key = decoding_key(&world.issuer.verifying_key());
        let read = decode::<Value>(token, &key, &validation(algorithm)).unwrap();
        assert_eq!(read.claims, settled.claims.to_json());
        let other = decoding_key(&World::new(algorithm, algorithm).issuer.verifying_key());
        assert!(decode::<Value>(token, &other, &validation(algorithm)).is_err());
    }
}
