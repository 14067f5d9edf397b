//! What stands behind a gateway, as its configuration declares it.

use bailiwick_core::permission::{Need, PermissionSet};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Routes of one gateway.
pub const DOWNSTREAMS_MAX: usize = 1_000;
/// Different needs of one route.
pub const DOWNSTREAM_NEEDS_MAX: usize = 2_000;
/// Bytes of one report.
pub const DOWNSTREAMS_BYTES_MAX: usize = 1024 * 1024;

/// The body of `POST /v1/enforcement/downstreams`: every route of the gateway. It takes the place of
/// what the gateway said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DownstreamsReport {
    /// The routes, at most 1000.
    pub routes: Vec<Downstream>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Downstream {
    /// Its name, as receipts have it.
    pub route: String,
    /// The system behind it, as policies name it.
    pub system: String,
    /// The team that answers for the system.
    pub owner: String,
    /// How far it can honour a chain: `verifies`, `carries`, `wrapped` or `opaque`.
    pub binding: String,
    /// `http`, `mcp` or `a2a`.
    pub protocol: String,
    /// The vendor's credential, if the gateway holds one for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<DownstreamCredential>,
    /// Everything that its operations declare to take of the credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub needs: Vec<Need>,
    /// How many operations it has.
    pub operations: u32,
    /// How many of them declare nothing.
    pub undeclared: u32,
}

/// A credential, as far as anybody but the gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DownstreamCredential {
    /// `key`, `basic`, `oauth` or `aws`.
    pub kind: String,
    /// What it can do at the vendor.
    #[schema(value_type = Object)]
    pub permissions: PermissionSet,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DownstreamsReply {
    /// The number of the declaration that is in force.
    pub version: u32,
    /// Whether this report is it; false when it says what was known.
    pub changed: bool,
}
