//! SPIFFE IDs and trust domain names, by the grammar of the SPIFFE ID standard, section 2.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

const SCHEME: &str = "spiffe://";
const ID_BYTES_MAX: usize = 2048;
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Why a text is not a SPIFFE ID or not a trust domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Longer than the standard allows.
    #[error("longer than the standard allows")]
    TooLong,
    /// Does not begin with `spiffe://`.
    #[error("does not begin with spiffe://")]
    Scheme,
    /// The trust domain is empty or has a character outside `a-z 0-9 . - _`.
    #[error("bad trust domain name")]
    TrustDomain,
    /// The path is missing, has an empty or dot segment, a trailing slash or a forbidden character.
    #[error("bad path")]
    Path,
}

/// The name of a trust domain, for example `dev.bailiwick.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > TRUST_DOMAIN_BYTES_MAX {
            return Err(SpiffeIdError::TooLong);
        }
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err(SpiffeIdError::TrustDomain);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a workload: `spiffe://<trust domain>/<path>`.
///
/// An ID without a path names a trust domain, not a workload, and is refused here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// The whole ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain that vouches for it.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > ID_BYTES_MAX {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (domain, path) = rest.split_once('/').ok_or(SpiffeIdError::Path)?;
        let trust_domain = domain.parse()?;
        if !path.split('/').all(segment_is_valid) {
            return Err(SpiffeIdError::Path);
        }
        Ok(Self { text: text.into(), trust_domain })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn segment_is_valid(segment: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_strict() {
        for good in ["spiffe://a.example/agent/x", "spiffe://td/A-b_c.9", "spiffe://t_d-1/x/y/z"] {
            assert_eq!(good.parse::<SpiffeId>().unwrap().as_str(), good);
        }
        let bad = [
            ("", SpiffeIdError::Scheme),
            ("http://a.example/x", SpiffeIdError::Scheme),
            ("SPIFFE://a.example/x", SpiffeIdError::Scheme),
            ("spiffe://a.example", SpiffeIdError::Path),
            ("spiffe://a.example/", SpiffeIdError::Path),
            ("spiffe://a.example/x/", SpiffeIdError::Path),
            ("spiffe://a.example//x", SpiffeIdError::Path),
            ("spiffe://a.example/./x", SpiffeIdError::Path),
            ("spiffe://a.example/../x", SpiffeIdError::Path),
            ("spiffe://a.example/x?y", SpiffeIdError::Path),
            ("spiffe://a.example/x#y", SpiffeIdError::Path),
            ("spiffe://a.example/x%2fy", SpiffeIdError::Path),
            ("spiffe://a.example/é", SpiffeIdError::Path),
            ("spiffe:///x", SpiffeIdError::TrustDomain),
            ("spiffe://A.example/x", SpiffeIdError::TrustDomain),
            ("spiffe://u@a.example/x", SpiffeIdError::TrustDomain),
            ("spiffe://a.example:443/x", SpiffeIdError::TrustDomain),
        ];
        for (text, want) in bad {
            assert_eq!(text.parse::<SpiffeId>().unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let fits = format!("spiffe://{}/x", "a".repeat(255));
        assert!(fits.parse::<SpiffeId>().is_ok());
        let long_domain = format!("spiffe://{}/x", "a".repeat(256));
        assert_eq!(long_domain.parse::<SpiffeId>().unwrap_err(), SpiffeIdError::TooLong);
        let long_path = format!("spiffe://a/{}", "a".repeat(2048));
        assert_eq!(long_path.parse::<SpiffeId>().unwrap_err(), SpiffeIdError::TooLong);
    }
}
