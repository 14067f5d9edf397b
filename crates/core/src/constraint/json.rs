//! The closed JSON form of a constraint, and its bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::members::{Members, Scalar};
use super::number::Number;
use super::path::CanonicalPath;
use super::reads::{Computed, ReadSource};
use super::{Constraint, ConstraintError, Rule, host};
use crate::limits::{
    CONSTRAINT_KEY_BYTES_MAX, CONSTRAINT_STRING_BYTES_MAX, MEMBERS_MAX, ORDER_MAX,
    READ_SOURCES_MAX, WHERE_FIELDS_MAX,
};

const KNOWN: [&str; 14] = [
    "max",
    "min",
    "max_lifetime",
    "max_subtree",
    "one_of",
    "not_one_of",
    "prefix",
    "rank",
    "subset_of",
    "absent",
    "contains",
    "under",
    "host",
    "from_read",
];

impl Constraint {
    /// Reads a constraint object.
    ///
    /// # Errors
    /// [`ConstraintError`] when the object is not closed, has not exactly one type member, or a
    /// member has the wrong form. An unknown single type member is not an error.
    pub fn from_json(value: &Value) -> Result<Self, ConstraintError> {
        Self::deserialize(value).map_err(|error| ConstraintError {
            key: shown(value.get("key").and_then(Value::as_str).unwrap_or_default()),
            what: error.to_string(),
        })
    }

    /// The constraint object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // INVARIANT: this fails only on a map key that is not text, and there is none.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("key", self.key())?;
        let name = self.type_name();
        match self.rule() {
            Rule::Max(n) | Rule::Min(n) | Rule::MaxLifetime(n) | Rule::MaxSubtree(n) => {
                object.serialize_entry(name, n)?;
            }
            Rule::OneOf(m) | Rule::NotOneOf(m) | Rule::SubsetOf(m) => {
                object.serialize_entry(name, m)?;
            }
            Rule::Prefix(text) | Rule::Contains(text) => object.serialize_entry(name, text)?,
            Rule::Rank { rank, order } => {
                object.serialize_entry("order", order)?;
                object.serialize_entry(name, rank)?;
            }
            Rule::Absent => object.serialize_entry(name, &true)?,
            Rule::Under(path) => object.serialize_entry(name, path.as_str())?,
            Rule::Host(hosts) => object.serialize_entry(name, hosts)?,
            Rule::FromRead(sources) => object.serialize_entry(name, sources)?,
            Rule::Unknown { value, .. } => object.serialize_entry(name, value)?,
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A member's name, borrowed where the text has it as it is.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the members in any order: `key`, one known type, and whatever else there is.
struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Constraint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a constraint object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Constraint, A::Error> {
        let mut key: Option<Name<'de>> = None;
        let mut known: Option<Rule> = None;
        let mut others: Vec<(String, Value)> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if name == "key" {
                if key.replace(map.next_value()?).is_some() {
                    return Err(A::Error::custom("key is given twice"));
                }
            } else if let Some(rule) = read_known(&name, &mut map)? {
                if known.replace(rule).is_some() {
                    return Err(A::Error::custom("must carry exactly one type member"));
                }
            } else {
                others.push((name.into_owned(), map.next_value()?));
            }
        }
        let Name(key) = key.ok_or_else(|| A::Error::custom("has no key"))?;
        let rule = complete(known, others).map_err(A::Error::custom)?;
        Constraint::new(&key, rule).map_err(|error| A::Error::custom(error.what))
    }
}

/// Reads the value of a known type member; `None` when the name is no known type.
fn read_known<'de, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Option<Rule>, A::Error> {
    Ok(Some(match name {
        "max" => Rule::Max(map.next_value()?),
        "min" => Rule::Min(map.next_value()?),
        "max_lifetime" => Rule::MaxLifetime(map.next_value()?),
        "max_subtree" => Rule::MaxSubtree(map.next_value()?),
        "one_of" => Rule::OneOf(Members::new(map.next_value::<Vec<Scalar>>()?)),
        "not_one_of" => Rule::NotOneOf(Members::new(map.next_value::<Vec<Scalar>>()?)),
        "subset_of" => Rule::SubsetOf(Members::new(map.next_value::<Vec<Scalar>>()?)),
        "prefix" => Rule::Prefix(map.next_value()?),
        "contains" => Rule::Contains(map.next_value()?),
        "rank" => Rule::Rank { rank: map.next_value()?, order: Vec::new() },
        "absent" => match map.next_value::<bool>()? {
            true => Rule::Absent,
            false => return Err(A::Error::custom("absent must be true")),
        },
        "under" => {
            let Name(path) = map.next_value()?;
            let path = CanonicalPath::from_constraint(&path);
            Rule::Under(path.ok_or_else(|| A::Error::custom("under is not a canonical path"))?)
        }
        "host" => {
            let mut hosts: Vec<String> = map.next_value()?;
            hosts.sort_unstable();
            hosts.dedup();
            Rule::Host(hosts)
        }
        "from_read" => {
            let sources: Vec<Value> = map.next_value()?;
            let sources = sources.iter().map(source_from_json).collect::<Option<_>>();
            let sources =
                sources.ok_or_else(|| A::Error::custom("from_read has the wrong form"))?;
            Rule::FromRead(normal_sources(sources))
        }
        _ => return Ok(None),
    }))
}

