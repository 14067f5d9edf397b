//! The enforcement points that the Authority knows: who reads the feed, how far each one is, and who
//! was lost how long ago.
//!
//! A point that was lost may go on allowing until its staleness bound has passed, so it is kept for
//! as long, across restarts of the Authority too (`enforcement-points.json`): otherwise a restart
//! would make a report say that all is closed when somebody is out of sight. A point that cannot be
//! remembered is not served.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bailiwick_api::ProblemCode;
use bailiwick_api::enforcement::closure::{ClosurePoint, ClosureReport, ClosureState, PointState};
use bailiwick_api::enforcement::feed::{EnforcementPoint, STALE_AFTER_MS_MAX};
use bailiwick_core::ids::{AgentId, TenantId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::fault::Stop;
use bailiwick_identity::private_files::{self, PrivateFileError};

/// Processes of one enforcement point that are remembered.
const INSTANCES_MAX: usize = 256;
/// Processes of all of them.
const POINTS_MAX: usize = 4_096;
/// Bytes of the name of a process.
const INSTANCE_BYTES_MAX: usize = 64;
/// Acknowledgements whose time is remembered, for each process.
const ACKS_KEPT: usize = 256;
/// Silence, in milliseconds, after which a connection that acknowledges nothing is cut.
const SILENT_MS: u64 = 10_000;
/// How much longer than its bound a lost point is remembered, in milliseconds.
const LINGER_MS: u64 = 60_000;

/// Which process of which enforcement point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    agent: AgentId,
    instance: String,
}

#[derive(Clone, Debug)]
struct Point {
    tenant: TenantId,
    env: String,
    stale_after_ms: u64,
    connections: u32,
    /// When the last connection ended; of no meaning while there is one.
    lost: UnixMillis,
    /// When it connected or acknowledged last.
    heard: UnixMillis,
    acknowledged: u64,
    /// Numbers acknowledged, and when; the oldest first.
    acks: VecDeque<(u64, UnixMillis)>,
}

/// Every process of an enforcement point that can matter.
pub(crate) struct Points {
    file: PathBuf,
    all: Mutex<BTreeMap<Name, Point>>,
    writing: Mutex<()>,
    /// Told of every acknowledgement, connection and loss.
    changed: watch::Sender<()>,
}

/// As it is kept in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    agent: AgentId,
    instance: String,
    tenant: TenantId,
    env: String,
    stale_after_ms: u64,
}

/// What one connection announces.
pub(crate) struct Arrival {
    pub(crate) agent: AgentId,
    pub(crate) instance: String,
    pub(crate) tenant: TenantId,
    pub(crate) env: String,
    pub(crate) stale_after_ms: u64,
}

