//! JWT-SVIDs and workload tokens of OpenID Connect issuers.

use bailiwick_core::{Outcome, SigningKey};
use bailiwick_identity::{IssuerConfig, Issuers, JwksSource, WorkloadMethod, testing};
use serde_json::{Value, json};

use crate::support::{
    AGENT, DOMAIN, NOW, OURS, code, ed25519, es256, header, inline, issuers, with,
};

const SPIRE: &str = "https://spire.a.example";

struct Domain {
    key: SigningKey,
    other_key: SigningKey,
    issuers: Issuers,
}

/// Two pinned trust domains with a key each, and an OpenID Connect issuer of workloads.
fn domains() -> Domain {
    let (key, other_key) = (es256(), es256());
    let mut oidc = IssuerConfig::workloads("https://ci.example", "x", inline(&key));
    oidc.trust_domain = None;
    let configs = vec![
        IssuerConfig::workloads(SPIRE, DOMAIN, inline(&key)),
        IssuerConfig::workloads("https://spire.b.example", "b.example", inline(&other_key)),
        oidc,
    ];
    Domain { key, other_key, issuers: issuers(configs) }
}

impl Domain {
    fn claims(&self) -> Value {
        let now = NOW.seconds();
        json!({ "sub": AGENT, "aud": [OURS], "iat": now, "exp": now + 300 })
    }

    async fn outcome(&self, token: &str) -> Option<Outcome> {
        code(self.issuers.verify_workload(token, OURS, NOW).await)
    }
}

#[tokio::test]
async fn a_jwt_svid_names_the_workload() {
    let domain = domains();
    let token = testing::jwt_svid((&domain.key, "k1"), AGENT, OURS, NOW);
    let workload = domain.issuers.verify_workload(&token, OURS, NOW).await.unwrap();
    assert_eq!(workload.id(), AGENT);
    assert_eq!(workload.trust_domain(), Some(DOMAIN));
    assert_eq!(workload.issuer(), SPIRE);
    assert_eq!(workload.method(), WorkloadMethod::JwtSvid);
}

#[tokio::test]
async fn an_oidc_workload_is_issuer_and_subject() {
    let domain = domains();
    let change = json!({ "iss": "https://ci.example", "sub": "repo:a/b" });
    let token = testing::sign(&domain.key, &header(), &with(&domain.claims(), &change));
    let workload = domain.issuers.verify_workload(&token, OURS, NOW).await.unwrap();
    assert_eq!(workload.id(), "https://ci.example#repo:a/b");
    assert_eq!((workload.trust_domain(), workload.method()), (None, WorkloadMethod::Oidc));
}

#[tokio::test]
async fn wrong_svids_are_refused_by_their_own_code() {
    let domain = domains();
    let good = domain.claims();
    let now = NOW.seconds();
    let sign = |change: &Value| testing::sign(&domain.key, &header(), &with(&good, change));
    for twin in [json!({}), json!({"iss": SPIRE}), json!({"iat": null}), json!({"aud": OURS})] {
        assert_eq!(domain.outcome(&sign(&twin)).await, None, "{twin}");
    }
    let cases = [
        (json!({"sub": "spiffe://c.example/agent/payer"}), Outcome::IssuerUntrusted),
        (json!({"sub": "spiffe://a.example"}), Outcome::Malformed),
        (json!({"sub": "spiffe://a.example/agent/"}), Outcome::Malformed),
        (json!({"sub": "spiffe://A.example/agent/payer"}), Outcome::Malformed),
        (json!({"sub": "spiffe://a.example/../b"}), Outcome::Malformed),
        (json!({"sub": "spiffe:a.example"}), Outcome::Malformed),
        (json!({"sub": null}), Outcome::Malformed),
        (json!({"sub": "payer"}), Outcome::IssuerUntrusted),
        (json!({"iss": "https://spire.b.example"}), Outcome::IssuerUntrusted),
        (json!({"iss": "https://ci.example"}), Outcome::IssuerUntrusted),
        (json!({"exp": null}), Outcome::Malformed),
        (json!({"exp": now - 30}), Outcome::Expired),
        (json!({"aud": null}), Outcome::Malformed),
        (json!({"aud": ["https://b.example"]}), Outcome::AudienceMismatch),
        (json!({"iat": now + 31}), Outcome::ClockSkew),
    ];
    for (change, want) in cases {
        assert_eq!(domain.outcome(&sign(&change)).await, Some(want), "{change}");
    }
    for typ in ["at+jwt", "dpop+jwt", "x"] {
        let token = testing::sign(&domain.key, &json!({"typ": typ, "kid": "k1"}), &good);
        assert_eq!(domain.outcome(&token).await, Some(Outcome::Malformed), "{typ}");
    }
    let jose = testing::sign(&domain.key, &json!({"typ": "JOSE", "kid": "k1"}), &good);
    assert_eq!(domain.outcome(&jose).await, None);
}

