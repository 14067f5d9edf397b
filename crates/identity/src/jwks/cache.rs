//! The current keys of one issuer: fetched once at a time, kept fresh, kept for a stated bound when the
//! issuer is away, and never fetched more often than the cool-down, whatever tokens come in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use bailiwick_core::{Sha256Hash, UnixMillis, sha256};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::KeySet;
use crate::config::{ConfigError, IssuerConfig, JwksSource};
use crate::elapsed::Elapsed;
use crate::error::IdentityError;
use crate::fetch::{KeyClient, KeyUrl, read_file};

const BACKOFF_MILLIS_MAX: u64 = 60_000;

/// The keys of one issuer, and how to get newer ones.
pub(crate) struct KeyCache {
    issuer: String,
    source: Source,
    client: KeyClient,
    refresh_millis: u64,
    keep_millis: u64,
    cooldown_millis: u64,
    elapsed: Elapsed,
    good: ArcSwapOption<GoodKeys>,
    flight: Arc<Mutex<Flight>>,
    next_attempt: AtomicU64,
    attempts: AtomicU64,
}

enum Source {
    Url(KeyUrl),
    File(PathBuf),
    Inline,
}

#[derive(Default)]
struct Flight {
    failures: u32,
}

/// The last keys that could be read.
pub(crate) struct GoodKeys {
    pub(crate) set: Arc<KeySet>,
    /// Changes when the content changes: a JWT verified under another generation is verified again.
    pub(crate) generation: u64,
    digest: Sha256Hash,
    fetched: u64,
}

impl KeyCache {
    pub(crate) fn new(config: &IssuerConfig, client: KeyClient) -> Result<Self, ConfigError> {
        let fail = |what| ConfigError::Keys { issuer: config.issuer.clone(), what };
        let mut inline = None;
        let source = match &config.jwks {
            JwksSource::Url(text) => {
                let url = KeyUrl::parse(text).map_err(fail)?;
                client.check(&url)?;
                Source::Url(url)
            }
            JwksSource::File(path) => Source::File(path.clone()),
            JwksSource::Inline(document) => {
                let bytes = document.to_string().into_bytes();
                inline = Some(GoodKeys::read(&bytes, None, 0).map_err(fail)?);
                Source::Inline
            }
        };
        Ok(Self {
            issuer: config.issuer.clone(),
            source,
            client,
            refresh_millis: config.refresh_seconds.saturating_mul(1000),
            keep_millis: config.keep_seconds_max.saturating_mul(1000),
            cooldown_millis: config.cooldown_seconds.saturating_mul(1000),
            elapsed: Elapsed::default(),
            good: ArcSwapOption::from_pointee(inline),
            flight: Arc::default(),
            next_attempt: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
        })
    }

    /// The keys to use at `now`. Waits for a fetch only when there are none that may be used; keys that
    /// are merely due for renewal serve while one task renews them.
    pub(crate) async fn current(
        self: &Arc<Self>,
        now: UnixMillis,
    ) -> Result<Arc<GoodKeys>, IdentityError> {
        if let (Source::Inline, Some(good)) = (&self.source, self.good.load_full()) {
            return Ok(good);
        }
        let elapsed = self.elapsed.at(now);
        if let Some(good) = self.usable(elapsed) {
            if elapsed.saturating_sub(good.fetched) >= self.refresh_millis {
                self.renew_in_background(elapsed);
            }
            return Ok(good);
        }
        self.renew(elapsed).await;
        self.usable(elapsed)
            .ok_or_else(|| IdentityError::KeysUnavailable { issuer: self.issuer.clone() })
    }

    /// The keys after at most one fetch, for a token whose `kid` is not among the current ones.
    pub(crate) async fn after_unknown_key(
        self: &Arc<Self>,
        now: UnixMillis,
    ) -> Result<Arc<GoodKeys>, IdentityError> {
        if !matches!(self.source, Source::Inline) {
            self.renew(self.elapsed.at(now)).await;
        }
        self.current(now).await
    }

    fn usable(&self, elapsed: u64) -> Option<Arc<GoodKeys>> {
        let fresh_enough =
            |good: &Arc<GoodKeys>| elapsed.saturating_sub(good.fetched) < self.keep_millis;
        self.good.load_full().filter(fresh_enough)
    }

    fn may_attempt(&self, elapsed: u64) -> bool {
        elapsed >= self.next_attempt.load(Ordering::Acquire)
    }

    fn renew_in_background(self: &Arc<Self>, elapsed: u64) {
        if !self.may_attempt(elapsed) {
            return;
        }
        if let Ok(flight) = Arc::clone(&self.flight).try_lock_owned() {
            tokio::spawn(Arc::clone(self).attempt(flight, elapsed));
        }
    }

    /// Renew, or wait for the one who is renewing. The fetch runs in a task of its own, so a caller that
    /// goes away does not take it down for the others.
    async fn renew(self: &Arc<Self>, elapsed: u64) {
        let seen = self.attempts.load(Ordering::Acquire);
        if !self.may_attempt(elapsed) && self.flight.try_lock().is_ok() {
            return;
        }
        let flight = Arc::clone(&self.flight).lock_owned().await;
        if self.attempts.load(Ordering::Acquire) != seen || !self.may_attempt(elapsed) {
            return;
        }
        if tokio::spawn(Arc::clone(self).attempt(flight, elapsed)).await.is_err() {
            tracing::error!(issuer = %self.issuer, "the task that fetches keys ended early");
        }
    }

    async fn attempt(self: Arc<Self>, mut flight: OwnedMutexGuard<Flight>, elapsed: u64) {
        let previous = self.good.load_full();
        let read = self
            .read()
            .await
            .and_then(|bytes| GoodKeys::read(&bytes, previous.as_deref(), elapsed));
        let pause = match read {
            Ok(good) => {
                flight.failures = 0;
                self.good.store(Some(Arc::new(good)));
                self.cooldown_millis
            }
            Err(why) => {
                tracing::warn!(issuer = %self.issuer, why, "the issuer's keys could not be read");
                let doubled = self.cooldown_millis.saturating_mul(1 << flight.failures.min(16));
                flight.failures = flight.failures.saturating_add(1);
                doubled.min(BACKOFF_MILLIS_MAX.max(self.cooldown_millis))
            }
        };
        self.next_attempt.store(elapsed.saturating_add(pause), Ordering::Release);
        self.attempts.fetch_add(1, Ordering::AcqRel);
    }

    async fn read(&self) -> Result<Vec<u8>, &'static str> {
        match &self.source {
            Source::Url(url) => self.client.get(url).await,
            Source::File(path) => read_file(path).await,
            Source::Inline => Err("inline keys do not change"),
        }
    }
}

impl GoodKeys {
    fn read(bytes: &[u8], previous: Option<&Self>, fetched: u64) -> Result<Self, &'static str> {
        let digest = sha256(bytes);
        if let Some(same) = previous.filter(|previous| previous.digest == digest) {
            let (set, generation) = (Arc::clone(&same.set), same.generation);
            return Ok(Self { set, generation, digest, fetched });
        }
        let set = KeySet::parse(bytes)?;
        if set.is_empty() {
            return Err("no key that can be used");
        }
        let generation = previous.map_or(0, |previous| previous.generation.wrapping_add(1));
        Ok(Self { set: Arc::new(set), generation, digest, fetched })
    }
}
