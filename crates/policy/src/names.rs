//! Names of the schema as Cedar values, made once and shared by every request.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use bailiwick_core::scope::{Scope, ScopeForm};
use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use crate::act::Act;
use crate::facts::{AgentStatus, Binding, CallEffect, Provenance, Sensitivity};
use crate::schema::{stand_in, wildcards_above};

/// A name that Cedar does not take: a fault of this crate.
#[derive(Debug, thiserror::Error)]
#[error("schema name: {0}")]
pub(crate) struct NameFault(String);

/// Entity types, constants and actions.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) agent: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) resource: EntityTypeName,
    pub(crate) subject: EntityTypeName,
    pub(crate) system: EntityTypeName,
    pub(crate) team: EntityTypeName,
    pub(crate) trust_domain: EntityTypeName,
    pub(crate) workflow: EntityTypeName,
    pub(crate) arguments: EntityUid,
    sensitivities: Vec<RestrictedExpression>,
    statuses: Vec<RestrictedExpression>,
    provenances: Vec<RestrictedExpression>,
    bindings: Vec<RestrictedExpression>,
    effects: Vec<RestrictedExpression>,
    start_task: Action,
    delegate: Action,
    cross_domain: Action,
    /// Stands for every scope no policy names.
    any_scope: Action,
    scopes: HashMap<String, Action>,
}

/// One action of a request.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) uid: EntityUid,
    /// Groups the action is in.
    pub(crate) groups: Vec<EntityUid>,
    /// A store that holds the action and nothing else.
    pub(crate) entities: Entities,
}

impl Names {
    /// Names for policies that name these scopes.
    pub(crate) fn new(scopes: &BTreeSet<String>) -> Result<Self, NameFault> {
        let ty = |name: &str| EntityTypeName::from_str(name).map_err(|e| NameFault(e.to_string()));
        let action_type = ty("Action")?;
        let action = |name: &str, groups: &[&str]| Action::new(&action_type, name, groups);
        let words =
            |entity: &str, words: &[&str]| -> Result<Vec<RestrictedExpression>, NameFault> {
                let ty = ty(entity)?;
                Ok(words
                    .iter()
                    .map(|word| RestrictedExpression::new_entity_uid(uid(&ty, word)))
                    .collect())
            };
        let mut named = HashMap::with_capacity(scopes.len());
        for scope in scopes {
            let mut groups = wildcards_above(scopes, scope);
            groups.push("Invoke");
            let entry = if scope.ends_with(".*") {
                groups.push(scope);
                action(&stand_in(scope), &groups)?
            } else {
                action(scope, &groups)?
            };
            named.insert(scope.clone(), entry);
        }
        Ok(Self {
            agent: ty("Agent")?,
            group: ty("Group")?,
            resource: ty("Resource")?,
            subject: ty("Subject")?,
            system: ty("System")?,
            team: ty("Team")?,
            trust_domain: ty("TrustDomain")?,
            workflow: ty("Workflow")?,
            arguments: uid(&ty("Arguments")?, "call"),
            sensitivities: sensitivities(&ty("Level")?)?,
            statuses: words(
                "AgentStatus",
                &AgentStatus::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>(),
            )?,
            provenances: words(
                "Provenance",
                &Provenance::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>(),
            )?,
            bindings: words(
                "Binding",
                &Binding::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>(),
            )?,
            effects: words(
                "CallEffect",
                &CallEffect::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>(),
            )?,
            start_task: action("StartTask", &[])?,
            delegate: action("Delegate", &[])?,
            cross_domain: action("CrossDomain", &[])?,
            any_scope: action(&stand_in("Invoke"), &["Invoke"])?,
            scopes: named,
        })
    }

    /// The Cedar action for an act. A scope that no policy names is represented by the stand-in
    /// of the narrowest named wildcard above it: no policy can tell the two apart.
    pub(crate) fn action(&self, act: &Act) -> &Action {
        match act {
            Act::StartTask => &self.start_task,
            Act::Delegate => &self.delegate,
            Act::CrossDomain { .. } => &self.cross_domain,
            Act::Invoke { scope } => self.scope(scope),
        }
    }

    fn scope(&self, scope: &Scope) -> &Action {
        let text = scope.as_str();
        if let Some(named) = self.scopes.get(text) {
            return named;
        }
        if scope.form() == ScopeForm::Literal {
            let mut stem = text;
            while let Some((above, _)) = stem.rsplit_once('.') {
                if let Some(named) = self.scopes.get(&format!("{above}.*")) {
                    return named;
                }
                stem = above;
            }
        }
        &self.any_scope
    }

    pub(crate) fn sensitivity(&self, of: Sensitivity) -> RestrictedExpression {
        pick(&self.sensitivities, Sensitivity::ALL, of)
    }

    pub(crate) fn status(&self, of: AgentStatus) -> RestrictedExpression {
        pick(&self.statuses, AgentStatus::ALL, of)
    }

    pub(crate) fn provenance(&self, of: Provenance) -> RestrictedExpression {
        pick(&self.provenances, Provenance::ALL, of)
    }

    pub(crate) fn binding(&self, of: Binding) -> RestrictedExpression {
        pick(&self.bindings, Binding::ALL, of)
    }

    pub(crate) fn effect(&self, of: CallEffect) -> RestrictedExpression {
        pick(&self.effects, CallEffect::ALL, of)
    }
}

impl Action {
    fn new(ty: &EntityTypeName, name: &str, groups: &[&str]) -> Result<Self, NameFault> {
        let groups: Vec<EntityUid> = groups.iter().map(|group| uid(ty, group)).collect();
        let uid = uid(ty, name);
        let entity =
            Entity::new_no_attrs(uid.clone(), groups.iter().cloned().collect::<HashSet<_>>());
        let entities =
            Entities::from_entities([entity], None).map_err(|e| NameFault(e.to_string()))?;
        Ok(Self { uid, groups, entities })
    }
}

/// The entity of a type with an id.
pub(crate) fn uid(ty: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(ty.clone(), EntityId::new(id))
}

fn sensitivities(level: &EntityTypeName) -> Result<Vec<RestrictedExpression>, NameFault> {
    Sensitivity::ALL
        .iter()
        .map(|one| {
            RestrictedExpression::new_record([
                (
                    "level".to_owned(),
                    RestrictedExpression::new_entity_uid(uid(level, one.as_str())),
                ),
                ("rank".to_owned(), RestrictedExpression::new_long(one.rank())),
            ])
            .map_err(|e| NameFault(e.to_string()))
        })
        .collect()
}

/// The value of a word.
fn pick<T: PartialEq>(values: &[RestrictedExpression], all: &[T], of: T) -> RestrictedExpression {
    // INVARIANT: `values` was made from `all`, word by word. The other value is of no type the
    // schema has here, so a policy that met it would err and be counted as a denial.
    all.iter()
        .zip(values)
        .find(|(word, _)| **word == of)
        .map_or_else(|| RestrictedExpression::new_bool(false), |(_, value)| value.clone())
}
