//! An independent implementation of the same formats agrees: `tlog_tiles` on hashes, tiles, proofs and checkpoints.

use bailiwick_ledger::proof::{consistency_proof, inclusion_proof};
use bailiwick_ledger::tile::{paths_between, tiles_between};
use bailiwick_ledger::{Checkpoint, Hash, TilePath, leaf_hash};
use tlog_tiles::{
    Error, HashReader as OracleReader, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash, stored_hashes, tree_hash,
};

use crate::log::{LogKey, MemoryFiles, MemoryLog, ORIGIN};

#[derive(Default)]
struct OracleLog(Vec<tlog_tiles::Hash>);

impl OracleReader for OracleLog {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        Ok(indexes.iter().map(|at| self.0[*at as usize]).collect())
    }
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

fn both(size: u64) -> (MemoryLog, OracleLog) {
    let log = MemoryLog::of_receipts(size);
    let mut oracle = OracleLog::default();
    for (index, entry) in log.entries.iter().enumerate() {
        let hashes = stored_hashes(index as u64, entry, &oracle).unwrap();
        oracle.0.extend(hashes);
    }
    (log, oracle)
}

#[test]
fn hashes_and_roots_agree_at_all_sizes() {
    let (log, oracle) = both(600);
    for size in 0..=600 {
        assert_eq!(theirs(&log.root_at(size)), tree_hash(size, &oracle).unwrap(), "{size}");
    }
    for entry in &log.entries {
        assert_eq!(theirs(&leaf_hash(entry)), record_hash(entry));
    }
}

#[test]
fn proofs_agree_and_cross_verify() {
    let (log, oracle) = both(600);
    for size in (1..=600).filter(|size| size % 7 == 0 || size % 256 < 3) {
        let root = theirs(&log.root_at(size));
        for index in (0..size).step_by(11).chain([size - 1]) {
            let proof = inclusion_proof(index, size, &log).unwrap();
            let oracle_proof = prove_record(size, index, &oracle).unwrap();
            assert_eq!(proof, ours(&oracle_proof), "leaf {index} of {size}");
            let leaf = record_hash(&log.entries[index as usize]);
            check_record(&proof.iter().map(theirs).collect(), size, root, index, leaf).unwrap();
        }
        for old in (1..=size).step_by(11).chain([size]) {
            let proof = consistency_proof(old, size, &log).unwrap();
            let oracle_proof = prove_tree(size, old, &oracle).unwrap();
            assert_eq!(proof, ours(&oracle_proof), "{old} to {size}");
            let old_root = theirs(&log.root_at(old));
            check_tree(&proof.iter().map(theirs).collect(), size, root, old, old_root).unwrap();
        }
    }
}

/// The oracle writes Go's `tile/8/...` paths; C2SP leaves the height out.
fn c2sp_path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1)
}

#[test]
fn tiles_agree_between_any_two_sizes() {
    let (log, oracle) = both(600);
    for (old, new) in [(0, 600), (0, 1), (1, 256), (255, 257), (256, 512), (300, 301), (512, 600)] {
        let mut expected: Vec<_> =
            Tile::new_tiles(8, old, new).iter().map(|tile| (c2sp_path(tile), *tile)).collect();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        let mut found: Vec<_> = tiles_between(old, new, &log)
            .map(Result::unwrap)
            .filter(|(path, _)| path.level().is_some())
            .map(|(path, bytes)| (path.to_string(), bytes))
            .collect();
        found.sort();
        let names = |list: &[(String, _)]| list.iter().map(|(name, _)| name.clone()).collect();
        let names_found: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
        let names_expected: Vec<String> = names(&expected);
        assert_eq!(names_found, names_expected, "{old} to {new}");
        for ((name, bytes), (_, tile)) in found.iter().zip(&expected) {
            assert_eq!(*bytes, tile.read_data(&oracle).unwrap(), "{name}");
        }
    }
}

#[test]
fn tiles_of_a_large_log_have_the_same_names() {
    for (old, new) in [(0, 70_000), (65_535, 65_536), (65_000, 16_900_000), (5_000_000, 5_000_001)]
    {
        let mut expected: Vec<_> = Tile::new_tiles(8, old, new).iter().map(c2sp_path).collect();
        let mut found: Vec<_> = paths_between(old, new)
            .filter(|path| path.level().is_some())
            .map(|path| path.to_string())
            .collect();
        expected.sort();
        found.sort();
        assert!(expected == found, "{old} to {new}");
        assert!(
            found.iter().all(|path| { path.parse::<TilePath>().unwrap().to_string() == *path })
        );
    }
}

struct OracleTiles(MemoryFiles);

impl TileReader for OracleTiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(tiles.iter().map(|tile| self.0.files[&c2sp_path(tile)].clone()).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn the_oracle_authenticates_our_published_tiles() {
    let (log, _) = both(600);
    let files = OracleTiles(log.publish(&LogKey::new(ORIGIN, 1)));
    let root = theirs(&log.frontier.root());
    let reader = TileHashReader::new(600, root, &files);
    for index in [0, 255, 256, 511, 599] {
        let proof = prove_record(600, index, &reader).unwrap();
        let leaf = record_hash(&log.entries[index as usize]);
        check_record(&proof, 600, root, index, leaf).unwrap();
    }
}

#[test]
fn the_oracle_reads_our_checkpoint_and_we_read_its() {
    let log = MemoryLog::of_receipts(300);
    let checkpoint = log.checkpoint();
    let parsed = tlog_tiles::Checkpoint::from_bytes(checkpoint.body().as_bytes()).unwrap();
    assert_eq!(parsed.origin(), ORIGIN);
    assert_eq!(parsed.size(), 300);
    assert_eq!(*parsed.hash(), theirs(&log.frontier.root()));
    assert_eq!(parsed.to_bytes(), checkpoint.body().as_bytes());

    let key = LogKey::new(ORIGIN, 1);
    let extended = tlog_tiles::Checkpoint::new(ORIGIN, 300, *parsed.hash(), "more\n").unwrap();
    let text = String::from_utf8(extended.to_bytes()).unwrap();
    let note = key.verifier.attach(&text, &key.sign(&text)).unwrap();
    assert_eq!(Checkpoint::verify(note.as_bytes(), &key.verifier).unwrap(), checkpoint);
}
