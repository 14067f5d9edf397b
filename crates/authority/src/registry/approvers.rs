//! Who may approve: from the names in workflows and policies to people.

use bailiwick_core::ids::SubjectId;
use bailiwick_policy::Approver;

use super::owner::{OwnerDocument, OwnerStatus};
use super::workflow::WorkflowDocument;

/// Beginning of a member that is a group.
const GROUP: &str = "group:";
/// Beginning of the id of an owner that is a person.
const PERSON: &str = "user:";

/// Some people. Whoever is in one of its parts is one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// Whether the subject of the task is: nobody else's name makes the subject one of them.
    pub subject: bool,
    /// Persons, by the id that tokens give them.
    pub ids: Vec<String>,
    /// Groups, as the issuer that vouched for the task's subject names them.
    pub groups: Vec<String>,
}

impl People {
    /// The people that `approver` names for tasks of `workflow`; `owner` finds an owner. An owner
    /// that is not there, or not active, is nobody.
    pub fn of(
        approver: &Approver,
        workflow: &WorkflowDocument,
        owner: impl Fn(&str) -> Option<OwnerDocument>,
    ) -> Self {
        let registered = |id: &str| {
            let found = owner(id).filter(|found| found.status == OwnerStatus::Active);
            found.map(|found| Self::of_owner(&found)).unwrap_or_default()
        };
        match approver {
            Approver::Subject => Self { subject: true, ..Self::default() },
            Approver::Owner => registered(&workflow.owner),
            Approver::Reviewer => registered(&workflow.reviewer),
            Approver::Registered(id) => registered(id),
            Approver::Group(name) => Self { groups: vec![name.clone()], ..Self::default() },
        }
    }

    fn of_owner(owner: &OwnerDocument) -> Self {
        let mut people = Self::default();
        for member in &owner.members {
            match member.strip_prefix(GROUP) {
                Some(group) => people.groups.push(group.to_owned()),
                None => people.ids.push(member.clone()),
            }
        }
        // An owner that is a person, of which no more is said, is the subject of that name.
        if owner.members.is_empty() && owner.id.starts_with(PERSON) {
            people.ids.push(owner.id.clone());
        }
        people
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        !self.subject && self.ids.is_empty() && self.groups.is_empty()
    }

    /// Everybody that is in either.
    pub fn add(&mut self, more: Self) {
        self.subject |= more.subject;
        self.ids.extend(more.ids);
        self.groups.extend(more.groups);
    }

    /// What an approver is shown: `subject`, ids, `group:…`.
    pub fn names(&self) -> Vec<String> {
        let groups = self.groups.iter().map(|name| format!("{GROUP}{name}"));
        let subject = self.subject.then(|| "subject".to_owned());
        let mut names: Vec<String> =
            subject.into_iter().chain(self.ids.iter().cloned()).chain(groups).collect();
        names.dedup();
        names
    }
}

/// Whether a text can be a member of an owner: `group:…` or a subject's id. An agent is none.
pub(super) fn is_member(text: &str) -> bool {
    match text.strip_prefix(GROUP) {
        Some(name) => !name.is_empty() && !name.chars().any(char::is_control),
        None => text.parse::<SubjectId>().is_ok() && !text.starts_with("spiffe:"),
    }
}

impl WorkflowDocument {
    /// Who may approve what `otherwise = "ask"` asks: `approvers`, or the people of the owner.
    pub fn who_approves(&self) -> Vec<Approver> {
        if self.approvers.is_empty() {
            return vec![Approver::Owner];
        }
        self.approvers.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Whether any of its constraints is asked about.
    pub(super) fn asks(&self) -> bool {
        self.authority.constraints.iter().any(|constraint| constraint.get("otherwise").is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_group_or_a_person_and_never_an_agent() {
        for good in ["group:finance", "group:A team", "user:rita@dev.example", "employee:7"] {
            assert!(is_member(good), "{good}");
        }
        for bad in ["", "group:", "two words", "spiffe://a.example/agent/x", "a\u{202e}b"] {
            assert!(!is_member(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_owner_is_its_members_and_nobody_once_inactive() {
        let owner = |members: &[&str], status| OwnerDocument {
            id: "user:rita@dev.example".to_owned(),
            name: "Rita".to_owned(),
            contact: "rita@dev.example".to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            status,
        };
        let itself = People::of_owner(&owner(&[], OwnerStatus::Active));
        assert_eq!(itself.names(), ["user:rita@dev.example"]);
        let others = People::of_owner(&owner(&["group:g", "user:p"], OwnerStatus::Active));
        assert_eq!(others.names(), ["user:p", "group:g"]);
        let team = OwnerDocument { id: "team:x".into(), ..owner(&[], OwnerStatus::Active) };
        assert!(People::of_owner(&team).is_empty());
    }
}
