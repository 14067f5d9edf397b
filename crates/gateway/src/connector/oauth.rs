//! An OAuth client: the gateway gets access tokens of its own and keeps them until they end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_core::time::UnixMillis;
use bailiwick_core::{fill_random, sha256};
use bailiwick_identity::{AssertionKey, CLIENT_ASSERTION_TYPE, private_files};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::client::{self, Answer};
use super::fixed::{ENCODED, sensitive};
use super::fresh::Fresh;
use super::secret::{ConnectorFault, Secret, SecretConfig, SecretSource, millis};
use crate::config::is_loopback;

/// A token is fetched anew this long before it ends, or at a tenth of its life if that is less.
const MARGIN_MS: u64 = 30_000;
/// But no later than this before it ends, or at half its life if that is less: a server that counts whole
/// seconds ends it up to one early, and a call has to get there.
const MARGIN_MS_MIN: u64 = 2_000;
/// The life of a token whose server does not say (RFC 6749 §5.1 recommends that it does).
const LIFE_SECONDS: u64 = 300;

/// How many scopes a log line names, and how long one may be that a server names.
const SCOPES_TOLD_MAX: usize = 16;
const SCOPE_BYTES_MAX: usize = 128;

/// How a client gets its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// As itself (RFC 6749 §4.4).
    #[default]
    ClientCredentials,
    /// With a refresh token that somebody obtained (RFC 6749 §6).
    RefreshToken,
}

/// How a client shows its secret, when it has one instead of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPlace {
    /// In the `Authorization` header.
    #[default]
    Basic,
    /// In the form.
    Post,
}

/// An OAuth client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthConfig {
    /// The token endpoint: https, or http on loopback.
    pub token_endpoint: String,
    /// The client's id.
    pub client_id: String,
    /// How it gets its tokens.
    #[serde(default)]
    pub grant: Grant,
    /// Where its PEM private key is (`private_key_jwt`, RFC 7523): nothing that the server knows can
    /// be stolen from it.
    #[serde(default)]
    pub private_key: Option<SecretConfig>,
    /// The key's id at the server.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Whether an RSA key signs with PSS (`PS256`) rather than PKCS#1 (`RS256`).
    #[serde(default)]
    pub pss: bool,
    /// Whom assertions are for; by default the token endpoint.
    #[serde(default)]
    pub assertion_audience: Option<String>,
    /// Where its secret is, for a server that knows no keys.
    #[serde(default)]
    pub client_secret: Option<SecretConfig>,
    /// Where the secret is shown.
    #[serde(default)]
    pub client_secret_in: SecretPlace,
    /// Where the refresh token is. One that the server gives in its place is kept in the gateway's
    /// state directory.
    #[serde(default)]
    pub refresh_token: Option<SecretConfig>,
    /// Scopes that are asked for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// `audience`, for servers that want one.
    #[serde(default)]
    pub audience: Option<String>,
    /// `resource` (RFC 8707).
    #[serde(default)]
    pub resource: Option<String>,
}

impl OauthConfig {
    pub(super) fn resolve(&mut self, base: &Path) {
        let secrets = [&mut self.private_key, &mut self.client_secret, &mut self.refresh_token];
        secrets.into_iter().flatten().for_each(|secret| secret.resolve(base));
    }
}

/// How a client authenticates.
enum ClientAuth {
    Key(SecretSource),
    Secret(SecretSource),
}

/// An OAuth client, ready to get tokens.
pub(super) struct OauthClient {
    parts: Arc<Parts>,
    held: Arc<Fresh<Secret>>,
}

struct Parts {
    name: String,
    config: OauthConfig,
    endpoint: Url,
    auth: ClientAuth,
    refresh: Option<SecretSource>,
    /// Where a refresh token that the server gave is kept.
    kept: PathBuf,
    http: reqwest::Client,
}

