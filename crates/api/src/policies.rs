//! The policy set in force.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// `GET /v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySetView {
    /// The set's hash, `sha-256:…`; the same for the same policies in any order.
    pub hash: String,
    /// The policies, by id.
    pub policies: Vec<PolicyView>,
}

/// One policy, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Its id.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The source that it came from.
    pub file: String,
    /// The line of that source, from 1.
    pub line: u32,
}

/// The body of `POST /v1/policies`: a whole set, replacing the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPoliciesRequest {
    /// Every source of the set.
    pub sources: Vec<PolicySourceText>,
}

/// One source of policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySourceText {
    /// Its name, usually a file name.
    pub name: String,
    /// Cedar text.
    pub text: String,
}

/// The set in force from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PutPoliciesResponse {
    /// The set's hash.
    pub hash: String,
    /// How many policies it has.
    pub policies: usize,
    /// The leaf of the change; absent when nothing changed or on a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_index: Option<u64>,
}
