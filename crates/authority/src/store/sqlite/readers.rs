//! Read connections, a few of them, off the async threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::store::StoreError;

/// How long a read waits for SQLite's own short locks.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The pool. A connection is opened when one is needed and none is idle.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, connections_max: usize) -> Self {
        let permits = Arc::new(Semaphore::new(connections_max.max(1)));
        Self { path, idle: Mutex::new(Vec::new()), permits }
    }

    /// Runs a query on a connection of the pool.
    pub(super) async fn read<T: Send + 'static>(
        self: Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = self.permits.clone();
        let permit = permits.acquire_owned().await.map_err(StoreError::unavailable)?;
        let work = move || {
            let conn = self.connection()?;
            let answer = query(&conn)?;
            self.idle.lock().push(conn);
            drop(permit);
            Ok(answer)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer.map_err(|error: rusqlite::Error| match error {
                rusqlite::Error::InvalidParameterName(_) => StoreError::Invalid("the cursor"),
                error => StoreError::unavailable(error),
            }),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }

    /// Closes the idle connections and lets no new read begin.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }

    fn connection(&self) -> rusqlite::Result<Connection> {
        if let Some(conn) = self.idle.lock().pop() {
            return Ok(conn);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        conn.busy_timeout(BUSY_WAIT)?;
        conn.set_prepared_statement_cache_capacity(64);
        conn.execute_batch(
            "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -16384;",
        )?;
        Ok(conn)
    }
}

/// What a query returns when the caller's cursor is none of ours.
pub(super) fn bad_cursor() -> rusqlite::Error {
    rusqlite::Error::InvalidParameterName(String::new())
}
