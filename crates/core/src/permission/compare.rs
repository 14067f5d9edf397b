//! What a credential can do, line by line, beside what was needed of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Effect, Need, Permission, PermissionSet};

/// How a line of a credential stands to what was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// No operation of any route needs it: it can go now.
    Unneeded,
    /// An operation needs it, and no decision of the time looked at justified its use.
    Unused,
    /// It was used, for less than it gives.
    Wider,
    /// It was used, for what it gives.
    Used,
}

/// One thing that a credential can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionLine {
    /// The action, or a pattern of actions.
    pub action: String,
    /// Actions that the pattern does not give after all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_actions: Vec<String>,
    /// What it may be done to; empty is anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Whether it holds only under conditions that are not looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
    /// How it stands.
    pub standing: Standing,
    /// What was needed of it, and by how many calls.
    pub used: BTreeMap<String, u64>,
}

impl PermissionSet {
    /// Every line that is not denied wholly, beside what calls needed (`used`) and what operations
    /// may come to need (`declared`).
    #[must_use]
    pub fn compare(&self, used: &BTreeMap<Need, u64>, declared: &[Need]) -> Vec<PermissionLine> {
        let given = self.permissions.iter().filter(|it| it.effect == Effect::Allow);
        let pairs = given.flat_map(|it| it.actions.iter().map(move |action| (it, action)));
        let alive = pairs.filter(|(it, action)| !self.is_denied(it, action));
        alive.map(|(it, action)| self.line(it, action, used, declared)).collect()
    }

    /// Needs that the credential, as it is declared, does not meet: the declaration is wrong.
    #[must_use]
    pub fn unmet<'n>(&self, needs: impl IntoIterator<Item = &'n Need>) -> Vec<&'n Need> {
        needs.into_iter().filter(|need| !self.permits(need)).collect()
    }

    fn is_denied(&self, permission: &Permission, action: &str) -> bool {
        let resources = &permission.resources;
        self.permissions.iter().any(|it| it.denies_all_of(action, resources, self.dialect))
    }

    fn line(
        &self,
        permission: &Permission,
        action: &str,
        used: &BTreeMap<Need, u64>,
        declared: &[Need],
    ) -> PermissionLine {
        let alone = Permission { actions: vec![action.to_owned()], ..permission.clone() };
        let meets = |need: &Need| {
            alone.is_about(need.action(), self.dialect)
                && alone.may_reach(need.resource())
                && !self.permissions.iter().any(|it| it.denies(need, self.dialect))
        };
        let met: Vec<(&Need, u64)> = used
            .iter()
            .filter(|(need, _)| meets(need))
            .map(|(need, calls)| (need, *calls))
            .collect();
        let standing = if met.is_empty() {
            if declared.iter().any(meets) { Standing::Unused } else { Standing::Unneeded }
        } else if action.contains(['*', '?']) || is_wider(&alone, &met) {
            Standing::Wider
        } else {
            Standing::Used
        };
        PermissionLine {
            action: action.to_owned(),
            except_actions: permission.except_actions.clone(),
            resources: permission.resources.clone(),
            conditional: permission.conditional,
            standing,
            used: met.into_iter().map(|(need, calls)| (need.to_string(), calls)).collect(),
        }
    }
}

/// Whether the resources are more than what was used. A need that says no resource says nothing.
fn is_wider(permission: &Permission, met: &[(&Need, u64)]) -> bool {
    if met.iter().any(|(need, _)| need.resource().is_none()) {
        return false;
    }
    let same = |it: &String| met.iter().any(|(need, _)| need.resource() == Some(it));
    permission.resources.is_empty() || !permission.resources.iter().all(same)
}
