//! Receipts that a gateway spooled become leaves of the ledger: in order, each once.
//!
//! A record is known by gateway, epoch and number. The leaves of a report and the number that the
//! gateway has reached are one transaction, so that a report whose answer was lost changes nothing
//! when it comes again. What is missing is recorded as missing.

mod reported;

use bailiwick_api::enforcement::receipts::{
    EpochEnd, RECEIPTS_MAX, ReceiptsReply, ReceiptsRequest, ReportedReceipt,
};
use bailiwick_core::EpochId;
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::{Receipt, ReceiptKind, Record, record};
use serde_json::{Value, json};

use self::reported::leaf;
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::model::{Effect, EpochRecord, LeaseDraw, Refused, SpoolReport};
use crate::registry::AgentEntry;
use crate::spine::Event;

/// How often a report is tried against other reports of the same epoch.
const TRIES: usize = 8;
/// Earlier epochs that are named when a spool begins anew.
const OTHERS_MAX: usize = 8;

/// Takes what is new of a report.
///
/// # Errors
///
/// The caller is no enforcement point, a receipt has no form, or nothing can be recorded now.
pub(crate) async fn report(
    authority: &Authority,
    caller: &Caller,
    ask: ReceiptsRequest,
) -> Result<ReceiptsReply, Fault> {
    try_report(authority, caller, ask).await.map_err(Stop::into_fault)
}

async fn try_report(
    authority: &Authority,
    caller: &Caller,
    ask: ReceiptsRequest,
) -> Result<ReceiptsReply, Stop> {
    let point = caller.require_enforcement_point()?;
    if ask.receipts.len() > RECEIPTS_MAX {
        let detail = format!("at most {RECEIPTS_MAX} receipts in one request");
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    let count = u64::try_from(ask.receipts.len()).unwrap_or(u64::MAX);
    let Some(end) = ask.first.checked_add(count).filter(|end| i64::try_from(*end).is_ok()) else {
        return Err(Stop::new(Outcome::Malformed, "`first` is no number of a record"));
    };
    for _ in 0..TRIES {
        let known = authority.store.spool_epoch(&point.document.id, ask.epoch).await?;
        let next = match known {
            Some(known) => known.next,
            None => match begin(authority, point, &ask).await {
                Ok(()) => 0,
                Err(Stop::Code(bailiwick_api::ProblemCode::VersionConflict, _)) => continue,
                Err(stop) => return Err(stop),
            },
        };
        if ask.receipts.is_empty() || end <= next {
            return Ok(ReceiptsReply { next });
        }
        if take(authority, point, &ask, next, end).await? {
            return Ok(ReceiptsReply { next: end });
        }
    }
    let detail = "this epoch is being reported from several places at once; try again";
    Err(Stop::new(bailiwick_api::ProblemCode::VersionConflict, detail))
}

/// Records that an epoch begins, and what is to be said of the one before.
async fn begin(
    authority: &Authority,
    point: &AgentEntry,
    ask: &ReceiptsRequest,
) -> Result<(), Stop> {
    let gateway = &point.document.id;
    let now = authority.clock.now();
    let before = match ask.previous {
        Some(before) => {
            Before::Said(before, authority.store.spool_epoch(gateway, before.epoch).await?)
        }
        None => Before::New(authority.store.spool_epochs(gateway, OTHERS_MAX).await?),
    };
    let mut payload = json!({
        "v": 1, "type": before.word(), "gateway": gateway, "epoch": ask.epoch, "time": now.0,
    });
    if let Some(members) = payload.as_object_mut() {
        members.extend(before.members());
    }
    let release = before.complete();
    let event = Event {
        kind: ReceiptKind::System,
        time_ms: now.0,
        subject_ids: vec![gateway.to_string(), ask.epoch.to_string()],
        payload,
    };
    let effect = Effect::OpenEpoch { gateway: gateway.clone(), epoch: ask.epoch, release };
    record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    if before.word() != "spool_began" {
        tracing::warn!(%gateway, epoch = %ask.epoch, what = before.word(), "a gap in a spool");
    }
    Ok(())
}

/// What was before an epoch.
enum Before {
    /// The gateway names the epoch before, of which this is recorded.
    Said(EpochEnd, Option<EpochRecord>),
    /// The spool's directory was new; the gateway has had these.
    New(Vec<EpochRecord>),
}

impl Before {
    fn word(&self) -> &'static str {
        match self {
            Self::New(others) if others.is_empty() => "spool_began",
            // Its directory is lost, or it is another process of the same gateway: the record
            // cannot tell, and says what it knows.
            Self::New(_) => "spool_lost",
            Self::Said(said, known) => match known.as_ref().map_or(0, |known| known.next) {
                next if next < said.next => "spool_gap",
                next if next > said.next => "spool_rolled_back",
                _ => "spool_began",
            },
        }
    }

    /// The epoch before, if all of it is recorded: what it did not draw is known.
    fn complete(&self) -> Option<EpochId> {
        match self {
            Self::Said(said, known) => {
                let next = known.as_ref().map_or(0, |known| known.next);
                (next == said.next).then_some(said.epoch)
            }
            Self::New(_) => None,
        }
    }

    fn members(&self) -> serde_json::Map<String, Value> {
        let mut members = serde_json::Map::new();
        match self {
            Self::New(others) if others.is_empty() => {}
            Self::New(others) => {
                let others = others.iter().map(|other| {
                    json!({"epoch": other.epoch, "records": other.next, "heard": other.heard_ms})
                });
                members.insert("others".to_owned(), others.collect());
            }
            Self::Said(said, known) => {
                let recorded = known.as_ref().map_or(0, |known| known.next);
                let previous =
                    json!({"epoch": said.epoch, "records": said.next, "recorded": recorded});
                members.insert("previous".to_owned(), previous);
            }
        }
        members
    }
}

