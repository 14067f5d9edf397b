//! One settled token.

use bailiwick_core::{Algorithm, Outcome, UnixMillis, UnverifiedToken, VerifyOptions, verify_leaf};
use serde_json::{Value, json};

use crate::fixture::{AUDIENCE, NOW, World, agent, jti, sign_bytes};

fn worlds() -> [World; 2] {
    [World::new(Algorithm::Es256, Algorithm::EdDsa), World::new(Algorithm::EdDsa, Algorithm::Es256)]
}

/// The code of a token whose payload `edit` changed, against the twin nobody changed.
fn code_of(edit: impl Fn(&mut Value)) -> Outcome {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let chain = world.settled_chain(2);
    let mut payload = chain[2].claims.to_json();
    assert!(world.verify(&world.forge(&payload)).is_ok(), "the benign twin passes");
    edit(&mut payload);
    world.verify(&world.forge(&payload)).unwrap_err().code()
}

#[test]
fn settled_tokens_verify_at_every_depth() {
    for world in worlds() {
        for settled in world.settled_chain(10) {
            let chain = world.verify(&settled.token.compact).unwrap();
            assert_eq!(chain.claims(), &settled.claims);
            assert_eq!(chain.signing_hash(), settled.token.signing_hash);
            assert_eq!(chain.unsettled(), 0);
            let depth = usize::from(settled.claims.del_depth);
            let agents: Vec<String> = (0..=depth).map(|i| agent(i).to_string()).collect();
            assert_eq!(chain.agents(), agents);
            let lineage: Vec<_> = (0..=settled.claims.del_depth).map(jti).collect();
            assert_eq!(chain.lineage(), lineage);
        }
    }
}

