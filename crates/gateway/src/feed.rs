//! Reading the Authority's feed: connect, verify, apply, acknowledge; begin again when it breaks.
//!
//! Every event is a signed, numbered JWS. One that does not verify, is out of order, old or unknown
//! in kind is refused and the reading begun anew; until a good one comes, what is known grows old,
//! and past the staleness bounds the gateway refuses by itself.

mod event;

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::client::{ClientError, FeedStream};
use bailiwick_api::enforcement::feed::{
    FEED_HEARTBEAT_MS, FeedAck, FeedEntry, FeedEvent, FeedQuery,
};
use bailiwick_core::IssuerKeys;
use bailiwick_core::crypto::{VerifyingKey, fill_random};
use bailiwick_policy::{PolicySet, PolicySource};
use tokio::time::{sleep, timeout};

use crate::clock::Stopwatch;
use crate::link::Link;
use crate::repeated::Repeated;
use crate::standing::{FeedFault, Parts, Standing};

pub(crate) use self::event::verify_event;

/// How long connecting, and any single question, may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Silence after which the connection is taken to be dead: three heartbeats and a half.
const SILENCE: Duration = Duration::from_millis(FEED_HEARTBEAT_MS * 7 / 2);
/// Pauses before connecting again.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(2);
/// How often the key set is fetched anew although nobody said that it changed.
const KEYS_EVERY: Duration = Duration::from_secs(300);
/// A key that is not known makes the key set be fetched at most this often.
const KEYS_PAUSE: Duration = Duration::from_secs(1);
/// Keys of one issuer.
const KEYS_MAX: usize = 64;
/// How often what is over is forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(30);

/// Why one reading of the feed ended.
#[derive(Debug, thiserror::Error)]
enum Break {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the event is refused: {0}")]
    Fault(#[from] FeedFault),
    #[error("the Authority ended the stream")]
    Ended,
    #[error("the Authority has fallen silent")]
    Silent,
    #[error("no answer in time")]
    NoAnswer,
    #[error("the Authority publishes no usable key")]
    NoKeys,
}

/// Keeps `standing` as the Authority says, for as long as it is polled.
pub(crate) async fn follow(link: Arc<Link>, standing: Arc<Standing>) {
    tokio::join!(
        read(&link, &standing),
        acknowledge(&link, &standing),
        keep_policy(&link, &standing),
        prune(&standing),
    );
}

/// Says that this process stops and allows nothing from now on, so that no closure waits for it.
/// Call it when the last request is over and [`follow`] is no longer polled.
pub(crate) async fn leave(link: &Link, standing: &Standing) {
    let ack = FeedAck { leaving: true, ..standing.ack() };
    if let Err(why) = in_time(link.client().enforcement_ack(&ack)).await {
        tracing::info!(%why, "the Authority could not be told that this gateway stops");
    }
}

async fn read(link: &Link, standing: &Standing) {
    let mut reader = Reader { link, standing, keys_since: None };
    let mut pause = PAUSE_FIRST;
    let mut resume = true;
    let mut repeated = Repeated::default();
    loop {
        let before = standing.ack().seq;
        let why = match reader.once(resume).await {
            Ok(never) => match never {},
            Err(why) => why,
        };
        let seq = standing.ack().seq;
        let heard = seq != before;
        if heard {
            repeated.is_over();
        }
        if repeated.tells(&why.to_string()) {
            match seq {
                0 => tracing::warn!(
                    %why, "waiting for the Authority; until it is heard every call is refused"
                ),
                _ => tracing::warn!(%why, seq, "the feed broke off; reading it anew"),
            }
        }
        // After a gap the whole is asked for; so is it when resuming brought nothing.
        resume = heard && !matches!(why, Break::Fault(_));
        pause = if heard { PAUSE_FIRST } else { (pause * 2).min(PAUSE_LAST) };
        sleep(jittered(pause)).await;
    }
}

struct Reader<'a> {
    link: &'a Link,
    standing: &'a Standing,
    /// When the key set was fetched last.
    keys_since: Option<Stopwatch>,
}

