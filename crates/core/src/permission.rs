//! What a vendor's credential may do, in the vendor's own words, and how that compares with what was
//! needed.
//!
//! The comparison errs on one side: a condition that is not understood never makes a credential
//! look weaker. A conditional permission counts, a conditional denial does not.

mod compare;
mod pattern;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::compare::{PermissionLine, Standing};
use self::pattern::{covers, overlaps};

/// Bytes of one action or resource.
pub const PERMISSION_TEXT_BYTES_MAX: usize = 512;
/// Lines (an action pattern of a permission) of one credential.
pub const PERMISSION_LINES_MAX: usize = 5_000;
/// Bytes of everything that one credential's permissions say.
pub const PERMISSION_BYTES_MAX: usize = 256 * 1024;
/// Denials of one credential.
pub const DENIALS_MAX: usize = 200;
/// Everything that one operation may need.
pub const NEEDS_MAX: usize = 32;

/// One thing that a call needs of the vendor: `s3:GetObject`, or with what it is done to:
/// `s3:GetObject arn:aws:s3:::reports/*`, `SELECT public.contact`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    action: String,
    resource: Option<String>,
}

impl Need {
    /// The action.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// What it is done to, if that was said.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.action)?;
        match &self.resource {
            Some(resource) => write!(f, " {resource}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Need {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        let mut words = text.split_whitespace();
        let action = words.next().ok_or(PermissionError::Empty)?.to_owned();
        let resource = words.next().map(str::to_owned);
        if words.next().is_some() {
            return Err(PermissionError::Words(shown(text)));
        }
        let need = Self { action, resource };
        require_text(&need.action)?;
        need.resource().map_or(Ok(()), require_text)?;
        Ok(need)
    }
}

impl Serialize for Need {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Need {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a permission or a need is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// There is nothing in it.
    #[error("an empty permission")]
    Empty,
    /// More than an action and a resource.
    #[error("`{0}` is more than an action and what it is done to")]
    Words(String),
    /// It is too long, or has characters that no vendor uses.
    #[error(
        "`{0}` is longer than {PERMISSION_TEXT_BYTES_MAX} bytes, or has spaces or control characters"
    )]
    Text(String),
    /// It has more lines than anybody could read.
    #[error(
        "more than {PERMISSION_LINES_MAX} permissions, {PERMISSION_BYTES_MAX} bytes or {DENIALS_MAX} \
         denials; write patterns such as `public.*` for a part of them"
    )]
    Many,
}

/// Whose words permissions are: it says how names are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Whatever the owner of the route calls them.
    #[default]
    Plain,
    /// AWS IAM: `service:Action`, case of actions ignored.
    Aws,
    /// OAuth scopes.
    Oauth,
    /// GitHub: `contents:read`.
    Github,
    /// PostgreSQL: a privilege and `schema.table`.
    Postgres,
}

/// Whether a permission gives or takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It gives.
    #[default]
    Allow,
    /// It takes away, whatever else gives.
    Deny,
}

/// One permission of a credential. `*` stands for any text and `?` for any one character.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// Whether it gives or takes away.
    #[serde(default)]
    pub effect: Effect,
    /// Patterns of actions.
    pub actions: Vec<String>,
    /// Patterns of actions that it is not about, although `actions` names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_actions: Vec<String>,
    /// Patterns of what it may be done to; empty is anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Patterns of what it may not be done to, although `resources` names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_resources: Vec<String>,
    /// Whether it holds only under conditions that are not looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
}

impl Permission {
    /// A permission to do one thing, with what it may be done to if that is said.
    #[must_use]
    pub fn of(need: Need) -> Self {
        let Need { action, resource } = need;
        Self { actions: vec![action], resources: resource.into_iter().collect(), ..Self::default() }
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        let actions = self.actions.iter().chain(&self.except_actions);
        actions.chain(&self.resources).chain(&self.except_resources)
    }

    fn is_about(&self, action: &str, dialect: Dialect) -> bool {
        let named = |patterns: &[String]| patterns.iter().any(|it| dialect.covers(it, action));
        named(&self.actions) && !named(&self.except_actions)
    }

