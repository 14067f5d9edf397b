//! Compact JWS for the two kinds of JWT that are not delegation tokens: status lists and
//! development identities.

use bailiwick_core::crypto::KeyError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// Signs `claims` under `header` (RFC 7515 section 7.1).
///
/// Both serialise from values and derived structs, which cannot fail; should one, the token is
/// empty text, which no verifier accepts.
pub(crate) fn sign<H: Serialize, C: Serialize>(
    header: &H,
    claims: &C,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, KeyError>,
) -> Result<String, KeyError> {
    let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header).unwrap_or_default());
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap_or_default());
    let input = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes())?);
    Ok(format!("{input}.{signature}"))
}

/// A compact JWS, decoded and not verified.
pub(crate) struct Parts<'a> {
    pub(crate) header: Vec<u8>,
    pub(crate) claims: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) signing_input: &'a str,
}

/// The parts of a compact JWS.
pub(crate) fn split(token: &str) -> Option<Parts<'_>> {
    let (signing_input, signature) = token.rsplit_once('.')?;
    let (header, claims) = signing_input.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    Some(Parts {
        header: decode(header)?,
        claims: decode(claims)?,
        signature: decode(signature)?,
        signing_input,
    })
}