impl Points {
    /// Reads back who was there before. All of them are lost since now: whoever was connected a
    /// moment ago heard the last word of the process before this one.
    ///
    /// # Errors
    /// The file cannot be read, or is none of ours.
    pub(crate) fn open(data_dir: &Path, now: UnixMillis) -> Result<Self, PointsError> {
        let file = data_dir.join("enforcement-points.json");
        let kept: Vec<Kept> = match private_files::read(&file)? {
            None => Vec::new(),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| PointsError::Corrupt {
                    path: file.display().to_string(),
                    message: error.to_string(),
                })?
            }
        };
        let all = kept.into_iter().map(|kept| {
            let point = Point {
                tenant: kept.tenant,
                env: kept.env,
                stale_after_ms: kept.stale_after_ms.min(STALE_AFTER_MS_MAX),
                connections: 0,
                lost: now,
                heard: now,
                acknowledged: 0,
                acks: VecDeque::new(),
            };
            (Name { agent: kept.agent, instance: kept.instance }, point)
        });
        Ok(Self {
            file,
            all: Mutex::new(all.collect()),
            writing: Mutex::new(()),
            changed: watch::Sender::new(()),
        })
    }

    /// Lets a process read the feed, and remembers it.
    ///
    /// # Errors
    /// Its name or bound is unusable, there are too many, or it cannot be remembered.
    pub(crate) fn connect(
        self: &Arc<Self>,
        arrival: Arrival,
        clock: &Clock,
    ) -> Result<Connection, Stop> {
        let Arrival { agent, instance, tenant, env, stale_after_ms } = arrival;
        require_instance(&instance)?;
        if stale_after_ms > STALE_AFTER_MS_MAX {
            let detail = format!(
                "stale_after_ms is more than {STALE_AFTER_MS_MAX}, the longest life of a token"
            );
            return Err(Stop::new(Outcome::Malformed, detail));
        }
        let now = clock.now();
        let name = Name { agent, instance };
        let mut all = self.all.lock();
        let known = all.get(&name).map_or(0, |point| point.stale_after_ms);
        let is_new = !all.contains_key(&name);
        let siblings = all.keys().filter(|other| other.agent == name.agent).count();
        if is_new && (all.len() >= POINTS_MAX || siblings >= INSTANCES_MAX) {
            let detail = "too many processes of enforcement points; those that are gone are \
                          forgotten once they are stale";
            return Err(Stop::new(ProblemCode::RateLimited, detail));
        }
        let point = all.entry(name.clone()).or_insert_with(|| Point {
            tenant: tenant.clone(),
            env: env.clone(),
            stale_after_ms,
            connections: 0,
            lost: now,
            heard: now,
            acknowledged: 0,
            acks: VecDeque::new(),
        });
        point.tenant = tenant.clone();
        point.env = env;
        point.stale_after_ms = point.stale_after_ms.max(stale_after_ms);
        point.connections = point.connections.saturating_add(1);
        point.heard = now;
        drop(all);
        let connection =
            Connection { points: Arc::clone(self), name, tenant, clock: clock.clone() };
        if is_new || stale_after_ms > known {
            self.keep().map_err(|error| {
                tracing::error!(%error, "an enforcement point cannot be remembered: refusing it");
                let detail = "the enforcement point cannot be remembered, so it is not served";
                Stop::new(Outcome::LedgerUnavailable, detail)
            })?;
        }
        self.changed.send_replace(());
        Ok(connection)
    }

    /// A process says how far it is. One that says that it leaves refuses everything from now on.
    ///
    /// # Errors
    /// It never read the feed.
    pub(crate) fn acknowledge(
        &self,
        agent: &AgentId,
        instance: &str,
        (seq, leaving): (u64, bool),
        now: UnixMillis,
    ) -> Result<(), Stop> {
        require_instance(instance)?;
        let name = Name { agent: agent.clone(), instance: instance.to_owned() };
        let mut all = self.all.lock();
        let Some(point) = all.get_mut(&name) else {
            let detail = "this process has not read the feed";
            return Err(Stop::new(ProblemCode::NotFound, detail));
        };
        point.heard = now;
        if seq > point.acknowledged {
            point.acknowledged = seq;
            point.acks.push_back((seq, now));
            if point.acks.len() > ACKS_KEPT {
                point.acks.pop_front();
            }
        }
        if leaving {
            all.remove(&name);
        }
        drop(all);
        if leaving && let Err(error) = self.keep() {
            tracing::warn!(%error, "an enforcement point that left could not be forgotten");
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// Every point that is known, for operators.
    pub(crate) fn list(&self) -> Vec<EnforcementPoint> {
        let all = self.all.lock();
        let view = |(name, point): (&Name, &Point)| EnforcementPoint {
            agent: name.agent.clone(),
            instance: name.instance.clone(),
            tenant: point.tenant.clone(),
            env: point.env.clone(),
            connected: point.connections > 0,
            acknowledged: point.acknowledged,
            heard_at: point.heard.into(),
            stale_after_ms: point.stale_after_ms,
        };
        all.iter().map(view).collect()
    }

    /// Told of every acknowledgement, connection and loss.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether an end that is event `seq`, of `at`, is in force at every point of these tenants and
    /// environments, or at every point there is.
    pub(crate) fn report(
        &self,
        scope: Option<&[(TenantId, String)]>,
        seq: u64,
        at: UnixMillis,
        now: UnixMillis,
    ) -> ClosureReport {
        let all = self.all.lock();
        let concerned = all.iter().filter(|(_, point)| {
            let own =
                |(tenant, env): &(TenantId, String)| *tenant == point.tenant && *env == point.env;
            scope.is_none_or(|scope| scope.iter().any(own))
        });
        let points: Vec<ClosurePoint> =
            concerned.map(|(name, point)| point.report(name, seq, at, now)).collect();
        let any = |state| points.iter().any(|point| point.state == state);
        let state = match () {
            () if any(PointState::Lost) => ClosureState::Unknown,
            () if any(PointState::Pending) => ClosureState::Partial,
            () => ClosureState::Closed,
        };
        ClosureReport { state, as_of: now.into(), seq, points, ledger_index: None }
    }

    /// Forgets points that have been stale for a while.
    pub(crate) fn prune(&self, now: UnixMillis) {
        let mut all = self.all.lock();
        let before = all.len();
        all.retain(|_, point| {
            let until = point.stale_at().0.saturating_add(LINGER_MS);
            point.connections > 0 || now.0 < until
        });
        let gone = before.saturating_sub(all.len());
        drop(all);
        if gone > 0
            && let Err(error) = self.keep()
        {
            tracing::warn!(%error, "enforcement points that are gone could not be forgotten");
        }
    }

    fn lost(&self, name: &Name, now: UnixMillis) {
        if let Some(point) = self.all.lock().get_mut(name) {
            point.connections = point.connections.saturating_sub(1);
            point.lost = now;
        }
        self.changed.send_replace(());
    }

    fn keep(&self) -> Result<(), PrivateFileError> {
        let _one = self.writing.lock();
        let kept: Vec<Kept> = self
            .all
            .lock()
            .iter()
            .map(|(name, point)| Kept {
                agent: name.agent.clone(),
                instance: name.instance.clone(),
                tenant: point.tenant.clone(),
                env: point.env.clone(),
                stale_after_ms: point.stale_after_ms,
            })
            .collect();
        // A list of plain structs always serialises.
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        private_files::write(&self.file, &bytes)
    }
}

impl Point {
    /// When it refuses by itself, as long as nothing reaches it.
    fn stale_at(&self) -> UnixMillis {
        UnixMillis(self.lost.0.saturating_add(self.stale_after_ms))
    }

    fn report(&self, name: &Name, seq: u64, at: UnixMillis, now: UnixMillis) -> ClosurePoint {
        let state = match () {
            () if self.acknowledged >= seq => PointState::Acknowledged,
            () if self.connections > 0 => PointState::Pending,
            () if now > self.stale_at() => PointState::Stale,
            () => PointState::Lost,
        };
        let first = self.acks.iter().find(|(acknowledged, _)| *acknowledged >= seq);
        // Of acknowledgements before those that are remembered nothing is known.
        let known = self.acks.front().is_some_and(|(oldest, _)| *oldest <= seq)
            || self.acks.len() < ACKS_KEPT;
        let first = first.filter(|_| known);
        ClosurePoint {
            agent: name.agent.clone(),
            instance: name.instance.clone(),
            state,
            acknowledged: self.acknowledged,
            lag_ms: first.map(|(_, when)| when.millis_since(at)),
            closes_at: (state == PointState::Lost).then(|| self.stale_at().into()),
        }
    }
}

/// The name of a process goes into reports, files and logs.
fn require_instance(instance: &str) -> Result<(), Stop> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=INSTANCE_BYTES_MAX).contains(&instance.len()) && instance.bytes().all(plain) {
        return Ok(());
    }
    let detail = "instance is 1 to 64 of A-Z a-z 0-9 - _";
    Err(Stop::new(Outcome::Malformed, detail))
}

/// One connection; dropping it says that it ended.
pub(crate) struct Connection {
    points: Arc<Points>,
    name: Name,
    tenant: TenantId,
    clock: Clock,
}

impl Connection {
    pub(crate) fn agent(&self) -> &AgentId {
        &self.name.agent
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whether it has acknowledged nothing for too long: half a connection looks like a whole one.
    pub(crate) fn is_silent(&self, now: UnixMillis) -> bool {
        let all = self.points.all.lock();
        all.get(&self.name).is_none_or(|point| now.millis_since(point.heard) > SILENT_MS)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.points.lost(&self.name, self.clock.now());
    }
}

/// Why it is not known who was there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PointsError {
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error(
        "{path} cannot be read: {message}; remove it if no gateway has run in the last 15 minutes"
    )]
    Corrupt { path: String, message: String },
}
