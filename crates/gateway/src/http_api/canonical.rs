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
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn malformed(what: &str) -> Stop {
    Stop::new(Outcome::Malformed, what)
}

/// The decoded segments of a raw path: dot segments resolved, empty ones dropped. A segment may hold
/// a slash that was encoded; whether one may stand there is for its parameter to say.
///
/// # Errors
/// `malformed`.
pub(crate) fn segments(raw: &str) -> Result<Vec<String>, Stop> {
    let rest =
        raw.strip_prefix('/').ok_or_else(|| malformed("the path does not begin with `/`"))?;
    let mut segments: Vec<String> = Vec::new();
    for part in rest.split('/') {
        if part.contains([';', '\\']) {
            return Err(malformed("the path has a matrix parameter or a backslash"));
        }
        let text = decode(part, Breaks::Refused)?;
        match text.as_str() {
            "." => {}
            ".." => match segments.pop() {
                None => return Err(malformed("the path leads above its beginning")),
                // `/a//..` is `/a` to those who keep empty segments and `/` to those who do not.
                Some(left) if left.is_empty() => {
                    return Err(malformed("the path goes up from an empty segment"));
                }
                Some(_) => {}
            },
            _ if text.contains(['\\', ';']) => {
                return Err(malformed("the path has an encoded backslash or semicolon"));
            }
            // A second decoding by the upstream would see another path.
            _ if decodes_again(&text) => {
                return Err(malformed("the path is percent-encoded twice"));
            }
            _ if text.contains('/') && dotted(&text) => {
                return Err(malformed("the path has dot segments between encoded slashes"));
            }
            _ => segments.push(text),
        }
        if segments.len() > SEGMENTS_MAX {
            return Err(malformed("the path has too many segments"));
        }
    }
    segments.retain(|segment| !segment.is_empty());
    Ok(segments)
}

/// Whether text with slashes would lead somewhere else, should anybody resolve it.
fn dotted(text: &str) -> bool {
    text.split('/').any(|part| matches!(part, "" | "." | ".."))
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
pub(crate) fn pairs(raw: &str, breaks: Breaks) -> Result<Vec<(String, String)>, Stop> {
    if raw.contains(';') {
        return Err(malformed("a semicolon separates parameters for some and not for others"));
    }
    let mut pairs = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(&name.replace('+', " "), Breaks::Refused)?;
        if name.is_empty() {
            return Err(malformed("a parameter has no name"));
        }
        pairs.push((name, decode(&value.replace('+', " "), breaks)?));
        if pairs.len() > PAIRS_MAX {
            return Err(malformed("there are too many parameters"));
        }
    }
    Ok(pairs)
}

/// The canonical query or form of decoded pairs.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |text: &'a str| utf8_percent_encode(text, ENCODED);
    let pairs =
        pairs.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether two texts of a form say the same, byte for byte, once decoded.
pub(crate) fn same_pairs(a: &str, b: &str) -> bool {
    let decoded = |text: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
        let bytes = |part: &str| percent_decode_str(&part.replace('+', " ")).collect();
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
        pairs.map(|(name, value)| (bytes(name), bytes(value))).collect()
    };
    decoded(a) == decoded(b)
}

/// Whether text may have line breaks and tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaks {
    /// No: it is part of a URL.
    Refused,
    /// Yes: somebody wrote it in a form or a document.
    Allowed,
}

