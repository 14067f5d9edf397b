//! `gateway.toml`: where the gateway listens, whom it asks, and what it stands in front of.
//!
//! Absence refuses: what no route names is not forwarded, and what no rule of a route maps to a
//! scope is refused.

mod load;
mod read;

pub(crate) use self::load::is_loopback;

use std::net::SocketAddr;
use std::path::PathBuf;

use bailiwick_core::ids::AgentId;
use bailiwick_policy::{Binding, Sensitivity};
use serde::Deserialize;

use crate::a2a::A2aConfig;
use crate::carry::CarryConfig;
use crate::connector::{ConnectorConfig, SecretConfig};
use crate::http_api::HttpConfig;
use crate::mcp::McpConfig;
use crate::upstream::UpstreamTlsConfig;

/// Everything `bailiwick gateway` needs to know before it starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the listener that agents call.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Address of the management listener (`/live`, `/ready`, `/metrics`).
    #[serde(default = "default_management_listen")]
    pub management_listen: SocketAddr,
    /// The URL agents know this gateway by: proofs are made for it. By default `http(s)://listen`.
    #[serde(default)]
    pub public_url: String,
    /// Directory of the spool (receipts, budgets, used proofs) and of what is pinned.
    #[serde(default)]
    pub state_dir: PathBuf,
    /// The Authority.
    pub authority: AuthorityConfig,
    /// Who the gateway is to the Authority.
    pub identity: IdentityConfig,
    /// TLS of the listener.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Set when TLS ends at a proxy in front and the listener is not on loopback.
    #[serde(default)]
    pub behind_tls_proxy: bool,
    /// Bounds on what callers may ask.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Proof-of-possession settings.
    #[serde(default)]
    pub dpop: DpopConfig,
    /// How old the gateway's knowledge of revocations may be.
    #[serde(default)]
    pub staleness: StalenessConfig,
    /// The durable spool.
    #[serde(default)]
    pub spool: SpoolConfig,
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogConfig,
    /// Envoy `ext_authz`.
    #[serde(default)]
    pub ext_authz: Option<ExtAuthzConfig>,
    /// What the gateway stands in front of.
    #[serde(default, rename = "route")]
    pub routes: Vec<RouteConfig>,
}

/// The Authority whose tokens and word are believed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityConfig {
    /// Its issuer URL: `iss` of the tokens.
    pub issuer: String,
    /// Where it is reached; the issuer when absent.
    #[serde(default)]
    pub url: Option<String>,
}

/// How the gateway shows the Authority who it is. Exactly one is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// File with the gateway's JWT-SVID, read again when it changes.
    #[serde(default)]
    pub svid_file: Option<PathBuf>,
    /// The agent that a development Authority vouches for; loopback only.
    #[serde(default)]
    pub dev_agent: Option<AgentId>,
}

/// Certificate and key of the listener, and the client trust domains that it accepts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, leaf first.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// SPIFFE trust domains whose X.509-SVIDs are accepted as client certificates.
    #[serde(default)]
    pub client_trust_domains: Vec<ClientTrustDomain>,
}

/// One trust domain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTrustDomain {
    /// Its name.
    pub name: String,
    /// PEM file with its roots.
    pub bundle: PathBuf,
}

/// Bounds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Largest body that an adapter reads, in bytes. Bodies that stream through are not bounded by it.
    pub body_bytes_max: usize,
    /// Largest reply that hooks look at in one piece, in bytes.
    pub reply_bytes_max: usize,
    /// Requests in flight at once; more are answered 503.
    pub requests_in_flight_max: usize,
    /// Refusals a second of one agent that are recorded one by one; ten times as many at once.
    pub refusals_per_second_max: u64,
    /// Longest time to read a request's headers, in milliseconds.
    pub header_timeout_ms: u64,
    /// Longest time until an upstream begins to answer, in milliseconds; counted from the last part of
    /// a body that it took.
    pub upstream_timeout_ms: u64,
    /// Longest time in which a caller takes nothing of what is sent to it, in milliseconds.
    pub write_timeout_ms: u64,
    /// Longest time for a TLS handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// TLS handshakes under way at once, each counted once its first message is there.
    pub handshakes_max: usize,
    /// Longest silence within a streaming body, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Longest life of an upgraded connection, in milliseconds.
    pub tunnel_timeout_ms: u64,
    /// Longest time that requests in flight may take to end after a shutdown is asked for.
    pub drain_timeout_ms: u64,
    /// Proofs remembered for replay detection.
    pub proofs_remembered_max: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            reply_bytes_max: 4 * 1024 * 1024,
            requests_in_flight_max: 4096,
            refusals_per_second_max: 10,
            header_timeout_ms: 10_000,
            upstream_timeout_ms: 30_000,
            write_timeout_ms: 60_000,
            handshake_timeout_ms: 10_000,
            handshakes_max: 256,
            idle_timeout_ms: 300_000,
            tunnel_timeout_ms: 3_600_000,
            drain_timeout_ms: 10_000,
            proofs_remembered_max: 1_000_000,
        }
    }
}

