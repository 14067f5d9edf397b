//! One receipt, proven to a third party who has nothing but the log's key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::{Hash, leaf_hash};
use crate::note::VerifierKey;
use crate::opening::{Opening, OpeningError, OpeningWire};
use crate::proof::{PROOF_HASHES_MAX, ProofError, inclusion_proof, verify_inclusion};
use crate::read::{EntryReader, HashReader, ReadError};
use crate::receipt::{Entry, EntryError};

/// Longest proof bundle that this crate reads.
pub const PROOF_BYTES_MAX: usize = 2 << 20;

/// Everything that proves one receipt offline; JSON with the members named here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptProof {
    /// Position of the leaf.
    pub index: u64,
    /// Size of the tree that the proof leads to.
    pub tree_size: u64,
    /// The leaf, base64url.
    pub entry: String,
    /// Salt of the commitment, base64url; absent when erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The payload, byte for byte; absent when erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
    /// Whether salt and payload were erased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// Audit path, nearest sibling first, standard base64.
    pub inclusion_proof: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// The verifier key that the log claims: a hint, never what a verifier trusts.
    pub vkey: String,
}

/// What a verified proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenReceipt {
    /// Position of the leaf.
    pub index: u64,
    /// What the leaf says in the clear.
    pub entry: Entry,
    /// The payload, or that it was erased.
    pub opening: Opening,
    /// The checkpoint that the leaf is under.
    pub checkpoint: Checkpoint,
}

/// Why a proof bundle does not prove its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// Not a proof bundle, or longer than the limit.
    #[error("not a proof of a receipt")]
    Malformed,
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of another size than the proof.
    #[error("the checkpoint is of another size than the proof")]
    Size,
    /// The path.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The leaf.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The salt and payload.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// The payload is not what the leaf commits to.
    #[error("the payload does not open the entry's commitment")]
    PayloadMismatch,
}

/// Proves the leaf at `index` under a signed checkpoint of the same log.
///
/// # Errors
/// A leaf outside the checkpoint's tree, a checkpoint that `key` did not sign, or the reader's errors.
pub fn prove<E, R>(
    index: u64,
    checkpoint: &str,
    key: &VerifierKey,
    opening: &Opening,
    log: &R,
) -> Result<ReceiptProof, MakeProofError<E>>
where
    R: HashReader<Error = E> + EntryReader<Error = E>,
{
    let tree_size =
        Checkpoint::verify(checkpoint.as_bytes(), key).map_err(MakeProofError::Checkpoint)?.size();
    let path = inclusion_proof(index, tree_size, log)?;
    let entries = log.entries(index, 1).map_err(ReadError::Source)?;
    let short = ReadError::Short { level: 0, start: index, wanted: 1, got: 0 };
    let entry = entries.first().ok_or(short)?;
    let OpeningWire { salt, payload, erased } =
        opening.to_wire().map_err(MakeProofError::Opening)?;
    Ok(ReceiptProof {
        index,
        tree_size,
        entry: URL_SAFE_NO_PAD.encode(entry),
        salt,
        payload,
        erased,
        inclusion_proof: path.iter().map(Hash::to_base64).collect(),
        checkpoint: checkpoint.to_owned(),
        vkey: key.to_string(),
    })
}

/// Why no proof could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeProofError<E> {
    /// The log.
    #[error(transparent)]
    Read(#[from] ReadError<E>),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// The opening is not JSON.
    #[error(transparent)]
    Opening(OpeningError),
}

impl ReceiptProof {
    /// Reads a bundle.
    ///
    /// # Errors
    /// [`ProveError::Malformed`].
    pub fn parse(json: &[u8]) -> Result<Self, ProveError> {
        if json.len() > PROOF_BYTES_MAX {
            return Err(ProveError::Malformed);
        }
        serde_json::from_slice(json).map_err(|_| ProveError::Malformed)
    }

    /// Checks that the log of `key` holds this receipt, with this payload.
    ///
    /// # Errors
    /// [`ProveError`] names what is wrong.
    pub fn verify(&self, key: &VerifierKey) -> Result<ProvenReceipt, ProveError> {
        if self.inclusion_proof.len() > PROOF_HASHES_MAX {
            return Err(ProveError::Proof(ProofError::Length));
        }
        let checkpoint = Checkpoint::verify(self.checkpoint.as_bytes(), key)?;
        if checkpoint.size() != self.tree_size {
            return Err(ProveError::Size);
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.entry).map_err(|_| ProveError::Malformed)?;
        let path = self
            .inclusion_proof
            .iter()
            .map(|hash| Hash::from_base64(hash).ok_or(ProveError::Malformed))
            .collect::<Result<Vec<_>, _>>()?;
        let leaf = leaf_hash(&bytes);
        verify_inclusion(&leaf, self.index, self.tree_size, &path, &checkpoint.root())?;
        let entry = Entry::parse(&bytes)?;
        let opening = Opening::from_wire(OpeningWire {
            salt: self.salt.clone(),
            payload: self.payload.clone(),
            erased: self.erased,
        })?;
        if !opening.fits(&bytes) {
            return Err(ProveError::PayloadMismatch);
        }
        Ok(ProvenReceipt { index: self.index, entry, opening, checkpoint })
    }
}

/// Reads and verifies a proof bundle in one step.
///
/// # Errors
/// [`ProveError`] names what is wrong.
pub fn verify_proof_bundle(json: &[u8], key: &VerifierKey) -> Result<ProvenReceipt, ProveError> {
    ReceiptProof::parse(json)?.verify(key)
}