impl OauthClient {
    pub(super) fn compile(
        name: &str,
        config: &OauthConfig,
        state_dir: &Path,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let endpoint = Url::parse(&config.token_endpoint).ok();
        let endpoint = endpoint.filter(|url| url.scheme() == "https" || is_loopback(url));
        if endpoint.is_none() {
            faults.push("connector: `token_endpoint` is https, or http on loopback".to_owned());
        }
        if config.client_id.is_empty() {
            faults.push("connector: `client_id` is empty".to_owned());
        }
        let mut compile = |name: &str, secret: &SecretConfig| {
            SecretSource::compile(name, secret).map_err(|fault| faults.push(fault)).ok()
        };
        let auth = match (&config.private_key, &config.client_secret) {
            (Some(key), None) => compile("private_key", key).map(ClientAuth::Key),
            (None, Some(secret)) => compile("client_secret", secret).map(ClientAuth::Secret),
            _ => {
                faults.push(
                    "connector: give one of `private_key` (better) and `client_secret`".to_owned(),
                );
                None
            }
        };
        let mut compile = |name: &str, secret: &SecretConfig| {
            SecretSource::compile(name, secret).map_err(|fault| faults.push(fault)).ok()
        };
        let refresh = config.refresh_token.as_ref().and_then(|it| compile("refresh_token", it));
        if config.refresh_token.is_some() != (config.grant == Grant::RefreshToken) {
            faults.push(
                "connector: `refresh_token` goes with `grant = \"refresh_token\"`".to_owned(),
            );
        }
        let http = client::outbound().map_err(|fault| faults.push(fault)).ok();
        let (Some(endpoint), Some(auth), Some(http), true) =
            (endpoint, auth, http, faults.is_empty())
        else {
            return Err(faults);
        };
        let file: String =
            name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let kept = state_dir.join("connectors").join(format!("{file}.refresh.json"));
        let (name, config) = (name.to_owned(), config.clone());
        let parts = Arc::new(Parts { name, config, endpoint, auth, refresh, kept, http });
        Ok(Self { parts, held: Arc::default() })
    }

    /// A token that is good now.
    pub(super) async fn token(&self, now: UnixMillis) -> Result<Secret, ConnectorFault> {
        let parts = Arc::clone(&self.parts);
        let fetch = || async move { parts.fetch(now).await };
        self.held.get(now, fetch).await.map(|token| Secret::clone(&token))
    }

    pub(super) fn rejected(&self, now: UnixMillis) {
        self.held.rejected(now);
    }
}

/// A refresh token that the server gave in place of the configured one.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of the configured token that it descends from: when the operator gives another one,
    /// this is forgotten.
    from: String,
    refresh_token: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    token_type: String,
    /// A number; some servers write it as text.
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<Secret>,
    scope: Option<String>,
}

impl Parts {
    async fn fetch(&self, now: UnixMillis) -> Result<(Secret, UnixMillis), ConnectorFault> {
        let mut form: Vec<(&str, Zeroizing<String>)> = Vec::new();
        let mut put = |name, value: &str| form.push((name, Zeroizing::new(value.to_owned())));
        let configured = match &self.refresh {
            Some(source) => Some(source.get(now).await?),
            None => None,
        };
        match &configured {
            Some(configured) => {
                put("grant_type", "refresh_token");
                put("refresh_token", self.refresh_token(configured)?.expose());
            }
            None => put("grant_type", "client_credentials"),
        }
        if !self.config.scopes.is_empty() {
            put("scope", &self.config.scopes.join(" "));
        }
        for (name, value) in
            [("audience", &self.config.audience), ("resource", &self.config.resource)]
        {
            if let Some(value) = value {
                put(name, value);
            }
        }
        let mut request = self.http.post(self.endpoint.clone());
        let id = &self.config.client_id;
        match &self.auth {
            ClientAuth::Key(source) => {
                put("client_id", id);
                put("client_assertion_type", CLIENT_ASSERTION_TYPE);
                put("client_assertion", &self.assertion(&source.get(now).await?, now)?);
            }
            ClientAuth::Secret(source) => {
                let secret = source.get(now).await?;
                match self.config.client_secret_in {
                    SecretPlace::Post => {
                        put("client_id", id);
                        put("client_secret", secret.expose());
                    }
                    SecretPlace::Basic => {
                        request = request
                            .header(http::header::AUTHORIZATION, basic(id, secret.expose())?);
                    }
                }
            }
        }
        let form: Vec<(&str, &str)> =
            form.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let answer = client::send(request.form(&form)).await?;
        self.take(answer, configured.as_ref(), now)
    }