/// Records the receipts from `next` on; false when somebody else got ahead.
async fn take(
    authority: &Authority,
    point: &AgentEntry,
    ask: &ReceiptsRequest,
    next: u64,
    end: u64,
) -> Result<bool, Stop> {
    let now = authority.clock.now();
    let gateway = &point.document.id;
    let known = usize::try_from(next.saturating_sub(ask.first)).unwrap_or(usize::MAX);
    let mut leaves: Vec<Receipt> = Vec::new();
    if ask.first > next {
        tracing::warn!(%gateway, epoch = %ask.epoch, next, first = ask.first, "a gap in a spool");
        leaves.push(gap(point, ask, next, now.0).receipt());
    }
    let mut draws = Vec::new();
    for (receipt, at) in ask.receipts.iter().zip(ask.first..).skip(known) {
        leaves.push(leaf(authority, point, (ask.epoch, at), receipt, now).await?);
        for draw in allowed_draws(authority, point, receipt).await? {
            draws.push(draw);
        }
    }
    if leaves.is_empty() {
        return Ok(true);
    }
    let first = Reported(leaves.remove(0));
    let report = SpoolReport {
        gateway: gateway.clone(),
        epoch: ask.epoch,
        expected: next,
        next: end,
        more: leaves,
        draws,
    };
    match record(&authority.store, first, Effect::ReceiptsFrom(Box::new(report))).await {
        Ok(_) => Ok(true),
        Err(error) if error.error.refused() == Some(&Refused::VersionConflict) => Ok(false),
        Err(error) => Err(error.error.into()),
    }
}

/// Draws on tasks that the gateway may act for.
async fn allowed_draws(
    authority: &Authority,
    point: &AgentEntry,
    receipt: &ReportedReceipt,
) -> Result<Vec<LeaseDraw>, Stop> {
    let mut draws = Vec::with_capacity(receipt.draws.len());
    for draw in &receipt.draws {
        let task = authority.store.task(draw.task).await?;
        if !task.is_some_and(|task| reported::fits(point, &task)) {
            tracing::error!(
                gateway = %point.document.id, task = %draw.task,
                "a gateway reports a draw on a task that is not of its tenant and environment"
            );
            continue;
        }
        draws.push(LeaseDraw {
            lease: draw.lease,
            task: draw.task,
            node: draw.node,
            kind: draw.kind,
            key: draw.key.clone(),
            amount: draw.amount_micros,
        });
    }
    Ok(draws)
}

fn gap(point: &AgentEntry, ask: &ReceiptsRequest, next: u64, now: u64) -> Event {
    let gateway = &point.document.id;
    Event {
        kind: ReceiptKind::System,
        time_ms: now,
        subject_ids: vec![gateway.to_string(), ask.epoch.to_string()],
        payload: json!({
            "v": 1, "type": "spool_gap", "gateway": gateway, "epoch": ask.epoch,
            "recorded": next, "records": ask.first, "time": now,
        }),
    }
}

/// A receipt that somebody else made, on its way into the ledger.
struct Reported(Receipt);

impl Record for Reported {
    fn receipt(&self) -> Receipt {
        self.0.clone()
    }
}
