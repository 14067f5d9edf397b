//! The steps of ADC's offline verification that relate a token to its parent, one function each.
//!
//! They run over whole chains in this order, so the first failure is the one ADC's reference
//! reports: commitments, depths, subjects, authorities, times. Claims are parsed and signatures
//! checked before them; the audience after them.

use crate::authority::{HeldAuthority, NarrowError};
use crate::error::VerifyError;
use crate::hash::Sha256Hash;
use crate::time::UnixMillis;

/// What one token of a chain says that its neighbours must agree with.
#[derive(Clone, Debug)]
pub struct Link<'a> {
    /// SHA-256 of its own signing input.
    pub signing_hash: Sha256Hash,
    /// What it says about its parent.
    pub commitment: Commitment,
    /// `del_depth`, if it is a non-negative integer.
    pub depth: Option<u64>,
    /// `del_max_depth`.
    pub max_depth: MaxDepth,
    /// `sub`.
    pub subject: &'a str,
    /// What it permits.
    pub authority: &'a HeldAuthority,
    /// `exp` in seconds.
    pub expires: f64,
    /// `nbf`, where a profile allows it.
    pub not_before: NotBefore,
}

/// A token's `par_hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commitment {
    /// None.
    Absent,
    /// A digest.
    Hash(Sha256Hash),
    /// Text that is not base64url.
    Unreadable,
}

/// A token's `del_max_depth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxDepth {
    /// None; allowed on a child.
    Absent,
    /// A positive integer.
    Tokens(u64),
    /// Anything else.
    Invalid,
}

/// A token's `nbf`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NotBefore {
    /// None.
    Absent,
    /// Seconds.
    At(f64),
    /// Anything else.
    Invalid,
}

/// Each token commits to the bytes of the one before it; the root to none.
///
/// # Errors
/// `malformed` or `par_hash_mismatch`.
pub fn commitments(links: &[Link<'_>]) -> Result<(), VerifyError> {
    for (hop, link) in links.iter().enumerate() {
        let parent = hop.checked_sub(1).and_then(|at| links.get(at));
        match (parent, link.commitment) {
            (None, Commitment::Hash(_) | Commitment::Unreadable) if link.depth == Some(0) => {
                return Err(VerifyError::malformed(hop, "the root must not carry par_hash"));
            }
            (None, _) => {}
            (Some(_), Commitment::Unreadable) => {
                return Err(VerifyError::malformed(hop, "par_hash is not base64url"));
            }
            (Some(_), Commitment::Absent) => return Err(VerifyError::ParHashMismatch { hop }),
            (Some(parent), Commitment::Hash(hash)) => {
                if !crate::crypto::ct_eq(&hash.0, &parent.signing_hash.0) {
                    return Err(VerifyError::ParHashMismatch { hop });
                }
            }
        }
    }
    Ok(())
}

/// Depths count up by one from the first token's, and the last is below the first's bound.
///
/// # Errors
/// `depth_invalid`.
pub fn depths(links: &[Link<'_>]) -> Result<(), VerifyError> {
    let invalid = |hop, what| Err(VerifyError::DepthInvalid { hop, what });
    let Some(first) = links.first() else { return Ok(()) };
    let Some(base) = first.depth else { return invalid(0, "del_depth is not a depth") };
    let MaxDepth::Tokens(bound) = first.max_depth else {
        return invalid(0, "del_max_depth is not a positive integer");
    };
    let leaf = base.saturating_add(links.len() as u64 - 1);
    if leaf >= bound {
        return invalid(links.len() - 1, "the chain has more tokens than del_max_depth");
    }
    for (hop, link) in links.iter().enumerate() {
        if link.depth != Some(base + hop as u64) {
            return invalid(hop, "del_depth does not count up by one");
        }
    }
    Ok(())
}

/// The subject is the same on every token.
///
/// # Errors
/// `principal_altered`.
pub fn subjects(links: &[Link<'_>]) -> Result<(), VerifyError> {
    let first = links.first().map(|link| link.subject);
    match links.iter().position(|link| Some(link.subject) != first) {
        Some(hop) => Err(VerifyError::PrincipalAltered { hop }),
        None => Ok(()),
    }
}

/// Every child's authority and depth bound are narrower than its parent's, or equal.
///
/// # Errors
/// `not_narrower`, or `malformed` for a depth bound that is none.
pub fn authorities(links: &[Link<'_>]) -> Result<(), VerifyError> {
    let mut bound = match links.first().map(|link| link.max_depth) {
        Some(MaxDepth::Tokens(tokens)) => tokens,
        _ => u64::MAX,
    };
    for (hop, pair) in links.windows(2).enumerate() {
        let (hop, [parent, child]) = (hop + 1, pair) else { continue };
        let narrower = child.authority.is_narrower_than(parent.authority);
        narrower.map_err(|source| VerifyError::NotNarrower { hop, source })?;
        match child.max_depth {
            MaxDepth::Absent => {}
            MaxDepth::Invalid => {
                return Err(VerifyError::malformed(hop, "del_max_depth is not a positive integer"));
            }
            MaxDepth::Tokens(tokens) if tokens > bound => {
                return Err(VerifyError::NotNarrower { hop, source: NarrowError::MaxDepth });
            }
            MaxDepth::Tokens(tokens) => bound = tokens,
        }
    }
    Ok(())
}

/// Every token is alive, and none outlives its parent. A token is dead from the second `exp` on
/// (RFC 7519 §4.1.4), one second earlier than in ADC's reference.
///
/// # Errors
/// `expired`, or `malformed` for an `nbf` that is none.
pub fn times(links: &[Link<'_>], now: UnixMillis) -> Result<(), VerifyError> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^53")]
    let now = now.0 as f64 / 1000.0;
    let mut parent = f64::INFINITY;
    for (hop, link) in links.iter().enumerate() {
        let expired = |what| Err(VerifyError::Expired { hop, what });
        match link.not_before {
            NotBefore::Absent => {}
            NotBefore::Invalid => return Err(VerifyError::malformed(hop, "nbf is not a number")),
            NotBefore::At(start) if now < start => return expired("not valid yet"),
            NotBefore::At(_) => {}
        }
        if now >= link.expires {
            return expired("expired");
        }
        if link.expires > parent {
            return expired("expires later than its parent");
        }
        parent = link.expires;
    }
    Ok(())
}
