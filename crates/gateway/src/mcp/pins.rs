//! Tool descriptors pinned by hash: what an agent is told about a tool does not change unseen.
//!
//! The pins of a route are a file in the state directory, written whole or not at all. A descriptor
//! that differs from its pin, or a new tool that looks like a pinned one, waits for an operator.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bailiwick_core::{jcs, sha256};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

/// Tools of one route.
const TOOLS_MAX: usize = 10_000;
/// Bytes of a pins file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// When a descriptor that was never seen is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PinRule {
    /// The first time it is listed, unless it looks like another tool.
    #[default]
    FirstUse,
    /// Only after an operator approved it.
    Listed,
}

/// What is known of one tool's descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The hash that is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// A hash that waits for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

type Table = BTreeMap<String, Pin>;

/// The pins of one route.
pub(crate) struct Pins {
    path: PathBuf,
    rule: PinRule,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    table: Table,
    read: Option<SystemTime>,
}

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
    let file = |source| PinsError::File { path: path.display().to_string(), source };
    let text = |what: String| PinsError::Text { path: path.display().to_string(), what };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Table::new()),
        Err(error) => return Err(file(error)),
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(text("too large".to_owned())),
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(file)?;
    serde_json::from_slice(&bytes).map_err(|error| text(error.to_string()))
}

/// Approves the descriptor of a tool that waits. A running gateway takes it up by itself.
///
/// # Errors
/// [`PinsError`].
pub fn approve_pin(path: &Path, tool: &str) -> Result<Pin, PinsError> {
    let mut table = read_pins(path)?;
    let pin = table.get_mut(tool).filter(|pin| pin.waiting.is_some());
    let pin = pin.ok_or_else(|| PinsError::NothingWaits(tool.to_owned()))?;
    *pin = Pin { approved: pin.waiting.take(), waiting: None, why: None };
    let approved = pin.clone();
    write(path, &table)?;
    Ok(approved)
}

fn write(path: &Path, table: &Table) -> Result<(), PinsError> {
    let fault = |source| PinsError::File { path: path.display().to_string(), source };
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(fault)?;
    let temporary = path.with_extension("json.tmp");
    let mut file = std::fs::File::create(&temporary).map_err(fault)?;
    let bytes = serde_json::to_vec_pretty(table).map_err(|error| fault(error.into()))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(fault)?;
    std::fs::rename(&temporary, path).map_err(fault)?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(fault)
}

impl Pins {
    pub(crate) fn open(path: PathBuf, rule: PinRule) -> Result<Self, PinsError> {
        let pins = Self { path, rule, held: Mutex::default() };
        pins.held.lock().table = read_pins(&pins.path)?;
        Ok(pins)
    }

    /// The approved hash of a tool, when nothing about it waits. `Err` says why it may not be used.
    pub(crate) fn usable(&self, tool: &str) -> Result<Option<String>, String> {
        let mut held = self.held.lock();
        self.take_up(&mut held);
        match held.table.get(tool) {
            Some(Pin { waiting: Some(_), why, .. }) => {
                Err(why.clone().unwrap_or_else(|| "its descriptor waits for approval".to_owned()))
            }
            Some(pin) => Ok(pin.approved.clone()),
            None if self.rule == PinRule::Listed => {
                Err("its descriptor was never approved".to_owned())
            }
            // Nobody was told anything about it through this gateway yet.
            None => Ok(None),
        }
    }

    /// Whether a tool may be shown with this descriptor. What is new or changed is kept.
    pub(crate) fn admits(&self, name: &str, descriptor: &Value) -> bool {
        let Some(hash) = descriptor_hash(descriptor) else { return false };
        let mut held = self.held.lock();
        self.take_up(&mut held);
        let change = match held.table.get(name) {
            Some(pin) if pin.approved.as_ref() == Some(&hash) => {
                if pin.waiting.is_none() {
                    return true;
                }
                // It is what it was again.
                Pin { approved: Some(hash), waiting: None, why: None }
            }
            Some(pin) if pin.waiting.as_ref() == Some(&hash) => return false,
            Some(pin) => {
                let why = "its descriptor is not the one that was approved";
                Pin { approved: pin.approved.clone(), waiting: Some(hash), why: Some(why.to_owned()) }
            }
            None if held.table.len() >= TOOLS_MAX => return false,
            None => self.new_pin(&held.table, name, hash),
        };
        let shown = change.waiting.is_none();
        if !shown {
            tracing::warn!(tool = name, why = change.why, "a tool is hidden until it is approved");
        }
        held.table.insert(name.to_owned(), change);
        if let Err(error) = write(&self.path, &held.table) {
            tracing::error!(%error, "what is pinned cannot be kept: the tool is not shown");
            held.table.remove(name);
            return false;
        }
        held.read = modified(&self.path);
        shown
    }

    fn new_pin(&self, table: &Table, name: &str, hash: String) -> Pin {
        let skeleton = skeleton(name);
        let alike = table.keys().find(|other| other.as_str() != name && self::skeleton(other) == skeleton);
        let why = match (alike, self.rule) {
            (Some(other), _) => Some(format!("its name looks like that of `{other}`")),
            (None, PinRule::Listed) => Some("its descriptor was never approved".to_owned()),
            (None, PinRule::FirstUse) => None,
        };
        match why {
            None => Pin { approved: Some(hash), ..Pin::default() },
            Some(why) => Pin { approved: None, waiting: Some(hash), why: Some(why) },
        }
    }

    /// Takes up what an operator approved in the file meanwhile.
    fn take_up(&self, held: &mut Held) {
        let now = modified(&self.path);
        if now.is_none() || now == held.read {
            return;
        }
        match read_pins(&self.path) {
            Ok(table) => *held = Held { table, read: now },
            Err(error) => tracing::error!(%error, "the pins cannot be read again"),
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

/// `sha-256:…` of what an agent is told about a tool.
pub(crate) fn descriptor_hash(descriptor: &Value) -> Option<String> {
    const TOLD: [&str; 6] =
        ["name", "title", "description", "inputSchema", "outputSchema", "annotations"];
    let members = descriptor.as_object()?;
    let told: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| TOLD.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Some(sha256(&jcs::canonicalize_value(&Value::Object(told)).ok()?).named())
}

/// What a name looks like to a reader: no case, no separators, compatibility forms and letters of
/// other scripts as the Latin ones they look like.
fn skeleton(name: &str) -> String {
    let folded: String = name
        .nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| !c.is_whitespace() && !"-_./:".contains(*c) && !is_invisible(*c))
        .collect();
    unicode_security::skeleton(&folded).flat_map(char::to_lowercase).collect()
}

fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
}
