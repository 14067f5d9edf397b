//! SHA-256 and Ed25519: the only file of this crate that touches the crypto library.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a SHA-256 hash.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash: of a leaf, of an inner node, or of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// The hash as standard padded base64, the form checkpoints and proofs use.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads standard padded base64 of exactly 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok().and_then(|bytes| Self::from_slice(&bytes))
    }

    /// Takes exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

/// Hash of a leaf's bytes: `SHA-256(0x00 || entry)` (RFC 6962 section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256_parts(&[&[0x00], entry])
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)` (RFC 6962 section 2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [0x01_u8; 1 + 2 * HASH_BYTES];
    let (first, second) = input.split_at_mut(1 + HASH_BYTES);
    if let Some((_, into)) = first.split_first_mut() {
        into.copy_from_slice(&left.0);
    }
    second.copy_from_slice(&right.0);
    sha256(&input)
}

/// Hash of the empty tree: `SHA-256("")` (RFC 6962 section 2.1).
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// SHA-256 of the bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    let mut out = [0_u8; HASH_BYTES];
    for (into, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *into = *from;
    }
    Hash(out)
}

/// SHA-256 of the parts, one after another.
pub(crate) fn sha256_parts(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0_u8; HASH_BYTES];
    for (into, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *into = *from;
    }
    Hash(out)
}

/// Whether `signature` is an Ed25519 signature of `message` by `public_key` (RFC 8032).
pub(crate) fn ed25519_verifies(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}
