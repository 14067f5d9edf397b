//! What was measured, as rows.

use super::load::Run;
use super::server::Cpu;
use crate::output::{Render, table};
use serde::Serialize;
use std::time::Duration;

/// One bench.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) tasks: u32,
    pub(super) policies: u32,
    /// From the start of the server's process to its first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ready_ms: Option<u64>,
    pub(super) levels: Vec<Level>,
    pub(super) primitives: Primitives,
}

/// Settling with one number of callers.
#[derive(Debug, Serialize)]
pub(super) struct Level {
    callers: u32,
    settled: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cpu_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_server_cpu_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_cpu_second: Option<f64>,
}

/// CPU time of the steps of one settle, each measured alone in the same run.
#[derive(Debug, Serialize)]
pub(super) struct Primitives {
    pub(super) steps: Vec<Step>,
    pub(super) sum_us: f64,
}

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) cpu_us: f64,
    /// Whether it is a step of settling, or shown for comparison.
    pub(super) counted: bool,
}

impl Level {
    pub(super) fn new(callers: u32, run: &Run, before: Cpu, after: Cpu) -> Self {
        let settled = run.latencies.len();
        let each = |before: Option<Duration>, after: Option<Duration>| {
            let spent = after?.checked_sub(before?)?;
            Some(micros(spent) / count(settled))
        };
        let server = each(before.server, after.server).filter(|us| *us > 0.0);
        let client = each(before.client, after.client);
        Self {
            callers,
            settled,
            per_second: count(settled) / run.wall.as_secs_f64(),
            p50_ms: micros(percentile(&run.latencies, 50)) / 1e3,
            p99_ms: micros(percentile(&run.latencies, 99)) / 1e3,
            server_cpu_us: server,
            client_cpu_us: client,
            per_server_cpu_second: server.map(|us| 1e6 / us),
            per_cpu_second: server.zip(client).map(|(server, client)| 1e6 / (server + client)),
        }
    }
}

impl Primitives {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        let sum_us = steps.iter().filter(|step| step.counted).map(|step| step.cpu_us).sum();
        Self { steps, sum_us }
    }
}

pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(super) fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

/// The latency that this share of requests stayed under; `sorted` is in order.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

impl Render for Report {
    fn text(&self) -> String {
        let number = |value: f64| format!("{value:.0}");
        let maybe = |value: Option<f64>| value.map_or("?".to_owned(), number);
        let mut levels = table([
            "CALLERS",
            "SETTLED",
            "PER SECOND",
            "P50 MS",
            "P99 MS",
            "SERVER CPU US",
            "CLIENT CPU US",
            "PER SERVER CPU S",
            "PER CPU S (BOTH)",
        ]);
        for level in &self.levels {
            levels.add_row([
                level.callers.to_string(),
                level.settled.to_string(),
                number(level.per_second),
                format!("{:.2}", level.p50_ms),
                format!("{:.2}", level.p99_ms),
                maybe(level.server_cpu_us),
                maybe(level.client_cpu_us),
                maybe(level.per_server_cpu_second),
                maybe(level.per_cpu_second),
            ]);
        }
        let mut steps = table(["STEP, MEASURED ALONE", "CPU US"]);
        for step in self.primitives.steps.iter().filter(|step| step.counted) {
            steps.add_row([step.name.to_owned(), format!("{:.1}", step.cpu_us)]);
        }
        steps.add_row(["sum".to_owned(), format!("{:.1}", self.primitives.sum_us)]);
        for step in self.primitives.steps.iter().filter(|step| !step.counted) {
            steps.add_row([
                format!("(for comparison: {})", step.name),
                format!("{:.1}", step.cpu_us),
            ]);
        }
        let ready =
            self.ready_ms.map_or(String::new(), |ms| format!(", ready {ms} ms after start"));
        format!(
            "settle over loopback HTTP, durable ledger: {} live tasks, {} policies beside the \
             default pack{ready}\n{levels}\n\n{steps}",
            self.tasks, self.policies
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(50));
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(99));
        assert_eq!(percentile(&sorted[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
