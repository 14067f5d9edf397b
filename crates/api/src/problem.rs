//! Refusals over HTTP: RFC 9457 problem details with a stable code.

use bailiwick_core::ids::DecisionId;
use bailiwick_core::outcome::Outcome;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused: an outcome of the token profile, or a fault of the HTTP exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemCode {
    /// A verdict on a token, a chain, a policy or a limit.
    Outcome(Outcome),
    /// No usable credential was presented.
    Unauthenticated,
    /// The caller is known and lacks the role that this operation needs.
    RoleRequired,
    /// There is no such thing, or the caller may not learn that there is.
    NotFound,
    /// The thing changed since the caller read it, or already exists.
    VersionConflict,
    /// The body is larger than the endpoint accepts.
    TooLarge,
    /// The path exists and this method does not.
    MethodNotAllowed,
    /// The body's media type is not one that the endpoint reads.
    UnsupportedMediaType,
    /// The caller asks faster than this listener serves.
    RateLimited,
    /// The approver has approved as much in this hour as one person may.
    ApprovalRateExceeded,
    /// What stands behind a gateway cannot be reached, or answered what may not be passed on.
    BadGateway,
    /// What stands behind a gateway did not begin to answer in time.
    GatewayTimeout,
    /// A fault of the server; nothing was issued and nothing was allowed.
    Internal,
}

impl ProblemCode {
    /// The codes that are not outcomes of the token profile.
    pub const HTTP: [Self; 12] = [
        Self::Unauthenticated,
        Self::RoleRequired,
        Self::NotFound,
        Self::VersionConflict,
        Self::TooLarge,
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::ApprovalRateExceeded,
        Self::BadGateway,
        Self::GatewayTimeout,
        Self::Internal,
    ];

    /// Every code: the outcomes first, in their order of precedence.
    pub fn all() -> impl Iterator<Item = Self> {
        Outcome::ALL.iter().copied().map(Self::Outcome).chain(Self::HTTP)
    }

    /// The stable machine-readable name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Outcome(outcome) => outcome.code(),
            Self::Unauthenticated => "unauthenticated",
            Self::RoleRequired => "role_required",
            Self::NotFound => "not_found",
            Self::VersionConflict => "version_conflict",
            Self::TooLarge => "too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RateLimited => "rate_limited",
            Self::ApprovalRateExceeded => "approval_rate_exceeded",
            Self::BadGateway => "bad_gateway",
            Self::GatewayTimeout => "gateway_timeout",
            Self::Internal => "internal",
        }
    }

    /// One sentence: what it means.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Outcome(outcome) => outcome.title(),
            Self::Unauthenticated => {
                "The request carries no credential that this endpoint accepts."
            }
            Self::RoleRequired => "The caller is known and lacks the role this operation needs.",
            Self::NotFound => "There is no such thing, or the caller may not learn that there is.",
            Self::VersionConflict => "The thing changed since it was read, or already exists.",
            Self::TooLarge => "The request is larger than this endpoint accepts.",
            Self::MethodNotAllowed => "This path does not answer to this method.",
            Self::UnsupportedMediaType => "This endpoint does not read that media type.",
            Self::RateLimited => "The caller asks faster than this listener serves.",
            Self::ApprovalRateExceeded => {
                "The approver has approved as much in this hour as one person may."
            }
            Self::BadGateway => {
                "What stands behind the gateway cannot be reached, or its reply may not be passed on."
            }
            Self::GatewayTimeout => {
                "What stands behind the gateway did not begin to answer in time."
            }
            Self::Internal => "The server failed; nothing was issued and nothing was allowed.",
        }
    }

    /// One sentence: what to do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Outcome(outcome) => outcome.remedy(),
            Self::Unauthenticated => {
                "Send the credential that the OpenAPI document names for the operation."
            }
            Self::RoleRequired => {
                "Ask an administrator for the role, or use an identity that has it."
            }
            Self::NotFound => "Check the identifier and that your identity may see it.",
            Self::VersionConflict => {
                "Read the current version, apply your change to it, try again."
            }
            Self::TooLarge => "Send less: the limits are in the reference.",
            Self::MethodNotAllowed => "Look the operation up in the OpenAPI document.",
            Self::UnsupportedMediaType => {
                "Send application/json, or a form where OAuth asks for one."
            }
            Self::RateLimited => "Wait as long as Retry-After says, then try again.",
            Self::ApprovalRateExceeded => {
                "Let another approver decide, or wait; somebody who approves everything reads nothing."
            }
            Self::BadGateway => {
                "Check that the route's upstream runs and answers as the route says; the call was \
                 decided, and may have been made."
            }
            Self::GatewayTimeout => {
                "Ask again if the call may be made twice: the upstream may still carry it out."
            }
            Self::Internal => "Report the trace_id; the cause is in the server's log under it.",
        }
    }

    /// The HTTP status: 401 bad or no proof, 403 known but refused, 404 existence is secret,
    /// 400 malformed, 409 conflict, 503 failed closed.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Outcome(outcome) => outcome_status(outcome),
            Self::Unauthenticated => 401,
            Self::RoleRequired => 403,
            Self::NotFound => 404,
            Self::VersionConflict => 409,
            Self::TooLarge => 413,
            Self::MethodNotAllowed => 405,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited | Self::ApprovalRateExceeded => 429,
            Self::BadGateway => 502,
            Self::GatewayTimeout => 504,
            Self::Internal => 500,
        }
    }

    /// The code of this name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::all().find(|candidate| candidate.code() == code)
    }

    /// The problem's page, relative to the server.
    #[must_use]
    pub fn type_uri(self) -> String {
        format!("/problems/{}", self.code())
    }
}

