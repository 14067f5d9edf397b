//! The server's configuration: one TOML file, overridden by `BAILIWICK_*` variables.
//!
//! Absence refuses: without issuers and an operator the server does not start. An unknown key is an
//! error that names its line and the key that was probably meant.

mod approvals;
mod env;
mod validate;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use bailiwick_identity::{ForeignAlgorithm, IssuerConfig, JwksSource};
use serde::Deserialize;

pub use approvals::ApprovalsConfig;
pub use validate::ConfigProblem;

use crate::{dev, suggest};

/// Largest configuration file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything `bailiwick serve` needs to know before it starts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Public URL of this Authority: the `iss` of its tokens and the audience callers use.
    #[serde(default)]
    pub issuer: String,
    /// Address of the public listener.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Address of the management listener (`/live`, `/ready`, `/metrics`).
    #[serde(default = "default_management_listen")]
    pub management_listen: SocketAddr,
    /// Directory of the store, the keys and the ledger.
    #[serde(default)]
    pub data_dir: PathBuf,
    /// Environment this Authority serves, such as `prod`; every token carries it.
    #[serde(default)]
    pub environment: String,
    /// Set when TLS ends at a proxy in front and the listener is not on loopback.
    #[serde(default)]
    pub behind_tls_proxy: bool,
    /// TLS of the public listener.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Issuers whose subjects or workloads are believed.
    #[serde(default)]
    pub issuers: Vec<IssuerEntry>,
    /// Humans who may administer or audit.
    #[serde(default)]
    pub operators: Vec<OperatorEntry>,
    /// Where the policies are.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// How tokens are signed. How long they live is each workflow's.
    #[serde(default)]
    pub tokens: TokensConfig,
    /// Bounds on what callers may ask.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Bounds on approvals.
    #[serde(default)]
    pub approvals: ApprovalsConfig,
    /// Proof-of-possession settings.
    #[serde(default)]
    pub dpop: DpopConfig,
    /// The ledger's name and rhythm.
    #[serde(default)]
    pub ledger: LedgerConfig,
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogConfig,
    /// Whether the embedded development trust domain is on; only a command-line flag sets it.
    #[serde(skip)]
    pub dev: bool,
}

/// Certificate, key and client trust domains of the public listener.
#[derive(Debug, Clone, Deserialize)]
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

/// One trust domain accepted for mTLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTrustDomain {
    /// The trust domain's name, such as `a.example`.
    pub name: String,
    /// PEM file with its X.509 authorities.
    pub bundle: PathBuf,
}

/// Whether an issuer speaks for people or for workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerEntryKind {
    /// Its tokens name the subjects of tasks and the operators.
    Subjects,
    /// Its tokens name agents.
    Workloads,
}

/// One pinned issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    /// The exact `iss` of its tokens (for SPIFFE JWT-SVIDs: what the bundle's operator sets).
    pub issuer: String,
    /// Whether it speaks for people or for workloads.
    pub kind: IssuerEntryKind,
    /// Where its keys are fetched: https, or http on loopback.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// A file with its keys.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// Names under which this issuer knows this Authority, besides its issuer URL.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Put before the subject claim to form the subject's id, such as `user:`.
    #[serde(default)]
    pub subject_prefix: Option<String>,
    /// The claim that names the subject: `sub` (default) or `email`.
    #[serde(default)]
    pub subject_claim: Option<String>,
    /// The claim that lists the subject's groups; by default `groups`.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// Text claims that become attributes of the subject.
    #[serde(default)]
    pub attribute_claims: Vec<String>,
    /// Accepted `azp` values of a subject token; none means that it is not looked at.
    #[serde(default)]
    pub authorized_parties: Vec<String>,
    /// Accept RFC 9068 access tokens (`typ` `at+jwt`) too.
    #[serde(default)]
    pub access_tokens: bool,
    /// Accepted signature algorithms; by default ES256, ES384 and RS256.
    #[serde(default)]
    pub algorithms: Vec<ForeignAlgorithm>,
    /// The SPIFFE trust domain of a workload issuer; its tokens are then JWT-SVIDs.
    #[serde(default)]
    pub trust_domain: Option<String>,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperatorRole {
    /// May change the registry, the policies and keys, and revoke.
    Admin,
    /// May read everything, change nothing.
    Auditor,
}

