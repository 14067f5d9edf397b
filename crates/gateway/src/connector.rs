//! A vendor's credential: it lives here and nowhere else.
//!
//! An agent's own token has been stripped when [`Connector::apply`] is called; what the vendor gets
//! is a key, a password, an access token or a signature that the gateway holds, and a provenance tag
//! wherever the vendor has a place for one. The credential comes from a file, the environment or a
//! command, is read again when it changes, and is in no log, no error and no reply.

mod aws;
mod client;
mod command;
mod echo;
mod fixed;
mod fresh;
mod oauth;
mod permissions;
mod secret;
#[cfg(test)]
mod testing;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bailiwick_api::ProblemCode;
use bailiwick_core::permission::PermissionSet;
use bailiwick_core::time::UnixMillis;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use url::Url;

use crate::carry::ProvenanceTag;
use crate::config::{RouteConfig, is_loopback};
use crate::http_api::BodyUse;
use crate::stop::Stop;

use self::aws::{AwsClient, AwsConfig};
pub(crate) use self::echo::Echo;
use self::fixed::{BasicConfig, KeyConfig, KeyPlace, basic, sensitive};
use self::oauth::{OauthClient, OauthConfig};
use self::permissions::ImportConfig;
use self::secret::ConnectorFault;
pub(crate) use self::secret::{SecretConfig, SecretSource};

/// Characters of an agent's own `User-Agent` that go on.
const USER_AGENT_CHARS_MAX: usize = 128;
/// What the provenance header may not take the place of.
const NO_PLACE: [HeaderName; 4] =
    [header::AUTHORIZATION, header::HOST, header::CONTENT_LENGTH, header::COOKIE];

/// A vendor's credential. Exactly one of `key`, `basic`, `oauth` and `aws` is given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectorConfig {
    /// A key, in a header or a query parameter.
    pub key: Option<KeyConfig>,
    /// A name and a password.
    pub basic: Option<BasicConfig>,
    /// An OAuth client.
    pub oauth: Option<OauthConfig>,
    /// An AWS identity.
    pub aws: Option<AwsConfig>,
    /// What the credential can do at the vendor, in the vendor's words: `crm.read`, or
    /// `SELECT public.contact`. An OAuth client's are its `scopes` unless they are given.
    pub permissions: Option<Vec<String>>,
    /// The vendor's own description of what it can do, instead of `permissions`.
    pub import: Option<ImportConfig>,
    /// Whether task and decision stand at the end of `User-Agent`.
    pub user_agent: Option<bool>,
    /// A header that the vendor logs; task, decision and token go into it.
    pub provenance_header: Option<String>,
    /// Whether an Envoy that asks over `ext_authz` is given the credential, to put it into what it
    /// sends: it then looks at no reply, so a vendor that repeats it shows it to the agent.
    pub envoy: bool,
}

impl ConnectorConfig {
    /// Makes the paths of files absolute.
    pub(crate) fn resolve(&mut self, base: &Path) {
        if let Some(key) = &mut self.key {
            key.secret.resolve(base);
        }
        if let Some(basic) = &mut self.basic {
            basic.password.resolve(base);
        }
        if let Some(oauth) = &mut self.oauth {
            oauth.resolve(base);
        }
        if let Some(aws) = &mut self.aws {
            aws.resolve(base);
        }
        if let Some(import) = &mut self.import {
            import.resolve(base);
        }
    }
}

enum Credential {
    Key { place: KeyPlace, secret: SecretSource },
    Basic { username: String, password: SecretSource },
    Oauth(OauthClient),
    Aws(Box<AwsClient>),
}

/// A vendor's credential, ready to be put into requests.
pub(crate) struct Connector {
    route: String,
    credential: Credential,
    import: Option<ImportConfig>,
    permissions: ArcSwap<PermissionSet>,
    user_agent: bool,
    provenance_header: Option<HeaderName>,
    envoy: bool,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("route", &self.route).field("kind", &self.kind()).finish()
    }
}

