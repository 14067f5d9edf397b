//! Whose a task at a remote agent or server is: that of the task of ours whose call began it.
//!
//! A remote task is known by the hash of its id, with every scope that it was given work under. What is
//! learnt is appended to a file, so that it is known again after a restart; what is not known, because it
//! was begun elsewhere, forgotten or lost with the file, is nobody's.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_core::{Sha256Hash, TaskId, VerifiedChain, sha256};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::stop::Stop;

/// Remote tasks and contexts of one route; the ones that were not used for longest are forgotten.
const REMEMBERED_MAX: u64 = 100_000;
/// Lines of the file before it is written anew with what is remembered.
const LINES_MAX: u64 = 2 * REMEMBERED_MAX;
/// Bytes of one line. A longer one is not ours.
const LINE_BYTES_MAX: usize = 4096;

/// What an id at the remote side names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemoteKind {
    /// A task: its state, its results.
    Task,
    /// A context: the conversation that tasks share.
    Context,
}

/// Who asks a remote side for work: a task of ours, under a scope.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) task: TaskId,
    pub(crate) scope: Scope,
}

/// Whose remote tasks are.
pub(crate) struct RemoteTasks {
    held: Cache<Sha256Hash, Owner>,
    journal: Mutex<Journal>,
}

#[derive(Clone, Debug)]
struct Owner {
    task: TaskId,
    /// What was worked on under these is in it: who looks into it holds all of them.
    scopes: BTreeSet<Scope>,
}

impl RemoteTasks {
    /// The file of a route.
    pub(crate) fn path(state_dir: &Path, route: &str) -> PathBuf {
        state_dir.join("remote").join(format!("{route}.jsonl"))
    }

    /// Reads what is known from the file; there may be none yet.
    pub(crate) fn open(path: PathBuf) -> Result<Self, String> {
        let policy = EvictionPolicy::lru();
        let held = Cache::builder().max_capacity(REMEMBERED_MAX).eviction_policy(policy).build();
        let tasks = Self { held, journal: Mutex::new(Journal { path, file: None, lines: 0 }) };
        let mut journal = tasks.journal.lock();
        let read = journal.read(|line| {
            let _ = tasks.take(Sha256Hash::from_named(&line.id).ok()?, line.task, line.scope);
            Some(())
        });
        read.map_err(|error| format!("{}: {error}", journal.path.display()))?;
        drop(journal);
        Ok(tasks)
    }

    /// Refuses what this chain's task did not begin, and what was begun or gone on with under a scope
    /// that the chain does not hold.
    pub(crate) fn require_own(
        &self,
        kind: RemoteKind,
        id: &str,
        chain: &VerifiedChain,
    ) -> Result<(), Stop> {
        let claims = chain.claims();
        let Some(owner) = self.held.get(&key(kind, id)).filter(|it| it.task == claims.txn) else {
            let what = match kind {
                RemoteKind::Task => "remote task",
                RemoteKind::Context => "remote context",
            };
            let detail = format!("this chain's task did not begin that {what} at this gateway");
            return Err(Stop::new(Outcome::TaskMismatch, detail));
        };
        match owner.scopes.iter().find(|scope| !claims.authority.scopes.covers(scope)) {
            None => Ok(()),
            Some(scope) => {
                let detail = format!("it was given work under {scope}, which this chain lacks");
                Err(Stop::new(Outcome::ScopeNotGranted, detail))
            }
        }
    }

    /// Learns that a reply to this asker named something. The first to be told an id keeps it: `false`
    /// says that it is another task's.
    pub(crate) fn learn(&self, kind: RemoteKind, id: &str, asker: &Asker) -> bool {
        // One at a time, so that of two that are told one id together only one has it.
        let mut journal = self.journal.lock();
        let key = key(kind, id);
        match self.take(key, asker.task, asker.scope.clone()) {
            Taken::Known => return true,
            Taken::Anothers => return false,
            Taken::New => {}
        }
        let line = Line { id: key.named(), task: asker.task, scope: asker.scope.clone() };
        if let Err(error) = journal.add(&line, &self.held) {
            // It is known until the process ends, and refused after it, and so is what stood there:
            // a scope that is missing would open a task to those who lack it.
            tracing::error!(%error, "a remote task cannot be written down; the file is begun anew");
            journal.give_up();
        }
        true
    }