/// One operator, or one group of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorEntry {
    /// The issuer that vouches for them; one of `[[issuers]]` of kind `subjects`.
    pub issuer: String,
    /// The value of the issuer's subject claim. Exactly one of `subject` and `group` is given.
    #[serde(default)]
    pub subject: Option<String>,
    /// A group in the issuer's groups claim.
    #[serde(default)]
    pub group: Option<String>,
    /// What they may do.
    pub roles: Vec<OperatorRole>,
}

/// Where the policies are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Cedar files or directories of them. None means the default pack, which denies by default.
    #[serde(default)]
    pub paths: Vec<PathBuf>,
}

/// Signature algorithm of the Authority's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TokenAlgorithm {
    /// ECDSA on P-256, which every stock JOSE library verifies.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519, a third cheaper to check.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// How tokens are signed. How long they live is each workflow's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokensConfig {
    /// Signature algorithm.
    pub alg: TokenAlgorithm,
    /// Days after which the signing key is rotated; rotation needs no restart.
    pub key_rotation_days: u32,
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self { alg: TokenAlgorithm::Es256, key_rotation_days: 30 }
    }
}

/// Bounds on what callers may ask.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Largest request body, in bytes.
    pub request_bytes_max: usize,
    /// Requests served at once; more are answered 503 with `Retry-After`.
    pub requests_in_flight_max: usize,
    /// Longest time one request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Proofs remembered for replay detection.
    pub proofs_remembered_max: usize,
    /// Largest page of a listing.
    pub page_rows_max: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            request_bytes_max: 256 * 1024,
            requests_in_flight_max: 1024,
            request_timeout_ms: 10_000,
            proofs_remembered_max: 1_000_000,
            page_rows_max: 200,
        }
    }
}

/// Whether a proof must carry a nonce that this server gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DpopNonce {
    /// Every proof carries a fresh server nonce (RFC 9449 section 8).
    Required,
    /// Proofs are bounded by their `iat` only.
    Off,
}

/// Proof-of-possession settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DpopConfig {
    /// Whether server nonces are required.
    pub nonce: DpopNonce,
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self { nonce: DpopNonce::Required }
    }
}

/// The ledger's name and rhythm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// Origin line of the checkpoints (C2SP tlog-checkpoint); by default `<issuer host>/ledger`.
    pub origin: String,
    /// Time between checkpoints while the ledger grows.
    pub checkpoint_interval_ms: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self { origin: String::new(), checkpoint_interval_ms: 1_000 }
    }
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A `tracing` filter, such as `info` or `bailiwick=debug,info`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
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
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes: this is not a configuration file")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// The text is not the TOML this server expects.
    #[error("{file}:{line}:{column}: {message}{}", help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default())]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// An environment variable overrides a setting with something that is not a value of it.
    #[error("{variable}: {message}")]
    Environment {
        /// The variable.
        variable: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The values do not make a server that may start.
    #[error("the configuration is refused:{}", list(.0))]
    Refused(Vec<ConfigProblem>),
}

