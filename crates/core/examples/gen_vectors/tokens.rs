//! Signed tokens, chains and grants, by keys that anyone can derive.

use bailiwick_core::{
    Algorithm, GrantClaims, HopClaims, UnsignedToken, UnverifiedToken, VerifyError, VerifyOptions,
    jcs, verify_chain, verify_grant, verify_leaf,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::fixture::{
    AUDIENCE, ISSUER, KID, NOW, World, agent, authority, jti, presented, published_pkcs8,
    sign_bytes,
};

const WORLDS: [(&str, Algorithm, Algorithm); 2] =
    [("es256", Algorithm::Es256, Algorithm::EdDsa), ("eddsa", Algorithm::EdDsa, Algorithm::Es256)];

fn outcome<T>(result: Result<T, VerifyError>) -> &'static str {
    result.map_or_else(|error| error.code().code(), |_| "accept")
}

/// What a verifier needs to know, and the holders' private keys for signing grants.
fn setting(world: &World, name: &str, holder: Algorithm) -> Value {
    let holders: Vec<Value> = world
        .holders
        .iter()
        .enumerate()
        .take(4)
        .map(|(i, key)| {
            json!({
                "agent": agent(i),
                "jkt": key.verifying_key().thumbprint(),
                "jwk": key.verifying_key().to_jwk(),
                "pkcs8": URL_SAFE_NO_PAD.encode(published_pkcs8(&format!("holder {i}"), holder)),
            })
        })
        .collect();
    json!({
        "name": name,
        "now_ms": NOW.0,
        "issuers": [{"iss": ISSUER, "kid": KID, "jwk": world.issuer.verifying_key().to_jwk()}],
        "holders": holders,
    })
}

pub fn tokens() -> Value {
    let settings: Vec<Value> = WORLDS
        .into_iter()
        .map(|(name, issuer, holder)| {
            let world = World::published(issuer, holder);
            let mut setting = setting(&world, name, holder);
            setting["cases"] = token_cases(&world).into();
            setting
        })
        .collect();
    json!({ "settings": settings })
}

struct Cases<'a> {
    world: &'a World,
    cases: Vec<Value>,
}

impl Cases<'_> {
    fn add(
        &mut self,
        name: &str,
        tokens: &[&str],
        audience: &str,
        full_chain: bool,
        expected: &str,
    ) {
        let keys = self.world.keys();
        let options = VerifyOptions { audience: Some(audience), full_chain };
        let found = match tokens {
            [only] if !full_chain => UnverifiedToken::parse(only)
                .and_then(|token| verify_leaf(&token, &keys, &options, NOW)),
            _ => presented(tokens).and_then(|chain| verify_chain(&chain, &keys, &options, NOW)),
        };
        let code = outcome(found.as_ref().map_err(Clone::clone));
        assert_eq!(code, expected, "{name}");
        let mut case = json!({
            "name": name, "chain": tokens, "audience": audience, "full_chain": full_chain,
            "outcome": expected,
        });
        if let Ok(chain) = found {
            case["claims"] = chain.claims().to_json();
            case["agents"] = chain.agents().into();
            case["unsettled"] = chain.unsettled().into();
            case["signing_hash"] = json!(chain.signing_hash());
        }
        self.cases.push(case);
    }

    /// One settled token at depth 1 whose payload was edited before it was signed.
    fn edited(&mut self, name: &str, edit: impl Fn(&mut Value), expected: &str) {
        let settled = self.world.settled_chain(1).remove(1);
        let mut payload = settled.claims.to_json();
        edit(&mut payload);
        let token = self.world.forge(&payload);
        self.add(name, &[&token], AUDIENCE, false, expected);
    }

    /// A settled chain of three whose middle claims were edited; commitments are intact.
    fn middle(&mut self, name: &str, edit: impl Fn(&mut HopClaims), expected: &str) {
        let root = self.world.settle(self.world.root_claims());
        let mut claims = self.world.child_claims(&root);
        edit(&mut claims);
        let middle = self.world.settle(claims);
        let leaf = self.world.settle(self.world.child_claims(&middle));
        let chain = [&root, &middle, &leaf].map(|s| s.token.compact.as_str());
        self.add(name, &chain, AUDIENCE, true, expected);
    }
}

