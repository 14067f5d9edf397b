//! One question to policy: who, what, on what, and the facts that some candidate policy looks at.
//!
//! It is a tree of plain values. Cedar's request and the key of the [`Memo`](crate::memo) are both
//! made from it and from nothing else, so a fact that Cedar would see is in the key as well.

use std::borrow::Cow;

use cedar_policy::{Context, Entities, Entity, Request, RestrictedExpression};

use crate::names::{Action, Name, Names};
use crate::request::Unaskable;

/// A value that policy may look at.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    Flag(bool),
    Whole(i64),
    Decimal(String),
    Text(Cow<'a, str>),
    Entity(Name<'a>),
    Set(Vec<Fact<'a>>),
    Record(Members<'a>),
}

/// Values by name; no name is there twice.
pub(crate) type Members<'a> = Vec<(&'a str, Fact<'a>)>;

/// An entity that has something to look at.
#[derive(Debug)]
pub(crate) struct EntityFacts<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) attributes: Members<'a>,
    pub(crate) groups: Vec<Name<'a>>,
    pub(crate) tags: Members<'a>,
}

/// The question.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) principal: Name<'a>,
    pub(crate) action: &'a Action,
    pub(crate) resource: Name<'a>,
    pub(crate) context: Members<'a>,
    pub(crate) entities: Vec<EntityFacts<'a>>,
}

impl Question<'_> {
    /// The question in Cedar's terms.
    ///
    /// # Errors
    ///
    /// When Cedar does not take a value.
    pub(crate) fn cedar(&self, names: &Names) -> Result<(Request, Entities), Unaskable> {
        let entities = self.entities.iter().map(|one| one.cedar(names));
        let entities = entities.collect::<Result<Vec<_>, _>>()?;
        let base = self.action.entities.clone();
        let entities = base.add_entities(entities, None).map_err(Unaskable::cedar)?;
        let context =
            Context::from_pairs(pairs(&self.context, names)?).map_err(Unaskable::cedar)?;
        let principal = names.uid(self.principal).map_err(Unaskable::cedar)?;
        let resource = names.uid(self.resource).map_err(Unaskable::cedar)?;
        let request = Request::new(principal, self.action.uid.clone(), resource, context, None);
        Ok((request.map_err(Unaskable::cedar)?, entities))
    }

    /// The question as bytes: two that differ in anything have different bytes. Every text and
    /// list is preceded by its length, every value by its type.
    pub(crate) fn bytes(&self) -> Bytes {
        let mut to = Bytes(Vec::with_capacity(512));
        to.name(self.principal);
        to.text(&self.action.id);
        to.name(self.resource);
        to.members(&self.context);
        to.list(&self.entities, |to, entity| {
            to.name(entity.name);
            to.members(&entity.attributes);
            to.list(&entity.groups, |to, group| to.name(*group));
            to.members(&entity.tags);
        });
        to
    }
}

impl EntityFacts<'_> {
    fn cedar(&self, names: &Names) -> Result<Entity, Unaskable> {
        let groups = self.groups.iter().map(|group| names.uid(*group));
        let groups = groups.collect::<Result<Vec<_>, _>>().map_err(Unaskable::cedar)?;
        let name = names.uid(self.name).map_err(Unaskable::cedar)?;
        let (attributes, tags) = (pairs(&self.attributes, names)?, pairs(&self.tags, names)?);
        Entity::new_with_tags(name, attributes, groups, tags).map_err(Unaskable::cedar)
    }
}

impl Fact<'_> {
    fn cedar(&self, names: &Names) -> Result<RestrictedExpression, Unaskable> {
        Ok(match self {
            Self::Flag(flag) => RestrictedExpression::new_bool(*flag),
            Self::Whole(number) => RestrictedExpression::new_long(*number),
            Self::Decimal(number) => RestrictedExpression::new_decimal(number.as_str()),
            Self::Text(text) => RestrictedExpression::new_string(text.clone().into_owned()),
            Self::Entity(name) => {
                RestrictedExpression::new_entity_uid(names.uid(*name).map_err(Unaskable::cedar)?)
            }
            Self::Set(items) => {
                let items = items.iter().map(|item| item.cedar(names));
                RestrictedExpression::new_set(items.collect::<Result<Vec<_>, _>>()?)
            }
            Self::Record(members) => RestrictedExpression::new_record(pairs(members, names)?)
                .map_err(Unaskable::cedar)?,
        })
    }
}

fn pairs(
    members: &Members<'_>,
    names: &Names,
) -> Result<Vec<(String, RestrictedExpression)>, Unaskable> {
    members.iter().map(|(name, fact)| Ok(((*name).to_owned(), fact.cedar(names)?))).collect()
}

/// Bytes of a question.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        // INVARIANT: a `usize` fits into 64 bits on every platform there is.
        self.number(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, name: Name<'_>) {
        self.0.push(name.kind as u8);
        self.text(name.id);
    }

    fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.number(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.iter().for_each(|item| one(self, item));
    }

    fn members(&mut self, members: &Members<'_>) {
        self.list(members, |to, (name, fact)| {
            to.text(name);
            to.fact(fact);
        });
    }

    fn fact(&mut self, fact: &Fact<'_>) {
        match fact {
            Fact::Flag(flag) => self.0.extend_from_slice(&[0, u8::from(*flag)]),
            Fact::Whole(number) => {
                self.0.push(1);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
            Fact::Decimal(number) => {
                self.0.push(2);
                self.text(number);
            }
            Fact::Text(text) => {
                self.0.push(3);
                self.text(text);
            }
            Fact::Entity(name) => {
                self.0.push(4);
                self.name(*name);
            }
            Fact::Set(items) => {
                self.0.push(5);
                self.list(items, Self::fact);
            }
            Fact::Record(members) => {
                self.0.push(6);
                self.members(members);
            }
        }
    }
}
