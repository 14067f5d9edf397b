//! The TLS side of a listener that knows its peers by their X.509-SVIDs.

use std::sync::Arc;

use bailiwick_core::UnixMillis;
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::bundle::TrustBundles;
use super::tls::SpiffeClientVerifier;
use super::{X509Peer, verify_x509_svid};

/// Why a listener's TLS cannot be set up. Never quotes a key.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// The certificate file.
    #[error("the certificate file holds no certificate in PEM")]
    Certificate,
    /// The key file.
    #[error("the key file holds no private key in PEM")]
    Key,
    /// Certificate and key do not fit, or an algorithm is not accepted.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// A server that asks clients for an X.509-SVID of `bundles` and takes them without one, too.
/// HTTP/2 and HTTP/1.1 are offered, in that order.
///
/// # Errors
/// [`ServerTlsError`] when the PEM texts do not make a server.
pub fn server_tls(
    certificate_pem: &[u8],
    key_pem: &[u8],
    bundles: TrustBundles,
) -> Result<(Arc<ServerConfig>, Arc<SpiffeClientVerifier>), ServerTlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate_pem)
        .collect::<Result<_, _>>()
        .map_err(|_| ServerTlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| ServerTlsError::Key)?;
    let verifier = Arc::new(SpiffeClientVerifier::new(bundles, false));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.clone())
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(server), verifier))
}

/// The peer of a finished handshake, if it came with a certificate.
#[must_use]
pub fn session_peer(
    session: &ServerConnection,
    verifier: &SpiffeClientVerifier,
    now: UnixMillis,
) -> Option<X509Peer> {
    verify_x509_svid(session.peer_certificates()?, &verifier.bundles(), now).ok()
}