fn token_cases(world: &World) -> Vec<Value> {
    let mut cases = Cases { world, cases: Vec::new() };
    let chain = world.settled_chain(3);
    let text = |i: usize| chain[i].token.compact.as_str();
    cases.add("root", &[text(0)], AUDIENCE, false, "accept");
    cases.add("leaf at depth 3", &[text(3)], AUDIENCE, false, "accept");
    cases.add("whole chain", &[text(0), text(1), text(2), text(3)], AUDIENCE, true, "accept");
    cases.add("part of a chain", &[text(2), text(3)], AUDIENCE, false, "accept");
    cases.add("whole chain required", &[text(2), text(3)], AUDIENCE, true, "provenance_missing");
    cases.add(
        "another audience",
        &[text(1)],
        "https://files.a.example",
        false,
        "audience_mismatch",
    );
    cases.add("a hop left out", &[text(0), text(2)], AUDIENCE, true, "par_hash_mismatch");
    header_cases(&mut cases);
    byte_cases(&mut cases);
    claim_cases(&mut cases);
    cases.middle(
        "another subject",
        |c| c.sub = "user:mallory@a.example".parse().unwrap(),
        "principal_altered",
    );
    cases.middle(
        "another task",
        |c| c.txn = bailiwick_core::TaskId::new(NOW, [8; 10]),
        "task_mismatch",
    );
    cases.middle("another tenant", |c| c.hop.tenant = "evil".parse().unwrap(), "tenant_mismatch");
    cases.middle(
        "a wider scope",
        |c| {
            let scopes = "crm.* mail.send pay.x".parse().unwrap();
            std::sync::Arc::make_mut(&mut c.authority).scopes = scopes;
        },
        "not_narrower",
    );
    cases.middle(
        "a dropped constraint",
        |c| c.authority = authority("crm.read", json!([])).into(),
        "not_narrower",
    );
    cases.middle("outlives its parent", |c| c.exp += 1, "expired");
    cases.middle("lineage of another", |c| c.hop.lineage = vec![jti(50)], "provenance_missing");
    suffix_cases(&mut cases);
    cases.cases
}

fn header_cases(cases: &mut Cases<'_>) {
    let world = cases.world;
    let payload = world.root_claims().to_json();
    let other = if world.issuer.algorithm() == Algorithm::Es256 { "EdDSA" } else { "ES256" };
    for (name, member, value, expected) in [
        ("alg none", "alg", json!("none"), "signature_invalid"),
        ("alg HS256", "alg", json!("HS256"), "signature_invalid"),
        ("alg of another key", "alg", json!(other), "signature_invalid"),
        ("unknown kid", "kid", json!("k2"), "signature_invalid"),
        ("typ JWT", "typ", json!("JWT"), "malformed"),
        ("no JCS mark", "c14n", json!("none"), "malformed"),
        ("jku", "jku", json!("https://evil.example/keys"), "malformed"),
        ("x5u", "x5u", json!("https://evil.example/cert"), "malformed"),
        ("crit", "crit", json!(["exp"]), "malformed"),
        ("embedded key", "jwk", world.issuer.verifying_key().to_jwk(), "malformed"),
    ] {
        let mut header = world.header();
        header[member] = value;
        cases.add(name, &[&world.forge_with(&header, &payload)], AUDIENCE, false, expected);
    }
}

