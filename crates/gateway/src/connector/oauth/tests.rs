use serde_json::json;

use super::*;
use crate::connector::testing::{NOW, Vendor, private};

fn client(directory: &Path, vendor: &Vendor, more: &str) -> OauthClient {
    let secret = private(directory, "secret", "hunter2-hunter2");
    let text = format!(
        "token_endpoint = '{}/token'\nclient_id = 'gate way'\nscopes = ['crm.read']\n\
         client_secret = {{ file = '{secret}' }}\n{more}",
        vendor.url
    );
    OauthClient::compile("crm", &toml::from_str(&text).unwrap(), directory).unwrap()
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(NOW.0 + seconds * 1000)
}

fn token(n: usize, more: serde_json::Value) -> String {
    let mut answer = json!({"access_token": format!("hunter-token-{n}"), "token_type": "Bearer", "expires_in": 100});
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    answer.to_string()
}

#[tokio::test]
async fn a_token_is_kept_until_it_ends_and_fetched_once_for_all() {
    let vendor = Vendor::start(|n| (200, token(n, json!({})))).await;
    let directory = tempfile::tempdir().unwrap();
    let client = Arc::new(client(directory.path(), &vendor, ""));
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.token(at(0)).await.unwrap().expose().to_owned() })
        })
        .collect();
    for one in asking {
        assert_eq!(one.await.unwrap(), "hunter-token-1");
    }
    assert_eq!(client.token(at(89)).await.unwrap().expose(), "hunter-token-1");
    assert_eq!(client.token(at(90)).await.unwrap().expose(), "hunter-token-2");
    let asked = vendor.asked();
    assert_eq!(asked.len(), 2);
    // `gate%20way:hunter2-hunter2`, as RFC 6749 §2.3.1 has it.
    assert!(
        asked[0].contains("authorization: Basic Z2F0ZSUyMHdheTpodW50ZXIyLWh1bnRlcjI="),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains("grant_type=client_credentials&scope=crm.read"), "{}", asked[0]);
}

#[tokio::test]
async fn a_token_that_lives_for_seconds_is_replaced_before_its_server_may_end_it() {
    // A server that counts whole seconds may end one of 3 seconds after 2.
    for (life, kept_ms, over_ms) in [(3, 1_499, 1_500), (12, 9_999, 10_000), (1, 499, 500)] {
        let vendor = Vendor::start(move |n| (200, token(n, json!({"expires_in": life})))).await;
        let directory = tempfile::tempdir().unwrap();
        let client = client(directory.path(), &vendor, "");
        let at = |millis: u64| UnixMillis(NOW.0 + millis);
        assert_eq!(client.token(at(0)).await.unwrap().expose(), "hunter-token-1");
        assert_eq!(client.token(at(kept_ms)).await.unwrap().expose(), "hunter-token-1", "{life}");
        assert_eq!(client.token(at(over_ms)).await.unwrap().expose(), "hunter-token-2", "{life}");
    }
}

#[test]
fn scopes_that_were_granted_are_compared_with_those_that_were_asked_for() {
    let asked = ["crm.read".to_owned(), "crm.write".to_owned()];
    let long = "x".repeat(SCOPE_BYTES_MAX + 1);
    let odd = format!("crm.read  crm.admin {long} \u{7}bell");
    let cases: [(&str, &[&str], &[&str]); 4] = [
        ("crm.write crm.read", &[], &[]),
        ("crm.read", &[], &["crm.write"]),
        ("", &[], &["crm.read", "crm.write"]),
        (&odd, &["crm.admin"], &["crm.write"]),
    ];
    for (granted, more, less) in cases {
        assert_eq!(differences(&asked, granted), (more.to_vec(), less.to_vec()), "{granted}");
    }
}

