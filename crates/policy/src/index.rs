//! Finds the policies that can matter for a request without looking at the others.
//!
//! A policy's head (`principal`, `action`, `resource`) either names entities or not. A policy
//! lies in the bucket of the entities it names; a request looks into the buckets of its own
//! entities, of all groups these are in, and of "not named". A policy in no such bucket has a
//! head that is false for the request, and Cedar evaluates the head first: leaving the policy
//! out changes neither the answer nor the errors.

use std::collections::HashMap;

use cedar_policy as cedar;
use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};

use crate::need::Needs;

/// A name in the index; 0 stands for "not named".
type Key = u32;
const UNNAMED: Key = 0;

/// Policies with the same named entities in their heads.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) policies: cedar::PolicySet,
    pub(crate) needs: Needs,
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: HashMap<EntityUid, Key>,
    buckets: HashMap<(Key, Key, Key), Bucket>,
}

impl Index {
    /// Files every policy.
    pub(crate) fn build<'a>(
        policies: impl Iterator<Item = (&'a cedar::Policy, Needs)>,
    ) -> Result<Self, cedar::PolicySetError> {
        let mut index = Self::default();
        for (policy, needs) in policies {
            let principal = match policy.principal_constraint() {
                PrincipalConstraint::Any | PrincipalConstraint::Is(_) => UNNAMED,
                PrincipalConstraint::Eq(uid)
                | PrincipalConstraint::In(uid)
                | PrincipalConstraint::IsIn(_, uid) => index.name(uid),
            };
            let resource = match policy.resource_constraint() {
                ResourceConstraint::Any | ResourceConstraint::Is(_) => UNNAMED,
                ResourceConstraint::Eq(uid)
                | ResourceConstraint::In(uid)
                | ResourceConstraint::IsIn(_, uid) => index.name(uid),
            };
            let mut actions = match policy.action_constraint() {
                ActionConstraint::Any => vec![UNNAMED],
                ActionConstraint::Eq(uid) => vec![index.name(uid)],
                ActionConstraint::In(uids) => uids.into_iter().map(|uid| index.name(uid)).collect(),
            };
            actions.sort_unstable();
            actions.dedup();
            for action in actions {
                index.file((principal, action, resource), policy, needs)?;
            }
        }
        Ok(index)
    }

    /// Every policy in one bucket that all requests look into.
    pub(crate) fn flat<'a>(
        policies: impl Iterator<Item = &'a cedar::Policy>,
    ) -> Result<Self, cedar::PolicySetError> {
        let mut index = Self::default();
        for policy in policies {
            index.file((UNNAMED, UNNAMED, UNNAMED), policy, Needs::ALL)?;
        }
        Ok(index)
    }

    fn name(&mut self, uid: EntityUid) -> Key {
        // At most POLICIES_MAX heads with a bounded source: the count fits.
        let next = Key::try_from(self.names.len()).unwrap_or(Key::MAX).saturating_add(1);
        *self.names.entry(uid).or_insert(next)
    }

    fn file(
        &mut self,
        key: (Key, Key, Key),
        policy: &cedar::Policy,
        needs: Needs,
    ) -> Result<(), cedar::PolicySetError> {
        let bucket = self.buckets.entry(key).or_default();
        bucket.needs = bucket.needs.and(needs);
        bucket.policies.add(policy.clone())
    }

    /// Keys of the entities that some head names, and of "not named".
    pub(crate) fn keys<'a>(&self, uids: impl Iterator<Item = &'a EntityUid>) -> Vec<Key> {
        let mut keys = vec![UNNAMED];
        keys.extend(uids.filter_map(|uid| self.names.get(uid)));
        keys
    }

    /// The buckets a request looks into.
    pub(crate) fn slice(
        &self,
        principals: &[Key],
        actions: &[Key],
        resources: &[Key],
    ) -> Vec<&Bucket> {
        let mut slice = Vec::with_capacity(4);
        for principal in principals {
            for action in actions {
                for resource in resources {
                    slice.extend(self.buckets.get(&(*principal, *action, *resource)));
                }
            }
        }
        slice
    }
}