#[tokio::test]
async fn one_trust_domain_cannot_speak_for_another() {
    let domain = domains();
    let in_b = "spiffe://b.example/agent/payer";
    let good = testing::jwt_svid((&domain.other_key, "k1"), in_b, OURS, NOW);
    assert_eq!(domain.outcome(&good).await, None);
    let forged = testing::jwt_svid((&domain.key, "k1"), in_b, OURS, NOW);
    assert_eq!(domain.outcome(&forged).await, Some(Outcome::SignatureInvalid));
}

#[tokio::test]
async fn a_workload_starts_no_task_as_a_subject() {
    let key = es256();
    let mut users = IssuerConfig::subjects(SPIRE, inline(&key));
    users.subject_prefix = "user:".into();
    let both = issuers(vec![users, IssuerConfig::workloads(SPIRE, DOMAIN, inline(&key))]);
    let now = NOW.seconds();
    let claims = json!({"iss": SPIRE, "sub": AGENT, "aud": OURS, "iat": now, "exp": now + 300});
    let svid = testing::sign(&key, &header(), &claims);
    assert_eq!(code(both.verify_workload(&svid, OURS, NOW).await), None);
    let as_subject = both.verify_subject(&svid, OURS, NOW).await;
    assert_eq!(code(as_subject), Some(Outcome::IssuerUntrusted));
    let user = testing::subject_token((&key, "k1"), SPIRE, "alice", OURS, NOW);
    assert_eq!(code(both.verify_subject(&user, OURS, NOW).await), None);
    let as_workload = both.verify_workload(&user, OURS, NOW).await;
    assert_eq!(code(as_workload), Some(Outcome::IssuerUntrusted));
}

#[tokio::test]
async fn a_spiffe_bundle_gives_jwt_keys_by_their_use() {
    let (jwt_key, x509_key) = (es256(), es256());
    let mut for_jwts = testing::jwk(&jwt_key, "k1");
    for_jwts["use"] = json!("jwt-svid");
    for_jwts.as_object_mut().unwrap().remove("alg");
    let mut for_x509 = testing::jwk(&x509_key, "k2");
    for_x509["use"] = json!("x509-svid");
    let bundle =
        json!({"spiffe_sequence": 1, "spiffe_refresh_hint": 300, "keys": [for_jwts, for_x509]});
    let source = JwksSource::Inline(bundle);
    let issuers = issuers(vec![IssuerConfig::workloads(SPIRE, DOMAIN, source)]);
    let good = testing::jwt_svid((&jwt_key, "k1"), AGENT, OURS, NOW);
    assert_eq!(code(issuers.verify_workload(&good, OURS, NOW).await), None);
    let wrong_use = testing::jwt_svid((&x509_key, "k2"), AGENT, OURS, NOW);
    let got = code(issuers.verify_workload(&wrong_use, OURS, NOW).await);
    assert_eq!(got, Some(Outcome::SignatureInvalid));
}

#[tokio::test]
async fn the_svid_standard_has_no_eddsa_but_oidc_may() {
    let key = ed25519();
    let mut config = IssuerConfig::workloads("https://ci.example", "x", inline(&key));
    config.trust_domain = None;
    config.algorithms = vec![bailiwick_identity::ForeignAlgorithm::EdDsa];
    let now = NOW.seconds();
    let claims = json!({"iss": "https://ci.example", "sub": "job", "aud": OURS, "exp": now + 60});
    // RFC 9864 names the algorithm anew; issuer and key may be of two minds about it.
    for named in ["EdDSA", "Ed25519"] {
        let mut jwk = testing::jwk(&key, "k1");
        jwk["alg"] = json!(named);
        config.jwks = JwksSource::Inline(json!({"keys": [jwk]}));
        let issuers = issuers(vec![config.clone()]);
        for (alg, outcome) in [
            ("EdDSA", None),
            ("Ed25519", None),
            ("Ed448", Some(Outcome::SignatureInvalid)),
            ("ES256", Some(Outcome::SignatureInvalid)),
        ] {
            let header = json!({"typ": "JWT", "kid": "k1", "alg": alg});
            let token = testing::sign(&key, &header, &claims);
            let got = code(issuers.verify_workload(&token, OURS, NOW).await);
            assert_eq!(got, outcome, "key {named}, token {alg}");
        }
    }
}
