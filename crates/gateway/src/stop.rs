//! Why a request does not go on, on its way to being recorded and told.

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{Refusal, VerifyError};
use bailiwick_identity::IdentityError;
use bailiwick_policy::Denial;
use serde_json::{Map, Value};

use crate::call::RefusalForm;

/// Why a request stops. It becomes a recorded denial in one place, `Attempt::refuse`.
#[derive(Debug)]
pub(crate) struct Stop {
    /// The stable code.
    pub(crate) code: ProblemCode,
    /// What in particular; safe to show to the agent.
    pub(crate) detail: String,
    /// Policy's own denial, when policy refused.
    pub(crate) denial: Option<Box<Denial<()>>>,
    /// The proof has to be made again with this gateway's nonce (RFC 9449 §9); not a refusal.
    pub(crate) nonce_required: bool,
    /// Members that the reply carries besides, such as an approval request's id.
    pub(crate) extra: Box<Map<String, Value>>,
    /// How it is told, when that is not the request's own form.
    pub(crate) form: Option<Box<RefusalForm>>,
}

impl Stop {
    pub(crate) fn new(code: impl Into<ProblemCode>, detail: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
            denial: None,
            nonce_required: false,
            extra: Box::default(),
            form: None,
        }
    }

    /// Adds a member to the reply.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }
}

impl From<Denial<()>> for Stop {
    fn from(denial: Denial<()>) -> Self {
        let detail = denial.decision().reason.clone().unwrap_or_default();
        let mut stop = Self::new(denial.outcome(), detail);
        stop.denial = Some(Box::new(denial));
        stop
    }
}

impl From<IdentityError> for Stop {
    fn from(error: IdentityError) -> Self {
        let nonce_required = matches!(error, IdentityError::NonceRequired);
        Self { nonce_required, ..Self::new(error.code(), error.to_string()) }
    }
}

impl From<VerifyError> for Stop {
    fn from(error: VerifyError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        let detail = match &refusal.key {
            Some(key) => format!("{key}: {}", refusal.detail),
            None => refusal.detail,
        };
        Self::new(refusal.outcome, detail)
    }
}

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Self {
        Self::new(outcome, outcome.title())
    }
}
