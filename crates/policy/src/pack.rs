//! What ships by default.

use crate::set::PolicySet;
use crate::source::{LoadErrors, PolicySource};

/// Test cases for the default policies, in the form that
/// [`run_fixtures`](crate::run_fixtures) takes.
pub const DEFAULT_FIXTURES: &str = include_str!("pack/default.test.toml");

/// The default policies as text: a starting point for one's own.
pub fn default_sources() -> Vec<PolicySource> {
    vec![PolicySource::new("default.cedar", include_str!("pack/default.cedar"))]
}

impl PolicySet {
    /// The default policies: deny by default, the ordinary case permitted.
    ///
    /// # Errors
    ///
    /// Never for the text that is compiled in; a test holds that.
    pub fn default_pack() -> Result<Self, LoadErrors> {
        Self::load(&default_sources())
    }
}
