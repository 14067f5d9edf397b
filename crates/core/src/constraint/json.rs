//! The closed JSON form of a constraint, and its bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::members::{Members, Scalar};
use super::number::Number;
use super::path::CanonicalPath;
use super::reads::ReadSource;
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
        let fail = |key: &str, what: &str| ConstraintError { key: key.into(), what: what.into() };
        let object = value.as_object().ok_or_else(|| fail("", "not an object"))?;
        let key = object.get("key").and_then(Value::as_str);
        let key = key.ok_or_else(|| fail("", "key is not a string"))?;
        let rule = read_rule(object).map_err(|what| fail(key, &what))?;
        Self::new(key, rule)
    }

    /// The constraint object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("key".into(), Value::from(self.key()));
        let value = match self.rule() {
            Rule::Max(n) | Rule::Min(n) | Rule::MaxLifetime(n) | Rule::MaxSubtree(n) => n.to_json(),
            Rule::OneOf(m) | Rule::NotOneOf(m) | Rule::SubsetOf(m) => m.to_json(),
            Rule::Prefix(text) | Rule::Contains(text) => Value::from(text.as_str()),
            Rule::Rank { rank, order } => {
                object.insert("order".into(), Value::from(order.as_slice()));
                Value::from(rank.as_str())
            }
            Rule::Absent => Value::Bool(true),
            Rule::Under(path) => Value::from(path.as_str()),
            Rule::Host(hosts) => Value::from(hosts.as_slice()),
            Rule::FromRead(sources) => sources.iter().map(source_to_json).collect(),
            Rule::Unknown { value, .. } => value.clone(),
        };
        object.insert(self.type_name().into(), value);
        Value::Object(object)
    }
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(serde::de::Error::custom)
    }
}

/// Finds the one type member and reads it with the members its type adds.
fn read_rule(object: &Map<String, Value>) -> Result<Rule, String> {
    let others = || object.iter().filter(|(name, _)| *name != "key");
    let mut known = others().filter(|(name, _)| KNOWN.contains(&name.as_str()));
    let Some((name, value)) = known.next() else {
        let mut unknown = others();
        return match (unknown.next(), unknown.next()) {
            (Some((member, value)), None) => {
                Ok(Rule::Unknown { member: member.clone(), value: value.clone() })
            }
            _ => Err("must carry exactly one type member".into()),
        };
    };
    if known.next().is_some() {
        return Err("must carry exactly one type member".into());
    }
    let added = if name == "rank" { 1 } else { 0 };
    if object.len() != 2 + added || (added == 1 && !object.contains_key("order")) {
        return Err(format!("type {name} has a missing or an undefined member"));
    }
    known_rule(name, value, object).ok_or_else(|| format!("{name} has the wrong form"))
}

fn known_rule(name: &str, value: &Value, object: &Map<String, Value>) -> Option<Rule> {
    Some(match name {
        "max" => Rule::Max(Number::from_json(value)?),
        "min" => Rule::Min(Number::from_json(value)?),
        "max_lifetime" => Rule::MaxLifetime(Number::from_json(value)?),
        "max_subtree" => Rule::MaxSubtree(Number::from_json(value)?),
        "one_of" => Rule::OneOf(members(value)?),
        "not_one_of" => Rule::NotOneOf(members(value)?),
        "subset_of" => Rule::SubsetOf(members(value)?),
        "prefix" => Rule::Prefix(value.as_str()?.to_owned()),
        "contains" => Rule::Contains(value.as_str()?.to_owned()),
        "under" => Rule::Under(CanonicalPath::from_constraint(value.as_str()?)?),
        "absent" => (*value == Value::Bool(true)).then_some(Rule::Absent)?,
        "rank" => {
            Rule::Rank { rank: value.as_str()?.to_owned(), order: strings(object.get("order")?)? }
        }
        "host" => {
            let mut hosts = strings(value)?;
            hosts.sort_unstable();
            hosts.dedup();
            Rule::Host(hosts)
        }
        "from_read" => Rule::FromRead(normal_sources(
            value.as_array()?.iter().map(source_from_json).collect::<Option<_>>()?,
        )),
        _ => return None,
    })
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
    kept.sort_by_cached_key(|source| source_to_json(source).to_string());
    kept
}

fn members(value: &Value) -> Option<Members> {
    let scalars: Option<Vec<Scalar>> = value.as_array()?.iter().map(Scalar::from_json).collect();
    Some(Members::new(scalars?))
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
    };
    for (name, value) in object {
        match name.as_str() {
            "scope" => {}
            "field" => source.field = Some(value.as_str()?.to_owned()),
            "bound" => source.at_most = (value.as_str()? == "max").then_some(true)?,
            "where" => {
                for (name, value) in value.as_object()? {
                    source.filter.insert(name.clone(), Scalar::from_json(value)?);
                }
            }
            _ => return None,
        }
    }
    Some(source)
}

fn source_to_json(source: &ReadSource) -> Value {
    let mut object = Map::new();
    object.insert("scope".into(), Value::from(source.scope.as_str()));
    if let Some(field) = &source.field {
        object.insert("field".into(), Value::from(field.as_str()));
    }
    if !source.filter.is_empty() {
        let filter = source.filter.iter().map(|(name, value)| (name.clone(), value.to_json()));
        object.insert("where".into(), Value::Object(filter.collect()));
    }
    if source.at_most {
        object.insert("bound".into(), Value::from("max"));
    }
    Value::Object(object)
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
