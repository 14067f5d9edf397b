//! What was measured, as rows.

use super::super::cpu;
use super::super::load::Run;
use super::super::report::{count, micros, percentile};
use crate::output::{Render, table};
use serde::Serialize;
use std::time::Duration;

/// One bench.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) policies: u32,
    pub(super) rows: Vec<Row>,
}

/// One thing in the middle, with one number of connections.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    name: &'static str,
    connections: u32,
    calls: usize,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Over "direct" of the same run and number of connections, if that is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    added_p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_core_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mib: Option<f64>,
}

impl Row {
    pub(super) fn new(
        name: &'static str,
        connections: u32,
        run: &Run,
        spent: Option<Duration>,
        pid: Option<u32>,
        direct: Option<&Row>,
    ) -> Self {
        let calls = run.latencies.len();
        let cpu_us = spent.map(|spent| micros(spent) / count(calls)).filter(|us| *us > 0.0);
        let p50_us = micros(percentile(&run.latencies, 50));
        let p99_us = micros(percentile(&run.latencies, 99));
        Self {
            name,
            connections,
            calls,
            per_second: count(calls) / run.wall.as_secs_f64(),
            p50_us,
            p99_us,
            added_p50_us: direct.map(|direct| p50_us - direct.p50_us),
            added_p99_us: direct.map(|direct| p99_us - direct.p99_us),
            cpu_us,
            per_core_second: cpu_us.map(|us| 1e6 / us),
            memory_mib: pid.and_then(cpu::resident_mib),
        }
    }
}

impl Render for Report {
    fn text(&self) -> String {
        let number = |value: f64| format!("{value:.0}");
        let maybe = |value: Option<f64>| value.map_or("?".to_owned(), number);
        let mut rows = table([
            "IN THE MIDDLE",
            "CONNECTIONS",
            "PER SECOND",
            "P50 US",
            "P99 US",
            "ADDED P50",
            "ADDED P99",
            "CPU US",
            "PER CORE SECOND",
            "MEMORY MIB",
        ]);
        for row in &self.rows {
            rows.add_row([
                row.name.to_owned(),
                row.connections.to_string(),
                number(row.per_second),
                number(row.p50_us),
                number(row.p99_us),
                maybe(row.added_p50_us),
                maybe(row.added_p99_us),
                maybe(row.cpu_us),
                maybe(row.per_core_second),
                maybe(row.memory_mib),
            ]);
        }
        format!(
            "GET over loopback HTTP/1.1; the gateway verifies a cached token and a fresh DPoP \
             proof (or, with mTLS, the certificate of the connection), decides among {} policies \
             and the default pack, and records durably\n{rows}",
            self.policies
        )
    }
}
