//! Which refusals are recorded one by one, and the count of those that are not.
//!
//! A refusal costs its caller nothing and the gateway a durable record. Past a rate they are told
//! `rate_limited` and counted, by agent and task; the counts become receipts of their own, so that
//! nobody can fill the spool, and nothing is lost without a word.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_core::ids::{AgentId, TaskId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_ledger::{Receipt, ReceiptKind, Record, record};
use parking_lot::Mutex;
use serde::Serialize;

use crate::gateway::Gateway;
use crate::receipt::canonical;
use crate::spool::LocalEffect;

/// Refusals a second of all callers together who have not said who they are.
const STRANGERS_PER_SECOND: u64 = 200;
/// An agent that was quiet may be refused as often at once as in this many seconds.
const BURST_SECONDS: u64 = 10;
/// Agents whose rate is known. Should there be more, the others share the strangers' rate.
const AGENTS_MAX: usize = 10_000;
/// Counts kept until they are recorded. What comes on top is counted as nobody's.
const COUNTS_MAX: usize = 1024;
/// How often counts become receipts.
const EVERY: Duration = Duration::from_secs(10);

/// The rates and the counts.
#[derive(Debug)]
pub(crate) struct Refusals {
    agents_per_second: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    strangers: Bucket,
    agents: HashMap<AgentId, Bucket>,
    counts: HashMap<Whose, Count>,
}

type Whose = (Option<AgentId>, Option<TaskId>);

/// Refusals of one agent in one task that were not recorded one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Count {
    count: u64,
    codes: BTreeMap<&'static str, u64>,
    since: UnixMillis,
    until: UnixMillis,
}

impl Refusals {
    pub(crate) fn new(agents_per_second: u64) -> Self {
        let strangers = Bucket::new(STRANGERS_PER_SECOND, 1);
        let state = State { strangers, agents: HashMap::new(), counts: HashMap::new() };
        Self { agents_per_second, state: Mutex::new(state) }
    }

    /// Whether one more refusal is recorded; if not, it is counted.
    pub(crate) fn admits(
        &self,
        agent: Option<&AgentId>,
        task: Option<TaskId>,
        outcome: Outcome,
        now: UnixMillis,
    ) -> bool {
        let mut state = self.state.lock();
        if state.bucket(agent, self.agents_per_second, now).take(now) {
            return true;
        }
        let codes = BTreeMap::from([(outcome.code(), 1)]);
        state.add((agent.cloned(), task), Count { count: 1, codes, since: now, until: now });
        false
    }

    fn take(&self) -> Vec<NotRecorded> {
        let counts = std::mem::take(&mut self.state.lock().counts);
        counts.into_iter().map(|(whose, count)| NotRecorded { whose, count }).collect()
    }

    fn put_back(&self, item: NotRecorded) {
        self.state.lock().add(item.whose, item.count);
    }
}

impl State {
    fn bucket(&mut self, agent: Option<&AgentId>, rate: u64, now: UnixMillis) -> &mut Bucket {
        let Some(agent) = agent else { return &mut self.strangers };
        if !self.agents.contains_key(agent) {
            if self.agents.len() >= AGENTS_MAX {
                self.agents.retain(|_, bucket| !bucket.is_full(now));
            }
            if self.agents.len() < AGENTS_MAX {
                self.agents.insert(agent.clone(), Bucket::new(rate, BURST_SECONDS));
            }
        }
        self.agents.get_mut(agent).unwrap_or(&mut self.strangers)
    }

    fn add(&mut self, mut whose: Whose, more: Count) {
        if self.counts.len() >= COUNTS_MAX && !self.counts.contains_key(&whose) {
            whose = (None, None);
        }
        let Some(held) = self.counts.get_mut(&whose) else {
            self.counts.insert(whose, more);
            return;
        };
        held.count = held.count.saturating_add(more.count);
        for (code, count) in more.codes {
            let sum = held.codes.entry(code).or_default();
            *sum = sum.saturating_add(count);
        }
        held.since = held.since.min(more.since);
        held.until = held.until.max(more.until);
    }
}

/// So many a second, and so many at once after a quiet time. Counts in thousandths.
#[derive(Debug)]
struct Bucket {
    per_second: u64,
    most: u64,
    held: u64,
    at: UnixMillis,
}

impl Bucket {
    fn new(per_second: u64, burst_seconds: u64) -> Self {
        let most = per_second.saturating_mul(burst_seconds).saturating_mul(1000).max(1000);
        Self { per_second, most, held: most, at: UnixMillis(0) }
    }

    fn take(&mut self, now: UnixMillis) -> bool {
        self.held = self.filled(now);
        self.at = self.at.max(now);
        match self.held.checked_sub(1000) {
            Some(left) => {
                self.held = left;
                true
            }
            None => false,
        }
    }

