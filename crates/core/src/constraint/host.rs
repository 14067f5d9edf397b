//! Hosts for `host`: exact names, and URLs that every parser reads alike.
//!
//! An entry is a lower-case ASCII host name, with `:port` when the port is not 443. A value is a
//! URL `https://host[:port]` followed by nothing, `/`, `?` or `#`. Refused: another scheme, user
//! information, an empty host, a final dot, percent-encoding or non-ASCII in the authority, and
//! white space, a control character or a backslash anywhere (URL parsers disagree about these).
//! IP literals in brackets are refused; dotted IPv4 compares as text. Names are not resolved.

/// Whether `text` may stand in a `host` constraint.
#[must_use]
pub fn is_entry(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    is_name(name) && port.is_none_or(|port| is_port(port) && port != "443")
}

/// The entry that a URL's host and port are, if the URL is acceptable at all.
#[must_use]
pub fn entry_of(url: &str) -> Option<String> {
    if url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return None;
    }
    let (scheme, rest) = url.split_at_checked("https://".len())?;
    if !scheme.eq_ignore_ascii_case("https://") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let entry = authority.strip_suffix(":443").unwrap_or(&authority);
    is_entry(entry).then(|| entry.to_owned())
}

fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn is_port(port: &str) -> bool {
    !port.starts_with('0')
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_every_parser_reads_alike() {
        for (url, entry) in [
            ("https://api.example", "api.example"),
            ("https://API.example/x", "api.example"),
            ("HTTPS://api.example?x=@y", "api.example"),
            ("https://api.example:443/#f", "api.example"),
            ("https://api.example:8443/", "api.example:8443"),
            ("https://10.0.0.1/", "10.0.0.1"),
        ] {
            assert_eq!(entry_of(url).as_deref(), Some(entry), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for bad in [
            "",
            "http://api.example",
            "https:/api.example",
            "https:///x",
            "https://",
            "https://user@api.example",
            "https://api.example@evil.example",
            "https://api.example\\@evil.example",
            "https://api.example.",
            "https://api.exa%6dple",
            "https://аpi.example",
            "https://api.example:",
            "https://api.example:0",
            "https://api.example:0443",
            "https://api.example:99999",
            "https://[::1]/",
            "https://api.example/\n",
            " https://api.example",
            "https://api.exam\tple",
            "javascript:alert(1)",
            "https://-a.example",
            "https://a..example",
            "https://a_b.example",
            "//api.example",
        ] {
            assert_eq!(entry_of(bad), None, "{bad:?}");
        }
        for bad in [
            "",
            "API.example",
            "api.example:443",
            "api.example:",
            "a b",
            "*.example",
            "api.example/",
        ] {
            assert!(!is_entry(bad), "{bad:?}");
        }
        assert!(is_entry("api.example") && is_entry("localhost:8443"));
    }
}
