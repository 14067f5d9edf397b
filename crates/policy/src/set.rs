//! A validated, indexed, immutable set of policies.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::crypto::sha256;
use bailiwick_core::outcome::Outcome;
use cedar_policy as cedar;
use cedar_policy::Effect;

use crate::annotation::Annotations;
use crate::index::{Bucket, Index};
use crate::load::{self, Loaded};
use crate::memo::Memo;
use crate::names::{Kind, Name, Names};
use crate::need::Needs;
use crate::obligation::Obligation;
use crate::request::Frame;
use crate::schema::schema_hash;
use crate::source::{Lines, LoadError, LoadErrors, PolicySource};

/// A set of policies that passed every check, ready to decide.
#[derive(Debug)]
pub struct PolicySet {
    policies: BTreeMap<String, PolicyEntry>,
    hash: String,
    names: Names,
    index: Index,
    /// Answers given before; `None` where each is to be found anew.
    memo: Option<Memo>,
}

/// One policy of a set.
#[derive(Debug)]
pub struct PolicyEntry {
    id: String,
    effect: Effect,
    annotations: Annotations,
    policy: cedar::Policy,
    file: String,
    line: usize,
    digest: [u8; 32],
    needs: Needs,
    scopes: BTreeSet<String>,
}

impl PolicySet {
    /// Parses, validates and indexes policies.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the sources, each with file, line and column.
    pub fn load(sources: &[PolicySource]) -> Result<Self, LoadErrors> {
        let loaded = load::load(sources)?;
        let lines: Vec<Lines> = sources.iter().map(|source| Lines::of(&source.text)).collect();
        let policies = loaded.into_iter().filter_map(|one| {
            let line = lines.get(one.source)?.line(one.offset);
            let file = sources.get(one.source)?.name.clone();
            Some((one.id.clone(), PolicyEntry::new(file, line, one)))
        });
        Self::of(policies.collect()).map_err(|message| LoadErrors::internal(sources, message))
    }

    fn of(policies: BTreeMap<String, PolicyEntry>) -> Result<Self, String> {
        let scopes = policies.values().flat_map(|one| one.scopes.iter().cloned()).collect();
        let filed = policies.values().map(|one| (&one.policy, one.needs));
        Ok(Self {
            hash: hash(&policies),
            names: Names::new(&scopes).map_err(|fault| fault.to_string())?,
            index: Index::build(filed).map_err(|fault| fault.to_string())?,
            policies,
            memo: Some(Memo::new()),
        })
    }

    /// The same policies without a memory: every question is put to Cedar, however often it was
    /// asked. For measurements.
    pub fn forgetful(self) -> Self {
        Self { memo: None, ..self }
    }

    /// The same policies without index or memory: every request evaluates them all, on all facts.
    /// This is the yardstick that both are measured and tested against.
    ///
    /// # Errors
    ///
    /// Never for a set that was loaded.
    pub fn unindexed(self) -> Result<Self, cedar::PolicySetError> {
        let index = Index::flat(self.policies.values().map(|one| &one.policy))?;
        Ok(Self { index, memo: None, ..self })
    }

    /// `sha-256:` and the hash of the policies and the schema. It depends on nothing else: not on
    /// the order of policies, not on white space, comments or file names.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Every policy, in order of id.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &PolicyEntry> {
        self.policies.values()
    }

    /// One policy by its id.
    pub fn policy(&self, id: &str) -> Option<&PolicyEntry> {
        self.policies.get(id)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn memo(&self) -> Option<&Memo> {
        self.memo.as_ref()
    }

    /// The buckets that can matter for a request.
    pub(crate) fn slice(&self, frame: &Frame<'_>) -> Vec<&Bucket> {
        let with = |name, groups: &[Name<'_>]| {
            self.index.keys(std::iter::once(name).chain(groups.iter().copied()))
        };
        let action = |id| Name::new(Kind::Action, id);
        let groups = frame.action.groups.iter().map(|group| action(group));
        self.index.slice(
            &with(frame.principal, &frame.principal_groups),
            &self.index.keys(std::iter::once(action(&frame.action.id)).chain(groups)),
            &with(frame.resource, &frame.resource_groups),
        )
    }
}

impl PolicyEntry {
    fn new(file: String, line: usize, one: Loaded) -> Self {
        Self {
            file,
            line,
            id: one.id,
            effect: one.effect,
            annotations: one.annotations,
            policy: one.policy,
            digest: one.digest,
            needs: one.needs,
            scopes: one.scopes,
        }
    }

    /// Its id: the `@id` annotation, else one derived from its content.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `permit` or `forbid`.
    pub fn effect(&self) -> &'static str {
        match self.effect {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        }
    }

    /// Every annotation.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations.all
    }

    /// What it asks in return.
    pub fn obligations(&self) -> &[Obligation] {
        &self.annotations.obligations
    }

    /// Name of the source it came from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line it begins on.
    pub fn line(&self) -> usize {
        self.line
    }

    pub(crate) fn code(&self) -> Option<Outcome> {
        self.annotations.code
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.annotations.reason.as_deref()
    }

    /// Its JSON form. Every policy that was loaded has one.
    pub(crate) fn json(&self) -> serde_json::Value {
        self.policy.to_json().unwrap_or_default()
    }
}

fn hash(policies: &BTreeMap<String, PolicyEntry>) -> String {
    let mut digests: Vec<[u8; 32]> = policies.values().map(|one| one.digest).collect();
    digests.sort_unstable();
    let mut input = b"bailiwick/policy-set/v1\0".to_vec();
    input.extend_from_slice(&schema_hash());
    digests.iter().for_each(|digest| input.extend_from_slice(digest));
    format!("sha-256:{}", sha256(&input).b64())
}

impl LoadErrors {
    fn internal(sources: &[PolicySource], message: String) -> Self {
        let nowhere = PolicySource::new("<policies>", "");
        Self::one(LoadError::at(sources.first().unwrap_or(&nowhere), 0, message))
    }
}
