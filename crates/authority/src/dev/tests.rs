use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bailiwick_identity::Issuers;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::clock::Clock;

const NOW: UnixMillis = UnixMillis(1_900_000_000_000);
const ISSUER: &str = "http://127.0.0.1:8420";

fn config(directory: &Path) -> Config {
    Config::dev(directory, "127.0.0.1:8420".parse().unwrap())
}

fn private_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    private_files::ensure_directory(directory.path()).unwrap();
    directory
}

fn believe(domain: &DevDomain) -> Issuers {
    Issuers::new(domain.issuer_configs(), client()).unwrap()
}

fn client() -> bailiwick_identity::KeyClient {
    bailiwick_identity::KeyClient::new(&bailiwick_identity::KeyClientOptions::default()).unwrap()
}

#[tokio::test]
async fn minted_identities_are_verified_like_any_other() {
    let directory = private_directory();
    let domain = DevDomain::open(&config(directory.path())).unwrap();
    let issuers = believe(&domain);
    let groups = vec!["operators".to_owned()];
    let token = domain.mint_subject_token("alice@dev.example", &groups, None, NOW).unwrap();
    let subject = issuers.verify_subject(&token, ISSUER, NOW).await.unwrap();
    assert_eq!(subject.id().to_string(), "user:alice@dev.example");
    assert_eq!(subject.issuer(), user_issuer(ISSUER));
    assert_eq!(subject.groups(), groups.as_slice());
    let id = "spiffe://dev.bailiwick.example/agent/payer";
    let svid = domain.mint_svid(id, None, NOW).unwrap();
    let workload = issuers.verify_workload(&svid, ISSUER, NOW).await.unwrap();
    assert_eq!(workload.id(), id);
}

#[tokio::test]
async fn minted_identities_are_short_lived_for_one_audience_and_not_interchangeable() {
    let directory = private_directory();
    let domain = DevDomain::open(&config(directory.path())).unwrap();
    let issuers = believe(&domain);
    let token = domain.mint_subject_token("alice@dev.example", &[], None, NOW).unwrap();
    let svid = domain.mint_svid("spiffe://dev.bailiwick.example/agent/x", None, NOW).unwrap();
    assert!(issuers.verify_subject(&token, ISSUER, NOW).await.is_ok());
    let late = NOW.saturating_add_seconds(LIFE_SECONDS + 31);
    assert!(issuers.verify_subject(&token, ISSUER, late).await.is_err());
    assert!(issuers.verify_subject(&token, "https://other.example", NOW).await.is_err());
    assert!(issuers.verify_subject(&svid, ISSUER, NOW).await.is_err());
    assert!(issuers.verify_workload(&token, ISSUER, NOW).await.is_err());
    let elsewhere = private_directory();
    let stranger = DevDomain::open(&config(elsewhere.path())).unwrap();
    let foreign = stranger.mint_subject_token("alice@dev.example", &[], None, NOW).unwrap();
    assert!(issuers.verify_subject(&foreign, ISSUER, NOW).await.is_err());
}

#[test]
fn keys_are_kept_between_starts() {
    let directory = private_directory();
    let first = DevDomain::open(&config(directory.path())).unwrap().issuer_configs();
    let second = DevDomain::open(&config(directory.path())).unwrap().issuer_configs();
    assert_eq!(first, second);
}

#[test]
fn what_is_minted_is_bounded() {
    let directory = private_directory();
    let domain = DevDomain::open(&config(directory.path())).unwrap();
    let subject = |name: &str| domain.mint_subject_token(name, &[], None, NOW).map(drop);
    assert!(subject("alice@dev.example").is_ok());
    for bad in ["", "a b", "a\n", &"x".repeat(256)] {
        assert_eq!(subject(bad), Err(MintError::Subject), "{bad:?}");
    }
    let groups = |names: &[String]| domain.mint_subject_token("a", names, None, NOW).map(drop);
    assert!(groups(&vec!["g".to_owned(); 64]).is_ok());
    assert_eq!(groups(&vec!["g".to_owned(); 65]), Err(MintError::Groups));
    assert_eq!(groups(&[String::new()]), Err(MintError::Groups));
    let svid = |id: &str| domain.mint_svid(id, None, NOW).map(drop);
    assert!(svid("spiffe://dev.bailiwick.example/agent/a-b_c.d").is_ok());
    for bad in [
        "",
        "spiffe://a.example/agent/x",
        "spiffe://dev.bailiwick.example",
        "spiffe://dev.bailiwick.example/",
        "spiffe://dev.bailiwick.example//x",
        "spiffe://dev.bailiwick.example/../x",
        "spiffe://dev.bailiwick.example.evil.example/x",
        "spiffe://dev.bailiwick.example/x y",
        "spiffe://DEV.bailiwick.example/x",
    ] {
        assert_eq!(svid(bad), Err(MintError::SpiffeId), "{bad}");
    }
    let to = |audience: &str| domain.mint_subject_token("a", &[], Some(audience), NOW).map(drop);
    assert!(to("https://authority.a.example").is_ok());
    assert_eq!(to(""), Err(MintError::Audience));
}

