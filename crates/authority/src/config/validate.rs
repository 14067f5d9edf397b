//! What makes a configuration one that may start. Every check fails closed.

use std::{collections::BTreeSet, fmt};

use url::Url;

use super::{Config, ConfigError, IssuerEntry, IssuerEntryKind, OperatorRole};
use crate::dev;

/// One reason for which a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Path of the setting, such as `issuers[0].jwks_url`.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

#[derive(Default)]
struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn check(&mut self, holds: bool, field: impl Into<String>, message: impl Into<String>) {
        if !holds {
            self.0.push(ConfigProblem { field: field.into(), message: message.into() });
        }
    }
}

impl Config {
    /// Whether a server with this configuration may start.
    ///
    /// # Errors
    /// [`ConfigError::Refused`] with every problem found, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check_place(&mut problems);
        self.check_tls(&mut problems);
        if self.dev {
            self.check_dev(&mut problems);
        } else {
            self.check_issuers(&mut problems);
            self.check_operators(&mut problems);
        }
        self.check_numbers(&mut problems);
        if problems.0.is_empty() { Ok(()) } else { Err(ConfigError::Refused(problems.0)) }
    }

    fn check_place(&self, problems: &mut Problems) {
        problems.check(
            !self.data_dir.as_os_str().is_empty(),
            "data_dir",
            "is required: the directory of the store, the keys and the ledger",
        );
        problems.check(
            is_label(&self.environment),
            "environment",
            "is required: a short lower-case name such as `prod` or `staging`",
        );
        problems.check(
            self.listen.port() == 0 || self.listen != self.management_listen,
            "management_listen",
            "must differ from `listen`: health and metrics are not public",
        );
        let origin = &self.ledger.origin;
        problems.check(
            !origin.is_empty()
                && origin.len() <= 255
                && origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+'),
            "ledger.origin",
            "must be printable ASCII without spaces or `+`, such as `authority.a.example/ledger`",
        );
    }

    fn check_tls(&self, problems: &mut Problems) {
        let public = match Url::parse(&self.issuer) {
            Ok(url) => url,
            Err(_) => {
                problems.check(
                    false,
                    "issuer",
                    "is required: the public URL of this server, such as https://authority.a.example",
                );
                return;
            }
        };
        let plain_form = public.query().is_none()
            && public.fragment().is_none()
            && public.username().is_empty()
            && public.password().is_none()
            && !self.issuer.ends_with('/');
        problems.check(
            plain_form,
            "issuer",
            "must have no query, fragment, user or trailing slash: clients compare it exactly",
        );
        problems.check(
            is_https_or_loopback(&public),
            "issuer",
            "must be https (plain http is for loopback only): tokens would travel in clear",
        );
        let plain = self.tls.is_none() && !self.listen.ip().is_loopback();
        problems.check(
            !plain || (public.scheme() == "https" && self.behind_tls_proxy),
            "listen",
            "is not loopback and there is no [tls]: add [tls], or set behind_tls_proxy = true \
             when a proxy in front ends TLS",
        );
        if let Some(tls) = &self.tls {
            let named = !tls.cert.as_os_str().is_empty() && !tls.key.as_os_str().is_empty();
            problems.check(named, "tls", "needs both `cert` and `key`");
            for (index, domain) in tls.client_trust_domains.iter().enumerate() {
                let field = format!("tls.client_trust_domains[{index}].name");
                problems.check(is_domain(&domain.name), &field, "must be a trust domain name");
                problems.check(domain.name != dev::TRUST_DOMAIN, &field, dev_only());
            }
        }
    }

    fn check_dev(&self, problems: &mut Problems) {
        problems.check(
            self.listen.ip().is_loopback(),
            "listen",
            "development mode is on (--dev) and mints identities for anyone who can connect: \
             it listens on loopback only, such as 127.0.0.1:8420",
        );
        problems.check(
            self.management_listen.ip().is_loopback(),
            "management_listen",
            "development mode is on (--dev): it listens on loopback only",
        );
        problems.check(
            !matches!(self.environment.as_str(), "prod" | "production" | "live"),
            "environment",
            "development mode (--dev) cannot be on in a production environment",
        );
        problems.check(
            self.issuers.is_empty(),
            "issuers",
            "development mode (--dev) brings its own issuers; remove these",
        );
    }

    fn check_issuers(&self, problems: &mut Problems) {
        problems.check(
            !self.issuers.is_empty(),
            "issuers",
            "none is configured, so nobody could be believed: add [[issuers]] for your users \
             (kind = \"subjects\") and for your agents (kind = \"workloads\")",
        );
        let has = |kind| self.issuers.iter().any(|entry| entry.kind == kind);
        if !self.issuers.is_empty() {
            problems.check(
                has(IssuerEntryKind::Subjects),
                "issuers",
                "none has kind = \"subjects\": no one could start a task",
            );
            let mtls = self.tls.as_ref().is_some_and(|tls| !tls.client_trust_domains.is_empty());
            problems.check(
                has(IssuerEntryKind::Workloads) || mtls,
                "issuers",
                "none has kind = \"workloads\" and there are no tls.client_trust_domains: \
                 no agent could be recognised",
            );
        }
        for (index, entry) in self.issuers.iter().enumerate() {
            self.check_issuer(problems, index, entry);
        }
        self.check_collisions(problems);
    }

    fn check_issuer(&self, problems: &mut Problems, index: usize, entry: &IssuerEntry) {
        let at = |name: &str| format!("issuers[{index}].{name}");
        problems.check(
            !entry.issuer.is_empty() && entry.issuer.len() <= 512,
            at("issuer"),
            "is required: the exact `iss` of its tokens",
        );
        problems.check(
            entry.issuer != self.issuer && entry.issuer != dev::user_issuer(&self.issuer),
            at("issuer"),
            "is this Authority itself, which vouches for no one; name an identity provider",
        );
        problems.check(
            entry.jwks_url.is_some() != entry.jwks_file.is_some(),
            at("jwks_url"),
            "give exactly one of `jwks_url` and `jwks_file`",
        );
        if let Some(url) = &entry.jwks_url {
            problems.check(
                Url::parse(url).is_ok_and(|url| is_https_or_loopback(&url)),
                at("jwks_url"),
                "must be an https URL (http is for loopback only): its keys decide who is believed",
            );
        }
        if let Some(domain) = &entry.trust_domain {
            problems.check(
                entry.kind == IssuerEntryKind::Workloads,
                at("trust_domain"),
                "belongs to issuers of kind `workloads`",
            );
            problems.check(is_domain(domain), at("trust_domain"), "must be a trust domain name");
            problems.check(domain != dev::TRUST_DOMAIN, at("trust_domain"), dev_only());
        }
        if let Err(error) = entry.to_config().check() {
            problems.check(false, format!("issuers[{index}]"), error.to_string());
        }
        let subjects = entry.kind == IssuerEntryKind::Subjects;
        let given = entry.subject_prefix.is_some()
            || entry.subject_claim.is_some()
            || entry.groups_claim.is_some()
            || !entry.attribute_claims.is_empty();
        problems.check(
            subjects || !given,
            at("kind"),
            "subject_prefix, subject_claim, groups_claim and attribute_claims belong to issuers of kind `subjects`",
        );
    }

    /// Two issuers must never be able to name the same subject or the same workload.
    fn check_collisions(&self, problems: &mut Problems) {
        let mut seen = BTreeSet::new();
        for (index, entry) in self.issuers.iter().enumerate() {
            let field = format!("issuers[{index}]");
            let key = (entry.issuer.as_str(), entry.kind == IssuerEntryKind::Subjects);
            problems.check(seen.insert(key), &field, "repeats an issuer of the same kind");
            for other in self.issuers.iter().take(index) {
                let domains =
                    entry.trust_domain.is_some() && entry.trust_domain == other.trust_domain;
                problems.check(
                    !domains,
                    format!("{field}.trust_domain"),
                    "is already spoken for by another issuer",
                );
                if entry.kind == IssuerEntryKind::Subjects && other.kind == entry.kind {
                    let (ours, theirs) = (subject_prefix(entry), subject_prefix(other));
                    problems.check(
                        !ours.starts_with(theirs) && !theirs.starts_with(ours),
                        format!("{field}.subject_prefix"),
                        format!(
                            "`{ours}` overlaps `{theirs}` of {}: two issuers could name the same \
                             subject; give each a prefix of its own",
                            other.issuer
                        ),
                    );
                }
            }
        }
    }

    fn check_operators(&self, problems: &mut Problems) {
        for (index, entry) in self.operators.iter().enumerate() {
            let at = |name: &str| format!("operators[{index}].{name}");
            let known = self.issuers.iter().any(|issuer| {
                issuer.kind == IssuerEntryKind::Subjects && issuer.issuer == entry.issuer
            });
            problems.check(known, at("issuer"), "must be one of [[issuers]] of kind `subjects`");
            problems.check(
                entry.subject.is_some() != entry.group.is_some(),
                at("subject"),
                "give exactly one of `subject` and `group`",
            );
            problems.check(
                entry.subject.as_deref() != Some("") && entry.group.as_deref() != Some(""),
                at("subject"),
                "must not be empty",
            );
            problems.check(!entry.roles.is_empty(), at("roles"), "needs `admin` or `auditor`");
        }
        let admin = self.operators.iter().any(|entry| entry.roles.contains(&OperatorRole::Admin));
        problems.check(
            admin,
            "operators",
            "none has the role `admin`, so nobody could register an agent: add [[operators]]",
        );
    }

    fn check_numbers(&self, problems: &mut Problems) {
        let limits = &self.limits;
        for (field, value, low, high) in [
            ("tokens.key_rotation_days", u64::from(self.tokens.key_rotation_days), 1, 365),
            ("ledger.checkpoint_interval_ms", self.ledger.checkpoint_interval_ms, 20, 60_000),
            ("limits.request_bytes_max", limits.request_bytes_max as u64, 16_384, 16_777_216),
            ("limits.requests_in_flight_max", limits.requests_in_flight_max as u64, 1, 65_536),
            ("limits.request_timeout_ms", limits.request_timeout_ms, 100, 120_000),
            (
                "limits.proofs_remembered_max",
                limits.proofs_remembered_max as u64,
                1_000,
                50_000_000,
            ),
            ("limits.page_rows_max", u64::from(limits.page_rows_max), 1, 10_000),
            ("approvals.life_seconds", self.approvals.life_seconds, 1, 86_400),
            ("approvals.refused_seconds", self.approvals.refused_seconds, 1, 604_800),
            (
                "approvals.per_approver_hourly_max",
                u64::from(self.approvals.per_approver_hourly_max),
                1,
                1_000,
            ),
            (
                "approvals.pending_per_task_max",
                u64::from(self.approvals.pending_per_task_max),
                1,
                1_000,
            ),
        ] {
            let message = format!("is {value}; it must be between {low} and {high}");
            problems.check((low..=high).contains(&value), field, message);
        }
    }
}

/// The prefix that an issuer's subjects carry.
pub(super) fn subject_prefix(entry: &IssuerEntry) -> &str {
    entry.subject_prefix.as_deref().unwrap_or("user:")
}

fn dev_only() -> String {
    format!("`{}` exists only inside `serve --dev`", dev::TRUST_DOMAIN)
}

fn is_label(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_domain(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
        })
}

fn is_https_or_loopback(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        },
        _ => false,
    }
}
