//! Mutual TLS with X.509-SVIDs, over a real handshake.

use std::sync::Arc;

use bailiwick_core::{HolderBinding, UnixMillis};
use bailiwick_identity::{
    HolderProof, IssuerConfig, JwksSource, NonceRule, PeerCredentials, SpiffeClientVerifier,
    TrustBundles, verify_x509_svid,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{AGENT, DOMAIN, issuers};

type Ca = CertifiedIssuer<'static, KeyPair>;

/// A moment inside the validity of certificates made with rcgen's defaults, which the handshake's own
/// clock is inside of as well.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(name: SanType, ca: &Ca) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![name];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap().der().clone();
    (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn agent(ca: &Ca) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    leaf(SanType::URI(AGENT.try_into().unwrap()), ca)
}

fn bundles(ca: &Ca) -> TrustBundles {
    let mut bundles = TrustBundles::default();
    bundles.insert(&DOMAIN.parse().unwrap(), &[ca.der().clone()]).unwrap();
    bundles
}

/// One handshake; gives the chain that the server saw, or nothing if there was no session.
async fn handshake(
    verifier: &Arc<SpiffeClientVerifier>,
    server_ca: &Ca,
    client: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> Option<Vec<CertificateDer<'static>>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (certificate, key) = leaf(SanType::DnsName("localhost".try_into().unwrap()), server_ca);
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::clone(verifier) as _)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(server_ca.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let client = match client {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let (near, far) = duplex(64 * 1024);
    let serve = tokio::spawn(async move {
        let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await.ok()?;
        stream.write_all(b"hello").await.ok()?;
        stream.shutdown().await.ok()?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Some(chain.iter().map(|c| c.clone().into_owned()).collect())
    });
    let name = ServerName::try_from("localhost").unwrap();
    if let Ok(mut stream) = TlsConnector::from(Arc::new(client)).connect(name, near).await {
        let mut greeting = Vec::new();
        let _ = stream.read_to_end(&mut greeting).await;
    }
    serve.await.unwrap()
}

#[tokio::test]
async fn a_session_shows_which_workload_holds_the_key() {
    let ca = ca("a");
    let verifier = Arc::new(SpiffeClientVerifier::new(bundles(&ca), true));
    let chain = handshake(&verifier, &ca, Some(agent(&ca))).await.unwrap();
    let peer = verify_x509_svid(&chain, &verifier.bundles(), NOW).unwrap();
    assert_eq!(peer.workload().id(), AGENT);
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", "Bearer a.b.c".parse().unwrap());
    let credentials =
        PeerCredentials::from_headers(&headers).unwrap().with_certificate(peer.clone());
    let url = "https://tools.example/pay";
    let proof = credentials.prove_holder("POST", url, NonceRule::NotRequired, NOW).unwrap();
    assert!(matches!(proof, HolderProof::Certificate(_)));
    assert!(proof.check(&HolderBinding::X5tS256(peer.x5t_s256())).is_ok());
    let after = UnixMillis::from_seconds(peer.workload().expires() + 1);
    let over = credentials.prove_holder("POST", url, NonceRule::NotRequired, after);
    assert!(over.is_err(), "the session outlives the certificate");
    let other = verify_x509_svid(&[agent(&ca).0], &verifier.bundles(), NOW).unwrap();
    assert!(proof.check(&HolderBinding::X5tS256(other.x5t_s256())).is_err());
}

#[tokio::test]
async fn strangers_get_no_session() {
    let (a, b) = (ca("a"), ca("b"));
    let verifier = Arc::new(SpiffeClientVerifier::new(bundles(&a), true));
    assert!(handshake(&verifier, &a, Some(agent(&a))).await.is_some());
    assert!(handshake(&verifier, &a, Some(agent(&b))).await.is_none(), "another domain's root");
    assert!(handshake(&verifier, &a, None).await.is_none(), "no certificate");
    let dns = leaf(SanType::DnsName("payer".try_into().unwrap()), &a);
    assert!(handshake(&verifier, &a, Some(dns)).await.is_none(), "no SPIFFE ID");
    let optional = Arc::new(SpiffeClientVerifier::new(bundles(&a), false));
    assert_eq!(handshake(&optional, &a, None).await, Some(Vec::new()));
    assert!(handshake(&optional, &a, Some(agent(&b))).await.is_none(), "shown, so validated");
}

#[tokio::test]
async fn roots_are_replaced_while_the_server_runs() {
    let (old, new) = (ca("a"), ca("a2"));
    let verifier = Arc::new(SpiffeClientVerifier::new(bundles(&old), true));
    assert!(handshake(&verifier, &old, Some(agent(&new))).await.is_none());
    verifier.replace(bundles(&new));
    assert!(handshake(&verifier, &old, Some(agent(&new))).await.is_some());
    assert!(handshake(&verifier, &old, Some(agent(&old))).await.is_none());
}

#[tokio::test]
async fn a_spiffe_bundle_gives_the_roots() {
    let ca = ca("a");
    let root = STANDARD.encode(ca.der());
    let key =
        json!({"use": "x509-svid", "kty": "EC", "crv": "P-256", "x": "x", "y": "y", "x5c": [root]});
    let source = JwksSource::Inline(json!({ "keys": [key] }));
    let issuers = issuers(vec![IssuerConfig::workloads("spiffe://a.example", DOMAIN, source)]);
    let bundles = issuers.trust_bundles(NOW).await;
    assert_eq!(verify_x509_svid(&[agent(&ca).0], &bundles, NOW).unwrap().workload().id(), AGENT);
    let stranger = verify_x509_svid(&[agent(&self::ca("b")).0], &bundles, NOW);
    assert!(stranger.is_err());
}
