//! OAuth: token exchange (RFC 8693), introspection (RFC 7662), revocation (RFC 7009), metadata
//! (RFC 8414), and errors in the form of RFC 6749 §5.2.

use crate::problem::ProblemCode;
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::ids::{DecisionId, TaskId, TokenId};
use bailiwick_core::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// `grant_type` of RFC 8693.
pub const GRANT_TYPE_TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Token type: an OpenID Connect ID token.
pub const TOKEN_TYPE_ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// Token type: a JWT that is not an access token.
pub const TOKEN_TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Token type: an OAuth access token.
pub const TOKEN_TYPE_ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Token type: a grant signed by the delegator's own key.
pub const TOKEN_TYPE_GRANT: &str = "urn:bailiwick:token-type:grant";
/// The `authorization_details` type that asks for a task.
pub const DETAIL_TYPE_TASK: &str = "bailiwick_task";
/// The `authorization_details` type of a delegation token's authority.
pub const DETAIL_TYPE_DELEGATION: &str = "agent_delegation";

/// The form of `POST /oauth/token`. Unknown parameters are ignored (RFC 6749 §3.2).
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct TokenRequest {
    /// Always [`GRANT_TYPE_TOKEN_EXCHANGE`].
    pub grant_type: String,
    /// Open: the subject's token. Settle: the grant. Renew and re-audience: the hop token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_token: Option<String>,
    /// What `subject_token` is; it chooses the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_token_type: Option<String>,
    /// The agent's own identity: a JWT-SVID or an OIDC token with this issuer as audience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_token: Option<String>,
    /// What `actor_token` is: [`TOKEN_TYPE_JWT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_token_type: Option<String>,
    /// The one resource that the issued token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Space-separated scopes; must be covered by the authority asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// JSON text of RFC 9396 details; open: one object of type [`DETAIL_TYPE_TASK`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<String>,
    /// If given, must be [`TOKEN_TYPE_ACCESS_TOKEN`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_token_type: Option<String>,
}

impl std::fmt::Debug for TokenRequest {
    /// Names the parameters that carry no secret, and only those.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest")
            .field("grant_type", &self.grant_type)
            .field("subject_token_type", &self.subject_token_type)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// One `authorization_details` object that asks for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDetail {
    /// Always [`DETAIL_TYPE_TASK`].
    #[serde(rename = "type")]
    pub detail_type: String,
    /// The workflow's id.
    pub workflow: String,
    /// The workflow's parameters, checked against its JSON Schema.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Free text for the record; never an input that grants anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

/// A hop token, issued.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// The hop token (compact JWS).
    pub access_token: String,
    /// Always [`TOKEN_TYPE_ACCESS_TOKEN`].
    pub issued_token_type: String,
    /// `DPoP`, or `N_A` when the token is bound to a certificate.
    pub token_type: String,
    /// Seconds until the token expires.
    pub expires_in: u64,
    /// Space-separated scopes.
    pub scope: String,
    /// The authority granted, as RFC 9396 details.
    #[schema(value_type = Vec<Object>)]
    pub authorization_details: Vec<Arc<HeldAuthority>>,
    /// The task.
    #[schema(value_type = String)]
    pub task_id: TaskId,
    /// The token's id.
    #[schema(value_type = String)]
    pub jti: TokenId,
    /// The decision that allowed it.
    #[schema(value_type = String)]
    pub decision_id: DecisionId,
    /// The decision's leaf in the ledger; durable before this reply was sent.
    pub ledger_index: u64,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse")
            .field("access_token", &"redacted")
            .field("jti", &self.jti)
            .field("task_id", &self.task_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// The form of `POST /oauth/introspect` and `POST /oauth/revoke`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenParameter {
    /// The token (compact JWS).
    pub token: String,
    /// Ignored: there is one kind of token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type_hint: Option<String>,
}

impl std::fmt::Debug for TokenParameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenParameter(redacted)")
    }
}

/// The answer to introspection: `active`, and for an active token all of its claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IntrospectionResponse {
    /// Whether the token may be used now; says nothing else when it may not.
    pub active: bool,
    /// The claims, `act` and the hop's facts included; empty when not active.
    #[serde(flatten)]
    pub claims: Map<String, Value>,
}

