//! Token Status Lists (draft-ietf-oauth-status-list): one bit a token, 1 for revoked.
//!
//! A list is compressed (ZLIB) and signed. A verifier fetches one list for thousands of tokens and
//! looks a bit up; a list it cannot verify, or an index that is not in it, is no answer.

use bailiwick_core::crypto::{KeyError, VerifyingKey};
use bailiwick_core::time::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::compact;
use crate::keys::StatusListSigner;

/// Tokens in one list: 16 KiB of bits.
pub const LIST_ENTRIES: u64 = crate::model::STATUS_LIST_ENTRIES;
/// Most bytes of a list that is read: 8 MiB of bits.
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes of a status list token that is read.
const TOKEN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How far another clock may be ahead.
const SKEW_SECONDS: i64 = bailiwick_core::limits::CLOCK_SKEW_SECONDS_MAX.cast_signed();
/// `typ` of a status list token.
pub const TYPE: &str = "statuslist+jwt";

/// Which list a token's index is in, and where.
pub fn locate(index: u64) -> (u64, u64) {
    (index / LIST_ENTRIES, index % LIST_ENTRIES)
}

/// The URL of a list.
pub fn list_uri(issuer: &str, list: u64) -> String {
    format!("{issuer}/status-lists/{list}")
}

/// The bits of one list. Set bits are never cleared: what is revoked stays revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: Vec<u8>,
}

impl Default for StatusList {
    fn default() -> Self {
        Self { bits: vec![0; usize::try_from(LIST_ENTRIES / 8).unwrap_or(0)] }
    }
}

impl StatusList {
    /// The list with these bits, index 0 the least significant bit of the first byte; tokens beyond
    /// them are not revoked.
    pub fn from_bits(bits: &[u8]) -> Self {
        let mut list = Self::default();
        for (byte, given) in list.bits.iter_mut().zip(bits) {
            *byte = *given;
        }
        list
    }

    /// Marks a token of this list as revoked; says whether the index is in the list.
    pub fn revoke(&mut self, position: u64) -> bool {
        let (byte, mask) = place(position);
        match self.bits.get_mut(byte) {
            Some(bits) => {
                *bits |= mask;
                true
            }
            None => false,
        }
    }

    /// Whether a token of this list is revoked; `None` when the position is not in the list.
    pub fn is_revoked(&self, position: u64) -> Option<bool> {
        let (byte, mask) = place(position);
        self.bits.get(byte).map(|bits| bits & mask != 0)
    }

    /// The `lst` member: the bits, ZLIB-compressed, in base64url.
    pub fn to_lst(&self) -> String {
        URL_SAFE_NO_PAD.encode(miniz_oxide::deflate::compress_to_vec_zlib(&self.bits, 9))
    }

    /// Reads an `lst` member of one bit a token, at most 8 MiB when decompressed.
    ///
    /// # Errors
    /// [`StatusListError::Malformed`].
    pub fn from_lst(lst: &str) -> Result<Self, StatusListError> {
        const FORM: StatusListError = StatusListError::Malformed("lst is not ZLIB in base64url");
        let packed = URL_SAFE_NO_PAD.decode(lst).map_err(|_| FORM)?;
        let bits = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(&packed, LIST_BYTES_MAX)
            .map_err(|_| FORM)?;
        Ok(Self { bits })
    }
}

fn place(position: u64) -> (usize, u8) {
    let byte = usize::try_from(position / 8).unwrap_or(usize::MAX);
    // Index 0 is the least significant bit of the first byte.
    (byte, 1 << (position % 8))
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    status_list: Packed,
}

#[derive(Serialize, Deserialize)]
struct Packed {
    bits: u8,
    lst: String,
}

/// Signs a list. `ttl_seconds` is how long a verifier may use it before it fetches again, and with
/// it how late a revocation may arrive there; `life_seconds` is when it must not be used any more.
///
/// # Errors
/// When the key cannot sign.
pub fn sign(
    list: &StatusList,
    uri: &str,
    signer: &StatusListSigner,
    now: UnixMillis,
    ttl_seconds: u64,
    life_seconds: u64,
) -> Result<String, KeyError> {
    let header = Header {
        alg: signer.algorithm().name().to_owned(),
        kid: signer.kid().to_owned(),
        typ: TYPE.to_owned(),
    };
    let claims = Claims {
        sub: uri.to_owned(),
        iat: now.seconds(),
        exp: Some(now.saturating_add_seconds(life_seconds).seconds()),
        ttl: Some(ttl_seconds),
        status_list: Packed { bits: 1, lst: list.to_lst() },
    };
    compact::sign(&header, &claims, |bytes| signer.sign(bytes))
}

