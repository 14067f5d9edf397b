//! What tasks have read: makes values admissible for `from_read`, and raises exposure.
//!
//! What an allowed read returned is recorded before the agent gets it: digests of the trusted part
//! ([`crate::trust`]), in memory, and then told to the Authority for the other gateways of the task. A
//! call that is not admitted by what is known here asks the Authority for what others have seen, and
//! is judged once more. Nothing of it survives this process, and a gateway that cannot tell the
//! Authority lets it be: whoever misses a read is refused, and reads again.

mod result;
mod share;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_api::enforcement::reads::ExposureReport;
use bailiwick_core::constraint::{
    DigestedReads, NoReads, Number, ReadBounds, ReadDigest, ReadSet, ReadSource, ReadsSalt, Scalar,
};
use bailiwick_core::ids::TaskId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use http::StatusCode;
use moka::sync::Cache;
use serde_json::Value;

use crate::call::{Call, CallEffect};
use crate::link::Link;
use crate::reply::{ReplyHook, Touched};
use crate::standing::TaskContext;
use crate::stop::Stop;
use crate::trust::TrustRule;

pub(crate) use self::result::ResultPlace;
use self::share::Sharer;

/// Memory for the reads of all tasks, in bytes, about; the tasks used least are forgotten first.
const WEIGHT_MAX: u64 = 256 * 1024 * 1024;
/// What a task takes besides its reads.
const WEIGHT_OF_TASK: u32 = 512;
/// How long the reads of a task are kept that nobody asks for.
const TASK_IDLE: Duration = Duration::from_secs(3600);
/// How long the Authority may take: a caller is waiting.
const ANSWER: Duration = Duration::from_secs(5);
/// Pages of reads that one refusal may fetch.
const PAGES_MAX: usize = 8;

/// Which part of what a call returns is trusted, and where in the reply it is.
#[derive(Clone, Debug)]
pub(crate) struct Trusted {
    /// The operation's rule.
    pub(crate) rule: Arc<TrustRule>,
    /// Where its result is.
    pub(crate) place: ResultPlace,
}

impl Trusted {
    /// The trusted part of an operation with this rule.
    pub(crate) fn compile(rule: Option<&TrustRule>, place: ResultPlace) -> Option<Self> {
        rule.map(|rule| Self { rule: Arc::new(rule.clone()), place })
    }

    /// Why a rule can never do anything at an operation of this effect.
    pub(crate) fn fault(rule: Option<&TrustRule>, effect: CallEffect) -> Option<&'static str> {
        let rule = rule?;
        if effect != CallEffect::Read {
            return Some("`trust` takes `effect = \"read\"`: only what a read returns is recorded");
        }
        rule.fault()
    }
}

/// The reads of every task, as far as this gateway knows.
pub(crate) struct Reads {
    link: Arc<Link>,
    known: Known,
    sharer: Sharer,
}

/// Shared with the hooks, which outlive a request's handling.
#[derive(Clone)]
struct Known(Cache<TaskId, Arc<TaskReads>>);

/// The reads of one task. Replaced when one is added, so that a judgement sees one state.
#[derive(Clone)]
struct TaskReads {
    reads: DigestedReads,
    /// The number of the last that the Authority gave.
    pulled: u64,
}

impl ReadSet for TaskReads {
    fn returned(&self, source: &ReadSource, value: &Scalar) -> bool {
        self.reads.returned(source, value)
    }

    fn any_number(&self, source: &ReadSource, test: &mut dyn FnMut(Number) -> bool) -> bool {
        self.reads.any_number(source, test)
    }
}

impl Known {
    fn new() -> Self {
        let weight = |_: &TaskId, task: &Arc<TaskReads>| {
            let reads = u32::try_from(task.reads.weight()).unwrap_or(u32::MAX);
            reads.saturating_add(WEIGHT_OF_TASK)
        };
        let cache = Cache::builder().max_capacity(WEIGHT_MAX).time_to_idle(TASK_IDLE);
        Self(cache.weigher(weight).build())
    }

    /// Adds reads, of which the Authority gave those up to `pulled`; says whether one is new.
    fn add(
        &self,
        task: TaskId,
        salt: &ReadsSalt,
        reads: impl IntoIterator<Item = Arc<ReadDigest>>,
        pulled: Option<u64>,
    ) -> bool {
        let mut news = false;
        self.0.entry(task).and_upsert_with(|known| {
            let mut task = known.map_or_else(
                || TaskReads {
                    reads: DigestedReads::new(salt.clone(), ReadBounds::default()),
                    pulled: 0,
                },
                |known| TaskReads::clone(&known.into_value()),
            );
            for read in reads {
                news |= task.reads.add(read);
            }
            task.pulled = task.pulled.max(pulled.unwrap_or(0));
            Arc::new(task)
        });
        news
    }
}

