//! Minting of test tokens: what an identity provider, a SPIFFE server or a holder would send. For tests;
//! behind the feature `testing`.
#![allow(clippy::expect_used, reason = "test support: a failure here is a failure of the test")]

use bailiwick_core::{SigningKey, UnixMillis, sha256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// A JWS in compact form over any header and claims, with `alg` of the key where the header has none.
#[must_use]
pub fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let mut header = header.clone();
    if let Some(members) = header.as_object_mut() {
        members.entry("alg").or_insert_with(|| key.verifying_key().algorithm().name().into());
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(&header), encode(claims));
    let signature = key.sign(input.as_bytes()).expect("the key signs");
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The public half of `key` as a member of a JWK Set.
#[must_use]
pub fn jwk(key: &SigningKey, kid: &str) -> Value {
    let mut jwk = key.verifying_key().to_jwk();
    if let Some(members) = jwk.as_object_mut() {
        members.insert("kid".into(), kid.into());
        members.insert("use".into(), "sig".into());
        members.insert("alg".into(), key.verifying_key().algorithm().name().into());
    }
    jwk
}

/// A JWK Set of these keys.
#[must_use]
pub fn jwks(keys: &[(&SigningKey, &str)]) -> Value {
    json!({ "keys": keys.iter().map(|(key, kid)| jwk(key, kid)).collect::<Vec<_>>() })
}

/// Claims of an ID token for `subject` that is good for five minutes from `now`.
#[must_use]
pub fn subject_claims(issuer: &str, subject: &str, audience: &str, now: UnixMillis) -> Value {
    let iat = now.seconds();
    json!({ "iss": issuer, "sub": subject, "aud": audience, "iat": iat, "exp": iat + 300 })
}

/// An ID token for `subject`.
#[must_use]
pub fn subject_token(
    (key, kid): (&SigningKey, &str),
    issuer: &str,
    subject: &str,
    audience: &str,
    now: UnixMillis,
) -> String {
    let header = json!({ "typ": "JWT", "kid": kid });
    sign(key, &header, &subject_claims(issuer, subject, audience, now))
}

/// A JWT-SVID for `spiffe_id`, as SPIRE makes it: without `iss`, good for five minutes from `now`.
#[must_use]
pub fn jwt_svid(
    (key, kid): (&SigningKey, &str),
    spiffe_id: &str,
    audience: &str,
    now: UnixMillis,
) -> String {
    let iat = now.seconds();
    let claims = json!({ "sub": spiffe_id, "aud": [audience], "iat": iat, "exp": iat + 300 });
    sign(key, &json!({ "typ": "JWT", "kid": kid }), &claims)
}

/// What a DPoP proof may carry besides method and URL.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProofExtras<'a> {
    /// The `jti`; by default one made from the other members and the time.
    pub jti: Option<&'a str>,
    /// The access token that `ath` is over.
    pub access_token: Option<&'a str>,
    /// The server's nonce.
    pub nonce: Option<&'a str>,
}

/// A DPoP proof by `key`.
#[must_use]
pub fn dpop_proof(
    key: &SigningKey,
    method: &str,
    url: &str,
    extras: ProofExtras<'_>,
    now: UnixMillis,
) -> String {
    let derived = sha256(format!("{method} {url} {extras:?} {}", now.0).as_bytes()).b64();
    let mut claims = Map::new();
    claims.insert("jti".into(), extras.jti.unwrap_or(&derived).into());
    claims.insert("htm".into(), method.into());
    claims.insert("htu".into(), url.into());
    claims.insert("iat".into(), now.seconds().into());
    if let Some(token) = extras.access_token {
        claims.insert("ath".into(), sha256(token.as_bytes()).b64().into());
    }
    if let Some(nonce) = extras.nonce {
        claims.insert("nonce".into(), nonce.into());
    }
    let header = json!({ "typ": "dpop+jwt", "jwk": key.verifying_key().to_jwk() });
    sign(key, &header, &Value::Object(claims))
}
