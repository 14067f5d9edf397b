//! An Authority in memory, for simulations: budgets, leases and epochs by the rules of the real one,
//! and a network that loses requests and answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use bailiwick_api::ClientError;
use bailiwick_api::client::CredentialError;
use bailiwick_api::enforcement::leases::{
    Lease, LeaseReply, LeaseRequest, LeaseReturnReply, LeaseReturnRequest,
};
use bailiwick_api::enforcement::receipts::{
    EpochEnd, ReceiptsReply, ReceiptsRequest, ReportedReceipt,
};
use bailiwick_api::{Problem, ProblemCode};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{EpochId, LeaseId, Micros, TokenId, UnixMillis};
use parking_lot::Mutex;

use super::{Answer, Uplink};
use crate::spool::fixture::START;

const LEASE_MS: u64 = 60_000;
/// The one hop that has budgets.
pub(crate) fn node() -> TokenId {
    TokenId::from_bytes([7; 16])
}

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    Whole,
    /// Requests get nowhere.
    Cut,
    /// Requests arrive, answers do not.
    Deaf,
    /// One in three of either is lost.
    Flaky,
}

/// The Authority's side. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Sim(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    net: AtomicU8,
    calls: AtomicU64,
}

#[derive(Default)]
struct State {
    limit: i64,
    used: i64,
    leases: HashMap<LeaseId, Held>,
    epochs: HashMap<EpochId, u64>,
    ledger: Vec<(EpochId, u64, ReportedReceipt)>,
    minted: u64,
    asked: u64,
}

struct Held {
    epoch: EpochId,
    amount: i64,
    spent: i64,
}

impl Sim {
    /// One budget of so many calls.
    pub(crate) fn with_calls(calls: i64) -> Self {
        let sim = Self::default();
        sim.0.state.lock().limit = calls * 1_000_000;
        sim
    }

    pub(crate) fn net(&self, net: Net) {
        self.0.net.store(net as u8, Ordering::SeqCst);
    }

    /// Everything that was taken into the ledger, in order.
    pub(crate) fn ledger(&self) -> Vec<(EpochId, u64, ReportedReceipt)> {
        self.0.state.lock().ledger.clone()
    }

    /// Calls that are debited, leased ones included.
    pub(crate) fn used(&self) -> i64 {
        self.0.state.lock().used / 1_000_000
    }

    /// Requests for leases so far.
    pub(crate) fn asked(&self) -> u64 {
        self.0.state.lock().asked
    }

    /// A call that the Authority decides itself.
    pub(crate) fn debit(&self) -> bool {
        let mut state = self.0.state.lock();
        let fits = state.used + 1_000_000 <= state.limit;
        if fits {
            state.used += 1_000_000;
        }
        fits
    }

    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, Box<Problem>>,
    ) -> Answer<'_, T> {
        let call = self.0.calls.fetch_add(1, Ordering::SeqCst);
        let net = self.0.net.load(Ordering::SeqCst);
        let is = |of: Net| net == of as u8;
        let lost = is(Net::Cut) || is(Net::Flaky) && call.is_multiple_of(3);
        let deaf = is(Net::Deaf) || is(Net::Flaky) && call % 3 == 1;
        let answer = if lost {
            Err(unreachable())
        } else {
            work(&mut self.0.state.lock()).map_err(ClientError::Problem)
        };
        let answer = if deaf { Err(unreachable()) } else { answer };
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer
        })
    }
}

fn unreachable() -> ClientError {
    ClientError::Credential(CredentialError("the network is cut".to_owned()))
}

fn refusal(code: impl Into<ProblemCode>) -> Box<Problem> {
    Box::new(Problem::new(code.into(), "the simulation refuses".to_owned()))
}

