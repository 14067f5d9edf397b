//! The embedded development identities of `serve --dev`: a trust domain that mints SVIDs for agents
//! and an issuer that mints ID tokens for users, so that nothing has to be installed.
//!
//! Whoever can reach it can be anyone. It is therefore off unless a flag turns it on, listens on
//! loopback only, refuses production environments and data directories that were not made for it,
//! and refuses what a web page can make a browser send. The code that *verifies* these tokens is
//! the same as for any other issuer.

mod mode;
mod routes;

use std::path::Path;

use bailiwick_core::crypto::{Algorithm, KeyError, SigningKey};
use bailiwick_core::time::UnixMillis;
use bailiwick_identity::{IssuerConfig, JwksSource};
use serde_json::{Value, json};

use crate::compact;
use crate::config::Config;
use bailiwick_identity::private_files::{self, PrivateFileError};

pub use mode::{ModeError, claim_data_dir};
pub use routes::router;

/// The development trust domain.
pub const TRUST_DOMAIN: &str = "dev.bailiwick.example";
/// The development operator.
pub const OPERATOR: &str = "operator@dev.example";
/// The group whose members are operators in development.
pub const OPERATOR_GROUP: &str = "operators";
/// Life of what is minted.
pub const LIFE_SECONDS: u64 = 300;

/// The development user issuer of an Authority.
pub fn user_issuer(issuer: &str) -> String {
    format!("{issuer}/dev")
}

/// Why the development identities cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The configuration does not say `--dev`.
    #[error("development identities exist only under `serve --dev`")]
    NotDev,
    /// The data directory does not fit.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// A key file cannot be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A key file is not a key.
    #[error("{path} is not a key: remove it, a new one is made")]
    NotAKey {
        /// The file.
        path: String,
    },
    /// The crypto library refused.
    #[error("the crypto library failed: {0}")]
    Crypto(#[from] KeyError),
}

/// Why a development token is not minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The user's name is empty, too long or has unprintable characters.
    #[error(
        "`subject` must be 1 to 255 printable characters without spaces, such as alice@dev.example"
    )]
    Subject,
    /// A group's name is, or there are too many.
    #[error("`groups` must be at most 64 names of 1 to 255 printable characters without spaces")]
    Groups,
    /// The SPIFFE ID is not one of the development trust domain.
    #[error(
        "`spiffe_id` must be spiffe://dev.bailiwick.example/<path> of letters, digits, `-`, `_`, `.` and `/`"
    )]
    SpiffeId,
    /// The audience is empty or too long.
    #[error("`audience` must be 1 to 1024 printable characters without spaces")]
    Audience,
    /// The crypto library refused.
    #[error("signing failed")]
    Signing,
}

/// The embedded development identities.
pub struct DevDomain {
    issuer: String,
    workload_key: SigningKey,
    user_key: SigningKey,
}

