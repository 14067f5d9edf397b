//! What a credential can do at its vendor: declared by the owner of the route, or imported from the
//! vendor's own description.

mod aws_iam;
mod github;
mod postgres;

use std::path::{Path, PathBuf};

use bailiwick_core::permission::{Dialect, Need, Permission, PermissionError, PermissionSet};
use serde::Deserialize;

use super::ConnectorConfig;

/// Largest description, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files of one description.
const FILES_MAX: usize = 32;

/// The vendor's own description of what a credential can do. Exactly one is given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportConfig {
    /// AWS IAM policies of the identity, JSON. What holds under a condition counts; a denial under a
    /// condition does not.
    pub aws_iam: Vec<PathBuf>,
    /// The permissions of a GitHub App or fine-grained token, JSON: `{"contents": "write"}`, or an
    /// answer of GitHub's API that has them as `permissions`.
    pub github: Option<PathBuf>,
    /// `information_schema.role_table_grants` of the role, CSV with a header line or a JSON array.
    pub postgres: Option<PathBuf>,
    /// OAuth scopes, separated by spaces or lines.
    pub oauth: Option<PathBuf>,
}

impl ImportConfig {
    pub(super) fn resolve(&mut self, base: &Path) {
        let single = [&mut self.github, &mut self.postgres, &mut self.oauth];
        for path in self.aws_iam.iter_mut().chain(single.into_iter().flatten()) {
            if path.is_relative() {
                *path = base.join(&path);
            }
        }
    }
}

/// The permissions of a connector, which have to be said in one way or another.
pub(super) fn of(config: &ConnectorConfig) -> Result<PermissionSet, String> {
    let scopes = config.oauth.as_ref().map(|oauth| &oauth.scopes).filter(|it| !it.is_empty());
    match (&config.permissions, &config.import, scopes) {
        (Some(declared), None, _) => {
            let dialect = match (&config.aws, &config.oauth) {
                (Some(_), _) => Dialect::Aws,
                (_, Some(_)) => Dialect::Oauth,
                _ => Dialect::Plain,
            };
            words(dialect, declared.iter().map(String::as_str))
        }
        (None, Some(import), _) => self::import(import),
        (None, None, Some(scopes)) => words(Dialect::Oauth, scopes.iter().map(String::as_str)),
        (Some(_), Some(_), _) => {
            Err("connector: give one of `permissions` and `import`".to_owned())
        }
        (None, None, None) => Err(
            "connector: say what the credential can do at the vendor, as `permissions = [...]` or as \
             an `import`: what nobody has said cannot be compared with what was used"
                .to_owned(),
        ),
    }
}

/// Reads a description.
pub(super) fn import(config: &ImportConfig) -> Result<PermissionSet, String> {
    let ImportConfig { aws_iam, github, postgres, oauth } = config;
    match (aws_iam.as_slice(), github, postgres, oauth) {
        ([_, ..], None, None, None) if aws_iam.len() <= FILES_MAX => {
            let mut permissions = Vec::new();
            for path in aws_iam {
                permissions.extend(read(path, aws_iam::permissions)?);
            }
            PermissionSet::new(Dialect::Aws, permissions).map_err(told)
        }
        ([], Some(path), None, None) => {
            let permissions = read(path, github::permissions)?;
            PermissionSet::new(Dialect::Github, permissions).map_err(told)
        }
        ([], None, Some(path), None) => {
            let permissions = read(path, postgres::permissions)?;
            PermissionSet::new(Dialect::Postgres, permissions).map_err(told)
        }
        ([], None, None, Some(path)) => {
            read(path, |text| words(Dialect::Oauth, text.split_whitespace()))
        }
        _ => {
            Err("connector: `import` takes exactly one of `aws_iam` (at most 32 files), `github`, \
                  `postgres` and `oauth`"
                .to_owned())
        }
    }
}

fn words<'w>(
    dialect: Dialect,
    words: impl Iterator<Item = &'w str>,
) -> Result<PermissionSet, String> {
    let needs: Result<Vec<Need>, _> = words.map(str::parse).collect();
    let permissions = needs.map_err(told)?.into_iter().map(Permission::of).collect();
    PermissionSet::new(dialect, permissions).map_err(told)
}

fn told(error: PermissionError) -> String {
    format!("connector: permissions: {error}")
}

fn read<T>(path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    let at = path.display();
    let unreadable = |error: std::io::Error| format!("connector: cannot read {at}: {error}");
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(format!("connector: {at} is too large to be a description of permissions"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|fault| format!("connector: {at}: {fault}"))
}

#[cfg(test)]
mod tests;
