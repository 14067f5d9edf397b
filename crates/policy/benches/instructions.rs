//! How many instructions a decision takes, among few policies and many. `make instructions` (needs
//! Valgrind).
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

use std::hint::black_box;

use bailiwick_policy::{Inputs, PolicySet, replay};
use gungraun::{library_benchmark, library_benchmark_group, main};

use policies::{SCOPE, inputs, sources};

fn world(policies: usize) -> (PolicySet, Inputs) {
    let set = PolicySet::load(&sources(policies)).unwrap();
    let inputs = inputs(SCOPE);
    // What is built once is not counted.
    assert!(replay(&set, &inputs).unwrap().allows());
    (set, inputs)
}

#[library_benchmark]
#[bench::policies_10(args = (10), setup = world)]
#[bench::policies_1_000(args = (1_000), setup = world)]
fn decide(input: (PolicySet, Inputs)) -> bool {
    replay(black_box(&input.0), black_box(&input.1)).unwrap().allows()
}

library_benchmark_group!(name = deciding, benchmarks = [decide]);

main!(library_benchmark_groups = deciding);
