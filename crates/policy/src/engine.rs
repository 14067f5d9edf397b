//! The policy set in force, and its replacement while requests are being decided.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::set::PolicySet;
use crate::source::{LoadErrors, PolicySource};

/// Holds the policy set in force. Readers never wait; a set that does not load replaces nothing.
#[derive(Debug)]
pub struct Engine {
    current: ArcSwap<PolicySet>,
}

impl Engine {
    /// Starts with a set.
    pub fn new(set: PolicySet) -> Self {
        Self { current: ArcSwap::from_pointee(set) }
    }

    /// The set in force. A decision keeps the one it began with.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.load_full()
    }

    /// Puts a loaded set in force and returns the one it replaces.
    pub fn replace(&self, set: PolicySet) -> Arc<PolicySet> {
        self.current.swap(Arc::new(set))
    }

    /// Loads the sources and puts them in force.
    ///
    /// # Errors
    ///
    /// What is wrong with the sources; the old set stays in force.
    pub fn reload(&self, sources: &[PolicySource]) -> Result<Arc<PolicySet>, LoadErrors> {
        let set = PolicySet::load(sources)?;
        Ok(self.replace(set))
    }
}
