//! AWS: requests signed with Signature Version 4, under a session of the task where a role is named.
//!
//! The session carries who is behind it as session tags and source identity, which CloudTrail writes
//! beside every call. It is one a task and agent, not one a call: the decision goes into the user
//! agent, which CloudTrail writes too.

mod sigv4;
mod sts;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::Timestamp;
use bailiwick_core::TaskId;
use bailiwick_core::time::UnixMillis;
use bytes::Bytes;
use http::HeaderName;
use http::request::Parts;
use moka::sync::Cache;
use serde::Deserialize;
use url::Url;

use self::sigv4::{Payload, Signing};
use super::client;
use super::fresh::Fresh;
use super::secret::{ConnectorFault, Secret, SecretConfig, SecretSource, millis};
use crate::carry::ProvenanceTag;
use crate::config::is_loopback;

/// Sessions that are kept.
const SESSIONS_MAX: u64 = 10_000;
/// A session is renewed this long before it ends.
const MARGIN_MS: u64 = 60_000;
const DURATION_SECONDS: u32 = 3_600;

/// An AWS identity.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// The region that requests are signed for.
    pub region: String,
    /// The service that they are signed for, such as `s3`.
    pub service: String,
    /// Where the identity is: the JSON that AWS's `credential_process` prints (`AccessKeyId`,
    /// `SecretAccessKey` and, for a session, `SessionToken` and `Expiration`).
    pub credentials: SecretConfig,
    /// A role that is assumed for the task first.
    #[serde(default)]
    pub assume_role: Option<RoleConfig>,
    /// `x-amz-*` headers of the agent that go on. What is not named is taken away: some of them
    /// change what a call does.
    #[serde(default)]
    pub amz_headers: Vec<String>,
}

/// Which calls share a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionOf {
    /// Those of one agent in one task.
    #[default]
    Task,
    /// None: each call has its own, tagged with its decision.
    Call,
}

/// A role that is assumed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// The role.
    pub arn: String,
    /// STS: https, or http on loopback; by default that of the region.
    #[serde(default)]
    pub sts_endpoint: Option<String>,
    /// How long a session lasts, in seconds, from 900 to 43 200. By default 3600.
    #[serde(default)]
    pub duration_seconds: Option<u32>,
    /// The external id that the role asks for.
    #[serde(default)]
    pub external_id: Option<String>,
    /// A file with an IAM policy that the session is narrowed to.
    #[serde(default)]
    pub session_policy: Option<std::path::PathBuf>,
    /// Whether sessions are tagged; the role's trust policy has to allow `sts:TagSession`.
    #[serde(default = "yes")]
    pub session_tags: bool,
    /// Whether sessions have a source identity; it has to allow `sts:SetSourceIdentity`.
    #[serde(default = "yes")]
    pub source_identity: bool,
    /// Which calls share a session.
    #[serde(default)]
    pub session: SessionOf,
}

fn yes() -> bool {
    true
}

impl AwsConfig {
    pub(super) fn resolve(&mut self, base: &Path) {
        self.credentials.resolve(base);
        let policy = self.assume_role.as_mut().and_then(|role| role.session_policy.as_mut());
        if let Some(path) = policy.filter(|path| path.is_relative()) {
            *path = base.join(&path);
        }
    }
}

/// What requests are signed with.
pub(super) struct Identity {
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    /// When it ends, if it does.
    until: Option<UnixMillis>,
}

impl Identity {
    /// Reads what `credential_process` prints.
    fn read(text: &str) -> Result<Self, ConnectorFault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Printed {
            access_key_id: String,
            secret_access_key: Secret,
            session_token: Option<Secret>,
            expiration: Option<String>,
        }
        let unusable = |what| ConnectorFault(format!("the AWS identity {what}"));
        let printed: Printed = serde_json::from_str(text)
            .map_err(|_| unusable("is not the JSON that credential_process prints"))?;
        let is_word = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|it| it.is_ascii_graphic() && it != b'/' && it != b',')
        };
        if !is_word(&printed.access_key_id) {
            return Err(unusable("has no AccessKeyId"));
        }
        let until = match printed.expiration {
            None => None,
            Some(text) => {
                let time: Timestamp =
                    text.parse().map_err(|_| unusable("has an Expiration that is no time"))?;
                Some(time.unix_millis())
            }
        };
        Ok(Self {
            access_key_id: printed.access_key_id,
            secret_access_key: printed.secret_access_key,
            session_token: printed.session_token,
            until,
        })
    }
}