impl State {
    fn begin(&mut self, epoch: EpochId, previous: Option<EpochEnd>) {
        if self.epochs.contains_key(&epoch) {
            return;
        }
        self.epochs.insert(epoch, 0);
        if let Some(before) = previous
            && self.epochs.get(&before.epoch).copied().unwrap_or(0) == before.next
        {
            let of: Vec<LeaseId> = self
                .leases
                .iter()
                .filter(|(_, l)| l.epoch == before.epoch)
                .map(|(id, _)| *id)
                .collect();
            of.iter().for_each(|id| self.give_back(id));
        }
    }

    fn give_back(&mut self, id: &LeaseId) {
        if let Some(lease) = self.leases.remove(id) {
            self.used -= (lease.amount - lease.spent).max(0);
        }
    }

    fn take(&mut self, ask: &ReceiptsRequest) -> Result<ReceiptsReply, Box<Problem>> {
        self.begin(ask.epoch, ask.previous);
        let next = self.epochs[&ask.epoch];
        assert!(ask.receipts.is_empty() || ask.first <= next, "a gap: {} after {next}", ask.first);
        for (receipt, at) in ask.receipts.iter().zip(ask.first..).filter(|(_, at)| *at >= next) {
            self.ledger.push((ask.epoch, at, receipt.clone()));
            self.epochs.insert(ask.epoch, at + 1);
            for draw in &receipt.draws {
                match self.leases.get_mut(&draw.lease) {
                    Some(lease) => {
                        let before = lease.spent.max(lease.amount);
                        lease.spent += draw.amount_micros.0;
                        self.used += (lease.spent - before).max(0);
                    }
                    None => self.used += draw.amount_micros.0,
                }
            }
        }
        Ok(ReceiptsReply { next: self.epochs[&ask.epoch] })
    }

    fn lease(&mut self, ask: &LeaseRequest) -> Result<LeaseReply, Box<Problem>> {
        self.asked += 1;
        let mut leases = Vec::new();
        for need in &ask.needs {
            let left = self.limit - self.used;
            if need.need_micros.0 > left {
                return Err(refusal(Outcome::BudgetExhausted));
            }
            let want = need.want_micros.0.min(left / 8);
            let amount = need.need_micros.0.max(want - want % need.need_micros.0);
            self.used += amount;
            self.minted += 1;
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.minted.to_le_bytes());
            let id = LeaseId::from_bytes(bytes);
            self.leases.insert(id, Held { epoch: ask.epoch, amount, spent: 0 });
            leases.push(Lease {
                id,
                node: node(),
                key: need.key.clone(),
                kind: need.kind,
                amount_micros: Micros(amount),
                lasts_ms: LEASE_MS,
                expires: UnixMillis(START.0 + LEASE_MS),
            });
        }
        Ok(LeaseReply { leases })
    }

    fn take_back(&mut self, ask: &LeaseReturnRequest) -> Result<LeaseReturnReply, Box<Problem>> {
        if self.epochs.get(&ask.epoch).copied().unwrap_or(0) < ask.through {
            return Err(refusal(ProblemCode::VersionConflict));
        }
        let own = |id: &&LeaseId| self.leases.get(*id).is_some_and(|l| l.epoch == ask.epoch);
        let returned: Vec<LeaseId> = ask.leases.iter().filter(own).copied().collect();
        returned.iter().for_each(|id| self.give_back(id));
        Ok(LeaseReturnReply { returned, ledger_index: None })
    }
}

impl Uplink for Sim {
    fn report<'a>(&'a self, ask: &'a ReceiptsRequest) -> Answer<'a, ReceiptsReply> {
        self.answer(|state| state.take(ask))
    }

    fn lease<'a>(&'a self, ask: &'a LeaseRequest) -> Answer<'a, LeaseReply> {
        self.answer(|state| state.lease(ask))
    }

    fn take_back<'a>(&'a self, ask: &'a LeaseReturnRequest) -> Answer<'a, LeaseReturnReply> {
        self.answer(|state| state.take_back(ask))
    }
}
