//! Taking a foreign JWS in compact form apart. Everything here is unverified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::claims::UnverifiedClaims;
use crate::config::ForeignAlgorithm;
use crate::error::IdentityError;
use crate::limits::{FOREIGN_JWT_BYTES_MAX, HEADER_BYTES_MAX, KID_BYTES_MAX};

/// A JWT whose form is right and about which nothing else is known.
pub(crate) struct UnverifiedJwt<'a> {
    pub(crate) typ: Option<String>,
    pub(crate) algorithm: ForeignAlgorithm,
    pub(crate) kid: Option<String>,
    pub(crate) claims: UnverifiedClaims,
    pub(crate) signing_input: &'a [u8],
    pub(crate) signature: &'a str,
}

#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
}

impl<'a> UnverifiedJwt<'a> {
    pub(crate) fn parse(compact: &'a str) -> Result<Self, IdentityError> {
        if compact.len() > FOREIGN_JWT_BYTES_MAX {
            return Err(IdentityError::Malformed("the token is too long"));
        }
        let parts = CompactParts::split(compact)?;
        let header: JoseHeader = serde_json::from_slice(&decode(parts.header)?)
            .map_err(|_| IdentityError::Malformed("the header is not a JOSE header"))?;
        if header.names_a_key() {
            return Err(IdentityError::Malformed(
                "the header names a key or a place to get one; keys come from the configuration",
            ));
        }
        if header.crit.is_some() {
            return Err(IdentityError::Malformed("the header has critical extensions"));
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(IdentityError::Malformed("`kid` is too long"));
        }
        let algorithm = ForeignAlgorithm::from_name(&header.alg)
            .ok_or(IdentityError::SignatureInvalid("the algorithm is not one that is accepted"))?;
        decode(parts.signature)?;
        let claims = UnverifiedClaims::parse(&decode(parts.payload)?)?;
        let (typ, kid) = (header.typ, header.kid);
        let (signing_input, signature) = (parts.signing_input.as_bytes(), parts.signature);
        Ok(Self { typ, algorithm, kid, claims, signing_input, signature })
    }
}

impl JoseHeader {
    fn names_a_key(&self) -> bool {
        self.jku.is_some() || self.jwk.is_some() || self.x5u.is_some() || self.x5c.is_some()
    }
}

/// The three parts of a compact JWS.
pub(crate) struct CompactParts<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    pub(crate) signing_input: &'a str,
}

impl<'a> CompactParts<'a> {
    pub(crate) fn split(compact: &'a str) -> Result<Self, IdentityError> {
        const FORM: IdentityError = IdentityError::Malformed("not three parts between dots");
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(FORM)?;
        let (header, payload) = signing_input.split_once('.').ok_or(FORM)?;
        let parts = [header, payload, signature];
        if payload.contains('.') || parts.iter().any(|part| part.is_empty()) {
            return Err(FORM);
        }
        if header.len() > HEADER_BYTES_MAX {
            return Err(IdentityError::Malformed("the header is too long"));
        }
        Ok(Self { header, payload, signature, signing_input })
    }
}

/// Strict base64url without padding.
pub(crate) fn decode(part: &str) -> Result<Vec<u8>, IdentityError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| IdentityError::Malformed("not base64url"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compact(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.AAAA", encode(header), encode(claims))
    }

    fn refusal(header: &str) -> Option<IdentityError> {
        UnverifiedJwt::parse(&compact(header, "{}")).err()
    }

    #[test]
    fn the_header_decides_nothing_and_may_not_bring_keys() {
        assert_eq!(refusal(r#"{"alg":"ES256","kid":"a","typ":"JWT","x5t":"x"}"#), None);
        for member in ["jku", "jwk", "x5u", "x5c", "crit"] {
            let header = format!(r#"{{"alg":"ES256","{member}":["x"]}}"#);
            assert!(matches!(refusal(&header), Some(IdentityError::Malformed(_))), "{member}");
        }
        for alg in ["none", "HS256", "HS512", "es256", "ES256K", ""] {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            assert!(matches!(refusal(&header), Some(IdentityError::SignatureInvalid(_))), "{alg}");
        }
        assert!(refusal(r#"{"alg":"ES256","alg":"none"}"#).is_some());
        assert!(refusal(r#"{"kid":"a"}"#).is_some());
        assert!(refusal(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(257))).is_some());
    }

    #[test]
    fn the_form_is_three_parts_of_bounded_size() {
        let good = compact(r#"{"alg":"ES256"}"#, "{}");
        assert!(UnverifiedJwt::parse(&good).is_ok());
        let long = compact(r#"{"alg":"ES256"}"#, &format!(r#"{{"a":"{}"}}"#, "x".repeat(16_384)));
        let bad = [
            "",
            ".",
            "..",
            "a.b",
            "a.b.c.d",
            "a..c",
            &format!("{good}.x"),
            &format!("{good}="),
            &long,
        ];
        for text in bad {
            assert!(UnverifiedJwt::parse(text).is_err(), "{}", text.len());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}", header in ".{0,80}", claims in ".{0,80}") {
            let _ = UnverifiedJwt::parse(&text);
            let _ = UnverifiedJwt::parse(&compact(&header, &claims));
        }
    }
}
