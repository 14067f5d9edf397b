use bailiwick_core::token::{ActChain, Actor, HopClaims};
use bailiwick_core::{UnixMillis, VerifiedChain};
use bailiwick_policy::{Decision, Inputs};
use http::HeaderMap;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::fixture;

const OTHER: &str = "spiffe://dev.bailiwick.example/agent/";

/// A gateway that trusts these keys beside its own, on the route that [`route`] makes.
fn carrier(directory: &std::path::Path, trusted: &[PathBuf]) -> Carrier {
    let clock = Clock::system(UnixMillis(0));
    let signer = Signer::open(directory, "https://gateway.example", clock).unwrap();
    let keys = super::statement::read_keys(trusted).unwrap();
    Carrier { signer, trusted: HashMap::from([("crm".to_owned(), keys)]) }
}

fn route(extra: &str) -> Route {
    let text = format!(
        "listen = \"127.0.0.1:1\"\nstate_dir = \"/tmp\"\npublic_url = \"https://gateway.example\"\n\
         [authority]\nissuer = \"http://127.0.0.1:1\"\n[identity]\ndev_agent = \"{OTHER}g\"\n\
         [[route]]\nname = \"crm\"\npath = \"/crm\"\nupstream = \"http://127.0.0.1:9\"\n\
         owner = \"t\"\nbinding = \"carries\"\n[route.http]\n[[route.http.operation]]\n\
         method = \"GET\"\npath = \"/\"\nscope = \"a.b\"\n[route.carry]\n{extra}"
    );
    let config = Config::from_toml(&text, "gateway.toml", std::path::Path::new("/")).unwrap();
    let routes = crate::route::Routes::compile(&config).unwrap();
    let (route, _) = routes.find("/crm").unwrap();
    let route = Arc::clone(route);
    drop(routes);
    Arc::into_inner(route).unwrap()
}

/// A chain through these agents, whose token is good now.
fn chain_of(task: u8, agents: &[&str]) -> VerifiedChain {
    let mut claims: HopClaims = fixture::claims(task, &["a.b"], json!([]));
    let iss = claims.iss.clone();
    let actor =
        |name: &&str| Actor { iss: iss.clone(), sub: format!("{OTHER}{name}").parse().unwrap() };
    claims.act = ActChain(agents.iter().rev().map(actor).collect());
    claims.client_id = format!("{OTHER}{}", agents.last().unwrap()).parse().unwrap();
    claims.del_depth = u8::try_from(agents.len() - 1).unwrap();
    claims.par_hash = (agents.len() > 1).then(|| bailiwick_core::sha256(b"parent"));
    let ancestor = |n| bailiwick_core::TokenId::new(fixture::NOW, [100 + n; 10]);
    claims.hop.lineage = (0..claims.del_depth).map(ancestor).collect();
    claims.exp = fixture::NOW.seconds() + 4_000_000_000;
    claims.iat = claims.exp - 300;
    fixture::chain_of(&claims)
}

fn decision() -> Decision {
    Decision {
        id: bailiwick_core::DecisionId::new(fixture::NOW, [9; 10]),
        allow: true,
        outcome: None,
        reason: None,
        determining: Vec::new(),
        obligations: Vec::new(),
        policy_hash: String::new(),
        inputs: Inputs::Refused(json!({})),
        time: fixture::NOW,
    }
}

fn tag_of(chain: &VerifiedChain) -> ProvenanceTag {
    ProvenanceTag::new(chain, &decision())
}

fn judged(carrier: &Carrier, headers: &HeaderMap, chain: &VerifiedChain) -> Provenance {
    judged_at(&route(""), carrier, headers, chain)
}

fn judged_at(
    route: &Route,
    carrier: &Carrier,
    headers: &HeaderMap,
    chain: &VerifiedChain,
) -> Provenance {
    carrier.classify(route, headers, None, Some(&Arc::new(chain.clone())))
}

#[test]
fn what_goes_out_comes_back_intact_in_every_carrier() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let (route, chain) = (route(""), chain_of(1, &["a", "b"]));
    let tag = tag_of(&chain);
    let mut headers = HeaderMap::new();
    headers.insert("baggage", HeaderValue::from_static("user=7;p=1, bailiwick.task=forged"));
    headers.insert("traceparent", HeaderValue::from_static("00-a-b-01"));
    headers.insert(STATEMENT_HEADER, HeaderValue::from_static("forged"));
    carrier.out(&route, &mut headers, Some(&tag));
    assert_eq!(
        headers["baggage"],
        format!("user=7;p=1,bailiwick.task={},bailiwick.decision={}", tag.task, tag.decision)
    );
    assert_eq!(headers[DECISION_HEADER], tag.decision.to_string());
    assert_eq!(headers["traceparent"], "00-a-b-01");
    assert!(!headers["baggage"].to_str().unwrap().contains("alice"), "opaque ids only");
    assert_eq!(judged(&carrier, &headers, &chain), Provenance::Intact);

    for (at, envelope) in [
        ("/params/_meta", json!({"params": {}})),
        ("/params/message/metadata", json!({"params": {"message": {"metadata": {"x": 1}}}})),
        ("/message/metadata", json!({"message": {}})),
    ] {
        let mut message = envelope;
        carrier.out_in_message(&route, &mut message, at, &tag);
        assert!(message.pointer(at).unwrap()[MESSAGE_KEY]["statement"].is_string());
        let body = Bytes::from(message.to_string());
        let verdict = carrier.classify(
            &route,
            &HeaderMap::new(),
            Some(&body),
            Some(&Arc::new(chain.clone())),
        );
        assert_eq!(verdict, Provenance::Intact, "{at}");
    }
}

