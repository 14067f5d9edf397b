//! Presented chains: settled hops and offline suffixes.

use bailiwick_core::{
    Algorithm, HopClaims, Outcome, UnverifiedChain, UnverifiedToken, VerifyOptions, verify_chain,
};
use serde_json::json;

use crate::fixture::{AUDIENCE, NOW, Settled, World, agent, authority, jti, presented};

fn world() -> World {
    World::new(Algorithm::Es256, Algorithm::EdDsa)
}

fn texts(chain: &[Settled]) -> Vec<&str> {
    chain.iter().map(|settled| settled.token.compact.as_str()).collect()
}

/// The code of a three-token chain whose middle claims `edit` changed, signed again throughout.
fn code_of(edit: impl Fn(&mut HopClaims)) -> Outcome {
    let world = world();
    let root = world.settle(world.root_claims());
    let build = |edit: &dyn Fn(&mut HopClaims)| {
        let mut claims = world.child_claims(&root);
        edit(&mut claims);
        let middle = world.settle(claims);
        let leaf = world.settle(world.child_claims(&middle));
        [root.clone(), middle, leaf]
    };
    let twin = build(&|_| {});
    assert!(world.verify_all(&texts(&twin)).is_ok(), "the benign twin passes");
    world.verify_all(&texts(&build(&edit))).unwrap_err().code()
}

#[test]
fn settled_chains_verify_whole_and_in_part() {
    let world = world();
    let chain = world.settled_chain(10);
    let whole = world.verify_all(&texts(&chain)).unwrap();
    assert_eq!(whole.hops().count(), 11);
    assert_eq!(whole.claims(), &chain[10].claims);
    let part = presented(&texts(&chain[3..])).unwrap();
    let options = VerifyOptions { audience: Some(AUDIENCE), full_chain: false };
    assert!(verify_chain(&part, &world.keys(), &options, NOW).is_ok());
    let error = world.verify_all(&texts(&chain[3..])).unwrap_err();
    assert_eq!(error.code(), Outcome::ProvenanceMissing);
}

#[test]
fn children_that_disagree_with_their_parent() {
    assert_eq!(
        code_of(|c| c.par_hash = Some(bailiwick_core::sha256(b"another parent"))),
        Outcome::ParHashMismatch
    );
    assert_eq!(
        code_of(|c| c.sub = "user:mallory@a.example".parse().unwrap()),
        Outcome::PrincipalAltered
    );
    let task = bailiwick_core::TaskId::new(NOW, [8; 10]);
    assert_eq!(code_of(|c| c.txn = task), Outcome::TaskMismatch);
    assert_eq!(code_of(|c| c.hop.workflow = "crm.other".parse().unwrap()), Outcome::TaskMismatch);
    assert_eq!(code_of(|c| c.hop.env = "dev".into()), Outcome::TaskMismatch);
    assert_eq!(code_of(|c| c.hop.tenant = "evil".parse().unwrap()), Outcome::TenantMismatch);
    assert_eq!(code_of(|c| c.exp += 1), Outcome::Expired);
    assert_eq!(
        code_of(|c| {
            c.iat += 31;
        }),
        Outcome::ClockSkew
    );
    assert_eq!(code_of(|c| c.hop.lineage = vec![jti(50)]), Outcome::ProvenanceMissing);
    assert_eq!(code_of(|c| c.act.0[1].sub = agent(9)), Outcome::ProvenanceMissing);
}

