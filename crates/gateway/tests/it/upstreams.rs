//! Upstreams with a private CA, and those that want to know who the gateway is.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bailiwick_gateway::Config;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rstest::rstest;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::edge::Edge;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM.
fn leaf(ca: &Ca, name: &str, use_for: ExtendedKeyUsagePurpose) -> (String, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![use_for];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, ca).unwrap().pem(), key.serialize_pem())
}

/// A directory with what a route names.
struct Files {
    dir: TempDir,
    server: Ca,
    client: Ca,
}

impl Files {
    fn new() -> Self {
        let made = Self {
            dir: tempfile::tempdir().unwrap(),
            server: ca("servers"),
            client: ca("clients"),
        };
        made.put("ca.pem", &made.server.pem());
        made.put("other.pem", &ca("servers").pem());
        let (certificate, key) =
            leaf(&made.client, "gateway.example", ExtendedKeyUsagePurpose::ClientAuth);
        made.put("gateway.pem", &certificate);
        made.put("gateway.key", &key);
        let (stranger, key) =
            leaf(&ca("others"), "gateway.example", ExtendedKeyUsagePurpose::ClientAuth);
        made.put("stranger.pem", &stranger);
        made.put("stranger.key", &key);
        made
    }

    fn put(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Answers `{"peer": …}` over HTTP/1.1 in TLS: whether the gateway came with a certificate.
    async fn upstream(&self, name: &str, wants_client: bool) -> SocketAddr {
        let (certificate, key) = leaf(&self.server, name, ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.client.der().clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let tls = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = tls.accept(stream).await else { return };
                    let known = stream.get_ref().1.peer_certificates().is_some();
                    let mut head = [0; 8192];
                    let _ = stream.read(&mut head).await;
                    let body = format!("{{\"peer\":{known}}}");
                    let reply = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                         content-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(reply.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        address
    }
}

fn route(dir: &Path, upstream: &str, tls: &str) -> String {
    let tls = tls.replace("DIR", &dir.display().to_string());
    format!(
        r#"
        [[route]]
        name = "inside"
        path = "/inside"
        audience = "https://tools.dev.example"
        upstream = "{upstream}"
        owner = "team:payments"
        binding = "carries"
        sensitivity = "internal"
        {tls}
        [[route.http.operation]]
        method = "GET"
        path = "/x"
        scope = "files.read"
    "#
    )
}

/// Status of a call, and what is said besides.
async fn asked(files: &Files, upstream: &str, tls: &str) -> (u16, String) {
    let edge = Edge::start_with(&route(files.dir.path(), upstream, tls), "").await;
    let (reader, held) = edge.reader().await;
    let reply = edge.call(&reader, &held, "GET", "/inside/x", None).await;
    let status = reply.status().as_u16();
    let body: Value = reply.json().await.unwrap();
    (status, body["detail"].as_str().map_or_else(|| body.to_string(), str::to_owned))
}

const TRUSTED: &str = "upstream_tls = { ca_file = \"DIR/ca.pem\" }";

#[tokio::test]
async fn a_private_ca_is_believed_by_the_route_that_names_it() {
    let files = Files::new();
    let upstream = files.upstream("localhost", false).await;
    let url = format!("https://localhost:{}", upstream.port());
    assert_eq!(asked(&files, &url, TRUSTED).await, (200, "{\"peer\":false}".to_owned()));
    for tls in ["", "upstream_tls = { ca_file = \"DIR/other.pem\" }"] {
        let (status, detail) = asked(&files, &url, tls).await;
        assert_eq!(status, 502, "{tls}");
        assert!(detail.contains("no root that this route trusts"), "{detail}");
    }
    // A root vouches for names that its certificates have.
    let elsewhere = files.upstream("elsewhere.example", false).await;
    let url = format!("https://localhost:{}", elsewhere.port());
    let (status, detail) = asked(&files, &url, TRUSTED).await;
    assert_eq!(status, 502);
    assert!(detail.contains("for another name"), "{detail}");
}

#[tokio::test]
async fn an_upstream_that_wants_to_know_the_gateway_is_shown_its_certificate() {
    let files = Files::new();
    let upstream = files.upstream("localhost", true).await;
    let url = format!("https://localhost:{}", upstream.port());
    let with = |name: &str| {
        format!(
            "upstream_tls = {{ ca_file = \"DIR/ca.pem\", client_certificate_file = \"DIR/{name}.pem\", \
             client_key_file = \"DIR/{name}.key\" }}"
        )
    };
    assert_eq!(asked(&files, &url, &with("gateway")).await, (200, "{\"peer\":true}".to_owned()));
    for tls in [TRUSTED.to_owned(), with("stranger")] {
        let (status, detail) = asked(&files, &url, &tls).await;
        assert_eq!(status, 502, "{tls}");
        assert!(detail.contains("client_certificate_file"), "{detail}");
    }
}

#[rstest]
#[case::no_file("ca_file = \"DIR/none.pem\"", "ca_file")]
#[case::no_certificates("ca_file = \"DIR/gateway.key\"", "no certificates in PEM form")]
#[case::half("client_certificate_file = \"DIR/gateway.pem\"", "together")]
#[case::no_key(
    "client_certificate_file = \"DIR/gateway.pem\", client_key_file = \"DIR/gateway.pem\"",
    "no private key"
)]
#[case::another_key(
    "client_certificate_file = \"DIR/gateway.pem\", client_key_file = \"DIR/stranger.key\"",
    "do not go together"
)]
#[case::open_key(
    "client_certificate_file = \"DIR/gateway.pem\", client_key_file = \"DIR/open.key\"",
    "open.key"
)]
#[case::two_faults(
    "ca_file = \"DIR/none.pem\", client_certificate_file = \"DIR/none.pem\", client_key_file = \"DIR/gateway.key\"",
    "client_certificate_file"
)]
#[test]
fn files_that_make_no_connection_are_told_before_the_start(#[case] tls: &str, #[case] part: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let files = Files::new();
    files.put("open.key", &std::fs::read_to_string(files.dir.path().join("gateway.key")).unwrap());
    let open = files.dir.path().join("open.key");
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let check = |upstream: &str, tls: &str| {
        let text = format!(
            "state_dir = \"state\"\n[authority]\nissuer = \"http://127.0.0.1:1\"\n[identity]\n\
             dev_agent = \"spiffe://dev.bailiwick.example/g\"\n{}",
            route(files.dir.path(), upstream, &format!("upstream_tls = {{ {tls} }}"))
        );
        let config = Config::from_toml(&text, "gateway.toml", files.dir.path()).unwrap();
        config.check().map_err(|error| error.to_string())
    };
    let fault = check("https://inside.example", tls).unwrap_err();
    assert!(fault.contains("route `inside`") && fault.contains(part), "{fault}");
    assert!(!fault.contains("PRIVATE KEY"), "{fault}");
    let good = "ca_file = \"DIR/ca.pem\", client_certificate_file = \"DIR/gateway.pem\", \
                client_key_file = \"DIR/gateway.key\"";
    assert_eq!(check("https://inside.example", good), Ok(()));
    assert!(
        check("http://127.0.0.1:9", good)
            .unwrap_err()
            .contains("is for an `upstream` that is https")
    );
}
