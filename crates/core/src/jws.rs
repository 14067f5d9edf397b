//! Compact JWS framing (RFC 7515 §7.1) with RFC 8785 header and payload; no keys, no claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::sha256;
use crate::hash::Sha256Hash;
use crate::jcs::{self, Form, JcsError};

/// A compact JWS taken apart. Nothing about it is verified except its form.
#[derive(Clone, Debug)]
pub struct Jws<'a> {
    /// `base64url(header) "." base64url(payload)`: the bytes that are signed.
    pub signing_input: &'a str,
    /// The header's JSON.
    pub header: String,
    /// The payload's JSON.
    pub payload: String,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// Why a text is not a canonical compact JWS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three dot-separated parts of unpadded base64url.
    #[error("not three parts of unpadded base64url")]
    Framing,
    /// The JSON of a part breaks a rule.
    #[error(transparent)]
    Json(#[from] JcsError),
}

impl<'a> Jws<'a> {
    /// Takes a compact JWS apart. Parse faults of header and payload come before canonical form.
    ///
    /// # Errors
    /// [`JwsError`].
    pub fn parse(compact: &'a str) -> Result<Self, JwsError> {
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(JwsError::Framing)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Framing)?;
        let (header, payload) = (decode_text(header)?, decode_text(payload)?);
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwsError::Framing)?;
        check_forms(&header, &payload)?;
        Ok(Self { signing_input, header, payload, signature })
    }

    /// SHA-256 of the signing input: what a child's `par_hash` commits to.
    #[must_use]
    pub fn signing_hash(&self) -> Sha256Hash {
        sha256(self.signing_input.as_bytes())
    }
}

/// Header and payload of a signing input, for a reader that trusts where the bytes came from.
pub(crate) fn split_signing_input(input: &[u8]) -> Result<(String, String), JwsError> {
    let text = std::str::from_utf8(input).map_err(|_| JwsError::Framing)?;
    let (header, payload) = text.split_once('.').ok_or(JwsError::Framing)?;
    let (header, payload) = (decode_text(header)?, decode_text(payload)?);
    check_forms(&header, &payload)?;
    Ok((header, payload))
}

/// The text of a base64url part; bytes that are no text are no JSON.
fn decode_text(part: &str) -> Result<String, JwsError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Framing)?;
    String::from_utf8(bytes).map_err(|_| JcsError::Malformed.into())
}

fn check_forms(header: &str, payload: &str) -> Result<(), JwsError> {
    let forms = [jcs::scan_text(header)?, jcs::scan_text(payload)?];
    let objects = header.starts_with('{') && payload.starts_with('{');
    if forms.contains(&Form::Other) {
        return Err(JcsError::NonCanonical.into());
    }
    if objects { Ok(()) } else { Err(JcsError::Malformed.into()) }
}

/// `base64url(header) "." base64url(payload)`.
pub(crate) fn signing_input(header: &[u8], payload: &[u8]) -> String {
    // With room for a dot and a signature.
    let mut out = String::with_capacity((header.len() + payload.len()) * 4 / 3 + 8 + 88);
    URL_SAFE_NO_PAD.encode_string(header, &mut out);
    out.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut out);
    out
}
