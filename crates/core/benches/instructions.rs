//! How many instructions the decision path takes, which does not depend on how busy a machine is.
//! `make instructions` (needs Valgrind).
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

use std::hint::black_box;
use std::sync::Arc;

use bailiwick_core::jcs;
use bailiwick_core::{
    Algorithm, IssuerKeys, SigningKey, UnsignedToken, UnverifiedChain, UnverifiedToken,
    VerifiedCache, VerifiedChain, VerifyOptions, narrow, verify_chain, verify_grant, verify_leaf,
};
use gungraun::{library_benchmark, library_benchmark_group, main};
use serde_json::Value;

use fixture::{AUDIENCE, KID, NOW, World, presented};

const OPTIONS: VerifyOptions<'static> =
    VerifyOptions { audience: Some(AUDIENCE), full_chain: false };

fn leaf(algorithm: Algorithm, depth: usize) -> (UnverifiedToken, IssuerKeys) {
    let world = World::new(algorithm, Algorithm::EdDsa);
    let token = world.settled_chain(depth).pop().unwrap().token.compact;
    (UnverifiedToken::parse(&token).unwrap(), world.keys())
}

#[library_benchmark]
#[bench::es256_depth_1(args = (Algorithm::Es256, 1), setup = leaf)]
#[bench::es256_depth_10(args = (Algorithm::Es256, 10), setup = leaf)]
#[bench::eddsa_depth_1(args = (Algorithm::EdDsa, 1), setup = leaf)]
#[bench::eddsa_depth_10(args = (Algorithm::EdDsa, 10), setup = leaf)]
fn verify_settled(input: (UnverifiedToken, IssuerKeys)) -> VerifiedChain {
    verify_leaf(black_box(&input.0), &input.1, &OPTIONS, NOW).unwrap()
}

/// The claims of a leaf as JSON, and its bytes.
fn claims(depth: usize) -> (Value, Vec<u8>) {
    let (token, keys) = leaf(Algorithm::EdDsa, depth);
    let value = verify_leaf(&token, &keys, &OPTIONS, NOW).unwrap().claims().to_json();
    let bytes = jcs::canonicalize_value(&value).unwrap();
    (value, bytes)
}

// All of verifying but the signature.
#[library_benchmark]
#[bench::depth_1(args = (Algorithm::EdDsa, 1), setup = leaf)]
#[bench::depth_10(args = (Algorithm::EdDsa, 10), setup = leaf)]
fn read_settled(input: (UnverifiedToken, IssuerKeys)) -> VerifiedChain {
    let signed = input.0.as_str().rsplit_once('.').unwrap().0;
    VerifiedChain::from_issuer_record(black_box(signed.as_bytes())).unwrap()
}

fn remembered(depth: usize) -> (VerifiedCache, String) {
    let (token, keys) = leaf(Algorithm::EdDsa, depth);
    let cache = VerifiedCache::new(10);
    cache.insert(verify_leaf(&token, &keys, &OPTIONS, NOW).unwrap());
    (cache, token.as_str().to_owned())
}

#[library_benchmark]
#[bench::depth_10(args = (10), setup = remembered)]
fn verify_cached(input: (VerifiedCache, String)) -> Arc<VerifiedChain> {
    let token = UnverifiedToken::parse(black_box(&input.1)).unwrap();
    input.0.get(&token.token_hash(), NOW).unwrap()
}

fn suffix(algorithm: Algorithm, grants: usize) -> (UnverifiedChain, IssuerKeys) {
    let world = World::new(algorithm, algorithm);
    let root = world.settled_chain(0).remove(0);
    let suffix = world.offline_suffix(&root, grants);
    let mut tokens = vec![root.token.compact.as_str()];
    tokens.extend(suffix.iter().map(|token| token.compact.as_str()));
    (presented(&tokens).unwrap(), world.keys())
}

#[library_benchmark]
#[bench::eddsa_grants_1(args = (Algorithm::EdDsa, 1), setup = suffix)]
#[bench::eddsa_grants_3(args = (Algorithm::EdDsa, 3), setup = suffix)]
fn verify_presented(input: (UnverifiedChain, IssuerKeys)) -> VerifiedChain {
    verify_chain(black_box(&input.0), &input.1, &OPTIONS, NOW).unwrap()
}

#[library_benchmark]
#[bench::claims_depth_1(args = (1), setup = claims)]
#[bench::claims_depth_10(args = (10), setup = claims)]
fn jcs_write(input: (Value, Vec<u8>)) -> Vec<u8> {
    jcs::canonicalize_value(black_box(&input.0)).unwrap()
}

#[library_benchmark]
#[bench::claims_depth_1(args = (1), setup = claims)]
#[bench::claims_depth_10(args = (10), setup = claims)]
fn jcs_check(input: (Value, Vec<u8>)) {
    jcs::check(black_box(&input.1)).unwrap();
}

/// A parent, a grant below it and the key that signs what is settled.
fn offer(algorithm: Algorithm) -> (UnverifiedToken, VerifiedChain, SigningKey) {
    let world = World::new(algorithm, Algorithm::EdDsa);
    let root = world.settled_chain(0).remove(0);
    let parent = UnverifiedToken::parse(&root.token.compact).unwrap();
    let parent = verify_leaf(&parent, &world.keys(), &OPTIONS, NOW).unwrap();
    let grant = world.offline_suffix(&root, 1).remove(0);
    (UnverifiedToken::parse(&grant.compact).unwrap(), parent, world.issuer)
}

// What settling is without HTTP, policy and the store: verify the grant, narrow, sign.
#[library_benchmark]
#[bench::es256(args = (Algorithm::Es256), setup = offer)]
#[bench::eddsa(args = (Algorithm::EdDsa), setup = offer)]
fn settle_core(input: (UnverifiedToken, VerifiedChain, SigningKey)) -> String {
    let (grant, parent, key) = input;
    let verified = verify_grant(black_box(&grant), &parent, &[], NOW).unwrap();
    let mut claims = parent.claims().clone();
    claims.authority = narrow(&parent.claims().authority, &verified.claims().authority).into();
    let unsigned = UnsignedToken::settled(&claims, KID, key.algorithm()).unwrap();
    let signature = key.sign(unsigned.signing_input()).unwrap();
    unsigned.attach(&signature).compact
}

library_benchmark_group!(
    name = verifying,
    benchmarks = [verify_settled, read_settled, verify_cached, verify_presented]
);
library_benchmark_group!(name = writing, benchmarks = [jcs_write, jcs_check]);
library_benchmark_group!(name = settling, benchmarks = [settle_core]);

main!(library_benchmark_groups = [verifying, writing, settling]);
