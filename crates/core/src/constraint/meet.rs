//! The meet of two constraints of one key and type. See the module text for "nothing".

use super::json::normal_sources;
use super::members::Members;
use super::{Constraint, NOTHING, Rule, position};
use crate::limits::{CONSTRAINT_STRING_BYTES_MAX, MEMBERS_MAX, READ_SOURCES_MAX};

/// What two constraints of one (key, type) allow together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meet {
    /// One constraint of that type, never wider than either.
    One(Constraint),
    /// No constraint of that type denies enough: this one, and [`Meet::deny`] on the same key.
    Nothing(Constraint),
    /// The two differ in key or type; both apply.
    Both,
}

impl Meet {
    /// The constraint that admits no value of `key`.
    #[must_use]
    pub fn deny(key: &Constraint) -> Constraint {
        Constraint { key: key.key.clone(), rule: Rule::OneOf(Members::default()) }
    }
}

impl Constraint {
    /// The meet with `other`, syntactically narrower than `self` (the parent).
    #[must_use]
    pub fn meet(&self, other: &Constraint) -> Meet {
        if self.identity() != other.identity() {
            return Meet::Both;
        }
        let one = |rule| Meet::One(Constraint { key: self.key.clone(), rule });
        let nothing = |rule| Meet::Nothing(Constraint { key: self.key.clone(), rule });
        match (&self.rule, &other.rule) {
            (Rule::Max(a), Rule::Max(b)) => one(Rule::Max(*a.min(b))),
            (Rule::Min(a), Rule::Min(b)) => one(Rule::Min(*a.max(b))),
            (Rule::MaxLifetime(a), Rule::MaxLifetime(b)) => one(Rule::MaxLifetime(*a.min(b))),
            (Rule::MaxSubtree(a), Rule::MaxSubtree(b)) => one(Rule::MaxSubtree(*a.min(b))),
            (Rule::OneOf(a), Rule::OneOf(b)) => one(Rule::OneOf(a.intersection(b))),
            (Rule::SubsetOf(a), Rule::SubsetOf(b)) => one(Rule::SubsetOf(a.intersection(b))),
            (Rule::NotOneOf(a), Rule::NotOneOf(b)) => {
                let union = a.union(b);
                if union.len() > MEMBERS_MAX {
                    return nothing(self.rule.clone());
                }
                one(Rule::NotOneOf(union))
            }
            (Rule::Host(a), Rule::Host(b)) => {
                one(Rule::Host(a.iter().filter(|host| b.contains(host)).cloned().collect()))
            }
            (Rule::Prefix(a), Rule::Prefix(b)) => {
                string(a, b, |longer, shorter| longer.starts_with(shorter))
                    .map_or_else(|| nothing(self.rule.clone()), |text| one(Rule::Prefix(text)))
            }
            (Rule::Contains(a), Rule::Contains(b)) => {
                string(a, b, |longer, shorter| longer.contains(shorter))
                    .map_or_else(|| nothing(self.rule.clone()), |text| one(Rule::Contains(text)))
            }
            (Rule::Under(a), Rule::Under(b)) => one(Rule::Under(if a.is_nothing() {
                a.clone()
            } else if b.lies_under(a) {
                b.clone()
            } else if a.lies_under(b) && !b.is_nothing() {
                a.clone()
            } else {
                a.nothing()
            })),
            (Rule::Rank { rank: a, order }, Rule::Rank { rank: b, order: other }) => {
                if order != other {
                    let rank = order.first().unwrap_or(a).clone();
                    return nothing(Rule::Rank { rank, order: order.clone() });
                }
                let lower = if position(order, a) <= position(order, b) { a } else { b };
                one(Rule::Rank { rank: lower.clone(), order: order.clone() })
            }
            (Rule::FromRead(a), Rule::FromRead(b)) => {
                let pairs = a.iter().flat_map(|p| b.iter().filter_map(|c| p.meet(c)));
                let sources = normal_sources(pairs.collect());
                if sources.len() > READ_SOURCES_MAX {
                    return one(Rule::FromRead(Vec::new()));
                }
                one(Rule::FromRead(sources))
            }
            // Absent meets itself; an unknown one denies every action whatever the other says.
            _ => Meet::One(self.clone()),
        }
    }
}

/// The longer of two comparable strings, or the parent's extended by the mark of nothing; `None`
/// when that would be too long.
fn string(parent: &str, other: &str, extends: impl Fn(&str, &str) -> bool) -> Option<String> {
    if parent.contains(NOTHING) {
        return Some(parent.to_owned());
    }
    if extends(other, parent) {
        return Some(other.to_owned());
    }
    if extends(parent, other) {
        return Some(parent.to_owned());
    }
    (parent.len() < CONSTRAINT_STRING_BYTES_MAX).then(|| format!("{parent}{NOTHING}"))
}
