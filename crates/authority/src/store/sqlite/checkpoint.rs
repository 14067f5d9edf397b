//! Moving the write-ahead log into the database file, mostly beside the writer.
//!
//! A second thread copies what is there while commits go on. What was committed meanwhile is then
//! little, and the writer itself copies that between two batches, after which the log starts over:
//! it stays bounded, and no commit waits for a whole checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Connection;

/// Pages in the log that make a checkpoint worth while (32 MiB).
const PAGES_DUE: u64 = 4_096;
/// Pages in the log at which the writer waits for readers to let it start over (512 MiB).
const PAGES_MAX: u64 = 65_536;

/// The writer's side.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    progress: Arc<Progress>,
}

/// What both sides know.
#[derive(Default)]
pub(super) struct Progress {
    /// Pages in the log.
    pages: AtomicU64,
    /// The second thread is at work.
    running: AtomicBool,
    /// The second thread has copied most of the log; the writer is to copy the rest.
    finish: AtomicBool,
}

impl Checkpointer {
    /// Watches the writer's connection. What is returned besides is for [`run`].
    pub(super) fn watch(
        conn: &mut Connection,
    ) -> rusqlite::Result<(Self, Receiver<()>, Arc<Progress>)> {
        let progress = Arc::new(Progress::default());
        let counter = progress.clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            counter.pages.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let (wake, woken) = sync_channel(1);
        Ok((Self { wake, progress: progress.clone() }, woken, progress))
    }

    /// Called by the writer between two batches. Erased bytes must not linger in the log.
    pub(super) fn wrote(&self, conn: &Connection, erased: bool) {
        let pages = self.progress.pages.load(Ordering::Relaxed);
        if erased {
            checkpoint(conn, "TRUNCATE");
        } else if self.progress.finish.swap(false, Ordering::AcqRel) {
            checkpoint(conn, "PASSIVE");
        } else if pages >= PAGES_MAX {
            checkpoint(conn, "RESTART");
        } else if pages >= PAGES_DUE && !self.progress.running.swap(true, Ordering::AcqRel) {
            let _ = self.wake.try_send(());
        }
    }
}

/// The second thread: runs until the writer is gone.
pub(super) fn run(conn: &Connection, woken: &Receiver<()>, progress: &Progress) {
    while woken.recv().is_ok() {
        checkpoint(conn, "PASSIVE");
        progress.finish.store(true, Ordering::Release);
        progress.running.store(false, Ordering::Release);
    }
}

fn checkpoint(conn: &Connection, mode: &str) {
    let done = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), (), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    match done {
        Ok((busy, log, copied)) => tracing::trace!(mode, busy, log, copied, "checkpoint"),
        // The log keeps everything; the next checkpoint tries again.
        Err(error) => tracing::warn!(mode, %error, "the store could not checkpoint"),
    }
}
