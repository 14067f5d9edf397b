//! One draw on one lease, and what became of the record that it went into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bailiwick_core::{DebitKind, EpochId, LeaseId, Micros, TaskId, TokenId};
use serde_json::{Value, json};

/// Units that a call takes from one lease.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    /// The lease.
    pub(crate) lease: LeaseId,
    /// The task whose budget it is.
    pub(crate) task: TaskId,
    /// The first token of the hop whose constraint it is.
    pub(crate) node: TokenId,
    /// Which total.
    pub(crate) kind: DebitKind,
    /// The constraint's key.
    pub(crate) key: Arc<str>,
    /// How much.
    pub(crate) amount: Micros,
    /// What became of the record; shared by the draws of one reservation.
    pub(crate) fate: Fate,
}

impl Draw {
    /// As receipts name it; the same members as a draw that the Authority makes itself.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "node": self.node, "key": &*self.key, "kind": self.kind.as_str(),
            "amount_micros": self.amount.0, "lease": self.lease,
        })
    }
}

impl PartialEq for Draw {
    fn eq(&self, other: &Self) -> bool {
        let all = |of: &Self| (of.lease, of.task, of.node, of.kind, of.amount);
        all(self) == all(other) && self.key == other.key
    }
}

const HELD: u8 = 0;
const SUBMITTED: u8 = 1;
const REFUSED: u8 = 2;
const DURABLE: u8 = 3;

/// What became of the record that draws were put into. A request may be dropped while its record
/// is on its way to the disk: its units must not be given to another call then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    state: Arc<AtomicU8>,
    epoch: Option<EpochId>,
}

impl Fate {
    /// That of draws on leases of this epoch.
    pub(crate) fn of(epoch: EpochId) -> Self {
        Self { state: Arc::default(), epoch: Some(epoch) }
    }

    /// Whether the record may go into this epoch: draws on the leases of another may not, since
    /// those may have gone back already.
    pub(crate) fn fits(&self, epoch: EpochId) -> bool {
        self.epoch.is_none_or(|own| own == epoch)
    }

    /// The record is in the hands of the journal: it may become durable.
    pub(crate) fn submitted(&self) {
        self.state.store(SUBMITTED, Ordering::Release);
    }

    /// The journal refused the record: it will never be durable.
    pub(crate) fn refused(&self) {
        self.state.store(REFUSED, Ordering::Release);
    }

    /// The record is durable.
    pub(crate) fn durable(&self) {
        self.state.store(DURABLE, Ordering::Release);
    }

    /// Whether it is still open what becomes of the record.
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == SUBMITTED
    }

    /// Whether the units can be given to another call.
    pub(crate) fn may_give_back(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), HELD | REFUSED)
    }
}