    /// The token of an answer. What else it says is told without any of its text.
    fn take(
        &self,
        answer: Answer,
        configured: Option<&Secret>,
        now: UnixMillis,
    ) -> Result<(Secret, UnixMillis), ConnectorFault> {
        if !answer.status.is_success() {
            let code = client::oauth_error(&answer.body).unwrap_or("no code");
            return Err(ConnectorFault(format!(
                "the token endpoint answers {} ({code})",
                answer.status.as_u16()
            )));
        }
        let unusable = |what: &str| ConnectorFault(format!("the token endpoint's answer {what}"));
        let token: TokenAnswer =
            serde_json::from_slice(&answer.body).map_err(|_| unusable("is no token"))?;
        if !token.token_type.eq_ignore_ascii_case("bearer") {
            return Err(unusable("is a token of another type than Bearer"));
        }
        let text = token.access_token.expose();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable("is a token that fits into no header"));
        }
        self.compare_scope(token.scope.as_deref());
        if let (Some(configured), Some(given)) = (configured, &token.refresh_token) {
            self.keep(configured, given)?;
        }
        let life = token.expires_in.and_then(|seconds| {
            seconds.as_u64().or_else(|| seconds.as_str().and_then(|text| text.parse().ok()))
        });
        let life = millis(Duration::from_secs(life.unwrap_or(LIFE_SECONDS)));
        let margin = MARGIN_MS.min(life / 10).max(MARGIN_MS_MIN.min(life / 2));
        let until = now.0.saturating_add(life.saturating_sub(margin));
        Ok((token.access_token, UnixMillis(until)))
    }

    /// Says so when the server gave more than was asked for, or less: the declaration is wrong then.
    fn compare_scope(&self, granted: Option<&str>) {
        let asked = &self.config.scopes;
        // A server that gave what was asked for need not say so (RFC 6749 §5.1).
        let Some(granted) = granted.filter(|_| !asked.is_empty()) else { return };
        let (more, less) = differences(asked, granted);
        if !more.is_empty() {
            tracing::warn!(route = %self.name, ?more, "the vendor granted scopes that nobody asked for");
        }
        if !less.is_empty() {
            tracing::warn!(route = %self.name, ?less, "the vendor did not grant scopes that were asked for");
        }
    }

    fn assertion(&self, pem: &Secret, now: UnixMillis) -> Result<String, ConnectorFault> {
        let fault = |error: bailiwick_identity::AssertionError| ConnectorFault(error.to_string());
        let key = AssertionKey::from_pem(
            pem.expose().as_bytes(),
            self.config.key_id.clone(),
            self.config.pss,
        );
        let mut jti = [0; 16];
        fill_random(&mut jti).map_err(|error| ConnectorFault(error.to_string()))?;
        let audience = self.config.assertion_audience.as_deref();
        let audience = audience.unwrap_or(&self.config.token_endpoint);
        let jti = URL_SAFE_NO_PAD.encode(jti);
        let key = key.map_err(fault)?;
        key.sign(&self.config.client_id, audience, &jti, now.seconds()).map_err(fault)
    }

    /// The refresh token in use: the one kept here if it descends from the configured one.
    fn refresh_token(&self, configured: &Secret) -> Result<Secret, ConnectorFault> {
        let read = private_files::read(&self.kept);
        let Some(bytes) = read.map_err(|error| ConnectorFault(error.to_string()))? else {
            return Ok(configured.clone());
        };
        let kept: Option<Kept> = serde_json::from_slice(&bytes).ok();
        let kept = kept.map(|kept| (kept.from, Zeroizing::new(kept.refresh_token)));
        match kept {
            Some((from, token)) if from == fingerprint(configured) => Ok(Secret::new(&token)),
            _ => Ok(configured.clone()),
        }
    }

    fn keep(&self, configured: &Secret, given: &Secret) -> Result<(), ConnectorFault> {
        let fault = |error: &dyn std::fmt::Display| ConnectorFault(error.to_string());
        let kept = Kept { from: fingerprint(configured), refresh_token: given.expose().to_owned() };
        let bytes = Zeroizing::new(serde_json::to_vec(&kept).map_err(|error| fault(&error))?);
        drop(Zeroizing::new(kept.refresh_token));
        if let Some(directory) = self.kept.parent() {
            private_files::ensure_directory(directory).map_err(|error| fault(&error))?;
        }
        private_files::write(&self.kept, &bytes).map_err(|error| fault(&error))
    }
}

/// What was granted and not asked for, and what was asked for and not granted. What a server calls a
/// scope and what does not look like one is left out.
fn differences<'a>(asked: &'a [String], granted: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let granted: Vec<&str> = granted.split(' ').filter(|scope| !scope.is_empty()).collect();
    let plain = |scope: &&str| {
        scope.len() <= SCOPE_BYTES_MAX && scope.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let more = granted.iter().copied().filter(|scope| !asked.iter().any(|it| it == scope));
    let more = more.filter(plain).take(SCOPES_TOLD_MAX).collect();
    let less = asked.iter().map(String::as_str).filter(|scope| !granted.contains(scope));
    (more, less.take(SCOPES_TOLD_MAX).collect())
}

fn fingerprint(secret: &Secret) -> String {
    sha256(secret.expose().as_bytes()).b64()
}

/// RFC 6749 §2.3.1: id and secret are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> Result<http::HeaderValue, ConnectorFault> {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let pair = Zeroizing::new(format!("{}:{}", encode(id), encode(secret)));
    sensitive(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

#[cfg(test)]
mod tests;
