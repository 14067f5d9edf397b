//! What identities cost per request, beside the bare signature that each rests on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "benchmark: a failure ends it"
)]

use bailiwick_core::{Algorithm, SigningKey, UnixMillis, sha256};
use bailiwick_identity::testing::{self, ProofExtras};
use bailiwick_identity::{
    IssuerConfig, Issuers, JwksSource, KeyClient, KeyClientOptions, NonceIssuer, NonceRule,
    ProofExpectation, ReplayGuard, verify_proof,
};
use divan::{Bencher, black_box};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const URL: &str = "https://authority.example/oauth/token";
const ALGORITHMS: [&str; 2] = ["EdDSA", "ES256"];

fn main() {
    divan::main();
}

fn key(name: &str) -> SigningKey {
    SigningKey::generate(Algorithm::from_name(name).unwrap()).unwrap()
}

#[divan::bench(args = ALGORITHMS)]
fn bare_signature(bencher: Bencher<'_, '_>, name: &str) {
    let key = key(name);
    let message = [7_u8; 500];
    let signature = key.sign(&message).unwrap();
    let public = key.verifying_key();
    bencher.bench(|| public.verify(black_box(&message), black_box(&signature)).unwrap());
}

#[divan::bench(args = ALGORITHMS)]
fn proof_with_token_and_nonce(bencher: Bencher<'_, '_>, name: &str) {
    let (key, nonces) = (key(name), NonceIssuer::new([1; 32]));
    let nonce = nonces.current(NOW);
    let extras = ProofExtras { access_token: Some("a.b.c"), nonce: Some(&nonce), jti: None };
    let proof = testing::dpop_proof(&key, "POST", URL, extras, NOW);
    let expect = ProofExpectation {
        method: "POST",
        url: URL,
        access_token_hash: Some(sha256(b"a.b.c")),
        nonce: NonceRule::Required(&nonces),
    };
    bencher.bench(|| verify_proof(black_box(&proof), black_box(&expect), NOW).unwrap());
}

#[divan::bench]
fn replay_guard(bencher: Bencher<'_, '_>) {
    let guard = ReplayGuard::default();
    let mut n = 0_u64;
    bencher.bench_local(|| {
        n += 1;
        let now = UnixMillis(NOW.0 + n / 20);
        guard.check_and_insert(sha256(&n.to_be_bytes()), UnixMillis(now.0 + 61_000), now).unwrap();
    });
}

#[divan::bench(args = ["seen before", "new"])]
fn jwt_svid(bencher: Bencher<'_, '_>, which: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = key("ES256");
    let source = JwksSource::Inline(testing::jwks(&[(&key, "k1")]));
    let config = IssuerConfig::workloads("spiffe://a.example", "a.example", source);
    let client = KeyClient::new(&KeyClientOptions::default()).unwrap();
    let issuers = Issuers::new(vec![config], client).unwrap();
    let token = |n: usize| {
        testing::jwt_svid((&key, "k1"), &format!("spiffe://a.example/agent/{n}"), URL, NOW)
    };
    let verify = |token: &str| {
        runtime.block_on(issuers.verify_workload(black_box(token), URL, NOW)).unwrap()
    };
    if which == "new" {
        let mut n = 0;
        let next = || {
            n += 1;
            token(n)
        };
        bencher.with_inputs(next).bench_local_refs(|token| verify(token));
    } else {
        let token = token(0);
        bencher.bench_local(|| verify(&token));
    }
}
