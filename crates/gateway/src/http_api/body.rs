//! A JSON body: every leaf of it is some declared argument's, or the request is refused.

use bailiwick_core::outcome::Outcome;
use serde_json::{Map, Value};

use super::argument::{ArgumentConfig, shadow};
use super::read::{Seen, not_declared};
use super::{Undeclared, canonical};
use crate::stop::Stop;

/// Stands for every item of a list in a pointer.
const EVERY: &str = "*";

/// One declared argument and what is left of the way to it.
type Live<'a> = (&'a ArgumentConfig, &'a [String]);

/// Reads a body's arguments, each folded to its canonical form in place.
pub(super) struct Walk<'a, 's> {
    pub(super) undeclared: Undeclared,
    pub(super) seen: &'a mut Seen<'s>,
}

impl Walk<'_, '_> {
    /// Reads the whole body.
    pub(super) fn read(&mut self, body: &mut Value, live: &[Live<'_>]) -> Result<(), Stop> {
        self.visit(body, live, "", false)
    }

    /// Visits the value that stands at `at` (a pointer without its first slash); `whole` when an
    /// argument holds all of it already.
    fn visit(
        &mut self,
        value: &mut Value,
        live: &[Live<'_>],
        at: &str,
        whole: bool,
    ) -> Result<(), Stop> {
        for (argument, _) in live.iter().filter(|(_, rest)| rest.is_empty()) {
            argument.fold(value);
            if argument.is_list() {
                self.seen.add(argument.key(), value.clone());
            } else {
                self.seen.put(argument.key(), value.clone())?;
            }
        }
        let whole = whole || live.iter().any(|(_, rest)| rest.is_empty());
        let deeper: Vec<(&ArgumentConfig, &str, &[String])> = live
            .iter()
            .filter_map(|(argument, rest)| {
                let (first, rest) = rest.split_first()?;
                Some((*argument, first.as_str(), rest))
            })
            .collect();
        if deeper.is_empty() && (whole || !at.is_empty()) {
            return if whole { Ok(()) } else { self.undeclared(value, at) };
        }
        // In another shape than the declared one, a thing would go on under no name.
        let item = |step: &str| step == EVERY || step.bytes().all(|byte| byte.is_ascii_digit());
        let items_named = deeper.iter().any(|(_, step, _)| item(step));
        let members_named = deeper.is_empty() || deeper.iter().any(|(_, step, _)| *step != EVERY);
        match value {
            Value::Object(members) if members_named => {
                for (name, child) in members {
                    let next = towards(&deeper, |step| step == name && step != EVERY);
                    let alike = |(_, step, _): &(_, &str, _)| shadow(step) == shadow(name);
                    if next.is_empty() && deeper.iter().any(alike) {
                        return Err(not_declared(name));
                    }
                    self.child(child, &next, &join(at, name), whole)?;
                }
                Ok(())
            }
            Value::Array(items) if items_named => {
                for (argument, ..) in deeper.iter().filter(|(_, step, _)| *step == EVERY) {
                    self.seen.begin(argument.key());
                }
                for (index, child) in items.iter_mut().enumerate() {
                    let index = index.to_string();
                    let next = towards(&deeper, |step| step == EVERY || step == index);
                    self.child(child, &next, &join(at, &index), whole)?;
                }
                Ok(())
            }
            // Nothing where something was declared says nothing.
            Value::Null => Ok(()),
            _ => Err(not_declared(if at.is_empty() { "the body" } else { at })),
        }
    }

    fn child(
        &mut self,
        child: &mut Value,
        next: &[Live<'_>],
        at: &str,
        whole: bool,
    ) -> Result<(), Stop> {
        match (next.is_empty(), whole) {
            (true, true) => Ok(()),
            (true, false) => self.undeclared(child, at),
            (false, whole) => self.visit(child, next, at, whole),
        }
    }

    fn undeclared(&mut self, value: &Value, at: &str) -> Result<(), Stop> {
        match self.undeclared {
            Undeclared::Refuse => Err(not_declared(at)),
            Undeclared::Pass => {
                self.seen.require_new(at)?;
                self.seen.put(at, value.clone())
            }
        }
    }
}

fn towards<'a>(
    deeper: &[(&'a ArgumentConfig, &'a str, &'a [String])],
    fits: impl Fn(&str) -> bool,
) -> Vec<Live<'a>> {
    deeper.iter().filter(|(_, step, _)| fits(step)).map(|(it, _, rest)| (*it, *rest)).collect()
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") }
}

/// Every text and name of a document in its canonical form.
///
/// # Errors
/// `malformed` for what hides or reorders text; `duplicate_member` when two names are one.
pub(super) fn normalise(value: &mut Value) -> Result<(), Stop> {
    match value {
        Value::String(text) => {
            if !plain(text) {
                *text = canonical::written(text)?;
            }
        }
        Value::Array(items) => items.iter_mut().try_for_each(normalise)?,
        Value::Object(members) => {
            members.values_mut().try_for_each(normalise)?;
            if members.keys().all(|name| plain(name)) {
                return Ok(());
            }
            let mut named = Map::new();
            for (name, value) in std::mem::take(members) {
                let name = canonical::named(&name)?;
                if named.insert(name, value).is_some() {
                    let detail = "two members of the body have names that are one text";
                    return Err(Stop::new(Outcome::DuplicateMember, detail));
                }
            }
            *members = named;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Whether text is its own canonical form, seen at a glance.
fn plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}
