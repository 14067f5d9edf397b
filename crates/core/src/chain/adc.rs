//! Plain ADC chains (draft-asor-wimse-agent-delegation-chain-02), without our claims.
//!
//! Used to check agreement with ADC's published vectors. How a signature is checked is the
//! caller's ([`SignatureCheck`]): the vectors are HMAC-signed with a public key, and HMAC has no
//! place in the verification of our own tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::steps::{self, Commitment, Link, MaxDepth, NotBefore};
use crate::authority::HeldAuthority;
use crate::claims;
use crate::error::VerifyError;
use crate::hash::Sha256Hash;
use crate::jws::{Jws, JwsError};
use crate::limits::{CHAIN_BYTES_MAX, DEPTH_MAX, TOKEN_BYTES_MAX};
use crate::time::UnixMillis;

/// Decides whether a token's signature is acceptable.
pub trait SignatureCheck {
    /// Whether `signature` of `signing_input` verifies for a header with this `alg` and `kid`.
    fn accepts(&self, alg: &str, kid: Option<&str>, signing_input: &[u8], signature: &[u8])
    -> bool;
}

/// What the verifier expects.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdcOptions<'a> {
    /// Algorithms it accepts; a header naming another is refused before its signature is looked at.
    pub accepted_algs: &'a [&'a str],
    /// Its own name, which the leaf's `aud` must contain.
    pub audience: Option<&'a str>,
}

/// One token taken apart, canonical, not verified.
#[derive(Clone, Debug)]
pub struct AdcToken<'a> {
    /// The framing.
    pub jws: Jws<'a>,
    /// The header object.
    pub header: Value,
    /// The payload object.
    pub payload: Value,
}

/// Verifies a root-first chain and returns what its leaf permits.
///
/// # Errors
/// [`VerifyError`] with the first failure, in the order of ADC's reference.
pub fn verify(
    tokens: &[&str],
    check: &dyn SignatureCheck,
    options: &AdcOptions<'_>,
    now: UnixMillis,
) -> Result<HeldAuthority, VerifyError> {
    let parsed = parse(tokens)?;
    let authorities: Vec<HeldAuthority> = parsed
        .iter()
        .enumerate()
        .map(|(hop, token)| check_claims(&token.payload, hop))
        .collect::<Result<_, _>>()?;
    for (hop, token) in parsed.iter().enumerate() {
        check_signature(token, check, options.accepted_algs, hop)?;
    }
    let links: Vec<Link<'_>> =
        parsed.iter().zip(&authorities).map(|(token, held)| token.link(held)).collect();
    if parsed.first().is_some_and(|root| root.payload.get(claims::PAR_HASH).is_some()) {
        return Err(VerifyError::malformed(0, "the root must not carry par_hash"));
    }
    steps::commitments(&links)?;
    if links.first().is_some_and(|root| root.depth != Some(0)) {
        return Err(VerifyError::DepthInvalid { hop: 0, what: "the root's del_depth is not 0" });
    }
    steps::depths(&links)?;
    steps::subjects(&links)?;
    steps::authorities(&links)?;
    steps::times(&links, now)?;
    let leaf = parsed.len().saturating_sub(1);
    if let (Some(audience), Some(token)) = (options.audience, parsed.last())
        && !names(token.payload.get(claims::AUD), audience)
    {
        return Err(VerifyError::AudienceMismatch { hop: leaf });
    }
    authorities.into_iter().next_back().ok_or_else(|| VerifyError::malformed(0, "empty chain"))
}

/// Takes every token apart; sizes first.
///
/// # Errors
/// [`VerifyError`]: `malformed`, `depth_invalid` or a JSON fault.
pub fn parse<'a>(tokens: &[&'a str]) -> Result<Vec<AdcToken<'a>>, VerifyError> {
    if tokens.is_empty() {
        return Err(VerifyError::malformed(0, "empty chain"));
    }
    if tokens.len() > usize::from(DEPTH_MAX) + 1 {
        return Err(VerifyError::DepthInvalid { hop: 0, what: "more tokens than accepted" });
    }
    let bytes: usize = tokens.iter().map(|token| token.len()).sum();
    if bytes > CHAIN_BYTES_MAX || tokens.iter().any(|token| token.len() > TOKEN_BYTES_MAX) {
        return Err(VerifyError::malformed(0, "larger than accepted"));
    }
    tokens.iter().enumerate().map(|(hop, token)| AdcToken::parse(token, hop)).collect()
}

