//! What is SQLite's own: files, lock, migrations, full disks, coherence of the cache.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bailiwick_ledger::{LeafIndex, ReceiptKind, opens};

use super::{OpenError, SqliteOptions, SqliteStore};
use crate::model::{self, Effect, RevocationTarget, TaskState};
use crate::store::conformance::fixture::Maker;
use crate::store::conformance::{Backend, conformance};
use crate::store::{PageRequest, Store as _, StoreError, StoreHandle};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }

    fn store(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(self.0.path(), &SqliteOptions::default())
    }
}

impl Backend for Directory {
    fn open(&self) -> StoreHandle {
        StoreHandle::new(self.store().expect("store"))
    }
}

mod conforms {
    use super::conformance;

    conformance!(crate::store::sqlite::tests::Directory::new());
}

/// With no room for hot rows every read goes to the database.
mod conforms_without_cache {
    use super::*;

    struct Cold(tempfile::TempDir);

    impl Backend for Cold {
        fn open(&self) -> StoreHandle {
            let options = SqliteOptions {
                task_cache_bytes_max: 0,
                token_cache_bytes_max: 0,
                readers_max: 1,
                queue_max: 1,
                lookups_waiting_max: 2,
                ..SqliteOptions::default()
            };
            StoreHandle::new(SqliteStore::open(self.0.path(), &options).expect("store"))
        }
    }

    conformance!(crate::store::sqlite::tests::conforms_without_cache::Cold(
        tempfile::tempdir().expect("directory")
    ));
}

