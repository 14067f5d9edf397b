//! What a gateway reports and borrows.

use super::{Client, ClientError};
use crate::enforcement::leases::{LeaseReply, LeaseRequest, LeaseReturnReply, LeaseReturnRequest};
use crate::enforcement::receipts::{ReceiptsReply, ReceiptsRequest};

/// Receipts and leases.
impl Client {
    /// `POST /v1/enforcement/receipts`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; so for every method here.
    pub async fn report_receipts(
        &self,
        request: &ReceiptsRequest,
    ) -> Result<ReceiptsReply, ClientError> {
        self.post(&["v1", "enforcement", "receipts"], &(), request).await?.json()
    }

    /// `POST /v1/enforcement/leases`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn lease(&self, request: &LeaseRequest) -> Result<LeaseReply, ClientError> {
        self.post(&["v1", "enforcement", "leases"], &(), request).await?.json()
    }

    /// `POST /v1/enforcement/leases/return`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn return_leases(
        &self,
        request: &LeaseReturnRequest,
    ) -> Result<LeaseReturnReply, ClientError> {
        self.post(&["v1", "enforcement", "leases", "return"], &(), request).await?.json()
    }
}
