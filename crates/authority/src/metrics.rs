//! The figures of `/metrics`. Each is counted where the thing happens, or read from the store when
//! asked for: none is estimated.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Upper bounds of the latency buckets, in seconds: 100 µs to about 3 s.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0,
];

/// Upper bounds of the batch sizes of the store's writer.
const BATCH_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    act: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: String,
}

/// A figure without labels. As a family it is not shown before it is set: what nothing measures does
/// not look like a zero.
type Plain<M> = Family<NoLabels, M>;
type NoLabels = [(&'static str, &'static str); 0];
type BatchSizes = Family<NoLabels, Histogram, fn() -> Histogram>;
type Latency = Family<OperationLabels, Histogram, fn() -> Histogram>;

/// The operations whose time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opening a task.
    OpenTask,
    /// Settling a grant.
    Settle,
    /// Renewing or re-audiencing a token.
    Renew,
    /// One evaluation for an enforcement point.
    Evaluate,
    /// Making a batch of records durable.
    Commit,
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::OpenTask => "open_task",
            Self::Settle => "settle",
            Self::Renew => "renew",
            Self::Evaluate => "evaluate",
            Self::Commit => "commit",
        }
    }
}

/// Every figure; share it in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    responses: Family<ResponseLabels, Counter>,
    latency: Latency,
    commit_records: BatchSizes,
    revocations: Plain<Counter>,
    store_queue: Plain<Gauge>,
    ledger_entries: Plain<Gauge<u64, AtomicU64>>,
    tasks_open: Plain<Gauge<u64, AtomicU64>>,
    clock_lag: Plain<Gauge<f64, AtomicU64>>,
    ready: Plain<Gauge>,
}

impl Metrics {
    /// The figures of a server of this version; none is shown before it is set.
    pub fn new(version: &str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("bailiwick"),
            decisions: Family::default(),
            responses: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            commit_records: Family::new_with_constructor(|| Histogram::new(BATCH_BUCKETS)),
            revocations: Family::default(),
            store_queue: Family::default(),
            ledger_entries: Family::default(),
            tasks_open: Family::default(),
            clock_lag: Family::default(),
            ready: Family::default(),
        };
        metrics.register(version);
        metrics
    }

    fn register(&mut self, version: &str) {
        let registry = &mut self.registry;
        let build = Info::new(BuildLabels { version: version.to_owned() });
        registry.register("build", "The version that runs", build);
        let help = "Decisions by act and outcome (allow, or the reason code)";
        registry.register("decisions", help, self.decisions.clone());
        registry.register("responses", "Responses by route and status", self.responses.clone());
        let help = "Time of an operation, its record durable, in seconds";
        registry.register("operation_duration_seconds", help, self.latency.clone());
        let help = "Records made durable by one commit";
        registry.register("commit_records", help, self.commit_records.clone());
        registry.register("revocations", "Revocations recorded", self.revocations.clone());
        let help = "Operations waiting for the store's writer";
        registry.register("store_queue", help, self.store_queue.clone());
        registry.register("ledger_entries", "Leaves of the ledger", self.ledger_entries.clone());
        registry.register("tasks_open", "Tasks that are open", self.tasks_open.clone());
        let help = "How far the system clock is behind the latest recorded instant";
        registry.register("clock_lag_seconds", help, self.clock_lag.clone());
        registry.register("ready", "1 when the server issues and decides", self.ready.clone());
    }

    /// Counts one decision; `outcome` is `allow` or the reason code.
    pub fn decided(&self, act: &'static str, outcome: &'static str) {
        self.decisions.get_or_create(&DecisionLabels { act, outcome }).inc();
    }

    /// Counts one response; `route` is the path pattern, never a path.
    pub fn responded(&self, route: &'static str, status: u16) {
        self.responses.get_or_create(&ResponseLabels { route, status }).inc();
    }

    /// Notes how long an operation took.
    pub fn took(&self, operation: Operation, time: Duration) {
        let labels = OperationLabels { operation: operation.as_str() };
        self.latency.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// Notes how many records one commit made durable.
    pub fn committed(&self, records: usize) {
        self.commit_records
            .get_or_create(&[])
            .observe(u32::try_from(records).map_or(f64::MAX, f64::from));
    }

    /// Counts one revocation.
    pub fn revoked(&self) {
        self.revocations.get_or_create(&[]).inc();
    }

    /// Sets how many operations wait for the store's writer.
    pub fn set_store_queue(&self, waiting: usize) {
        self.store_queue.get_or_create(&[]).set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Sets how many leaves the ledger has.
    pub fn set_ledger_entries(&self, entries: u64) {
        self.ledger_entries.get_or_create(&[]).set(entries);
    }

    /// Sets how many tasks are open.
    pub fn set_tasks_open(&self, tasks: u64) {
        self.tasks_open.get_or_create(&[]).set(tasks);
    }

    /// Sets how far the system clock lags.
    pub fn set_clock_lag(&self, lag: Duration) {
        self.clock_lag.get_or_create(&[]).set(lag.as_secs_f64());
    }

    /// Sets whether the server is ready.
    pub fn set_ready(&self, ready: bool) {
        self.ready.get_or_create(&[]).set(i64::from(ready));
    }

    /// The OpenMetrics text; its media type is [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        // Valid either way; without the empty braces it is also what people grep for.
        out.replace("{} ", " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_nothing_set_is_not_shown() {
        let text = Metrics::new("0.1.0").encode();
        let shown: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(shown, ["bailiwick_build_info{version=\"0.1.0\"} 1"]);
    }

    #[test]
    fn figures_appear_under_their_names_and_labels() {
        let metrics = Metrics::new("0.1.0");
        metrics.decided("delegate", "allow");
        metrics.decided("delegate", "policy_denied");
        metrics.decided("delegate", "policy_denied");
        metrics.responded("/oauth/token", 200);
        metrics.took(Operation::Settle, Duration::from_millis(2));
        metrics.committed(7);
        metrics.revoked();
        metrics.set_store_queue(3);
        metrics.set_ledger_entries(42);
        metrics.set_tasks_open(5);
        metrics.set_clock_lag(Duration::from_millis(1500));
        metrics.set_ready(true);
        let text = metrics.encode();
        for line in [
            "bailiwick_build_info{version=\"0.1.0\"} 1",
            "bailiwick_decisions_total{act=\"delegate\",outcome=\"allow\"} 1",
            "bailiwick_decisions_total{act=\"delegate\",outcome=\"policy_denied\"} 2",
            "bailiwick_responses_total{route=\"/oauth/token\",status=\"200\"} 1",
            "bailiwick_operation_duration_seconds_count{operation=\"settle\"} 1",
            "bailiwick_operation_duration_seconds_bucket{le=\"0.0025\",operation=\"settle\"} 1",
            "bailiwick_commit_records_sum 7.0",
            "bailiwick_revocations_total 1",
            "bailiwick_store_queue 3",
            "bailiwick_ledger_entries 42",
            "bailiwick_tasks_open 5",
            "bailiwick_clock_lag_seconds 1.5",
            "bailiwick_ready 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