/// A role, ready to be assumed.
struct Role {
    config: RoleConfig,
    endpoint: Url,
    policy: Option<String>,
    duration: Duration,
    http: reqwest::Client,
    sessions: Cache<(TaskId, String), Arc<Fresh<Identity>>>,
    /// For what belongs to no task: the housekeeping of a protocol.
    own: Arc<Fresh<Identity>>,
}

/// An AWS identity, ready to sign.
pub(super) struct AwsClient {
    region: String,
    service: String,
    credentials: Arc<SecretSource>,
    role: Option<Arc<Role>>,
    amz_headers: Vec<HeaderName>,
}

impl AwsClient {
    pub(super) fn compile(config: &AwsConfig) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let is_word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        };
        if !is_word(&config.region) || !is_word(&config.service) {
            faults.push(
                "connector: `region` and `service` are names such as `eu-central-1` and `s3`"
                    .to_owned(),
            );
        }
        let credentials = SecretSource::compile("credentials", &config.credentials);
        let credentials = credentials.map_err(|fault| faults.push(fault)).ok();
        let amz_headers = config.amz_headers.iter().filter_map(|name| {
            let name = name.to_ascii_lowercase();
            let named: Option<HeaderName> = name.parse().ok();
            if named.is_none() || !name.starts_with("x-amz-") || RESERVED.contains(&name.as_str()) {
                faults.push(format!(
                    "connector: `{name}` is no header that an agent may send to AWS"
                ));
                return None;
            }
            named
        });
        let amz_headers = amz_headers.collect();
        let role = config.assume_role.as_ref().map(|role| Role::compile(role, &config.region));
        let role = role.transpose().map_err(|found| faults.extend(found)).ok().flatten();
        let (Some(credentials), true) = (credentials, faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Self {
            region: config.region.clone(),
            service: config.service.clone(),
            credentials: Arc::new(credentials),
            role: role.map(Arc::new),
            amz_headers,
        })
    }

    /// Whether a body that is not known when the request begins can be sent.
    pub(super) fn streams(&self) -> bool {
        self.service == "s3"
    }

    /// Signs the request. `None` is a body that streams through.
    ///
    /// Gives what would be known to whoever the upstream echoes the request to.
    pub(super) async fn sign(
        &self,
        parts: &mut Parts,
        body: Option<&Bytes>,
        tag: Option<&ProvenanceTag>,
        now: UnixMillis,
    ) -> Result<Option<Secret>, ConnectorFault> {
        let identity = match &self.role {
            None => Arc::new(self.base(now).await?),
            Some(role) => self.session(role, tag, now).await?,
        };
        self.strip(parts)?;
        let payload = match body {
            Some(bytes) => Payload::Known(bytes),
            None if self.streams() => Payload::Streams,
            None => {
                let what = "only S3 takes a body that is not known before it is sent";
                return Err(ConnectorFault(what.to_owned()));
            }
        };
        let signing =
            Signing { identity: &identity, region: &self.region, service: &self.service, now };
        sigv4::sign(parts, &payload, &signing)?;
        Ok(identity.session_token.clone())
    }

    /// The vendor did not take it.
    pub(super) fn rejected(&self, tag: Option<&ProvenanceTag>, now: UnixMillis) {
        self.credentials.rejected(now);
        if let Some(role) = &self.role {
            role.held(tag).rejected(now);
        }
    }

    async fn base(&self, now: UnixMillis) -> Result<Identity, ConnectorFault> {
        base(&self.credentials, now).await
    }

    async fn session(
        &self,
        role: &Arc<Role>,
        tag: Option<&ProvenanceTag>,
        now: UnixMillis,
    ) -> Result<Arc<Identity>, ConnectorFault> {
        let (shared, credentials) = (Arc::clone(role), Arc::clone(&self.credentials));
        let (region, owned) = (self.region.clone(), tag.cloned());
        let fetch = || async move {
            let base = base(&credentials, now).await?;
            let asking = sts::Asking {
                endpoint: &shared.endpoint,
                region: &region,
                role: &shared.config,
                policy: shared.policy.as_deref(),
                duration: shared.duration,
            };
            let session = asking.assume(&shared.http, &base, owned.as_ref(), now).await?;
            let life = millis(shared.duration).saturating_sub(MARGIN_MS);
            Ok((session, UnixMillis(now.0.saturating_add(life))))
        };
        match role.config.session {
            SessionOf::Call => Arc::<Fresh<Identity>>::default().get(now, fetch).await,
            SessionOf::Task => role.held(tag).get(now, fetch).await,
        }
    }

    /// Takes away what only a signer says.
    fn strip(&self, parts: &mut Parts) -> Result<(), ConnectorFault> {
        let names: Vec<HeaderName> = parts.headers.keys().cloned().collect();
        for name in names {
            if name.as_str().starts_with("x-amz-") && !self.amz_headers.contains(&name) {
                parts.headers.remove(name);
            }
        }
        let query = parts.uri.query().unwrap_or_default().to_ascii_lowercase();
        if query.split('&').any(|part| part.starts_with("x-amz-")) {
            let what = "the request says X-Amz-* parameters, which only a signer says";
            return Err(ConnectorFault(what.to_owned()));
        }
        Ok(())
    }
}

