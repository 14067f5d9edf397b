//! The connections to what stands behind the gateway, and whom they trust.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bailiwick_identity::private_files;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

use crate::stream::Body;

/// How long an idle connection to an upstream is kept: shorter than common servers keep theirs, so that a
/// call does not meet one that is just being closed.
const IDLE_CONNECTION: std::time::Duration = std::time::Duration::from_secs(4);
/// Idle connections kept for each upstream.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// Causes of an error that are logged.
const CAUSES_MAX: usize = 8;
/// Bytes of a file with certificates.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The client that talks to upstreams.
pub(crate) type UpstreamClient = Client<HttpsConnector<HttpConnector>, Body>;

/// Whom a route's upstream is, where the public roots do not say, and who the gateway is to it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTlsConfig {
    /// PEM file with the roots that are trusted in place of the public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the gateway's certificate to this upstream, leaf first.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with its key; readable for the gateway's user only.
    pub client_key_file: Option<PathBuf>,
}

impl UpstreamTlsConfig {
    /// Makes the paths of files absolute.
    pub(crate) fn resolve(&mut self, base: &Path) {
        let files =
            [&mut self.ca_file, &mut self.client_certificate_file, &mut self.client_key_file];
        for path in files.into_iter().flatten().filter(|path| path.is_relative()) {
            *path = base.join(&path);
        }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which, and what to do.
    fn client(&self) -> Result<ClientConfig, Vec<String>> {
        let mut faults = Vec::new();
        let roots = self.roots().map_err(|fault| faults.push(fault));
        let identity = match (&self.client_certificate_file, &self.client_key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                identity(certificate, key).map(Some).map_err(|fault| faults.push(fault))
            }
            _ => {
                faults.push(
                    "`upstream_tls` takes `client_certificate_file` and `client_key_file` together"
                        .to_owned(),
                );
                Err(())
            }
        };
        let (Ok(roots), Ok(identity)) = (roots, identity) else { return Err(faults) };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let made = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| match roots {
                Some(roots) => builder.with_root_certificates(roots),
                None => builder.with_webpki_roots(),
            })
            .and_then(|builder| match identity {
                None => Ok(builder.with_no_client_auth()),
                Some((chain, key)) => builder.with_client_auth_cert(chain, key),
            });
        made.map_err(|error| {
            vec![format!(
                "`upstream_tls`: the client certificate and its key do not go together: {error}"
            )]
        })
    }

    /// The roots that are trusted; none for the public ones.
    fn roots(&self) -> Result<Option<RootCertStore>, String> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, "ca_file")? {
            roots.add(certificate).map_err(|error| {
                format!("`upstream_tls.ca_file` {}: no usable root: {error}", path.display())
            })?;
        }
        Ok(Some(roots))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let chain = certificates(certificate, "client_certificate_file")?;
    let named = |what: &dyn std::fmt::Display| {
        format!("`upstream_tls.client_key_file` {}: {what}", key.display())
    };
    let bytes = private_files::read(key)
        .map_err(|error| named(&error))?
        .ok_or_else(|| named(&"there is no such file"))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| named(&"it holds no private key in PEM form"))?;
    Ok((chain, key))
}

fn certificates(path: &Path, member: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |what: &dyn std::fmt::Display| {
        format!("`upstream_tls.{member}` {}: {what}", path.display())
    };
    let length = std::fs::metadata(path).map_err(|error| named(&error))?.len();
    if length > PEM_BYTES_MAX {
        return Err(named(&"it is too large to hold certificates"));
    }
    let pem = std::fs::read(path).map_err(|error| named(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(named(&"it holds no certificates in PEM form")),
    }
}

/// The ways to an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    /// HTTP/1.1 or HTTP/2.
    any: UpstreamClient,
    /// HTTP/1.1 only: a tunnel takes its connection away.
    tunnels: UpstreamClient,
}

impl Upstreams {
    /// Those that trust the public roots.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn public() -> Result<Self, Vec<String>> {
        Self::of(&UpstreamTlsConfig::default())
    }

    /// Those of a route that says whom it trusts.
    ///
    /// # Errors
    /// What is wrong with which file, and what to do.
    pub(crate) fn of(config: &UpstreamTlsConfig) -> Result<Self, Vec<String>> {
        let tls = config.client()?;
        let builder = || HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        Ok(Self {
            any: client(builder().enable_all_versions().wrap_connector(plain())),
            tunnels: client(builder().enable_http1().wrap_connector(plain())),
        })
    }

    /// The client for a request; one for a tunnel has a connection of its own.
    pub(crate) fn client(&self, tunnel: bool) -> &UpstreamClient {
        if tunnel { &self.tunnels } else { &self.any }
    }
}

fn plain() -> HttpConnector {
    let mut plain = HttpConnector::new();
    // A body that is written after its head must not wait for the upstream's delayed acknowledgement.
    plain.set_nodelay(true);
    plain.enforce_http(false);
    plain
}

fn client(connector: HttpsConnector<HttpConnector>) -> UpstreamClient {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(connector)
}

/// Why an upstream cannot be reached, and where it is known, what to do.
pub(crate) fn why(error: &(dyn StdError + 'static)) -> &'static str {
    match of_tls(error) {
        None => "the upstream cannot be reached",
        Some(rustls::Error::InvalidCertificate(fault)) => match fault {
            // Another root of the same name shows as a signature that does not fit.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the upstream's certificate comes from no root that this route trusts; for a private \
                 CA give `ca_file` in [route.upstream_tls]"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the upstream's certificate is for another name; `upstream` has to name the host as \
                 the certificate does"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the upstream's certificate has expired; its owner has to renew it"
            }
            _ => "the upstream's certificate is not valid; the gateway's log says why",
        },
        Some(rustls::Error::AlertReceived(alert)) if about_client(*alert) => {
            "the upstream does not take the gateway's client certificate, or misses one: see \
             `client_certificate_file` in [route.upstream_tls]"
        }
        Some(_) => "no TLS connection to the upstream can be made; the gateway's log says why",
    }
}

/// What an error comes from, for the log.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn StdError| (*cause).source());
    causes.take(CAUSES_MAX).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn about_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// The fault of TLS among the causes of an error.
fn of_tls<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // What an I/O error wraps is not its `source`, but itself.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(inner) => of_tls(inner),
        None => of_tls(error.source()?),
    }
}
