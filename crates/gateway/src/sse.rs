//! Events of a `text/event-stream` reply, shown to hooks one by one while they stream.

use http::StatusCode;
use serde_json::Value;

use crate::reply::{ReplyHook, Touched};

/// Splits a stream into events and passes each event's JSON through the hooks.
pub(crate) struct EventFilter {
    hooks: Vec<Box<dyn ReplyHook>>,
    status: StatusCode,
    /// What has come of the event under way.
    pending: Vec<u8>,
    bytes_max: usize,
}

/// An event is longer than hooks look at in one piece.
#[derive(Debug, thiserror::Error)]
#[error("an event of the reply is longer than the gateway looks at")]
pub(crate) struct EventTooLong;

impl EventFilter {
    pub(crate) fn new(hooks: Vec<Box<dyn ReplyHook>>, status: StatusCode, bytes_max: usize) -> Self {
        Self { hooks, status, pending: Vec::new(), bytes_max }
    }

    /// Takes what came and gives what may go on: whole events only.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, EventTooLong> {
        self.pending.extend_from_slice(bytes);
        let mut released = Vec::new();
        while let Some(end) = event_end(&self.pending) {
            let rest = self.pending.split_off(end);
            let event = std::mem::replace(&mut self.pending, rest);
            self.release(&event, &mut released);
        }
        if self.pending.len() > self.bytes_max {
            return Err(EventTooLong);
        }
        Ok(released)
    }

    /// What is left when the stream ends: an event without its blank line is no event (WHATWG), so
    /// nothing of it is released.
    pub(crate) fn unfinished(&self) -> usize {
        self.pending.len()
    }

    fn release(&mut self, event: &[u8], released: &mut Vec<u8>) {
        let Some(data) = data_of(event) else {
            released.extend_from_slice(event);
            return;
        };
        let Ok(mut message) = serde_json::from_str::<Value>(&data) else {
            released.extend_from_slice(event);
            return;
        };
        match through(&mut self.hooks, self.status, &mut message) {
            Touched::No => released.extend_from_slice(event),
            Touched::Withhold => {}
            Touched::Yes => {
                released.extend_from_slice(&other_fields(event));
                released.extend_from_slice(b"data: ");
                released.extend_from_slice(message.to_string().as_bytes());
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

/// Where the first event ends: behind its blank line. Lines end with LF, CRLF or CR.
fn event_end(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'\n' => at + 1,
            // Whether a CR ends the line alone is known with the byte after it.
            b'\r' => match bytes.get(at + 1) {
                Some(b'\n') => at + 2,
                Some(_) => at + 1,
                None => return None,
            },
            _ => {
                at += 1;
                continue;
            }
        };
        if at == line_start {
            return Some(end);
        }
        line_start = end;
        at = end;
    }
    None
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
    let kept = lines(event).filter(|line| {
        !line.is_empty() && line != "data" && !line.starts_with("data:")
    });
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
            "data: not json\n\n",
            "data: {\ndata: \"plain\":1}\n\n",
        );
        let expected = concat!(
            ": comment\n\n",
            "event: message\nid: 4\ndata: {\"n\":7}\n\n",
            "data: not json\n\n",
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
}
