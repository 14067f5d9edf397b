//! Fetching an issuer's keys: from configured places only, bounded in size and time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::io::AsyncReadExt;
use url::{Host, Url};

use crate::config::ConfigError;
use crate::limits::JWKS_BYTES_MAX;

/// How keys are fetched.
#[derive(Debug, Clone)]
pub struct KeyClientOptions {
    /// Time for a connection to stand.
    pub connect_timeout: Duration,
    /// Time for one fetch altogether.
    pub timeout: Duration,
    /// Certificate authorities in PEM to trust for `https`, instead of the system's.
    pub authorities_pem: Option<Vec<u8>>,
}

impl Default for KeyClientOptions {
    fn default() -> Self {
        let (connect_timeout, timeout) = (Duration::from_secs(3), Duration::from_secs(5));
        Self { connect_timeout, timeout, authorities_pem: None }
    }
}

/// The HTTP client for keys: `https` or loopback only, no redirects, bounded bodies.
#[derive(Debug, Clone)]
pub struct KeyClient {
    remote: Result<reqwest::Client, String>,
    loopback: reqwest::Client,
}

impl KeyClient {
    /// Build the client. The process's default TLS provider is set to aws-lc-rs if none is set yet.
    ///
    /// A machine without certificate authorities is an error only once an `https` issuer is configured.
    ///
    /// # Errors
    /// [`ConfigError::Client`] when the given authorities cannot be used.
    pub fn new(options: &KeyClientOptions) -> Result<Self, ConfigError> {
        let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if installed.is_err() {
            tracing::trace!("a TLS provider was installed before; it stays");
        }
        let fail = |e: reqwest::Error| ConfigError::Client(e.to_string());
        let mut remote = Self::builder(options).https_only(true);
        if let Some(pem) = &options.authorities_pem {
            remote =
                remote.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).map_err(fail)?);
        }
        let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let loopback = Self::builder(options)
            .no_proxy()
            .resolve("localhost", here)
            .tls_certs_only(std::iter::empty());
        let remote = remote.build().map_err(|e| e.to_string());
        Ok(Self { remote, loopback: loopback.build().map_err(fail)? })
    }

    /// Whether this client can reach `url` at all.
    pub(crate) fn check(&self, url: &KeyUrl) -> Result<(), ConfigError> {
        match &self.remote {
            Err(why) if !url.plain => Err(ConfigError::Client(why.clone())),
            _ => Ok(()),
        }
    }

    fn builder(options: &KeyClientOptions) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .referer(false)
            .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
    }

    pub(crate) async fn get(&self, url: &KeyUrl) -> Result<Vec<u8>, &'static str> {
        let client = match &self.remote {
            _ if url.plain => &self.loopback,
            Ok(remote) => remote,
            Err(_) => return Err("no certificate authorities on this machine"),
        };
        let mut response = client
            .get(url.url.clone())
            .header("accept", "application/jwk-set+json, application/json")
            .send()
            .await
            .map_err(|e| if e.is_timeout() { "no answer in time" } else { "no connection" })?;
        if response.status() != reqwest::StatusCode::OK {
            return Err("the answer is not 200");
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| "the answer broke off")? {
            if body.len() + chunk.len() > JWKS_BYTES_MAX {
                return Err("the answer is too large");
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A configured URL from which keys may be fetched.
#[derive(Debug, Clone)]
pub(crate) struct KeyUrl {
    url: Url,
    plain: bool,
}

impl KeyUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "the URL of the keys is not a URL")?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("the URL of the keys has user information or a fragment");
        }
        let plain = match url.scheme() {
            "https" => false,
            "http" if is_loopback(&url) => true,
            _ => return Err("keys are fetched over https, or over http from this machine only"),
        };
        Ok(Self { url, plain })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

pub(crate) async fn read_file(path: &Path) -> Result<Vec<u8>, &'static str> {
    let file = tokio::fs::File::open(path).await.map_err(|_| "the file cannot be opened")?;
    let mut bytes = Vec::new();
    let limit = JWKS_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).await.map_err(|_| "the file cannot be read")?;
    if bytes.len() > JWKS_BYTES_MAX {
        return Err("the file is too large");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        let good = [
            "https://a.example/keys",
            "https://a.example:8443/keys?x=1",
            "http://127.0.0.1:9/keys",
            "http://[::1]:9/keys",
            "http://localhost:9/keys",
        ];
        for text in good {
            assert!(KeyUrl::parse(text).is_ok(), "{text}");
        }
        let bad = [
            "http://a.example/keys",
            "http://10.0.0.1/keys",
            "http://169.254.169.254/latest",
            "http://localhost.a.example/keys",
            "file:///etc/passwd",
            "ftp://a.example/keys",
            "https://user:secret@a.example/keys",
            "keys",
        ];
        for text in bad {
            assert!(KeyUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_second_client_finds_the_provider_installed() {
        assert!(KeyClient::new(&KeyClientOptions::default()).is_ok());
        assert!(KeyClient::new(&KeyClientOptions::default()).is_ok());
    }
}