impl From<Outcome> for ProblemCode {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

/// The status of an outcome; an exhaustive match, so that a new outcome must choose one.
fn outcome_status(outcome: Outcome) -> u16 {
    match outcome {
        Outcome::Malformed
        | Outcome::NonCanonical
        | Outcome::DuplicateMember
        | Outcome::NonFinite => 400,
        Outcome::SignatureInvalid
        | Outcome::ParHashMismatch
        | Outcome::PrincipalAltered
        | Outcome::Expired
        | Outcome::HolderBindingFailed
        | Outcome::Revoked
        | Outcome::AudienceMismatch
        | Outcome::ProofReplayed
        | Outcome::ProvenanceMissing
        | Outcome::IssuerUntrusted
        | Outcome::ClockSkew => 401,
        Outcome::DepthInvalid
        | Outcome::NotNarrower
        | Outcome::ScopeNotGranted
        | Outcome::CeilingExceeded
        | Outcome::UnknownConstraint
        | Outcome::TaskMismatch
        | Outcome::TenantMismatch
        | Outcome::AgentUnregistered
        | Outcome::AgentQuarantined
        | Outcome::WorkflowUnregistered
        | Outcome::EdgeForbidden
        | Outcome::ChainCycle
        | Outcome::FanoutExceeded
        | Outcome::BudgetExhausted
        | Outcome::OfflineHopForbidden
        | Outcome::PolicyDenied
        | Outcome::ApprovalRequired
        | Outcome::ApprovalRefused
        | Outcome::ApprovalInvalid
        | Outcome::ToolUnapproved => 403,
        Outcome::TaskClosed => 409,
        Outcome::StatusUnknown
        | Outcome::PolicyUnavailable
        | Outcome::LedgerUnavailable
        | Outcome::RevocationStale => 503,
    }
}

/// A refusal, as RFC 9457 problem details (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI reference to the problem's page: `/problems/<code>`.
    #[serde(rename = "type")]
    #[schema(example = "/problems/policy_denied")]
    pub type_uri: String,
    /// What the code means, in one sentence; the same for every instance.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time. Never policy text, a secret, or another tenant's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The stable machine-readable name of the reason.
    #[schema(example = "policy_denied")]
    pub code: String,
    /// Finds this exchange in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The logged decision that refused, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub decision_id: Option<DecisionId>,
    /// The hop of the chain at fault, counted from the root, when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<u8>,
}

impl Problem {
    /// A problem with this code and this detail.
    #[must_use]
    pub fn new(code: impl Into<ProblemCode>, detail: impl Into<String>) -> Self {
        let code = code.into();
        Self {
            type_uri: code.type_uri(),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code: code.code().to_owned(),
            trace_id: None,
            decision_id: None,
            hop: None,
        }
    }

    /// The same problem, naming the logged decision.
    #[must_use]
    pub fn with_decision(mut self, decision: DecisionId) -> Self {
        self.decision_id = Some(decision);
        self
    }

    /// The same problem, naming the hop at fault.
    #[must_use]
    pub fn with_hop(mut self, hop: u8) -> Self {
        self.hop = Some(hop);
        self
    }

    /// The same problem, naming the exchange in the log.
    #[must_use]
    pub fn with_trace(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// The code as a type, if this build knows it.
    #[must_use]
    pub fn problem_code(&self) -> Option<ProblemCode> {
        ProblemCode::from_code(&self.code)
    }
}

#[cfg(test)]
mod tests;
