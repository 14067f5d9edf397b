//! One canonical form of a URL: it decides, and it is what is forwarded.
//!
//! Segments and values are decoded once and encoded once. What different servers read differently is
//! not guessed but refused: encoded slashes, backslashes, control characters, text that is not
//! UTF-8, matrix parameters, semicolons in a query.

use bailiwick_core::outcome::Outcome;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization as _;

use crate::stop::Stop;

/// Segments of a path.
const SEGMENTS_MAX: usize = 64;
/// Parameters of a query or a form.
const PAIRS_MAX: usize = 128;

/// RFC 3986 `unreserved` stays as it is; everything else is encoded.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn malformed(what: &str) -> Stop {
    Stop::new(Outcome::Malformed, what)
}

/// The decoded segments of a raw path: dot segments resolved, empty ones dropped.
///
/// # Errors
/// `malformed`.
pub(crate) fn segments(raw: &str) -> Result<Vec<String>, Stop> {
    let rest = raw.strip_prefix('/').ok_or_else(|| malformed("the path does not begin with `/`"))?;
    let mut segments: Vec<String> = Vec::new();
    for part in rest.split('/') {
        if part.contains([';', '\\']) {
            return Err(malformed("the path has a matrix parameter or a backslash"));
        }
        let text = decode(part)?;
        match text.as_str() {
            "" | "." => {}
            ".." => {
                segments.pop().ok_or_else(|| malformed("the path leads above its beginning"))?;
            }
            _ if text.contains(['/', '\\']) => {
                return Err(malformed("the path has an encoded slash or backslash"));
            }
            // A second decoding by the upstream would see another path.
            _ if decodes_again(&text) => {
                return Err(malformed("the path is percent-encoded twice"));
            }
            _ => segments.push(text),
        }
        if segments.len() > SEGMENTS_MAX {
            return Err(malformed("the path has too many segments"));
        }
    }
    Ok(segments)
}

/// The canonical path of decoded segments.
pub(crate) fn path<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, ENCODED));
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// The decoded pairs of a query or of a form's body (`+` is a space there).
///
/// # Errors
/// `malformed`.
pub(crate) fn pairs(raw: &str) -> Result<Vec<(String, String)>, Stop> {
    if raw.contains(';') {
        return Err(malformed("a semicolon separates parameters for some and not for others"));
    }
    let mut pairs = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(&name.replace('+', " "))?;
        if name.is_empty() {
            return Err(malformed("a parameter has no name"));
        }
        pairs.push((name, decode(&value.replace('+', " "))?));
        if pairs.len() > PAIRS_MAX {
            return Err(malformed("there are too many parameters"));
        }
    }
    Ok(pairs)
}

/// The canonical query or form of decoded pairs.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |text: &'a str| utf8_percent_encode(text, ENCODED);
    let pairs = pairs.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Decodes once: valid escapes, UTF-8, Unicode normal form C, nothing invisible.
fn decode(text: &str) -> Result<String, Stop> {
    let bytes = text.as_bytes();
    let whole = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let hex = bytes.get(at + 1..at + 3);
        hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if !whole {
        return Err(malformed("a percent sign is not followed by two hexadecimal digits"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| malformed("the URL holds text that is not UTF-8"))?;
    visible(&decoded)?;
    Ok(decoded.nfc().collect())
}

/// Refuses control characters and those that reorder or hide text.
pub(crate) fn visible(text: &str) -> Result<(), Stop> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if text.chars().any(hidden) {
        return Err(malformed("the URL holds a control character or an invisible one"));
    }
    Ok(())
}

fn decodes_again(text: &str) -> bool {
    percent_decode_str(text).count() != text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn canonical(raw: &str) -> Option<String> {
        segments(raw).ok().map(|segments| path(segments.iter().map(String::as_str)))
    }

    #[rstest]
    #[case("/a/b", Some("/a/b"))]
    #[case("/a//b/", Some("/a/b"))]
    #[case("/a/./b", Some("/a/b"))]
    #[case("/a/x/../b", Some("/a/b"))]
    #[case("/a/%78/%2e%2E/b", Some("/a/b"))]
    #[case("/%61/b", Some("/a/b"))]
    #[case("/a/b%20c", Some("/a/b%20c"))]
    #[case("/a/e\u{301}", Some("/a/%C3%A9"))]
    #[case("/", Some("/"))]
    #[case("/../a", None)]
    #[case("/a/%2fb", None)]
    #[case("/a/b%5cc", None)]
    #[case("/a/b%00", None)]
    #[case("/a/%252e%252e/b", None)]
    #[case("/a;x=1/b", None)]
    #[case("/a/%ff", None)]
    #[case("/a/%g1", None)]
    #[case("/a/%E2%80%AEb", None)]
    #[case("a/b", None)]
    fn a_path_has_one_form_or_none(#[case] raw: &str, #[case] form: Option<&str>) {
        assert_eq!(canonical(raw).as_deref(), form);
    }

    #[rstest]
    #[case("a=1&b=x+y", Some("a=1&b=x%20y"))]
    #[case("a=%31", Some("a=1"))]
    #[case("a", Some("a="))]
    #[case("", Some(""))]
    #[case("a=1;b=2", None)]
    #[case("=1", None)]
    #[case("a=%0d%0aSet-Cookie", None)]
    fn a_query_has_one_form_or_none(#[case] raw: &str, #[case] form: Option<&str>) {
        let made = pairs(raw).ok();
        let made = made.map(|made| query(made.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
        assert_eq!(made.as_deref(), form);
    }

    proptest! {
        #[test]
        fn a_canonical_path_is_its_own_canonical_form(raw in "/[ -~éü%/.;]{0,40}") {
            if let Some(form) = canonical(&raw) {
                prop_assert_eq!(canonical(&form), Some(form.clone()));
                // What a URL library makes of the form is the form.
                let url = url::Url::parse(&format!("http://h{form}")).unwrap();
                prop_assert_eq!(url.path(), form);
            }
        }

        #[test]
        fn a_canonical_query_is_its_own_canonical_form(raw in "[ -~é%&=+]{0,40}") {
            if let Ok(made) = pairs(&raw) {
                let form = query(made.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                prop_assert_eq!(pairs(&form).unwrap(), made);
            }
        }

        #[test]
        fn every_spelling_of_a_path_is_one_path(words in prop::collection::vec("[a-z é.~-]{1,6}", 1..5), seed: u64) {
            prop_assume!(words.iter().all(|word| word != "." && word != ".."));
            let spelled: String = words.iter().enumerate().map(|(at, word)| {
                let every = format!("/{}", word.bytes().map(|b| format!("%{b:02x}")).collect::<String>());
                let some = format!("//./x/../{}", utf8_percent_encode(word, ENCODED));
                if (seed >> at) & 1 == 0 { every } else { some }
            }).collect();
            let plain: Vec<String> = words.iter().map(|word| word.nfc().collect()).collect();
            prop_assert_eq!(segments(&spelled).unwrap(), plain);
        }
    }
}
