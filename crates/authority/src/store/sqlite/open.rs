//! Opening a store: directory, lock, permissions, pragmas, migrations, threads.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use bailiwick_core::UnixMillis;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;

use super::cache::HotRows;
use super::checkpoint::{self, Checkpointer};
use super::lookup::Waiting;
use super::readers::Readers;
use super::signed::Signed;
use super::tail::Tail;
use super::{Shared, SqliteStore, row, schema, write};

const DATABASE: &str = "bailiwick.db";
const LOCK: &str = "bailiwick.lock";
/// How often the lock is tried, and the time between: a process that has just gone may have left a copy
/// of it to a child that has not begun yet.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(10);
/// How long the writer waits for a reader when it has to.
const BUSY_WAIT: Duration = Duration::from_millis(250);

/// How to open a store.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Memory for hot tasks, in bytes, about.
    pub task_cache_bytes_max: usize,
    /// Memory for hot tokens, in bytes, about.
    pub token_cache_bytes_max: usize,
    /// Read connections.
    pub readers_max: usize,
    /// Rows of the lookup index that may be on their way into it: the more, the fewer pages are written
    /// for each, and the longer a start takes to read them.
    pub lookups_waiting_max: usize,
    /// Ops that may wait for the writer; more wait in their callers.
    pub queue_max: usize,
    /// Pages (8 KiB each in a new database) that the database may have; none is no limit.
    pub page_quota: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            task_cache_bytes_max: 512 << 20,
            token_cache_bytes_max: 512 << 20,
            readers_max: 4,
            lookups_waiting_max: 65_536,
            queue_max: 4_096,
            page_quota: None,
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be made, read or written.
    #[error("cannot use {path}: {cause}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Another process has it open.
    #[error("{path} is in use by another process; stop that one first")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file is a database of something else.
    #[error("the database file is not a Bailiwick store")]
    NotAStore,
    /// A newer program has written it.
    #[error(
        "the store has schema {found} and this program knows up to {known}: use the newer program, \
         or a backup from before the upgrade"
    )]
    NewerSchema {
        /// What the store has.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// The ledger has a gap; the store has been tampered with or damaged.
    #[error("the ledger holds {rows} leaves but its last index is {last}: restore a backup")]
    LedgerGap {
        /// Leaves.
        rows: u64,
        /// The highest index.
        last: u64,
    },
    /// SQLite says no.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] rusqlite::Error),
}

pub(super) fn open(directory: &Path, options: &SqliteOptions) -> Result<SqliteStore, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |cause| OpenError::Path { path, cause }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
    let lock = lock(directory)?;
    let path = directory.join(DATABASE);
    // SQLite gives its other files the database's permissions.
    let file = owner_only(&path).map_err(at(&path))?;
    drop(file);

    let mut conn = writer_connection(&path)?;
    schema::migrate(&mut conn)?;
    set_page_quota(&conn, options.page_quota)?;
    let shared = Arc::new(load_shared(&conn, path.clone(), options, lock)?);
    let (queue, threads) = start(conn, &path, shared.clone(), options.queue_max)?;
    Ok(SqliteStore { shared, queue, threads })
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let failed = |cause| OpenError::Path { path: path.clone(), cause };
    let file = owner_only(&path).map_err(failed)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
    }
    Err(OpenError::InUse { path: directory.to_owned() })
}

fn owner_only(path: &Path) -> std::io::Result<File> {
    let mut how = OpenOptions::new();
    let file = how.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn writer_connection(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_WAIT)?;
    conn.set_prepared_statement_cache_capacity(64);
    // A settle's rows are of two to three KiB: a page of 4 would hold one, and leave the rest empty. A
    // database that is there keeps its own page size.
    conn.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;",
    )?;
    Ok(conn)
}

/// Limits the pages of the database; a limit below its present size only stops growth.
pub(super) fn set_page_quota(conn: &Connection, pages: Option<u32>) -> rusqlite::Result<()> {
    let pages = pages.unwrap_or(u32::MAX - 1);
    conn.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |_| Ok(()))
}

fn load_shared(
    conn: &Connection,
    path: PathBuf,
    options: &SqliteOptions,
    lock: File,
) -> Result<Shared, OpenError> {
    let one = |sql: &str| -> rusqlite::Result<u64> {
        conn.query_row(sql, (), |found| Ok(row::unsigned(found.get(0)?)))
    };
    let size = one("SELECT coalesce(max(idx) + 1, 0) FROM leaf")?;
    if size > 0 {
        let first = one("SELECT min(idx) FROM leaf")?;
        if first != 0 {
            return Err(OpenError::LedgerGap { rows: size - first, last: size - 1 });
        }
    }
    let status_idx = one("SELECT coalesce(max(status_idx) + 1, 0) FROM token")?;
    let mark = one("SELECT coalesce(max(value), 0) FROM mark WHERE name = 'time_mark'")?;
    let lookup_done =
        row::signed(one("SELECT coalesce(max(value), 0) FROM mark WHERE name = 'lookup_done'")?);
    Ok(Shared {
        readers: Arc::new(Readers::new(path, options.readers_max)),
        hot: HotRows::new(options.task_cache_bytes_max, options.token_cache_bytes_max),
        signed: Signed::load(conn, UnixMillis(mark))?,
        tail: Tail::new(size),
        waiting: Arc::new(Waiting::load(conn, lookup_done)?),
        waiting_max: options.lookups_waiting_max,
        lookup_done,
        size: AtomicU64::new(size),
        mark: AtomicU64::new(mark),
        next_status_idx: AtomicU64::new(status_idx),
        watch: std::sync::OnceLock::new(),
        _lock: lock,
    })
}

type Started = (mpsc::Sender<write::Command>, Vec<JoinHandle<()>>);

fn start(
    mut conn: Connection,
    path: &Path,
    shared: Arc<Shared>,
    queue_max: usize,
) -> Result<Started, OpenError> {
    let failed = |cause| OpenError::Path { path: path.to_owned(), cause };
    let (checkpointer, woken, progress) = Checkpointer::watch(&mut conn)?;
    let second = writer_connection(path)?;
    let (queue, commands) = mpsc::channel(queue_max.max(1));
    let (started, answer) = sync_channel(1);
    let writer = std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || write::run(&conn, shared, checkpointer, commands, &started))
        .map_err(failed)?;
    let copier = std::thread::Builder::new()
        .name("store-checkpoint".to_owned())
        .spawn(move || checkpoint::run(&second, &woken, &progress))
        .map_err(failed)?;
    match answer.recv() {
        Ok(Ok(())) => Ok((queue, vec![writer, copier])),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(failed(std::io::Error::other("the writer thread did not start"))),
    }
}
