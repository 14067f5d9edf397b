use bailiwick_core::crypto::SigningKey;
use bailiwick_core::token::{ActChain, Actor, HopClaims};
use bailiwick_core::{TokenId, UnixMillis, VerifiedChain, jcs};
use bailiwick_policy::{Decision, Inputs};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// The token of the last of these agents: one for each line of agents.
fn jti_of(task: u8, agents: &[&str]) -> TokenId {
    let line = bailiwick_core::sha256(format!("{task}{agents:?}").as_bytes());
    TokenId::new(fixture::NOW, line.as_bytes()[..10].try_into().unwrap())
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
    claims.jti = jti_of(task, agents);
    claims.hop.lineage = (1..agents.len()).map(|n| jti_of(task, &agents[..n])).collect();
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
#[case::same(&["a", "b"], &["a", "b"], Provenance::Intact)]
#[case::further_on(&["a", "b"], &["a", "b", "c"], Provenance::Intact)]
#[case::the_end_is_gone(&["a", "b"], &["a"], Provenance::Truncated)]
#[case::the_middle_is_gone(&["a", "b", "c"], &["a", "c"], Provenance::Truncated)]
#[case::the_beginning_was_never_told(&["b", "c"], &["a", "b", "c"], Provenance::Truncated)]
#[case::reordered(&["a", "b"], &["b", "a"], Provenance::Mistranslated)]
#[case::reordered_further_on(&["b", "a"], &["a", "b", "c"], Provenance::Mistranslated)]
#[case::spelled_otherwise(&["a", "B"], &["a", "b"], Provenance::Mistranslated)]
#[case::another_agent(&["a", "b"], &["a", "c"], Provenance::Substituted)]
#[case::another_first_agent(&["a", "b"], &["c", "b"], Provenance::Substituted)]
#[case::another_line(&["a", "b"], &["x", "y", "z"], Provenance::Substituted)]
fn a_statement_is_compared_with_the_chain(
    #[case] stated: &[&str],
    #[case] arrived: &[&str],
    #[case] verdict: Provenance,
) {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let mut headers = HeaderMap::new();
    carrier.out(&route(""), &mut headers, Some(&tag_of(&chain_of(1, stated))));
    assert_eq!(judged(&carrier, &headers, &chain_of(1, arrived)), verdict);
    assert_eq!(judged(&carrier, &headers, &chain_of(1, stated)), Provenance::Intact, "the twin");
}

#[test]
fn the_same_token_under_another_name_was_renamed() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let chain = chain_of(1, &["a", "b"]);
    let mut tag = tag_of(&chain);
    tag.agents[1] = "agent-42".to_owned();
    let mut headers = HeaderMap::new();
    carrier.out(&route(""), &mut headers, Some(&tag));
    assert_eq!(judged(&carrier, &headers, &chain), Provenance::Mistranslated);
}

/// A statement under the key of this state directory, with whatever claims.
fn statement(directory: &std::path::Path, claims: &Value) -> HeaderMap {
    let der = std::fs::read(directory.join("provenance.key")).unwrap();
    let key = SigningKey::from_pkcs8(&der).unwrap();
    let kid = key.verifying_key().thumbprint().to_string();
    let header = json!({ "alg": "EdDSA", "kid": kid, "typ": "bailiwick-provenance+jwt" });
    let part = |value| URL_SAFE_NO_PAD.encode(jcs::canonicalize_value(value).unwrap());
    let input = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap());
    let mut headers = HeaderMap::new();
    headers.insert(STATEMENT_HEADER, format!("{input}.{signature}").parse().unwrap());
    headers
}

#[rstest]
#[case::as_it_is("", json!(null), Provenance::Intact)]
#[case::ended("exp", json!(-1), Provenance::Unsigned)]
#[case::of_tomorrow("iat", json!(86_400), Provenance::Unsigned)]
#[case::that_lives_too_long("exp", json!(86_400), Provenance::Unsigned)]
#[case::without_a_subject("sub", json!(null), Provenance::Unsigned)]
#[case::of_another_subject("sub", json!("user:mallory@a.example"), Provenance::Substituted)]
#[case::of_another_workflow("workflow", json!("other"), Provenance::Mistranslated)]
#[case::deeper_than_its_agents("depth", json!(2), Provenance::Truncated)]
#[case::with_more_agents_than_hops("depth", json!(0), Provenance::Mistranslated)]
fn every_claim_of_a_statement_counts(
    #[case] name: &str,
    #[case] value: Value,
    #[case] verdict: Provenance,
) {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let chain = chain_of(1, &["a", "b"]);
    let tag = tag_of(&chain);
    let now = Clock::system(UnixMillis(0)).now().seconds();
    let mut claims = json!({
        "iss": "https://gateway.example", "iat": now, "exp": now + 60, "sub": tag.subject,
        "txn": tag.task, "jti": tag.jti, "agents": tag.agents, "depth": 1, "workflow": tag.workflow,
    });
    let members = claims.as_object_mut().unwrap();
    match (name, value.as_i64()) {
        ("", _) => {}
        (_, None) if value.is_null() => drop(members.remove(name)),
        ("iat" | "exp", Some(seconds)) => {
            drop(members.insert(name.to_owned(), (now + seconds).into()))
        }
        _ => drop(members.insert(name.to_owned(), value)),
    }
    let headers = statement(directory.path(), &claims);
    assert_eq!(judged(&carrier, &headers, &chain), verdict);
}

