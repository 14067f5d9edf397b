//! Verification and narrowing, each beside one bare signature check of the same algorithm over the
//! same bytes, in the same run. `cargo bench -p bailiwick-core`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "bench code"
)]

#[path = "../tests/it/fixture.rs"]
mod fixture;

use std::fmt;

use bailiwick_core::{
    Algorithm, IssuerKeys, UnsignedToken, UnverifiedToken, VerifiedCache, VerifyOptions, jws::Jws,
    narrow, verify_chain, verify_grant, verify_leaf,
};
use base64::Engine as _;
use divan::{Bencher, black_box};

use fixture::{AUDIENCE, KID, NOW, World, presented};

#[derive(Clone, Copy)]
struct Case(Algorithm, usize);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} depth {}", self.0.name(), self.1)
    }
}

const DEPTHS: [Case; 8] = [
    Case(Algorithm::Es256, 1),
    Case(Algorithm::Es256, 3),
    Case(Algorithm::Es256, 5),
    Case(Algorithm::Es256, 10),
    Case(Algorithm::EdDsa, 1),
    Case(Algorithm::EdDsa, 3),
    Case(Algorithm::EdDsa, 5),
    Case(Algorithm::EdDsa, 10),
];
const SUFFIXES: [Case; 6] = [
    Case(Algorithm::Es256, 1),
    Case(Algorithm::Es256, 2),
    Case(Algorithm::Es256, 3),
    Case(Algorithm::EdDsa, 1),
    Case(Algorithm::EdDsa, 2),
    Case(Algorithm::EdDsa, 3),
];
const OPTIONS: VerifyOptions<'static> =
    VerifyOptions { audience: Some(AUDIENCE), full_chain: false };

fn main() {
    divan::main();
}

fn leaf_of(case: Case) -> (World, String) {
    let world = World::new(case.0, Algorithm::EdDsa);
    let token = world.settled_chain(case.1).pop().unwrap().token.compact;
    (world, token)
}

#[divan::bench(args = DEPTHS)]
fn bare_signature(bencher: Bencher, case: Case) {
    let (world, token) = leaf_of(case);
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = world.issuer.verifying_key();
    bencher.bench(|| key.verify(black_box(input.as_bytes()), &signature).unwrap());
}

/// From text to verified claims, the token's hash included.
#[divan::bench(args = DEPTHS)]
fn leaf(bencher: Bencher, case: Case) {
    let (world, text) = leaf_of(case);
    let keys: IssuerKeys = world.keys();
    bencher
        .with_inputs(|| UnverifiedToken::parse(&text).unwrap())
        .bench_refs(|token| verify_leaf(black_box(token), &keys, &OPTIONS, NOW).unwrap());
}

/// The same where a cache was asked first, which takes the hash: what a miss adds.
#[divan::bench(args = DEPTHS)]
fn leaf_after_lookup(bencher: Bencher, case: Case) {
    let (world, text) = leaf_of(case);
    let keys: IssuerKeys = world.keys();
    let cache = VerifiedCache::new(10);
    bencher
        .with_inputs(|| {
            let token = UnverifiedToken::parse(&text).unwrap();
            assert!(cache.get(&token.token_hash(), NOW).is_none());
            token
        })
        .bench_refs(|token| verify_leaf(black_box(token), &keys, &OPTIONS, NOW).unwrap());
}

/// All of `leaf` but the signature and the result, to see where its time goes.
#[divan::bench(args = [DEPTHS[0], DEPTHS[3]])]
fn leaf_framing_only(bencher: Bencher, case: Case) {
    let (_, token) = leaf_of(case);
    bencher.bench(|| Jws::parse(black_box(&token)).unwrap());
}

#[divan::bench(args = [DEPTHS[0], DEPTHS[3]])]
fn leaf_claims_only(bencher: Bencher, case: Case) {
    let (_, token) = leaf_of(case);
    let input = token.rsplit_once('.').unwrap().0.as_bytes();
    bencher.bench(|| bailiwick_core::VerifiedChain::from_issuer_record(black_box(input)).unwrap());
}

#[divan::bench(args = [DEPTHS[3], DEPTHS[7]])]
fn cached(bencher: Bencher, case: Case) {
    let (world, text) = leaf_of(case);
    let cache = VerifiedCache::new(10_000);
    let token = UnverifiedToken::parse(&text).unwrap();
    cache.insert(verify_leaf(&token, &world.keys(), &OPTIONS, NOW).unwrap());
    bencher.bench(|| {
        let token = UnverifiedToken::parse(black_box(&text)).unwrap();
        cache.get(&token.token_hash(), NOW).unwrap()
    });
}

/// A settled root and this many grants of holders of the same algorithm.
#[divan::bench(args = SUFFIXES)]
fn offline_suffix(bencher: Bencher, case: Case) {
    let world = World::new(case.0, case.0);
    let root = world.settled_chain(0).remove(0);
    let suffix = world.offline_suffix(&root, case.1);
    let mut tokens = vec![root.token.compact.as_str()];
    tokens.extend(suffix.iter().map(|token| token.compact.as_str()));
    let chain = presented(&tokens).unwrap();
    let keys = world.keys();
    bencher.bench(|| verify_chain(black_box(&chain), &keys, &OPTIONS, NOW).unwrap());
}

#[divan::bench(args = [DEPTHS[0], DEPTHS[4]])]
fn grant(bencher: Bencher, case: Case) {
    let world = World::new(Algorithm::Es256, case.0);
    let root = world.settled_chain(0).remove(0);
    let above = world.verify(&root.token.compact).unwrap();
    let grant = world.offline_suffix(&root, 1).remove(0);
    let grant = UnverifiedToken::parse(&grant.compact).unwrap();
    bencher.bench(|| verify_grant(black_box(&grant), &above, &[], NOW).unwrap());
}

#[divan::bench]
fn narrow_five_constraints(bencher: Bencher) {
    let world = World::new(Algorithm::EdDsa, Algorithm::EdDsa);
    let root = world.root_claims();
    let asked = world.grant_claims(&root, bailiwick_core::sha256(b"")).authority;
    bencher.bench(|| narrow(black_box(&root.authority), black_box(&asked)));
}

#[divan::bench(args = [DEPTHS[0], DEPTHS[3]])]
fn settled_signing_input(bencher: Bencher, case: Case) {
    let world = World::new(case.0, Algorithm::EdDsa);
    let claims = world.settled_chain(case.1).pop().unwrap().claims;
    bencher.bench(|| UnsignedToken::settled(black_box(&claims), KID, case.0).unwrap());
}