/// The rule, given the known type member and all members that are neither it nor the key.
fn complete(known: Option<Rule>, others: Vec<(String, Value)>) -> Result<Rule, &'static str> {
    let mut others = others.into_iter();
    match (known, others.next(), others.next()) {
        (Some(Rule::Rank { rank, .. }), Some((name, order)), None) if name == "order" => {
            let order = strings(&order).ok_or("order must list names")?;
            Ok(Rule::Rank { rank, order })
        }
        (Some(Rule::Rank { .. }), ..) => Err("rank must carry order and nothing else"),
        (Some(rule), None, None) => Ok(rule),
        (Some(_), ..) => Err("carries a member its type does not define"),
        (None, Some((member, value)), None) => Ok(Rule::Unknown { member, value }),
        (None, ..) => Err("must carry exactly one type member"),
    }
}

/// Distinct elements in a fixed order, without those another one subsumes.
pub(super) fn normal_sources(sources: Vec<ReadSource>) -> Vec<ReadSource> {
    let mut kept: Vec<ReadSource> = Vec::with_capacity(sources.len());
    for source in sources {
        if kept.iter().any(|other| other.subsumes(&source)) {
            continue;
        }
        kept.retain(|other| !source.subsumes(other));
        kept.push(source);
    }
    kept.sort_unstable();
    kept
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn source_from_json(value: &Value) -> Option<ReadSource> {
    let object = value.as_object()?;
    let mut source = ReadSource {
        scope: object.get("scope")?.as_str()?.parse().ok()?,
        field: None,
        filter: BTreeMap::new(),
        at_most: false,
        computed: None,
    };
    let (mut times, mut plus) = (None, None);
    for (name, value) in object {
        match name.as_str() {
            "scope" => {}
            "field" => source.field = Some(value.as_str()?.to_owned()),
            "times" => times = Some(Number::from_json(value)?),
            "plus" => plus = Some(Number::from_json(value)?),
            "bound" => source.at_most = (value.as_str()? == "max").then_some(true)?,
            "where" => {
                for (name, value) in value.as_object()? {
                    source.filter.insert(name.clone(), Scalar::from_json(value)?);
                }
            }
            _ => return None,
        }
    }
    if (times.is_some() || plus.is_some()) && source.field.is_none() {
        return None;
    }
    source.computed = Computed::new(times, plus);
    Some(source)
}

impl Serialize for ReadSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        if self.at_most {
            object.serialize_entry("bound", "max")?;
        }
        if let Some(field) = &self.field {
            object.serialize_entry("field", field)?;
        }
        let computed = self.computed.as_ref().map(|it| (it.times(), it.plus()));
        if let Some((_, plus)) = computed.filter(|(_, plus)| plus.get() != 0.0) {
            object.serialize_entry("plus", &plus)?;
        }
        object.serialize_entry("scope", &self.scope)?;
        if let Some((times, _)) = computed.filter(|(times, _)| times.get() != 1.0) {
            object.serialize_entry("times", &times)?;
        }
        if !self.filter.is_empty() {
            object.serialize_entry("where", &self.filter)?;
        }
        object.end()
    }
}

/// The bounds and invariants every constraint has, however it was made.
pub(super) fn check(key: &str, rule: &Rule) -> Result<(), ConstraintError> {
    let what = if key.is_empty() || key.len() > CONSTRAINT_KEY_BYTES_MAX {
        Some("key is empty or too long")
    } else if key.chars().any(char::is_control) {
        Some("key has a control character")
    } else {
        rule_fault(rule)
    };
    match what {
        Some(what) => Err(ConstraintError { key: shown(key), what: what.into() }),
        None => Ok(()),
    }
}

fn shown(key: &str) -> String {
    key.chars().take(64).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

fn rule_fault(rule: &Rule) -> Option<&'static str> {
    let long = |text: &str| text.len() > CONSTRAINT_STRING_BYTES_MAX;
    match rule {
        Rule::OneOf(members) | Rule::NotOneOf(members) | Rule::SubsetOf(members) => {
            if members.len() > MEMBERS_MAX {
                return Some("too many members");
            }
            let text = |member: &Scalar| matches!(member, Scalar::String(text) if long(text));
            members.iter().any(text).then_some("a member is too long")
        }
        Rule::Prefix(text) | Rule::Contains(text) => long(text).then_some("text is too long"),
        Rule::Under(path) => long(path.as_str()).then_some("path is too long"),
        Rule::Rank { rank, order } => rank_fault(rank, order),
        Rule::Host(hosts) => {
            let wrong = hosts.len() > MEMBERS_MAX || !hosts.iter().all(|h| host::is_entry(h));
            wrong.then_some("host must list host names, with a port when it is not 443")
        }
        Rule::FromRead(sources) => {
            let many = sources.len() > READ_SOURCES_MAX
                || sources.iter().any(|s| s.filter.len() > WHERE_FIELDS_MAX);
            many.then_some("too many reads or where fields")
        }
        Rule::Unknown { member, .. } => {
            (member == "key" || KNOWN.contains(&member.as_str())).then_some("type is not unknown")
        }
        Rule::Max(_) | Rule::Min(_) | Rule::MaxLifetime(_) | Rule::MaxSubtree(_) | Rule::Absent => {
            None
        }
    }
}

fn rank_fault(rank: &String, order: &[String]) -> Option<&'static str> {
    let distinct =
        order.iter().enumerate().all(|(i, name)| !order.iter().take(i).any(|n| n == name));
    if !(2..=ORDER_MAX).contains(&order.len()) || !distinct {
        return Some("order must list two or more distinct names");
    }
    (!order.contains(rank)).then_some("rank is not a member of order")
}