/// Authorization server metadata (RFC 8414), with our own members prefixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerMetadata {
    /// The issuer's URL: the `iss` of every hop token and the audience of identity tokens.
    pub issuer: String,
    /// Where tokens are exchanged.
    pub token_endpoint: String,
    /// Where the token-signing keys are.
    pub jwks_uri: String,
    /// Where tokens are introspected.
    pub introspection_endpoint: String,
    /// Where tokens are revoked.
    pub revocation_endpoint: String,
    /// Required by RFC 8414; empty, since there is no authorization endpoint.
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    /// Grant types.
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// How clients authenticate at the token endpoint.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of DPoP proofs.
    #[serde(default)]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// Types of `authorization_details`.
    #[serde(default)]
    pub authorization_details_types_supported: Vec<String>,
    /// Where the documentation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_documentation: Option<String>,
    /// Where status lists are aggregated (Token Status List).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_list_aggregation_endpoint: Option<String>,
    /// Where the ledger's checkpoint and tiles are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bailiwick_ledger: Option<String>,
    /// The server's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bailiwick_version: Option<String>,
    /// Whether the embedded development identities are on. Never in production.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bailiwick_dev: bool,
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Value>,
}

/// An OAuth error (RFC 6749 §5.2) with our code beside the standard one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OAuthError {
    /// The standard error code.
    #[schema(example = "invalid_grant")]
    pub error: String,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    /// A URI reference to the problem's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_uri: Option<String>,
    /// The stable machine-readable name of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The logged decision that refused, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub decision_id: Option<DecisionId>,
    /// Finds this exchange in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

impl OAuthError {
    /// An error for this code with this description.
    #[must_use]
    pub fn new(code: impl Into<ProblemCode>, description: impl Into<String>) -> Self {
        let code = code.into();
        let description = sanitize(&description.into());
        Self {
            error: oauth_error(code).to_owned(),
            error_description: (!description.is_empty()).then_some(description),
            error_uri: Some(code.type_uri()),
            code: Some(code.code().to_owned()),
            decision_id: None,
            trace_id: None,
        }
    }

    /// The error that asks for a proof with the nonce of the `DPoP-Nonce` header (RFC 9449 §8).
    #[must_use]
    pub fn use_dpop_nonce() -> Self {
        Self {
            error: "use_dpop_nonce".to_owned(),
            error_description: Some(
                "sign the proof again with the nonce of the DPoP-Nonce header".to_owned(),
            ),
            error_uri: None,
            code: None,
            decision_id: None,
            trace_id: None,
        }
    }

    /// The error for a `grant_type` or a token type that is not served here.
    #[must_use]
    pub fn unsupported(error: UnsupportedParameter, description: impl Into<String>) -> Self {
        let mut body = Self::new(Outcome::Malformed, description);
        body.error = error.name().to_owned();
        body
    }

    /// The same error as one of the proof of possession (RFC 9449 §5).
    #[must_use]
    pub fn of_proof(mut self) -> Self {
        "invalid_dpop_proof".clone_into(&mut self.error);
        self
    }

    /// The same error, naming the logged decision.
    #[must_use]
    pub fn with_decision(mut self, decision: DecisionId) -> Self {
        self.decision_id = Some(decision);
        self
    }

    /// The same error, naming the exchange in the log.
    #[must_use]
    pub fn with_trace(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// The HTTP status: 401 for a client that failed to authenticate, 503 when failed closed,
    /// 400 otherwise.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.error.as_str() {
            "invalid_client" => 401,
            "temporarily_unavailable" => 503,
            "server_error" => 500,
            _ => 400,
        }
    }
}

/// A parameter whose value this token endpoint does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsupportedParameter {
    /// `unsupported_grant_type`.
    GrantType,
    /// `invalid_request`, for token types and others.
    Other,
}

impl UnsupportedParameter {
    fn name(self) -> &'static str {
        match self {
            Self::GrantType => "unsupported_grant_type",
            Self::Other => "invalid_request",
        }
    }
}

