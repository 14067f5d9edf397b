//! What opens a leaf: salt and payload, or the statement that they were erased; and its line in an export.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::receipt::{SALT_BYTES, opens};

/// Longest line of a receipts file that this crate reads.
pub const RECEIPT_LINE_BYTES_MAX: usize = 1 << 20;

/// The private half of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The commitment can be opened.
    Open {
        /// Salt of the commitment.
        salt: [u8; SALT_BYTES],
        /// RFC 8785 JSON.
        payload: Vec<u8>,
    },
    /// Salt and payload were erased; the leaf stays.
    Erased,
}

/// Where openings are stored.
pub trait OpeningReader {
    /// Why a read failed.
    type Error;

    /// Openings of leaves `start .. start + count`, in order; `count` is at most 256.
    ///
    /// # Errors
    /// The store's own. A reader that has fewer returns those it has.
    fn openings(&self, start: u64, count: u64) -> Result<Vec<Opening>, Self::Error>;
}

/// A receipts line, or the receipt part of a proof, that cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// Not the object it should be.
    #[error("the receipt cannot be read")]
    Malformed,
    /// Longer than the limit.
    #[error("the receipt is longer than the limit")]
    TooLong,
    /// The payload to write is not one JSON value on one line.
    #[error("the payload is not JSON")]
    Payload,
}

impl Opening {
    /// Whether it fits the leaf: it opens the commitment, or was erased.
    pub fn fits(&self, entry: &[u8]) -> bool {
        match self {
            Self::Open { salt, payload } => opens(entry, salt, payload),
            Self::Erased => true,
        }
    }
}

/// One line of `receipts.jsonl`: `{"index","salt","payload"}`, or `{"index","erased":true}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptLine {
    /// Which leaf.
    pub index: u64,
    /// What opens it.
    pub opening: Opening,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineWire {
    index: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
}

impl ReceiptLine {
    /// Reads a line, without its newline. The payload's bytes are kept exactly: the commitment is over them.
    ///
    /// # Errors
    /// [`OpeningError::Malformed`] or [`OpeningError::TooLong`].
    pub fn parse(line: &[u8]) -> Result<Self, OpeningError> {
        if line.len() > RECEIPT_LINE_BYTES_MAX {
            return Err(OpeningError::TooLong);
        }
        let wire: LineWire = serde_json::from_slice(line).map_err(|_| OpeningError::Malformed)?;
        let LineWire { index, salt, payload, erased } = wire;
        let opening = Opening::from_wire(OpeningWire { salt, payload, erased })?;
        Ok(Self { index, opening })
    }

    /// The line, without a newline.
    ///
    /// # Errors
    /// [`OpeningError::Payload`] or [`OpeningError::TooLong`].
    pub fn to_line(&self) -> Result<String, OpeningError> {
        let OpeningWire { salt, payload, erased } = self.opening.to_wire()?;
        let wire = LineWire { index: self.index, salt, payload, erased };
        let line = serde_json::to_string(&wire).map_err(|_| OpeningError::Payload)?;
        if line.len() > RECEIPT_LINE_BYTES_MAX {
            return Err(OpeningError::TooLong);
        }
        if line.contains('\n') { Err(OpeningError::Payload) } else { Ok(line) }
    }
}

impl Opening {
    pub(crate) fn from_wire(wire: OpeningWire) -> Result<Self, OpeningError> {
        match (wire.salt, wire.payload, wire.erased) {
            (None, None, true) => Ok(Self::Erased),
            (Some(salt), Some(payload), false) => {
                let salt = URL_SAFE_NO_PAD.decode(salt).map_err(|_| OpeningError::Malformed)?;
                let salt = salt.try_into().map_err(|_| OpeningError::Malformed)?;
                Ok(Self::Open { salt, payload: payload.get().as_bytes().to_vec() })
            }
            _ => Err(OpeningError::Malformed),
        }
    }

    pub(crate) fn to_wire(&self) -> Result<OpeningWire, OpeningError> {
        let Self::Open { salt, payload } = self else {
            return Ok(OpeningWire { salt: None, payload: None, erased: true });
        };
        let payload = String::from_utf8(payload.clone()).map_err(|_| OpeningError::Payload)?;
        let payload = RawValue::from_string(payload).map_err(|_| OpeningError::Payload)?;
        Ok(OpeningWire {
            salt: Some(URL_SAFE_NO_PAD.encode(salt)),
            payload: Some(payload),
            erased: false,
        })
    }
}

/// An opening's members in JSON, as receipts lines and proofs spell them out.
pub(crate) struct OpeningWire {
    pub(crate) salt: Option<String>,
    pub(crate) payload: Option<Box<RawValue>>,
    pub(crate) erased: bool,
}
