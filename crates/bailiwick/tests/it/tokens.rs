//! Tokens made for tests, by an issuer of the test's own.

use bailiwick_core::HeldAuthority;
use bailiwick_core::claims;
use bailiwick_core::crypto::{Algorithm, SigningKey};
use bailiwick_core::ids::{TaskId, TokenId};
use bailiwick_core::time::UnixMillis;
use bailiwick_core::token::{ActChain, Actor, HolderBinding, HopClaims, HopFacts, UnsignedToken};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://authority.a.example";
pub(crate) const ALICE_AGENT: &str = "spiffe://a.example/agent/orchestrator";
pub(crate) const AUDIENCE: &str = "https://crm.a.example";
const KID: &str = "test-key";

/// The machine's clock, as the program under test reads it.
pub(crate) fn now() -> UnixMillis {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(elapsed.as_millis()).unwrap())
}

/// An Authority that the test plays.
pub(crate) struct Issuer(SigningKey);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(SigningKey::generate(Algorithm::Es256).unwrap())
    }

    pub(crate) fn jwks(&self) -> String {
        let mut jwk = self.0.verifying_key().to_jwk();
        jwk["kid"] = json!(KID);
        json!({ "keys": [jwk] }).to_string()
    }

    /// A root token, bound to a holder's key by its thumbprint.
    pub(crate) fn root(&self, jkt: &str, lives_seconds: i64) -> String {
        self.root_with(jkt, lives_seconds, &authority())
    }

    pub(crate) fn root_with(&self, jkt: &str, lives_seconds: i64, authority: &Value) -> String {
        let now = now();
        let iat = now.seconds().min(now.seconds() + lives_seconds - 1);
        let claims = HopClaims {
            iss: ISSUER.to_owned(),
            sub: "user:alice@a.example".parse().unwrap(),
            aud: AUDIENCE.to_owned(),
            client_id: ALICE_AGENT.parse().unwrap(),
            iat,
            exp: now.seconds() + lives_seconds,
            jti: TokenId::new(now, [1; 10]),
            cnf: HolderBinding::Jkt(jkt.parse().unwrap()),
            authority: HeldAuthority::from_detail(authority).unwrap().into(),
            del_depth: 0,
            del_max_depth: 4,
            par_hash: None,
            act: ActChain(vec![Actor {
                iss: ISSUER.to_owned(),
                sub: ALICE_AGENT.parse().unwrap(),
            }]),
            txn: TaskId::new(now, [2; 10]),
            status: None,
            hop: HopFacts {
                purpose: "summarize".to_owned(),
                workflow: "crm.summarize".parse().unwrap(),
                tenant: "acme".parse().unwrap(),
                env: "dev".to_owned(),
                decision: None,
                policy: None,
                grant: None,
                lineage: Vec::new(),
                ask: None,
            },
        };
        let unsigned = UnsignedToken::settled(&claims, KID, Algorithm::Es256).unwrap();
        let signature = self.0.sign(unsigned.signing_input()).unwrap();
        unsigned.attach(&signature).compact
    }
}

pub(crate) fn authority() -> Value {
    json!({
        "type": claims::DETAIL_TYPE, "scopes": ["crm.read", "crm.note"],
        "constraints": [{"key": "rows", "max": 100}],
    })
}
