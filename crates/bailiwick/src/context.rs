//! What every command has: the output format, the server, and whose credential to use.

use crate::cli::{Format, Global};
use crate::credentials;
use crate::fault::Fault;
use crate::output::remark;
use bailiwick_api::Client;
use bailiwick_api::oauth::ServerMetadata;
use std::path::PathBuf;
use url::{Host, Url};

/// The options of every verb, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) format: Format,
    server: Url,
    token_file: Option<PathBuf>,
}

/// A server that has said who it is.
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) metadata: ServerMetadata,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { format: global.output, server: global.server, token_file: global.token_file }
    }

    /// The same, for another server.
    pub(crate) fn at(&self, server: Url) -> Self {
        Self { server, ..self.clone() }
    }

    pub(crate) fn server_url(&self) -> &Url {
        &self.server
    }

    /// A client that sends no credential.
    pub(crate) fn anonymous(&self) -> Result<Client, Fault> {
        Ok(Client::new(self.server.clone())?)
    }

    /// Reads the server's metadata and makes proofs for the URL that it calls itself by.
    pub(crate) async fn discover(&self) -> Result<Server, Fault> {
        let client = self.anonymous()?;
        let metadata = client.metadata().await?;
        let issuer: Url = metadata
            .issuer
            .parse()
            .map_err(|_| Fault::remote("the server's metadata has no issuer URL"))?;
        // A server must not make us sign proofs, or ask for tokens, that are good at another one.
        if !same_place(&issuer, &self.server) && !is_loopback(&self.server) {
            return Err(Fault::remote(format!(
                "the server at {} says that it is {issuer}",
                self.server
            ))
            .with_help(format!("If that is who you mean, use --server {issuer}")));
        }
        Ok(Server { client: client.with_issuer(issuer), metadata })
    }

    /// A client that acts as an operator.
    pub(crate) async fn operator(&self) -> Result<Client, Fault> {
        let server = self.discover().await?;
        let token = match &self.token_file {
            Some(path) => crate::secret::read_token(path)?,
            None if server.metadata.bailiwick_dev => {
                remark(
                    "development server: acting as operator@dev.example, by a token of its own \
                     dev issuer",
                );
                credentials::dev_operator(&server).await?
            }
            None => {
                return Err(Fault::local("this needs an operator's token").with_help(
                    "Give a file with your OIDC token: --token-file FILE or BAILIWICK_TOKEN_FILE.",
                ));
            }
        };
        Ok(server.client.with_bearer_token(token))
    }
}

fn same_place(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin() && a.path().trim_end_matches('/') == b.path().trim_end_matches('/')
}

/// Whether a URL names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_origin_and_path() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        assert!(same_place(&url("https://a.example/"), &url("https://a.example:443")));
        assert!(!same_place(&url("https://a.example/x"), &url("https://a.example")));
        assert!(!same_place(&url("https://a.example"), &url("http://a.example")));
        assert!(is_loopback(&url("http://127.0.0.1:8420")) && is_loopback(&url("http://[::1]:1")));
        assert!(!is_loopback(&url("http://127.0.0.1.example:8420")));
    }
}
