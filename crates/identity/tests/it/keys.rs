//! Where keys come from: a loopback server that counts, a file, and what happens when they are away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use bailiwick_core::{Outcome, SigningKey, UnixMillis};
use bailiwick_identity::{
    ConfigError, IssuerConfig, Issuers, JWKS_BYTES_MAX, JwksSource, KeyClient, KeyClientOptions,
    testing,
};
use serde_json::json;

use crate::support::{LOGIN, NOW, OURS, client, code, es256, issuers, later};

/// A key server whose answer can be changed while it runs.
#[derive(Clone)]
struct KeyServer {
    address: SocketAddr,
    fetches: Arc<AtomicUsize>,
    answer: Arc<std::sync::Mutex<Answer>>,
}

#[derive(Clone)]
enum Answer {
    Keys(String),
    Status(StatusCode),
    Redirect(String),
    Huge,
    Silence,
}

impl KeyServer {
    async fn start(key: &SigningKey) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            fetches: Arc::default(),
            answer: Arc::new(std::sync::Mutex::new(Answer::Keys(keys(&[(key, "k1")])))),
        };
        let state = server.clone();
        let app = Router::new().fallback(move || {
            let state = state.clone();
            async move { state.reply().await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        server
    }

    async fn reply(&self) -> Response {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Answer::Keys(text) => text.into_response(),
            Answer::Status(status) => status.into_response(),
            Answer::Redirect(to) => Redirect::temporary(&to).into_response(),
            Answer::Huge => "x".repeat(JWKS_BYTES_MAX + 1).into_response(),
            Answer::Silence => {
                tokio::time::sleep(Duration::from_secs(30)).await;
                StatusCode::OK.into_response()
            }
        }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn issuers(&self) -> Issuers {
        issuers(vec![IssuerConfig::subjects(LOGIN, JwksSource::Url(self.url()))])
    }
}

fn keys(keys: &[(&SigningKey, &str)]) -> String {
    testing::jwks(keys).to_string()
}

fn token(key: &SigningKey, kid: &str, now: UnixMillis) -> String {
    testing::subject_token((key, kid), LOGIN, "alice", OURS, now)
}

async fn outcome(issuers: &Issuers, token: &str, now: UnixMillis) -> Option<Outcome> {
    code(issuers.verify_subject(token, OURS, now).await)
}

/// Wait until `condition`, for at most two seconds.
async fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not happen in two seconds");
}

