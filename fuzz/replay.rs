//! Runs fuzz targets on stable: every file of the corpus as it is, then with seeded mutations.
//!
//! `BAILIWICK_FUZZ_RUNS=100000` mutates each file so many times, by a seed that is random. Without it every file is
//! mutated a few times, always in the same way. What breaks a target is printed, so that it can join the corpus.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Mutations of each file in a plain run.
const MUTATIONS: usize = 64;
/// What a plain run begins with.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Longest input that is made.
const BYTES_MAX: usize = 64 * 1024;
/// What parsers treat differently.
const TOKENS: [&[u8]; 40] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"0",
    b"-0",
    b"1e999",
    b"9007199254740993",
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\0",
    b"\r\n",
    b"\n\n",
    b"\r",
    b"%2e",
    b"%2F",
    b"%00",
    b"%25",
    b"..",
    b"/",
    b"//",
    b"~",
    b".",
    b"=",
    b"&",
    b";",
    b" ",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"e\xcc\x81",
    b"data:",
    b"id:",
];

/// Replays and mutates the corpus of one target. Panics with the input that breaks it.
pub(crate) fn run(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
    for (path, seed) in &corpus {
        attempt(name, target, seed, &path.display().to_string());
    }
    let asked = std::env::var("BAILIWICK_FUZZ_RUNS").ok().map(|runs| runs.parse().unwrap());
    let seed = asked.map_or(SEED, |_| RandomState::new().build_hasher().finish());
    let mut random = Random(seed);
    for at in 0..corpus.len() {
        for _ in 0..asked.unwrap_or(MUTATIONS) {
            attempt(name, target, &mutated(&corpus, at, &mut random), "mutated");
        }
    }
}

/// The files of a target, in the order of their names.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn attempt(name: &str, target: fn(&[u8]), input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("{name} breaks ({what}) for b\"{}\"", input.escape_ascii());
    }
}

/// One to four changes of a file.
fn mutated(corpus: &[(PathBuf, Vec<u8>)], at: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[at].1.clone();
    for _ in 0..=random.below(4) {
        let place = random.below(bytes.len() + 1);
        match random.below(7) {
            0 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
            1 => {
                drop(bytes.splice(place..place, TOKENS[random.below(TOKENS.len())].iter().copied()))
            }
            2 => {
                let end = (place + 1 + random.below(16)).min(bytes.len());
                bytes.drain(place.min(end)..end);
            }
            3 => bytes.truncate(place),
            4 => {
                // A piece of itself, once more.
                let end = (place + 1 + random.below(64)).min(bytes.len());
                let piece = bytes[place.min(end)..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => {
                // The end of another file.
                let other = &corpus[random.below(corpus.len())].1;
                bytes.truncate(place);
                bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ if place < bytes.len() => bytes[place] = u8::try_from(random.below(256)).unwrap(),
            _ => {}
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}
