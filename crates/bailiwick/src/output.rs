//! Printing results: a table for people, one JSON document for programs.

use crate::cli::Format;
use crate::fault::Fault;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, Write as _};

/// A result that can be shown either way.
pub(crate) trait Render: Serialize {
    /// For people.
    fn text(&self) -> String;
}

/// Prints a result to stdout.
pub(crate) fn print<T: Render>(format: Format, value: &T) -> Result<(), Fault> {
    match format {
        Format::Table => line(value.text().trim_end_matches('\n')),
        Format::Json => json(value),
    }
}

/// Prints one JSON document to stdout.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), Fault> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Fault::local(format!("the result is not JSON: {error}")))?;
    line(&text)
}

/// Prints a line to stdout. A reader that went away is not a fault.
pub(crate) fn line(text: &str) -> Result<(), Fault> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::local(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something on stderr that is not part of the result.
#[allow(clippy::print_stderr, reason = "stderr is where remarks go")]
pub(crate) fn remark(text: &str) {
    eprintln!("bailiwick: {text}");
}

/// A table with these headings.
pub(crate) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings);
    table
}

/// A list of names and values, one a line.
pub(crate) fn facts<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs
        .iter()
        .map(|(name, value)| {
            let value = printable(value).replace('\n', &format!("\n{:width$}  ", ""));
            format!("{name:width$}  {value}\n")
        })
        .collect()
}

/// Text from elsewhere, made safe for a terminal: control and direction characters are shown as �.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && unsafe_on_terminal(c) { '\u{fffd}' } else { c }).collect()
}

fn unsafe_on_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c"), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(printable("zoë → ok"), "zoë → ok");
    }

    #[test]
    fn facts_line_up_and_leave_out_what_is_empty() {
        let text = facts([("a", "1".into()), ("long", "2".into()), ("gone", String::new())]);
        assert_eq!(text, "a     1\nlong  2\n");
    }
}
