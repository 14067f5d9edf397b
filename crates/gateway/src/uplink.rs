//! What the gateway asks of the Authority about receipts and budgets; a seam for partitions in tests.

use std::future::Future;
use std::pin::Pin;

use bailiwick_api::ClientError;
use bailiwick_api::enforcement::leases::{
    LeaseReply, LeaseRequest, LeaseReturnReply, LeaseReturnRequest,
};
use bailiwick_api::enforcement::receipts::{ReceiptsReply, ReceiptsRequest};

use crate::link::Link;

/// An answer on its way.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// The Authority, as far as receipts and budgets go.
pub(crate) trait Uplink: Send + Sync + 'static {
    /// Reports records of the spool.
    fn report<'a>(&'a self, ask: &'a ReceiptsRequest) -> Answer<'a, ReceiptsReply>;
    /// Asks for parts of budgets.
    fn lease<'a>(&'a self, ask: &'a LeaseRequest) -> Answer<'a, LeaseReply>;
    /// Returns parts of budgets.
    fn take_back<'a>(&'a self, ask: &'a LeaseReturnRequest) -> Answer<'a, LeaseReturnReply>;
}

impl Uplink for Link {
    fn report<'a>(&'a self, ask: &'a ReceiptsRequest) -> Answer<'a, ReceiptsReply> {
        Box::pin(self.client().report_receipts(ask))
    }

    fn lease<'a>(&'a self, ask: &'a LeaseRequest) -> Answer<'a, LeaseReply> {
        Box::pin(self.client().lease(ask))
    }

    fn take_back<'a>(&'a self, ask: &'a LeaseReturnRequest) -> Answer<'a, LeaseReturnReply> {
        Box::pin(self.client().return_leases(ask))
    }
}

#[cfg(test)]
pub(crate) mod sim;
