//! The enforcement feed: what died and what changed, numbered, signed, pushed.
//!
//! Whatever kills something reaches [`Feed::publish`] after it is durable and before anybody is told
//! that it is: deaths come from the store's writer itself ([`DeathWatch`]), so that no operation can
//! forget them, changes of registry, policy and keys from their operations, under the lock that
//! orders them. Every connection reads from one ring of recent events at its own pace; whoever falls
//! out of the ring, or comes after a restart, gets a snapshot. Nothing is kept for a reader.
//!
//! INVARIANT: what an event says is in force in memory before the event has a number, so that a
//! snapshot as of a number holds at least everything up to it.

pub(crate) mod closure;
pub(crate) mod points;
mod snapshot;
pub(crate) mod stream;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::body::Bytes;
use bailiwick_api::enforcement::feed::{
    FEED_ENTRIES_MAX, FEED_HEARTBEAT_MS, FEED_TYPE, FeedEntry, FeedEvent, FeedKind,
    STALE_AFTER_MS_MAX,
};
use bailiwick_core::ids::{TaskId, TenantId};
use bailiwick_core::jcs;
use bailiwick_core::time::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::keys::{KeysError, SigningKeys};
use crate::model::TaskState;
use crate::ops::close_task::wire_state;
use crate::revoked::RevokedSet;
use crate::store::{DeathWatch, Deaths};
use points::Points;

pub(crate) use snapshot::{changed_agents, keys as published_keys};

/// Events kept for readers that come back.
const RING_EVENTS_MAX: usize = 16_384;
/// Entries of all kept events.
const RING_ENTRIES_MAX: usize = 262_144;
/// How long an ended task is part of snapshots: until nothing of it can be alive anywhere.
const ENDED_MS: u64 = STALE_AFTER_MS_MAX + 300_000;
/// Numbers a millisecond: the first number of a process is its start in milliseconds times this, so
/// that no restart gives a number twice.
const NUMBERS_PER_MS: u64 = 1_000;

/// The feed.
pub(crate) struct Feed {
    issuer: String,
    clock: Clock,
    state: Mutex<State>,
    /// Told of every event and heartbeat.
    wake: watch::Sender<()>,
    closing: watch::Sender<bool>,
    /// The first number of this process: every snapshot of it is at least here.
    first: u64,
    pub(crate) points: Arc<Points>,
}

struct State {
    seq: u64,
    ring: VecDeque<Arc<Event>>,
    entries: usize,
    beat: Option<Arc<Event>>,
    ended: HashMap<TaskId, (TaskState, UnixMillis)>,
}

/// One event and its signed forms.
pub(crate) struct Event {
    claims: FeedEvent,
    /// By tenant where agents are in it, else one for all.
    signed: Mutex<HashMap<Option<TenantId>, Bytes>>,
}

impl Feed {
    pub(crate) fn new(issuer: &str, clock: Clock, points: Points) -> Self {
        let first = clock.now().0.saturating_mul(NUMBERS_PER_MS);
        Self {
            issuer: issuer.to_owned(),
            clock,
            state: Mutex::new(State {
                seq: first,
                ring: VecDeque::new(),
                entries: 0,
                beat: None,
                ended: HashMap::new(),
            }),
            wake: watch::Sender::new(()),
            closing: watch::Sender::new(false),
            first,
            points: Arc::new(points),
        }
    }

    /// Tells every enforcement point. Call it after the change is durable, and in force here.
    /// Gives the number that an enforcement point must have reached to know of it.
    pub(crate) fn publish(&self, entries: Vec<FeedEntry>) -> u64 {
        let mut state = self.state.lock();
        // Under the lock: a later event is never signed for an earlier time.
        let at = self.clock.now();
        for chunk in entries.chunks(FEED_ENTRIES_MAX) {
            let (prev, seq) = (state.seq, state.seq.saturating_add(1));
            let claims = self.claims(FeedKind::Delta, at, (seq, prev), (0, 1), chunk.to_vec());
            state.push(claims);
        }
        let seq = state.seq;
        drop(state);
        self.wake.send_replace(());
        seq
    }

    /// Where the feed stands.
    pub(crate) fn seq(&self) -> u64 {
        self.state.lock().seq
    }

    /// Where it stood when this process began.
    pub(crate) fn first_seq(&self) -> u64 {
        self.first
    }

    /// Tasks that ended before this process began, for its snapshots.
    pub(crate) fn remember_ended(&self, tasks: impl IntoIterator<Item = (TaskId, TaskState)>) {
        let until = UnixMillis(self.clock.now().0.saturating_add(ENDED_MS));
        let mut state = self.state.lock();
        state.ended.extend(tasks.into_iter().map(|(task, how)| (task, (how, until))));
    }

    /// Says that the feed is alive and where it stands.
    pub(crate) fn beat(&self) {
        let mut state = self.state.lock();
        state.beat = Some(Arc::new(self.heartbeat(state.seq)));
        drop(state);
        self.wake.send_replace(());
    }

    /// Ends every connection: the process stops.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Forgets what no snapshot needs any more, and enforcement points that are long gone.
    pub(crate) fn prune(&self) {
        let now = self.clock.now();
        self.state.lock().ended.retain(|_, (_, until)| *until > now);
        self.points.prune(now);
    }

