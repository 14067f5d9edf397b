//! Tells the Authority what was read, behind the requests: in order, several at once when they gather.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::enforcement::reads::{READS_AT_ONCE_MAX, ReadsReport};
use bailiwick_core::constraint::ReadDigest;
use bailiwick_core::ids::TaskId;
use tokio::sync::mpsc;

use crate::link::Link;

/// Reads that may wait. More are not shared: other gateways have to read again.
const QUEUE_MAX: usize = 512;
/// [`ReadDigest::weight`] of one report, besides its last read.
const WEIGHT_AT_ONCE: usize = 1024 * 1024;
/// How often a report is tried, and how long between.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(250);

type Read = (TaskId, Arc<ReadDigest>);

/// Where reads are left to be told. Dropping the last one ends the telling.
#[derive(Clone)]
pub(super) struct Sharer(mpsc::Sender<Read>);

impl Sharer {
    /// Begins to tell the Authority.
    pub(super) fn start(link: Arc<Link>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(tell(link, receiver));
        Self(sender)
    }

    /// Leaves a read to be told. It is known here already, whatever becomes of this.
    pub(super) fn share(&self, task: TaskId, read: Arc<ReadDigest>) {
        if self.0.try_send((task, read)).is_err() {
            tracing::warn!(%task, "a read is not shared: too many wait to be told");
        }
    }
}

async fn tell(link: Arc<Link>, mut receiver: mpsc::Receiver<Read>) {
    while let Some(first) = receiver.recv().await {
        let mut batch = vec![first];
        while let (Ok(next), true) = (receiver.try_recv(), batch.len() < QUEUE_MAX) {
            batch.push(next);
        }
        for (task, report) in reports(batch) {
            send(&link, task, report).await;
        }
    }
}

/// What is sent, in the order of the reads of each task.
fn reports(batch: Vec<Read>) -> Vec<(TaskId, ReadsReport)> {
    let mut of_task: BTreeMap<TaskId, Vec<Arc<ReadDigest>>> = BTreeMap::new();
    for (task, read) in batch {
        of_task.entry(task).or_default().push(read);
    }
    let mut reports = Vec::new();
    for (task, reads) in of_task {
        let (mut report, mut weight) = (ReadsReport::default(), 0_usize);
        for read in reads {
            weight = weight.saturating_add(read.weight());
            report.reads.push(Arc::unwrap_or_clone(read));
            if weight >= WEIGHT_AT_ONCE || report.reads.len() == READS_AT_ONCE_MAX {
                reports.push((task, std::mem::take(&mut report)));
                weight = 0;
            }
        }
        if !report.reads.is_empty() {
            reports.push((task, report));
        }
    }
    reports
}

async fn send(link: &Link, task: TaskId, report: ReadsReport) {
    let mut why = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        match link.client().report_reads(task, &report).await {
            Ok(_) => return,
            // The task has ended, or was never ours: nobody will ask for it.
            Err(error) if error.code().is_some() => {
                tracing::debug!(%task, %error, "reads are not shared");
                return;
            }
            Err(error) => why = error.to_string(),
        }
    }
    tracing::warn!(%task, why, "reads could not be shared: other gateways have to read again");
}

#[cfg(test)]
mod tests {
    use bailiwick_core::constraint::ReadsSalt;
    use serde_json::json;

    use super::*;
    use crate::fixture::claims;

    #[test]
    fn reads_go_out_in_order_and_in_bounds() {
        let salt = ReadsSalt::new([1; 32]);
        let read =
            |n: usize| Arc::new(ReadDigest::of(&salt, "a.b".parse().unwrap(), &json!({"n": n})));
        let (one, two) = (claims(1, &["a.b"], json!([])).txn, claims(2, &["a.b"], json!([])).txn);
        let mut batch: Vec<Read> = (0..READS_AT_ONCE_MAX + 1).map(|n| (one, read(n))).collect();
        batch.push((two, read(0)));
        let sent = reports(batch);
        let shape: Vec<_> = sent.iter().map(|(task, report)| (*task, report.reads.len())).collect();
        assert_eq!(shape, [(one, READS_AT_ONCE_MAX), (one, 1), (two, 1)]);
        assert_eq!(sent[1].1.reads, [(*read(READS_AT_ONCE_MAX)).clone()]);

        let large: Vec<_> = (0..6_000).map(|n| json!({"n": n})).collect();
        let large = Arc::new(ReadDigest::of(&salt, "a.b".parse().unwrap(), &json!(large)));
        let sent = reports((0..4).map(|_| (one, Arc::clone(&large))).collect());
        assert!(sent.len() > 1);
        for (_, report) in sent {
            let bytes = serde_json::to_vec(&report).unwrap().len();
            assert!(bytes <= bailiwick_api::enforcement::reads::READS_BYTES_MAX, "{bytes}");
        }
    }
}
