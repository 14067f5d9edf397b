//! Why an operation did not happen, on its way to the caller.

use bailiwick_api::ProblemCode;
use bailiwick_core::ids::DecisionId;
use bailiwick_core::outcome::Outcome;
use bailiwick_identity::IdentityError;
use bailiwick_policy::Denial;

use crate::model::Refused;
use crate::store::StoreError;

/// A refusal as the caller is told it; where it had to be recorded, it is recorded.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Why, as a stable code.
    pub code: ProblemCode,
    /// What in particular; safe to show.
    pub detail: String,
    /// The logged decision that refused.
    pub decision: Option<DecisionId>,
    /// The leaf of that decision.
    pub ledger_index: Option<u64>,
    /// The policies that determined the refusal, when policy refused.
    pub determining: Vec<String>,
    /// The proof has to be made again with the server's nonce (RFC 9449 §8); not a refusal.
    pub nonce_required: bool,
    /// It is the proof of possession that is refused, whatever the code: to OAuth clients that has a name
    /// of its own (RFC 9449 §5).
    pub of_proof: bool,
}

impl Fault {
    /// A refusal that is no decision: it names no logged one.
    pub fn new(code: impl Into<ProblemCode>, detail: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
            decision: None,
            ledger_index: None,
            determining: Vec::new(),
            nonce_required: false,
            of_proof: false,
        }
    }

    /// There is no such thing, or the caller may not learn that there is.
    pub fn not_found(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("there is no such {what}"))
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Stop::from(error).into_fault()
    }
}

/// Why an operation stops. It becomes a recorded denial in one place, `Attempt::refuse`.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The code refuses.
    Code(ProblemCode, String),
    /// The proof of possession is refused.
    Proof(Outcome, String),
    /// Policy refuses.
    Policy(Box<Denial<()>>),
    /// The caller has to use the server's nonce.
    Nonce,
}

impl Stop {
    pub(crate) fn new(code: impl Into<ProblemCode>, detail: impl Into<String>) -> Self {
        Self::Code(code.into(), detail.into())
    }

    /// What is wrong with a proof of possession.
    pub(crate) fn of_proof(error: IdentityError) -> Self {
        match error {
            IdentityError::NonceRequired => Self::Nonce,
            other => Self::Proof(other.code(), format!("the DPoP proof: {other}")),
        }
    }

    /// The refusal where nothing is to be recorded (reads, management).
    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::Code(code, detail) => Fault::new(code, detail),
            Self::Proof(outcome, detail) => Fault { of_proof: true, ..Fault::new(outcome, detail) },
            Self::Policy(denial) => {
                Fault::new(denial.outcome(), denial.decision().reason.clone().unwrap_or_default())
            }
            Self::Nonce => Fault {
                nonce_required: true,
                ..Fault::new(
                    Outcome::HolderBindingFailed,
                    "sign the proof again with the nonce of the DPoP-Nonce header",
                )
            },
        }
    }
}

impl From<IdentityError> for Stop {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::NonceRequired => Self::Nonce,
            other => Self::new(other.code(), other.to_string()),
        }
    }
}

impl From<bailiwick_core::VerifyError> for Stop {
    fn from(error: bailiwick_core::VerifyError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refused) => refused.into(),
            StoreError::Invalid(what) => Self::new(Outcome::Malformed, what),
            StoreError::Unavailable(cause) => {
                tracing::error!(%cause, "the store is unavailable: refusing");
                let detail = "the record cannot be written or read now, so nothing is released";
                Self::new(Outcome::LedgerUnavailable, detail)
            }
        }
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        let code = match (refused.outcome(), &refused) {
            (Some(outcome), _) => outcome.into(),
            (None, Refused::NotFound) => ProblemCode::NotFound,
            (None, Refused::ApprovalRate) => ProblemCode::ApprovalRateExceeded,
            (None, _) => ProblemCode::VersionConflict,
        };
        Self::Code(code, refused.to_string())
    }
}