#[test]
fn development_is_a_flag_and_nothing_else() {
    let directory = private_directory();
    let mut config = config(directory.path());
    config.dev = false;
    assert!(matches!(DevDomain::open(&config), Err(DevError::NotDev)));
    config.dev = true;
    assert!(DevDomain::open(&config).is_ok());
    config.listen = "0.0.0.0:8420".parse().unwrap();
    assert!(matches!(DevDomain::open(&config), Err(DevError::NotDev)));
}

#[test]
fn a_data_directory_is_for_development_or_it_is_not() {
    let standard = private_directory();
    claim_data_dir(standard.path(), false).unwrap();
    claim_data_dir(standard.path(), false).unwrap();
    let refused = DevDomain::open(&config(standard.path())).unwrap_err().to_string();
    assert!(refused.contains("initialised without --dev"), "{refused}");

    let development = private_directory();
    claim_data_dir(development.path(), true).unwrap();
    claim_data_dir(development.path(), true).unwrap();
    let refused = claim_data_dir(development.path(), false).unwrap_err().to_string();
    assert!(refused.contains("initialised by `serve --dev`"), "{refused}");

    let odd = private_directory();
    private_files::write(&odd.path().join("MODE"), b"other\n").unwrap();
    assert!(matches!(claim_data_dir(odd.path(), true), Err(ModeError::Marker { .. })));
}

#[test]
fn a_lost_marker_does_not_change_what_a_directory_is() {
    let standard = private_directory();
    private_files::ensure_directory(&standard.path().join("keys")).unwrap();
    assert!(matches!(claim_data_dir(standard.path(), true), Err(ModeError::NotDevelopment { .. })));
    assert!(claim_data_dir(standard.path(), false).is_ok());
    let development = private_directory();
    private_files::ensure_directory(&development.path().join("dev")).unwrap();
    assert!(matches!(
        claim_data_dir(development.path(), false),
        Err(ModeError::Development { .. })
    ));
    assert!(claim_data_dir(development.path(), true).is_ok());
}

#[test]
fn the_banner_is_loud() {
    let directory = private_directory();
    let banner = DevDomain::open(&config(directory.path())).unwrap().banner();
    for part in ["DEVELOPMENT MODE (--dev)", "never in production", TRUST_DOMAIN, OPERATOR] {
        assert!(banner.contains(part), "{part}");
    }
}

async fn send(request: Request<Body>) -> (StatusCode, Value) {
    let directory = private_directory();
    let domain = Arc::new(DevDomain::open(&config(directory.path())).unwrap());
    let clock = Clock::manual(Arc::new(AtomicU64::new(NOW.0)));
    let response = router(domain, clock).oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 65_536).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn request(path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut builder = Request::post(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::from(body.to_owned())).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const LOCAL: (&str, &str) = ("host", "127.0.0.1:8420");

#[tokio::test]
async fn the_routes_mint() {
    for (path, body) in [
        ("/dev/subject-token", r#"{"subject":"alice@dev.example"}"#),
        ("/dev/subject-token", r#"{"subject":"a","groups":["g"],"audience":"https://x.example"}"#),
        ("/dev/svid", r#"{"spiffe_id":"spiffe://dev.bailiwick.example/agent/x"}"#),
    ] {
        let (status, answer) = send(request(path, &[JSON, LOCAL], body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["token"].as_str().unwrap().split('.').count(), 3);
        assert_eq!(answer["expires_in"], 300);
    }
}

#[tokio::test]
async fn what_a_web_page_can_send_is_refused_and_its_plain_twin_served() {
    let body = r#"{"subject":"operator@dev.example","groups":["operators"]}"#;
    let twin: &[(&str, &str)] = &[JSON, LOCAL];
    assert_eq!(send(request("/dev/subject-token", twin, body)).await.0, StatusCode::OK);
    for (headers, want) in [
        (vec![JSON, LOCAL, ("origin", "https://evil.example")], StatusCode::FORBIDDEN),
        (vec![JSON, LOCAL, ("origin", "null")], StatusCode::FORBIDDEN),
        (vec![JSON, LOCAL, ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (vec![JSON, ("host", "evil.example")], StatusCode::FORBIDDEN),
        (vec![JSON, ("host", "127.0.0.1.evil.example:8420")], StatusCode::FORBIDDEN),
        (vec![JSON], StatusCode::FORBIDDEN),
        (vec![LOCAL, ("content-type", "text/plain")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            vec![LOCAL, ("content-type", "application/x-www-form-urlencoded")],
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (vec![LOCAL], StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let (status, answer) = send(request("/dev/subject-token", &headers, body)).await;
        assert_eq!(status, want, "{headers:?} {answer}");
        assert!(answer.get("token").is_none());
    }
    for host in ["localhost:8420", "LOCALHOST", "[::1]:8420", "127.0.0.1"] {
        let (status, _) = send(request("/dev/subject-token", &[JSON, ("host", host)], body)).await;
        assert_eq!(status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    for body in ["", "{", "{}", r#"{"subject":"a","admin":true}"#, r#"{"subject":""}"#] {
        let (status, answer) = send(request("/dev/subject-token", &[JSON, LOCAL], body)).await;
        assert_eq!((status.as_u16(), answer["code"].as_str()), (400, Some("malformed")), "{body}");
    }
    let long = format!("{{\"subject\":\"{}\"}}", "x".repeat(20_000));
    let (status, _) = send(request("/dev/subject-token", &[JSON, LOCAL], &long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
