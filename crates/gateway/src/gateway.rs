//! The gateway: everything a request needs, in one place.

use std::sync::Arc;

use bailiwick_core::cache::VerifiedCache;
use bailiwick_core::crypto;
use bailiwick_identity::{NonceIssuer, ReplayGuard};

use crate::approvals::Approvals;
use crate::budget::Budgets;
use crate::carry::Carrier;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::offline::Settled;
use crate::reads::Reads;
use crate::refusals::Refusals;
use crate::route::Routes;
use crate::spool::Spool;
use crate::standing::Standing;
use crate::tunnel::Tunnels;
use crate::upstream::Upstreams;

/// The enforcement point. Shared by every request; its parts change under their own locks.
pub(crate) struct Gateway {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) routes: Routes,
    /// What the Authority has told.
    pub(crate) standing: Arc<Standing>,
    pub(crate) verified: VerifiedCache,
    pub(crate) nonces: NonceIssuer,
    pub(crate) replay: ReplayGuard,
    pub(crate) spool: Spool,
    pub(crate) budgets: Budgets,
    pub(crate) reads: Reads,
    pub(crate) approvals: Approvals,
    pub(crate) carry: Carrier,
    pub(crate) settled: Settled,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Refusals,
    /// The way to upstreams whose route says nothing of TLS.
    pub(crate) upstream: Upstreams,
    pub(crate) tunnels: Tunnels,
    /// Requests that may be in flight at once.
    pub(crate) in_flight: Arc<tokio::sync::Semaphore>,
}

impl Gateway {
    /// Ten fresh random bytes, for an id.
    pub(crate) fn fresh(&self) -> [u8; 10] {
        let mut random = [0; 10];
        // INVARIANT: without randomness the process could not have made its nonce key at start.
        let _ = crypto::fill_random(&mut random);
        random
    }
}
