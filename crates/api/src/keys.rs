//! The Authority's own token-signing keys.

use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to `POST /v1/keys/rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotateKeyResponse {
    /// The key that signs from now on.
    pub kid: String,
    /// The key that signed until now; it stays in the JWKS until its last token expires.
    pub previous_kid: String,
    /// When the old key leaves the JWKS.
    pub previous_published_until: Timestamp,
    /// The leaf of the rotation.
    pub ledger_index: u64,
}
