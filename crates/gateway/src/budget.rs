//! Budgets by lease: the Authority allots, draws are local and durable, what is unused goes back.
//!
//! A gateway draws on what it was leased without asking anybody; what it holds is debited at the
//! Authority already, so that nobody else can draw on it. A draw is durable in the same record as
//! the receipt of its call, before the call is released. A lease is good for one epoch of the spool:
//! after a crash nothing is drawn on it any more, and what the records do not show as drawn goes
//! back.

mod book;
mod draw;
mod giveback;
mod needs;

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::enforcement::leases::LeaseRequest;
use bailiwick_core::constraint::CallArguments;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{EpochId, TaskId, UnixMillis, VerifiedChain};
use parking_lot::Mutex;

use self::book::{Book, Taken};
use self::needs::{Need, needs};
use crate::clock::Clock;
use crate::link::Link;
use crate::spool::{Recovered, Spool};
use crate::stop::Stop;
use crate::uplink::Uplink;

pub(crate) use self::draw::{Draw, Fate};

/// How long the Authority may take to lease.
const LEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long nobody asks again after the Authority could not be reached, in milliseconds.
const DOWN_MS: u64 = 1_000;
/// How often a call asks, when others draw what it has just been leased.
const TRIES: usize = 8;

/// The budgets that this gateway holds parts of.
#[derive(Clone)]
pub(crate) struct Budgets(Arc<Inner>);

struct Inner {
    uplink: Arc<dyn Uplink>,
    spool: Spool,
    clock: Clock,
    book: Mutex<Book>,
    /// One request at a time for a task: whoever waits draws on what it brings.
    asking: moka::sync::Cache<TaskId, Arc<tokio::sync::Mutex<()>>>,
    /// Until when nobody asks.
    down_until: Mutex<UnixMillis>,
}

impl Budgets {
    /// Nothing is held yet. What an earlier run was leased goes back when its records are shipped.
    pub(crate) fn new(link: Arc<Link>, recovered: &Recovered) -> Self {
        let budgets = Self::with(link, recovered.spool.clone(), Clock::system(UnixMillis(0)));
        giveback::spawn(&budgets.0);
        budgets
    }

    fn with(uplink: Arc<dyn Uplink>, spool: Spool, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            uplink,
            spool,
            clock,
            book: Mutex::new(Book::default()),
            asking: moka::sync::Cache::new(100_000),
            down_until: Mutex::new(UnixMillis(0)),
        }))
    }

    /// Takes what the call draws on budgets. It goes back when the reservation is dropped, unless the
    /// call was recorded.
    ///
    /// # Errors
    /// `budget_exhausted`; `ledger_unavailable` when more would have to be leased and the Authority
    /// cannot be asked.
    pub(crate) async fn reserve(
        &self,
        chain: &VerifiedChain,
        call: &CallArguments,
        now: UnixMillis,
    ) -> Result<Reserved, Stop> {
        let needs = needs(chain, call)?;
        if needs.is_empty() {
            return Ok(Reserved { inner: None, draws: Vec::new() });
        }
        let task = chain.claims().txn;
        if let Some(reserved) = self.take(task, &needs, now)?.done() {
            return Ok(reserved);
        }
        let turn = self.0.asking.get_with(task, Arc::default);
        let _turn = turn.lock().await;
        for _ in 0..TRIES {
            match self.take(task, &needs, now)? {
                Attempted::Done(reserved) => return Ok(reserved),
                Attempted::Short(epoch, short) => self.ask(task, epoch, short, now).await?,
            }
        }
        let detail = "others draw on this budget faster than it can be leased; try again";
        Err(Stop::new(Outcome::LedgerUnavailable, detail))
    }

    /// Gives back everything that is not drawn, for a gateway that stops. Records have to be shipped
    /// before.
    pub(crate) async fn drain(&self) {
        giveback::drain(&self.0).await;
    }

    fn take(&self, task: TaskId, needs: &[Need], now: UnixMillis) -> Result<Attempted, Stop> {
        let Some(epoch) = self.0.spool.epoch() else {
            let detail = "the spool of receipts cannot be written";
            return Err(Stop::new(Outcome::LedgerUnavailable, detail));
        };
        let mut book = self.0.book.lock();
        book.enter(epoch);
        Ok(match book.take(task, needs, now) {
            Taken::Draws(draws) => {
                Attempted::Done(Reserved { inner: Some(Arc::clone(&self.0)), draws })
            }
            Taken::Short(short) => Attempted::Short(epoch, short),
        })
    }

    /// Leases what is short, in turns.
    async fn ask(
        &self,
        task: TaskId,
        epoch: EpochId,
        short: Vec<LeaseRequest>,
        now: UnixMillis,
    ) -> Result<(), Stop> {
        if now < *self.0.down_until.lock() {
            return Err(away());
        }
        for ask in &short {
            let asked = tokio::time::timeout(LEASE_TIMEOUT, self.0.uplink.lease(ask)).await;
            let reply = match asked {
                Ok(Ok(reply)) => reply,
                Ok(Err(error)) => return Err(self.refused(&error, now)),
                Err(_) => {
                    *self.0.down_until.lock() = UnixMillis(now.0.saturating_add(DOWN_MS));
                    return Err(away());
                }
            };
            let mut book = self.0.book.lock();
            // What came for an epoch that is over is drawn on by nobody.
            if book.epoch() == Some(epoch) {
                book.add(task, ask, &reply.leases, now);
            }
        }
        Ok(())
    }

    /// A refusal is the Authority's; anything else is that it could not be asked.
    fn refused(&self, error: &bailiwick_api::ClientError, now: UnixMillis) -> Stop {
        let outcome = error.code().and_then(|code| code.parse::<Outcome>().ok());
        match (outcome, error.status()) {
            (Some(outcome), Some(400..=499)) => {
                let detail = match error {
                    bailiwick_api::ClientError::Problem(problem) => problem.detail.clone(),
                    _ => outcome.title().to_owned(),
                };
                Stop::new(outcome, detail)
            }
            _ => {
                tracing::warn!(%error, "no budget could be leased");
                *self.0.down_until.lock() = UnixMillis(now.0.saturating_add(DOWN_MS));
                away()
            }
        }
    }
}

fn away() -> Stop {
    let detail = "what was leased of this budget is used up, and the Authority cannot be asked for \
                  more";
    Stop::new(Outcome::LedgerUnavailable, detail)
}

/// What came of an attempt to take units.
enum Attempted {
    /// They are taken.
    Done(Reserved),
    /// These leases are needed first.
    Short(EpochId, Vec<LeaseRequest>),
}

impl Attempted {
    fn done(self) -> Option<Reserved> {
        match self {
            Self::Done(reserved) => Some(reserved),
            Self::Short(..) => None,
        }
    }
}

/// Units taken for a call that is being decided. Dropped, it gives them back; what was recorded, or
/// may have been, stays drawn.
#[must_use]
pub(crate) struct Reserved {
    inner: Option<Arc<Inner>>,
    draws: Vec<Draw>,
}

impl Reserved {
    /// What goes into the record of the call.
    pub(crate) fn draws(&self) -> &[Draw] {
        &self.draws
    }

    /// The call is recorded with its draws.
    pub(crate) fn spent(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.book.lock().settle(&self.draws, false);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.book.lock().abandon(std::mem::take(&mut self.draws));
        }
    }
}

impl std::fmt::Debug for Reserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reserved").field("draws", &self.draws).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
