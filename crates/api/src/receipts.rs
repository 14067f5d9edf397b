//! Receipts: one leaf of the ledger with its opening and its proof.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// `GET /v1/receipts/{index}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    /// The leaf's index.
    pub index: u64,
    /// The leaf's bytes, base64url: its kind, its time and the commitment to the payload.
    pub entry: String,
    /// The commitment's salt, base64url; absent when the payload was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The payload (canonical JSON); absent when erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Value>,
    /// Whether the payload was erased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// Sibling hashes from leaf to root, standard base64 (RFC 6962 §2.1.1).
    pub inclusion_proof: Vec<String>,
    /// The size of the tree that the proof is for.
    pub tree_size: u64,
    /// The signed checkpoint of that size (C2SP signed note).
    pub checkpoint: String,
    /// The ledger's verifier key, as the server says it: a hint, never what a verifier trusts.
    pub vkey: String,
}

/// Query of `GET /v1/receipts`: a range of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LeafRange {
    /// The first leaf.
    #[serde(default)]
    pub start: u64,
    /// How many leaves at most; 1 to 1000.
    pub count: u64,
}

/// `GET /v1/receipts`: openings of a range of leaves, as lines of an export's `receipts.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptLines {
    /// One line a leaf, in order; fewer than asked for at the end of the ledger.
    pub lines: Vec<String>,
}
