//! Subject tokens: each refusal beside the token that passes.

use bailiwick_core::{Outcome, SigningKey, hmac_sha256};
use bailiwick_identity::{IssuerConfig, Issuers, testing};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{LOGIN, NOW, OURS, code, es256, header, inline, issuers, later, with};

struct Login {
    key: SigningKey,
    issuers: Issuers,
}

impl Login {
    fn new(adjust: impl FnOnce(&mut IssuerConfig)) -> Self {
        let key = es256();
        let mut config = IssuerConfig::subjects(LOGIN, inline(&key));
        adjust(&mut config);
        Self { issuers: issuers(vec![config]), key }
    }

    fn claims(&self) -> Value {
        let more = json!({
            "groups": ["finance", "staff"], "email": "alice@a.example", "email_verified": true,
            "department": "treasury", "auth_time": NOW.seconds() - 60, "azp": "console",
        });
        with(&testing::subject_claims(LOGIN, "alice", OURS, NOW), &more)
    }

    fn token(&self, claims: &Value) -> String {
        testing::sign(&self.key, &header(), claims)
    }

    async fn outcome(&self, token: &str) -> Option<Outcome> {
        code(self.issuers.verify_subject(token, OURS, NOW).await)
    }
}

#[tokio::test]
async fn a_good_token_names_the_subject() {
    let login = Login::new(|config| config.attribute_claims = vec!["department".into()]);
    let token = login.token(&login.claims());
    let subject = login.issuers.verify_subject(&token, OURS, NOW).await.unwrap();
    assert_eq!(subject.id().as_str(), "user:alice");
    assert_eq!(subject.issuer(), LOGIN);
    assert_eq!(subject.groups(), ["finance", "staff"]);
    assert_eq!(subject.attributes()["department"], "treasury");
    assert_eq!(subject.authenticated_at(), Some(NOW.seconds() - 60));
    assert_eq!(subject.issued(), NOW.seconds());
    assert_eq!(subject.authorized_party(), Some("console"));
    assert_eq!(subject.expires(), NOW.seconds() + 300);
}

#[tokio::test]
async fn claims_that_are_wrong_are_refused_by_their_own_code() {
    let login = Login::new(|_| ());
    let (good, now) = (login.claims(), NOW.seconds());
    assert_eq!(login.outcome(&login.token(&good)).await, None);
    let cases = [
        (json!({"iss": "https://other.example"}), Outcome::IssuerUntrusted),
        (json!({"iss": format!("{LOGIN}/")}), Outcome::IssuerUntrusted),
        (json!({"iss": null}), Outcome::IssuerUntrusted),
        (json!({"iss": [LOGIN]}), Outcome::Malformed),
        (json!({"sub": null}), Outcome::Malformed),
        (json!({"sub": ""}), Outcome::Malformed),
        (json!({"sub": 7}), Outcome::Malformed),
        (json!({"sub": "al ice"}), Outcome::Malformed),
        (json!({"sub": "alice\u{202e}"}), Outcome::Malformed),
        (json!({"sub": "spiffe://a.example/agent/x"}), Outcome::IssuerUntrusted),
        (json!({"aud": "https://other.example"}), Outcome::AudienceMismatch),
        (json!({"aud": [format!("{OURS}/")]}), Outcome::AudienceMismatch),
        (json!({"aud": null}), Outcome::Malformed),
        (json!({"aud": {}}), Outcome::Malformed),
        (json!({"exp": null}), Outcome::Malformed),
        (json!({"exp": "soon"}), Outcome::Malformed),
        (json!({"exp": now - 30}), Outcome::Expired),
        (json!({"exp": now + 7 * 86_400}), Outcome::Malformed),
        (json!({"iat": null}), Outcome::Malformed),
        (json!({"iat": now + 31}), Outcome::ClockSkew),
        (json!({"nbf": now + 31}), Outcome::ClockSkew),
        (json!({"groups": "finance"}), Outcome::Malformed),
        (json!({"groups": [7]}), Outcome::Malformed),
        (json!({"groups": vec!["g"; 513]}), Outcome::Malformed),
    ];
    for (change, want) in cases {
        let got = login.outcome(&login.token(&with(&good, &change))).await;
        assert_eq!(got, Some(want), "{change}");
    }
    let twins = [
        json!({"aud": ["https://other.example", OURS]}),
        json!({"exp": now - 29}),
        json!({"iat": now + 30}),
        json!({"nbf": now + 30}),
        json!({"groups": null}),
        json!({"groups": vec!["g"; 512]}),
    ];
    for change in twins {
        assert_eq!(login.outcome(&login.token(&with(&good, &change))).await, None, "{change}");
    }
}

