//! The ledger as it is published: signed checkpoints, tiles, entry bundles and proofs, derived
//! lazily from the leaves that the store has made durable.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bailiwick_ledger::file::{Disk, KeptCheckpoint};
use bailiwick_ledger::prove::{MakeProofError, prove};
use bailiwick_ledger::{
    Checkpoint, EntryReader, Frontier, Hash, HashReader, LeafIndex, Opening, ReadError,
    ReceiptProof, TilePath, VerifierKey,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::keys::LedgerSigner;
use crate::store::{StoreError, StoreHandle};

/// Leaves read at a time while catching up.
const CHUNK_LEAVES: u64 = 4096;

/// Why the ledger could not be read or signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored leaves do not make the tree that they should.
    #[error("the ledger cannot be read: {0}")]
    Read(String),
    /// The checkpoint could not be signed.
    #[error("the checkpoint could not be signed: {0}")]
    Sign(String),
    /// The store does not hold what was signed before.
    #[error(
        "nothing is signed, as the ledger is not the one that was signed before: {0}. Restore the \
         data directory, `issuer` and `ledger.origin` that belong together (with --dev: the same --listen)"
    )]
    History(String),
}

/// A signed checkpoint.
#[derive(Debug)]
pub(crate) struct SignedCheckpoint {
    pub(crate) size: u64,
    pub(crate) text: String,
}

/// Publishes the ledger.
pub(crate) struct LedgerView {
    store: StoreHandle,
    signer: LedgerSigner,
    key: VerifierKey,
    grown: Arc<Mutex<Grown>>,
    latest: ArcSwap<SignedCheckpoint>,
    kept: Arc<KeptCheckpoint<Disk>>,
    advancing: tokio::sync::Mutex<()>,
}

/// The frontier, and the roots of full tiles of every level above the leaves.
#[derive(Default)]
struct Grown {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

impl LedgerView {
    /// A view of an empty ledger; call [`Self::advance`] to catch up with the store.
    pub(crate) fn new(
        store: StoreHandle,
        origin: &str,
        signer: LedgerSigner,
        data_dir: &Path,
    ) -> Result<Self, LedgerError> {
        let raw: [u8; 32] = signer
            .verifying_key()
            .raw()
            .try_into()
            .map_err(|_| LedgerError::Sign("the ledger key is not Ed25519".to_owned()))?;
        let key =
            VerifierKey::new(origin, raw).map_err(|error| LedgerError::Sign(error.to_string()))?;
        Ok(Self {
            store,
            signer,
            key,
            grown: Arc::default(),
            latest: ArcSwap::from_pointee(SignedCheckpoint { size: 0, text: String::new() }),
            kept: Arc::new(KeptCheckpoint::new(Disk::new(data_dir.join("ledger")))),
            advancing: tokio::sync::Mutex::new(()),
        })
    }

    /// The key that an auditor pins, in C2SP text form.
    pub(crate) fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// The latest signed checkpoint.
    pub(crate) fn latest(&self) -> Arc<SignedCheckpoint> {
        self.latest.load_full()
    }

    /// Signs a checkpoint that covers every leaf that is durable by now.
    pub(crate) async fn advance(&self) -> Result<Arc<SignedCheckpoint>, LedgerError> {
        let _one = self.advancing.lock().await;
        let target = self.store.ledger_size();
        let mut at = self.grown.lock().frontier.size();
        if at == target && !self.latest.load().text.is_empty() {
            return Ok(self.latest());
        }
        let first = self.latest.load().text.is_empty();
        while at < target {
            let end = target.min(at.saturating_add(CHUNK_LEAVES));
            let hashes = self.store.leaf_hashes(at..end).await?;
            if hashes.len() as u64 != end.saturating_sub(at) {
                return Err(LedgerError::Read(format!("leaves {at} to {end} are missing")));
            }
            let mut grown = self.grown.lock();
            hashes.into_iter().for_each(|hash| grown.append(hash));
            at = end;
        }
        if first {
            self.check_history(target).await?;
        }
        let checkpoint = Checkpoint::of(self.key.name(), &self.grown.lock().frontier)
            .map_err(|error| LedgerError::Sign(error.to_string()))?;
        let signature = self
            .signer
            .sign(checkpoint.body().as_bytes())
            .map_err(|error| LedgerError::Sign(error.to_string()))?;
        let signature: [u8; 64] = signature
            .as_slice()
            .try_into()
            .map_err(|_| LedgerError::Sign("not an Ed25519 signature".to_owned()))?;
        let text = checkpoint
            .attach(&self.key, &signature)
            .map_err(|error| LedgerError::Sign(error.to_string()))?;
        let signed = Arc::new(SignedCheckpoint { size: checkpoint.size(), text });
        let (kept, keeping) = (self.kept.clone(), signed.clone());
        let keep =
            move || kept.keep(&keeping.text).map_err(|error| LedgerError::Sign(error.to_string()));
        // INVARIANT: what is published can be recognised after a restart.
        blocking(keep).await?;
        self.latest.store(signed.clone());
        Ok(signed)
    }

