//! Leases on their way back: those that are over, and all of them when the gateway stops.
//!
//! A lease goes back when nothing is reserved on it and every record that may draw on it is shipped;
//! what was drawn is for the Authority to know from those. Until then it stays drawn in full.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bailiwick_api::enforcement::leases::{LEASE_RETURNS_MAX, LeaseReturnRequest};
use bailiwick_core::{EpochId, LeaseId, UnixMillis};

use super::Inner;

/// How often leases are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often a drain looks whether its records are shipped.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// Leases that wait to go back; past it the oldest stay drawn.
const WAITING_MAX: usize = 100_000;

/// Leases that wait until their records are shipped.
#[derive(Debug, Default)]
pub(super) struct Returning {
    waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    lease: LeaseId,
    epoch: EpochId,
    through: u64,
}

/// Looks after leases until the budgets are gone.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let inner: Weak<Inner> = Arc::downgrade(inner);
    tokio::spawn(async move {
        let mut returning = Returning::default();
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(inner) = inner.upgrade() else { return };
            let now = inner.clock.now();
            returning.collect(&inner, Some(now));
            returning.post(&inner).await;
        }
    });
}

/// Returns everything that nothing is reserved on, and waits until it has gone.
pub(super) async fn drain(inner: &Inner) {
    let mut returning = Returning::default();
    returning.collect(inner, None);
    while !returning.post(inner).await {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

impl Returning {
    /// Takes what is over out of the book. Nothing draws on it any more.
    pub(super) fn collect(&mut self, inner: &Inner, now: Option<UnixMillis>) {
        let mut book = inner.book.lock();
        // INVARIANT: under the book's lock, so that every draw on what goes is in a record that has
        // been written: a reservation is settled after its record is durable, or its units stay out.
        let Some((epoch, through)) = inner.spool.written() else { return };
        if book.epoch() != Some(epoch) {
            // The leases of another epoch go back with it.
            return;
        }
        let over = book.over(now).into_iter();
        self.waiting.extend(over.map(|lease| Waiting { lease, epoch, through }));
        let surplus = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..surplus);
    }

    /// Posts what is shipped; true when nothing waits any more.
    pub(super) async fn post(&mut self, inner: &Inner) -> bool {
        let Some((epoch, shipped)) = inner.spool.shipped() else { return self.waiting.is_empty() };
        self.waiting.retain(|waiting| waiting.epoch == epoch);
        while let Some(ask) = self.next(epoch, shipped) {
            match inner.uplink.take_back(&ask).await {
                Ok(_) => self.waiting.retain(|waiting| !ask.leases.contains(&waiting.lease)),
                Err(error) => {
                    tracing::debug!(%error, "leases could not be returned yet");
                    return false;
                }
            }
        }
        self.waiting.is_empty()
    }

    fn next(&self, epoch: EpochId, shipped: u64) -> Option<LeaseReturnRequest> {
        let ready = self.waiting.iter().filter(|waiting| waiting.through <= shipped);
        let ready: Vec<&Waiting> = ready.take(LEASE_RETURNS_MAX).collect();
        let through = ready.iter().map(|waiting| waiting.through).max()?;
        let leases = ready.iter().map(|waiting| waiting.lease).collect();
        Some(LeaseReturnRequest { epoch, through, leases })
    }
}
