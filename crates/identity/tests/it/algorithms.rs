//! Foreign algorithms that our own tokens do not use: RSA and P-384.

use bailiwick_core::Outcome;
use bailiwick_identity::{ForeignAlgorithm, IssuerConfig, JwksSource, testing};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::{LOGIN, NOW, OURS, code, issuers};

struct ForeignKey {
    key: EncodingKey,
    jwk: Value,
}

fn key(pem: &str, algorithm: Algorithm) -> ForeignKey {
    let key = match algorithm {
        Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    }
    .unwrap();
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
    let members = jwk.as_object_mut().unwrap();
    members.remove("alg");
    members.insert("kid".into(), "k1".into());
    ForeignKey { key, jwk }
}

fn rsa() -> ForeignKey {
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        .unwrap();
    key(&pair.serialize_pem(), Algorithm::RS256)
}

fn p384() -> ForeignKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    key(&pair.serialize_pem(), Algorithm::ES384)
}

fn token(key: &ForeignKey, algorithm: Algorithm) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": algorithm, "kid": "k1"});
    let claims = testing::subject_claims(LOGIN, "alice", OURS, NOW);
    let input = format!("{}.{}", encode(&header), encode(&claims));
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key.key, algorithm).unwrap();
    format!("{input}.{signature}")
}

async fn outcome(jwk: &Value, token: &str, accepted: &[ForeignAlgorithm]) -> Option<Outcome> {
    let source = JwksSource::Inline(json!({ "keys": [jwk] }));
    let mut config = IssuerConfig::subjects(LOGIN, source);
    config.algorithms = accepted.to_vec();
    code(issuers(vec![config]).verify_subject(token, OURS, NOW).await)
}

#[tokio::test]
async fn each_algorithm_passes_where_it_is_configured_and_nowhere_else() {
    use ForeignAlgorithm as F;
    let (rsa, p384) = (rsa(), p384());
    let cases = [
        (&rsa, Algorithm::RS256, F::Rs256, F::Rs384),
        (&rsa, Algorithm::RS384, F::Rs384, F::Rs256),
        (&rsa, Algorithm::RS512, F::Rs512, F::Ps512),
        (&rsa, Algorithm::PS256, F::Ps256, F::Rs256),
        (&rsa, Algorithm::PS384, F::Ps384, F::Rs384),
        (&rsa, Algorithm::PS512, F::Ps512, F::Rs512),
        (&p384, Algorithm::ES384, F::Es384, F::Es256),
    ];
    for (key, algorithm, accepted, other) in cases {
        let token = token(key, algorithm);
        assert_eq!(outcome(&key.jwk, &token, &[accepted]).await, None, "{algorithm:?}");
        let refused = outcome(&key.jwk, &token, &[other]).await;
        assert_eq!(refused, Some(Outcome::SignatureInvalid), "{algorithm:?}");
    }
}

#[tokio::test]
async fn the_algorithm_that_a_key_states_is_the_only_one_it_checks() {
    use ForeignAlgorithm as F;
    let rsa = rsa();
    let both = [F::Rs256, F::Ps256];
    let mut stated = rsa.jwk.clone();
    stated["alg"] = json!("PS256");
    assert_eq!(outcome(&stated, &token(&rsa, Algorithm::PS256), &both).await, None);
    let other = outcome(&stated, &token(&rsa, Algorithm::RS256), &both).await;
    assert_eq!(other, Some(Outcome::SignatureInvalid));
}
