//! What the tests share: keys, issuers, a moment.

use bailiwick_core::{Algorithm, Outcome, SigningKey, UnixMillis};
use bailiwick_identity::{
    IdentityError, IssuerConfig, Issuers, JwksSource, KeyClient, KeyClientOptions, testing,
};
use serde_json::{Value, json};

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
pub(crate) const OURS: &str = "https://authority.example";
pub(crate) const LOGIN: &str = "https://login.example";
pub(crate) const DOMAIN: &str = "a.example";
pub(crate) const AGENT: &str = "spiffe://a.example/agent/payer";

pub(crate) fn es256() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

pub(crate) fn ed25519() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).unwrap()
}

pub(crate) fn client() -> KeyClient {
    KeyClient::new(&KeyClientOptions::default()).unwrap()
}

pub(crate) fn issuers(configs: Vec<IssuerConfig>) -> Issuers {
    Issuers::new(configs, client()).unwrap()
}

pub(crate) fn inline(key: &SigningKey) -> JwksSource {
    JwksSource::Inline(testing::jwks(&[(key, "k1")]))
}

pub(crate) fn later(seconds: u64) -> UnixMillis {
    NOW.saturating_add_seconds(seconds)
}

pub(crate) fn code<T>(result: Result<T, IdentityError>) -> Option<Outcome> {
    result.err().map(|error| error.code())
}

/// A document with some members replaced; `null` removes one.
pub(crate) fn with(base: &Value, changes: &Value) -> Value {
    let mut document = base.clone();
    let members = document.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    document
}

pub(crate) fn header() -> Value {
    json!({ "typ": "JWT", "kid": "k1" })
}
