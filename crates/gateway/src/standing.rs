//! What the Authority has told this gateway: who is dead, who may act, which policy is in force.
//!
//! [`crate::feed`] fills it. How old it may be depends on what a call touches: past the bound for
//! that sensitivity every call is refused (`revocation_stale`), whatever else is known. The age
//! counts from the time that the Authority *signed* its last word, so that a word held back on the
//! way, or replayed, does not pass for a fresh one.

mod hops;
mod known;
mod task;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bailiwick_api::ProblemCode;
use bailiwick_api::enforcement::feed::{FeedAck, FeedEvent, STALE_AFTER_MS_MAX};
use bailiwick_core::ids::{AgentId, TaskId, TokenId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::{IssuerKeys, VerifiedChain};
use bailiwick_policy::{AgentFacts, AgentStatus, PolicySet, Sensitivity};
use moka::sync::Cache;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::StalenessConfig;
use crate::link::Link;
use crate::stop::Stop;

use self::known::Known;
pub(crate) use self::known::{FeedFault, Parts};
use self::task::Kept;
pub(crate) use self::task::TaskContext;

/// Contexts of tasks kept.
const TASKS_MAX: u64 = 50_000;
/// A context that nobody asked for in this time is fetched again.
const TASK_IDLE: Duration = Duration::from_secs(3600);
/// How long one fetch of a context may take: a caller is waiting.
const TASK_FETCH: Duration = Duration::from_secs(5);
/// How long the set before may decide on after another came into force, while that is fetched.
const POLICY_GRACE_MS: u64 = 2_000;
/// How often a running stream looks for itself, in milliseconds; what is heard wakes it at once.
const LOOK_MS: u64 = 500;

/// What the Authority has told.
pub(crate) struct Standing {
    link: Arc<Link>,
    bounds: StalenessConfig,
    clock: Clock,
    known: RwLock<Known>,
    /// When the Authority signed what was heard last; 0 before anything was.
    heard: AtomicU64,
    /// Told whenever something was heard: wakes running streams and the acknowledgement.
    changed: watch::Sender<Heard>,
    keys: ArcSwap<IssuerKeys>,
    policy: Mutex<Policy>,
    policy_wanted: watch::Sender<Option<String>>,
    tasks: Cache<TaskId, Arc<Kept>>,
}

/// Where this gateway stands in the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The last event that is in force here; 0 before the first.
    pub(crate) seq: u64,
    /// When it, or the heartbeat that confirmed it, came into force.
    pub(crate) at: UnixMillis,
}

#[derive(Default)]
struct Policy {
    held: Option<Arc<PolicySet>>,
    /// The hash of the set in force at the Authority, and since when this gateway knows.
    wanted: Option<(String, UnixMillis)>,
}

impl Standing {
    /// Knows nothing yet, and therefore refuses everything.
    pub(crate) fn new(link: Arc<Link>, bounds: StalenessConfig, clock: Clock) -> Self {
        Self {
            link,
            bounds,
            clock,
            known: RwLock::default(),
            heard: AtomicU64::new(0),
            changed: watch::Sender::new(Heard::default()),
            keys: ArcSwap::from_pointee(IssuerKeys::new()),
            policy: Mutex::default(),
            policy_wanted: watch::Sender::new(None),
            tasks: Cache::builder().max_capacity(TASKS_MAX).time_to_idle(TASK_IDLE).build(),
        }
    }

    /// Refuses a chain of which anything is known to be dead, and every chain when the Authority
    /// was last heard too long ago for data of this sensitivity.
    ///
    /// # Errors
    /// `revoked`, `task_closed`, `agent_quarantined`, `agent_unregistered`, `clock_skew`,
    /// `revocation_stale`.
    pub(crate) fn require_alive(
        &self,
        chain: &VerifiedChain,
        sensitivity: Sensitivity,
        now: UnixMillis,
    ) -> Result<(), Stop> {
        self.known.read().require_alive(&Line::of(chain))?;
        if !self.clock.is_sound() {
            let detail = format!(
                "the clock of the gateway is {} ms behind what it has seen",
                self.clock.lag_ms()
            );
            return Err(Stop::new(Outcome::ClockSkew, detail));
        }
        let (age, bound) = (self.age_ms(now), self.bound_ms(sensitivity));
        if age <= bound {
            return Ok(());
        }
        let detail = if self.heard.load(Ordering::Acquire) == 0 {
            "the Authority has not been heard yet, so nothing is known to be alive".to_owned()
        } else {
            format!(
                "the Authority was last heard {age} ms ago; for {sensitivity} data the bound is \
                 {bound} ms"
            )
        };
        Err(Stop::new(Outcome::RevocationStale, detail))
    }