/// The standard error of a code (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9396 §5, RFC 9449 §5).
fn oauth_error(code: ProblemCode) -> &'static str {
    let outcome = match code {
        ProblemCode::Outcome(outcome) => outcome,
        ProblemCode::Unauthenticated => return "invalid_client",
        ProblemCode::RoleRequired | ProblemCode::NotFound => return "unauthorized_client",
        ProblemCode::Internal => return "server_error",
        ProblemCode::RateLimited
        | ProblemCode::ApprovalRateExceeded
        | ProblemCode::BadGateway
        | ProblemCode::GatewayTimeout => {
            return "temporarily_unavailable";
        }
        ProblemCode::VersionConflict
        | ProblemCode::TooLarge
        | ProblemCode::MethodNotAllowed
        | ProblemCode::UnsupportedMediaType => return "invalid_request",
    };
    match outcome {
        Outcome::Malformed
        | Outcome::NonCanonical
        | Outcome::DuplicateMember
        | Outcome::NonFinite => "invalid_request",
        Outcome::HolderBindingFailed | Outcome::ProofReplayed => "invalid_dpop_proof",
        Outcome::IssuerUntrusted | Outcome::AgentUnregistered => "invalid_client",
        Outcome::AgentQuarantined | Outcome::EdgeForbidden => "unauthorized_client",
        Outcome::AudienceMismatch => "invalid_target",
        Outcome::NotNarrower | Outcome::ScopeNotGranted => "invalid_scope",
        Outcome::CeilingExceeded | Outcome::UnknownConstraint | Outcome::WorkflowUnregistered => {
            "invalid_authorization_details"
        }
        Outcome::PolicyDenied
        | Outcome::ApprovalRequired
        | Outcome::ApprovalRefused
        | Outcome::ApprovalInvalid
        | Outcome::ToolUnapproved
        | Outcome::OfflineHopForbidden
        | Outcome::FanoutExceeded
        | Outcome::BudgetExhausted => "access_denied",
        Outcome::StatusUnknown
        | Outcome::PolicyUnavailable
        | Outcome::LedgerUnavailable
        | Outcome::RevocationStale => "temporarily_unavailable",
        Outcome::SignatureInvalid
        | Outcome::ParHashMismatch
        | Outcome::DepthInvalid
        | Outcome::PrincipalAltered
        | Outcome::Expired
        | Outcome::Revoked
        | Outcome::TaskClosed
        | Outcome::TaskMismatch
        | Outcome::TenantMismatch
        | Outcome::ChainCycle
        | Outcome::ProvenanceMissing
        | Outcome::ClockSkew => "invalid_grant",
    }
}

/// Keeps to the characters that RFC 6749 §5.2 allows in `error_description`, at most 512 of them.
fn sanitize(text: &str) -> String {
    text.chars()
        .take(512)
        .map(|c| match c {
            '"' | '\\' => '\'',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_oauth_error_and_description_is_in_the_grammar() {
        for code in ProblemCode::all() {
            let error = OAuthError::new(code, "a \"quoted\" \\ línea\n");
            assert!(!error.error.is_empty());
            let description = error.error_description.clone().unwrap();
            assert_eq!(description, "a 'quoted' ' l?nea?");
            assert_eq!(error.error_uri.as_deref(), Some(code.type_uri().as_str()));
        }
        assert_eq!(OAuthError::new(Outcome::Expired, "").status(), 400);
        assert_eq!(OAuthError::new(ProblemCode::Unauthenticated, "").status(), 401);
        assert_eq!(OAuthError::new(Outcome::LedgerUnavailable, "").status(), 503);
    }

    #[test]
    fn debug_never_shows_a_token() {
        let request = TokenRequest {
            subject_token: Some("secret-1".into()),
            actor_token: Some("secret-2".into()),
            ..TokenRequest::default()
        };
        assert!(!format!("{request:?}").contains("secret"));
        let parameter = TokenParameter { token: "secret-3".into(), token_type_hint: None };
        assert!(!format!("{parameter:?}").contains("secret"));
    }
}
