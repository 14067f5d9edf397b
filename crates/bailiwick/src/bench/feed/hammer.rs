//! Callers that ask every gateway at a steady pace, and the upstream that sees what was let through.
//!
//! In each round all of them call with one token, the victim, until it is refused to them; from then on
//! they take turns between the victim, which must stay refused, and a spare token of another task,
//! which must go on being allowed.

use super::super::calls::{self, Holder};
use super::super::load::Connection;
use crate::clock;
use crate::fault::Fault;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// The header that tells the upstream which round and caller a call is of; gateways pass it on.
const HEADER: &str = "x-request-id";
/// How the Authority's end of a token is told.
const ENDED: [&str; 2] = ["revoked", "task_closed"];
/// How long a call with a spare token may be overdue.
const STUCK: Duration = Duration::from_secs(30);

/// One victim, and what became of it at each caller.
pub(super) struct Round {
    number: u64,
    victim: Option<Holder>,
    sights: Mutex<Vec<Sight>>,
    /// Told of a caller's first allow and first refusal.
    changed: Notify,
}

/// What one caller has seen of the victim.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sight {
    /// When the last call that was let through arrived at the upstream.
    pub(super) arrived: Option<Instant>,
    /// When the last reply to such a call had been read.
    pub(super) replied: Option<Instant>,
    /// When the first refusal had been read.
    pub(super) refused: Option<Instant>,
}

/// Replies so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) allowed: u64,
    pub(super) refused: u64,
}

impl Counts {
    pub(super) fn since(self, before: &Self) -> Self {
        Self { allowed: self.allowed - before.allowed, refused: self.refused - before.refused }
    }
}