#[tokio::test]
async fn fifty_callers_make_one_fetch() {
    let key = es256();
    let server = KeyServer::start(&key).await;
    let issuers = Arc::new(server.issuers());
    let callers: Vec<_> = (0..50)
        .map(|n| {
            let issuers = Arc::clone(&issuers);
            let token = testing::subject_token((&key, "k1"), LOGIN, &format!("u{n}"), OURS, NOW);
            tokio::spawn(async move { issuers.verify_subject(&token, OURS, NOW).await.is_ok() })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap());
    }
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_take_the_fetch_along() {
    let key = es256();
    let server = KeyServer::start(&key).await;
    let issuers = Arc::new(server.issuers());
    let text = token(&key, "k1", NOW);
    let first = {
        let (issuers, text) = (Arc::clone(&issuers), text.clone());
        tokio::spawn(async move { issuers.verify_subject(&text, OURS, NOW).await.is_ok() })
    };
    eventually(|| server.fetches() == 1).await;
    first.abort();
    assert_eq!(outcome(&issuers, &text, NOW).await, None);
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn an_unknown_key_costs_one_fetch_a_cool_down() {
    let (key, new_key) = (es256(), es256());
    let server = KeyServer::start(&key).await;
    let issuers = server.issuers();
    assert_eq!(outcome(&issuers, &token(&key, "k1", NOW), NOW).await, None);
    server.set(Answer::Keys(keys(&[(&key, "k1"), (&new_key, "k2")])));
    for n in 0..20 {
        let forged = token(&es256(), &format!("made-up-{n}"), NOW);
        assert_eq!(outcome(&issuers, &forged, NOW).await, Some(Outcome::SignatureInvalid));
    }
    assert_eq!(server.fetches(), 1, "within the cool-down nothing is fetched");
    let rotated = token(&new_key, "k2", NOW);
    assert_eq!(outcome(&issuers, &rotated, NOW).await, Some(Outcome::SignatureInvalid));
    assert_eq!(
        outcome(&issuers, &rotated, later(10)).await,
        None,
        "after it, the new key is found"
    );
    assert_eq!(server.fetches(), 2);
    let forged = token(&es256(), "made-up", NOW);
    assert!(outcome(&issuers, &forged, later(11)).await.is_some());
    assert!(outcome(&issuers, &forged, later(20)).await.is_some());
    assert!(outcome(&issuers, &forged, later(21)).await.is_some());
    assert_eq!(server.fetches(), 3);
}

#[tokio::test]
async fn the_last_good_keys_serve_for_the_stated_bound_and_then_nothing_does() {
    let key = es256();
    let server = KeyServer::start(&key).await;
    let issuers = server.issuers();
    assert_eq!(outcome(&issuers, &token(&key, "k1", NOW), NOW).await, None);
    server.set(Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
    let near_the_end = later(3599);
    assert_eq!(outcome(&issuers, &token(&key, "k1", near_the_end), near_the_end).await, None);
    eventually(|| server.fetches() == 2).await;
    let past = later(3700);
    let text = token(&key, "k1", past);
    assert_eq!(outcome(&issuers, &text, past).await, Some(Outcome::IssuerUntrusted));
    server.set(Answer::Keys(keys(&[(&key, "k1")])));
    let after_the_pause = later(3800);
    assert_eq!(outcome(&issuers, &text, after_the_pause).await, None, "and it recovers");
}

#[tokio::test]
async fn a_clock_that_jumps_back_does_not_stretch_the_bound() {
    let key = es256();
    let server = KeyServer::start(&key).await;
    let issuers = server.issuers();
    assert_eq!(outcome(&issuers, &token(&key, "k1", NOW), NOW).await, None);
    server.set(Answer::Status(StatusCode::SERVICE_UNAVAILABLE));
    let text = token(&key, "k1", later(3000));
    assert_eq!(outcome(&issuers, &text, later(3000)).await, None);
    let back = token(&key, "k1", NOW);
    assert_eq!(outcome(&issuers, &back, NOW).await, None, "3000 seconds old");
    let refused = outcome(&issuers, &token(&key, "k1", later(601)), later(601)).await;
    assert_eq!(refused, Some(Outcome::IssuerUntrusted), "3601 seconds old");
}

#[tokio::test]
async fn a_failing_server_is_not_asked_again_at_once() {
    let key = es256();
    let server = KeyServer::start(&key).await;
    let issuers = server.issuers();
    let text = token(&key, "k1", NOW);
    server.set(Answer::Status(StatusCode::NOT_FOUND));
    for _ in 0..20 {
        assert_eq!(outcome(&issuers, &text, NOW).await, Some(Outcome::IssuerUntrusted));
    }
    assert_eq!(server.fetches(), 1);
    assert!(outcome(&issuers, &text, later(10)).await.is_some());
    assert!(outcome(&issuers, &text, later(20)).await.is_some(), "the pause grows");
    assert_eq!(server.fetches(), 2);
    server.set(Answer::Keys(keys(&[(&key, "k1")])));
    assert_eq!(outcome(&issuers, &text, later(30)).await, None);
}

#[tokio::test]
async fn answers_that_are_no_keys_are_refused() {
    let key = es256();
    let target = KeyServer::start(&key).await;
    let text = token(&key, "k1", NOW);
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]}).to_string();
    let many: Vec<_> = (0..65).map(|_| testing::jwk(&key, "k1")).collect();
    let answers = [
        Answer::Status(StatusCode::NO_CONTENT),
        Answer::Redirect(target.url()),
        Answer::Huge,
        Answer::Keys("not json".into()),
        Answer::Keys("{\"keys\":[]}".into()),
        Answer::Keys(secret),
        Answer::Keys(json!({ "keys": many }).to_string()),
    ];
    for answer in answers {
        let server = KeyServer::start(&key).await;
        server.set(answer);
        assert_eq!(outcome(&server.issuers(), &text, NOW).await, Some(Outcome::IssuerUntrusted));
    }
    assert_eq!(target.fetches(), 0, "no redirect was followed");
    assert_eq!(outcome(&target.issuers(), &text, NOW).await, None);
}

