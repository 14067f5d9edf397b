//! The figures of `/metrics`. Each is counted where the thing happens.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Media type of [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    ending: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlumbingLabels {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EdgeLabels {
    /// Empty where nobody proved who they are; else a registered agent.
    agent: String,
    route: String,
    provenance: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: String,
}

/// Every figure.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    decisions: Family<OutcomeLabels, Counter>,
    endings: Family<EndingLabels, Counter>,
    plumbing: Family<PlumbingLabels, Counter>,
    provenance: Family<EdgeLabels, Counter>,
    feed_lag_ms: Gauge,
    spool_pending: Gauge,
    in_flight: Gauge,
}

impl Metrics {
    pub(crate) fn new(version: &str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("bailiwick_gateway"),
            decisions: Family::default(),
            endings: Family::default(),
            plumbing: Family::default(),
            provenance: Family::default(),
            feed_lag_ms: Gauge::default(),
            spool_pending: Gauge::default(),
            in_flight: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        let build = Info::new(BuildLabels { version: version.to_owned() });
        registry.register("build", "Version of this program", build);
        let of = "Decisions on calls, by outcome";
        registry.register("decisions", of, metrics.decisions.clone());
        registry.register(
            "replies",
            "Replies to allowed calls, by how they ended",
            metrics.endings.clone(),
        );
        registry.register(
            "plumbing",
            "Requests of a protocol's housekeeping",
            metrics.plumbing.clone(),
        );
        registry.register(
            "provenance",
            "Provenance of requests, by agent and route",
            metrics.provenance.clone(),
        );
        let of = "Age of the newest word of the Authority, in milliseconds";
        registry.register("feed_age_ms", of, metrics.feed_lag_ms.clone());
        let of = "Receipts that the Authority has not acknowledged yet";
        registry.register("spool_pending", of, metrics.spool_pending.clone());
        registry.register("in_flight", "Requests in flight", metrics.in_flight.clone());
        metrics
    }

    pub(crate) fn decided(&self, outcome: &'static str) {
        self.decisions.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn ended(&self, ending: &'static str) {
        self.endings.get_or_create(&EndingLabels { ending }).inc();
    }

    pub(crate) fn plumbing(&self, what: &'static str) {
        self.plumbing.get_or_create(&PlumbingLabels { what }).inc();
    }

    pub(crate) fn provenance(&self, route: &str, agent: &str, provenance: &'static str) {
        let labels = EdgeLabels { agent: agent.to_owned(), route: route.to_owned(), provenance };
        self.provenance.get_or_create(&labels).inc();
    }

    /// The text of `/metrics`, with the figures that are read when asked for.
    pub(crate) fn encode(&self, feed_age_ms: u64, spool_pending: u64, in_flight: usize) -> String {
        self.feed_lag_ms.set(i64::try_from(feed_age_ms).unwrap_or(i64::MAX));
        self.spool_pending.set(i64::try_from(spool_pending).unwrap_or(i64::MAX));
        self.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(_) => String::new(),
        }
    }
}
