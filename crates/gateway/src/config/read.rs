//! Reading TOML so that every fault of it is told at once, each with its line.
//!
//! A deserializer stops at the first fault. So the part that it stopped at is taken away, or what it
//! missed is put in, and it begins again. Nothing that was mended in this way is ever used.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue, Deserializer, Error};

/// Faults that are told at most.
const FAULTS_MAX: usize = 100;

/// What is wrong, and in which line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) message: String,
}

/// What the text says.
///
/// # Errors
/// Every fault that can be told.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Fault>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().take(FAULTS_MAX).map(|error| fault(text, error)).collect());
    }
    let beyond = text.len().saturating_add(1);
    let mut mending = Mending { text, document, stopgaps: Vec::new(), faults: Vec::new(), beyond };
    for _ in 0..FAULTS_MAX.saturating_mul(4) {
        match T::deserialize(Deserializer::from(mending.document.clone())) {
            Ok(read) if mending.faults.is_empty() => return Ok(read),
            Err(error) if mending.faults.len() < FAULTS_MAX && mending.mend(&error) => {}
            _ => break,
        }
    }
    let mut faults = mending.faults;
    faults.sort_by_key(|fault| fault.line);
    Err(faults)
}

/// The line of every table of an array of tables.
pub(super) fn lines_of(text: &str, name: &str) -> Vec<usize> {
    let (document, _) = DeTable::parse_recoverable(text);
    let found = document.get_ref().iter().find(|(key, _)| key.get_ref() == name);
    let tables = found.and_then(|(_, value)| value.get_ref().as_array());
    tables
        .map(|tables| tables.iter().map(|it| line(text, it.span().start)).collect())
        .unwrap_or_default()
}

fn fault(text: &str, error: &Error) -> Fault {
    let start = error.span().map_or(0, |span| span.start);
    Fault { line: line(text, start), message: error.message().trim().replace('\n', "; ") }
}

fn line(text: &str, start: usize) -> usize {
    text.get(..start).unwrap_or(text).matches('\n').count().saturating_add(1)
}

struct Mending<'t> {
    text: &'t str,
    document: Spanned<DeTable<'t>>,
    stopgaps: Vec<Stopgap>,
    faults: Vec<Fault>,
    /// The next place beyond the text.
    beyond: usize,
}

/// What was put in where something was missing. Its place is beyond the text.
struct Stopgap {
    place: Range<usize>,
    table: Range<usize>,
    key: String,
    is_table: bool,
}

impl<'t> Mending<'t> {
    /// Keeps a fault and mends it; false when that cannot be done.
    fn mend(&mut self, error: &Error) -> bool {
        let Some(span) = error.span() else {
            self.faults.push(fault(self.text, error));
            return false;
        };
        let missing = error.message().strip_prefix("missing field `");
        let missing = missing.and_then(|rest| rest.split('`').next());
        let stopgap = self.stopgaps.iter().position(|it| it.place == span);
        match (missing, stopgap) {
            (Some(key), _) => {
                if span.start <= self.text.len() {
                    self.faults.push(fault(self.text, error));
                }
                self.put(&span, key, false)
            }
            (None, Some(at)) => {
                let Stopgap { place, table, key, is_table } = self.stopgaps.swap_remove(at);
                remove(self.document.get_mut(), &place);
                // Neither text nor a table: what is around it cannot be looked into any further.
                if is_table {
                    remove(self.document.get_mut(), &table)
                } else {
                    self.put(&table, &key, true)
                }
            }
            (None, None) if span.start > self.text.len() => false,
            (None, None) => {
                self.faults.push(fault(self.text, error));
                remove(self.document.get_mut(), &span)
            }
        }
    }

    fn is_root(&self, span: &Range<usize>) -> bool {
        self.document.span() == *span
    }

    /// Puts something in where a key is missing.
    fn put(&mut self, table: &Range<usize>, key: &str, is_table: bool) -> bool {
        let place = self.beyond..self.beyond.saturating_add(1);
        self.beyond = place.end;
        let key = key.to_owned();
        let value = if is_table {
            DeValue::Table(DeTable::new())
        } else {
            DeValue::String(DeString::Borrowed(""))
        };
        let mut put = |into: &mut DeTable<'t>| {
            let key = Spanned::new(place.clone(), DeString::Owned(key.clone()));
            into.insert(key, Spanned::new(place.clone(), value.clone()));
        };
        let done = if self.is_root(table) {
            put(self.document.get_mut());
            true
        } else {
            find(self.document.get_mut(), table, &mut put)
        };
        if done {
            self.stopgaps.push(Stopgap { place, table: table.clone(), key, is_table });
        }
        done
    }
}