/// Decodes once: valid escapes, UTF-8, Unicode normal form C, nothing invisible.
fn decode(text: &str, breaks: Breaks) -> Result<String, Stop> {
    let bytes = text.as_bytes();
    let whole = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let hex = bytes.get(at + 1..at + 3);
        hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if !whole {
        return Err(malformed("a percent sign is not followed by two hexadecimal digits"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| malformed("the request holds text that is not UTF-8"))?;
    match breaks {
        Breaks::Refused => named(&decoded),
        Breaks::Allowed => written(&decoded),
    }
}

/// What names something, in Unicode normal form C. Control characters, and those that reorder or hide
/// text, are refused.
///
/// # Errors
/// `malformed`.
pub(crate) fn named(text: &str) -> Result<String, Stop> {
    let hidden = |c: char| {
        c.is_control()
            || reorders(c)
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}')
    };
    if text.chars().any(hidden) {
        return Err(malformed("the request holds a control character or an invisible one"));
    }
    Ok(text.nfc().collect())
}

/// What somebody wrote, in Unicode normal form C: it may have lines, and joiners that scripts and
/// emoji need, but nothing that ends or reorders text.
///
/// # Errors
/// `malformed`.
pub(crate) fn written(text: &str) -> Result<String, Stop> {
    let hidden = |c: char| (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || reorders(c);
    if text.chars().any(hidden) {
        return Err(malformed("the request holds a control character or one that reorders text"));
    }
    Ok(text.nfc().collect())
}

fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2065}'..='\u{2069}' | '\u{feff}')
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
    #[case("/a/x%2fb", Some("/a/x%2Fb"))]
    #[case("/a/%2fb", None)]
    #[case("/a/x%2f..%2fb", None)]
    #[case("/a//../b", None)]
    #[case("/a/b%3Bc", None)]
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
        let made = pairs(raw, Breaks::Refused).ok();
        let made = made.map(|made| query(made.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
        assert_eq!(made.as_deref(), form);
    }

    proptest! {
        /// What a URL library makes of a path that is served leads to the same place, and the
        /// canonical form is its own canonical form, for us and for the library.
        #[test]
        fn a_url_library_agrees_about_every_path_that_is_served(raw in "/[a. ~éü%2EeF5cC/;\\\\]{0,24}") {
            if let Some(form) = canonical(&raw) {
                prop_assert_eq!(canonical(&form), Some(form.clone()));
                let theirs = url::Url::parse(&format!("http://h{raw}?")).unwrap();
                prop_assert_eq!(canonical(theirs.path()), Some(form.clone()));
                let url = url::Url::parse(&format!("http://h{form}")).unwrap();
                prop_assert_eq!(url.path(), form);
            }
        }

        #[test]
        fn a_canonical_path_is_its_own_canonical_form(raw in "/[ -~éü%/.;]{0,40}") {
            if let Some(form) = canonical(&raw) {
                prop_assert_eq!(canonical(&form), Some(form.clone()));
            }
        }

        #[test]
        fn a_url_library_agrees_about_every_query_that_is_served(raw in "[ -~é%&=+]{0,40}") {
            if let Ok(made) = pairs(&raw, Breaks::Refused) {
                let form = query(made.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                prop_assert_eq!(pairs(&form, Breaks::Refused).unwrap(), made.clone());
                prop_assert!(same_pairs(&form, &form));
                let nfc = |text: &str| text.nfc().collect::<String>();
                let theirs: Vec<_> = url::form_urlencoded::parse(raw.as_bytes())
                    .map(|(name, value)| (nfc(&name), nfc(&value)))
                    .collect();
                prop_assert_eq!(theirs, made);
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

    #[test]
    fn a_form_says_the_same_however_it_is_encoded() {
        assert!(same_pairs("a=b+c&d", "a=b%20c&d="));
        assert!(!same_pairs("a=b", "a=B"));
        assert!(!same_pairs("a=1&b=2", "b=2&a=1"), "order is part of what a form says");
        assert!(!same_pairs("a=e%CC%81", "a=%C3%A9"), "another normal form is another text");
    }

    #[test]
    fn written_text_may_have_lines_and_names_may_not() {
        assert!(written("a\nb\tc \u{1f468}\u{200d}\u{1f469}").is_ok());
        assert!(named("a\nb").is_err() && named("a\u{200d}b").is_err() && named("ab").is_ok());
        for hidden in ["a\0b", "a\u{202e}b", "a\u{feff}", "a\u{85}b", "a\u{7f}"] {
            assert!(written(hidden).is_err() && named(hidden).is_err(), "{hidden:?}");
        }
    }
}
