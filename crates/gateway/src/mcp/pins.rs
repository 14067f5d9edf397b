//! Tool descriptors pinned by hash: what an agent is told about a tool does not change unseen.
//!
//! A descriptor that differs from its pin, or a new tool that looks like another one, waits for an
//! operator: it is in no list and is not called.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bailiwick_core::{jcs, sha256};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

pub use self::file::{Pin, PinsError, approve_pin, pins_path, read_pins};
use self::file::{Stamp, Table, lock, stamp, write};

/// Tools of one route.
const TOOLS_MAX: usize = 10_000;
/// Bytes of one descriptor.
const DESCRIPTOR_BYTES_MAX: usize = 64 * 1024;
/// Characters of a tool's name.
const NAME_CHARS_MAX: usize = 128;

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

/// What a server tells about one tool: what is pinned.
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) hash: String,
    descriptor: Value,
}

impl Told {
    /// Reads a descriptor; `None` when nothing of it can be shown.
    pub(crate) fn read(descriptor: &Value) -> Option<Self> {
        const TOLD: [&str; 6] =
            ["name", "title", "description", "inputSchema", "outputSchema", "annotations"];
        let members = descriptor.as_object()?;
        let name = members.get("name")?.as_str()?;
        let chars = name.chars().count();
        if chars == 0 || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return None;
        }
        let told: Map<String, Value> = members
            .iter()
            .filter(|(name, _)| TOLD.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let name = name.to_owned();
        let descriptor = Value::Object(told);
        let bytes = jcs::canonicalize_value(&descriptor).ok()?;
        if bytes.len() > DESCRIPTOR_BYTES_MAX {
            return None;
        }
        Some(Self { name, hash: sha256(&bytes).named(), descriptor })
    }
}

/// The pins of one route.
pub(crate) struct Pins {
    path: PathBuf,
    rule: PinRule,
    /// Names that the configuration lists: whom they belong to is the operator's word.
    named: BTreeSet<String>,
    /// Pins of the other routes, whose tools this one's may not be taken for.
    others: Vec<PathBuf>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    table: Table,
    read: Option<Stamp>,
}

impl Held {
    /// Whether a tool is shown; `None` when that has to be decided first.
    fn verdict(&self, told: &Told) -> Option<bool> {
        match self.table.get(&told.name)? {
            Pin { approved, waiting: None, .. } if approved.as_ref() == Some(&told.hash) => {
                Some(true)
            }
            Pin { waiting: Some(waiting), .. } if *waiting == told.hash => Some(false),
            _ => None,
        }
    }
}

impl Pins {
    pub(crate) fn open(
        path: PathBuf,
        rule: PinRule,
        named: BTreeSet<String>,
        others: Vec<PathBuf>,
    ) -> Result<Self, PinsError> {
        let pins = Self { path, rule, named, others, held: Mutex::default() };
        pins.held.lock().table = read_pins(&pins.path)?;
        Ok(pins)
    }

    /// Whether a tool may be called with what its server says of it now. `Err` says why not.
    pub(crate) fn require(&self, tool: &str, hash: &str) -> Result<(), String> {
        let mut held = self.held.lock();
        if let Err(error) = self.take_up(&mut held) {
            return Err(error.to_string());
        }
        match held.table.get(tool) {
            Some(Pin { waiting: Some(_), why, .. }) => {
                Err(why.clone().unwrap_or_else(|| "its descriptor waits for approval".to_owned()))
            }
            Some(pin) if pin.approved.as_deref() == Some(hash) => Ok(()),
            _ => Err("its descriptor is not the one that was approved".to_owned()),
        }
    }

    /// Whether a tool may be called that its server does not list: nobody was told anything of it, so
    /// that its server is left to say that there is none. `Err` says why not.
    pub(crate) fn require_unheard_of(&self, tool: &str) -> Result<(), String> {
        let mut held = self.held.lock();
        self.take_up(&mut held).map_err(|error| error.to_string())?;
        if held.table.contains_key(tool) || self.named.contains(tool) {
            return Err("its server does not list it any more".to_owned());
        }
        let likeness = self.likeness(&held.table, &[]).map_err(|error| error.to_string())?;
        self.suspicion(tool, &likeness).map_or(Ok(()), Err)
    }