fn byte_cases(cases: &mut Cases<'_>) {
    let world = cases.world;
    let header = jcs::canonicalize_value(&world.header()).unwrap();
    let payload = jcs::canonicalize_value(&world.root_claims().to_json()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    for (name, from, to, expected) in [
        ("white space", "\"aud\":", "\"aud\": ", "non_canonical"),
        ("member twice", "\"del_depth\":0", "\"del_depth\":0,\"del_depth\":0", "duplicate_member"),
        ("not a number", "1800000300", "NaN", "non_finite"),
        ("unsafe integer", "1800000300", "9007199254740992", "malformed"),
    ] {
        let token = sign_bytes(&world.issuer, &header, payload.replace(from, to).as_bytes());
        cases.add(name, &[&token], AUDIENCE, false, expected);
    }
    let good = world.settle(world.root_claims()).token.compact;
    let (input, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{input}.{flipped}{}", &signature[1..]);
    cases.add("changed signature", &[&forged], AUDIENCE, false, "signature_invalid");
    cases.add("no signature", &[&format!("{input}.")], AUDIENCE, false, "signature_invalid");
    cases.add("padded", &[&format!("{good}=")], AUDIENCE, false, "malformed");
    cases.add("two parts", &[input], AUDIENCE, false, "malformed");
}

fn claim_cases(cases: &mut Cases<'_>) {
    let set = |place: &'static str, value: Value| {
        move |payload: &mut Value| *payload.pointer_mut(place).unwrap() = value.clone()
    };
    cases.edited("unpinned issuer", set("/iss", json!("https://b.example")), "issuer_untrusted");
    cases.edited("aud is an array", set("/aud", json!([AUDIENCE])), "malformed");
    cases.edited("aud is null", set("/aud", Value::Null), "malformed");
    cases.edited("empty sub", set("/sub", json!("")), "malformed");
    cases.edited("cnf names no key", set("/cnf", json!({})), "malformed");
    cases.edited("scope is no mirror", set("/scope", json!("crm.*")), "malformed");
    cases.edited("lives too long", set("/exp", json!(1_800_000_901)), "malformed");
    cases.edited("unknown claim", |p| p["other"] = json!(1), "malformed");
    cases.edited("not-before", |p| p["nbf"] = json!(0), "malformed");
    cases.edited(
        "two details",
        |p| {
            let detail = p["authorization_details"][0].clone();
            p["authorization_details"].as_array_mut().unwrap().push(detail);
        },
        "malformed",
    );
    cases.edited(
        "detail member",
        |p| p["authorization_details"][0]["actions"] = json!(["read"]),
        "malformed",
    );
    cases.edited(
        "bare wildcard",
        |p| {
            p["authorization_details"][0]["scopes"] = json!(["*"]);
            p["scope"] = json!("*");
        },
        "malformed",
    );
    cases.edited("another version", set("/urn:bailiwick:hop/v", json!(2)), "malformed");
    cases.edited("too deep", set("/del_depth", json!(11)), "depth_invalid");
    cases.edited("bound reached", set("/del_max_depth", json!(1)), "depth_invalid");
    cases.edited(
        "no commitment",
        |p| drop(p.as_object_mut().unwrap().remove("par_hash")),
        "par_hash_mismatch",
    );
    cases.edited(
        "an agent missing",
        |p| drop(p["act"].as_object_mut().unwrap().remove("act")),
        "provenance_missing",
    );
    cases.edited(
        "lineage missing",
        set("/urn:bailiwick:hop/lineage", json!([])),
        "provenance_missing",
    );
    cases.edited(
        "expired this second",
        |p| {
            p["iat"] = json!(1_799_999_700);
            p["exp"] = json!(1_800_000_000);
        },
        "expired",
    );
    cases.edited(
        "last second",
        |p| {
            p["iat"] = json!(1_799_999_701);
            p["exp"] = json!(1_800_000_001);
        },
        "accept",
    );
    cases.edited(
        "issued in the future",
        |p| {
            p["iat"] = json!(1_800_000_031);
            p["exp"] = json!(1_800_000_300);
        },
        "clock_skew",
    );
    cases.edited(
        "unknown constraint type",
        |p| {
            let constraints = p["authorization_details"][0]["constraints"].as_array_mut().unwrap();
            constraints.push(json!({"key": "quota", "units": 5}));
        },
        "accept",
    );
}

fn suffix_cases(cases: &mut Cases<'_>) {
    let world = cases.world;
    let chain = world.settled_chain(1);
    let suffix = world.offline_suffix(&chain[0], 2);
    let [root, child] = [0, 1].map(|i| chain[i].token.compact.as_str());
    let [first, second] = [0, 1].map(|i| suffix[i].compact.as_str());
    cases.add("offline suffix", &[root, first, second], AUDIENCE, true, "accept");
    cases.add("a grant alone", &[first], AUDIENCE, false, "offline_hop_forbidden");
    cases.add("a grant as root", &[first], AUDIENCE, true, "provenance_missing");
    cases.add("settled after a grant", &[root, first, child], AUDIENCE, true, "provenance_missing");
    cases.add("another parent", &[root, second], AUDIENCE, true, "holder_binding_failed");
    let mut claims = world.grant_claims(&chain[0].claims, chain[0].token.signing_hash);
    let stolen = world.sign_grant(&claims, 3);
    cases.add(
        "signed by another",
        &[root, &stolen.compact],
        AUDIENCE,
        true,
        "holder_binding_failed",
    );
    claims.cnf = None;
    let agent_bound = world.sign_grant(&claims, 0);
    cases.add(
        "agent-bound offline",
        &[root, &agent_bound.compact],
        AUDIENCE,
        true,
        "holder_binding_failed",
    );
}

pub fn grants() -> Value {
    let settings: Vec<Value> = WORLDS
        .into_iter()
        .map(|(name, issuer, holder)| {
            let world = World::published(issuer, holder);
            let mut setting = setting(&world, name, holder);
            let parent = world.settled_chain(1).remove(1);
            setting["parent"] = parent.token.compact.as_str().into();
            setting["cases"] = grant_cases(&world, &parent).into();
            setting["make"] = make_cases(&world, &parent).into();
            setting
        })
        .collect();
    json!({ "settings": settings })
}

/// Grants against one parent, whose holder is agent 1.
fn grant_cases(world: &World, parent: &crate::fixture::Settled) -> Vec<Value> {
    let above = world.verify(&parent.token.compact).unwrap();
    let mut cases = Vec::new();
    let mut add =
        |name: &str, delegator: usize, edit: &dyn Fn(&mut GrantClaims), expected: &str| {
            let mut claims = world.grant_claims(&parent.claims, parent.token.signing_hash);
            edit(&mut claims);
            let token = world.sign_grant(&claims, delegator).compact;
            let allowed = ["https://files.a.example".to_owned()];
            let result = UnverifiedToken::parse(&token)
                .and_then(|token| verify_grant(&token, &above, &allowed, NOW));
            assert_eq!(outcome(result), expected, "{name}");
            cases.push(json!({
                "name": name, "grant": token, "allowed_audiences": allowed, "outcome": expected,
            }));
        };
    add("key-bound", 1, &|_| {}, "accept");
    add("agent-bound", 1, &|c| c.cnf = None, "accept");
    add("an allowed audience", 1, &|c| c.aud = "https://files.a.example".into(), "accept");
    add("another audience", 1, &|c| c.aud = "https://x.example".into(), "audience_mismatch");
    add("signed by another", 2, &|_| {}, "holder_binding_failed");
    add("in another's name", 1, &|c| c.iss = agent(9), "holder_binding_failed");
    add("another parent", 1, &|c| c.par_hash = bailiwick_core::sha256(b"x"), "par_hash_mismatch");
    add("two levels down", 1, &|c| c.del_depth = 3, "depth_invalid");
    add(
        "another subject",
        1,
        &|c| c.sub = "user:mallory@a.example".parse().unwrap(),
        "principal_altered",
    );
    add("another task", 1, &|c| c.txn = bailiwick_core::TaskId::new(NOW, [8; 10]), "task_mismatch");
    add("another workflow", 1, &|c| c.hop.workflow = "crm.other".parse().unwrap(), "task_mismatch");
    add("another tenant", 1, &|c| c.hop.tenant = "evil".parse().unwrap(), "tenant_mismatch");
    add(
        "a scope the parent lacks",
        1,
        &|c| std::sync::Arc::make_mut(&mut c.authority).scopes = "pay.x".parse().unwrap(),
        "not_narrower",
    );
    add(
        "constraints dropped",
        1,
        &|c| c.authority = authority("crm.read", json!([])).into(),
        "not_narrower",
    );
    add("outlives its parent", 1, &|c| c.exp += 1, "expired");
    add("issued in the future", 1, &|c| c.iat += 31, "clock_skew");
    cases
}

/// Claims and the exact bytes a delegator signs for them.
fn make_cases(world: &World, parent: &crate::fixture::Settled) -> Vec<Value> {
    let claims = world.grant_claims(&parent.claims, parent.token.signing_hash);
    let mut agent_bound = claims.clone();
    agent_bound.cnf = None;
    [("key-bound", claims), ("agent-bound", agent_bound)]
        .into_iter()
        .map(|(name, claims)| {
            let key = &world.holders[1];
            let unsigned = UnsignedToken::grant(&claims, &key.verifying_key()).unwrap();
            let input = String::from_utf8(unsigned.signing_input().to_vec()).unwrap();
            let mut case = json!({
                "name": name, "delegator": 1, "claims": claims.to_json(), "signing_input": input,
                "signing_hash": unsigned.signing_hash(),
            });
            // Ed25519 signatures are deterministic; ES256 ones are not.
            if key.algorithm() == Algorithm::EdDsa {
                let signature = key.sign(unsigned.signing_input()).unwrap();
                case["compact"] = unsigned.attach(&signature).compact.into();
            }
            case
        })
        .collect()
}