    /// Why this gateway has no identity to show the Authority.
    pub(crate) fn identity_fault(&self) -> Option<String> {
        self.link.identity_fault()
    }

    /// How old what is known is, in milliseconds; more than any bound before anything was heard.
    pub(crate) fn age_ms(&self, now: UnixMillis) -> u64 {
        match self.heard.load(Ordering::Acquire) {
            0 => u64::MAX,
            heard => now.millis_since(UnixMillis(heard)),
        }
    }

    /// How old it may be for data of this sensitivity; never more than the longest life of a token.
    pub(crate) fn bound_ms(&self, sensitivity: Sensitivity) -> u64 {
        self.bounds.bound_ms(sensitivity).min(STALE_AFTER_MS_MAX)
    }

    /// The longest of the bounds: after it this gateway allows nothing.
    pub(crate) fn bound_ms_max(&self) -> u64 {
        Sensitivity::ALL.iter().map(|one| self.bound_ms(*one)).max().unwrap_or(0)
    }

    /// The policy set in force; none before one has come, and while a newer one cannot be had.
    pub(crate) fn policy(&self) -> Option<Arc<PolicySet>> {
        let policy = self.policy.lock();
        let held = policy.held.as_ref()?;
        let (wanted, since) = policy.wanted.as_ref()?;
        let in_time = self.clock.now().millis_since(*since) <= POLICY_GRACE_MS;
        (held.hash() == wanted || in_time).then(|| Arc::clone(held))
    }

    /// A set was fetched. One that is not the set in force changes nothing.
    pub(crate) fn put_policy(&self, set: PolicySet) {
        let mut policy = self.policy.lock();
        if policy.wanted.as_ref().is_some_and(|(wanted, _)| wanted == set.hash()) {
            policy.held = Some(Arc::new(set));
        }
    }

    /// The hash of the set that has to be fetched; none when the one in force is held.
    pub(crate) fn policy_missing(&self) -> Option<String> {
        let policy = self.policy.lock();
        let (wanted, _) = policy.wanted.as_ref()?;
        let held = policy.held.as_ref().is_some_and(|held| held.hash() == wanted);
        (!held).then(|| wanted.clone())
    }

    /// Tells of every set that comes into force.
    pub(crate) fn policy_wanted(&self) -> watch::Receiver<Option<String>> {
        self.policy_wanted.subscribe()
    }

    /// An agent, as policy sees it.
    pub(crate) fn agent(&self, id: &AgentId) -> Option<Arc<AgentFacts>> {
        self.known.read().agent(id.as_str()).cloned()
    }

    /// The keys that the Authority's tokens and feed verify with.
    pub(crate) fn issuer_keys(&self) -> Arc<IssuerKeys> {
        self.keys.load_full()
    }

