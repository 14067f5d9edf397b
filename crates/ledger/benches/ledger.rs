//! Throughput of append, proof and verification.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "bench code"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bailiwick_ledger::proof::{consistency_proof, inclusion_proof, verify_inclusion};
use bailiwick_ledger::tile::tiles_between;
use bailiwick_ledger::{
    Checkpoint, EntryReader, Frontier, Hash, HashReader, Receipt, ReceiptKind, TileSource,
    VerifierKey, VerifyOptions, leaf_hash, verify_log,
};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const ORIGIN: &str = "ledger.bench.example/log";
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];

struct Rows(Vec<Vec<Hash>>, Vec<Vec<u8>>);

impl HashReader for Rows {
    type Error = Infallible;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Infallible> {
        let level = self.0.get(usize::from(level)).map_or(&[][..], Vec::as_slice);
        Ok(level.iter().skip(start as usize).take(count as usize).copied().collect())
    }
}

impl EntryReader for Rows {
    type Error = Infallible;

    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(self.1.iter().skip(start as usize).take(count as usize).cloned().collect())
    }
}

fn receipt(index: u64) -> Receipt {
    Receipt {
        kind: ReceiptKind::Decision,
        time_ms: 1_790_000_000_000 + index,
        subject_ids: vec![],
        payload: vec![b'x'; 1024],
    }
}

fn log(size: u64) -> (Frontier, Rows) {
    let mut frontier = Frontier::new();
    let mut rows = Rows(vec![Vec::new(); 8], Vec::new());
    for index in 0..size {
        let entry =
            format!(r#"{{"commit":"{:043}","kind":"decision","time":1790000000000,"v":1}}"#, index);
        for row in frontier.append(leaf_hash(entry.as_bytes())) {
            rows.0[usize::from(row.level)].push(row.hash);
        }
        rows.1.push(entry.into_bytes());
    }
    (frontier, rows)
}

/// What one receipt of 1 KiB costs before it is stored: seal, leaf hash, frontier.
#[divan::bench]
fn seal_and_append(bencher: Bencher<'_, '_>) {
    let mut frontier = Frontier::new();
    bencher.counter(ItemsCount::new(1_u32)).with_inputs(|| receipt(7)).bench_local_values(
        |receipt| {
            let sealed = receipt.seal([7; 32]);
            black_box(frontier.append(leaf_hash(&sealed.entry)))
        },
    );
}

#[divan::bench(args = SIZES)]
fn append_alone(bencher: Bencher<'_, '_>, size: u64) {
    let (mut frontier, _) = log(size);
    let leaf = leaf_hash(b"leaf");
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| frontier.append(black_box(leaf)));
}

#[divan::bench(args = SIZES)]
fn prove_inclusion(bencher: Bencher<'_, '_>, size: u64) {
    let (_, rows) = log(size);
    bencher.bench(|| inclusion_proof(black_box(size / 3), size, &rows).unwrap());
}

#[divan::bench(args = SIZES)]
fn check_inclusion(bencher: Bencher<'_, '_>, size: u64) {
    let (frontier, rows) = log(size);
    let index = size / 3;
    let proof = inclusion_proof(index, size, &rows).unwrap();
    let (leaf, root) = (leaf_hash(&rows.1[index as usize]), frontier.root());
    bencher.bench(|| verify_inclusion(black_box(&leaf), index, size, &proof, &root).unwrap());
}

#[divan::bench(args = SIZES)]
fn prove_consistency(bencher: Bencher<'_, '_>, size: u64) {
    let (_, rows) = log(size);
    bencher.bench(|| consistency_proof(black_box(size / 3), size, &rows).unwrap());
}

#[divan::bench(args = SIZES)]
fn rebuild_frontier(bencher: Bencher<'_, '_>, size: u64) {
    let (_, rows) = log(size);
    bencher.bench(|| Frontier::rebuild(black_box(size), &rows).unwrap());
}

struct Files(BTreeMap<String, Vec<u8>>);

impl TileSource for Files {
    type Error = Infallible;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(path).cloned())
    }
}

/// A whole published log, from its files in memory to a verdict.
#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn verify_whole_log(bencher: Bencher<'_, '_>, size: u64) {
    let (frontier, rows) = log(size);
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let key = VerifierKey::new(ORIGIN, pair.public_key().as_ref().try_into().unwrap()).unwrap();
    let checkpoint = Checkpoint::of(ORIGIN, &frontier).unwrap();
    let signature = pair.sign(checkpoint.body().as_bytes()).as_ref().try_into().unwrap();
    let mut files = Files(
        tiles_between(0, size, &rows)
            .map(Result::unwrap)
            .map(|(path, bytes)| (path.to_string(), bytes))
            .collect(),
    );
    let published = checkpoint.attach(&key, &signature).unwrap();
    files.0.insert("checkpoint".to_owned(), published.into_bytes());
    bencher
        .counter(ItemsCount::new(size))
        .bench(|| verify_log(&files, &key, &VerifyOptions::default()).unwrap());
}
