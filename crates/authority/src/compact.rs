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

/// The three parts of a compact JWS, decoded, and its signing input.
pub(crate) fn split(token: &str) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>, &str)> {
    let (input, signature) = token.rsplit_once('.')?;
    let (header, claims) = input.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    Some((decode(header)?, decode(claims)?, decode(signature)?, input))
}
