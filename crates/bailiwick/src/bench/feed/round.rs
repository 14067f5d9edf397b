//! One revocation: from the victim's first call to its last.

use super::super::calls::{Line, Opener};
use super::super::server::Target;
use super::hammer::{Hammer, Sight};
use crate::clock;
use crate::fault::Fault;
use bailiwick_api::Client;
use bailiwick_api::client::Closing;
use bailiwick_api::enforcement::closure::{ClosureQuery, ClosureReport, ClosureState};
use bailiwick_api::registry::Reason;
use bailiwick_api::revocations::{RevocationRequest, RevocationTarget};
use bailiwick_core::crypto::Algorithm;
use std::time::{Duration, Instant};

/// How long the gateways may take to allow the victim, and to refuse it.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// How long the closure report may be waited for.
const CLOSURE_WAIT_MS: u64 = 5_000;
/// How long an operator's token of the development server is used.
const OPERATOR_LASTS: Duration = Duration::from_secs(120);

/// Opens tasks, and ends them.
pub(super) struct Revoker<'a> {
    target: &'a Target,
    opener: Opener<'a>,
    operator: Option<(Client, Instant)>,
    wait: ClosureQuery,
    gateways: usize,
}

/// What one revocation measured; times in milliseconds, from the acknowledgement on.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// From the request to its acknowledgement.
    pub(super) acknowledged: f64,
    /// To the last call under the victim that arrived at the upstream; negative when it was before.
    pub(super) last_allow: f64,
    /// To the last reply to such a call.
    pub(super) last_reply: f64,
    /// To when every caller had been refused.
    pub(super) refused: f64,
    /// The longest lag of a gateway, as the Authority states it.
    pub(super) lag: f64,
    pub(super) closed: bool,
}

impl<'a> Revoker<'a> {
    pub(super) fn new(
        target: &'a Target,
        opener: Opener<'a>,
        wait_ms: u64,
        gateways: usize,
    ) -> Self {
        let wait = ClosureQuery { wait_ms: Some(wait_ms) };
        Self { target, opener, operator: None, wait, gateways }
    }

    /// Ends one victim, by its subtree or by its task.
    pub(super) async fn round(
        &mut self,
        hammer: &Hammer,
        callers: usize,
        number: u32,
    ) -> Result<Measured, Fault> {
        let Line { task, tokens, leaf } = self.opener.open(Algorithm::EdDsa, 2).await?;
        let operator = self.operator().await?;
        let round = hammer.aim(leaf, callers);
        let overdue = |what: &str| Fault::remote(format!("not every gateway {what} the victim"));
        let allowed = round.until(|sight| sight.replied.is_some());
        tokio::time::timeout(ROUND_MAX, allowed).await.map_err(|_| overdue("allowed"))?;
        // At any point of the callers' cycle.
        tokio::time::sleep(Duration::from_millis(u64::from(number.wrapping_mul(37) % 101))).await;

        let asked = clock::stopwatch();
        let middle = tokens.get(1).filter(|_| number.is_multiple_of(2));
        if let Some(&middle) = middle {
            let target = RevocationTarget::Jti(middle);
            let request = RevocationRequest { target, reason: String::new(), dry_run: false };
            operator.revoke(&request, &self.wait).await?;
        } else {
            operator.close_task(task, Closing::Complete, &Reason::default(), &self.wait).await?;
        }
        let acknowledged = clock::stopwatch();

        let refused = round.until(|sight| sight.refused.is_some());
        tokio::time::timeout(ROUND_MAX, refused).await.map_err(|_| overdue("refused"))?;
        let wait = ClosureQuery { wait_ms: Some(CLOSURE_WAIT_MS) };
        let report = operator.closure(task, &wait).await?;
        hammer.rest()?;
        self.measured((asked, acknowledged), &round.sights(), &report)
    }

    fn measured(
        &self,
        (asked, acknowledged): (Instant, Instant),
        sights: &[Sight],
        report: &ClosureReport,
    ) -> Result<Measured, Fault> {
        if report.points.len() != self.gateways {
            let (seen, all) = (report.points.len(), self.gateways);
            return Err(Fault::remote(format!("the Authority knows {seen} of {all} gateways")));
        }
        let last = |when: fn(&Sight) -> Option<Instant>| {
            let last = sights.iter().filter_map(when).max();
            last.map_or(f64::NEG_INFINITY, |last| millis(last, acknowledged))
        };
        let lags = report.points.iter().filter_map(|point| point.lag_ms);
        let lag = lags.max().unwrap_or_default();
        Ok(Measured {
            acknowledged: millis(acknowledged, asked),
            last_allow: last(|sight| sight.arrived),
            last_reply: last(|sight| sight.replied),
            refused: last(|sight| sight.refused),
            lag: Duration::from_millis(lag).as_secs_f64() * 1e3,
            closed: report.state == ClosureState::Closed,
        })
    }

    async fn operator(&mut self) -> Result<Client, Fault> {
        if let Some((client, since)) = &self.operator
            && since.elapsed() < OPERATOR_LASTS
        {
            return Ok(client.clone());
        }
        let since = clock::stopwatch();
        let client = self.target.context.operator().await?;
        self.operator = Some((client.clone(), since));
        Ok(client)
    }
}

/// Milliseconds from one moment to another, which may have been before.
fn millis(to: Instant, from: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -from.saturating_duration_since(to).as_secs_f64() * 1e3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_is_negative() {
        let now = clock::stopwatch();
        let later = now + Duration::from_millis(3);
        assert!((millis(later, now) - 3.0).abs() < 1e-9);
        assert!((millis(now, later) + 3.0).abs() < 1e-9);
    }
}
