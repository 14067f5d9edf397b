//! The outcome receipt: what became of a call that was allowed.

use std::sync::Arc;

use bailiwick_core::{DecisionId, TaskId};
use bailiwick_ledger::{Receipt, ReceiptKind, Record};
use serde::Serialize;

use crate::clock::Stopwatch;
use crate::gateway::Gateway;
use crate::receipt::canonical;
use crate::spool::{Appending, LocalEffect};
use crate::stream::Ending;

/// An allowed call whose reply is on its way. Dropped before it has ended, it was abandoned: whoever
/// asked went away while the upstream was asked.
pub(crate) struct Outcoming(Option<Running>);

struct Running {
    gateway: Arc<Gateway>,
    route: Arc<str>,
    decision: DecisionId,
    task: TaskId,
    status: u16,
    bytes: u64,
    /// What the agent sent through a tunnel; none where there was no tunnel.
    bytes_up: Option<u64>,
    watch: Stopwatch,
}

impl Outcoming {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        route: Arc<str>,
        decision: DecisionId,
        task: TaskId,
        watch: Stopwatch,
    ) -> Self {
        let (status, bytes, bytes_up) = (0, 0, None);
        Self(Some(Running { gateway, route, decision, task, status, bytes, bytes_up, watch }))
    }

    /// The upstream began to answer.
    pub(crate) fn answered(&mut self, status: http::StatusCode) {
        if let Some(running) = &mut self.0 {
            running.status = status.as_u16();
        }
    }

    /// Part of the reply was passed on.
    pub(crate) fn sent(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if let Some(running) = &mut self.0 {
            running.bytes = running.bytes.saturating_add(bytes);
        }
    }

    /// The connection was a tunnel, and so much went each way.
    pub(crate) fn tunnelled(&mut self, up: u64, down: u64) {
        if let Some(running) = &mut self.0 {
            (running.bytes, running.bytes_up) = (down, Some(up));
        }
    }

    /// The reply is over. The receipt is appended in the background: the call was decided and
    /// recorded before it was made, and nothing is released by this. Whoever has to know that it is
    /// there waits for what this gives.
    pub(crate) fn ended(mut self, ending: Ending) -> Option<Appending> {
        self.0.take().and_then(|running| running.ended(ending))
    }
}

impl Drop for Outcoming {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.ended(Ending::Abandoned);
        }
    }
}

impl Running {
    fn ended(self, ending: Ending) -> Option<Appending> {
        let gateway = Arc::clone(&self.gateway);
        gateway.metrics.ended(ending.as_str());
        let outcome = CallOutcome {
            time_ms: gateway.clock.now().0,
            took_ms: u64::try_from(self.watch.elapsed().as_millis()).unwrap_or(u64::MAX),
            ending,
            call: self,
        };
        let appending = gateway.spool.submit(&outcome.receipt(), &LocalEffect::default());
        let refused = |error| tracing::error!(%error, "the outcome of a call was not recorded");
        appending.map_err(refused).ok()
    }
}

struct CallOutcome {
    time_ms: u64,
    took_ms: u64,
    ending: Ending,
    call: Running,
}

/// The members in canonical order.
#[derive(Serialize)]
struct Payload<'a> {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_up: Option<u64>,
    decision: DecisionId,
    ending: &'static str,
    route: &'a str,
    status: u16,
    task: TaskId,
    took_ms: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    v: u8,
}

impl Record for CallOutcome {
    fn receipt(&self) -> Receipt {
        let call = &self.call;
        let payload = Payload {
            bytes: call.bytes,
            bytes_up: call.bytes_up,
            decision: call.decision,
            ending: self.ending.as_str(),
            route: &call.route,
            status: call.status,
            task: call.task,
            took_ms: self.took_ms,
            kind: "outcome",
            v: 1,
        };
        Receipt {
            kind: ReceiptKind::Action,
            time_ms: self.time_ms,
            subject_ids: vec![call.decision.to_string(), call.task.to_string()],
            payload: canonical(&payload),
        }
    }
}