fn list(problems: &[ConfigProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

impl Config {
    /// Reads a file, applies the `BAILIWICK_*` variables of this process and validates the result.
    ///
    /// # Errors
    /// Everything that [`ConfigError`] names; the server must not start then.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let unreadable = |source| ConfigError::Unreadable { path: file.clone(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: file });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let base = path.parent().unwrap_or(Path::new("."));
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::from_toml(&text, &file, base, &variables)
    }

    /// Parses `text`, applies `variables` and validates; relative paths are taken from `base`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(
        text: &str,
        file: &str,
        base: &Path,
        variables: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| syntax_error(&error, text, file))?;
        env::apply(&mut config, variables)?;
        config.resolve(base);
        config.validate()?;
        Ok(config)
    }

    /// The configuration of `serve --dev`: loopback, no files, the embedded trust domain.
    ///
    /// The issuers and the operator come from the development domain ([`crate::dev`]).
    pub fn dev(data_dir: &Path, listen: SocketAddr) -> Self {
        let management = match listen.port() {
            0 => 0,
            port => port.saturating_add(1),
        };
        let issuer = format!("http://{listen}");
        let mut config = Self {
            listen,
            management_listen: SocketAddr::new(listen.ip(), management),
            data_dir: data_dir.to_path_buf(),
            environment: "dev".to_owned(),
            behind_tls_proxy: false,
            tls: None,
            issuers: Vec::new(),
            operators: vec![OperatorEntry {
                issuer: dev::user_issuer(&issuer),
                subject: None,
                group: Some(dev::OPERATOR_GROUP.to_owned()),
                roles: vec![OperatorRole::Admin, OperatorRole::Auditor],
            }],
            policy: PolicyConfig::default(),
            tokens: TokensConfig::default(),
            limits: LimitsConfig::default(),
            approvals: ApprovalsConfig::default(),
            dpop: DpopConfig::default(),
            ledger: LedgerConfig::default(),
            log: LogConfig::default(),
            dev: true,
            issuer,
        };
        config.fill_defaults();
        config
    }

    /// What the identity crate is to believe. Empty in development: see [`dev::DevDomain`].
    pub fn issuer_configs(&self) -> Vec<IssuerConfig> {
        self.issuers.iter().map(IssuerEntry::to_config).collect()
    }

    /// Moves a development configuration to another address: everything that is named after it
    /// follows.
    pub fn relocate(&mut self, listen: SocketAddr) {
        let named = Self::dev(&self.data_dir, listen);
        self.listen = named.listen;
        self.issuer = named.issuer;
        self.operators = named.operators;
        self.ledger.origin = named.ledger.origin;
    }

    fn resolve(&mut self, base: &Path) {
        let absolute = |path: &mut PathBuf| {
            if path.is_relative() && !path.as_os_str().is_empty() {
                *path = base.join(&path);
            }
        };
        absolute(&mut self.data_dir);
        self.policy.paths.iter_mut().for_each(absolute);
        for issuer in &mut self.issuers {
            issuer.jwks_file.iter_mut().for_each(absolute);
        }
        if let Some(tls) = &mut self.tls {
            absolute(&mut tls.cert);
            absolute(&mut tls.key);
            tls.client_trust_domains.iter_mut().for_each(|domain| absolute(&mut domain.bundle));
        }
        self.fill_defaults();
    }

    fn fill_defaults(&mut self) {
        if self.ledger.origin.is_empty()
            && let Ok(url) = url::Url::parse(&self.issuer)
            && let Some(host) = url.host_str()
        {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            self.ledger.origin = format!("{host}{port}/ledger");
        }
    }
}

impl IssuerEntry {
    fn to_config(&self) -> IssuerConfig {
        let jwks = match (&self.jwks_url, &self.jwks_file) {
            (Some(url), _) => JwksSource::Url(url.clone()),
            (None, Some(file)) => JwksSource::File(file.clone()),
            // Refused by `validate`; here it is a key set that verifies nothing.
            (None, None) => JwksSource::Inline(serde_json::json!({ "keys": [] })),
        };
        let mut config = match self.kind {
            IssuerEntryKind::Subjects => IssuerConfig::subjects(&self.issuer, jwks),
            IssuerEntryKind::Workloads => IssuerConfig::workloads(&self.issuer, "", jwks),
        };
        config.trust_domain = self.trust_domain.clone();
        config.audiences = self.audiences.clone();
        config.attribute_claims = self.attribute_claims.clone();
        config.authorized_parties = self.authorized_parties.clone();
        config.access_tokens = self.access_tokens;
        if let Some(prefix) = &self.subject_prefix {
            config.subject_prefix = prefix.clone();
        }
        if let Some(claim) = &self.subject_claim {
            config.subject_claim = claim.clone();
        }
        if let Some(claim) = &self.groups_claim {
            config.groups_claim = claim.clone();
        }
        if !self.algorithms.is_empty() {
            config.algorithms = self.algorithms.clone();
        }
        config
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8420))
}

fn default_management_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8421))
}

fn syntax_error(error: &toml::de::Error, text: &str, file: &str) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let (line, column) = position(text, start);
    let message = error.message().trim().to_owned();
    let (message, help) = explain(&message);
    ConfigError::Syntax { file: file.to_owned(), line, column, message, help }
}

/// Turns serde's "unknown field" into a sentence and a suggestion.
fn explain(message: &str) -> (String, Option<String>) {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match words.split_first() {
        Some((unknown, _))
            if message.starts_with("unknown field") && unknown.starts_with("dev") =>
        {
            (
                format!("unknown key `{unknown}`"),
                Some(
                    "development settings cannot be put in a file: run `bailiwick serve --dev`"
                        .into(),
                ),
            )
        }
        Some((unknown, known)) if message.starts_with("unknown field") => {
            (format!("unknown key `{unknown}`"), Some(suggest::hint(unknown, known)))
        }
        Some((unknown, known)) if message.starts_with("unknown variant") => {
            (format!("unknown value `{unknown}`"), Some(suggest::hint(unknown, known)))
        }
        _ => (message.to_owned(), None),
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let last = before.rsplit('\n').next().unwrap_or("");
    (line, last.chars().count().saturating_add(1))
}

#[cfg(test)]
mod tests;
