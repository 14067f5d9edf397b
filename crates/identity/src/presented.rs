//! Token text as it came in: unchecked, and never printed.

use std::fmt;
use std::sync::OnceLock;

use bailiwick_core::{Sha256Hash, sha256};

/// A token that somebody presented. Nothing is known about it, and its `Debug` form shows no byte of it.
#[derive(Clone)]
pub struct PresentedToken {
    text: String,
    /// Taken once: a cache looks the token up by it, and a proof of possession names it.
    hash: OnceLock<Sha256Hash>,
}

impl PresentedToken {
    /// Wrap text from a request.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hash: OnceLock::new() }
    }

    /// The text, for the function that verifies it. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text, as `ath` of a DPoP proof has it.
    #[must_use]
    pub fn hash(&self) -> Sha256Hash {
        *self.hash.get_or_init(|| sha256(self.text.as_bytes()))
    }
}

impl PartialEq for PresentedToken {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PresentedToken {}

impl AsRef<str> for PresentedToken {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedToken({} bytes)", self.text.len())
    }
}
