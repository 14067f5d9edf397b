//! Development identities: only with `serve --dev`, only on loopback.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of `POST /dev/subject-token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DevSubjectTokenRequest {
    /// The user, such as `alice@dev.example`.
    pub subject: String,
    /// Groups to put into the token.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The audience; the server's issuer when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// The body of `POST /dev/svid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DevSvidRequest {
    /// A SPIFFE ID in the development trust domain.
    pub spiffe_id: String,
    /// The audience; the server's issuer when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// A development token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DevTokenResponse {
    /// The token (compact JWS).
    pub token: String,
    /// Seconds until it expires, when the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

impl std::fmt::Debug for DevTokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DevTokenResponse(redacted)")
    }
}
