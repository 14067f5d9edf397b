//! The file of a route's pins: written whole or not at all, by one writer at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a pins file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is known of one tool's descriptor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The hash that is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// What has that hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_descriptor: Option<Value>,
    /// A hash that waits for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// What has that hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_descriptor: Option<Value>,
    /// Why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

pub(super) type Table = BTreeMap<String, Pin>;

/// Why pins cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// The file.
    #[error("the pins {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its text.
    #[error("the pins {path} are not what this program writes: {what}")]
    Text {
        /// Which.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// There is nothing to approve.
    #[error("no descriptor of `{0}` waits for approval")]
    NothingWaits(String),
    /// Another descriptor waits than the one that was looked at.
    #[error("another descriptor of `{tool}` waits by now: {waiting}; look at it first")]
    Changed {
        /// Which tool.
        tool: String,
        /// What waits.
        waiting: String,
    },
}

fn fault(path: &Path) -> impl Fn(std::io::Error) -> PinsError {
    let path = path.display().to_string();
    move |source| PinsError::File { path: path.clone(), source }
}

/// The file of a route's pins.
pub fn pins_path(state_dir: &Path, route: &str) -> PathBuf {
    state_dir.join("pins").join(format!("{route}.json"))
}

/// The pins in a file; none when there is no file.
///
/// # Errors
/// [`PinsError`].
pub fn read_pins(path: &Path) -> Result<BTreeMap<String, Pin>, PinsError> {
    let text = |what: String| PinsError::Text { path: path.display().to_string(), what };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Table::new()),
        Err(error) => return Err(fault(path)(error)),
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(text("too large".to_owned())),
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(fault(path))?;
    serde_json::from_slice(&bytes).map_err(|error| text(error.to_string()))
}

/// Approves the descriptor of a tool that waits; with `looked_at`, only if it has that hash. A
/// running gateway takes it up by itself.
///
/// # Errors
/// [`PinsError`].
pub fn approve_pin(path: &Path, tool: &str, looked_at: Option<&str>) -> Result<Pin, PinsError> {
    let _locked = lock(path)?;
    let mut table = read_pins(path)?;
    let nothing = || PinsError::NothingWaits(tool.to_owned());
    let pin = table.get_mut(tool).ok_or_else(nothing)?;
    let waiting = pin.waiting.take().ok_or_else(nothing)?;
    if looked_at.is_some_and(|hash| hash != waiting) {
        return Err(PinsError::Changed { tool: tool.to_owned(), waiting });
    }
    *pin = Pin {
        approved: Some(waiting),
        approved_descriptor: pin.waiting_descriptor.take(),
        ..Pin::default()
    };
    let approved = pin.clone();
    write(path, &table)?;
    Ok(approved)
}

/// Keeps every other writer of this gateway's pins out while the file that it gives is open.
pub(super) fn lock(path: &Path) -> Result<File, PinsError> {
    let directory = directory(path);
    std::fs::create_dir_all(directory).map_err(fault(directory))?;
    let path = directory.join(".lock");
    let mut options = File::options();
    let file =
        options.create(true).truncate(false).write(true).open(&path).map_err(fault(&path))?;
    file.lock().map_err(fault(&path))?;
    Ok(file)
}

pub(super) fn write(path: &Path, table: &Table) -> Result<(), PinsError> {
    let fault = fault(path);
    let bytes = serde_json::to_vec_pretty(table).map_err(|error| fault(error.into()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        let what = "the tools tell more than is kept of a route".to_owned();
        return Err(PinsError::Text { path: path.display().to_string(), what });
    }
    let temporary = path.with_extension("json.tmp");
    let mut file = File::create(&temporary).map_err(&fault)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(&fault)?;
    std::fs::rename(&temporary, path).map_err(&fault)?;
    let directory = directory(path);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(&fault)
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// What tells two versions of the file apart: each is a new file under the old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some(Stamp {
        file: found.ino(),
        bytes: found.len(),
        seconds: found.mtime(),
        nanoseconds: found.mtime_nsec(),
    })
}
