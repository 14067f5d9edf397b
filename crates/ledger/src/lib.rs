//! C2SP tlog-tiles ledger of receipts; sans-IO with a file driver.
//!
//! A receipt is sealed into a leaf that commits to its payload under a salt; leaves form an RFC 6962 Merkle tree that
//! is published as C2SP `tlog-tiles` under signed checkpoints. [`append`] is the spine that other crates release
//! effects through; everything else is pure functions of bytes, so that an auditor can run them offline.

pub mod append;
pub mod bundle;
pub mod checkpoint;
#[cfg(feature = "driver")]
pub mod export;
#[cfg(feature = "driver")]
pub mod file;
mod hash;
pub mod note;
pub mod opening;
pub mod proof;
pub mod prove;
pub mod published;
pub mod read;
pub mod receipt;
pub mod tile;
pub mod tree;
pub mod verify;

pub use append::{Journal, LeafIndex, Record, RecordError, Recorded, record};
pub use checkpoint::Checkpoint;
#[cfg(feature = "driver")]
pub use export::{Export, ExportReport, KeySource, export, verify_export};
#[cfg(feature = "driver")]
pub use file::FileLog;
pub use hash::{HASH_BYTES, Hash, empty_root, leaf_hash, node_hash};
pub use note::{SignedNote, VerifierKey};
pub use opening::{Opening, OpeningReader, ReceiptLine};
pub use prove::{ProvenReceipt, ReceiptProof, verify_proof_bundle};
pub use read::{EntryReader, HashReader, ReadError, TileSource};
pub use receipt::{Receipt, ReceiptKind, SealedReceipt, opens};
pub use tile::TilePath;
pub use tree::{Frontier, TileRow};
pub use verify::{LogFault, LogReport, TrustedTree, VerifyError, VerifyOptions, verify_log};
