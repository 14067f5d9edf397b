//! Reading a type from its text without an intermediate allocation, and judging text cheaply.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// Deserializes a type from its text form.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}

/// Whether every byte is a visible ASCII character; without branches, so that it is fast.
pub(crate) fn is_visible_ascii(text: &str) -> bool {
    text.bytes().fold(true, |all, byte| all & (byte.wrapping_sub(0x21) < 0x5e))
}

/// Whether a text has no white space, control or invisible character.
pub(crate) fn is_printable_word(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    is_visible_ascii(text) || !text.chars().any(bad)
}

/// Characters that change how a text looks without being seen: joiners, marks, bidi controls, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}