#[tokio::test]
async fn a_client_with_a_key_sends_no_secret() {
    let vendor = Vendor::start(|n| (200, token(n, json!({})))).await;
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = private(directory.path(), "key.pem", &key.serialize_pem());
    let text = format!(
        "token_endpoint = '{}/token'\nclient_id = 'gw'\nkey_id = 'k'\nprivate_key = {{ file = '{pem}' }}",
        vendor.url
    );
    let client =
        OauthClient::compile("crm", &toml::from_str(&text).unwrap(), directory.path()).unwrap();
    client.token(NOW).await.unwrap();
    let asked = vendor.asked().remove(0);
    assert!(asked.contains(
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    ));
    let assertion = asked.split("client_assertion=").nth(1).unwrap();
    let claims = assertion.split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["sub"], "gw");
    assert_eq!(claims["aud"], format!("{}/token", vendor.url));
    assert!(!asked.contains("authorization:") && !asked.contains("PRIVATE"), "{asked}");
}

#[tokio::test]
async fn a_refresh_token_that_rotates_is_kept_until_the_operator_gives_another() {
    let vendor =
        Vendor::start(|n| (200, token(n, json!({"refresh_token": format!("hunter-refresh-{n}")}))))
            .await;
    let directory = tempfile::tempdir().unwrap();
    let refresh = private(directory.path(), "refresh", "hunter-first");
    let more = format!("grant = 'refresh_token'\nrefresh_token = {{ file = '{refresh}' }}");
    let first = client(directory.path(), &vendor, &more);
    first.token(at(0)).await.unwrap();
    first.token(at(200)).await.unwrap();
    // A new process goes on with what the server gave last.
    let again = client(directory.path(), &vendor, &more);
    again.token(at(0)).await.unwrap();
    private(directory.path(), "refresh", "hunter-second");
    again.token(at(200)).await.unwrap();
    let sent: Vec<String> = vendor
        .asked()
        .iter()
        .map(|asked| {
            asked.split("refresh_token=").nth(1).unwrap().split('&').next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(sent, ["hunter-first", "hunter-refresh-1", "hunter-refresh-2", "hunter-second"]);
    let kept = directory.path().join("connectors/crm.refresh.json");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(kept).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_nothing_that_was_sent_or_said() {
    let answers = [
        (
            401,
            json!({"error": "invalid_client", "error_description": "hunter2"}).to_string(),
            "401 (invalid_client)",
        ),
        (400, json!({"error": "hunter2"}).to_string(), "400 (no code)"),
        (302, "hunter2".to_owned(), "302 (no code)"),
        (200, "hunter2".to_owned(), "is no token"),
        (200, json!({"access_token": "hunter2", "token_type": "mac"}).to_string(), "another type"),
        (
            200,
            json!({"access_token": "hunter2\nx", "token_type": "bearer"}).to_string(),
            "no header",
        ),
    ];
    for (status, body, expected) in answers {
        let vendor = Vendor::start(move |_| (status, body.clone())).await;
        let directory = tempfile::tempdir().unwrap();
        let client = client(directory.path(), &vendor, "client_secret_in = 'post'");
        let told = client.token(NOW).await.unwrap_err().to_string();
        assert!(told.contains(expected) && !told.contains("hunter"), "{told}");
    }
    let directory = tempfile::tempdir().unwrap();
    let gone = Vendor::start(|_| (200, String::new())).await;
    let client = client(directory.path(), &gone, "");
    gone.stop();
    let told = client.token(NOW).await.unwrap_err().to_string();
    assert!(!told.contains("hunter") && !told.contains("token"), "no URL either: {told}");
}

#[test]
fn a_client_authenticates_in_one_way_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let secret = private(directory.path(), "secret", "hunter2-hunter2");
    let faults = |text: &str| {
        let text = text.replace("SECRET", &format!("{{ file = '{secret}' }}"));
        let config = toml::from_str(&text).unwrap();
        OauthClient::compile("crm", &config, directory.path()).err().unwrap_or_default()
    };
    let base = "token_endpoint = 'https://as.example/token'\nclient_id = 'a'\n";
    assert!(faults(&format!("{base}client_secret = SECRET")).is_empty());
    assert_eq!(faults(base).len(), 1);
    assert_eq!(faults(&format!("{base}client_secret = SECRET\nprivate_key = SECRET")).len(), 1);
    assert_eq!(faults(&format!("{base}client_secret = SECRET\ngrant = 'refresh_token'")).len(), 1);
    assert_eq!(faults(&format!("{base}client_secret = SECRET").replace("https", "http")).len(), 1);
}