/// Headers that are the signer's.
const RESERVED: [&str; 3] = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

async fn base(credentials: &SecretSource, now: UnixMillis) -> Result<Identity, ConnectorFault> {
    let identity = Identity::read(credentials.get(now).await?.expose())?;
    if identity.until.is_none_or(|until| now < until) {
        return Ok(identity);
    }
    // A command may have a newer one.
    credentials.rejected(now);
    let identity = Identity::read(credentials.get(now).await?.expose())?;
    if identity.until.is_some_and(|until| now >= until) {
        return Err(ConnectorFault("the AWS identity has expired".to_owned()));
    }
    Ok(identity)
}

impl Role {
    fn compile(config: &RoleConfig, region: &str) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        if !config.arn.starts_with("arn:") || !config.arn.contains(":role/") {
            faults.push(format!("connector: `{}` is no ARN of a role", config.arn));
        }
        let seconds = config.duration_seconds.unwrap_or(DURATION_SECONDS);
        if !(900..=43_200).contains(&seconds) {
            faults.push("connector: `duration_seconds` is from 900 to 43200".to_owned());
        }
        let endpoint = match &config.sts_endpoint {
            Some(text) => text.clone(),
            None => format!("https://sts.{region}.amazonaws.com/"),
        };
        let endpoint = Url::parse(&endpoint).ok();
        let endpoint = endpoint.filter(|url| url.scheme() == "https" || is_loopback(url));
        if endpoint.is_none() {
            faults.push("connector: `sts_endpoint` is https, or http on loopback".to_owned());
        }
        let policy = config.session_policy.as_ref().map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
            let read: Result<serde_json::Value, _> = serde_json::from_str(&text);
            // STS takes 2048 characters; spaces would count.
            read.map(|policy| policy.to_string()).map_err(|error| error.to_string())
        });
        let policy = policy.transpose().map_err(|error| {
            faults.push(format!("connector: `session_policy` cannot be read: {error}"));
        });
        let http = client::outbound().map_err(|fault| faults.push(fault));
        let (Some(endpoint), Ok(policy), Ok(http), true) =
            (endpoint, policy, http, faults.is_empty())
        else {
            return Err(faults);
        };
        Ok(Self {
            config: config.clone(),
            endpoint,
            policy,
            duration: Duration::from_secs(u64::from(seconds)),
            http,
            // What nobody has used for a session's length has ended.
            sessions: Cache::builder()
                .max_capacity(SESSIONS_MAX)
                .time_to_idle(Duration::from_secs(u64::from(seconds)))
                .build(),
            own: Arc::default(),
        })
    }

    /// The session of a task's agent.
    fn held(&self, tag: Option<&ProvenanceTag>) -> Arc<Fresh<Identity>> {
        match tag {
            Some(tag) => self.sessions.get_with((tag.task, tag.agents.join(" ")), Arc::default),
            None => Arc::clone(&self.own),
        }
    }
}

#[cfg(test)]
mod tests;
