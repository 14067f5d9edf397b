//! Receipts that a gateway spooled, on their way into the Authority's ledger: in order, each once.

use bailiwick_core::constraint::{DebitKind, Micros};
use bailiwick_core::ids::{EpochId, LeaseId, TaskId, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Receipts in one request.
pub const RECEIPTS_MAX: usize = 512;
/// Bytes of one request.
pub const RECEIPTS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Lookup ids of one receipt.
pub const RECEIPT_IDS_MAX: usize = 16;
/// Bytes of one lookup id.
pub const RECEIPT_ID_BYTES_MAX: usize = 256;
/// Draws on leases that one receipt may report.
pub const DRAWS_MAX: usize = 256;

/// The body of `POST /v1/enforcement/receipts`: consecutive records of one epoch of a spool.
///
/// Without receipts it announces the epoch, and asks how much of it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptsRequest {
    /// The opening of the spool that numbered them.
    #[schema(value_type = String)]
    pub epoch: EpochId,
    /// The opening before it; absent when the spool's directory was new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<EpochEnd>,
    /// Number of the first receipt, counted from 0 within the epoch.
    pub first: u64,
    /// The receipts, in order, without a gap; at most 512.
    pub receipts: Vec<ReportedReceipt>,
}

/// How an epoch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochEnd {
    /// The epoch.
    #[schema(value_type = String)]
    pub epoch: EpochId,
    /// How many records it had.
    pub next: u64,
}

/// One receipt as the gateway recorded it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportedReceipt {
    /// `decision` or `action`.
    pub kind: String,
    /// When, by the gateway's clock, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The ids it can be looked up by.
    pub ids: Vec<String>,
    /// What it says: a JSON object.
    #[schema(value_type = Object)]
    pub payload: ReportedPayload,
    /// What it drew on leases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<ReportedDraw>,
}

/// The payload of a receipt as it was recorded: JSON text that is passed on without being read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReportedPayload(Box<RawValue>);

impl ReportedPayload {
    /// Takes JSON text.
    ///
    /// # Errors
    ///
    /// The text is no JSON.
    pub fn new(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// It is nested more deeply than is read.
    pub fn read(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }
}

impl PartialEq for ReportedPayload {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl TryFrom<&Value> for ReportedPayload {
    type Error = serde_json::Error;

    fn try_from(value: &Value) -> Result<Self, Self::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }
}

/// One draw on one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportedDraw {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// The task whose budget it is.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// The first token of the hop whose constraint it is.
    #[schema(value_type = String)]
    pub node: TokenId,
    /// Which total.
    #[schema(value_type = String)]
    pub kind: DebitKind,
    /// The constraint's key.
    pub key: String,
    /// How much, in millionths.
    #[schema(value_type = i64)]
    pub amount_micros: Micros,
}

/// The answer: everything below `next` is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptsReply {
    /// How many records of the epoch the Authority has.
    pub next: u64,
}
