//! Where a value stands in a JSON text that is known to parse.

use super::Step;
use std::ops::Range;

/// The place of the value that the steps lead to, or of the last one that exists on the way.
pub(super) fn find(text: &str, steps: &[Step]) -> Option<Range<usize>> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    scanner.space();
    let mut place = scanner.at..scanner.at.saturating_add(1);
    for step in steps {
        let found = match step {
            Step::Key(key) => scanner.enter_member(key),
            Step::Index(index) => scanner.enter_item(*index),
        };
        if found.is_none() {
            break;
        }
        let start = scanner.at;
        let mut end = Scanner { bytes: scanner.bytes, at: start };
        end.skip_value()?;
        // A long value is pointed at by its first character.
        let single_line = text.get(start..end.at).is_some_and(|value| !value.contains('\n'));
        place = start..if single_line { end.at } else { start.saturating_add(1) };
    }
    Some(place)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.step();
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.step())
    }

    /// Moves from an object to its member's value.
    fn enter_member(&mut self, key: &str) -> Option<()> {
        let mut ahead = Scanner { bytes: self.bytes, at: self.at };
        ahead.eat(b'{')?;
        loop {
            ahead.space();
            let start = ahead.at;
            ahead.skip_string()?;
            let name = ahead.bytes.get(start..ahead.at)?;
            let matches = serde_json::from_slice::<String>(name).is_ok_and(|name| name == key);
            ahead.eat(b':')?;
            ahead.space();
            if matches {
                self.at = ahead.at;
                return Some(());
            }
            ahead.skip_value()?;
            ahead.eat(b',')?;
        }
    }

    /// Moves from an array to one of its items.
    fn enter_item(&mut self, index: usize) -> Option<()> {
        let mut ahead = Scanner { bytes: self.bytes, at: self.at };
        ahead.eat(b'[')?;
        for _ in 0..index {
            ahead.skip_value()?;
            ahead.eat(b',')?;
        }
        ahead.space();
        if ahead.peek()? == b']' {
            return None;
        }
        self.at = ahead.at;
        Some(())
    }

    fn skip_string(&mut self) -> Option<()> {
        self.eat(b'"')?;
        loop {
            match self.peek()? {
                b'\\' => {
                    self.step();
                    self.step();
                }
                b'"' => {
                    self.step();
                    return Some(());
                }
                _ => self.step(),
            }
        }
    }

    /// Skips one value without recursion: brackets are counted, strings are skipped whole.
    fn skip_value(&mut self) -> Option<()> {
        self.space();
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(b'{' | b'[') => {
                    depth = depth.saturating_add(1);
                    self.step();
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth = depth.saturating_sub(1);
                    self.step();
                }
                Some(b',' | b'}' | b']') | None if depth == 0 => return Some(()),
                None => return None,
                Some(_) => {
                    self.step();
                    continue;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}
