//! Credentials that are what they are: a key in a header or the query, and a name with a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::secret::{ConnectorFault, Secret, SecretConfig};

/// RFC 3986 `unreserved` stays as it is.
pub(super) const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A key that the vendor gave.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyConfig {
    /// The header that it goes into.
    pub header: Option<String>,
    /// What stands before it in the header, such as `Bearer `.
    pub prefix: String,
    /// The query parameter that it goes into, for a vendor that takes no header: URLs are logged in
    /// more places.
    pub query: Option<String>,
    /// Where it is.
    pub secret: SecretConfig,
}

/// A name and a password.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicConfig {
    /// The name.
    pub username: String,
    /// Where the password is.
    pub password: SecretConfig,
}

/// Where a key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyPlace {
    Header { name: HeaderName, prefix: String },
    Query(String),
}

impl KeyPlace {
    pub(super) fn compile(config: &KeyConfig) -> Result<Self, String> {
        match (&config.header, &config.query) {
            (Some(name), None) => {
                let name: HeaderName = name
                    .parse()
                    .map_err(|_| format!("connector: `{name}` is no name of a header"))?;
                if [header::HOST, header::CONTENT_LENGTH, header::CONNECTION].contains(&name) {
                    return Err(format!("connector: a key does not go into `{name}`"));
                }
                if HeaderValue::from_str(&config.prefix).is_err() {
                    return Err("connector: `prefix` fits into no header".to_owned());
                }
                Ok(Self::Header { name, prefix: config.prefix.clone() })
            }
            (None, Some(name)) if !name.is_empty() && config.prefix.is_empty() => {
                Ok(Self::Query(name.clone()))
            }
            _ => {
                Err("connector: a key goes into one of `header` (with a `prefix` if need be) and \
                      `query`"
                    .to_owned())
            }
        }
    }

    /// Puts the key where the vendor looks for it, and takes away what the agent put there.
    pub(super) fn put(&self, parts: &mut Parts, key: &Secret) -> Result<(), ConnectorFault> {
        match self {
            Self::Header { name, prefix } => {
                let value = Zeroizing::new(format!("{prefix}{}", key.expose()));
                parts.headers.insert(name.clone(), sensitive(&value)?);
            }
            Self::Query(name) => parts.uri = with_parameter(&parts.uri, name, key)?,
        }
        Ok(())
    }
}

/// The value of an `Authorization` header for a name and a password (RFC 7617).
pub(super) fn basic(username: &str, password: &Secret) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// A header's value that is not shown and not indexed by HTTP/2.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, ConnectorFault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| ConnectorFault("the credential fits into no header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The URI with one parameter set; what it had under this name, however spelt, is gone.
fn with_parameter(uri: &Uri, name: &str, key: &Secret) -> Result<Uri, ConnectorFault> {
    let unusable = || ConnectorFault("the credential fits into no URL".to_owned());
    let is_ours = |part: &&str| {
        let spelt = part.split('=').next().unwrap_or_default().replace('+', " ");
        percent_decode_str(&spelt).decode_utf8_lossy().eq_ignore_ascii_case(name)
    };
    let kept = uri.query().unwrap_or_default().split('&');
    let kept: Vec<&str> = kept.filter(|part| !part.is_empty() && !is_ours(part)).collect();
    let encode = |text| utf8_percent_encode(text, ENCODED);
    let mut query = Zeroizing::new(kept.join("&"));
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&Zeroizing::new(format!("{}={}", encode(name), encode(key.expose()))));
    let path_and_query = Zeroizing::new(format!("{}?{}", uri.path(), *query));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().map_err(|_| unusable())?);
    Uri::from_parts(parts).map_err(|_| unusable())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str) -> Parts {
        let request = Request::builder().uri(uri).header("x-api-key", "agent's own");
        request.header("authorization", "agent's own").body(()).unwrap().into_parts().0
    }

    fn config(text: &str) -> Result<KeyPlace, String> {
        KeyPlace::compile(&toml::from_str(text).unwrap())
    }

    #[test]
    fn a_key_takes_the_place_of_what_the_agent_said() {
        let place = config("header = 'X-Api-Key'\nsecret = {env = 'X'}").unwrap();
        let mut parts = parts("http://vendor/x");
        place.put(&mut parts, &Secret::new("hunter2")).unwrap();
        let values: Vec<_> = parts.headers.get_all("x-api-key").iter().collect();
        assert_eq!(values, ["hunter2"]);
        assert!(values[0].is_sensitive());
        assert!(!format!("{parts:?}").contains("hunter2"));
        let place = config("header = 'Authorization'\nprefix = 'Bearer '").unwrap();
        place.put(&mut parts, &Secret::new("hunter2")).unwrap();
        assert_eq!(parts.headers["authorization"], "Bearer hunter2");
    }

    #[test]
    fn a_key_in_the_query_leaves_no_second_one() {
        let place = config("query = 'api_key'").unwrap();
        for (asked, sent) in [
            ("http://v/x", "http://v/x?api_key=a%26b"),
            ("http://v/x?q=1&api_key=mine&r=2", "http://v/x?q=1&r=2&api_key=a%26b"),
            ("http://v/x?api%5Fkey=mine&API_KEY=mine", "http://v/x?api_key=a%26b"),
        ] {
            let mut parts = parts(asked);
            place.put(&mut parts, &Secret::new("a&b")).unwrap();
            assert_eq!(parts.uri, sent);
        }
    }

    #[test]
    fn a_key_has_one_place() {
        assert!(config("").is_err());
        assert!(config("header = 'a'\nquery = 'b'").is_err());
        assert!(config("header = 'Host'").is_err());
        assert!(config("query = 'b'\nprefix = 'Bearer '").is_err());
    }

    #[test]
    fn what_fits_into_no_header_is_told_without_it() {
        let told = sensitive("hunter2\r\nX: y").unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(&*basic("svc", &Secret::new("pa:ss")), "Basic c3ZjOnBhOnNz");
    }
}