/// Why a status list token gives no answer. The token whose status was asked is then refused
/// (`status_unknown`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatusListError {
    /// Not a status list token.
    #[error("not a status list token: {0}")]
    Malformed(&'static str),
    /// Signed by a key that is not the issuer's status list key.
    #[error("the status list is not signed by a known key")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the status list's signature does not verify")]
    Signature,
    /// A list of another URL.
    #[error("the status list is for another URL")]
    OtherList,
    /// Past its `exp`, or past `iat` + `ttl`.
    #[error("the status list is stale")]
    Stale,
    /// From the future.
    #[error("the status list is from the future")]
    NotYet,
    /// The index is not in the list.
    #[error("the index is not in the status list")]
    OutOfRange,
}

impl StatusListError {
    /// The stable outcome name.
    pub const fn code(self) -> bailiwick_core::outcome::Outcome {
        match self {
            Self::Stale => bailiwick_core::outcome::Outcome::RevocationStale,
            _ => bailiwick_core::outcome::Outcome::StatusUnknown,
        }
    }
}

/// A list whose signature, URL and time were checked.
#[derive(Debug, Clone)]
pub struct VerifiedStatusList {
    list: StatusList,
    fresh_until: i64,
}

impl VerifiedStatusList {
    /// Checks a status list token that was fetched from `uri`. `key` finds the issuer's status list
    /// key of a `kid`.
    ///
    /// # Errors
    /// [`StatusListError`]; there is no answer then.
    pub fn verify(
        token: &str,
        uri: &str,
        key: impl FnOnce(&str) -> Option<VerifyingKey>,
        now: UnixMillis,
    ) -> Result<Self, StatusListError> {
        const FORM: StatusListError = StatusListError::Malformed("not a compact JWS of one");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(StatusListError::Malformed("too long"));
        }
        let parts = compact::split(token).ok_or(FORM)?;
        let header: Header = serde_json::from_slice(&parts.header).map_err(|_| FORM)?;
        if header.typ != TYPE {
            return Err(StatusListError::Malformed("its typ is not statuslist+jwt"));
        }
        let key = key(&header.kid).ok_or(StatusListError::UnknownKey)?;
        if header.alg != key.algorithm().name() {
            return Err(StatusListError::Malformed("its alg is not that of the key"));
        }
        key.verify(parts.signing_input.as_bytes(), &parts.signature)
            .map_err(|_| StatusListError::Signature)?;
        let claims: Claims = serde_json::from_slice(&parts.claims).map_err(|_| FORM)?;
        if claims.sub != uri {
            return Err(StatusListError::OtherList);
        }
        if claims.status_list.bits != 1 {
            return Err(StatusListError::Malformed("it has not one bit a token"));
        }
        let fresh_until = claims.fresh_until();
        let seconds = now.seconds();
        if claims.iat > seconds.saturating_add(SKEW_SECONDS) {
            return Err(StatusListError::NotYet);
        }
        if seconds >= fresh_until {
            return Err(StatusListError::Stale);
        }
        Ok(Self { list: StatusList::from_lst(&claims.status_list.lst)?, fresh_until })
    }

    /// Whether the token at `position` is revoked.
    ///
    /// # Errors
    /// [`StatusListError::OutOfRange`], and [`StatusListError::Stale`] once it is.
    pub fn is_revoked(&self, position: u64, now: UnixMillis) -> Result<bool, StatusListError> {
        if now.seconds() >= self.fresh_until {
            return Err(StatusListError::Stale);
        }
        self.list.is_revoked(position).ok_or(StatusListError::OutOfRange)
    }
}

impl Claims {
    /// The earlier of `exp` and `iat` + `ttl`; a list with neither is not fresh at all.
    fn fresh_until(&self) -> i64 {
        let ttl = self.ttl.map(|ttl| i64::try_from(ttl).unwrap_or(i64::MAX));
        let by_ttl = ttl.map(|ttl| self.iat.saturating_add(ttl));
        match (self.exp, by_ttl) {
            (Some(exp), Some(by_ttl)) => exp.min(by_ttl),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => i64::MIN,
        }
    }
}

#[cfg(test)]
mod tests;
