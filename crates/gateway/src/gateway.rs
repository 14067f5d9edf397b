//! The gateway: everything a request needs, in one place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bailiwick_core::cache::VerifiedCache;
use bailiwick_core::crypto;
use bailiwick_core::time::UnixMillis;
use bailiwick_identity::{NonceIssuer, ReplayGuard};

use crate::approvals::Approvals;
use crate::budget::Budgets;
use crate::carry::Carrier;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::offline::Settled;
use crate::reads::Reads;
use crate::route::Routes;
use crate::spool::Spool;
use crate::standing::Standing;
use crate::tunnel::Tunnels;
use crate::upstream::Upstreams;

/// Refusals a second that are recorded for callers who have not said who they are.
const NOISE_PER_SECOND_MAX: u64 = 200;

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
    pub(crate) noise: Noise,
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

/// Bounds how fast anonymous refusals may fill the spool.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    second: AtomicU64,
    count: AtomicU64,
}

impl Noise {
    /// Whether one more refusal is recorded in this second.
    pub(crate) fn admits(&self, now: UnixMillis) -> bool {
        let second = now.0 / 1000;
        if self.second.swap(second, Ordering::AcqRel) != second {
            self.count.store(0, Ordering::Release);
        }
        self.count.fetch_add(1, Ordering::AcqRel) < NOISE_PER_SECOND_MAX
    }
}
