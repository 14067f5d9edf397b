//! Signed notes and Ed25519 verifier keys (C2SP signed-note).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{ed25519_verifies, sha256_parts};

/// Longest note this crate parses.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Most signature lines a note may carry.
pub const NOTE_SIGNATURES_MAX: usize = 64;

/// Signature type of Ed25519 keys.
const ALGORITHM_ED25519: u8 = 0x01;

/// How a signature line begins.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note or a verifier key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a note: text, blank line, signature lines.
    #[error("not a signed note")]
    Malformed,
    /// Larger than this crate looks at.
    #[error("the note is larger than the limit")]
    TooLarge,
    /// A key name is empty or has a space or a plus sign.
    #[error("not a valid key name")]
    KeyName,
    /// Not the text form of an Ed25519 verifier key, or its hash is not that of its name and key.
    #[error("not a verifier key")]
    VerifierKey,
    /// No signature by the key.
    #[error("the note is not signed by the key")]
    Unsigned,
    /// A signature that claims to be by the key and is not.
    #[error("the note's signature does not verify")]
    BadSignature,
}

/// The public half of a log's (or witness's) note key: `name+hash+key` in text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The key with this name and these 32 bytes of an Ed25519 public key.
    ///
    /// # Errors
    /// A name that a note cannot carry.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        let digest = sha256_parts(&[name.as_bytes(), b"\n", &[ALGORITHM_ED25519], &public_key]);
        let [a, b, c, d, ..] = digest.0;
        Ok(Self { name: name.to_owned(), hash: [a, b, c, d], public_key })
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of `SHA-256(name || "\n" || 0x01 || key)`.
    pub fn hash(&self) -> [u8; 4] {
        self.hash
    }

    /// The Ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The note `text` with one signature line by this key, after checking that `signature` is one.
    ///
    /// # Errors
    /// A text that is not a note's, or a signature by another key: a log must not publish what nobody can verify.
    pub fn attach(&self, text: &str, signature: &[u8; 64]) -> Result<String, NoteError> {
        if !is_note_text(text) {
            return Err(NoteError::Malformed);
        }
        if !ed25519_verifies(&self.public_key, text.as_bytes(), signature) {
            return Err(NoteError::BadSignature);
        }
        let mut line = self.hash.to_vec();
        line.extend_from_slice(signature);
        Ok(format!("{text}\n{SIGNATURE_PREFIX}{} {}\n", self.name, STANDARD.encode(line)))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ALGORITHM_ED25519];
        key.extend_from_slice(&self.public_key);
        let hash = u32::from_be_bytes(self.hash);
        write!(f, "{}+{hash:08x}+{}", self.name, STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::VerifierKey);
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::VerifierKey)?;
        let Some((&ALGORITHM_ED25519, key)) = key.split_first() else {
            return Err(NoteError::VerifierKey);
        };
        let parsed = Self::new(name, key.try_into().map_err(|_| NoteError::VerifierKey)?)?;
        if format!("{:08x}", u32::from_be_bytes(parsed.hash)) != hash {
            return Err(NoteError::VerifierKey);
        }
        Ok(parsed)
    }
}

/// A note as read: its text and signature lines, nothing of it verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    hash: [u8; 4],
    signature: Vec<u8>,
}

impl SignedNote {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] or [`NoteError::TooLarge`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let text = format!("{text}\n");
        if !is_note_text(&text) {
            return Err(NoteError::Malformed);
        }
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let signatures = lines
            .split('\n')
            .map(|line| signature_line(line).ok_or(NoteError::Malformed))
            .collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooLarge);
        }
        Ok(Self { text, signatures })
    }

    /// The signed text, once `key`'s signature on it is verified. Signatures by other keys are ignored.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], or [`NoteError::BadSignature`] when any line under the key's name and hash fails.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut by_key = self
            .signatures
            .iter()
            .filter(|line| line.name == key.name && line.hash == key.hash)
            .peekable();
        if by_key.peek().is_none() {
            return Err(NoteError::Unsigned);
        }
        let all = by_key
            .all(|line| ed25519_verifies(&key.public_key, self.text.as_bytes(), &line.signature));
        if all { Ok(&self.text) } else { Err(NoteError::BadSignature) }
    }

    /// The text, unverified: for showing what a note claims.
    pub fn unverified_text(&self) -> &str {
        &self.text
    }
}

fn signature_line(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (hash, signature) = bytes.split_first_chunk::<4>()?;
    if !is_key_name(name) || signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), hash: *hash, signature: signature.to_vec() })
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn is_note_text(text: &str) -> bool {
    text.ends_with('\n')
        && text.len() > 1
        && text.chars().all(|c| c == '\n' || (c >= ' ' && c != '\u{7f}'))
}