    fn take(&self, key: Sha256Hash, task: TaskId, scope: Scope) -> Taken {
        let mut owner = match self.held.get(&key) {
            Some(owner) if owner.task != task => return Taken::Anothers,
            Some(owner) if owner.scopes.contains(&scope) => return Taken::Known,
            Some(owner) => owner,
            None => Owner { task, scopes: BTreeSet::new() },
        };
        owner.scopes.insert(scope);
        self.held.insert(key, owner);
        Taken::New
    }
}

enum Taken {
    New,
    Known,
    Anothers,
}

/// An id of one kind is no id of the other. What is kept is its hash: of one length, and no key to
/// anything.
fn key(kind: RemoteKind, id: &str) -> Sha256Hash {
    let kind = match kind {
        RemoteKind::Task => "task",
        RemoteKind::Context => "context",
    };
    sha256(format!("{kind}:{id}").as_bytes())
}

/// One thing that was learnt.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    task: TaskId,
    scope: Scope,
}

/// The file: one line for each thing that was learnt, on the disk before a reply is passed on.
struct Journal {
    path: PathBuf,
    file: Option<File>,
    lines: u64,
}

impl Journal {
    /// Gives each line; what is no whole line is left out.
    fn read(&mut self, mut give: impl FnMut(Line) -> Option<()>) -> std::io::Result<()> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for text in BufReader::new(file).split(b'\n') {
            let text = text?;
            if text.is_empty() {
                continue;
            }
            self.lines = self.lines.saturating_add(1);
            let line = (text.len() <= LINE_BYTES_MAX).then(|| serde_json::from_slice(&text).ok());
            if line.flatten().and_then(&mut give).is_none() {
                tracing::warn!(path = %self.path.display(), "a line cannot be read: left out");
            }
        }
        Ok(())
    }

    fn add(&mut self, line: &Line, held: &Cache<Sha256Hash, Owner>) -> std::io::Result<()> {
        if self.lines >= LINES_MAX {
            return self.rewrite(held);
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let file = self.appendable()?;
        file.write_all(&text)?;
        file.sync_data()?;
        self.lines = self.lines.saturating_add(1);
        Ok(())
    }

    /// After a line that could not be written: no file, until what is remembered is written anew.
    fn give_up(&mut self) {
        self.file = None;
        self.lines = LINES_MAX;
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::error!(%error, path = %self.path.display(), "remove this file before a restart");
        }
    }

    fn appendable(&mut self) -> std::io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = self.create(&self.path, OpenOptions::new().append(true))?;
                // Whatever was cut off by a kill stays a line of its own.
                file.write_all(b"\n")?;
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// Writes the file anew: what is remembered, and no more.
    fn rewrite(&mut self, held: &Cache<Sha256Hash, Owner>) -> std::io::Result<()> {
        self.file = None;
        let temporary = self.path.with_extension("jsonl.tmp");
        let mut file = std::io::BufWriter::new(
            self.create(&temporary, OpenOptions::new().write(true).truncate(true))?,
        );
        let mut lines = 0_u64;
        for (key, Owner { task, scopes }) in held {
            for scope in scopes {
                let line = Line { id: key.named(), task, scope };
                serde_json::to_writer(&mut file, &line)?;
                file.write_all(b"\n")?;
                lines = lines.saturating_add(1);
            }
        }
        file.into_inner()?.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        self.lines = lines;
        Ok(())
    }

    fn create(&self, path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        options.create(true).mode(0o600).open(path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture;

    fn asker(chain: &VerifiedChain, scope: &str) -> Asker {
        Asker { task: chain.claims().txn, scope: scope.parse().unwrap() }
    }

    fn code(found: Result<(), Stop>) -> &'static str {
        found.map_or_else(|stop| stop.code.code(), |()| "own")
    }

    #[test]
    fn what_was_begun_is_its_tasks_alone_also_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let path = RemoteTasks::path(state.path(), "clerk");
        let (alice, mallory) = (fixture::chain(1, &["a.*"]), fixture::chain(2, &["a.*"]));
        let check = |tasks: &RemoteTasks| {
            assert_eq!(code(tasks.require_own(RemoteKind::Task, "t1", &alice)), "own");
            assert_eq!(code(tasks.require_own(RemoteKind::Task, "t1", &mallory)), "task_mismatch");
            assert_eq!(code(tasks.require_own(RemoteKind::Task, "t2", &alice)), "task_mismatch");
            assert_eq!(code(tasks.require_own(RemoteKind::Context, "t1", &alice)), "task_mismatch");
            assert!(!tasks.learn(RemoteKind::Task, "t1", &asker(&mallory, "a.b")), "it is taken");
        };
        let tasks = RemoteTasks::open(path.clone()).unwrap();
        assert!(tasks.learn(RemoteKind::Task, "t1", &asker(&alice, "a.b")));
        check(&tasks);
        drop(tasks);
        // A kill in the middle of a line takes that line alone, and the next one does not join it.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":\"sha-256:").unwrap();
        let tasks = RemoteTasks::open(path.clone()).unwrap();
        check(&tasks);
        assert!(tasks.learn(RemoteKind::Task, "t3", &asker(&alice, "a.b")));
        let tasks = RemoteTasks::open(path.clone()).unwrap();
        assert_eq!(code(tasks.require_own(RemoteKind::Task, "t3", &alice)), "own");
        assert!(
            !std::fs::read_to_string(&path).unwrap().contains("t1"),
            "ids are not written down"
        );
        // Without the file nothing is anybody's.
        std::fs::remove_file(&path).unwrap();
        let tasks = RemoteTasks::open(path).unwrap();
        assert_eq!(code(tasks.require_own(RemoteKind::Task, "t1", &alice)), "task_mismatch");
    }

    #[test]
    fn whoever_looks_into_it_holds_every_scope_that_went_into_it() {
        let state = tempfile::tempdir().unwrap();
        let tasks = RemoteTasks::open(RemoteTasks::path(state.path(), "clerk")).unwrap();
        let whole = fixture::chain(1, &["a.*"]);
        let narrow = fixture::chain_of(&fixture::claims(1, &["a.read"], json!([])));
        assert!(tasks.learn(RemoteKind::Task, "t1", &asker(&whole, "a.read")));
        assert_eq!(code(tasks.require_own(RemoteKind::Task, "t1", &narrow)), "own");
        assert!(tasks.learn(RemoteKind::Task, "t1", &asker(&whole, "a.pay")));
        assert_eq!(code(tasks.require_own(RemoteKind::Task, "t1", &narrow)), "scope_not_granted");
        assert_eq!(code(tasks.require_own(RemoteKind::Task, "t1", &whole)), "own");
    }

    #[test]
    fn a_scope_that_cannot_be_written_down_opens_nothing_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let path = RemoteTasks::path(state.path(), "clerk");
        let tasks = RemoteTasks::open(path.clone()).unwrap();
        let whole = fixture::chain(1, &["a.*"]);
        let narrow = fixture::chain_of(&fixture::claims(1, &["a.read"], json!([])));
        assert!(tasks.learn(RemoteKind::Task, "t1", &asker(&whole, "a.read")));
        // A file that takes no more.
        tasks.journal.lock().file = Some(File::open(&path).unwrap());
        assert!(tasks.learn(RemoteKind::Task, "t1", &asker(&whole, "a.pay")));
        assert_eq!(code(tasks.require_own(RemoteKind::Task, "t1", &narrow)), "scope_not_granted");
        let after = RemoteTasks::open(path.clone()).unwrap();
        assert_eq!(code(after.require_own(RemoteKind::Task, "t1", &narrow)), "task_mismatch");
        // The next line brings everything back.
        assert!(tasks.learn(RemoteKind::Task, "t2", &asker(&whole, "a.read")));
        let after = RemoteTasks::open(path).unwrap();
        assert_eq!(code(after.require_own(RemoteKind::Task, "t1", &narrow)), "scope_not_granted");
        assert_eq!(code(after.require_own(RemoteKind::Task, "t2", &narrow)), "own");
    }

    #[test]
    fn the_file_is_written_anew_before_it_grows_without_end() {
        let state = tempfile::tempdir().unwrap();
        let path = RemoteTasks::path(state.path(), "clerk");
        let tasks = RemoteTasks::open(path.clone()).unwrap();
        let alice = fixture::chain(1, &["a.*"]);
        assert!(tasks.learn(RemoteKind::Task, "t1", &asker(&alice, "a.b")));
        tasks.journal.lock().lines = LINES_MAX;
        assert!(tasks.learn(RemoteKind::Task, "t2", &asker(&alice, "a.b")));
        assert_eq!(tasks.journal.lock().lines, 2);
        assert!(tasks.learn(RemoteKind::Task, "t3", &asker(&alice, "a.b")));
        let tasks = RemoteTasks::open(path).unwrap();
        for id in ["t1", "t2", "t3"] {
            assert_eq!(code(tasks.require_own(RemoteKind::Task, id, &alice)), "own");
        }
    }
}
