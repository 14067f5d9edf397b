//! Looking into a compact JWS without believing it.

use crate::fault::Fault;
use bailiwick_core::crypto::sha256;
use bailiwick_core::hash::Sha256Hash;
use bailiwick_core::limits::TOKEN_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// What a token says. Nobody's signature was checked.
#[derive(Debug, Clone)]
pub(crate) struct Peeked {
    pub(crate) header: Value,
    pub(crate) payload: Value,
    /// SHA-256 of the signing input: what a child's `par_hash` names.
    pub(crate) signing_hash: Sha256Hash,
}

/// Decodes header and payload, and checks nothing else.
pub(crate) fn peek(compact: &str) -> Result<Peeked, Fault> {
    if compact.len() > TOKEN_BYTES_MAX {
        return Err(Fault::local(format!("the token is larger than {TOKEN_BYTES_MAX} bytes")));
    }
    let mut parts = compact.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(not_a_jws("it has not three parts"));
    };
    if URL_SAFE_NO_PAD.decode(signature).is_err() {
        return Err(not_a_jws("its signature is not base64url"));
    }
    let input = compact.len().saturating_sub(signature.len()).saturating_sub(1);
    let input = compact.get(..input).unwrap_or_default();
    Ok(Peeked {
        header: decode(header, "header")?,
        payload: decode(payload, "payload")?,
        signing_hash: sha256(input.as_bytes()),
    })
}

fn decode(part: &str, name: &str) -> Result<Value, Fault> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| not_a_jws(&format!("its {name} is not base64url")))?;
    serde_json::from_slice(&bytes).map_err(|_| not_a_jws(&format!("its {name} is not JSON")))
}

fn not_a_jws(why: &str) -> Fault {
    Fault::local(format!("not a compact JWS: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_of_base64url_json_or_nothing() {
        let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
        let good = format!("{}.{}.{}", part("{\"alg\":\"EdDSA\"}"), part("{\"a\":1}"), part("s"));
        let peeked = peek(&good).unwrap();
        assert_eq!(peeked.payload["a"], 1);
        let (input, _) = good.rsplit_once('.').unwrap();
        assert_eq!(peeked.signing_hash, sha256(input.as_bytes()));
        for bad in ["", "a.b", "a.b.c.d", "!.e30.AA", "e30.e30.!", "AA.e30.AA"] {
            assert!(peek(bad).is_err(), "{bad}");
        }
        assert!(peek(&"a".repeat(TOKEN_BYTES_MAX + 1)).is_err());
    }
}