#[test]
fn a_statement_that_was_cut_is_truncated_wherever_it_was_cut() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let chain = chain_of(1, &["a", "b"]);
    let mut headers = HeaderMap::new();
    carrier.out(&route(""), &mut headers, Some(&tag_of(&chain)));
    let whole = headers[STATEMENT_HEADER].to_str().unwrap().to_owned();
    for length in 3..whole.len() {
        headers.insert(STATEMENT_HEADER, whole[..length].parse().unwrap());
        assert_eq!(judged(&carrier, &headers, &chain), Provenance::Truncated, "{length}");
    }
    // What was never one of ours was not cut.
    for other in ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", &format!("{whole}.x")] {
        headers.insert(STATEMENT_HEADER, other.parse().unwrap());
        assert_eq!(judged(&carrier, &headers, &chain), Provenance::Unsigned, "{other}");
    }
}

#[test]
fn where_a_statement_is_expected_its_absence_counts() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let (easy, strict) = (route(""), route("expect_statement = true"));
    let chain = chain_of(1, &["a"]);
    let mut headers = HeaderMap::new();
    assert_eq!(judged_at(&strict, &carrier, &headers, &chain), Provenance::Dropped);
    assert_eq!(judged_at(&easy, &carrier, &headers, &chain), Provenance::Intact, "the twin");
    carrier.out(&easy, &mut headers, Some(&tag_of(&chain)));
    assert_eq!(judged_at(&strict, &carrier, &headers, &chain), Provenance::Intact);
    headers.remove(STATEMENT_HEADER);
    assert_eq!(judged_at(&strict, &carrier, &headers, &chain), Provenance::Unsigned, "ids only");
}

#[test]
fn a_key_is_trusted_where_it_is_trusted() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let foreign = carrier(there.path(), &[]);
    let pinned = here.path().join("there.jwk");
    std::fs::write(&pinned, foreign.public_key().to_string()).unwrap();
    let chain = chain_of(1, &["a"]);
    let mut headers = HeaderMap::new();
    foreign.out(&route(""), &mut headers, Some(&tag_of(&chain)));
    let mut local = carrier(here.path(), &[pinned]);
    assert_eq!(judged(&local, &headers, &chain), Provenance::Intact);
    let keys = local.trusted.remove("crm").unwrap();
    local.trusted.insert("another".to_owned(), keys);
    assert_eq!(judged(&local, &headers, &chain), Provenance::Unsigned);
    for wrong in ["{}", "no JSON", r#"{"kty":"oct","k":"AAAA"}"#] {
        let path = here.path().join("wrong.jwk");
        std::fs::write(&path, wrong).unwrap();
        assert!(super::statement::read_keys(&[path]).is_err(), "{wrong}");
    }
}

#[test]
fn a_trace_goes_on_as_it_came_or_through_the_decision() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let chain = chain_of(1, &["a"]);
    let tag = tag_of(&chain);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = || {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(parent));
        headers.insert("tracestate", HeaderValue::from_static("vendor=1, bailiwick=t:forged,b=2"));
        headers
    };
    let mut headers = traced();
    carrier.out(&route(""), &mut headers, Some(&tag));
    assert_eq!(
        (headers["traceparent"].to_str().unwrap(), &headers["tracestate"]),
        (parent, &HeaderValue::from_static("vendor=1,b=2"))
    );
    let through = route("trace_state = true");
    let mut headers = traced();
    carrier.out(&through, &mut headers, Some(&tag));
    let made = headers["traceparent"].to_str().unwrap();
    assert!(made.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && made.ends_with("-01"));
    assert_ne!(made, parent);
    assert_eq!(made.len(), parent.len());
    let state = headers["tracestate"].to_str().unwrap();
    assert_eq!(state, format!("bailiwick=t:{};d:{},vendor=1,b=2", tag.task, tag.decision));
    assert_eq!(judged(&carrier, &headers, &chain), Provenance::Intact);
    headers.remove(STATEMENT_HEADER);
    headers.remove("baggage");
    assert_eq!(judged(&carrier, &headers, &chain_of(2, &["a"])), Provenance::Substituted);
    // No trace is begun, and one that cannot be read is left alone.
    for odd in [
        "",
        "00-a-b-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", odd.parse().unwrap());
        carrier.out(&through, &mut headers, Some(&tag));
        assert_eq!(headers["traceparent"], odd);
        assert!(!headers.contains_key("tracestate"));
    }
}

