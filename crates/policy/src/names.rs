//! Names of the schema: entity types, and the actions that policies tell apart.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use bailiwick_core::scope::{Scope, ScopeForm};
use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid};

use crate::act::Act;
use crate::schema::{stand_in, wildcards_above};

/// A name that Cedar does not take: a fault of this crate.
#[derive(Debug, thiserror::Error)]
#[error("schema name: {0}")]
pub(crate) struct NameFault(String);

macro_rules! kinds {
    ($($kind:ident,)+) => {
        /// An entity type of the schema.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Kind { $($kind,)+ }

        impl Kind {
            const ALL: &'static [Self] = &[$(Self::$kind,)+];

            const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)+ }
            }
        }
    };
}

kinds! {
    Action, Agent, AgentStatus, Arguments, Binding, CallEffect, Group, Level, Provenance,
    Resource, Subject, System, Team, TrustDomain, Workflow,
}

impl Kind {
    /// The type of a name; `None` for one that is not in the schema.
    pub(crate) fn of(uid: &EntityUid) -> Option<Self> {
        let name = uid.type_name().to_string();
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

/// An entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: &'a str,
}

impl<'a> Name<'a> {
    pub(crate) const fn new(kind: Kind, id: &'a str) -> Self {
        Self { kind, id }
    }
}

/// Entity types and actions, made once and shared by every request.
#[derive(Debug)]
pub(crate) struct Names {
    types: HashMap<Kind, EntityTypeName>,
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
    pub(crate) id: String,
    /// Groups the action is in.
    pub(crate) groups: Vec<String>,
    pub(crate) uid: EntityUid,
    /// A store that holds the action and nothing else.
    pub(crate) entities: Entities,
}

impl Names {
    /// Names for policies that name these scopes.
    pub(crate) fn new(scopes: &BTreeSet<String>) -> Result<Self, NameFault> {
        let ty = |kind: Kind| {
            EntityTypeName::from_str(kind.as_str()).map_err(|e| NameFault(e.to_string()))
        };
        let action_type = ty(Kind::Action)?;
        let action = |name: &str, groups: &[&str]| Action::new(&action_type, name, groups);
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
        let types = Kind::ALL.iter().map(|kind| Ok((*kind, ty(*kind)?)));
        Ok(Self {
            types: types.collect::<Result<_, NameFault>>()?,
            start_task: action("StartTask", &[])?,
            delegate: action("Delegate", &[])?,
            cross_domain: action("CrossDomain", &[])?,
            any_scope: action(&stand_in("Invoke"), &["Invoke"])?,
            scopes: named,
        })
    }

    /// The name as Cedar has it.
    pub(crate) fn uid(&self, name: Name<'_>) -> Result<EntityUid, NameFault> {
        let ty = self.types.get(&name.kind).ok_or_else(|| NameFault(format!("{name:?}")))?;
        Ok(uid(ty, name.id))
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
}

impl Action {
    fn new(ty: &EntityTypeName, id: &str, groups: &[&str]) -> Result<Self, NameFault> {
        let parents: HashSet<EntityUid> = groups.iter().map(|group| uid(ty, group)).collect();
        let entity = Entity::new_no_attrs(uid(ty, id), parents);
        let entities =
            Entities::from_entities([entity], None).map_err(|e| NameFault(e.to_string()))?;
        Ok(Self {
            id: id.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            uid: uid(ty, id),
            entities,
        })
    }
}

fn uid(ty: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(ty.clone(), EntityId::new(id))
}
