//! Paths for `under`: one text per place, and refusal of everything that could mean another.
//!
//! A value is canonicalised before it is compared: repeated and final slashes and `.` segments are
//! dropped. Refused, because a reader downstream may resolve it elsewhere: an empty path, `..`, a
//! backslash, a control character, `%` followed by two hex digits (any percent-encoding, hence also
//! double encoding), a leading `//`, a leading `~`, and a first segment with `:` (a drive or URL
//! scheme). An absolute path is never under a relative one or the reverse. Unicode is compared code
//! point by code point; no normalisation form is required or applied.

use super::NOTHING;

/// A path in canonical form: segments joined by single slashes, absolute or relative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath(String);

impl CanonicalPath {
    /// Canonicalises a path given as an argument.
    #[must_use]
    pub fn from_value(text: &str) -> Option<Self> {
        if text.is_empty() || text.starts_with("//") || text.starts_with('~') {
            return None;
        }
        if text.contains(|c: char| c == '\\' || c.is_control()) || has_percent_encoding(text) {
            return None;
        }
        let segments: Vec<&str> = text.split('/').filter(|s| !matches!(*s, "" | ".")).collect();
        if segments.contains(&"..") {
            return None;
        }
        let absolute = text.starts_with('/');
        if !absolute
            && segments.first().is_none_or(|first| first.contains(':') || first.starts_with('~'))
        {
            return None;
        }
        Some(Self(format!("{}{}", if absolute { "/" } else { "" }, segments.join("/"))))
    }

    /// Reads a path given in a constraint: already canonical, or canonical with a final segment
    /// of U+0000 that denies everything.
    #[must_use]
    pub fn from_constraint(text: &str) -> Option<Self> {
        let place = match text.strip_suffix("/\0") {
            Some("") => "/",
            Some(parent) => parent,
            None => text,
        };
        let canonical = Self::from_value(place)?;
        (canonical.0 == place).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this place is `parent` or inside it.
    #[must_use]
    pub fn lies_under(&self, parent: &CanonicalPath) -> bool {
        let Some(rest) = self.0.strip_prefix(parent.0.as_str()) else { return false };
        rest.is_empty() || rest.starts_with('/') || parent.0 == "/"
    }

    /// The path inside this one that nothing lies under.
    #[must_use]
    pub(crate) fn nothing(&self) -> Self {
        Self(format!("{}/{NOTHING}", self.0.trim_end_matches('/')))
    }

    /// Whether nothing lies under it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.0.ends_with(NOTHING)
    }
}

fn has_percent_encoding(text: &str) -> bool {
    text.as_bytes().windows(3).any(
        |window| matches!(window, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> CanonicalPath {
        CanonicalPath::from_constraint(text).unwrap()
    }

    #[test]
    fn values_are_canonicalised() {
        for (value, canonical) in [
            ("/data/x", "/data/x"),
            ("/data//x/", "/data/x"),
            ("/data/./x", "/data/x"),
            ("/", "/"),
            ("notes/./a.txt", "notes/a.txt"),
            ("/100%/x", "/100%/x"),
            ("/a/..b", "/a/..b"),
        ] {
            assert_eq!(CanonicalPath::from_value(value).unwrap().as_str(), canonical, "{value}");
        }
    }

    #[test]
    fn values_that_may_mean_another_place_are_refused() {
        for bad in [
            "",
            "..",
            "/data/../etc",
            "/data/..",
            "a\\b",
            "/a\u{0}",
            "/a\n",
            "/a\u{85}",
            "/%2e%2e/x",
            "/%252e",
            "//host/share",
            "~/x",
            "~root/x",
            "C:/x",
            "file:/x",
            "/a/%5Cb",
            ".",
            "./",
            "./~/x",
            "./C:/x",
        ] {
            assert_eq!(CanonicalPath::from_value(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn lying_under() {
        for (child, parent, under) in [
            ("/data/x", "/data", true),
            ("/data", "/data", true),
            ("/database", "/data", false),
            ("/data", "/data/x", false),
            ("/x", "/", true),
            ("x/y", "x", true),
            ("x/y", "/x", false),
            ("/x/y", "x", false),
        ] {
            assert_eq!(path(child).lies_under(&path(parent)), under, "{child} {parent}");
        }
        for bad in ["/data/", "/a//b", "data/../x", "/\0/x", "\0"] {
            assert_eq!(CanonicalPath::from_constraint(bad), None, "{bad:?}");
        }
        for place in ["/", "/data", "x"] {
            let nothing = path(place).nothing();
            assert!(nothing.is_nothing() && nothing.lies_under(&path(place)), "{place}");
            assert_eq!(path(nothing.as_str()), nothing);
        }
    }
}