/// Takes away the innermost part that has this place.
fn remove(table: &mut DeTable<'_>, place: &Range<usize>) -> bool {
    if table.iter_mut().any(|(_, value)| remove_in(value.get_mut(), place)) {
        return true;
    }
    let here = table.iter().find(|(key, value)| key.span() == *place || value.span() == *place);
    let key = here.map(|(key, _)| key.get_ref().to_string());
    key.is_some_and(|key| table.remove(key.as_str()).is_some())
}

fn remove_in(value: &mut DeValue<'_>, place: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => remove(table, place),
        DeValue::Array(array) => {
            if array.iter_mut().any(|item| remove_in(item.get_mut(), place)) {
                return true;
            }
            let before = array.len();
            let items = std::mem::replace(array, DeArray::new());
            for item in items.into_iter().filter(|item| item.span() != *place) {
                array.push(item);
            }
            array.len() < before
        }
        _ => false,
    }
}

/// Does something to the innermost table that has this place.
fn find<'t>(
    table: &mut DeTable<'t>,
    place: &Range<usize>,
    act: &mut dyn FnMut(&mut DeTable<'t>),
) -> bool {
    table.iter_mut().any(|(_, value)| find_in(value, place, act))
}

fn find_in<'t>(
    value: &mut Spanned<DeValue<'t>>,
    place: &Range<usize>,
    act: &mut dyn FnMut(&mut DeTable<'t>),
) -> bool {
    let here = value.span() == *place;
    match value.get_mut() {
        DeValue::Table(table) => {
            if find(table, place, act) {
                return true;
            }
            if here {
                act(table);
            }
            here
        }
        DeValue::Array(array) => array.iter_mut().any(|item| find_in(item, place, act)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::config::Config;

    fn faults(text: &str) -> Vec<(usize, String)> {
        let read = super::read::<Config>(text);
        read.err().unwrap_or_default().into_iter().map(|it| (it.line, it.message)).collect()
    }

    const GOOD: &str = "state_dir = \"s\"\n[authority]\nissuer = \"https://a.example\"\n\
                        [identity]\nsvid_file = \"f\"\n";

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "\
state_dir = 7
lisen = \"127.0.0.1:1\"
[authority]
url = \"https://a.example\"
[identity]
svid_file = \"f\"
[limits]
body_bytes_max = \"much\"
idle_timeout = 1
[[route]]
name = \"one\"
path = \"/one\"
binding = \"carries\"
[[route.http.operation]]
method = \"GET\"
pth = \"/x\"
[[route]]
name = \"two\"
path = \"/two\"
upstream = \"http://127.0.0.1:9\"
owner = \"t\"
binding = \"loose\"
";
        let told = faults(text);
        let lines: Vec<usize> = told.iter().map(|(line, _)| *line).collect();
        for line in [1, 2, 3, 8, 9, 10, 16, 22] {
            assert!(lines.contains(&line), "line {line}: {told:#?}");
        }
        let says = |part: &str| told.iter().any(|(_, message)| message.contains(part));
        for part in [
            "`issuer`",
            "`lisen`",
            "`idle_timeout`",
            "`upstream`",
            "`owner`",
            "`pth`",
            "`scope`",
            "`loose`",
        ] {
            assert!(says(part), "{part}: {told:#?}");
        }
        assert!(!told.iter().any(|(line, _)| *line > 22), "nothing is told of what was put in");
    }

    #[rstest]
    #[case::nothing("", 2)]
    #[case::not_toml("a = = 1\nb = [\n", 1)]
    #[case::tables_that_are_none("authority = 1\nidentity = 2\n", 2)]
    #[case::routes_that_are_none("route = [1, 2]\n[authority]\nissuer = \"x\"\n[identity]\n", 1)]
    fn whatever_the_text_is_it_comes_to_an_end(#[case] text: &str, #[case] least: usize) {
        assert!(faults(text).len() >= least, "{:#?}", faults(text));
        // The benign twin.
        assert_eq!(faults(GOOD), []);
    }

    #[test]
    fn the_lines_of_routes_are_known() {
        let text = format!("{GOOD}[[route]]\nname = \"a\"\n\n[[route]]\nname = \"b\"\n");
        assert_eq!(super::lines_of(&text, "route"), [6, 9]);
    }
}
