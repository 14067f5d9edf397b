//! The TLS server's side of mutual TLS with SPIFFE identities.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bailiwick_core::UnixMillis;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::bundle::TrustBundles;
use super::verify_x509_svid;
use crate::error::IdentityError;

/// Lets a TLS handshake finish only with clients whose X.509-SVID validates. The bundles can be replaced
/// while the server runs; connections that stand are not cut.
#[derive(Debug)]
pub struct SpiffeClientVerifier {
    bundles: ArcSwap<TrustBundles>,
    algorithms: WebPkiSupportedAlgorithms,
    mandatory: bool,
}

impl SpiffeClientVerifier {
    /// A verifier over these bundles. When not `mandatory`, a client may come without a certificate; one
    /// that presents a certificate always has it validated.
    #[must_use]
    pub fn new(bundles: TrustBundles, mandatory: bool) -> Self {
        let algorithms =
            rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { bundles: ArcSwap::from_pointee(bundles), algorithms, mandatory }
    }

    /// Use these bundles from now on.
    pub fn replace(&self, bundles: TrustBundles) {
        self.bundles.store(Arc::new(bundles));
    }

    /// The bundles in use, to make an [`X509Peer`](crate::X509Peer) from the chain of a finished
    /// handshake.
    #[must_use]
    pub fn bundles(&self) -> Arc<TrustBundles> {
        self.bundles.load_full()
    }
}

impl ClientCertVerifier for SpiffeClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let mut chain = vec![end_entity.clone()];
        chain.extend(intermediates.iter().cloned());
        let now = UnixMillis(now.as_secs().saturating_mul(1000));
        match verify_x509_svid(&chain, &self.bundles.load(), now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => Err(rustls::Error::InvalidCertificate(alert(&error))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn alert(error: &IdentityError) -> CertificateError {
    match error {
        IdentityError::Expired => CertificateError::Expired,
        IdentityError::NotYetValid => CertificateError::NotValidYet,
        IdentityError::IssuerUntrusted(_) => CertificateError::UnknownIssuer,
        IdentityError::SignatureInvalid(_) => CertificateError::BadSignature,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}