#[test]
fn what_others_carry_passes_within_bounds_and_not_in_our_name() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let tag = tag_of(&chain_of(1, &["a"]));
    let sql = route("sql_comment_header = \"X-Sql-Comment\"");
    let long = (0..200).map(|n| format!("k{n}={}", "v".repeat(90))).collect::<Vec<_>>().join(",");
    let forged = || {
        let mut headers = HeaderMap::new();
        headers.append("baggage", "BAILIWICK.task=x,a=1".parse().unwrap());
        headers.append("baggage", long.parse().unwrap());
        headers.insert("x-sql-comment", HeaderValue::from_static("*/ drop table"));
        headers.insert(DECISION_HEADER, HeaderValue::from_static("forged"));
        headers.insert(STATEMENT_HEADER, HeaderValue::from_static("forged"));
        headers
    };
    let mut headers = forged();
    carrier.out(&sql, &mut headers, Some(&tag));
    let baggage = headers["baggage"].to_str().unwrap();
    assert!(baggage.len() <= 8192 && baggage.split(',').count() <= 64, "{}", baggage.len());
    assert!(baggage.starts_with("a=1,k0=") && baggage.ends_with(&tag.decision.to_string()));
    // Housekeeping carries nothing of ours, and nothing in our name.
    let mut headers = forged();
    carrier.out(&sql, &mut headers, None);
    for name in [STATEMENT_HEADER, DECISION_HEADER, "x-sql-comment".parse().unwrap()] {
        assert!(!headers.contains_key(&name), "{name}");
    }
    assert!(!headers["baggage"].to_str().unwrap().to_lowercase().contains("bailiwick"));
}

#[test]
fn the_header_of_a_comment_is_one_that_goes_on() {
    for name in ["Authorization", "bailiwick-provenance", "no header", "X-Original-URL"] {
        let config =
            CarryConfig { sql_comment_header: Some(name.to_owned()), ..CarryConfig::default() };
        assert!(config.fault().is_some(), "{name}");
    }
    let config = CarryConfig {
        sql_comment_header: Some("X-Sql-Comment".to_owned()),
        ..CarryConfig::default()
    };
    assert_eq!(config.fault(), None);
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

#[rstest]
#[case::no_object(json!(7))]
#[case::no_text(json!({ "task": 7 }))]
#[case::a_statement_that_is_none(json!({ "statement": {}, "task": "x" }))]
#[case::other_names(json!({ "Statement": "a.b.c" }))]
#[case::nothing(json!({}))]
fn a_part_that_cannot_be_read_is_a_bad_translation(#[case] carried: Value) {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let chain = Arc::new(chain_of(1, &["a"]));
    let verdict = |carried: Value| {
        let body = Bytes::from(json!({"params": {"_meta": {MESSAGE_KEY: carried}}}).to_string());
        carrier.classify(&route(""), &HeaderMap::new(), Some(&body), Some(&chain))
    };
    assert_eq!(verdict(carried), Provenance::Mistranslated);
    assert_eq!(verdict(json!({ "task": chain.claims().txn })), Provenance::Intact, "the twin");
}

#[test]
fn a_chain_that_took_anothers_token_id_does_not_get_its_statement() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = carrier(directory.path(), &[]);
    let chain = chain_of(1, &["a"]);
    let tag = tag_of(&chain);
    let of = |tag: &ProvenanceTag| {
        let mut headers = HeaderMap::new();
        carrier.out(&route(""), &mut headers, Some(tag));
        headers.remove(STATEMENT_HEADER).unwrap()
    };
    let own = of(&tag);
    let mut thief = tag.clone();
    thief.subject = "user:mallory@a.example".to_owned();
    assert_ne!(of(&thief), own);
    let mut headers = HeaderMap::from_iter([(STATEMENT_HEADER, of(&thief))]);
    assert_eq!(judged(&carrier, &headers, &chain), Provenance::Substituted);
    headers.insert(STATEMENT_HEADER, of(&tag));
    assert_eq!(judged(&carrier, &headers, &chain), Provenance::Intact, "the twin");
    assert_eq!(of(&tag), of(&tag), "made once a token");
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
        for end in ["*/", "/*", "--", ";", "?", "\\", "\n"] {
            prop_assert!(!inner.contains(end), "{} in {}", end, inner);
        }
    }
}

mod table;