#[test]
fn a_route_says_what_goes_along() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let route = route("statement = false\nbaggage = false\nsql_comment_header = \"X-Sql-Comment\"");
    let tag = tag_of(&chain_of(1, &["a"]));
    let mut headers = HeaderMap::new();
    carrier.out(&route, &mut headers, Some(&tag));
    assert!(!headers.contains_key(STATEMENT_HEADER) && !headers.contains_key("baggage"));
    let comment = headers["x-sql-comment"].to_str().unwrap();
    assert!(comment.starts_with("/*bailiwick_decision='") && comment.ends_with("'*/"), "{comment}");
    let mut message = json!({});
    carrier.out_in_message(&route, &mut message, "/params/_meta", &tag);
    assert!(!message.to_string().contains("alice"));
}

#[rstest]
#[case::same(&["a", "b"], Provenance::Intact)]
#[case::further_on(&["a", "b", "c"], Provenance::Intact)]
#[case::truncated(&["a"], Provenance::Truncated)]
#[case::reordered(&["b", "a"], Provenance::Mistranslated)]
#[case::renamed(&["a", "b2"], Provenance::Mistranslated)]
#[case::another_line(&["x", "y", "z"], Provenance::Substituted)]
fn a_statement_is_compared_with_the_chain(#[case] arrived: &[&str], #[case] verdict: Provenance) {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let stated = tag_of(&chain_of(1, &["a", "b"]));
    let mut headers = HeaderMap::new();
    carrier.out(&route(""), &mut headers, Some(&stated));
    assert_eq!(judged(&carrier, &headers, &chain_of(1, arrived)), verdict);
}

#[test]
fn another_task_or_subject_is_a_substitution() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let mut headers = HeaderMap::new();
    carrier.out(&route(""), &mut headers, Some(&tag_of(&chain_of(1, &["a"]))));
    assert_eq!(judged(&carrier, &headers, &chain_of(2, &["a"])), Provenance::Substituted);
    assert_eq!(judged(&carrier, &headers, &chain_of(1, &["a"])), Provenance::Intact);
    headers.remove(STATEMENT_HEADER);
    assert_eq!(judged(&carrier, &headers, &chain_of(2, &["a"])), Provenance::Substituted);
}

#[test]
fn a_statement_of_a_key_that_is_not_pinned_is_unsigned() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let foreign = carrier(there.path(), &[]);
    let chain = chain_of(1, &["a"]);
    let mut headers = HeaderMap::new();
    foreign.out(&route(""), &mut headers, Some(&tag_of(&chain)));
    let alone = carrier(here.path(), &[]);
    assert_eq!(judged(&alone, &headers, &chain), Provenance::Unsigned);
    let pinned = here.path().join("there.jwk");
    std::fs::write(&pinned, foreign.public_key().to_string()).unwrap();
    assert_eq!(judged(&carrier(here.path(), &[pinned]), &headers, &chain), Provenance::Intact);
    // A flipped byte of it is nobody's statement.
    let text = headers[STATEMENT_HEADER].to_str().unwrap();
    let flipped = text.replacen('e', "f", 1);
    headers.insert(STATEMENT_HEADER, HeaderValue::from_str(&flipped).unwrap());
    assert_eq!(judged(&foreign, &headers, &chain), Provenance::Unsigned);
}

#[test]
fn without_a_chain_nothing_that_travels_proves_anything() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    assert_eq!(carrier.classify(&route(""), &HeaderMap::new(), None, None), Provenance::Dropped);
    let mut headers = HeaderMap::new();
    carrier.out(&route(""), &mut headers, Some(&tag_of(&chain_of(1, &["a"]))));
    assert_eq!(carrier.classify(&route(""), &headers, None, None), Provenance::Unsigned);
}

#[test]
fn a_part_that_cannot_be_read_is_a_bad_translation() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let body = Bytes::from(json!({"params": {"_meta": {MESSAGE_KEY: 7}}}).to_string());
    let chain = Arc::new(chain_of(1, &["a"]));
    assert_eq!(
        carrier.classify(&route(""), &HeaderMap::new(), Some(&body), Some(&chain)),
        Provenance::Mistranslated
    );
}

#[test]
fn the_key_survives_a_restart_and_others_may_not_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = carrier(directory.path(), &[]).public_key();
    assert_eq!(carrier(directory.path(), &[]).public_key(), first);
    let mode = std::fs::metadata(directory.path().join("provenance.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

#[test]
fn aws_gets_what_its_fields_can_hold() {
    let mut tag = tag_of(&chain_of(1, &["a"]));
    tag.subject = "user:álice <x>@a.example".to_owned() + &"y".repeat(400);
    for (name, value) in session_tags(&tag) {
        assert!(name.len() <= 128 && value.chars().count() <= 256);
        assert!(
            value.chars().all(|c| c.is_ascii_alphanumeric() || "_.:/=+-@ ".contains(c)),
            "{value}"
        );
    }
    let identity = source_identity(&tag);
    assert!(identity.len() <= 64 && identity.contains(&tag.task.to_string()), "{identity}");
}

proptest! {
    #[test]
    fn nothing_ends_an_sql_comment(task in any::<[u8; 10]>()) {
        let mut tag = tag_of(&chain_of(1, &["a"]));
        tag.task = bailiwick_core::TaskId::new(fixture::NOW, task);
        let comment = sql_comment(&tag);
        let inner = &comment[2..comment.len() - 2];
        prop_assert!(!inner.contains("*/") && !inner.contains("--") && !inner.contains(';'));
    }
}