    fn is_full(&self, now: UnixMillis) -> bool {
        self.filled(now) == self.most
    }

    fn filled(&self, now: UnixMillis) -> u64 {
        let more = now.millis_since(self.at).saturating_mul(self.per_second);
        self.held.saturating_add(more).min(self.most)
    }
}

/// Records the counts every now and then, until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(EVERY).await;
        flush(&gateway).await;
    }
}

/// Records the counts now. What cannot be recorded is kept.
pub(crate) async fn flush(gateway: &Gateway) {
    for item in gateway.refusals.take() {
        let (agent, task) = &item.whose;
        tracing::warn!(?agent, ?task, count = item.count.count, "refusals past the rate");
        if let Err(error) = record(&gateway.spool, item, LocalEffect::default()).await {
            tracing::warn!(error = %error.error, "their count cannot be recorded now; it is kept");
            gateway.refusals.put_back(error.item);
        }
    }
}

struct NotRecorded {
    whose: Whose,
    count: Count,
}

/// The members in canonical order.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    codes: &'a BTreeMap<&'static str, u64>,
    count: u64,
    since_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    #[serde(rename = "type")]
    kind: &'static str,
    until_ms: u64,
    v: u8,
}

impl Record for NotRecorded {
    fn receipt(&self) -> Receipt {
        let Self { whose: (agent, task), count } = self;
        let payload = Payload {
            agent: agent.as_ref(),
            codes: &count.codes,
            count: count.count,
            since_ms: count.since.0,
            task: *task,
            kind: "refusals_suppressed",
            until_ms: count.until.0,
            v: 1,
        };
        Receipt {
            kind: ReceiptKind::Action,
            time_ms: count.until.0,
            subject_ids: task.iter().map(ToString::to_string).collect(),
            payload: canonical(&payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{AGENT, NOW};

    fn at(millis: u64) -> UnixMillis {
        UnixMillis(NOW.0 + millis)
    }

    fn admitted(refusals: &Refusals, agent: Option<&AgentId>, times: u64, now: UnixMillis) -> u64 {
        let admits = |_: &u64| refusals.admits(agent, None, Outcome::CeilingExceeded, now);
        (0..times).filter(admits).count() as u64
    }

    #[test]
    fn an_agent_is_recorded_up_to_a_rate_and_the_rest_is_counted() {
        let refusals = Refusals::new(5);
        let agent: AgentId = AGENT.parse().unwrap();
        let other: AgentId = "spiffe://dev.bailiwick.example/agent/other".parse().unwrap();
        assert_eq!(admitted(&refusals, Some(&agent), 1000, at(0)), 50);
        assert_eq!(admitted(&refusals, Some(&agent), 1000, at(1000)), 5);
        // Nobody else's rate is used up, and a quiet time fills it again, and no more than that.
        assert_eq!(admitted(&refusals, Some(&other), 10, at(1000)), 10);
        assert_eq!(admitted(&refusals, None, 1000, at(1000)), STRANGERS_PER_SECOND);
        assert_eq!(admitted(&refusals, Some(&agent), 1000, at(3_600_000)), 50);
        let taken = refusals.take();
        let of = |agent: Option<&AgentId>| {
            let found = taken.iter().find(|it| it.whose.0.as_ref() == agent);
            found.map(|it| (it.count.count, it.count.since, it.count.until))
        };
        assert_eq!(of(Some(&agent)), Some((950 + 995 + 950, at(0), at(3_600_000))));
        assert_eq!(of(None), Some((800, at(1000), at(1000))));
        assert_eq!(of(Some(&other)), None);
        assert!(refusals.take().is_empty(), "each is taken once");
    }

    #[test]
    fn a_count_that_cannot_be_recorded_is_kept() {
        let refusals = Refusals::new(1);
        let agent: AgentId = AGENT.parse().unwrap();
        assert_eq!(admitted(&refusals, Some(&agent), 15, at(0)), 10);
        refusals.take().into_iter().for_each(|item| refusals.put_back(item));
        assert_eq!(admitted(&refusals, Some(&agent), 5, at(1)), 0);
        let taken = refusals.take();
        assert_eq!(taken.len(), 1);
        let text = String::from_utf8(taken[0].receipt().payload).unwrap();
        assert!(text.contains(r#""codes":{"ceiling_exceeded":10},"count":10,"#), "{text}");
    }

    #[test]
    fn no_number_of_agents_or_tasks_makes_it_grow_without_end() {
        let refusals = Refusals::new(0);
        for number in 0..AGENTS_MAX + 50 {
            let agent = format!("spiffe://dev.bailiwick.example/agent/a{number}");
            admitted(&refusals, Some(&agent.parse().unwrap()), 3, at(0));
        }
        let state = refusals.state.lock();
        assert!(state.agents.len() <= AGENTS_MAX && state.counts.len() <= COUNTS_MAX + 1);
    }
}
