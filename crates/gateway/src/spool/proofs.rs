//! Proofs of possession that the log holds: none of them is accepted again.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::Path;

use bailiwick_core::{Sha256Hash, UnixMillis};

use super::{SpoolError, segment};

/// Milliseconds of expiry that are forgotten together.
const BUCKET_MS: u64 = 10_000;
/// Bytes of one proof in a file.
const PROOF_BYTES: usize = 40;

/// A used proof and when it would be refused as too old anyway.
pub(crate) type Proof = (Sha256Hash, UnixMillis);

/// The unexpired proofs of the log.
#[derive(Debug, Default)]
pub(crate) struct UsedProofs {
    buckets: BTreeMap<u64, HashSet<[u8; 16]>>,
}

impl UsedProofs {
    /// Whether the log holds this proof, however it is dated.
    pub(crate) fn holds(&self, hash: &Sha256Hash) -> bool {
        half(hash).is_some_and(|half| self.buckets.values().any(|bucket| bucket.contains(half)))
    }

    pub(crate) fn add(&mut self, (hash, expires): Proof) {
        if let Some(half) = half(&hash) {
            self.buckets.entry(expires.0 / BUCKET_MS).or_default().insert(*half);
        }
    }

    pub(crate) fn remove(&mut self, (hash, expires): Proof) {
        let bucket = self.buckets.get_mut(&(expires.0 / BUCKET_MS));
        if let (Some(bucket), Some(half)) = (bucket, half(&hash)) {
            bucket.remove(half);
        }
    }

    /// Forgets what has expired.
    pub(crate) fn prune(&mut self, now: UnixMillis) {
        self.buckets = self.buckets.split_off(&(now.0 / BUCKET_MS));
    }
}

fn half(hash: &Sha256Hash) -> Option<&[u8; 16]> {
    hash.as_bytes().first_chunk()
}

/// Keeps the proofs of a segment that is about to be deleted.
pub(crate) fn keep(directory: &Path, number: u64, proofs: &[Proof]) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(proofs.len().saturating_mul(PROOF_BYTES));
    for (hash, expires) in proofs {
        bytes.extend(hash.as_bytes());
        bytes.extend(expires.0.to_le_bytes());
    }
    let path = segment::proofs_path(directory, number);
    // A try that was interrupted left an incomplete file; its segment is still there.
    let _ = std::fs::remove_file(&path);
    let mut file = segment::create(&path)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    segment::sync_directory(directory)
}

/// The proofs that [`keep`] kept, of every deleted segment; files of expired ones are deleted.
pub(crate) fn load(directory: &Path, now: UnixMillis) -> Result<Vec<Proof>, SpoolError> {
    let mut proofs = Vec::new();
    let numbers = segment::proof_files(directory).map_err(SpoolError::at(directory))?;
    for number in numbers {
        let path = segment::proofs_path(directory, number);
        let bytes = std::fs::read(&path).map_err(SpoolError::at(&path))?;
        let before = proofs.len();
        // A last one that is cut off was being written; its segment is still there.
        let (whole, _) = bytes.as_chunks::<PROOF_BYTES>();
        proofs.extend(whole.iter().filter_map(parse).filter(|(_, expires)| *expires > now));
        if proofs.len() == before {
            let _ = std::fs::remove_file(&path);
        }
    }
    Ok(proofs)
}

fn parse(bytes: &[u8; PROOF_BYTES]) -> Option<Proof> {
    let (hash, expires) = bytes.split_first_chunk::<32>()?;
    let expires = u64::from_le_bytes(expires.try_into().ok()?);
    Some((Sha256Hash(*hash), UnixMillis(expires)))
}

/// Deletes a file of proofs that have all expired.
pub(crate) fn delete(directory: &Path, number: u64) {
    if let Err(error) = std::fs::remove_file(segment::proofs_path(directory, number)) {
        tracing::warn!(%error, "a file of expired proofs could not be deleted");
    }
}
