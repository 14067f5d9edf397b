//! Why an identity was refused.

use bailiwick_core::Outcome;

/// A refused identity. The text is safe to show: it never holds a token, a key or a claim's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The input is not what it says it is: too long, wrong form, wrong type, a member missing.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No pinned issuer or trust domain stands for this identity.
    #[error("not vouched for by a trusted issuer: {0}")]
    IssuerUntrusted(&'static str),
    /// The issuer is pinned, but its keys cannot be had or are older than the stated bound.
    #[error("the keys of {issuer} are not available")]
    KeysUnavailable {
        /// The configured name of the issuer.
        issuer: String,
    },
    /// The signature, its algorithm or its key is not acceptable.
    #[error("signature refused: {0}")]
    SignatureInvalid(&'static str),
    /// Past its `exp`, its `notAfter` or its largest age.
    #[error("expired")]
    Expired,
    /// From the future, by more than the clock difference that is forgiven.
    #[error("not valid yet; compare the clocks")]
    NotYetValid,
    /// Meant for somebody else.
    #[error("meant for another audience")]
    AudienceMismatch,
    /// The caller did not prove that it holds the key.
    #[error("proof of possession refused: {0}")]
    HolderBindingFailed(&'static str),
    /// This proof was used before, or cannot be shown to be new.
    #[error("the proof was used before")]
    ProofReplayed,
    /// The proof needs a nonce of ours (RFC 9449, section 8): answer `use_dpop_nonce`.
    #[error("the proof needs a current nonce")]
    NonceRequired,
}

impl IdentityError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> Outcome {
        match self {
            Self::Malformed(_) => Outcome::Malformed,
            Self::IssuerUntrusted(_) | Self::KeysUnavailable { .. } => Outcome::IssuerUntrusted,
            Self::SignatureInvalid(_) => Outcome::SignatureInvalid,
            Self::Expired => Outcome::Expired,
            Self::NotYetValid => Outcome::ClockSkew,
            Self::AudienceMismatch => Outcome::AudienceMismatch,
            Self::HolderBindingFailed(_) | Self::NonceRequired => Outcome::HolderBindingFailed,
            Self::ProofReplayed => Outcome::ProofReplayed,
        }
    }
}