    fn may_reach(&self, resource: Option<&str>) -> bool {
        let Some(resource) = resource else { return true };
        let named = |patterns: &[String]| patterns.iter().any(|it| covers(it, resource));
        (self.resources.is_empty() || named(&self.resources)) && !named(&self.except_resources)
    }

    fn reaches_everything(&self) -> bool {
        let all = self.resources.is_empty() || self.resources.iter().any(|it| it == "*");
        all && self.except_resources.is_empty()
    }

    fn denies(&self, need: &Need, dialect: Dialect) -> bool {
        let reaches = match need.resource() {
            Some(resource) => self.may_reach(Some(resource)),
            None => self.reaches_everything(),
        };
        self.effect == Effect::Deny
            && !self.conditional
            && reaches
            && self.is_about(need.action(), dialect)
    }

    /// Whether it takes all of a pattern of actions away, on all of these resources.
    fn denies_all_of(&self, action: &str, resources: &[String], dialect: Dialect) -> bool {
        let overlaps = |it: &String| overlaps(&dialect.folded(it), &dialect.folded(action));
        let reaches = self.reaches_everything()
            || !resources.is_empty()
                && self.except_resources.is_empty()
                && resources.iter().all(|one| self.resources.iter().any(|it| covers(it, one)));
        self.effect == Effect::Deny
            && !self.conditional
            && reaches
            && self.actions.iter().any(|it| dialect.covers(it, action))
            && !self.except_actions.iter().any(overlaps)
    }
}

impl Dialect {
    fn folded(self, action: &str) -> String {
        if self == Self::Aws { action.to_ascii_lowercase() } else { action.to_owned() }
    }

    fn covers(self, pattern: &str, action: &str) -> bool {
        match self {
            Self::Aws => covers(&self.folded(pattern), &self.folded(action)),
            _ => covers(pattern, action),
        }
    }
}

/// Everything that one credential may do, as it was declared or imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PermissionSet {
    dialect: Dialect,
    permissions: Vec<Permission>,
}

impl PermissionSet {
    /// A set within its bounds.
    ///
    /// # Errors
    /// [`PermissionError`].
    pub fn new(dialect: Dialect, permissions: Vec<Permission>) -> Result<Self, PermissionError> {
        let denials = permissions.iter().filter(|it| it.effect == Effect::Deny).count();
        let lines: usize = permissions.iter().map(|it| it.actions.len()).sum();
        let texts = permissions.iter().flat_map(Permission::texts).count();
        let bytes = permissions.iter().flat_map(Permission::texts).map(String::len);
        if bytes.fold(0_usize, usize::saturating_add) > PERMISSION_BYTES_MAX
            || denials > DENIALS_MAX
            || lines > PERMISSION_LINES_MAX
            || texts > PERMISSION_LINES_MAX.saturating_mul(4)
        {
            return Err(PermissionError::Many);
        }
        for permission in &permissions {
            if permission.actions.is_empty() {
                return Err(PermissionError::Empty);
            }
            permission.texts().try_for_each(|text| require_text(text))?;
        }
        Ok(Self { dialect, permissions })
    }

    /// Whose words they are.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The permissions.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// Whether the credential can do this.
    #[must_use]
    pub fn permits(&self, need: &Need) -> bool {
        let gives = |it: &Permission| {
            it.effect == Effect::Allow
                && it.is_about(need.action(), self.dialect)
                && it.may_reach(need.resource())
        };
        self.permissions.iter().any(gives)
            && !self.permissions.iter().any(|it| it.denies(need, self.dialect))
    }
}

impl<'de> Deserialize<'de> for PermissionSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            dialect: Dialect,
            permissions: Vec<Permission>,
        }
        let Raw { dialect, permissions } = Raw::deserialize(deserializer)?;
        Self::new(dialect, permissions).map_err(serde::de::Error::custom)
    }
}

fn require_text(text: &str) -> Result<(), PermissionError> {
    let unfit = |c: char| c.is_control() || c.is_whitespace();
    match text {
        "" => Err(PermissionError::Empty),
        _ if text.len() > PERMISSION_TEXT_BYTES_MAX || text.contains(unfit) => {
            Err(PermissionError::Text(shown(text)))
        }
        _ => Ok(()),
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests;
