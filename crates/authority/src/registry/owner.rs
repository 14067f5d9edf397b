//! Owners: the people and teams who answer for agents and workflows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approvers::is_member;
use super::error::{RegistryErrorCode, shown};
use super::fields::Faults;

/// Whether an owner still answers for things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnerStatus {
    /// Answers for what it owns.
    Active,
    /// Has left: nothing may be owned or reviewed by it.
    Inactive,
}

impl std::str::FromStr for OwnerStatus {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "active" => Ok(Self::Active),
            "inactive" => Ok(Self::Inactive),
            _ => Err(()),
        }
    }
}

/// A person or a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerDocument {
    /// `team:<name>` or `user:<name>`.
    pub id: String,
    /// Name to show.
    pub name: String,
    /// How to reach them.
    pub contact: String,
    /// The people: ids of subjects, and `group:…` of the issuer that vouched for a task's subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Whether they still answer for things.
    pub status: OwnerStatus,
}

const KEYS: &[&str] = &["id", "name", "contact", "members", "status"];
/// Most members of one owner.
const MEMBERS_MAX: usize = 256;

impl OwnerDocument {
    pub(super) fn read(value: &Value, faults: &mut Faults) -> Option<Self> {
        let mut reader = faults.object(value, "", KEYS)?;
        let id = reader.text("id", "`team:<name>` or `user:<name>`");
        let name_of = id.strip_prefix("team:").or_else(|| id.strip_prefix("user:"));
        let plain = |name: &str| !name.is_empty() && !name.chars().any(char::is_whitespace);
        if !id.is_empty() && !name_of.is_some_and(plain) {
            let message = "must be `team:<name>` or `user:<name>`, without spaces";
            reader.fault(RegistryErrorCode::Value, "id", message);
        }
        let members = reader.texts("members", MEMBERS_MAX);
        for (index, member) in members.iter().enumerate().filter(|(_, text)| !is_member(text)) {
            let message = format!(
                "{:?} is neither `group:…` nor the id of a person, such as user:rita@a.example",
                shown(member)
            );
            reader.fault(RegistryErrorCode::Value, &format!("members[{index}]"), message);
        }
        Some(Self {
            members,
            name: reader.text("name", "the name people know them by"),
            contact: reader.text("contact", "an address or channel where they are reached"),
            status: reader.word("status", &["active", "inactive"], Some(OwnerStatus::Active))?,
            id,
        })
    }

    /// The canonical JSON form, which is what is stored.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