#[tokio::test]
async fn the_header_chooses_neither_key_nor_algorithm() {
    let login = Login::new(|_| ());
    let claims = login.claims();
    let signed = |change: Value| testing::sign(&login.key, &with(&header(), &change), &claims);
    for twin in [json!({}), json!({"kid": null}), json!({"typ": null}), json!({"typ": "jwt"})] {
        assert_eq!(login.outcome(&signed(twin.clone())).await, None, "{twin}");
    }
    let cases = [
        (json!({"alg": "none"}), Outcome::SignatureInvalid),
        (json!({"alg": "HS256"}), Outcome::SignatureInvalid),
        (json!({"alg": "ES384"}), Outcome::SignatureInvalid),
        (json!({"alg": "EdDSA"}), Outcome::SignatureInvalid),
        (json!({"alg": "PS256"}), Outcome::SignatureInvalid),
        (json!({"kid": "k2"}), Outcome::SignatureInvalid),
        (json!({"kid": "../../k1"}), Outcome::SignatureInvalid),
        (json!({"jku": "https://evil.example/keys"}), Outcome::Malformed),
        (json!({"x5u": "https://evil.example/chain"}), Outcome::Malformed),
        (json!({"jwk": testing::jwk(&login.key, "k1")}), Outcome::Malformed),
        (json!({"x5c": ["AAAA"]}), Outcome::Malformed),
        (json!({"crit": ["exp"]}), Outcome::Malformed),
        (json!({"typ": "at+jwt"}), Outcome::Malformed),
        (json!({"typ": "dpop+jwt"}), Outcome::Malformed),
        (json!({"typ": "logout+jwt"}), Outcome::Malformed),
    ];
    for (change, want) in cases {
        assert_eq!(login.outcome(&signed(change.clone())).await, Some(want), "{change}");
    }
}

#[tokio::test]
async fn a_public_key_is_never_an_hmac_secret() {
    let login = Login::new(|_| ());
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({"alg": "HS256", "typ": "JWT", "kid": "k1"});
    let input = format!("{}.{}", encode(&head), encode(&login.claims()));
    let public = login.key.verifying_key();
    for secret in [public.raw().to_vec(), public.to_spki_der(), public.to_jwk().to_string().into()]
    {
        let mac = URL_SAFE_NO_PAD.encode(hmac_sha256(&secret, input.as_bytes()));
        let got = login.outcome(&format!("{input}.{mac}")).await;
        assert_eq!(got, Some(Outcome::SignatureInvalid));
    }
}

#[tokio::test]
async fn every_changed_byte_of_a_signature_or_claim_is_refused() {
    let login = Login::new(|_| ());
    let token = login.token(&login.claims());
    assert_eq!(login.outcome(&token).await, None);
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let spoiled = String::from_utf8(bytes).unwrap();
        assert!(login.outcome(&spoiled).await.is_some(), "byte {at}");
    }
    let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
    assert_eq!(login.outcome(&unsigned).await, Some(Outcome::Malformed));
    let other = testing::sign(&es256(), &header(), &login.claims());
    assert_eq!(login.outcome(&other).await, Some(Outcome::SignatureInvalid));
}

#[tokio::test]
async fn an_address_names_a_subject_only_when_verified() {
    let login = Login::new(|config| config.subject_claim = "email".into());
    let good = login.claims();
    let subject = login.issuers.verify_subject(&login.token(&good), OURS, NOW).await.unwrap();
    assert_eq!(subject.id().as_str(), "user:alice@a.example");
    for verified in [json!(false), json!(null), json!("true"), json!(1)] {
        let token = login.token(&with(&good, &json!({ "email_verified": verified })));
        assert_eq!(login.outcome(&token).await, Some(Outcome::IssuerUntrusted));
    }
    let none = login.token(&with(&good, &json!({ "email": null })));
    assert_eq!(login.outcome(&none).await, Some(Outcome::Malformed));
}

#[tokio::test]
async fn settings_open_exactly_what_they_say() {
    let login = Login::new(|config| {
        config.audiences = vec!["client-7".into()];
        config.authorized_parties = vec!["console".into()];
        config.access_tokens = true;
    });
    let good = with(&login.claims(), &json!({"aud": "client-7"}));
    let access = with(&header(), &json!({"typ": "application/at+jwt"}));
    assert_eq!(login.outcome(&testing::sign(&login.key, &access, &good)).await, None);
    let foreign = with(&good, &json!({"azp": "somebody-else"}));
    assert_eq!(login.outcome(&login.token(&foreign)).await, Some(Outcome::IssuerUntrusted));
    let silent = with(&good, &json!({"azp": null}));
    assert_eq!(login.outcome(&login.token(&silent)).await, Some(Outcome::Malformed));
}

#[tokio::test]
async fn a_remembered_token_is_still_judged_by_time_and_audience() {
    let login = Login::new(|_| ());
    let token = login.token(&login.claims());
    let verify = |audience, now| login.issuers.verify_subject(&token, audience, now);
    assert_eq!(code(verify(OURS, NOW).await), None);
    assert_eq!(code(verify(OURS, later(329)).await), None);
    assert_eq!(code(verify(OURS, later(330)).await), Some(Outcome::Expired));
    assert_eq!(code(verify("https://b.example", NOW).await), Some(Outcome::AudienceMismatch));
    let workload = login.issuers.verify_workload(&token, OURS, NOW).await;
    assert_eq!(code(workload), Some(Outcome::IssuerUntrusted), "a subject is not a workload");
    assert_eq!(code(verify(OURS, NOW).await), None, "and it is still good where it is good");
}

#[tokio::test]
async fn size_is_bounded_before_anything_is_read() {
    let login = Login::new(|_| ());
    let padded = with(&login.claims(), &json!({"padding": "x".repeat(11_000)}));
    assert_eq!(login.outcome(&login.token(&padded)).await, None);
    let huge = with(&login.claims(), &json!({"padding": "x".repeat(13_000)}));
    assert_eq!(login.outcome(&login.token(&huge)).await, Some(Outcome::Malformed));
}
