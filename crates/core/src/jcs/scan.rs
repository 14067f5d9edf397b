//! One pass over a JSON text: syntax, duplicates, number range and canonical form.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::write::es_number;
use super::{Form, JcsError, SAFE_INTEGER_MAX};
use crate::limits::JSON_DEPTH_MAX;

pub(super) fn scan(text: &str) -> Result<Form, JcsError> {
    let bytes = text.as_bytes();
    let names = Vec::with_capacity(32);
    let ascii = text.is_ascii();
    let mut scanner = Scanner { text, bytes, plain: ascii, at: 0, canonical: true, names };
    scanner.space();
    scanner.value(0)?;
    scanner.space();
    if scanner.at != bytes.len() {
        return Err(JcsError::Malformed);
    }
    Ok(if scanner.canonical { Form::Canonical } else { Form::Other })
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Whether the text is ASCII and no string so far has an escape: names order by their bytes.
    plain: bool,
    at: usize,
    canonical: bool,
    /// Member names of the objects being read, innermost last.
    names: Vec<Text>,
}

/// A string between its quotes.
#[derive(Clone, Copy)]
struct Text {
    start: usize,
    end: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.canonical = false;
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let found = rest.starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<(), JcsError> {
        if depth > JSON_DEPTH_MAX {
            return Err(JcsError::Malformed);
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.word("true") || self.word("false") || self.word("null") => Ok(()),
            _ if self.word("NaN") || self.word("Infinity") => Err(JcsError::NonFinite),
            _ => Err(JcsError::Malformed),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JcsError> {
        self.at += 1;
        self.space();
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(JcsError::Malformed);
            }
            self.space();
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JcsError> {
        self.at += 1;
        let first = self.names.len();
        let mut ascending = true;
        let mut previous: Option<Text> = None;
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(JcsError::Malformed);
            }
            let name = self.string()?;
            if let Some(previous) = previous.replace(name) {
                ascending &= self.order(previous, name) == Ordering::Less;
            }
            self.names.push(name);
            self.space();
            if !self.eat(b':') {
                return Err(JcsError::Malformed);
            }
            self.space();
            self.value(depth + 1)?;
            self.space();
            if self.eat(b'}') {
                break;
            }
            if !self.eat(b',') {
                return Err(JcsError::Malformed);
            }
            self.space();
        }
        if !ascending {
            self.unordered(first)?;
        }
        self.names.truncate(first);
        Ok(())
    }

    /// Names that do not ascend strictly: either one repeats, or they are merely out of order.
    fn unordered(&mut self, first: usize) -> Result<(), JcsError> {
        let names = self.names.get(first..).unwrap_or_default();
        let mut texts: Vec<Cow<'_, str>> = names.iter().map(|n| self.decode(*n)).collect();
        texts.sort_unstable();
        if texts.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(JcsError::DuplicateMember);
        }
        self.canonical = false;
        Ok(())
    }

    fn order(&self, a: Text, b: Text) -> Ordering {
        if self.plain {
            let raw = |text: Text| self.bytes.get(text.start..text.end).unwrap_or_default();
            return raw(a).cmp(raw(b));
        }
        self.decode(a).encode_utf16().cmp(self.decode(b).encode_utf16())
    }

    fn raw(&self, text: Text) -> &str {
        self.text.get(text.start..text.end).unwrap_or_default()
    }

    fn decode(&self, text: Text) -> Cow<'_, str> {
        let raw = self.raw(text);
        if !raw.contains('\\') {
            return Cow::Borrowed(raw);
        }
        let quoted = self.text.get(text.start.saturating_sub(1)..text.end + 1).unwrap_or_default();
        Cow::Owned(serde_json::from_str(quoted).unwrap_or_default())
    }

    fn string(&mut self) -> Result<Text, JcsError> {
        self.at += 1;
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at += plain_length(rest);
            match self.peek() {
                Some(b'"') => {
                    let text = Text { start, end: self.at };
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.plain = false;
                    self.escape()?;
                }
                _ => return Err(JcsError::Malformed),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JcsError> {
        self.at += 1;
        let byte = self.peek();
        self.at += 1;
        match byte {
            Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'/') => {
                self.canonical = false;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => Err(JcsError::Malformed),
        }
    }

    /// `\uXXXX`: canonical only for a control without a short form, in lower case.
    fn unicode_escape(&mut self) -> Result<(), JcsError> {
        let (unit, lower) = self.hex4()?;
        let short = matches!(unit, 0x08 | 0x09 | 0x0a | 0x0c | 0x0d);
        self.canonical &= unit < 0x20 && !short && lower;
        match unit {
            0xD800..=0xDBFF => {
                let low = self.eat(b'\\') && self.eat(b'u');
                match low.then(|| self.hex4()).transpose()? {
                    Some((0xDC00..=0xDFFF, _)) => Ok(()),
                    _ => Err(JcsError::Malformed),
                }
            }
            0xDC00..=0xDFFF => Err(JcsError::Malformed),
            _ => Ok(()),
        }
    }

    fn hex4(&mut self) -> Result<(u32, bool), JcsError> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(JcsError::Malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(JcsError::Malformed);
        }
        self.at += 4;
        let unit = u32::from_str_radix(digits, 16).map_err(|_| JcsError::Malformed)?;
        Ok((unit, !digits.bytes().any(|b| b.is_ascii_uppercase())))
    }

    fn number(&mut self) -> Result<(), JcsError> {
        let start = self.at;
        let negative = self.eat(b'-');
        if negative && self.word("Infinity") {
            return Err(JcsError::NonFinite);
        }
        let zero = self.peek() == Some(b'0');
        let digits = self.digits()?;
        if zero && digits > 1 {
            return Err(JcsError::Malformed);
        }
        let mut integer = true;
        if self.eat(b'.') {
            integer = false;
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            integer = false;
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        if integer && digits <= 15 {
            // Exact, in range and written one way only, except for a negative zero.
            self.canonical &= !(zero && negative);
            return Ok(());
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let float: f64 = text.parse().map_err(|_| JcsError::Malformed)?;
        if !float.is_finite() {
            return Err(JcsError::NonFinite);
        }
        if float.abs() > SAFE_INTEGER_MAX {
            return Err(JcsError::Malformed);
        }
        self.canonical &= es_number(float)? == text;
        Ok(())
    }

    fn digits(&mut self) -> Result<usize, JcsError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(JcsError::Malformed) } else { Ok(count) }
    }
}

/// How many bytes in front need no escape: eight at a time, then one by one.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is below `n`, which is at most 0x80 (exact up to the first).
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGH;
    let mut length = 0;
    for chunk in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * u64::from(b'"'));
        let slash = word ^ (ONES * u64::from(b'\\'));
        let special = below(word, 0x20) | below(quote, 1) | below(slash, 1);
        if special != 0 {
            return length + (special.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().take_while(|b| **b >= 0x20 && **b != b'"' && **b != b'\\').count()
}
