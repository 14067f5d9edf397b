//! X.509-SVIDs: the certificate of a peer over mutual TLS, validated to a root of its trust domain.

pub(crate) mod bundle;
pub(crate) mod server;
pub(crate) mod tls;

use std::time::Duration;

use bailiwick_core::{Sha256Hash, UnixMillis, sha256};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error as PathError, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use self::bundle::TrustBundles;
use crate::error::IdentityError;
use crate::limits::{CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX};
use crate::spiffe::{SpiffeId, TrustDomain};
use crate::workload::{Workload, WorkloadMethod};

/// A peer whose certificate was validated. That it holds the certificate's key is what the TLS handshake
/// proved: make one only from the chain of a finished handshake.
#[derive(Debug, Clone)]
pub struct X509Peer {
    workload: Workload,
    x5t_s256: Sha256Hash,
}

impl X509Peer {
    /// Who the peer is.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// Whether the certificate is still good at `now`; a TLS session can last longer than that.
    ///
    /// # Errors
    /// [`IdentityError::Expired`] when it is over.
    pub fn check_time(&self, now: UnixMillis) -> Result<(), IdentityError> {
        if now.seconds() > self.workload.expires() { Err(IdentityError::Expired) } else { Ok(()) }
    }

    /// SHA-256 of the leaf certificate's DER: what `cnf["x5t#S256"]` must be (RFC 8705, section 3.1).
    #[must_use]
    pub fn x5t_s256(&self) -> Sha256Hash {
        self.x5t_s256
    }
}

/// Validate the chain that a peer presented, leaf first, by the X.509-SVID standard: exactly one URI SAN,
/// which is a SPIFFE ID of a pinned trust domain; no CA; usable for signatures and not for certificates;
/// and a path to a root of that same domain.
///
/// # Errors
/// [`IdentityError`] with the stable reason.
pub fn verify_x509_svid(
    chain: &[CertificateDer<'_>],
    bundles: &TrustBundles,
    now: UnixMillis,
) -> Result<X509Peer, IdentityError> {
    let (leaf, intermediates) =
        chain.split_first().ok_or(IdentityError::HolderBindingFailed("no client certificate"))?;
    let too_long = chain.iter().any(|certificate| certificate.len() > CERTIFICATE_BYTES_MAX);
    if too_long || chain.len() > CERTIFICATES_MAX {
        return Err(IdentityError::Malformed("the certificate chain is too long"));
    }
    let (id, expires) = read_leaf(leaf)?;
    let roots = bundles.roots(id.trust_domain(), now);
    if roots.is_empty() {
        return Err(IdentityError::IssuerUntrusted("no valid root is pinned for the trust domain"));
    }
    let end_entity = EndEntityCert::try_from(leaf)
        .map_err(|_| IdentityError::Malformed("the certificate cannot be read"))?;
    let time = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    let usage = KeyUsage::client_auth();
    let path = end_entity
        .verify_for_usage(ALGORITHMS, &roots, intermediates, time, usage, None, None)
        .map_err(|error| refusal(&error))?;
    for intermediate in path.intermediate_certificates() {
        if !signs_for(intermediate.valid_uri_names(), id.trust_domain()) {
            return Err(IdentityError::IssuerUntrusted(
                "an intermediate is of another trust domain",
            ));
        }
    }
    let issuer = format!("spiffe://{}", id.trust_domain());
    let workload = Workload::from_svid(&id, &issuer, WorkloadMethod::X509Svid, expires);
    Ok(X509Peer { workload, x5t_s256: sha256(leaf) })
}

/// The rules for a leaf that path validation does not know.
fn read_leaf(der: &CertificateDer<'_>) -> Result<(SpiffeId, i64), IdentityError> {
    const UNREADABLE: IdentityError = IdentityError::Malformed("the certificate cannot be read");
    let (rest, leaf) = X509Certificate::from_der(der).map_err(|_| UNREADABLE)?;
    if !rest.is_empty() {
        return Err(UNREADABLE);
    }
    if leaf.basic_constraints().map_err(|_| UNREADABLE)?.is_some_and(|b| b.value.ca) {
        return Err(IdentityError::Malformed("a CA certificate is not a workload's"));
    }
    let usage = leaf.key_usage().map_err(|_| UNREADABLE)?;
    let usage = usage.ok_or(IdentityError::Malformed("the certificate states no key usage"))?.value;
    if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
        return Err(IdentityError::Malformed("the certificate's key usage is not a workload's"));
    }
    let names = leaf.subject_alternative_name().map_err(|_| UNREADABLE)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(UNREADABLE);
    }
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(IdentityError::Malformed("the certificate must have exactly one URI name"));
    };
    let id =
        uri.parse().map_err(|_| IdentityError::Malformed("the URI name is not a SPIFFE ID"))?;
    Ok((id, leaf.validity().not_after.timestamp()))
}

/// A signing certificate may name its trust domain, and then must name this one.
fn signs_for<'a>(mut uris: impl Iterator<Item = &'a str>, domain: &TrustDomain) -> bool {
    uris.all(|uri| uri.strip_prefix("spiffe://") == Some(domain.as_str()))
}

fn refusal(error: &PathError) -> IdentityError {
    match error {
        PathError::CertExpired { .. } => IdentityError::Expired,
        PathError::CertNotValidYet { .. } => IdentityError::NotYetValid,
        PathError::UnknownIssuer => {
            IdentityError::IssuerUntrusted("no path to a root of the trust domain")
        }
        PathError::InvalidSignatureForPublicKey => {
            IdentityError::SignatureInvalid("a certificate's signature does not fit")
        }
        _ => IdentityError::Malformed("the certificate path is not acceptable"),
    }
}

static ALGORITHMS: &[&dyn rustls_pki_types::SignatureVerificationAlgorithm] = {
    use webpki::aws_lc_rs as a;
    &[
        a::ECDSA_P256_SHA256,
        a::ECDSA_P256_SHA384,
        a::ECDSA_P384_SHA256,
        a::ECDSA_P384_SHA384,
        a::ED25519,
        a::RSA_PKCS1_2048_8192_SHA256,
        a::RSA_PKCS1_2048_8192_SHA384,
        a::RSA_PKCS1_2048_8192_SHA512,
        a::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        a::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        a::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    ]
};

#[cfg(test)]
mod tests;