impl Connector {
    /// Compiles the configuration; each fault says what to do.
    pub(crate) fn compile(
        config: &ConnectorConfig,
        route: &RouteConfig,
        state_dir: &Path,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let upstream = Url::parse(&route.upstream);
        if upstream.is_ok_and(|url| url.scheme() != "https" && !is_loopback(&url)) {
            faults.push(
                "`upstream` is plain http beyond this machine: the credential would be seen on the \
                 way; use https"
                    .to_owned(),
            );
        }
        let header = config.provenance_header.as_ref().and_then(|name| {
            let named: Option<HeaderName> =
                name.parse().ok().filter(|name| !NO_PLACE.contains(name));
            if named.is_none() {
                faults.push(format!("connector: `{name}` is no header for provenance"));
            }
            named
        });
        let permissions = permissions::of(config).map_err(|fault| faults.push(fault)).ok();
        let credential = Credential::compile(config, route, state_dir);
        let credential = credential.map_err(|found| faults.extend(found)).ok();
        let (Some(permissions), Some(credential), true) =
            (permissions, credential, faults.is_empty())
        else {
            return Err(faults);
        };
        Ok(Self {
            route: route.name.clone(),
            credential,
            import: config.import.clone(),
            permissions: ArcSwap::from_pointee(permissions),
            user_agent: config.user_agent.unwrap_or(true),
            provenance_header: header,
            envoy: config.envoy,
        })
    }

    /// What kind of credential it is.
    pub(crate) fn kind(&self) -> &'static str {
        match self.credential {
            Credential::Key { .. } => "key",
            Credential::Basic { .. } => "basic",
            Credential::Oauth(_) => "oauth",
            Credential::Aws(_) => "aws",
        }
    }

    /// Whether Envoy is given it.
    pub(crate) fn is_for_envoy(&self) -> bool {
        self.envoy
    }

    /// What the credential can do at the vendor.
    pub(crate) fn permissions(&self) -> Arc<PermissionSet> {
        self.permissions.load_full()
    }

    /// Reads an imported description again; what cannot be read changes nothing.
    pub(crate) fn import_again(&self) {
        let Some(import) = &self.import else { return };
        match permissions::import(import) {
            Ok(found) if found != **self.permissions.load() => self.permissions.store(found.into()),
            Ok(_) => {}
            Err(fault) => {
                tracing::warn!(route = %self.route, %fault, "permissions stay as they were")
            }
        }
    }

    /// Puts the credential and the provenance into a request that has its host and everything else
    /// that the vendor sees. `body` is `None` when it streams through; `tag` when the request is
    /// housekeeping of a protocol and nothing was decided.
    ///
    /// Gives what has to be looked for in the reply.
    ///
    /// # Errors
    /// There is no usable credential. The agent is told no more than that; the log says why.
    pub(crate) async fn apply(
        &self,
        parts: &mut Parts,
        body: Option<&Bytes>,
        tag: Option<&ProvenanceTag>,
        now: UnixMillis,
    ) -> Result<Option<Echo>, Stop> {
        self.tell(parts, tag);
        self.authenticate(parts, body, tag, now).await.map_err(|fault| {
            tracing::error!(route = %self.route, kind = self.kind(), %fault, "no usable credential");
            let detail = "the gateway has no usable credential for this upstream now";
            Stop::new(ProblemCode::BadGateway, detail)
        })
    }

    /// Hears the vendor's answer: a credential that was refused is fetched anew for the next call.
    pub(crate) fn answered(
        &self,
        status: StatusCode,
        tag: Option<&ProvenanceTag>,
        now: UnixMillis,
    ) {
        match &self.credential {
            Credential::Key { secret, .. } | Credential::Basic { password: secret, .. } => {
                if status == StatusCode::UNAUTHORIZED {
                    secret.rejected(now);
                }
            }
            Credential::Oauth(client) => {
                if status == StatusCode::UNAUTHORIZED {
                    client.rejected(now);
                }
            }
            Credential::Aws(client) => {
                // AWS says 403 of a session that has ended, too.
                if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) {
                    client.rejected(tag, now);
                }
            }
        }
    }

    /// Provenance, wherever this vendor has a place for it.
    fn tell(&self, parts: &mut Parts, tag: Option<&ProvenanceTag>) {
        if let Some(name) = &self.provenance_header {
            parts.headers.remove(name);
        }
        let Some(tag) = tag else { return };
        let ids = format!("decision={}; task={}; token={}", tag.decision, tag.task, tag.jti);
        if let (Some(name), Ok(value)) = (&self.provenance_header, HeaderValue::from_str(&ids)) {
            parts.headers.insert(name.clone(), value);
        }
        if self.user_agent {
            let said = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
            let said: String =
                said.unwrap_or_default().chars().take(USER_AGENT_CHARS_MAX).collect();
            // Nobody else names a decision here.
            let forged = said.to_ascii_lowercase().contains("bailiwick/");
            let said = if forged { "" } else { said.trim() };
            let version = env!("CARGO_PKG_VERSION");
            let ours =
                format!("bailiwick/{version} (decision={}; task={})", tag.decision, tag.task);
            let text = if said.is_empty() { ours } else { format!("{said} {ours}") };
            if let Ok(value) = HeaderValue::from_str(&text) {
                parts.headers.insert(header::USER_AGENT, value);
            }
        }
    }

    async fn authenticate(
        &self,
        parts: &mut Parts,
        body: Option<&Bytes>,
        tag: Option<&ProvenanceTag>,
        now: UnixMillis,
    ) -> Result<Option<Echo>, ConnectorFault> {
        match &self.credential {
            Credential::Key { place, secret } => {
                let secret = secret.get(now).await?;
                place.put(parts, &secret)?;
                Ok(Echo::of_secret(&secret))
            }
            Credential::Basic { username, password } => {
                let password = password.get(now).await?;
                let value = basic(username, &password);
                parts.headers.insert(header::AUTHORIZATION, sensitive(&value)?);
                let encoded = value.strip_prefix("Basic ").unwrap_or_default();
                Ok(Echo::of([encoded, password.expose()]))
            }
            Credential::Oauth(client) => {
                let token = client.token(now).await?;
                let value = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
                parts.headers.insert(header::AUTHORIZATION, sensitive(&value)?);
                Ok(Echo::of_secret(&token))
            }
            Credential::Aws(client) => {
                let sent = client.sign(parts, body, tag, now).await?;
                Ok(sent.as_ref().and_then(Echo::of_secret))
            }
        }
    }
}

