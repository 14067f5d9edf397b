//! Proofs verify at all sizes to 600, and fail when anything is flipped.

use bailiwick_ledger::proof::{
    ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion,
};
use bailiwick_ledger::{Frontier, Hash, ReadError, empty_root, leaf_hash, node_hash};
use proptest::prelude::*;

use crate::log::MemoryLog;

const SIZES: u64 = 600;

fn plain_log(size: u64) -> MemoryLog {
    let mut log = MemoryLog::default();
    for index in 0..size {
        log.append(format!("entry {index}").into_bytes());
    }
    log
}

/// RFC 6962 section 2.1, as written there.
fn reference_root(entries: &[Vec<u8>]) -> Hash {
    match entries {
        [] => empty_root(),
        [one] => leaf_hash(one),
        many => {
            let middle = 1 << (many.len() - 1).ilog2();
            node_hash(&reference_root(&many[..middle]), &reference_root(&many[middle..]))
        }
    }
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut flipped = *hash;
    flipped.0[bit / 8 % 32] ^= 1 << (bit % 8);
    flipped
}

#[test]
fn frontier_agrees_with_the_definition_and_rebuilds() {
    let log = plain_log(SIZES);
    let mut frontier = Frontier::new();
    for size in 0..=SIZES {
        assert_eq!(frontier.root(), reference_root(&log.entries[..size as usize]), "size {size}");
        assert_eq!(frontier, Frontier::rebuild(size, &log).unwrap(), "size {size}");
        if size < SIZES {
            frontier.append(leaf_hash(&log.entries[size as usize]));
        }
    }
}

#[test]
fn every_leaf_is_proven_at_every_size() {
    let log = plain_log(SIZES);
    for size in 1..=SIZES {
        let root = log.root_at(size);
        // Every leaf at the interesting sizes, the edges and a stride elsewhere.
        let all = size <= 70 || (250..=260).contains(&size) || size == SIZES;
        let chosen = |index: &u64| all || index.is_multiple_of(13) || index + 2 > size;
        for index in (0..size).filter(chosen) {
            let proof = inclusion_proof(index, size, &log).unwrap();
            let leaf = leaf_hash(&log.entries[index as usize]);
            verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
            let bit = (index * 31 + size) as usize;
            assert!(verify_inclusion(&flip(&leaf, bit), index, size, &proof, &root).is_err());
            assert!(verify_inclusion(&leaf, index, size, &proof, &flip(&root, bit)).is_err());
            for other in [index.wrapping_sub(1), index + 1, index ^ 1] {
                assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
            }
            for at in 0..proof.len() {
                let mut bad = proof.clone();
                bad[at] = flip(&bad[at], bit);
                assert!(verify_inclusion(&leaf, index, size, &bad, &root).is_err());
            }
            let mut long = proof.clone();
            long.push(root);
            assert_eq!(verify_inclusion(&leaf, index, size, &long, &root), Err(ProofError::Length));
            if let Some((_, short)) = proof.split_last() {
                assert!(verify_inclusion(&leaf, index, size, short, &root).is_err());
            }
        }
    }
}

#[test]
fn every_size_is_consistent_with_every_later_one() {
    let log = plain_log(SIZES);
    let roots: Vec<Hash> = (0..=SIZES).map(|size| log.root_at(size)).collect();
    for new in 0..=SIZES {
        let chosen =
            |old: &u64| new <= 70 || old.is_multiple_of(17) || old + 2 > new || old % 256 < 2;
        for old in (0..=new).filter(chosen) {
            let (old_root, new_root) = (&roots[old as usize], &roots[new as usize]);
            let proof = consistency_proof(old, new, &log).unwrap();
            verify_consistency(old, old_root, new, new_root, &proof).unwrap();
            let bit = (old * 31 + new) as usize;
            let wrong = flip(old_root, bit);
            assert!(verify_consistency(old, &wrong, new, new_root, &proof).is_err());
            if old > 0 {
                let wrong = flip(new_root, bit);
                assert!(verify_consistency(old, old_root, new, &wrong, &proof).is_err());
            }
            for at in 0..proof.len() {
                let mut bad = proof.clone();
                bad[at] = flip(&bad[at], bit);
                assert!(verify_consistency(old, old_root, new, new_root, &bad).is_err());
            }
            let mut long = proof.clone();
            long.push(*new_root);
            assert!(verify_consistency(old, old_root, new, new_root, &long).is_err());
            if let Some((_, short)) = proof.split_last() {
                assert!(verify_consistency(old, old_root, new, new_root, short).is_err());
            }
        }
    }
}

#[test]
fn questions_outside_the_tree_are_refused() {
    let log = plain_log(5);
    assert_eq!(inclusion_proof(5, 5, &log), Err(ReadError::OutOfRange { size: 5 }));
    assert_eq!(inclusion_proof(0, 0, &log), Err(ReadError::OutOfRange { size: 0 }));
    assert_eq!(consistency_proof(6, 5, &log), Err(ReadError::OutOfRange { size: 5 }));
    let short = ReadError::Short { level: 0, start: 4, wanted: 2, got: 1 };
    assert_eq!(inclusion_proof(0, 6, &log), Err(short));
    let (leaf, root) = (leaf_hash(b"entry 0"), log.root_at(5));
    assert_eq!(verify_inclusion(&leaf, 0, 0, &[], &root), Err(ProofError::OutOfRange));
    assert_eq!(verify_consistency(6, &root, 5, &root, &[]), Err(ProofError::OutOfRange));
    assert_eq!(
        verify_consistency(0, &root, 5, &root, &[]),
        Err(ProofError::RootMismatch),
        "the empty tree has one root"
    );
}

proptest! {
    #[test]
    fn proofs_hold_for_any_entries(
        entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..300),
        pick in any::<prop::sample::Index>(),
        old in any::<prop::sample::Index>(),
    ) {
        let mut log = MemoryLog::default();
        for entry in &entries {
            log.append(entry.clone());
        }
        let (size, index) = (log.size(), pick.index(entries.len()) as u64);
        let root = log.frontier.root();
        prop_assert_eq!(root, reference_root(&entries));
        let proof = inclusion_proof(index, size, &log).unwrap();
        let leaf = leaf_hash(&entries[index as usize]);
        prop_assert!(verify_inclusion(&leaf, index, size, &proof, &root).is_ok());
        let old = old.index(entries.len() + 1) as u64;
        let proof = consistency_proof(old, size, &log).unwrap();
        prop_assert!(verify_consistency(old, &log.root_at(old), size, &root, &proof).is_ok());
    }
}