#[test]
fn the_form_of_claims() {
    let wrong: Vec<(&str, Value)> = vec![
        ("/iss", json!("")),
        ("/iss", json!("https://a.example/ x")),
        ("/sub", json!("")),
        ("/sub", Value::Null),
        ("/aud", json!(["https://crm.a.example"])),
        ("/aud", Value::Null),
        ("/client_id", json!("a b")),
        ("/iat", json!(1_800_000_000.5)),
        ("/iat", json!("1800000000")),
        ("/iat", json!(-1)),
        ("/exp", json!(1_800_000_000)),
        ("/exp", json!(1_800_000_901)),
        ("/jti", json!("n1")),
        ("/cnf", json!({})),
        ("/cnf", json!({"jkt": "AAAA"})),
        ("/cnf/x5t#S256", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        ("/cnf/jwk", json!({})),
        ("/scope", json!("crm.*")),
        ("/scope", json!("mail.send crm.*")),
        ("/authorization_details", json!([])),
        ("/authorization_details/1", json!({"type": "agent_delegation", "scopes": []})),
        ("/authorization_details/0/type", json!("acme_policy")),
        ("/authorization_details/0/actions", json!(["read"])),
        ("/authorization_details/0/scopes", json!(["*", "mail.send"])),
        ("/authorization_details/0/constraints/0/note", json!("x")),
        ("/authorization_details/0/constraints/5", json!({"key": "rows", "max": 5})),
        ("/del_depth", json!("2")),
        ("/del_depth", json!(1.5)),
        ("/par_hash", json!("AAAA")),
        ("/par_hash", Value::Null),
        ("/act/iss", json!("")),
        ("/act/aud", json!("x")),
        ("/txn", json!("TASK-1")),
        ("/status", json!({"status_list": {"idx": -1, "uri": "x"}})),
        ("/status", Value::Null),
        ("/urn:bailiwick:hop/v", json!(2)),
        ("/urn:bailiwick:hop/purpose", json!("x\u{0}")),
        ("/urn:bailiwick:hop/env", json!("")),
        ("/urn:bailiwick:hop/policy", json!("md5:x")),
        ("/urn:bailiwick:hop/grant", json!("x")),
        ("/urn:bailiwick:hop/other", json!(1)),
        ("/nbf", json!(0)),
        ("/unknown_claim", json!(true)),
    ];
    for (place, value) in wrong {
        let code = code_of(|payload| put(payload, place, value.clone()));
        assert_eq!(code, Outcome::Malformed, "{place} = {value}");
    }
    for claim in [
        "iss",
        "sub",
        "aud",
        "client_id",
        "iat",
        "exp",
        "jti",
        "cnf",
        "scope",
        "txn",
        "act",
        "authorization_details",
        "del_depth",
        "del_max_depth",
        "urn:bailiwick:hop",
    ] {
        let code = code_of(|payload| drop(payload.as_object_mut().unwrap().remove(claim)));
        assert_eq!(code, Outcome::Malformed, "without {claim}");
    }
}

fn put(payload: &mut Value, place: &str, value: Value) {
    let (parent, name) = place.rsplit_once('/').unwrap();
    match payload.pointer_mut(parent).unwrap() {
        Value::Array(items) => items.push(value),
        Value::Object(members) => drop(members.insert(name.into(), value)),
        _ => unreachable!("not a container"),
    }
}

#[test]
fn depth_and_provenance() {
    for (place, value, code) in [
        ("/del_depth", json!(11), Outcome::DepthInvalid),
        ("/del_depth", json!(100_000), Outcome::DepthInvalid),
        ("/del_max_depth", json!(0), Outcome::DepthInvalid),
        ("/del_max_depth", json!(12), Outcome::DepthInvalid),
        ("/del_max_depth", json!(2), Outcome::DepthInvalid),
        ("/del_depth", json!(1), Outcome::ProvenanceMissing),
        ("/client_id", json!("spiffe://a.example/agent/other"), Outcome::ProvenanceMissing),
        ("/act/act/act/act", json!({"iss": "x", "sub": "y"}), Outcome::ProvenanceMissing),
        ("/urn:bailiwick:hop/lineage", json!([]), Outcome::ProvenanceMissing),
        ("/urn:bailiwick:hop/lineage", json!([jti(0), jti(2)]), Outcome::ProvenanceMissing),
    ] {
        assert_eq!(code_of(|p| put(p, place, value.clone())), code, "{place} = {value}");
    }
    let code = code_of(|payload| drop(payload.as_object_mut().unwrap().remove("par_hash")));
    assert_eq!(code, Outcome::ParHashMismatch);

    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let root = world.settled_chain(0).remove(0);
    let mut payload = root.claims.to_json();
    payload["par_hash"] = json!(root.token.signing_hash);
    let error = world.verify(&world.forge(&payload)).unwrap_err();
    assert_eq!(error.code(), Outcome::Malformed);
}

#[test]
fn a_renewed_token_may_name_what_it_replaced() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let mut claims = world.root_claims();
    claims.hop.lineage.push(jti(77));
    let renewed = world.settle(claims);
    let chain = world.verify(&renewed.token.compact).unwrap();
    assert!(chain.descends_from(&jti(77)) && chain.descends_from(&jti(0)));
    assert!(!chain.descends_from(&jti(1)));
}

#[test]
fn times_are_exact() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let token = UnverifiedToken::parse(&world.settled_chain(1)[1].token.compact).unwrap();
    let at = |now| {
        verify_leaf(&token, &world.keys(), &VerifyOptions::default(), now)
            .map(|_| ())
            .map_err(|e| e.code())
    };
    assert_eq!(at(UnixMillis(NOW.0 + 299_999)), Ok(()));
    assert_eq!(at(UnixMillis(NOW.0 + 300_000)), Err(Outcome::Expired));
    assert_eq!(at(UnixMillis(u64::MAX)), Err(Outcome::Expired));
    assert_eq!(at(UnixMillis(NOW.0 - 30_000)), Ok(()));
    assert_eq!(at(UnixMillis(NOW.0 - 30_001)), Err(Outcome::ClockSkew));
    assert_eq!(at(UnixMillis(0)), Err(Outcome::ClockSkew));
}

#[test]
fn audience_issuer_and_whole_chain() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let chain = world.settled_chain(1);
    let token = UnverifiedToken::parse(&chain[1].token.compact).unwrap();
    let keys = world.keys();
    let code = |options: VerifyOptions<'_>| {
        verify_leaf(&token, &keys, &options, NOW).map(|_| ()).map_err(|e| e.code())
    };
    assert_eq!(code(VerifyOptions { audience: Some(AUDIENCE), full_chain: false }), Ok(()));
    let other = VerifyOptions { audience: Some("https://files.a.example"), full_chain: false };
    assert_eq!(code(other), Err(Outcome::AudienceMismatch));
    let whole = VerifyOptions { audience: Some(AUDIENCE), full_chain: true };
    assert_eq!(code(whole), Err(Outcome::ProvenanceMissing));

    let stranger = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let mut none = bailiwick_core::IssuerKeys::new();
    let verify = |keys: &_| verify_leaf(&token, keys, &VerifyOptions::default(), NOW);
    assert_eq!(verify(&none).unwrap_err().code(), Outcome::IssuerUntrusted);
    none.insert("https://other.example", "k1", world.issuer.verifying_key());
    assert_eq!(verify(&none).unwrap_err().code(), Outcome::IssuerUntrusted);
    assert_eq!(verify(&stranger.keys()).unwrap_err().code(), Outcome::SignatureInvalid);
}

