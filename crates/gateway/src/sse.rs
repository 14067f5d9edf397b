//! Events of a `text/event-stream` reply, shown to hooks one by one while they stream.
//!
//! Where a hook has to see everything, only what every reader takes for the same event goes on: what
//! the hooks cannot read as JSON, or what some clients split elsewhere, stays away.

use bailiwick_core::jcs;
use http::StatusCode;
use serde_json::Value;

use crate::reply::{ReplyHook, Touched};

/// What may stand before the first line, and is no part of it (WHATWG).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits a stream into events and passes each event's JSON through the hooks.
pub(crate) struct EventFilter {
    hooks: Vec<Box<dyn ReplyHook>>,
    status: StatusCode,
    /// What has come of the event under way.
    pending: Vec<u8>,
    /// How far that was searched for its end.
    lines: Lines,
    /// The stream's first bytes were looked at.
    begun: bool,
    bytes_max: usize,
    strict: bool,
}

/// An event is longer than hooks look at in one piece.
#[derive(Debug, thiserror::Error)]
#[error("an event of the reply is longer than the gateway looks at")]
pub(crate) struct EventTooLong;

impl EventFilter {
    pub(crate) fn new(
        hooks: Vec<Box<dyn ReplyHook>>,
        status: StatusCode,
        bytes_max: usize,
    ) -> Self {
        let strict = hooks.iter().any(|hook| hook.must_see());
        let (pending, lines) = (Vec::new(), Lines::default());
        Self { hooks, status, pending, lines, begun: false, bytes_max, strict }
    }

    /// Takes what came and gives what may go on: whole events only.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, EventTooLong> {
        self.pending.extend_from_slice(bytes);
        let mut released = Vec::new();
        if !self.begin() {
            return Ok(released);
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut begin = 0;
        while let Some(end) = self.lines.event_end(&pending) {
            self.release(pending.get(begin..end).unwrap_or_default(), &mut released);
            begin = end;
        }
        if begin > 0 {
            pending.drain(..begin);
            self.lines.forget(begin);
        }
        self.pending = pending;
        if self.pending.len() > self.bytes_max {
            return Err(EventTooLong);
        }
        Ok(released)
    }

    /// What is left when the stream ends: an event without its blank line is no event (WHATWG), so
    /// nothing of it is released.
    #[cfg(test)]
    pub(crate) fn unfinished(&self) -> usize {
        self.pending.len()
    }

    /// Takes a byte order mark away; false while it is not known whether there is one.
    fn begin(&mut self) -> bool {
        if self.begun {
            return true;
        }
        if self.pending.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&self.pending)
        {
            return false;
        }
        if self.pending.starts_with(BYTE_ORDER_MARK) {
            self.pending.drain(..BYTE_ORDER_MARK.len());
        }
        self.begun = true;
        true
    }

    fn release(&mut self, event: &[u8], released: &mut Vec<u8>) {
        if self.strict && !is_plain(event) {
            tracing::warn!("an event that clients would read in different ways was kept back");
            return;
        }
        let Some(data) = data_of(event).filter(|data| !data.trim().is_empty()) else {
            released.extend_from_slice(event);
            return;
        };
        let Ok(mut message) = serde_json::from_str::<Value>(&data) else {
            if self.strict {
                tracing::warn!("an event that cannot be looked at was kept back");
            } else {
                released.extend_from_slice(event);
            }
            return;
        };
        let touched = match through(&mut self.hooks, self.status, &mut message) {
            // What has one reading only goes on as it came.
            Touched::No
                if self.strict && (jcs::scan_text(&data).is_err() || data.contains(breaks)) =>
            {
                Touched::Yes
            }
            touched => touched,
        };
        match touched {
            Touched::No => released.extend_from_slice(event),
            Touched::Withhold => {}
            Touched::Yes => {
                released.extend_from_slice(&other_fields(event));
                released.extend_from_slice(b"data: ");
                released.extend_from_slice(one_line(&message).as_bytes());
                released.extend_from_slice(b"\n\n");
            }
        }
    }
}

