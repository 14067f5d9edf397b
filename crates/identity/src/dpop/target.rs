//! Comparing `htu` with the URL of the request (RFC 9449, section 4.3, step 9).

use url::Url;

use crate::limits::URL_BYTES_MAX;

/// Whether both name the same target after the normalisation of RFC 3986, sections 6.2.2 and 6.2.3.
/// Queries and fragments do not count.
pub(super) fn same(htu: &str, url: &str) -> bool {
    if htu.len() > URL_BYTES_MAX || url.len() > URL_BYTES_MAX {
        return false;
    }
    let (htu, url) = (without_query(htu), without_query(url));
    htu == url || matches!((normalised(htu), normalised(url)), (Some(a), Some(b)) if a == b)
}

fn without_query(url: &str) -> &str {
    url.find(['?', '#']).and_then(|end| url.get(..end)).unwrap_or(url)
}

/// Scheme and host in lower case, no default port, no dot segments, `/` for an empty path; percent
/// escapes in capitals, and none for a character that needs none.
fn normalised(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let known = matches!(url.scheme(), "http" | "https");
    if !known || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let host = url.host_str()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}{}", url.scheme(), normalised_path(url.path())))
}

fn normalised_path(path: &str) -> String {
    let mut parts = path.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            Some(byte) => {
                out.push_str(&format!("%{byte:02X}"));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: &str = "https://authority.example/oauth/token";

    #[test]
    fn spellings_of_one_target_are_the_same() {
        let spellings = [
            TARGET,
            "https://authority.example/oauth/token?x=1#y",
            "https://authority.example:443/oauth/token",
            "HTTPS://Authority.Example/oauth/token",
            "https://authority.example/oauth/./x/../token",
            "https://authority.example/%6Fauth/token",
        ];
        for spelling in spellings {
            assert!(same(spelling, TARGET), "{spelling}");
        }
        assert!(same("http://127.0.0.1:8420", "http://127.0.0.1:8420/"));
        assert!(same("https://a.example/a%2fb", "https://a.example/a%2Fb"));
    }

    #[test]
    fn other_targets_are_not() {
        let others = [
            "",
            "/oauth/token",
            "http://authority.example/oauth/token",
            "https://authority.example:8443/oauth/token",
            "https://authority.example/oauth/token/",
            "https://authority.example/oauth/Token",
            "https://authority.example/oauth%2Ftoken",
            "https://authority.example.evil/oauth/token",
            "https://user@authority.example/oauth/token",
            "https://evil.example/oauth/token",
        ];
        for other in others {
            assert!(!same(other, TARGET), "{other}");
        }
        let long = format!("{TARGET}?{}", "x".repeat(2048));
        assert!(!same(&long, TARGET));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_all_are_the_same_as_themselves(text in ".{0,60}", path in "[%a-f0-9/.~é]{0,40}") {
            let _ = same(&text, TARGET);
            let url = format!("https://a.example/{path}");
            prop_assert!(same(&url, &url));
            let _ = same(&url, TARGET);
        }
    }
}