#[test]
fn children_that_widen() {
    let constraints = json!([
        {"key": "rows", "max": 100},
        {"key": "calls", "max_lifetime": 20},
        {"key": "spend_usd", "max_subtree": 50},
        {"key": "recipient", "one_of": ["a@a.example", "b@a.example"]},
        {"key": "sensitivity", "rank": "internal",
         "order": ["public", "internal", "confidential", "restricted"]},
    ]);
    assert_eq!(
        code_of(|c| c.authority = authority("crm.* mail.send pay.x", constraints.clone()).into()),
        Outcome::NotNarrower
    );
    for (index, wider) in [
        json!({"key": "rows", "max": 101}),
        json!({"key": "calls", "max_lifetime": 21}),
        json!({"key": "spend_usd", "max_subtree": 51}),
        json!({"key": "recipient", "one_of": ["a@a.example", "c@a.example"]}),
        json!({"key": "sensitivity", "rank": "confidential",
               "order": ["public", "internal", "confidential", "restricted"]}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut edited = constraints.clone();
        edited[index] = wider.clone();
        let code = code_of(|c| c.authority = authority("crm.read", edited.clone()).into());
        assert_eq!(code, Outcome::NotNarrower, "{wider}");
        edited.as_array_mut().unwrap().remove(index);
        let code = code_of(|c| c.authority = authority("crm.read", edited.clone()).into());
        assert_eq!(code, Outcome::NotNarrower, "dropped: {wider}");
    }
    // A deeper bound than the parent's, under a root that allows less than the most.
    let world = world();
    let mut claims = world.root_claims();
    claims.del_max_depth = 4;
    let root = world.settle(claims);
    let mut claims = world.child_claims(&root);
    claims.del_max_depth = 5;
    let child = world.settle(claims);
    let error = world.verify_all(&texts(&[root, child])).unwrap_err();
    assert_eq!(error.code(), Outcome::NotNarrower);
}

#[test]
fn splices_and_wrong_depths() {
    let world = world();
    let chain = world.settled_chain(2);
    let [root, child, leaf] = [0, 1, 2].map(|i| chain[i].token.compact.as_str());
    // The first failure wins: a missing link breaks the commitment before the depth.
    assert_eq!(world.verify_all(&[root, leaf]).unwrap_err().code(), Outcome::ParHashMismatch);
    assert_eq!(
        world.verify_all(&[root, leaf, child]).unwrap_err().code(),
        Outcome::ParHashMismatch
    );
    let mut claims = world.root_claims();
    claims.jti = jti(60);
    let reissued = world.settle(claims);
    let error = world.verify_all(&[&reissued.token.compact, child]).unwrap_err();
    assert_eq!(error.code(), Outcome::ParHashMismatch);

    let mut shallow = world.root_claims();
    shallow.del_max_depth = 2;
    let root = world.settle(shallow);
    let child = world.settle(world.child_claims(&root));
    assert!(world.verify_all(&texts(&[root.clone(), child.clone()])).is_ok());
    let mut claims = world.child_claims(&child);
    claims.del_max_depth = 4;
    let leaf = world.settle(claims);
    let error = world.verify_all(&texts(&[root, child, leaf])).unwrap_err();
    assert_eq!(error.code(), Outcome::DepthInvalid);
}

#[test]
fn chains_are_bounded_before_any_signature() {
    let leaf = UnverifiedToken::parse("x").unwrap();
    let many = ["x"; 11].join("~");
    let error = UnverifiedChain::parse(&many, &leaf).unwrap_err();
    assert_eq!(error.code(), Outcome::DepthInvalid);
    assert!(UnverifiedChain::parse(&["x"; 10].join("~"), &leaf).is_ok());
    let heavy = vec!["x".repeat(16 * 1024); 4].join("~");
    assert_eq!(UnverifiedChain::parse(&heavy, &leaf).unwrap_err().code(), Outcome::Malformed);
    assert_eq!(UnverifiedChain::parse("a~~b", &leaf).unwrap_err().code(), Outcome::Malformed);
}

#[test]
fn offline_suffixes_verify_and_show_what_is_unsettled() {
    for holder in [Algorithm::EdDsa, Algorithm::Es256] {
        let world = World::new(Algorithm::Es256, holder);
        let chain = world.settled_chain(1);
        let suffix = world.offline_suffix(&chain[1], 3);
        let mut tokens = texts(&chain);
        tokens.extend(suffix.iter().map(|token| token.compact.as_str()));
        let verified = world.verify_all(&tokens).unwrap();
        assert_eq!(verified.unsettled(), 3);
        assert_eq!(verified.claims().del_depth, 4);
        assert_eq!(verified.agents().len(), 5);
        assert_eq!(verified.agents()[4], agent(4).as_str());
        assert_eq!(verified.lineage().len(), 5);
        assert_eq!(verified.claims().hop.purpose, chain[0].claims.hop.purpose);
        // The leaf alone is a grant, and grants are not accepted by themselves.
        let error = world.verify(&suffix[2].compact).unwrap_err();
        assert_eq!(error.code(), Outcome::OfflineHopForbidden);
    }
}

#[test]
fn suffixes_out_of_order_or_by_the_wrong_hand() {
    let world = world();
    let chain = world.settled_chain(1);
    let suffix = world.offline_suffix(&chain[0], 2);
    let [root, child] = [0, 1].map(|i| chain[i].token.compact.as_str());
    let [first, second] = [0, 1].map(|i| suffix[i].compact.as_str());
    assert!(world.verify_all(&[root, first, second]).is_ok());
    let code = |tokens: &[&str]| world.verify_all(tokens).unwrap_err().code();
    assert_eq!(code(&[first]), Outcome::ProvenanceMissing);
    assert_eq!(code(&[first, root]), Outcome::ProvenanceMissing);
    assert_eq!(code(&[root, first, child]), Outcome::ProvenanceMissing);
    assert_eq!(code(&[root, second]), Outcome::HolderBindingFailed);
    assert_eq!(code(&[root, child, first]), Outcome::HolderBindingFailed);

    let claims = world.grant_claims(&chain[0].claims, chain[0].token.signing_hash);
    let by_another = world.sign_grant(&claims, 5);
    assert_eq!(code(&[root, &by_another.compact]), Outcome::HolderBindingFailed);
    let mut agent_bound = claims.clone();
    agent_bound.cnf = None;
    let agent_bound = world.sign_grant(&agent_bound, 0);
    assert_eq!(code(&[root, &agent_bound.compact]), Outcome::HolderBindingFailed);
    let mut elsewhere = claims;
    elsewhere.aud = "https://files.a.example".into();
    let elsewhere = world.sign_grant(&elsewhere, 0);
    assert_eq!(code(&[root, &elsewhere.compact]), Outcome::AudienceMismatch);
}

#[test]
fn issuer_records_read_back_without_a_signature() {
    let world = world();
    let settled = &world.settled_chain(2)[2];
    let input = settled.token.compact.rsplit_once('.').unwrap().0;
    let chain = bailiwick_core::VerifiedChain::from_issuer_record(input.as_bytes()).unwrap();
    assert_eq!(chain.claims(), &settled.claims);
    assert_eq!(chain.signing_hash(), settled.token.signing_hash);
    assert_eq!(chain.token_hash(), None);
    for bad in [&b"x"[..], b"e30.e30", b"e30.e30.x", b"\xff"] {
        assert!(bailiwick_core::VerifiedChain::from_issuer_record(bad).is_err());
    }
}

#[test]
fn the_cache_forgets_what_is_over_or_revoked() {
    use bailiwick_core::{UnixMillis, VerifiedCache};
    let world = world();
    let cache = VerifiedCache::new(100);
    let chain = world.settled_chain(2);
    let fill = || {
        for settled in &chain {
            cache.insert(world.verify(&settled.token.compact).unwrap());
        }
    };
    let hash = |i: usize| UnverifiedToken::parse(&chain[i].token.compact).unwrap().token_hash();
    let held = |now| [0, 1, 2].map(|i| cache.get(&hash(i), now).is_some());
    fill();
    assert_eq!(held(NOW), [true, true, true]);
    assert_eq!(cache.revoke(&jti(1)), 2);
    assert_eq!(held(NOW), [true, false, false]);
    fill();
    assert_eq!(cache.revoke_task(&chain[0].claims.txn), 3);
    assert_eq!(held(NOW), [false, false, false]);
    fill();
    let end = UnixMillis(NOW.0 + 300_000);
    assert_eq!(held(UnixMillis(end.0 - 1)), [true, true, true]);
    assert_eq!(held(end), [false, false, false]);
    // Once seen to be over, a clock that jumps back does not revive it.
    assert_eq!(held(NOW), [false, false, false]);
    fill();
    cache.clear();
    assert_eq!(held(NOW), [false, false, false]);
}