    /// Which tools of a list may be shown. What is new or changed is kept.
    pub(crate) fn admit(&self, list: &[Option<Told>]) -> Vec<bool> {
        let mut held = self.held.lock();
        let shown = |held: &Held| -> Vec<bool> {
            let verdict = |told: &Told| held.verdict(told) == Some(true);
            list.iter().map(|told| told.as_ref().is_some_and(verdict)).collect()
        };
        let known = self.take_up(&mut held);
        let counts = names(list);
        let settled = |told: &Told| {
            counts.get(told.name.as_str()) == Some(&1) && held.verdict(told).is_some()
        };
        if known.is_ok() && list.iter().flatten().all(settled) {
            return shown(&held);
        }
        if let Err(error) = known.and_then(|()| self.decide(&mut held, list, &counts)) {
            tracing::error!(%error, "what is new cannot be pinned: it is not shown");
            return list.iter().map(|_| false).collect();
        }
        shown(&held)
    }

    /// Pins what is new or changed, under the lock that other routes and operators take too.
    fn decide(
        &self,
        held: &mut Held,
        list: &[Option<Told>],
        counts: &BTreeMap<&str, usize>,
    ) -> Result<(), PinsError> {
        let _locked = lock(&self.path)?;
        self.take_up(held)?;
        let mut table = held.table.clone();
        let likeness = self.likeness(&table, list)?;
        for told in list.iter().flatten() {
            let twice = counts.get(told.name.as_str()).is_some_and(|count| *count > 1);
            let before = table.get(&told.name);
            let why = match before {
                _ if twice => Some("its server lists it twice".to_owned()),
                None => self.suspicion(&told.name, &likeness),
                Some(pin) if pin.approved.as_ref() == Some(&told.hash) => None,
                Some(Pin { approved: None, why: Some(why), .. }) => Some(why.clone()),
                Some(_) => Some("its descriptor is not the one that was approved".to_owned()),
            };
            if before.is_none() && table.len() >= TOOLS_MAX {
                continue;
            }
            let pin = table.entry(told.name.clone()).or_default();
            *pin = match why {
                // New, or what it was again.
                None => Pin {
                    approved: Some(told.hash.clone()),
                    approved_descriptor: Some(told.descriptor.clone()),
                    ..Pin::default()
                },
                Some(why) => {
                    tracing::warn!(tool = told.name, why, "a tool is hidden until it is approved");
                    Pin {
                        waiting: Some(told.hash.clone()),
                        waiting_descriptor: Some(told.descriptor.clone()),
                        why: Some(why),
                        ..std::mem::take(pin)
                    }
                }
            };
        }
        if table != held.table {
            write(&self.path, &table)?;
            *held = Held { table, read: stamp(&self.path) };
        }
        Ok(())
    }

    /// Every name that a new one must not look like, by its looks.
    fn likeness(&self, table: &Table, list: &[Option<Told>]) -> Result<Likeness, PinsError> {
        let mut likeness = Likeness::default();
        let listed = list.iter().flatten().map(|told| &told.name);
        for name in table.keys().chain(&self.named).chain(listed) {
            likeness.own.entry(skeleton(name)).or_default().insert(name.clone());
        }
        for path in &self.others {
            let route = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for (name, pin) in read_pins(path)? {
                if pin.approved.is_some() {
                    likeness.other.insert(skeleton(&name), route.clone());
                }
            }
        }
        Ok(likeness)
    }

    /// Why a new tool is not taken at first sight.
    fn suspicion(&self, name: &str, likeness: &Likeness) -> Option<String> {
        let looks = skeleton(name);
        if !self.named.contains(name) {
            let alike = likeness.own.get(&looks);
            if let Some(other) = alike.and_then(|alike| alike.iter().find(|other| *other != name)) {
                return Some(format!("its name looks like that of `{other}`"));
            }
            if let Some(route) = likeness.other.get(&looks) {
                return Some(format!(
                    "route `{route}` has a tool of that name, or one that looks like it"
                ));
            }
        }
        match self.rule {
            PinRule::Listed => Some("its descriptor was never approved".to_owned()),
            PinRule::FirstUse => None,
        }
    }

    /// Takes up what somebody else wrote meanwhile.
    fn take_up(&self, held: &mut Held) -> Result<(), PinsError> {
        let now = stamp(&self.path);
        if now.is_none() || now == held.read {
            return Ok(());
        }
        *held = Held { table: read_pins(&self.path)?, read: now };
        Ok(())
    }
}

#[derive(Default)]
struct Likeness {
    own: BTreeMap<String, BTreeSet<String>>,
    other: BTreeMap<String, String>,
}

fn names(list: &[Option<Told>]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for told in list.iter().flatten() {
        *counts.entry(told.name.as_str()).or_default() += 1;
    }
    counts
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
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}
