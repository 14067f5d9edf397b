//! Records on their way to the writer.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Pending;

/// Records that may wait.
const WAITING_MAX: usize = 65_536;
/// How long an outcome waits for a decision to share its sync: nobody waits for an outcome.
const OUTCOME_WAIT: Duration = Duration::from_millis(5);

/// A bounded queue with one taker.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Pending>,
    /// Somebody waits for one of them.
    urgent: bool,
    idle: bool,
    /// The taker is to come back even with nothing.
    poked: bool,
    closed: bool,
}

impl Queue {
    /// Adds a record, and with `wake` wakes the taker. It comes back when there is no room, or nobody
    /// takes any more.
    pub(super) fn push(&self, pending: Pending, wake: bool) -> Option<Pending> {
        let mut state = self.state.lock();
        if state.closed || state.waiting.len() >= WAITING_MAX {
            return Some(pending);
        }
        state.urgent |= !pending.is_outcome;
        state.waiting.push(pending);
        if wake && state.idle && (state.urgent || state.waiting.len() == 1) {
            state.idle = false;
            self.wake.notify_one();
        }
        None
    }

    /// Makes the taker come back.
    pub(super) fn poke(&self) {
        self.state.lock().poked = true;
        self.wake.notify_one();
    }

    /// Waits for records and takes at most `max`; with `wait`, comes back empty after that long.
    /// Outcomes alone are left for a moment: a decision may come to go with them. `None` once the
    /// queue is closed and empty.
    pub(super) fn take(&self, max: usize, wait: Option<Duration>) -> Option<Vec<Pending>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !std::mem::take(&mut state.poked) {
            if state.closed {
                return None;
            }
            state.idle = true;
            match wait {
                None => self.wake.wait(&mut state),
                Some(wait) => {
                    if self.wake.wait_for(&mut state, wait).timed_out() {
                        state.idle = false;
                        break;
                    }
                }
            }
        }
        while !state.urgent && !state.closed && !state.waiting.is_empty() {
            state.idle = true;
            if self.wake.wait_for(&mut state, OUTCOME_WAIT).timed_out() {
                state.idle = false;
                break;
            }
        }
        let mut batch = Vec::new();
        state.move_to(max, &mut batch);
        Some(batch)
    }

    /// Takes what waits, up to a batch of `max`.
    pub(super) fn take_more(&self, max: usize, batch: &mut Vec<Pending>) {
        self.state.lock().move_to(max, batch);
    }

    /// Nothing is added any more; what waits is still taken.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_one();
    }
}

impl State {
    fn move_to(&mut self, max: usize, batch: &mut Vec<Pending>) {
        let room = max.saturating_sub(batch.len());
        if batch.is_empty() && self.waiting.len() <= room {
            std::mem::swap(&mut self.waiting, batch);
        } else {
            batch.extend(self.waiting.drain(..room.min(self.waiting.len())));
        }
        self.urgent = self.waiting.iter().any(|pending| !pending.is_outcome);
    }
}