impl Reader<'_> {
    /// One reading, until it breaks.
    async fn once(&mut self, resume: bool) -> Result<std::convert::Infallible, Break> {
        in_time(self.link.renew_identity()).await?;
        if self.keys_since.is_none_or(|since| since.elapsed() > KEYS_EVERY) {
            self.fetch_keys().await?;
        }
        let query = FeedQuery {
            instance: self.link.instance().to_owned(),
            stale_after_ms: self.standing.bound_ms_max(),
        };
        let seq = self.standing.ack().seq;
        let last = (resume && seq > 0).then(|| seq.to_string());
        let connect = self.link.client().enforcement_feed(&query, last.as_deref());
        let mut stream = in_time(connect).await?;
        let mut parts = Parts::default();
        loop {
            let event = self.event(&mut stream).await?;
            let keys_changed =
                event.entries.iter().any(|entry| matches!(entry, FeedEntry::Keys { .. }));
            if let Some(events) = parts.add(event)? {
                let first = self.standing.ack().seq == 0;
                self.standing.apply(&events)?;
                if first {
                    tracing::info!(seq = self.standing.ack().seq, "the Authority is heard");
                }
            }
            if keys_changed || self.keys_since.is_some_and(|since| since.elapsed() > KEYS_EVERY) {
                self.fetch_keys().await?;
            }
            in_time(self.link.renew_identity()).await?;
        }
    }

    async fn event(&mut self, stream: &mut FeedStream) -> Result<FeedEvent, Break> {
        let frame = timeout(SILENCE, stream.next()).await.map_err(|_| Break::Silent)??;
        let data = frame.ok_or(Break::Ended)?.data;
        let issuer = self.link.issuer();
        match verify_event(&data, issuer, &self.standing.issuer_keys()) {
            // A key that began to sign since the set was fetched.
            Err(FeedFault::UnknownKey(_))
                if self.keys_since.is_none_or(|since| since.elapsed() > KEYS_PAUSE) =>
            {
                self.fetch_keys().await?;
                Ok(verify_event(&data, issuer, &self.standing.issuer_keys())?)
            }
            other => Ok(other?),
        }
    }

    /// The key set, from the Authority's own address. One without a usable key changes nothing.
    async fn fetch_keys(&mut self) -> Result<(), Break> {
        let set = in_time(self.link.client().jwks()).await?;
        let mut keys = IssuerKeys::new();
        let mut usable = 0;
        for jwk in set.keys.iter().take(KEYS_MAX) {
            let Some(kid) = jwk.get("kid").and_then(serde_json::Value::as_str) else { continue };
            if let Ok(key) = VerifyingKey::from_jwk(jwk) {
                keys.insert(self.link.issuer(), kid, key);
                usable += 1;
            }
        }
        if usable == 0 {
            return Err(Break::NoKeys);
        }
        self.standing.put_keys(keys);
        self.keys_since = Some(Stopwatch::start());
        Ok(())
    }
}

/// Tells the Authority what is in force here: at once when something died, and with every
/// heartbeat. One at a time, always the latest.
async fn acknowledge(link: &Link, standing: &Standing) {
    let mut heard = standing.heard();
    loop {
        if heard.changed().await.is_err() {
            return;
        }
        let ack = standing.ack();
        if let Err(why) = in_time(link.client().enforcement_ack(&ack)).await {
            tracing::debug!(%why, seq = ack.seq, "an acknowledgement did not go through");
        }
    }
}

/// Fetches each policy set that comes into force.
async fn keep_policy(link: &Link, standing: &Standing) {
    let mut wanted = standing.policy_wanted();
    let mut pause = PAUSE_FIRST;
    let mut repeated = Repeated::default();
    loop {
        wanted.borrow_and_update();
        let Some(hash) = standing.policy_missing() else {
            pause = PAUSE_FIRST;
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        match fetch_policy(link, &hash).await {
            Ok(set) => {
                standing.put_policy(set);
                repeated.is_over();
                tracing::info!(hash, "a policy set came into force");
            }
            Err(why) => {
                if repeated.tells(&why) {
                    tracing::error!(hash, why, "the policy set in force cannot be had");
                }
                pause = (pause * 2).min(PAUSE_LAST);
                let _ = timeout(jittered(pause), wanted.changed()).await;
            }
        }
    }
}

/// A set with exactly this hash, or none.
async fn fetch_policy(link: &Link, hash: &str) -> Result<PolicySet, String> {
    let asked = in_time(link.client().enforcement_policies(Some(hash))).await;
    let told = asked.map_err(|error| error.to_string())?;
    let sources: Vec<PolicySource> = told
        .sources
        .into_iter()
        .map(|source| PolicySource { name: source.name, text: source.text })
        .collect();
    // Parsing and validating take their time: not on a thread that serves.
    let loaded = tokio::task::spawn_blocking(move || PolicySet::load(&sources)).await;
    let set = loaded.map_err(|error| error.to_string())?.map_err(|errors| errors.to_string())?;
    if set.hash() == hash {
        return Ok(set);
    }
    Err(format!(
        "its sources have the hash {}: gateway and Authority read them differently",
        set.hash()
    ))
}

async fn prune(standing: &Standing) {
    loop {
        sleep(PRUNE_EVERY).await;
        standing.prune();
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, ClientError>>) -> Result<T, Break> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Break::NoAnswer),
    }
}

/// Half of it to all of it, so that gateways that lost one Authority do not come back as one.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    let _ = fill_random(&mut random);
    let [random] = random;
    pause / 2 + pause / 2 * u32::from(random) / 255
}