    /// Refuses a store that was edited or put back from a backup since the last checkpoint.
    async fn check_history(&self, size: u64) -> Result<(), LedgerError> {
        let (kept, key, reader) = (self.kept.clone(), self.key.clone(), self.reader());
        let check = move || match kept.check(&key, size, &reader) {
            Ok(_) => Ok(()),
            Err(error) => Err(LedgerError::History(error.to_string())),
        };
        blocking(check).await
    }

    /// The bytes of a tile or entry bundle, if the latest checkpoint's tree has it.
    pub(crate) async fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, LedgerError> {
        if !path.is_within(self.latest().size) {
            return Ok(None);
        }
        let reader = self.reader();
        blocking(move || path.read(&reader).map_err(read_error)).await.map(Some)
    }

    /// One receipt with its proof, under a checkpoint that covers it.
    pub(crate) async fn prove(
        &self,
        index: LeafIndex,
    ) -> Result<Option<ReceiptProof>, LedgerError> {
        let Some(row) = self.store.receipt(index).await? else { return Ok(None) };
        let signed =
            if self.latest().size > index.0 { self.latest() } else { self.advance().await? };
        let opening = match row.opening {
            Some((salt, payload)) => Opening::Open { salt, payload },
            None => Opening::Erased,
        };
        let (reader, key) = (self.reader(), self.key.clone());
        blocking(move || {
            prove(index.0, &signed.text, &key, &opening, &reader).map_err(|error| match error {
                MakeProofError::Read(error) => read_error(error),
                other => LedgerError::Read(other.to_string()),
            })
        })
        .await
        .map(Some)
    }

    fn reader(&self) -> LedgerReader {
        LedgerReader {
            store: self.store.clone(),
            grown: self.grown.clone(),
            runtime: Handle::current(),
        }
    }
}

impl Grown {
    fn append(&mut self, leaf: Hash) {
        for row in self.frontier.append(leaf) {
            let Some(above) = usize::from(row.level).checked_sub(1) else { continue };
            if self.levels.len() <= above {
                self.levels.resize(above.saturating_add(1), Vec::new());
            }
            if let Some(level) = self.levels.get_mut(above) {
                level.push(row.hash);
            }
        }
    }
}

/// Reads rows for the pure functions of the ledger crate. Used on a blocking thread only.
struct LedgerReader {
    store: StoreHandle,
    grown: Arc<Mutex<Grown>>,
    runtime: Handle,
}

impl HashReader for LedgerReader {
    type Error = StoreError;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, StoreError> {
        let end = start.saturating_add(count);
        let Some(above) = usize::from(level).checked_sub(1) else {
            return self.runtime.block_on(self.store.leaf_hashes(start..end));
        };
        let grown = self.grown.lock();
        let rows = grown.levels.get(above).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(start).unwrap_or(usize::MAX).min(rows.len());
        let to = usize::try_from(end).unwrap_or(usize::MAX).min(rows.len());
        Ok(rows.get(from..to).unwrap_or_default().to_vec())
    }
}

impl EntryReader for LedgerReader {
    type Error = StoreError;

    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        self.runtime.block_on(self.store.entries(start..start.saturating_add(count)))
    }
}

fn read_error(error: ReadError<StoreError>) -> LedgerError {
    match error {
        ReadError::Source(error) => LedgerError::Store(error),
        other => LedgerError::Read(other.to_string()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LedgerError::Read(error.to_string()))?
}