    /// Other keys from now on.
    pub(crate) fn put_keys(&self, keys: IssuerKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// Where this gateway stands in the feed; changes whenever something was heard.
    pub(crate) fn heard(&self) -> watch::Receiver<Heard> {
        self.changed.subscribe()
    }

    /// What to acknowledge now.
    pub(crate) fn ack(&self) -> FeedAck {
        let heard = *self.changed.borrow();
        let instance = self.link.instance().to_owned();
        FeedAck { instance, seq: heard.seq, at: heard.at, leaving: false }
    }

    /// What policy has to be told of a task: asked of the Authority once and kept while it is open.
    ///
    /// # Errors
    /// `task_closed`, `revoked`, `task_mismatch`; `status_unknown` when the Authority cannot be
    /// asked.
    pub(crate) async fn task(&self, id: TaskId) -> Result<Arc<TaskContext>, Stop> {
        let generation = self.known.read().generation();
        if let Some(kept) = self.tasks.get(&id)
            && kept.is_of(generation)
        {
            return Ok(kept.context());
        }
        let fetch = self.link.client().enforcement_task(id);
        let view = match tokio::time::timeout(TASK_FETCH, fetch).await {
            Ok(Ok(view)) => view,
            Ok(Err(error)) => return Err(task::not_told(&error)),
            Err(_) => return Err(task::unreachable("no answer in time")),
        };
        let fetched = Arc::new(Kept::read(id, &view, generation)?);
        // One context a task, whoever fetched it first: what is raised in it is raised for all.
        let kept = self.tasks.entry(id).or_insert_with(|| Arc::clone(&fetched)).into_value();
        kept.refresh(&fetched);
        Ok(kept.context())
    }

    /// A task that has been asked for before.
    pub(crate) fn known_task(&self, id: &TaskId) -> Option<Arc<TaskContext>> {
        self.tasks.get(id).map(|kept| kept.context())
    }

    /// Resolves when the chain's token, its line, its task or an agent of it dies, at the task's
    /// deadline, or when the Authority has not been heard for longer than any bound allows: cuts
    /// running streams. A token's own end does not cut what it began.
    pub(crate) fn ended(
        self: &Arc<Self>,
        chain: &VerifiedChain,
    ) -> impl Future<Output = ()> + Send + use<> {
        let bound_ms = self.bound_ms_max();
        let standing = Arc::clone(self);
        let line = Line::of(chain).owned();
        // Before the first look, so that nothing falls between.
        let mut changed = self.changed.subscribe();
        async move {
            loop {
                let now = standing.clock.now();
                let dead = standing.known.read().require_alive(&line).is_err();
                let deadline = standing.known_task(&line.task).map(|task| task.deadline);
                let over = deadline.is_some_and(|deadline| now >= deadline);
                if dead || over || standing.age_ms(now) > bound_ms {
                    return;
                }
                let left = deadline.map_or(u64::MAX, |deadline| deadline.millis_since(now));
                // Time passes without anything being heard, too.
                let wait = Duration::from_millis(left.clamp(1, LOOK_MS));
                let _ = tokio::time::timeout(wait, changed.changed()).await;
            }
        }
    }
}

/// Filling it: what [`crate::feed`] calls.
impl Standing {
    /// Takes a verified event in. Nothing of it is in force when it is refused.
    ///
    /// # Errors
    /// [`FeedFault`]: it is out of order, old, from the future, or holds something unknown.
    pub(crate) fn apply(&self, events: &[FeedEvent]) -> Result<(), FeedFault> {
        let now = self.clock.now();
        let Some(last) = events.last() else { return Ok(()) };
        let effects = self.known.write().apply(events, now)?;
        for task in &effects.ended {
            self.tasks.invalidate(task);
        }
        for (task, level) in &effects.exposed {
            if let Some(kept) = self.tasks.get(task) {
                kept.context().raise_exposure(*level);
            }
        }
        if let Some(hash) = effects.policy {
            let mut policy = self.policy.lock();
            if policy.wanted.as_ref().is_none_or(|(wanted, _)| *wanted != hash) {
                policy.wanted = Some((hash.clone(), now));
            }
            drop(policy);
            self.policy_wanted.send_replace(Some(hash));
        }
        // A clock of the Authority that is ahead of ours does not make its word younger.
        self.heard.fetch_max(last.at.0.min(now.0), Ordering::AcqRel);
        self.changed.send_replace(Heard { seq: last.seq, at: now });
        Ok(())
    }

    /// Forgets what cannot matter any more.
    pub(crate) fn prune(&self) {
        self.known.write().prune(self.clock.now());
    }
}

/// What of a chain can be dead.
struct Line<A> {
    tokens: Vec<TokenId>,
    task: TaskId,
    agents: Vec<A>,
}

impl<'a> Line<&'a str> {
    fn of(chain: &'a VerifiedChain) -> Self {
        // Where hops are unsettled, `act` and `lineage` end at the last settled one.
        let claims = chain.claims();
        let acting = claims.act.0.iter().map(|actor| actor.sub.as_str());
        let agents = acting.chain(chain.hops().map(|hop| hop.client_id.as_str())).collect();
        let line = claims.hop.lineage.iter().copied().chain([claims.jti]);
        let tokens = line.chain(chain.hops().map(|hop| hop.jti)).collect();
        Self { tokens, task: claims.txn, agents }
    }

    fn owned(self) -> Line<String> {
        let agents = self.agents.into_iter().map(str::to_owned).collect();
        Line { tokens: self.tokens, task: self.task, agents }
    }
}

/// Why an agent of a status may not act.
fn agent_stopped(id: &str, status: AgentStatus) -> Option<Stop> {
    let (code, what): (ProblemCode, _) = match status {
        AgentStatus::Active => return None,
        AgentStatus::Quarantined => {
            (Outcome::AgentQuarantined.into(), "is quarantined; an operator has to reinstate it")
        }
        AgentStatus::Suspended => (Outcome::AgentUnregistered.into(), "is suspended"),
        AgentStatus::Retired => (Outcome::AgentUnregistered.into(), "is retired"),
    };
    Some(Stop::new(code, format!("{id} {what}")))
}

#[cfg(test)]
mod tests;
