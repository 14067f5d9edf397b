//! The spool's way to the Authority: in order, again and again until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::enforcement::receipts::{
    EpochEnd, ReceiptsRequest, ReportedDraw, ReportedPayload, ReportedReceipt,
};
use bailiwick_core::jcs;
use bailiwick_ledger::Receipt;

use crate::budget::Draw;
use crate::repeated::Repeated;
use crate::spool::{Batch, Spool, SpoolError, Tail};
use crate::uplink::Uplink;

/// How long a first record waits for others to go with it.
const GATHER: Duration = Duration::from_millis(20);
/// Waits between tries: from this, doubling.
const RETRY: Duration = Duration::from_millis(100);
/// The longest wait.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// What is reported of a payload that cannot be read.
const UNREADABLE: &str = r#"{"type":"unrecordable","v":1}"#;
/// How often a drain looks whether everything is shipped.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// Ships until it is dropped. What was posted without an answer is posted again: the Authority takes
/// each record once.
pub(crate) async fn run<U: Uplink>(uplink: Arc<U>, spool: Spool) {
    let mut tail = Tail::of(&spool);
    // The tail keeps the handle that it needs.
    drop(spool);
    let mut retry = RETRY;
    let mut repeated = Repeated::default();
    loop {
        let (back, read) = match read(tail).await {
            Some(read) => read,
            None => return,
        };
        tail = back;
        match step(uplink.as_ref(), &mut tail, read).await {
            Ok(true) => {
                retry = RETRY;
                if repeated.is_over() {
                    tracing::info!("receipts are shipped again");
                }
            }
            Ok(false) => {
                retry = RETRY;
                tail.grown().await;
                tokio::time::sleep(GATHER).await;
            }
            Err(error) => {
                if repeated.tells(&error) {
                    tracing::warn!(%error, "receipts cannot be shipped; they are kept");
                }
                tokio::time::sleep(retry).await;
                retry = retry.saturating_mul(2).min(RETRY_MAX);
            }
        }
    }
}

/// Waits until everything is shipped. [`run`] has to be running.
pub(crate) async fn drain(spool: &Spool) {
    while spool.pending() > 0 {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

/// Reads the next batch where blocking is allowed. `None`: the runtime is going away.
async fn read(mut tail: Tail) -> Option<(Tail, Result<Option<Batch>, SpoolError>)> {
    let reading = tokio::task::spawn_blocking(move || {
        let read = tail.next();
        (tail, read)
    });
    reading.await.ok()
}

/// Posts one batch; false when there was none.
async fn step<U: Uplink>(
    uplink: &U,
    tail: &mut Tail,
    read: Result<Option<Batch>, SpoolError>,
) -> Result<bool, String> {
    let Some(batch) = read.map_err(|error| error.to_string())? else { return Ok(false) };
    let ask = request(&batch).map_err(|error| error.to_string())?;
    let reply = uplink.report(&ask).await.map_err(|error| error.to_string())?;
    if reply.next < batch.end() {
        return Err("the Authority acknowledged less than it was sent".to_owned());
    }
    tail.acknowledged(batch, reply.next);
    Ok(true)
}

fn request(batch: &Batch) -> Result<ReceiptsRequest, serde_json::Error> {
    let reported = |(receipt, draws): &(Receipt, Vec<Draw>)| {
        Ok(ReportedReceipt {
            kind: receipt.kind.as_str().to_owned(),
            time: receipt.time_ms,
            ids: receipt.subject_ids.clone(),
            payload: payload(&receipt.payload)?,
            draws: draws
                .iter()
                .map(|draw| ReportedDraw {
                    lease: draw.lease,
                    task: draw.task,
                    node: draw.node,
                    kind: draw.kind,
                    key: draw.key.to_string(),
                    amount_micros: draw.amount,
                })
                .collect(),
        })
    };
    let receipts: Result<_, serde_json::Error> = batch.records.iter().map(reported).collect();
    Ok(ReceiptsRequest {
        epoch: batch.epoch,
        previous: batch
            .previous
            .map(|previous| EpochEnd { epoch: previous.epoch, next: previous.next }),
        first: batch.first,
        receipts: receipts?,
    })
}

/// The payload, passed on as it was recorded. One that the Authority could never take must not hold
/// up all the others: it goes as the fact that it is unreadable.
fn payload(bytes: &[u8]) -> Result<ReportedPayload, serde_json::Error> {
    let text = std::str::from_utf8(bytes).ok();
    let sound = text.filter(|text| text.starts_with('{') && jcs::check(bytes).is_ok());
    let text = sound.unwrap_or_else(|| {
        tracing::error!("a receipt's payload is no canonical JSON object");
        UNREADABLE
    });
    ReportedPayload::new(text.to_owned())
}

#[cfg(test)]
mod tests;