/// Shows a message to every hook in order.
pub(crate) fn through(
    hooks: &mut [Box<dyn ReplyHook>],
    status: StatusCode,
    message: &mut Value,
) -> Touched {
    let mut all = Touched::No;
    for hook in hooks {
        match hook.message(status, message) {
            Touched::No => {}
            Touched::Yes => all = Touched::Yes,
            Touched::Withhold => return Touched::Withhold,
        }
    }
    all
}

/// How far a stream was searched for the end of an event. It goes on where it was, so that a stream
/// of single bytes is read once, not once a byte.
#[derive(Debug, Default)]
struct Lines {
    at: usize,
    line_start: usize,
}

impl Lines {
    /// Where the event under way ends: behind its blank line. Lines end with LF, CRLF or CR.
    fn event_end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(byte) = bytes.get(self.at) {
            let end = match byte {
                b'\n' => self.at + 1,
                // Whether a CR ends the line alone is known with the byte after it.
                b'\r' => match bytes.get(self.at + 1) {
                    Some(b'\n') => self.at + 2,
                    Some(_) => self.at + 1,
                    None => return None,
                },
                _ => {
                    self.at += 1;
                    continue;
                }
            };
            let blank = self.at == self.line_start;
            (self.at, self.line_start) = (end, end);
            if blank {
                return Some(end);
            }
        }
        None
    }

    fn forget(&mut self, bytes: usize) {
        self.at = self.at.saturating_sub(bytes);
        self.line_start = self.line_start.saturating_sub(bytes);
    }
}

/// Whether every client finds the same fields in an event. Some split lines at more characters than
/// WHATWG has (Python's `splitlines`), so these may stand in no field but `data`, where
/// [`one_line`] writes them as escapes. Nor may a byte order mark: a client whose stream begins with
/// it, because what was before it stayed away, takes it off and finds another field.
fn is_plain(event: &[u8]) -> bool {
    let split =
        |c: char| breaks(c) || matches!(c, '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{feff}');
    std::str::from_utf8(event).is_ok()
        && lines(event).all(|line| line.starts_with("data:") || !line.contains(split))
}

