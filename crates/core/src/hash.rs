//! SHA-256 digests as a type, written base64url without padding.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text in front of a digest where the algorithm is named, as in `"sha-256:…"`.
pub const NAMED_PREFIX: &str = "sha-256:";

/// A SHA-256 digest; text form is base64url without padding (43 characters).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Hash(pub [u8; 32]);

/// A text that is not a base64url SHA-256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a base64url SHA-256 digest")]
pub struct HashError;

impl Sha256Hash {
    /// The digest in base64url without padding.
    #[must_use]
    pub fn b64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The digest with its algorithm named: `sha-256:<base64url>`.
    #[must_use]
    pub fn named(&self) -> String {
        format!("{NAMED_PREFIX}{}", self.b64())
    }

    /// Reads the form that [`Sha256Hash::named`] writes.
    ///
    /// # Errors
    /// [`HashError`] when the text is anything else.
    pub fn from_named(text: &str) -> Result<Self, HashError> {
        text.strip_prefix(NAMED_PREFIX).ok_or(HashError)?.parse()
    }

    /// The digest's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Sha256Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if text.len() != 43 {
            return Err(HashError);
        }
        let mut bytes = [0_u8; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(HashError),
        }
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.b64())
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Hash({})", self.b64())
    }
}

impl Serialize for Sha256Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.b64())
    }
}

impl<'de> Deserialize<'de> for Sha256Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_exact() {
        let hash = Sha256Hash([7; 32]);
        assert_eq!(hash.b64().parse::<Sha256Hash>(), Ok(hash));
        assert_eq!(Sha256Hash::from_named(&hash.named()), Ok(hash));
        for bad in ["", "AAAA", &format!("{}=", hash.b64()), &format!("sha256:{}", hash.b64())] {
            assert!(bad.parse::<Sha256Hash>().is_err(), "{bad}");
            assert!(Sha256Hash::from_named(bad).is_err(), "{bad}");
        }
        // A last character with stray low bits decodes to the same bytes in lax decoders.
        let mut aliased = Sha256Hash([0; 32]).b64();
        aliased.replace_range(42.., "B");
        assert!(aliased.parse::<Sha256Hash>().is_err());
    }
}
