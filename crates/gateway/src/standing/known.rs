//! What is known to be dead, and by which rules an event of the feed becomes part of it.

use std::collections::HashMap;
use std::sync::Arc;

use bailiwick_api::TaskState;
use bailiwick_api::enforcement::feed::{
    FEED_PARTS_MAX, FeedAgent, FeedEntry, FeedEvent, FeedKind, STALE_AFTER_MS_MAX,
};
use bailiwick_core::ids::{TaskId, TokenId};
use bailiwick_core::limits::CLOCK_SKEW_SECONDS_MAX;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_policy::{AgentFacts, AgentStatus, Sensitivity};

use super::{Line, agent_stopped};
use crate::stop::Stop;

/// Revoked tokens kept; past it nothing is allowed until some have expired.
const REVOKED_MAX: usize = 2_000_000;
/// Ended tasks kept; as above.
const ENDED_MAX: usize = 1_000_000;
/// Agents kept; as above.
const AGENTS_MAX: usize = 200_000;
/// How long past its use a dead thing is remembered, for streams that still run.
const LINGER_MS: u64 = 60_000;

/// Why an event of the feed is refused. The gateway then begins to read anew, and is stale if that
/// does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FeedFault {
    /// It is not a canonical compact JWS of the feed's type with the feed's claims.
    #[error("not an event of the feed: {0}")]
    Form(String),
    /// It names a key that the Authority does not publish.
    #[error("signed with the unknown key {0}")]
    UnknownKey(String),
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// It is another Authority's.
    #[error("it is the feed of another Authority")]
    Issuer,
    /// Something is missing between this event and the one before.
    #[error("the feed has a gap: at {at}, and the event follows {prev}")]
    Gap {
        /// Where the reader is.
        at: u64,
        /// What the event follows.
        prev: u64,
    },
    /// It was said before: replayed, or the Authority was put back.
    #[error("the event is older than what is known")]
    Old,
    /// It was signed in the future.
    #[error("the event is {0} ms ahead of this gateway's clock")]
    Future(u64),
    /// More than can be kept.
    #[error("more {0} than can be kept")]
    TooMany(&'static str),
}

/// What an event changed, beyond what is kept here.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) ended: Vec<TaskId>,
    pub(super) exposed: Vec<(TaskId, Sensitivity)>,
    pub(super) policy: Option<String>,
}

/// Who and what is dead, and who may act.
#[derive(Debug, Default)]
pub(super) struct Known {
    seq: u64,
    at: UnixMillis,
    /// Counts snapshots: what was missed between is asked for again.
    generation: u64,
    revoked: HashMap<TokenId, UnixMillis>,
    ended: HashMap<TaskId, (TaskState, UnixMillis)>,
    agents: HashMap<String, Arc<AgentFacts>>,
}

impl Known {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn agent(&self, id: &str) -> Option<&Arc<AgentFacts>> {
        self.agents.get(id)
    }

    pub(super) fn require_alive<A: AsRef<str>>(&self, line: &Line<A>) -> Result<(), Stop> {
        if let Some((state, _)) = self.ended.get(&line.task) {
            return Err(match state {
                TaskState::Revoked => {
                    Stop::new(Outcome::Revoked, "the task is revoked; start a new one")
                }
                state => {
                    Stop::new(Outcome::TaskClosed, format!("the task is {state}; start a new one"))
                }
            });
        }
        // An agent that was stopped lost its tokens, too; why it did is the better answer.
        let stopped = line.agents.iter().find_map(|id| {
            let agent = self.agents.get(id.as_ref())?;
            agent_stopped(id.as_ref(), agent.status)
        });
        if let Some(stop) = stopped {
            return Err(stop);
        }
        if line.tokens.iter().any(|jti| self.revoked.contains_key(jti)) {
            let detail = "the token or one that it stems from is revoked";
            return Err(Stop::new(Outcome::Revoked, detail));
        }
        let unknown = line.agents.iter().find(|id| !self.agents.contains_key(id.as_ref()));
        // Before anything was heard nobody is known, and staleness is what refuses.
        if let Some(id) = unknown.filter(|_| self.generation > 0) {
            let detail = format!("{} is not a registered agent", id.as_ref());
            return Err(Stop::new(Outcome::AgentUnregistered, detail));
        }
        Ok(())
    }

    /// Takes the parts of a snapshot, or one delta or heartbeat. All of it, or nothing.
    pub(super) fn apply(
        &mut self,
        events: &[FeedEvent],
        now: UnixMillis,
    ) -> Result<Effects, FeedFault> {
        let mut entries = Vec::new();
        for event in events {
            self.check(event, now)?;
            for entry in &event.entries {
                entries.push(Fact::read(entry)?);
            }
        }
        let Some(last) = events.last() else { return Ok(Effects::default()) };
        let snapshot = last.kind == FeedKind::Snapshot;
        self.check_room(&entries, snapshot)?;
        let mut effects = Effects::default();
        if snapshot {
            // Who is dead stays so; who may act is said whole.
            self.agents.clear();
            self.generation = self.generation.wrapping_add(1);
        }
        for fact in entries {
            self.learn(fact, now, &mut effects);
        }
        self.seq = last.seq;
        self.at = last.at;
        Ok(effects)
    }