    /// A heartbeat for one reader.
    fn beat_now(&self) -> Arc<Event> {
        let state = self.state.lock();
        Arc::new(self.heartbeat(state.seq))
    }

    /// INVARIANT: the caller holds the lock, so that no event with a higher number is signed for an
    /// earlier time.
    fn heartbeat(&self, seq: u64) -> Event {
        let at = self.clock.now();
        Event::new(self.claims(FeedKind::Heartbeat, at, (seq, seq), (0, 1), Vec::new()))
    }

    fn claims(
        &self,
        kind: FeedKind,
        at: UnixMillis,
        (seq, prev): (u64, u64),
        (part, parts): (u32, u32),
        entries: Vec<FeedEntry>,
    ) -> FeedEvent {
        FeedEvent { iss: self.issuer.clone(), at, kind, seq, prev, part, parts, entries }
    }
}

impl State {
    fn push(&mut self, claims: FeedEvent) {
        self.seq = claims.seq;
        self.entries = self.entries.saturating_add(claims.entries.len());
        self.ring.push_back(Arc::new(Event::new(claims)));
        while self.ring.len() > RING_EVENTS_MAX || self.entries > RING_ENTRIES_MAX {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.entries = self.entries.saturating_sub(oldest.claims.entries.len());
        }
    }

    /// Every event after `cursor`, in order; none when some of them are gone, or `cursor` is not a
    /// number of this process.
    fn after(&self, cursor: u64) -> Option<Vec<Arc<Event>>> {
        if cursor == self.seq {
            return Some(Vec::new());
        }
        let at = self.ring.binary_search_by_key(&cursor, |event| event.claims.prev).ok()?;
        Some(self.ring.range(at..).cloned().collect())
    }
}

impl Event {
    fn new(claims: FeedEvent) -> Self {
        Self { claims, signed: Mutex::default() }
    }

    /// The event as it goes to an enforcement point of `tenant`, as a server-sent event. Signed once,
    /// however many read it; agents of other tenants are not in it.
    fn frame(&self, keys: &SigningKeys, tenant: &TenantId) -> Result<Bytes, KeysError> {
        let is_agent = |entry: &FeedEntry| matches!(entry, FeedEntry::Agent(_));
        let own = self.claims.entries.iter().any(is_agent);
        let key = own.then(|| tenant.clone());
        let mut signed = self.signed.lock();
        if let Some(frame) = signed.get(&key) {
            return Ok(frame.clone());
        }
        let frame = if own {
            let mut claims = self.claims.clone();
            claims.entries.retain(|entry| match entry {
                FeedEntry::Agent(agent) => agent.tenant == *tenant,
                _ => true,
            });
            sign(keys, &claims)?
        } else {
            sign(keys, &self.claims)?
        };
        signed.insert(key, frame.clone());
        Ok(frame)
    }
}

/// A compact JWS of the feed, framed. A snapshot may be resumed after its last part only.
fn sign(keys: &SigningKeys, claims: &FeedEvent) -> Result<Bytes, KeysError> {
    let signer = keys.active_token_signer()?;
    let header = json!({"alg": signer.algorithm().name(), "kid": signer.kid(), "typ": FEED_TYPE});
    let unsignable = |error: jcs::JcsError| KeysError::Corrupt {
        path: "the feed".to_owned(),
        message: format!("an event has no canonical form: {error}"),
    };
    let header = jcs::canonicalize_value(&header).map_err(unsignable)?;
    let payload = jcs::canonicalize(claims).map_err(unsignable)?;
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(input.as_bytes())?);
    let whole = claims.part.saturating_add(1) == claims.parts;
    let id = if whole { format!("id: {}\n", claims.seq) } else { String::new() };
    Ok(Bytes::from(format!("{id}data: {input}.{signature}\n\n")))
}

/// Says that it is alive, until told to stop.
pub(crate) async fn keep_beating(feed: Arc<Feed>, stopped: watch::Receiver<bool>) {
    let mut timer = tokio::time::interval(std::time::Duration::from_millis(FEED_HEARTBEAT_MS));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stopping = crate::serve::until(stopped);
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = timer.tick() => feed.beat(),
        }
    }
}

/// Takes deaths from the store's writer: first in force here, then told.
pub(crate) struct Mourner {
    pub(crate) revoked: Arc<RevokedSet>,
    pub(crate) feed: Arc<Feed>,
}

impl DeathWatch for Mourner {
    fn died(&self, deaths: Deaths) {
        let Deaths { tokens, tasks } = deaths;
        self.revoked.extend(tokens.iter().copied());
        self.feed.remember_ended(tasks.iter().copied());
        let ended = tasks
            .into_iter()
            .map(|(task, state)| FeedEntry::Ended { task, state: wire_state(state) });
        let revoked = tokens.into_iter().map(|(jti, exp)| FeedEntry::Revoked { jti, exp });
        // Ends first: why a token died is the better answer.
        self.feed.publish(ended.chain(revoked).collect());
    }
}

#[cfg(test)]
mod tests;
