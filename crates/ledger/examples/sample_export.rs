//! Writes a sample export for other implementations to read: `sample_export DIR RECEIPTS`, new directory, throwaway key.
#![allow(clippy::print_stdout, reason = "printing is what this program does")]

use std::convert::Infallible;
use std::error::Error;
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bailiwick_ledger::{
    Checkpoint, EntryReader, Export, Frontier, Hash, HashReader, Opening, OpeningReader, Receipt,
    ReceiptKind, VerifierKey, export, leaf_hash,
};

const ORIGIN: &str = "ledger.sample.example/log";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(count)) = (args.next(), args.next()) else {
        return Err("usage: sample_export DIR RECEIPTS".into());
    };
    let pair = Ed25519KeyPair::generate()?;
    let key = VerifierKey::new(ORIGIN, pair.public_key().as_ref().try_into()?)?;
    let sign = |checkpoint: &Checkpoint| -> Result<String, Box<dyn Error>> {
        let signature = pair.sign(checkpoint.body().as_bytes());
        Ok(checkpoint.attach(&key, signature.as_ref().try_into()?)?)
    };
    let (mut log, mut history) = (SampleLog::default(), Vec::new());
    let count = count.parse::<u64>()?;
    let apart = (count / 7).max(1);
    for index in 0..count {
        log.append(index);
        if index % apart == apart - 1 {
            history.push(sign(&Checkpoint::of(ORIGIN, &log.frontier)?)?);
        }
    }
    let checkpoint = sign(&Checkpoint::of(ORIGIN, &log.frontier)?)?;
    let what = Export { checkpoint: &checkpoint, key: &key, history: &history };
    export(Path::new(&directory), &what, &log)?;
    println!("{key}");
    Ok(())
}

#[derive(Default)]
struct SampleLog {
    frontier: Frontier,
    levels: [Vec<Hash>; 4],
    entries: Vec<Vec<u8>>,
    openings: Vec<Opening>,
}

impl SampleLog {
    fn append(&mut self, index: u64) {
        let receipt = Receipt {
            kind: ReceiptKind::Decision,
            time_ms: 1_790_000_000_000 + index,
            subject_ids: Vec::new(),
            payload: format!(r#"{{"decision":"d{index}","subject":"zoë"}}"#).into_bytes(),
        };
        let salt = [index as u8; 32];
        let sealed = receipt.seal(salt);
        for row in self.frontier.append(leaf_hash(&sealed.entry)) {
            if let Some(level) = self.levels.get_mut(usize::from(row.level)) {
                level.push(row.hash);
            }
        }
        self.entries.push(sealed.entry);
        self.openings.push(match index % 10 {
            3 => Opening::Erased,
            _ => Opening::Open { salt, payload: sealed.payload },
        });
    }
}

fn some<T: Clone>(all: &[T], start: u64, count: u64) -> Vec<T> {
    all.iter().skip(start as usize).take(count as usize).cloned().collect()
}

impl HashReader for SampleLog {
    type Error = Infallible;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Infallible> {
        Ok(some(self.levels.get(usize::from(level)).map_or(&[][..], Vec::as_slice), start, count))
    }
}

impl EntryReader for SampleLog {
    type Error = Infallible;

    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(some(&self.entries, start, count))
    }
}

impl OpeningReader for SampleLog {
    type Error = Infallible;

    fn openings(&self, start: u64, count: u64) -> Result<Vec<Opening>, Infallible> {
        Ok(some(&self.openings, start, count))
    }
}
