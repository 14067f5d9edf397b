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

use crate::names::{Kind, Name};
use crate::need::Needs;

/// A name in the index; 0 stands for "not named".
type Key = u32;
const UNNAMED: Key = 0;

/// Policies with the same named entities in their heads.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// Its number among the buckets of its index.
    pub(crate) number: u32,
    pub(crate) policies: cedar::PolicySet,
    pub(crate) needs: Needs,
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: HashMap<Kind, HashMap<String, Key>>,
    named: Key,
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
        let next = self.named.saturating_add(1);
        // A type that is not in the schema is no request's: its key is looked for by none.
        let Some(kind) = Kind::of(&uid) else {
            self.named = next;
            return next;
        };
        let ids = self.names.entry(kind).or_default();
        let key = *ids.entry(uid.id().unescaped().to_owned()).or_insert(next);
        self.named = self.named.max(key);
        key
    }

    fn file(
        &mut self,
        key: (Key, Key, Key),
        policy: &cedar::Policy,
        needs: Needs,
    ) -> Result<(), cedar::PolicySetError> {
        let number = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
        let fresh = || Bucket { number, ..Bucket::default() };
        let bucket = self.buckets.entry(key).or_insert_with(fresh);
        bucket.needs = bucket.needs.and(needs);
        bucket.policies.add(policy.clone())
    }

    /// Keys of the entities that some head names, and of "not named".
    pub(crate) fn keys<'a>(&self, names: impl Iterator<Item = Name<'a>>) -> Vec<Key> {
        let key = |name: Name<'_>| self.names.get(&name.kind)?.get(name.id).copied();
        let mut keys = vec![UNNAMED];
        keys.extend(names.filter_map(key));
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