#[test]
fn the_key_chooses_the_algorithm_and_headers_are_closed() {
    for world in worlds() {
        let payload = world.root_claims().to_json();
        let code = |name: &str, value: Value| {
            let mut header = world.header();
            header[name] = value;
            world.verify(&world.forge_with(&header, &payload)).unwrap_err().code()
        };
        let other = if world.issuer.algorithm() == Algorithm::Es256 { "EdDSA" } else { "ES256" };
        for alg in ["none", "None", "HS256", "RS256", "", other] {
            assert_eq!(code("alg", json!(alg)), Outcome::SignatureInvalid, "{alg}");
        }
        assert_eq!(code("kid", json!("k2")), Outcome::SignatureInvalid);
        for (name, value) in [
            ("typ", json!("JWT")),
            ("c14n", json!("none")),
            ("jku", json!("https://evil.example/keys")),
            ("x5u", json!("https://evil.example/cert")),
            ("x5c", json!([])),
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("kid", Value::Null),
            ("alg", json!(1)),
            ("jwk", world.issuer.verifying_key().to_jwk()),
        ] {
            assert_eq!(code(name, value), Outcome::Malformed, "{name}");
        }
        // A token that brings its own key instead of naming a pinned one is read as a grant.
        let mut header = world.header();
        header.as_object_mut().unwrap().remove("kid");
        header["jwk"] = world.issuer.verifying_key().to_jwk();
        let error = world.verify(&world.forge_with(&header, &payload)).unwrap_err();
        assert_eq!(error.code(), Outcome::Malformed);
        // Unsigned, in the way JWT libraries have accepted.
        let signed = world.forge(&payload);
        let unsigned = format!("{}.", signed.rsplit_once('.').unwrap().0);
        assert_eq!(world.verify(&unsigned).unwrap_err().code(), Outcome::SignatureInvalid);
    }
}

#[test]
fn bytes_must_be_canonical() {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let header = bailiwick_core::jcs::canonicalize_value(&world.header()).unwrap();
    let payload = bailiwick_core::jcs::canonicalize_value(&world.root_claims().to_json()).unwrap();
    let text = String::from_utf8(payload).unwrap();
    let code = |payload: &str| {
        let token = sign_bytes(&world.issuer, &header, payload.as_bytes());
        world.verify(&token).map(|_| ()).map_err(|e| e.code())
    };
    assert_eq!(code(&text), Ok(()));
    assert_eq!(code(&text.replace("\"aud\":", "\"aud\": ")), Err(Outcome::NonCanonical));
    let twice = text.replace("\"del_depth\":0", "\"del_depth\":0,\"del_depth\":0");
    assert_eq!(code(&twice), Err(Outcome::DuplicateMember));
    assert_eq!(code(&text.replace("1800000300", "NaN")), Err(Outcome::NonFinite));
    let unsafe_integer = text.replace("1800000300", "9007199254740992");
    assert_eq!(code(&unsafe_integer), Err(Outcome::Malformed));
    let token =
        sign_bytes(&world.issuer, b"{\"typ\":\"at+jwt\",\"alg\":\"EdDSA\"}", text.as_bytes());
    assert_eq!(world.verify(&token).unwrap_err().code(), Outcome::NonCanonical);
}

#[test]
fn sizes_are_bounded_before_anything_else() {
    let big = "a".repeat(16 * 1024 + 1);
    assert_eq!(UnverifiedToken::parse(&big).unwrap_err().code(), Outcome::Malformed);
    assert_eq!(UnverifiedToken::parse("").unwrap_err().code(), Outcome::Malformed);
    assert!(UnverifiedToken::parse(&big[1..]).is_ok());
}
