//! Why a token, chain or grant does not verify.

use crate::authority::NarrowError;
use crate::jcs::JcsError;
use crate::outcome::Outcome;

/// The first failure of a verification. `hop` is the token's place in what was presented, 0 first.
///
/// `Display` never quotes key material and is safe to show to the presenter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The form is wrong: size, framing, header or claims.
    #[error("token {hop}: {what}")]
    Malformed {
        /// The token.
        hop: usize,
        /// What is wrong.
        what: String,
    },
    /// The JSON of a token is not canonical, repeats a member or has a number that is not finite.
    #[error("token {hop}: {fault}")]
    Json {
        /// The token.
        hop: usize,
        /// Which rule it breaks.
        fault: JcsError,
    },
    /// The signature does not verify under the configured key, or no key has that id.
    #[error("token {hop}: signature does not verify under a key this verifier has for it")]
    SignatureInvalid {
        /// The token.
        hop: usize,
    },
    /// The issuer is not pinned.
    #[error("token {hop}: issuer is not one this verifier pins")]
    IssuerUntrusted {
        /// The token.
        hop: usize,
    },
    /// The token does not commit to the parent it was presented with.
    #[error("token {hop}: par_hash does not match its parent")]
    ParHashMismatch {
        /// The token.
        hop: usize,
    },
    /// Too deep, or depths that do not count up.
    #[error("token {hop}: {what}")]
    DepthInvalid {
        /// The token.
        hop: usize,
        /// Which bound.
        what: &'static str,
    },
    /// `sub` differs from its parent's.
    #[error("token {hop}: sub differs from the root's")]
    PrincipalAltered {
        /// The token.
        hop: usize,
    },
    /// `txn`, workflow or environment differs from its parent's.
    #[error("token {hop}: belongs to another task than its parent")]
    TaskMismatch {
        /// The token.
        hop: usize,
    },
    /// The tenant differs from its parent's.
    #[error("token {hop}: belongs to another tenant than its parent")]
    TenantMismatch {
        /// The token.
        hop: usize,
    },
    /// Authority or depth bound wider than the parent's.
    #[error("token {hop}: {source}")]
    NotNarrower {
        /// The token.
        hop: usize,
        /// What is wider.
        source: NarrowError,
    },
    /// Past `exp`, or `exp` later than the parent's.
    #[error("token {hop}: {what}")]
    Expired {
        /// The token.
        hop: usize,
        /// Which of the two.
        what: &'static str,
    },
    /// Issued further in the future than clocks may differ.
    #[error("token {hop}: issued in the future")]
    ClockSkew {
        /// The token.
        hop: usize,
    },
    /// The signer of a grant is not the holder of its parent, or the grant binds no key.
    #[error("token {hop}: {what}")]
    HolderBindingFailed {
        /// The token.
        hop: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// The audience is not this verifier's (or, for a grant, not one its parent allows).
    #[error("token {hop}: issued for another audience")]
    AudienceMismatch {
        /// The token.
        hop: usize,
    },
    /// The actors or the lineage do not continue the parent's, or the root is missing.
    #[error("token {hop}: {what}")]
    ProvenanceMissing {
        /// The token.
        hop: usize,
        /// What is missing.
        what: &'static str,
    },
    /// A grant where only settled tokens are accepted.
    #[error("token {hop}: an unsettled grant is not accepted here")]
    OfflineHopForbidden {
        /// The token.
        hop: usize,
    },
}

impl VerifyError {
    /// The stable outcome.
    #[must_use]
    pub fn code(&self) -> Outcome {
        match self {
            Self::Malformed { .. } => Outcome::Malformed,
            Self::Json { fault, .. } => fault.code(),
            Self::SignatureInvalid { .. } => Outcome::SignatureInvalid,
            Self::IssuerUntrusted { .. } => Outcome::IssuerUntrusted,
            Self::ParHashMismatch { .. } => Outcome::ParHashMismatch,
            Self::DepthInvalid { .. } => Outcome::DepthInvalid,
            Self::PrincipalAltered { .. } => Outcome::PrincipalAltered,
            Self::TaskMismatch { .. } => Outcome::TaskMismatch,
            Self::TenantMismatch { .. } => Outcome::TenantMismatch,
            Self::NotNarrower { .. } => Outcome::NotNarrower,
            Self::Expired { .. } => Outcome::Expired,
            Self::ClockSkew { .. } => Outcome::ClockSkew,
            Self::HolderBindingFailed { .. } => Outcome::HolderBindingFailed,
            Self::AudienceMismatch { .. } => Outcome::AudienceMismatch,
            Self::ProvenanceMissing { .. } => Outcome::ProvenanceMissing,
            Self::OfflineHopForbidden { .. } => Outcome::OfflineHopForbidden,
        }
    }

    /// The token of the presented chain that failed, 0 first.
    #[must_use]
    pub fn hop(&self) -> usize {
        match self {
            Self::Malformed { hop, .. }
            | Self::Json { hop, .. }
            | Self::SignatureInvalid { hop }
            | Self::IssuerUntrusted { hop }
            | Self::ParHashMismatch { hop }
            | Self::DepthInvalid { hop, .. }
            | Self::PrincipalAltered { hop }
            | Self::TaskMismatch { hop }
            | Self::TenantMismatch { hop }
            | Self::NotNarrower { hop, .. }
            | Self::Expired { hop, .. }
            | Self::ClockSkew { hop }
            | Self::HolderBindingFailed { hop, .. }
            | Self::AudienceMismatch { hop }
            | Self::ProvenanceMissing { hop, .. }
            | Self::OfflineHopForbidden { hop } => *hop,
        }
    }

    pub(crate) fn malformed(hop: usize, what: impl Into<String>) -> Self {
        Self::Malformed { hop, what: what.into() }
    }
}
