//! The roots of pinned trust domains.

use std::collections::HashMap;

use bailiwick_core::UnixMillis;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::signs_for;
use crate::config::ConfigError;
use crate::limits::{CERTIFICATE_BYTES_MAX, ROOTS_MAX};
use crate::spiffe::TrustDomain;

/// Which roots may vouch for which trust domain. A root of one domain never vouches for another.
#[derive(Debug, Clone, Default)]
pub struct TrustBundles(HashMap<TrustDomain, Vec<Root>>);

#[derive(Debug, Clone)]
struct Root {
    anchor: TrustAnchor<'static>,
    not_before: i64,
    not_after: i64,
}

impl TrustBundles {
    /// Pin these roots for `domain`, instead of what was pinned for it before.
    ///
    /// # Errors
    /// [`ConfigError::Keys`] when one is not a CA certificate or names another trust domain.
    pub fn insert(
        &mut self,
        domain: &TrustDomain,
        roots: &[CertificateDer<'_>],
    ) -> Result<(), ConfigError> {
        let fail = |what| ConfigError::Keys { issuer: domain.to_string(), what };
        if roots.len() > ROOTS_MAX {
            return Err(fail("too many roots"));
        }
        let roots: Result<Vec<_>, _> = roots.iter().map(|der| Root::read(der, domain)).collect();
        self.0.insert(domain.clone(), roots.map_err(fail)?);
        Ok(())
    }

    /// The same from certificates in PEM.
    ///
    /// # Errors
    /// As [`TrustBundles::insert`], and when the text holds no certificate.
    pub fn insert_pem(&mut self, domain: &TrustDomain, pem: &[u8]) -> Result<(), ConfigError> {
        let fail = |what| ConfigError::Keys { issuer: domain.to_string(), what };
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let roots = roots.map_err(|_| fail("not certificates in PEM"))?;
        if roots.is_empty() {
            return Err(fail("no certificate in the PEM text"));
        }
        self.insert(domain, &roots)
    }

    /// Whether no root is pinned at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// The roots of `domain` that are valid at `now`.
    pub(super) fn roots(&self, domain: &TrustDomain, now: UnixMillis) -> Vec<TrustAnchor<'static>> {
        let seconds = now.seconds();
        let valid = |root: &&Root| (root.not_before..=root.not_after).contains(&seconds);
        let roots = self.0.get(domain).map(Vec::as_slice).unwrap_or_default();
        roots.iter().filter(valid).map(|root| root.anchor.clone()).collect()
    }
}

impl Root {
    fn read(der: &CertificateDer<'_>, domain: &TrustDomain) -> Result<Self, &'static str> {
        const UNREADABLE: &str = "a root cannot be read";
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err("a root is too long");
        }
        let (_, root) = X509Certificate::from_der(der).map_err(|_| UNREADABLE)?;
        if !root.is_ca() {
            return Err("a root is not a CA certificate");
        }
        let names = root.subject_alternative_name().map_err(|_| UNREADABLE)?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        if !signs_for(uris, domain) {
            return Err("a root names another trust domain");
        }
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(|_| UNREADABLE)?.to_owned();
        let validity = root.validity();
        let (not_before, not_after) =
            (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { anchor, not_before, not_after })
    }
}
