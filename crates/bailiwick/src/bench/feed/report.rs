//! What was measured, as rows.

use super::hammer::Counts;
use super::round::Measured;
use crate::output::{Render, table};
use serde::Serialize;
use std::time::Duration;

/// One bench.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) gateways: u32,
    pub(super) policies: u32,
    pub(super) wait_ms: u64,
    /// Of all gateways together, at the end.
    pub(super) memory_mib: f64,
    pub(super) levels: Vec<Level>,
}

/// Revocations under one rate of calls.
#[derive(Debug, Serialize)]
pub(super) struct Level {
    /// Calls a second, as asked for and as made.
    rate: u32,
    calls_per_second: f64,
    refused_per_second: f64,
    revocations: usize,
    /// Closure reports that said closed.
    closed: usize,
    /// From the request to its acknowledgement.
    acknowledgement_ms: Spread,
    /// From the acknowledgement to the last call that arrived at the upstream.
    last_allow_ms: Spread,
    /// To the last reply to such a call.
    last_reply_ms: Spread,
    /// To when every gateway had refused.
    refused_everywhere_ms: Spread,
    /// From the end to the last gateway's acknowledgement, by the Authority's clock.
    closure_lag_ms: Spread,
    /// Cores' worth of CPU time.
    gateways_cpu: f64,
    authority_cpu: f64,
    bench_cpu: f64,
    /// Share of the whole machine that was busy, with whatever else ran on it.
    busy_percent: f64,
}

/// A distribution over revocations.
#[derive(Debug, Serialize)]
struct Spread {
    p50: f64,
    p99: f64,
    max: f64,
}

/// CPU time so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    pub(super) gateways: Duration,
    pub(super) authority: Duration,
    pub(super) bench: Duration,
    /// Ticks of the machine, busy and in all.
    pub(super) busy: u64,
    pub(super) all: u64,
}

impl Machine {
    pub(super) fn since(self, before: &Self) -> Self {
        Self {
            gateways: self.gateways.saturating_sub(before.gateways),
            authority: self.authority.saturating_sub(before.authority),
            bench: self.bench.saturating_sub(before.bench),
            busy: self.busy.saturating_sub(before.busy),
            all: self.all.saturating_sub(before.all),
        }
    }
}

impl Level {
    pub(super) fn new(
        rate: u32,
        rounds: &[Measured],
        counts: Counts,
        wall: Duration,
        spent: Machine,
    ) -> Self {
        let seconds = wall.as_secs_f64();
        let cores = |time: Duration| time.as_secs_f64() / seconds;
        let spread = |what: fn(&Measured) -> f64| Spread::of(rounds.iter().map(what).collect());
        Self {
            rate,
            calls_per_second: (counts.allowed + counts.refused) as f64 / seconds,
            refused_per_second: counts.refused as f64 / seconds,
            revocations: rounds.len(),
            closed: rounds.iter().filter(|round| round.closed).count(),
            acknowledgement_ms: spread(|round| round.acknowledged),
            last_allow_ms: spread(|round| round.last_allow),
            last_reply_ms: spread(|round| round.last_reply),
            refused_everywhere_ms: spread(|round| round.refused),
            closure_lag_ms: spread(|round| round.lag),
            gateways_cpu: cores(spent.gateways),
            authority_cpu: cores(spent.authority),
            bench_cpu: cores(spent.bench),
            busy_percent: 100.0 * spent.busy as f64 / spent.all.max(1) as f64,
        }
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = values.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            values.get(rank).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p99: rank(99), max: rank(100) }
    }

    fn text(&self) -> String {
        format!("{:.1} / {:.1} / {:.1}", self.p50, self.p99, self.max)
    }
}

impl Render for Report {
    fn text(&self) -> String {
        let mut times = table([
            "CALLS A SECOND",
            "LAST ALLOW",
            "LAST REPLY",
            "REFUSED EVERYWHERE",
            "CLOSURE LAG",
            "CLOSED",
            "ACKNOWLEDGED IN",
        ]);
        let mut load = table([
            "ASKED FOR",
            "CALLS A SECOND",
            "OF THEM REFUSED",
            "GATEWAYS CPU",
            "AUTHORITY CPU",
            "BENCH CPU",
            "MACHINE BUSY",
        ]);
        for level in &self.levels {
            times.add_row([
                format!("{:.0}", level.calls_per_second),
                level.last_allow_ms.text(),
                level.last_reply_ms.text(),
                level.refused_everywhere_ms.text(),
                level.closure_lag_ms.text(),
                format!("{} of {}", level.closed, level.revocations),
                level.acknowledgement_ms.text(),
            ]);
            load.add_row([
                level.rate.to_string(),
                format!("{:.0}", level.calls_per_second),
                format!("{:.0}", level.refused_per_second),
                format!("{:.2}", level.gateways_cpu),
                format!("{:.2}", level.authority_cpu),
                format!("{:.2}", level.bench_cpu),
                format!("{:.0} %", level.busy_percent),
            ]);
        }
        format!(
            "{} gateways, each a process ({:.0} MiB together), {} policies beside the default pack, \
             durable receipts;\nmilliseconds after the Authority's acknowledgement (waiting {} ms for \
             gateways), p50 / p99 / max over revocations\n{times}\n\nCPU in cores\n{load}",
            self.gateways, self.memory_mib, self.policies, self.wait_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_ranks_and_may_be_negative() {
        let spread = Spread::of((-50..50).map(f64::from).rev().collect());
        assert_eq!((spread.p50, spread.p99, spread.max), (-1.0, 48.0, 49.0));
        assert_eq!(Spread::of(vec![2.0]).text(), "2.0 / 2.0 / 2.0");
    }
}