impl<'a> AdcToken<'a> {
    fn parse(token: &'a str, hop: usize) -> Result<Self, VerifyError> {
        let jws = Jws::parse(token).map_err(|error| match error {
            JwsError::Framing => VerifyError::malformed(hop, error.to_string()),
            JwsError::Json(fault) => VerifyError::Json { hop, fault },
        })?;
        let read = |text: &str| {
            serde_json::from_str::<Value>(text)
                .map_err(|_| VerifyError::malformed(hop, "not a JSON object"))
        };
        let (header, payload) = (read(&jws.header)?, read(&jws.payload)?);
        Ok(Self { jws, header, payload })
    }

    /// What the chain steps compare.
    #[must_use]
    pub fn link<'b>(&'b self, authority: &'b HeldAuthority) -> Link<'b> {
        let number = |name: &str| self.payload.get(name).and_then(Value::as_f64);
        Link {
            signing_hash: self.jws.signing_hash(),
            commitment: commitment(self.payload.get(claims::PAR_HASH)),
            depth: self.payload.get(claims::DEL_DEPTH).and_then(Value::as_u64),
            max_depth: match self.payload.get(claims::DEL_MAX_DEPTH) {
                None | Some(Value::Null) => MaxDepth::Absent,
                Some(value) => match value.as_u64() {
                    Some(tokens) if tokens > 0 => MaxDepth::Tokens(tokens),
                    _ => MaxDepth::Invalid,
                },
            },
            subject: self.payload.get(claims::SUB).and_then(Value::as_str).unwrap_or_default(),
            authority,
            expires: number(claims::EXP).unwrap_or(f64::NEG_INFINITY),
            not_before: match self.payload.get("nbf") {
                None | Some(Value::Null) => NotBefore::Absent,
                Some(nbf) => nbf.as_f64().map_or(NotBefore::Invalid, NotBefore::At),
            },
        }
    }
}

fn commitment(par_hash: Option<&Value>) -> Commitment {
    match par_hash {
        Some(Value::String(text)) => match URL_SAFE_NO_PAD.decode(text) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes) {
                Ok(hash) => Commitment::Hash(Sha256Hash(hash)),
                // Readable, but the digest of nothing: it matches no parent.
                Err(_) => Commitment::Hash(Sha256Hash([0; 32])),
            },
            Err(_) => Commitment::Unreadable,
        },
        _ => Commitment::Absent,
    }
}

/// Step 1 for one token.
///
/// # Errors
/// `signature_invalid`.
pub fn check_signature(
    token: &AdcToken<'_>,
    check: &dyn SignatureCheck,
    accepted_algs: &[&str],
    hop: usize,
) -> Result<(), VerifyError> {
    let alg = token.header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let kid = token.header.get("kid").and_then(Value::as_str);
    let input = token.jws.signing_input.as_bytes();
    if accepted_algs.contains(&alg) && check.accepts(alg, kid, input, &token.jws.signature) {
        return Ok(());
    }
    Err(VerifyError::SignatureInvalid { hop })
}

/// The -02's rules for the claims of one token.
fn check_claims(payload: &Value, hop: usize) -> Result<HeldAuthority, VerifyError> {
    let bad = |what: &str| Err(VerifyError::malformed(hop, what));
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    for name in [claims::ISS, claims::JTI, claims::SUB] {
        if text(name).is_none_or(str::is_empty) {
            return bad(&format!("{name} must be non-empty text"));
        }
    }
    if text(claims::CLIENT_ID).is_none() {
        return bad("client_id must be text");
    }
    let audience = match payload.get(claims::AUD) {
        Some(Value::String(_)) => true,
        Some(Value::Array(names)) => !names.is_empty() && names.iter().all(Value::is_string),
        _ => false,
    };
    if !audience {
        return bad("aud must be text or a non-empty array of text");
    }
    for name in [claims::IAT, claims::EXP] {
        if !payload.get(name).is_some_and(Value::is_number) {
            return bad(&format!("{name} must be a number"));
        }
    }
    let confirms = |cnf: &Value| ["jkt", "jwk", "x5t#S256"].iter().any(|m| cnf.get(m).is_some());
    if !payload.get(claims::CNF).is_some_and(confirms) {
        return bad("cnf must name the holder's key");
    }
    match payload.get(claims::AUTHORIZATION_DETAILS).and_then(Value::as_array).map(Vec::as_slice) {
        Some([detail]) => HeldAuthority::from_detail(detail)
            .map_err(|error| VerifyError::malformed(hop, error.to_string())),
        _ => bad("authorization_details must carry exactly one detail"),
    }
}

fn names(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::String(name)) => name == audience,
        Some(Value::Array(names)) => names.iter().any(|name| name.as_str() == Some(audience)),
        _ => false,
    }
}
