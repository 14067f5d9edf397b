use serde_json::json;

use super::*;

fn subjects(issuer: &str, prefix: &str) -> IssuerConfig {
    let mut config = IssuerConfig::subjects(issuer, JwksSource::Inline(json!({"keys": []})));
    config.subject_prefix = prefix.to_owned();
    config
}

fn workloads(issuer: &str, domain: &str) -> IssuerConfig {
    IssuerConfig::workloads(issuer, domain, JwksSource::Inline(json!({"keys": []})))
}

#[test]
fn subjects_of_two_issuers_cannot_be_mistaken() {
    let apart = [subjects("https://a", "user:"), subjects("https://b", "partner:")];
    assert_eq!(check_together(&apart), Ok(()));
    for (p, q) in [("user:", "user:"), ("user:", "user:b:"), ("user:b:", "user:"), ("", "user:")] {
        let both = [subjects("https://a", p), subjects("https://b", q)];
        assert!(matches!(check_together(&both), Err(ConfigError::Conflict { .. })), "{p} {q}");
    }
}

#[test]
fn one_issuer_may_be_pinned_once_for_each_kind() {
    let each = [subjects("https://a", "user:"), workloads("https://a", "a.example")];
    assert_eq!(check_together(&each), Ok(()));
    let twice = [workloads("https://a", "a.example"), workloads("https://b", "a.example")];
    assert!(matches!(check_together(&twice), Err(ConfigError::Conflict { .. })));
}

#[test]
fn one_issuer_cannot_stand_for_two_trust_domains() {
    let both = [workloads("https://a", "a.example"), workloads("https://a", "b.example")];
    assert!(matches!(check_together(&both), Err(ConfigError::Conflict { .. })));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = workloads("https://a", "a.example");
    assert_eq!(good.check(), Ok(()));
    let broken: [fn(&mut IssuerConfig); 9] = [
        |c| c.issuer.clear(),
        |c| c.algorithms.clear(),
        |c| c.cooldown_seconds = 0,
        |c| c.refresh_seconds = 1,
        |c| c.keep_seconds_max = 1,
        |c| c.lifetime_seconds_max = 0,
        |c| c.trust_domain = Some("A.example".into()),
        |c| c.algorithms.push(ForeignAlgorithm::EdDsa),
        |c| c.audiences.push(String::new()),
    ];
    for (i, spoil) in broken.into_iter().enumerate() {
        let mut config = good.clone();
        spoil(&mut config);
        assert!(matches!(config.check(), Err(ConfigError::Issuer { .. })), "case {i}");
    }
}

#[test]
fn hmac_and_none_have_no_name_and_unknown_settings_are_errors() {
    let base =
        json!({"issuer": "https://a", "kind": "subjects", "jwks": {"url": "https://a/keys"}});
    assert!(serde_json::from_value::<IssuerConfig>(base.clone()).is_ok());
    for (key, value) in [
        ("algorithms", json!(["HS256"])),
        ("algorithms", json!(["none"])),
        ("audience", json!(["typo"])),
        ("jwks", json!({"token": "jku"})),
    ] {
        let mut document = base.clone();
        document[key] = value;
        assert!(serde_json::from_value::<IssuerConfig>(document).is_err(), "{key}");
    }
}