/// Whether a proof must carry a nonce that this gateway gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DpopNonce {
    /// Every proof carries a fresh nonce of this process (RFC 9449 §9): no replica takes it again.
    #[default]
    Required,
    /// Proofs are bounded by their `iat` and by this gateway's own memory.
    Off,
}

/// Proof-of-possession settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DpopConfig {
    /// Whether nonces are required.
    pub nonce: DpopNonce,
}

/// How many milliseconds behind the Authority the gateway may be and still allow, by the
/// sensitivity of what is touched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StalenessConfig {
    /// For public data.
    pub public_ms: u64,
    /// For internal data.
    pub internal_ms: u64,
    /// For confidential data.
    pub confidential_ms: u64,
    /// For restricted data.
    pub restricted_ms: u64,
}

impl Default for StalenessConfig {
    fn default() -> Self {
        Self {
            public_ms: 300_000,
            internal_ms: 60_000,
            confidential_ms: 10_000,
            restricted_ms: 5_000,
        }
    }
}

impl StalenessConfig {
    /// The bound for data of this sensitivity.
    pub fn bound_ms(&self, sensitivity: Sensitivity) -> u64 {
        match sensitivity {
            Sensitivity::Public => self.public_ms,
            Sensitivity::Internal => self.internal_ms,
            Sensitivity::Confidential => self.confidential_ms,
            Sensitivity::Restricted => self.restricted_ms,
        }
    }
}

/// The durable spool of receipts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// Bytes of receipts that the Authority has not acknowledged; past it every call is refused.
    pub bytes_max: u64,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024 * 1024 }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A `tracing` filter, such as `info` or `bailiwick=debug,info`.
    pub level: String,
    /// Whether a line is a JSON object.
    pub json: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), json: false }
    }
}

/// Envoy `ext_authz` over gRPC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtAuthzConfig {
    /// Address of the gRPC listener; loopback unless it is behind mTLS.
    pub listen: SocketAddr,
    /// Where the key is that Envoy shows in `bailiwick-envoy-key`. Required where a connector has
    /// `envoy = true`: whoever else could ask would be told the credential.
    #[serde(default)]
    pub key: Option<SecretConfig>,
}

/// One thing behind the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Its name, in metrics, logs and receipts.
    pub name: String,
    /// The path prefix that it answers to, such as `/crm`; the longest prefix wins.
    pub path: String,
    /// The audience a token must have; by default the gateway's public URL.
    #[serde(default)]
    pub audience: Option<String>,
    /// The base URL of the upstream.
    pub upstream: String,
    /// The system, as policies name it; by default the route's name.
    #[serde(default)]
    pub system: Option<String>,
    /// Whom the upstream's certificate is believed from, and who the gateway is to it.
    #[serde(default)]
    pub upstream_tls: Option<UpstreamTlsConfig>,
    /// The team that answers for the system.
    pub owner: String,
    /// How far the upstream can honour a chain. `wrapped` needs a connector.
    pub binding: Binding,
    /// How sensitive its data is unless an operation says otherwise.
    #[serde(default)]
    pub sensitivity: Sensitivity,
    /// Labels of its resources unless an operation says otherwise.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether chains that end in unsettled grants are settled here.
    #[serde(default)]
    pub offline_hops: bool,
    /// An HTTP API.
    #[serde(default)]
    pub http: Option<HttpConfig>,
    /// An MCP server.
    #[serde(default)]
    pub mcp: Option<McpConfig>,
    /// An A2A agent.
    #[serde(default)]
    pub a2a: Option<A2aConfig>,
    /// The vendor's credential.
    #[serde(default)]
    pub connector: Option<ConnectorConfig>,
    /// What provenance goes along.
    #[serde(default)]
    pub carry: CarryConfig,
    /// Its line in the file, from 1; 0 where there is no file.
    #[serde(skip)]
    pub line: usize,
}

impl RouteConfig {
    /// Makes the paths of files absolute: they are taken from `base`.
    fn resolve(&mut self, base: &std::path::Path) {
        if let Some(http) = &mut self.http {
            http.resolve(base);
        }
        if let Some(connector) = &mut self.connector {
            connector.resolve(base);
        }
        if let Some(tls) = &mut self.upstream_tls {
            tls.resolve(base);
        }
        for path in self.carry.trusted_keys.iter_mut().filter(|path| path.is_relative()) {
            *path = base.join(&path);
        }
    }
}

/// Why a configuration was refused. The text is complete: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any real configuration.
    #[error("{path} is too large to be a configuration file")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// The text is not the TOML this gateway expects: every fault, with file and line.
    #[error("the configuration cannot be read:{}", list(.0))]
    Syntax(Vec<String>),
    /// The values do not make a gateway that may start.
    #[error("the configuration is refused:{}", list(.0))]
    Refused(Vec<String>),
}

fn list(faults: &[String]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8430))
}

fn default_management_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8431))
}
