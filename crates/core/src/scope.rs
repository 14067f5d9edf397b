//! Scopes in ADC's three forms and the covering relation between them.
//!
//! | form | grammar | covers |
//! | --- | --- | --- |
//! | literal | `seg ("." seg)+`, `seg = [a-z][a-z0-9_-]*` | itself |
//! | wildcard | `seg ("." seg)* ".*"` | each literal or wildcard that starts with it up to the dot |
//! | opaque | RFC 6749 `scope-token` without `*` | itself, byte for byte |
//!
//! A scope's form follows from its bytes alone, tried in that order; there is no case folding.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{SCOPE_BYTES_MAX, SCOPES_MAX};

/// Which of the three grammars a scope matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeForm {
    /// Dotted lower-case segments.
    Literal,
    /// Dotted lower-case segments and a final `.*`.
    Wildcard,
    /// Any other RFC 6749 scope token without `*`.
    Opaque,
}

/// One scope.
#[derive(Clone)]
pub struct Scope {
    text: Arc<str>,
    form: ScopeForm,
}

/// Why a text is not a scope, or a list not a scope set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// No form matches.
    #[error("not a literal, wildcard or opaque scope")]
    Form,
    /// Longer than [`SCOPE_BYTES_MAX`].
    #[error("scope longer than {SCOPE_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`SCOPES_MAX`].
    #[error("more than {SCOPES_MAX} scopes")]
    TooMany,
}

impl Scope {
    /// The text, which is the scope.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form its bytes have.
    #[must_use]
    pub fn form(&self) -> ScopeForm {
        self.form
    }

    /// Whether holding this scope includes `other`.
    #[must_use]
    pub fn covers(&self, other: &Scope) -> bool {
        match self.form {
            ScopeForm::Literal | ScopeForm::Opaque => self.text == other.text,
            ScopeForm::Wildcard => {
                other.form != ScopeForm::Opaque
                    && self.text.strip_suffix('*').is_some_and(|dot| other.text.starts_with(dot))
            }
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.len() > SCOPE_BYTES_MAX {
            return Err(ScopeError::TooLong);
        }
        let form = classify(text).ok_or(ScopeError::Form)?;
        Ok(Self { text: Arc::from(text), form })
    }
}

fn classify(text: &str) -> Option<ScopeForm> {
    if let Some(stem) = text.strip_suffix(".*")
        && stem.split('.').all(is_segment)
    {
        return Some(ScopeForm::Wildcard);
    }
    if text.contains('.') && text.split('.').all(is_segment) {
        return Some(ScopeForm::Literal);
    }
    let opaque = |b: u8| matches!(b, 0x21 | 0x23..=0x29 | 0x2B..=0x5B | 0x5D..=0x7E);
    (!text.is_empty() && text.bytes().all(opaque)).then_some(ScopeForm::Opaque)
}

fn is_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Scope {}
impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}
impl std::hash::Hash for Scope {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl AsRef<str> for Scope {
    fn as_ref(&self) -> &str {
        &self.text
    }
}
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({:?})", &*self.text)
    }
}
impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::from_text(deserializer)
    }
}

/// Scopes in byte order, each once. `Display` and `FromStr` use the space-separated OAuth form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(Vec<Scope>);

impl ScopeSet {
    /// No scopes: permits nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The set of these scopes.
    ///
    /// # Errors
    /// [`ScopeError::TooMany`] above [`SCOPES_MAX`].
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopeError> {
        let mut scopes: Vec<Scope> = scopes.into_iter().take(SCOPES_MAX + 1).collect();
        if scopes.len() > SCOPES_MAX {
            return Err(ScopeError::TooMany);
        }
        if !scopes.is_sorted_by(|a, b| a < b) {
            scopes.sort();
            scopes.dedup();
        }
        Ok(Self(scopes))
    }

    /// The scopes in byte order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// How many scopes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some scope of the set covers `scope`.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.0.iter().any(|held| held.covers(scope))
    }

    /// The first scope that `parent` does not cover, if any.
    #[must_use]
    pub fn first_uncovered<'a>(&'a self, parent: &ScopeSet) -> Option<&'a Scope> {
        self.0.iter().find(|scope| !parent.covers(scope))
    }

    /// Whether every scope here is covered by `parent`.
    #[must_use]
    pub fn is_narrower_than(&self, parent: &ScopeSet) -> bool {
        self.first_uncovered(parent).is_none()
    }

    /// What both sets cover, exactly, with redundant scopes left out.
    ///
    /// Two scopes are comparable or disjoint, so the meet of two sets is the scopes of each that
    /// the other covers, less those that a broader one of them covers.
    #[must_use]
    pub fn meet(&self, other: &ScopeSet) -> ScopeSet {
        let both: BTreeSet<&Scope> = self
            .0
            .iter()
            .filter(|s| other.covers(s))
            .chain(other.0.iter().filter(|s| self.covers(s)))
            .collect();
        let maximal = both.iter().filter(|s| !both.iter().any(|b| b != *s && b.covers(s)));
        ScopeSet(maximal.map(|s| (*s).clone()).collect())
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&scope.text)?;
        }
        Ok(())
    }
}

impl FromStr for ScopeSet {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Ok(Self::empty());
        }
        let scopes: Result<Vec<Scope>, ScopeError> =
            text.split(' ').take(SCOPES_MAX + 1).map(str::parse).collect();
        Self::new(scopes?)
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let scopes = Vec::<Scope>::deserialize(deserializer)?;
        Self::new(scopes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
