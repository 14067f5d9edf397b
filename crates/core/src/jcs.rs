//! RFC 8785 (JCS), strictly: one parser that refuses every text that is not exactly canonical.
//!
//! [`check`] reads a text once without building a tree. What it finds, in this order, is what the
//! ADC reference finds: first faults of parsing in document order ([`JcsError::Malformed`],
//! [`JcsError::DuplicateMember`], [`JcsError::NonFinite`]), then [`JcsError::NonCanonical`].
//! A number whose magnitude exceeds 2^53 - 1 is malformed, however it is written.

mod scan;
mod serialize;
mod write;

use serde::Serialize;
use serde_json::Value;

use crate::outcome::Outcome;

/// The largest magnitude of a number: every integer up to it is exact in a binary64.
pub const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// Which rule a JSON text or value breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JcsError {
    /// Valid JSON that is not its own RFC 8785 form.
    #[error("JSON is not in RFC 8785 canonical form")]
    NonCanonical,
    /// A member name twice in one object.
    #[error("JSON object repeats a member")]
    DuplicateMember,
    /// NaN, an infinity or a number too large for a binary64.
    #[error("JSON number is not finite")]
    NonFinite,
    /// Not JSON, nested too deeply, or an integer that a binary64 cannot hold exactly.
    #[error("not JSON that can be signed: syntax, nesting, text or integer range")]
    Malformed,
}

impl JcsError {
    /// The stable outcome.
    #[must_use]
    pub fn code(self) -> Outcome {
        match self {
            Self::NonCanonical => Outcome::NonCanonical,
            Self::DuplicateMember => Outcome::DuplicateMember,
            Self::NonFinite => Outcome::NonFinite,
            Self::Malformed => Outcome::Malformed,
        }
    }
}

/// What [`scan_text`] found in a text that parses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Exactly its RFC 8785 bytes.
    Canonical,
    /// Valid, but other bytes.
    Other,
}

/// Reads a text once; parse faults are errors, a non-canonical form is not.
///
/// # Errors
/// [`JcsError::Malformed`], [`JcsError::DuplicateMember`] or [`JcsError::NonFinite`].
pub fn scan_text(text: &str) -> Result<Form, JcsError> {
    scan::scan(text)
}

/// Accepts exactly the RFC 8785 form of a JSON text.
///
/// # Errors
/// [`JcsError`], parse faults before [`JcsError::NonCanonical`].
pub fn check(bytes: &[u8]) -> Result<(), JcsError> {
    match scan_text(std::str::from_utf8(bytes).map_err(|_| JcsError::Malformed)?)? {
        Form::Canonical => Ok(()),
        Form::Other => Err(JcsError::NonCanonical),
    }
}

/// [`check`], then the value.
///
/// # Errors
/// [`JcsError`].
pub fn parse_strict(bytes: &[u8]) -> Result<Value, JcsError> {
    check(bytes)?;
    serde_json::from_slice(bytes).map_err(|_| JcsError::Malformed)
}

/// The RFC 8785 bytes of a value, written without a tree in between.
///
/// # Errors
/// [`JcsError::NonFinite`] for a NaN or infinity, [`JcsError::DuplicateMember`] for a member that is there twice,
/// [`JcsError::Malformed`] for an integer beyond 2^53 - 1, a map key that is not text, or nesting beyond
/// the limit.
pub fn canonicalize<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JcsError> {
    serialize::to_vec(value)
}

/// The RFC 8785 bytes of a JSON tree.
///
/// # Errors
/// [`JcsError::Malformed`] for an integer beyond 2^53 - 1 or nesting beyond the limit.
pub fn canonicalize_value(value: &Value) -> Result<Vec<u8>, JcsError> {
    serialize::to_vec(value)
}

#[cfg(test)]
mod tests;