impl std::fmt::Debug for DevDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevDomain").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl DevDomain {
    /// Opens the keys under `<data_dir>/dev`, or makes them. The configuration must be that of
    /// `serve --dev` and valid.
    ///
    /// # Errors
    /// [`DevError`]; the server must not start.
    pub fn open(config: &Config) -> Result<Self, DevError> {
        if !config.dev || config.validate().is_err() {
            return Err(DevError::NotDev);
        }
        claim_data_dir(&config.data_dir, true)?;
        let directory = config.data_dir.join("dev");
        private_files::ensure_directory(&directory)?;
        Ok(Self {
            issuer: config.issuer.clone(),
            workload_key: open_key(&directory.join("workloads.pk8"))?,
            user_key: open_key(&directory.join("users.pk8"))?,
        })
    }

    /// What the identity crate is to believe: the two issuers, their keys inline.
    pub fn issuer_configs(&self) -> Vec<IssuerConfig> {
        let trust_domain = format!("spiffe://{TRUST_DOMAIN}");
        vec![
            IssuerConfig::workloads(trust_domain, TRUST_DOMAIN, inline(&self.workload_key)),
            IssuerConfig::subjects(user_issuer(&self.issuer), inline(&self.user_key)),
        ]
    }

    /// An ID token for a user; `audience` is this Authority when absent.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn mint_subject_token(
        &self,
        subject: &str,
        groups: &[String],
        audience: Option<&str>,
        now: UnixMillis,
    ) -> Result<String, MintError> {
        let audience = audience.unwrap_or(&self.issuer);
        if !is_word(subject, 255) {
            return Err(MintError::Subject);
        }
        if groups.len() > 64 || !groups.iter().all(|group| is_word(group, 255)) {
            return Err(MintError::Groups);
        }
        if !is_word(audience, 1024) {
            return Err(MintError::Audience);
        }
        let claims = json!({
            "iss": user_issuer(&self.issuer),
            "sub": subject,
            "aud": audience,
            "iat": now.seconds(),
            "exp": now.saturating_add_seconds(LIFE_SECONDS).seconds(),
            "auth_time": now.seconds(),
            "groups": groups,
        });
        mint(&self.user_key, &claims)
    }

    /// A JWT-SVID for a workload; `audience` is this Authority when absent.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn mint_svid(
        &self,
        spiffe_id: &str,
        audience: Option<&str>,
        now: UnixMillis,
    ) -> Result<String, MintError> {
        let audience = audience.unwrap_or(&self.issuer);
        if !is_dev_spiffe_id(spiffe_id) {
            return Err(MintError::SpiffeId);
        }
        if !is_word(audience, 1024) {
            return Err(MintError::Audience);
        }
        let claims = json!({
            "sub": spiffe_id,
            "aud": [audience],
            "iat": now.seconds(),
            "exp": now.saturating_add_seconds(LIFE_SECONDS).seconds(),
        });
        mint(&self.workload_key, &claims)
    }

    /// What the server says, loudly, when it starts.
    pub fn banner(&self) -> String {
        format!(
            "\
************************************************************************
*  DEVELOPMENT MODE (--dev): anyone who can connect can be anyone.     *
*  Identities are minted without proof. Loopback only. Never for real  *
*  data, never in production.                                          *
************************************************************************
trust domain : {TRUST_DOMAIN}      POST {issuer}/dev/svid
users        : {users}      POST {issuer}/dev/subject-token
operator     : {OPERATOR} in group {OPERATOR_GROUP}
",
            issuer = self.issuer,
            users = user_issuer(&self.issuer),
        )
    }
}

fn open_key(path: &Path) -> Result<SigningKey, DevError> {
    if let Some(bytes) = private_files::read(path)? {
        let key = SigningKey::from_pkcs8(&bytes);
        return key.map_err(|_| DevError::NotAKey { path: path.display().to_string() });
    }
    let key = SigningKey::generate(Algorithm::Es256)?;
    private_files::write(path, &key.to_pkcs8()?)?;
    Ok(key)
}

fn inline(key: &SigningKey) -> JwksSource {
    let public = key.verifying_key();
    let mut jwk = public.to_jwk();
    if let Some(object) = jwk.as_object_mut() {
        object.insert("kid".to_owned(), json!(public.thumbprint().to_string()));
        object.insert("alg".to_owned(), json!(public.algorithm().name()));
    }
    JwksSource::Inline(json!({ "keys": [jwk] }))
}

fn mint(key: &SigningKey, claims: &Value) -> Result<String, MintError> {
    let kid = key.verifying_key().thumbprint().to_string();
    let header = json!({"alg": key.algorithm().name(), "kid": kid, "typ": "JWT"});
    compact::sign(&header, claims, |bytes| key.sign(bytes)).map_err(|_| MintError::Signing)
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn is_dev_spiffe_id(text: &str) -> bool {
    let path = text.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(TRUST_DOMAIN));
    let Some(path) = path.and_then(|path| path.strip_prefix('/')) else { return false };
    text.len() <= 512
        && path.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        })
}

#[cfg(test)]
mod tests;