impl Reads {
    /// Knows nothing yet.
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let sharer = Sharer::start(Arc::clone(&link));
        Self { link, known: Known::new(), sharer }
    }

    /// What is known here of what the task has read.
    pub(crate) fn view(&self, task: &TaskContext) -> Arc<dyn ReadSet + Send + Sync> {
        match self.known.0.get(&task.id) {
            Some(reads) => reads,
            None => Arc::new(NoReads),
        }
    }

    /// Asks the Authority for what others have seen; says whether there was news.
    ///
    /// # Errors
    /// `status_unknown`: the Authority could not be asked, so it is not known whether the value was
    /// read elsewhere.
    pub(crate) async fn refresh(&self, task: &TaskContext) -> Result<bool, Stop> {
        let salt = &task.reads_salt;
        let mut news = false;
        for _ in 0..PAGES_MAX {
            let after = self.known.0.get(&task.id).map_or(0, |known| known.pulled);
            let asked = self.link.client().reads(task.id, after);
            let page = tokio::time::timeout(ANSWER, asked).await;
            let page = page.map_err(|_| unasked("no answer in time"))?;
            let page = page.map_err(|error| unasked(&error.to_string()))?;
            let reads = page.reads.into_iter().map(Arc::new);
            news |= self.known.add(task.id, salt, reads, Some(page.seq));
            if !page.more {
                break;
            }
        }
        Ok(news)
    }

    /// Raises the task's exposure to what the call may let it read. The Authority has it before the
    /// agent gets anything; that is asked for at most three times a task.
    ///
    /// # Errors
    /// `ledger_unavailable`: it could not be told; `task_closed` when the task has ended.
    pub(crate) async fn expose(&self, task: &TaskContext, call: &Call) -> Result<(), Stop> {
        let level = call.resource.sensitivity;
        if !call.effect.may_read() || level <= task.exposure() {
            return Ok(());
        }
        let report = ExposureReport { level: level.as_str().to_owned() };
        let told = tokio::time::timeout(ANSWER, self.link.client().expose(task.id, &report)).await;
        let why = match told {
            Ok(Ok(_)) => {
                task.raise_exposure(level);
                return Ok(());
            }
            Ok(Err(error)) => {
                let code = error.code().and_then(ProblemCode::from_code);
                if code == Some(ProblemCode::Outcome(Outcome::TaskClosed)) {
                    return Err(Stop::new(Outcome::TaskClosed, "the task has ended"));
                }
                error.to_string()
            }
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(task = %task.id, why, "the Authority cannot be told of an exposure");
        let detail = "the call may read more sensitive data than the task has read, and the \
                      Authority cannot be told now";
        Err(Stop::new(Outcome::LedgerUnavailable, detail))
    }

    /// Records what the call returns, when it is a read of which something is trusted.
    pub(crate) fn hook(&self, task: &TaskContext, call: &Call) -> Option<Box<dyn ReplyHook>> {
        let trusted = call.trust.clone().filter(|_| call.effect == CallEffect::Read)?;
        Some(Box::new(Recorder {
            task: task.id,
            salt: task.reads_salt.clone(),
            scope: call.scope.clone(),
            trusted,
            known: self.known.clone(),
            sharer: self.sharer.clone(),
        }))
    }
}

fn unasked(why: &str) -> Stop {
    tracing::warn!(why, "the Authority cannot be asked what a task has read");
    let detail = "a value was not read through this gateway, and the Authority cannot be asked \
                  whether it was read through another";
    Stop::new(Outcome::StatusUnknown, detail)
}

/// The hook of one read.
struct Recorder {
    task: TaskId,
    salt: ReadsSalt,
    scope: Scope,
    trusted: Trusted,
    known: Known,
    sharer: Sharer,
}

impl ReplyHook for Recorder {
    /// What it does not see is not admissible later.
    fn must_see(&self) -> bool {
        false
    }

    fn message(&mut self, status: StatusCode, message: &mut Value) -> Touched {
        let Trusted { rule, place } = &self.trusted;
        if let Some(result) = place.find(rule, status, message) {
            let part = rule.select(&result);
            let read = ReadDigest::of(&self.salt, self.scope.clone(), &part);
            if !part.is_null() && !read.is_empty() {
                let read = Arc::new(read);
                self.known.add(self.task, &self.salt, [Arc::clone(&read)], None);
                self.sharer.share(self.task, read);
            }
        }
        Touched::No
    }
}
