//! What a decision costs, among few policies and many, with index and memory and without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a bench"
)]

#[path = "world/policies.rs"]
mod policies;

use bailiwick_policy::{PolicySet, replay};
use divan::Bencher;

use policies::{SCOPE, inputs, sources};

fn main() {
    divan::main();
}

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

#[divan::bench(args = SIZES)]
fn indexed(bencher: Bencher<'_, '_>, policies: usize) {
    let set = PolicySet::load(&sources(policies)).unwrap();
    let inputs = inputs(SCOPE);
    assert!(replay(&set, &inputs).unwrap().allows());
    bencher.bench(|| replay(&set, &inputs));
}

/// The same without remembering answers: every decision asks Cedar.
#[divan::bench(args = SIZES)]
fn asked_anew(bencher: Bencher<'_, '_>, policies: usize) {
    let set = PolicySet::load(&sources(policies)).unwrap().forgetful();
    let inputs = inputs(SCOPE);
    bencher.bench(|| replay(&set, &inputs));
}

#[divan::bench(args = SIZES)]
fn unindexed(bencher: Bencher<'_, '_>, policies: usize) {
    let set = PolicySet::load(&sources(policies)).unwrap().unindexed().unwrap();
    let inputs = inputs(SCOPE);
    bencher.bench(|| replay(&set, &inputs));
}

#[divan::bench(args = SIZES, sample_count = 3, sample_size = 1)]
fn load(bencher: Bencher<'_, '_>, policies: usize) {
    let sources = sources(policies);
    bencher.bench(|| PolicySet::load(&sources).unwrap());
}