    fn check(&self, event: &FeedEvent, now: UnixMillis) -> Result<(), FeedFault> {
        let ahead = event.at.millis_since(now);
        if ahead > CLOCK_SKEW_SECONDS_MAX.saturating_mul(1000) {
            return Err(FeedFault::Future(ahead));
        }
        if event.at < self.at || event.seq < self.seq {
            return Err(FeedFault::Old);
        }
        let gap = || FeedFault::Gap { at: self.seq, prev: event.prev };
        match event.kind {
            FeedKind::Snapshot => Ok(()),
            // Nothing is a change of what was never told.
            _ if self.generation == 0 => Err(gap()),
            FeedKind::Delta if event.seq == self.seq => Err(FeedFault::Old),
            FeedKind::Delta if event.prev == self.seq => Ok(()),
            FeedKind::Heartbeat if event.seq == self.seq && event.entries.is_empty() => Ok(()),
            FeedKind::Delta | FeedKind::Heartbeat => Err(gap()),
        }
    }

    fn check_room(&self, entries: &[Fact], snapshot: bool) -> Result<(), FeedFault> {
        let count = |is: fn(&Fact) -> bool| entries.iter().filter(|fact| is(fact)).count();
        let agents = count(|fact| matches!(fact, Fact::Agent(_)));
        let held = if snapshot { 0 } else { self.agents.len() };
        let room = [
            (
                "revoked tokens",
                self.revoked.len(),
                count(|f| matches!(f, Fact::Revoked(..))),
                REVOKED_MAX,
            ),
            ("ended tasks", self.ended.len(), count(|f| matches!(f, Fact::Ended(..))), ENDED_MAX),
            ("agents", held, agents, AGENTS_MAX),
        ];
        for (what, held, more, most) in room {
            if held.saturating_add(more) > most {
                return Err(FeedFault::TooMany(what));
            }
        }
        Ok(())
    }

    fn learn(&mut self, fact: Fact, now: UnixMillis, effects: &mut Effects) {
        match fact {
            Fact::Revoked(jti, exp) => {
                let until = UnixMillis(exp.max(now).0.saturating_add(LINGER_MS));
                self.revoked.insert(jti, until);
            }
            Fact::Ended(task, state) => {
                // Until no token of it can be alive.
                let until = now.0.saturating_add(STALE_AFTER_MS_MAX).saturating_add(LINGER_MS);
                self.ended.insert(task, (state, UnixMillis(until)));
                effects.ended.push(task);
            }
            Fact::Agent(agent) => {
                self.agents.insert(agent.id.to_string(), Arc::new(agent));
            }
            Fact::Policy(hash) => effects.policy = Some(hash),
            Fact::Keys => {}
            Fact::Exposed(task, level) => effects.exposed.push((task, level)),
        }
    }

    pub(super) fn prune(&mut self, now: UnixMillis) {
        self.revoked.retain(|_, until| *until > now);
        self.ended.retain(|_, (_, until)| *until > now);
    }
}

/// An entry in the gateway's own terms.
enum Fact {
    Revoked(TokenId, UnixMillis),
    Ended(TaskId, TaskState),
    Agent(AgentFacts),
    Policy(String),
    /// The key set is fetched again by the reader of the feed.
    Keys,
    Exposed(TaskId, Sensitivity),
}

impl Fact {
    fn read(entry: &FeedEntry) -> Result<Self, FeedFault> {
        let unknown = |error: bailiwick_policy::UnknownWord| FeedFault::Form(error.to_string());
        Ok(match entry {
            FeedEntry::Revoked { jti, exp } => Self::Revoked(*jti, UnixMillis::from_seconds(*exp)),
            FeedEntry::Ended { state: TaskState::Open, .. } => {
                return Err(FeedFault::Form("an ended task that is open".to_owned()));
            }
            FeedEntry::Ended { task, state } => Self::Ended(*task, *state),
            FeedEntry::Agent(agent) => Self::Agent(agent_facts(agent).map_err(unknown)?),
            FeedEntry::Policy { hash } => Self::Policy(hash.clone()),
            FeedEntry::Keys { .. } => Self::Keys,
            FeedEntry::Exposure { task, level } => {
                Self::Exposed(*task, level.parse().map_err(unknown)?)
            }
        })
    }
}

fn agent_facts(agent: &FeedAgent) -> Result<AgentFacts, bailiwick_policy::UnknownWord> {
    Ok(AgentFacts {
        clearance: agent.clearance.parse()?,
        environment: agent.environment.clone(),
        id: agent.id.clone(),
        owner: agent.owner.clone(),
        status: agent.status.parse::<AgentStatus>()?,
        tenant: agent.tenant.clone(),
        trust_domain: agent.trust_domain.clone(),
    })
}

/// Puts the parts of a snapshot together.
#[derive(Debug, Default)]
pub(crate) struct Parts(Vec<FeedEvent>);

impl Parts {
    /// Adds an event; gives back what can be applied now, nothing while parts are missing.
    ///
    /// # Errors
    /// The parts are not those of one snapshot, in order.
    pub(crate) fn add(&mut self, event: FeedEvent) -> Result<Option<Vec<FeedEvent>>, FeedFault> {
        let fault = |what: &str| FeedFault::Form(what.to_owned());
        if event.kind != FeedKind::Snapshot {
            return match (self.0.is_empty(), event.part, event.parts) {
                (true, 0, 1) => Ok(Some(vec![event])),
                (false, ..) => Err(fault("a snapshot that breaks off")),
                _ => Err(fault("parts of what is no snapshot")),
            };
        }
        let expected = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let same = self.0.first().is_none_or(|first| {
            (first.seq, first.at, first.parts) == (event.seq, event.at, event.parts)
        });
        if event.part != expected || !same || !(1..=FEED_PARTS_MAX).contains(&event.parts) {
            return Err(fault("parts of a snapshot out of order"));
        }
        let whole = expected.saturating_add(1) == event.parts;
        self.0.push(event);
        Ok(whole.then(|| std::mem::take(&mut self.0)))
    }
}

#[cfg(test)]
mod tests;