impl Round {
    fn new(number: u64, victim: Option<Holder>, callers: usize) -> Self {
        let sights = Mutex::new(vec![Sight::default(); callers]);
        Self { number, victim, sights, changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sight>> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, caller: usize, what: impl FnOnce(&mut Sight)) {
        if let Some(sight) = self.lock().get_mut(caller) {
            what(sight);
        }
    }

    /// Resolves when `done` holds for every caller.
    pub(super) async fn until(&self, done: impl Fn(&Sight) -> bool) {
        loop {
            let changed = self.changed.notified();
            if self.lock().iter().all(&done) {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn sights(&self) -> Vec<Sight> {
        self.lock().clone()
    }
}

/// Callers and upstream.
pub(super) struct Hammer {
    shared: Arc<Shared>,
    upstream: JoinHandle<()>,
}

struct Shared {
    round: watch::Sender<Arc<Round>>,
    spare: watch::Sender<Arc<Holder>>,
    allowed: AtomicU64,
    refused: AtomicU64,
    /// Calls with a victim that arrived after its round was over: none may.
    late: AtomicU64,
}

/// The upstream's place.
pub(super) async fn listen() -> Result<(TcpListener, SocketAddr), Fault> {
    let broken = |error| Fault::local(format!("no upstream: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(broken)?;
    let address = listener.local_addr().map_err(broken)?;
    Ok((listener, address))
}

impl Hammer {
    pub(super) fn new(upstream: TcpListener, spare: Holder) -> Self {
        let shared = Arc::new(Shared {
            round: watch::Sender::new(Arc::new(Round::new(0, None, 0))),
            spare: watch::Sender::new(Arc::new(spare)),
            allowed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            late: AtomicU64::new(0),
        });
        let upstream = tokio::spawn(serve(upstream, Arc::clone(&shared)));
        Self { shared, upstream }
    }

    /// Gives the callers another token that is never revoked.
    pub(super) fn spare(&self, holder: Holder) {
        self.shared.spare.send_replace(Arc::new(holder));
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            allowed: self.shared.allowed.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// Begins a round: from now on every caller calls with the victim.
    pub(super) fn aim(&self, victim: Holder, callers: usize) -> Arc<Round> {
        let number = self.shared.round.borrow().number + 1;
        let round = Arc::new(Round::new(number, Some(victim), callers));
        self.shared.round.send_replace(Arc::clone(&round));
        round
    }

    /// Ends the round; only the spare token is used.
    ///
    /// # Errors
    /// A call of a round before this one arrived after it was over.
    pub(super) fn rest(&self) -> Result<(), Fault> {
        let number = self.shared.round.borrow().number + 1;
        self.shared.round.send_replace(Arc::new(Round::new(number, None, 0)));
        match self.shared.late.load(Ordering::Relaxed) {
            0 => Ok(()),
            late => Err(Fault::remote(format!(
                "{late} call(s) arrived under a token that every gateway had refused"
            ))),
        }
    }

    /// Calls until the first reply that cannot be explained.
    pub(super) async fn call(&self, gateways: &[String], callers: usize, rate: u32) -> Fault {
        let period = Duration::from_secs(1).mul_f64(callers as f64 / f64::from(rate));
        let mut running = JoinSet::new();
        for (number, address) in gateways.iter().cycle().take(callers).enumerate() {
            let caller =
                Caller { shared: Arc::clone(&self.shared), number, address: address.clone() };
            // Each begins at its own time, so that the calls are spread evenly.
            let begin = period.mul_f64(number as f64 / callers as f64);
            running.spawn(async move {
                tokio::time::sleep(begin).await;
                caller.run(period).await
            });
        }
        match running.join_next().await {
            Some(Ok(Err(fault))) => fault,
            Some(Ok(Ok(never))) => match never {},
            Some(Err(error)) => Fault::local(format!("a caller broke off: {error}")),
            None => Fault::local("there are no callers"),
        }
    }

    pub(super) fn stop(self) {
        self.upstream.abort();
    }
}

/// One caller, of one gateway, over one connection.
struct Caller {
    shared: Arc<Shared>,
    number: usize,
    address: String,
}

impl Caller {
    async fn run(self, period: Duration) -> Result<Infallible, Fault> {
        let mut connection = Connection::open(self.address.as_str()).await?;
        let mut nonce = calls::nonce(&self.address).await?;
        let mut timer = tokio::time::interval(period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0_u64.. {
            timer.tick().await;
            let round = Arc::clone(&self.shared.round.borrow());
            let refused =
                round.lock().get(self.number).is_some_and(|sight| sight.refused.is_some());
            let victim = round.victim.as_ref().filter(|_| !refused || turn % 2 == 0);
            let call = self.call(&mut connection, &mut nonce, &round, victim);
            let answered = tokio::time::timeout(STUCK, call).await;
            answered.map_err(|_| Fault::remote(format!("{}: no answer", self.address)))??;
        }
        Err(Fault::local("a caller has called too often"))
    }

    async fn call(
        &self,
        connection: &mut Connection,
        nonce: &mut String,
        round: &Round,
        victim: Option<&Holder>,
    ) -> Result<(), Fault> {
        let spare = Arc::clone(&self.shared.spare.borrow());
        let holder = victim.unwrap_or(&spare);
        let number = victim.map_or(0, |_| round.number);
        let more = format!("{HEADER}: {number}-{}\r\n", self.number);
        for _ in 0..2 {
            let request = holder.request(&self.address, nonce, &more)?;
            let reply = connection.call(&request).await?;
            let at = clock::stopwatch();
            if reply.status == 200 {
                self.shared.allowed.fetch_add(1, Ordering::Relaxed);
                return if victim.is_some() { self.allowed(round, at) } else { Ok(()) };
            }
            let said: serde_json::Value = serde_json::from_slice(reply.body).unwrap_or_default();
            let code = said.get("code").and_then(serde_json::Value::as_str).unwrap_or_default();
            if code == "use_dpop_nonce"
                && let Some(fresh) = reply.header("dpop-nonce")
            {
                fresh.clone_into(nonce);
                continue;
            }
            if victim.is_some() && ENDED.contains(&code) {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                round.see(self.number, |sight| {
                    sight.refused.get_or_insert(at);
                });
                round.changed.notify_waiters();
                return Ok(());
            }
            let what = if victim.is_some() { "victim" } else { "spare token" };
            return Err(Fault::remote(format!("the {what} was refused:\n{}", reply.text())));
        }
        Err(Fault::remote(format!("{}: no nonce is fresh enough", self.address)))
    }

    fn allowed(&self, round: &Round, at: Instant) -> Result<(), Fault> {
        let mut refused = false;
        round.see(self.number, |sight| {
            sight.replied = Some(at);
            refused = sight.refused.is_some();
        });
        round.changed.notify_waiters();
        if refused {
            return Err(Fault::remote(format!("{} allowed what it had refused", self.address)));
        }
        Ok(())
    }
}

/// The upstream: answers, and notes which call arrived when.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                shared.arrived(&request);
                let reply = Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}")));
                std::future::ready(Ok::<_, Infallible>(reply))
            });
            // A connection that breaks is the caller's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Shared {
    fn arrived(&self, request: &Request<Incoming>) {
        let at = clock::stopwatch();
        let named = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        let Some((number, caller)) = named.and_then(|named| named.split_once('-')) else { return };
        let (Ok(number), Ok(caller)) = (number.parse::<u64>(), caller.parse()) else { return };
        let round = Arc::clone(&self.round.borrow());
        if number == round.number {
            round.see(caller, |sight| sight.arrived = sight.arrived.max(Some(at)));
        } else if number != 0 {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }
}
