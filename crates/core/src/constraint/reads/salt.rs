//! The secret that the digests of one task's reads are made with.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroize as _;

use crate::crypto::ct_eq;

/// 32 random bytes, of one task. Whoever has them can try values against the digests, so they are
/// never printed, and destroyed when the task ends.
#[derive(Clone)]
pub struct ReadsSalt([u8; 32]);

/// A text that is no salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a base64url salt of 32 bytes")]
pub struct SaltError;

impl ReadsSalt {
    /// The salt of these bytes, fresh from the system's random generator.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The salt in base64url without padding, for those who enforce the task.
    #[must_use]
    pub fn b64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl FromStr for ReadsSalt {
    type Err = SaltError;

    fn from_str(text: &str) -> Result<Self, SaltError> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(SaltError),
        }
    }
}

impl PartialEq for ReadsSalt {
    fn eq(&self, other: &Self) -> bool {
        ct_eq(&self.0, &other.0)
    }
}

impl Eq for ReadsSalt {}

impl Drop for ReadsSalt {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ReadsSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadsSalt(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_travels_as_text_and_is_not_printed() {
        let salt = ReadsSalt::new([7; 32]);
        assert_eq!(salt.b64().parse(), Ok(salt.clone()));
        assert_ne!(ReadsSalt::new([8; 32]), salt);
        assert!(!format!("{salt:?}").contains('7'));
        for bad in ["", "AA", &"A".repeat(44), &"!".repeat(43)] {
            assert_eq!(bad.parse::<ReadsSalt>(), Err(SaltError), "{bad}");
        }
    }
}