/// Characters that JSON lets stand in a text as they are, and that end lines for some.
fn breaks(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A message as one line for everybody. What is escaped can only stand within texts.
fn one_line(message: &Value) -> String {
    let mut text = message.to_string();
    for (raw, escaped) in [('\u{85}', "\\u0085"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
    {
        if text.contains(raw) {
            text = text.replace(raw, escaped);
        }
    }
    text
}

fn lines(event: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(event).replace("\r\n", "\n").replace('\r', "\n");
    text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn data_of(event: &[u8]) -> Option<String> {
    let data: Vec<String> = lines(event)
        .filter_map(|line| {
            let value = line.strip_prefix("data")?;
            if value.is_empty() {
                return Some(String::new());
            }
            let value = value.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
        })
        .collect();
    (!data.is_empty()).then(|| data.join("\n"))
}

fn other_fields(event: &[u8]) -> Vec<u8> {
    let kept = lines(event)
        .filter(|line| !line.is_empty() && line != "data" && !line.starts_with("data:"));
    kept.flat_map(|line| [line.into_bytes(), b"\n".to_vec()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Filter;

    impl ReplyHook for Filter {
        fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
            if message["secret"] == true {
                return Touched::Withhold;
            }
            match message.get_mut("n") {
                Some(n) => {
                    *n = 7.into();
                    Touched::Yes
                }
                None => Touched::No,
            }
        }
    }

    fn filter() -> EventFilter {
        EventFilter::new(vec![Box::new(Filter)], StatusCode::OK, 1024)
    }

    #[test]
    fn events_pass_change_or_stay_away_whatever_the_chunks() {
        let stream = concat!(
            ": comment\n\n",
            "event: message\nid: 4\ndata: {\"n\":1}\n\n",
            "data: {\"secret\":true}\r\n\r\n",
            "id: 5\ndata: \n\n",
            "data: not json\n\n",
            "data: {\ndata: \"plain\":1}\n\n",
        );
        let expected = concat!(
            ": comment\n\n",
            "event: message\nid: 4\ndata: {\"n\":7}\n\n",
            "id: 5\ndata: \n\n",
            "data: {\ndata: \"plain\":1}\n\n",
        );
        for size in 1..stream.len() {
            let mut filter = filter();
            let out: Vec<u8> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| filter.push(chunk).unwrap())
                .collect();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "chunks of {size}");
            assert_eq!(filter.unfinished(), 0);
        }
    }

    #[test]
    fn an_event_without_its_end_is_not_released() {
        let mut filter = filter();
        assert!(filter.push(b"data: {\"n\":1}\n").unwrap().is_empty());
        assert_eq!(filter.unfinished(), 14);
    }

    #[test]
    fn an_endless_event_is_refused_and_a_long_stream_is_not() {
        let mut filter = filter();
        for _ in 0..100 {
            filter.push(b"data: {\"plain\":\"0123456789\"}\n\n").unwrap();
        }
        assert!(filter.push(&vec![b'x'; 2048]).is_err());
    }

    /// Looks on, and need not see everything.
    struct Onlooker;

    impl ReplyHook for Onlooker {
        fn must_see(&self) -> bool {
            false
        }

        fn message(&mut self, _: StatusCode, _: &mut Value) -> Touched {
            Touched::No
        }
    }

    fn passed(hook: impl ReplyHook, stream: &str) -> String {
        let mut filter = EventFilter::new(vec![Box::new(hook)], StatusCode::OK, 1024);
        String::from_utf8(filter.push(stream.as_bytes()).unwrap()).unwrap()
    }

    /// Each is an event with `"secret":true` for some client, and was none for the filter.
    #[test]
    fn no_spelling_of_an_event_goes_by_unseen() {
        for stream in [
            "\u{feff}data: {\"secret\":true}\n\n",
            "\u{feff}\u{feff}data: {\"secret\":true}\n\n",
            "data: {\"secret\":true}\n\n\u{feff}data: {\"secret\":true}\n\n",
            "data: {\"secret\":true,\"x\":1e999}\n\n",
            "data: {\"secret\":true,\"x\":\"\\ud800\"}\n\n",
            "data: {\"secret\":true,\"x\":NaN}\n\n",
            "x: \u{2028}data: {\"secret\":true}\n\n",
            ": \u{85}\u{85}data: {\"secret\":true}\u{85}\u{85}\n\n",
            "id: \u{b}data: {\"secret\":true}\n\n",
        ] {
            assert_eq!(passed(Filter, stream), "", "{stream:?}");
        }
        let deep =
            format!("data: {{\"secret\":true,\"x\":{}1{}}}\n\n", "[".repeat(200), "]".repeat(200));
        assert_eq!(passed(Filter, &deep), "");
        let twin = "\u{feff}id: 1\ndata: {\"secret\":false,\"x\":1e9}\n\n";
        assert_eq!(passed(Filter, twin), twin.trim_start_matches('\u{feff}'));
    }

    #[test]
    fn what_has_two_readings_goes_on_as_it_was_read() {
        let twice = "id: 3\ndata: {\"secret\":true,\"secret\":false}\n\n";
        assert_eq!(passed(Filter, twice), "id: 3\ndata: {\"secret\":false}\n\n");
        let split = "data: {\"text\":\"a\u{2028}\u{2028}data: {}\u{85}\"}\n\n";
        let escaped = "data: {\"text\":\"a\\u2028\\u2028data: {}\\u0085\"}\n\n";
        assert_eq!(passed(Filter, split), escaped);
    }

    #[test]
    fn an_onlooker_changes_nothing() {
        for stream in ["data: not json\n\n", "x: \u{2028}\n\n", "data: {\"a\":1,\"a\":2}\n\n"] {
            assert_eq!(passed(Onlooker, stream), stream);
        }
    }

    #[test]
    fn a_stream_of_blank_lines_or_single_bytes_is_read_once() {
        let mut filter = EventFilter::new(vec![Box::new(Filter)], StatusCode::OK, 1 << 20);
        assert_eq!(filter.push(&vec![b'\n'; 1 << 19]).unwrap().len(), 1 << 19);
        for _ in 0..1 << 19 {
            filter.push(b"x").unwrap();
        }
        assert_eq!(filter.unfinished(), 1 << 19);
    }
}