impl Credential {
    fn compile(
        config: &ConnectorConfig,
        route: &RouteConfig,
        state_dir: &Path,
    ) -> Result<Self, Vec<String>> {
        match (&config.key, &config.basic, &config.oauth, &config.aws) {
            (Some(key), None, None, None) => {
                let place = KeyPlace::compile(key).map_err(|fault| vec![fault])?;
                let secret = SecretSource::compile("secret", &key.secret);
                Ok(Self::Key { place, secret: secret.map_err(|fault| vec![fault])? })
            }
            (None, Some(basic), None, None) => {
                if basic.username.contains(':') || basic.username.chars().any(char::is_control) {
                    let fault = "connector: a `username` has no colon (RFC 7617)".to_owned();
                    return Err(vec![fault]);
                }
                let password = SecretSource::compile("password", &basic.password);
                let password = password.map_err(|fault| vec![fault])?;
                Ok(Self::Basic { username: basic.username.clone(), password })
            }
            (None, None, Some(oauth), None) => {
                OauthClient::compile(&route.name, oauth, state_dir).map(Self::Oauth)
            }
            (None, None, None, Some(aws)) => {
                let client = AwsClient::compile(aws)?;
                let operations = route.http.iter().flat_map(|http| &http.operation);
                if !client.streams()
                    && operations.clone().any(|it| it.body == Some(BodyUse::Opaque))
                {
                    let fault = "an operation has `body = \"opaque\"`, and only S3 takes a body \
                                 that is not known before it is sent";
                    return Err(vec![fault.to_owned()]);
                }
                Ok(Self::Aws(Box::new(client)))
            }
            _ => Err(vec![
                "[route.connector] takes exactly one of `key`, `basic`, `oauth` and `aws`"
                    .to_owned(),
            ]),
        }
    }
}

#[cfg(test)]
mod tests;
