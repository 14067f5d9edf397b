//! What a task has read, told to the Authority and asked of it.

use super::{Client, ClientError};
use crate::enforcement::reads::{
    ExposureReply, ExposureReport, ReadsPage, ReadsQuery, ReadsReceived, ReadsReport,
};
use bailiwick_core::ids::TaskId;

/// Reads and exposure.
impl Client {
    /// `POST /v1/enforcement/tasks/{id}/reads`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; so for every method here.
    pub async fn report_reads(
        &self,
        task: TaskId,
        report: &ReadsReport,
    ) -> Result<ReadsReceived, ClientError> {
        let path = ["v1", "enforcement", "tasks", &task.to_string(), "reads"];
        self.post(&path, &(), report).await?.json()
    }

    /// `GET /v1/enforcement/tasks/{id}/reads`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn reads(&self, task: TaskId, after: u64) -> Result<ReadsPage, ClientError> {
        let path = ["v1", "enforcement", "tasks", &task.to_string(), "reads"];
        self.get(&path, &ReadsQuery { after }).await?.json()
    }

    /// `POST /v1/enforcement/tasks/{id}/exposure`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn expose(
        &self,
        task: TaskId,
        report: &ExposureReport,
    ) -> Result<ExposureReply, ClientError> {
        let path = ["v1", "enforcement", "tasks", &task.to_string(), "exposure"];
        self.post(&path, &(), report).await?.json()
    }
}