#[tokio::test]
async fn a_silent_server_costs_a_bounded_wait() {
    let key = es256();
    let server = KeyServer::start(&key).await;
    server.set(Answer::Silence);
    let options = KeyClientOptions { timeout: Duration::from_millis(100), ..Default::default() };
    let config = IssuerConfig::subjects(LOGIN, JwksSource::Url(server.url()));
    let issuers = Issuers::new(vec![config], KeyClient::new(&options).unwrap()).unwrap();
    let text = token(&key, "k1", NOW);
    let waited = tokio::time::timeout(Duration::from_secs(5), outcome(&issuers, &text, NOW)).await;
    assert_eq!(waited.unwrap(), Some(Outcome::IssuerUntrusted));
}

#[tokio::test]
async fn a_key_that_was_withdrawn_kills_the_tokens_that_are_remembered() {
    let (key, new_key) = (es256(), es256());
    let server = KeyServer::start(&key).await;
    let issuers = server.issuers();
    let text = token(&key, "k1", NOW);
    assert_eq!(outcome(&issuers, &text, NOW).await, None);
    server.set(Answer::Keys(keys(&[(&new_key, "k2")])));
    assert_eq!(outcome(&issuers, &token(&new_key, "k2", NOW), later(10)).await, None);
    assert_eq!(outcome(&issuers, &text, later(10)).await, Some(Outcome::SignatureInvalid));
}

#[tokio::test]
async fn keys_are_renewed_in_the_background() {
    let key = es256();
    let server = KeyServer::start(&key).await;
    let issuers = server.issuers();
    assert_eq!(outcome(&issuers, &token(&key, "k1", NOW), NOW).await, None);
    let due = later(300);
    for _ in 0..20 {
        assert_eq!(outcome(&issuers, &token(&key, "k1", due), due).await, None);
    }
    eventually(|| server.fetches() == 2).await;
    assert_eq!(outcome(&issuers, &token(&key, "k1", due), due).await, None);
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn keys_in_a_file_are_read_again() {
    let (key, new_key) = (es256(), es256());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    std::fs::write(&path, keys(&[(&key, "k1")])).unwrap();
    let issuers = issuers(vec![IssuerConfig::subjects(LOGIN, JwksSource::File(path.clone()))]);
    assert_eq!(outcome(&issuers, &token(&key, "k1", NOW), NOW).await, None);
    std::fs::write(&path, keys(&[(&new_key, "k2")])).unwrap();
    assert_eq!(outcome(&issuers, &token(&new_key, "k2", NOW), later(10)).await, None);
    std::fs::write(&path, vec![b' '; JWKS_BYTES_MAX + 1]).unwrap();
    assert!(outcome(&issuers, &token(&key, "k3", NOW), later(20)).await.is_some());
    assert_eq!(outcome(&issuers, &token(&new_key, "k2", NOW), later(20)).await, None);
}

#[tokio::test]
async fn sources_that_cannot_work_are_configuration_errors() {
    let broken = [
        JwksSource::Url("http://login.example/keys".into()),
        JwksSource::Url("https://user:secret@login.example/keys".into()),
        JwksSource::Url("keys".into()),
        JwksSource::Inline(json!({"keys": []})),
        JwksSource::Inline(json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
        JwksSource::Inline(json!([])),
    ];
    for source in broken {
        let made = Issuers::new(vec![IssuerConfig::subjects(LOGIN, source.clone())], client());
        assert!(matches!(made, Err(ConfigError::Keys { .. })), "{source:?}");
    }
}
