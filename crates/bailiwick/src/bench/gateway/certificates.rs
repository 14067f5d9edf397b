//! Certificates of a bench: an authority, the servers' certificate, and an agent's X.509-SVID.

use super::super::calls::agent;
use crate::fault::Fault;
use crate::secret::cannot;
use bailiwick_core::{Sha256Hash, sha256};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// The trust domain of the agents.
const TRUST_DOMAIN: &str = "dev.bailiwick.example";

/// What TLS is made with, on disk for the servers and in memory for the callers.
pub(super) struct Certificates {
    pub(super) root: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Connects with the agent's certificate.
    pub(super) connector: TlsConnector,
    /// What a token that is bound to the agent's certificate says.
    pub(super) x5t_s256: Sha256Hash,
}

impl Certificates {
    /// Makes them, P-256 all of them, and writes those of the servers to `directory`.
    pub(super) fn make(directory: &Path) -> Result<Self, Fault> {
        let root = root().map_err(fault)?;
        let server = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (certificate, key) = leaf(server, &root).map_err(fault)?;
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(|error| cannot("write", &path, &error))?;
            Ok::<_, Fault>(path)
        };
        let name = agent(1).try_into().map_err(fault)?;
        let (own, own_key) = leaf(SanType::URI(name), &root).map_err(fault)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).map_err(|error| Fault::local(error.to_string()))?;
        let own_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own_key.serialize_der()));
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own.der().clone()], own_key)
            .map_err(|error| Fault::local(error.to_string()))?;
        Ok(Self {
            root: write("root.pem", root.pem())?,
            certificate: write("server.pem", certificate.pem())?,
            key: write("server.key", key.serialize_pem())?,
            connector: TlsConnector::from(Arc::new(config)),
            x5t_s256: sha256(own.der()),
        })
    }

    /// The part of a gateway's configuration.
    pub(super) fn to_toml(&self) -> String {
        let [root, certificate, key] = [&self.root, &self.certificate, &self.key];
        format!(
            "[tls]\ncert = {certificate:?}\nkey = {key:?}\n\
             [[tls.client_trust_domains]]\nname = \"{TRUST_DOMAIN}\"\nbundle = {root:?}\n"
        )
    }

    /// The part of a configuration of nginx.
    pub(super) fn to_nginx(&self) -> String {
        let [root, certificate, key] = [&self.root, &self.certificate, &self.key];
        format!(
            "ssl_certificate {certificate:?}; ssl_certificate_key {key:?}; \
             ssl_client_certificate {root:?}; ssl_verify_client on; ssl_protocols TLSv1.3;"
        )
    }
}

type Root = CertifiedIssuer<'static, KeyPair>;

fn root() -> Result<Root, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn leaf(name: SanType, root: &Root) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![name];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, root)?, key))
}

fn fault(error: rcgen::Error) -> Fault {
    Fault::local(format!("a certificate: {error}"))
}
