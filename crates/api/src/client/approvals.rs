//! Approvals: ask, use, look at, decide.

use super::{Client, ClientError};
use crate::approvals::{
    ApprovalList, ApprovalQuery, ApprovalStanding, ApprovalView, AskApprovalRequest,
    DecideApprovalRequest, DecideApprovalResponse, UseApprovalReply, UseApprovalRequest,
};
use bailiwick_core::ids::ApprovalId;

impl Client {
    /// `POST /v1/approvals`, as an enforcement point.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; so for every method here.
    pub async fn ask_approval(
        &self,
        request: &AskApprovalRequest,
    ) -> Result<ApprovalStanding, ClientError> {
        self.post(&["v1", "approvals"], &(), request).await?.json()
    }

    /// `POST /v1/enforcement/approvals/use`, as an enforcement point.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn use_approval(
        &self,
        request: &UseApprovalRequest,
    ) -> Result<UseApprovalReply, ClientError> {
        self.post(&["v1", "enforcement", "approvals", "use"], &(), request).await?.json()
    }

    /// `GET /v1/approvals`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn approvals(&self, query: &ApprovalQuery) -> Result<ApprovalList, ClientError> {
        self.get(&["v1", "approvals"], query).await?.json()
    }

    /// `GET /v1/approvals/{id}`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn approval(&self, id: ApprovalId) -> Result<ApprovalView, ClientError> {
        self.get(&["v1", "approvals", &id.to_string()], &()).await?.json()
    }

    /// `POST /v1/approvals/{id}/approve` or `refuse`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn decide_approval(
        &self,
        id: ApprovalId,
        approve: bool,
        request: &DecideApprovalRequest,
    ) -> Result<DecideApprovalResponse, ClientError> {
        let verb = if approve { "approve" } else { "refuse" };
        self.post(&["v1", "approvals", &id.to_string(), verb], &(), request).await?.json()
    }
}