#[tokio::test]
async fn files_are_the_owners_only() {
    let directory = Directory::new();
    let inner = directory.0.path().join("a/b");
    let store = SqliteStore::open(&inner, &SqliteOptions::default()).unwrap();
    append(&store, &mut Maker::new(1), Effect::None).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&inner).unwrap() {
        files += 1;
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert_eq!(files, 4, "database, log, its index, lock");
    drop(store);
    let database = inner.join("bailiwick.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = SqliteStore::open(&inner, &SqliteOptions::default()).unwrap();
    assert_eq!(mode(&database), 0o600, "tightened");
}

#[tokio::test]
async fn one_process_at_a_time() {
    let directory = Directory::new();
    let store = directory.store().unwrap();
    assert!(matches!(directory.store(), Err(OpenError::InUse { .. })));
    drop(store);
    directory.store().unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let directory = Directory::new();
    drop(directory.store().unwrap());
    let database = directory.0.path().join("bailiwick.db");
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.execute("INSERT INTO schema_migration VALUES (99, 'of the future')", ()).unwrap();
    drop(conn);
    match directory.store() {
        Err(error @ OpenError::NewerSchema { found: 99, .. }) => {
            assert!(error.to_string().contains("schema 99"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.execute("DELETE FROM schema_migration WHERE version = 99", ()).unwrap();
    drop(conn);
    directory.store().unwrap();
}

#[tokio::test]
async fn a_database_of_something_else_is_refused() {
    let directory = Directory::new();
    let database = directory.0.path().join("bailiwick.db");
    let conn = rusqlite::Connection::open(&database).unwrap();
    conn.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    drop(conn);
    assert!(matches!(directory.store(), Err(OpenError::NotAStore)));
    std::fs::write(&database, vec![7; 8_192]).unwrap();
    assert!(matches!(directory.store(), Err(OpenError::Database(_))));
    std::fs::remove_file(&database).unwrap();
    directory.store().unwrap();
}

#[tokio::test]
async fn a_missing_leaf_is_noticed_at_the_start() {
    let directory = Directory::new();
    let store = directory.store().unwrap();
    let mut make = Maker::new(1);
    for _ in 0..5 {
        append(&store, &mut make, Effect::None).await.unwrap();
    }
    drop(store);
    let conn = rusqlite::Connection::open(directory.0.path().join("bailiwick.db")).unwrap();
    conn.execute("DELETE FROM leaf WHERE idx = 0", ()).unwrap();
    drop(conn);
    assert!(matches!(directory.store(), Err(OpenError::LedgerGap { .. })));
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_refused() {
    // Not even root may make a file there.
    for path in ["/proc/bailiwick", "/dev/null/bailiwick"] {
        let answer = SqliteStore::open(Path::new(path), &SqliteOptions::default());
        assert!(matches!(answer, Err(OpenError::Path { .. })), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_full_store_refuses_and_recovers() {
    let directory = Directory::new();
    let store = directory.store().unwrap();
    let mut make = Maker::new(3);
    let first = fill(&store, &mut make, 3).await;
    store.set_page_quota(Some(1)).await.unwrap();
    let acknowledged = until_full(&store, &mut make).await;
    full(&store, &mut make).await;
    // Reads go on, and everything acknowledged is there.
    check(&store, &first, acknowledged).await;
    store.set_page_quota(None).await.unwrap();
    fill(&store, &mut make, 5).await;
    let size = store.ledger_size();
    assert_eq!(size, acknowledged + 10);
    drop(store);
    let store = directory.store().unwrap();
    check(&store, &first, size).await;
}

/// A real full disk: a small file system in memory. Needs the right to mount one.
#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let directory = Directory::new();
    let path = directory.0.path();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(path)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("not allowed to mount a file system: tested with a page quota only");
        return;
    }
    let outcome = tokio::spawn(on_a_small_disk(path.to_owned())).await;
    let unmounted = Command::new("umount").arg(path).status();
    outcome.unwrap();
    assert!(unmounted.unwrap().success());
}

async fn on_a_small_disk(path: std::path::PathBuf) {
    let ballast = path.join("ballast");
    std::fs::write(&ballast, vec![1; 1024 << 10]).unwrap();
    let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
    let mut make = Maker::new(4);
    let first = fill(&store, &mut make, 3).await;
    let acknowledged = until_full(&store, &mut make).await;
    full(&store, &mut make).await;
    check(&store, &first, acknowledged).await;
    std::fs::remove_file(&ballast).unwrap();
    store.probe().await.unwrap();
    fill(&store, &mut make, 5).await;
    let size = store.ledger_size();
    drop(store);
    let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
    check(&store, &first, size).await;
}

/// Opens tasks; gives their ids.
async fn fill(store: &SqliteStore, make: &mut Maker, tasks: usize) -> Vec<bailiwick_core::TaskId> {
    let mut ids = Vec::new();
    for _ in 0..tasks {
        let (task, mut token) = make.task();
        token.status_idx = store.allocate_status_idx().await.unwrap();
        ids.push(task.id);
        let root = token.clone();
        append(store, make, Effect::OpenTask { task, token, proof: None }).await.unwrap();
        let mut token = make.child(&root, "a");
        token.status_idx = store.allocate_status_idx().await.unwrap();
        append(store, make, settle(token)).await.unwrap();
    }
    ids
}

fn settle(token: model::TokenRecord) -> Effect {
    let grant = vec![b'g'; 2_000];
    Effect::Settle { token, grant, proof: None, fanout_max: 9, rate_per_minute_max: 9 }
}

async fn append(
    store: &SqliteStore,
    make: &mut Maker,
    effect: Effect,
) -> Result<LeafIndex, StoreError> {
    let mut receipt = make.receipt(ReceiptKind::Decision, &[]);
    receipt.payload = vec![b'p'; 10_000];
    store.append(receipt, effect).await
}

/// Appends until there is no room; gives the ledger's size.
async fn until_full(store: &SqliteStore, make: &mut Maker) -> u64 {
    for _ in 0..2_000 {
        match append(store, make, Effect::None).await {
            Ok(index) => assert_eq!(index.0 + 1, store.ledger_size()),
            Err(StoreError::Unavailable(_)) => return store.ledger_size(),
            Err(other) => panic!("{other}"),
        }
    }
    panic!("never full");
}

/// Nothing is appended, refused ops included, and `probe` says why.
async fn full(store: &SqliteStore, make: &mut Maker) {
    let size = store.ledger_size();
    for _ in 0..3 {
        let (task, token) = make.task();
        let effect = Effect::OpenTask { task: task.clone(), token, proof: None };
        let answer = append(store, make, effect).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        assert_eq!(store.task(task.id).await.unwrap(), None);
        let close = Effect::CloseTask { task: task.id, state: TaskState::Completed };
        let answer = append(store, make, close).await.unwrap_err();
        assert_eq!(answer.refused(), Some(&model::Refused::TaskClosed), "it never was opened");
    }
    assert_eq!(store.ledger_size(), size);
}

async fn check(store: &SqliteStore, tasks: &[bailiwick_core::TaskId], size: u64) {
    assert_eq!(store.ledger_size(), size);
    assert_eq!(store.leaf_hashes(0..size).await.unwrap().len() as u64, size);
    for task in tasks {
        assert!(store.task(*task).await.unwrap().is_some());
        assert_eq!(store.tokens_of_task(*task).await.unwrap().len(), 2);
    }
    for from in (0..size).step_by(1_000) {
        for row in store.receipts(from..size.min(from + 1_000)).await.unwrap() {
            let (salt, payload) = row.opening.unwrap();
            assert!(opens(&row.entry, &salt, &payload));
        }
    }
}

/// Readers and the writer at the same rows: no reader is ever given a row from before a change that
/// it has seen acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_sees_an_old_row() {
    let directory = Directory::new();
    // A cache that forgets at once, so that rows are read back and filled in all the time.
    let options = SqliteOptions { token_cache_bytes_max: 40_000, ..SqliteOptions::default() };
    let store = StoreHandle::new(SqliteStore::open(directory.0.path(), &options).unwrap());
    let mut make = Maker::new(11);
    let mut tokens = Vec::new();
    for _ in 0..200 {
        let (task, mut token) = make.task();
        token.status_idx = store.allocate_status_idx().await.unwrap();
        tokens.push(token.jti);
        let receipt = make.receipt(ReceiptKind::Issue, &[]);
        store.append(receipt, Effect::OpenTask { task, token, proof: None }).await.unwrap();
    }
    let revoked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let readers: Vec<_> = (0..4)
        .map(|seed| {
            let (store, tokens, revoked) = (store.clone(), tokens.clone(), revoked.clone());
            tokio::spawn(async move {
                let mut make = Maker::new(seed);
                loop {
                    let done = revoked.load(std::sync::atomic::Ordering::SeqCst);
                    let place = usize::try_from(make.next()).unwrap() % tokens.len();
                    let token = store.token(tokens[place]).await.unwrap().unwrap();
                    assert!(token.revoked_ms.is_some() || place >= done, "{place} of {done}");
                    if done == tokens.len() {
                        return;
                    }
                }
            })
        })
        .collect();
    for (place, jti) in tokens.iter().enumerate() {
        let id = make.revocation_id();
        let target = RevocationTarget::Token(*jti);
        let effect = Effect::Revoke { id, target, reason: String::new() };
        let receipt = make.receipt(ReceiptKind::Revocation, &[]);
        store.append(receipt, effect).await.unwrap();
        revoked.store(place + 1, std::sync::atomic::Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// Leaves are found by their ids while the rows for it move into the index, and over restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_on_its_way_into_the_index_is_found_once() {
    let directory = Directory::new();
    let options = SqliteOptions { lookups_waiting_max: 40, ..SqliteOptions::default() };
    let open = || SqliteStore::open(directory.0.path(), &options).unwrap();
    let mut make = Maker::new(12);
    let ids: Vec<String> = (0..7).map(|_| make.task_id().to_string()).collect();
    let mut expected: Vec<Vec<u64>> = vec![Vec::new(); ids.len()];
    for round in 0..3 {
        let store = StoreHandle::new(open());
        let done = Arc::new(AtomicU64::new(store.ledger_size()));
        let reader = {
            let (store, id, done) = (store.clone(), ids[0].clone(), done.clone());
            tokio::spawn(async move {
                let mut most = 0;
                while done.load(Ordering::SeqCst) < u64::MAX {
                    let floor = done.load(Ordering::SeqCst).div_ceil(7);
                    let page = PageRequest::first(1_000);
                    let found = store.receipts_by_key(&id, page).await.unwrap().items;
                    let places: Vec<u64> = found.iter().map(|receipt| receipt.index.0).collect();
                    assert!(places.is_sorted_by(|a, b| a < b), "once each, in order");
                    assert!(places.iter().all(|place| place % 7 == 0), "of this id alone");
                    assert!(places.len() as u64 >= floor, "{} of {floor}", places.len());
                    most = most.max(places.len());
                }
                most
            })
        };
        for _ in 0..700 {
            let which = usize::try_from(store.ledger_size() % 7).unwrap();
            let receipt = make.receipt(ReceiptKind::Action, &ids[which..=which]);
            let at = store.append(receipt, Effect::None).await.unwrap();
            expected[which].push(at.0);
            done.store(at.0 + 1, Ordering::SeqCst);
        }
        done.store(u64::MAX, Ordering::SeqCst);
        assert!(reader.await.unwrap() > 1);
        for (id, expected) in ids.iter().zip(&expected) {
            let found = store.receipts_by_key(id, PageRequest::first(1_000)).await.unwrap().items;
            let places: Vec<u64> = found.iter().map(|receipt| receipt.index.0).collect();
            assert_eq!(&places, expected, "round {round}");
        }
    }
    let conn = rusqlite::Connection::open(directory.0.path().join("bailiwick.db")).unwrap();
    let count = |table: &str| -> i64 {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap()
    };
    assert!((2_000..2_100).contains(&count("lookup")), "{} were moved", count("lookup"));
    assert!(count("recent") < 1_000, "{} were not pruned", count("recent"));
}

#[tokio::test]
async fn erased_bytes_are_in_no_file() {
    let directory = Directory::new();
    let store = directory.store().unwrap();
    let mut make = Maker::new(5);
    let mut receipt = make.receipt(ReceiptKind::Decision, &[]);
    let secret = b"alice lives at number nine".repeat(400);
    receipt.payload.clone_from(&secret);
    let index = store.append(receipt, Effect::None).await.unwrap();
    let found = || {
        let files = std::fs::read_dir(directory.0.path()).unwrap();
        let holds = |bytes: Vec<u8>| bytes.windows(26).any(|window| window == &secret[..26]);
        files.filter(|file| holds(std::fs::read(file.as_ref().unwrap().path()).unwrap())).count()
    };
    assert_eq!(found(), 1);
    append(&store, &mut make, Effect::Erase { leaf: index }).await.unwrap();
    // The checkpoint follows the reply.
    store.probe().await.unwrap();
    assert_eq!(found(), 0);
}
