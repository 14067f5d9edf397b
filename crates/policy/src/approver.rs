//! Who may approve, as policies (`@approval`) and workflows (`approvers`) name them.

use std::fmt;
use std::str::FromStr;

/// Bytes of one name.
const NAME_BYTES_MAX: usize = 256;

/// Some people, by what they are to a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Approver {
    /// `subject`: whoever started the task.
    Subject,
    /// `owner`: the people of the workflow's owner.
    Owner,
    /// `reviewer`: the people of the workflow's reviewer.
    Reviewer,
    /// `team:…` or `user:…`: the people of this registered owner.
    Registered(String),
    /// `group:…`: this group, as the issuer that vouched for the task's subject names it.
    Group(String),
}

impl Approver {
    /// Words and beginnings of names, for messages.
    pub const FORMS: [&'static str; 6] =
        ["subject", "owner", "reviewer", "team:…", "user:…", "group:…"];
}

/// A text that names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an approver is `subject`, `owner`, `reviewer`, `team:…`, `user:…` or `group:…`")]
pub struct UnknownApprover;

impl FromStr for Approver {
    type Err = UnknownApprover;

    fn from_str(text: &str) -> Result<Self, UnknownApprover> {
        let plain = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
        if text.len() > NAME_BYTES_MAX || text.trim() != text {
            return Err(UnknownApprover);
        }
        match (text, text.split_once(':')) {
            ("subject", _) => Ok(Self::Subject),
            ("owner", _) => Ok(Self::Owner),
            ("reviewer", _) => Ok(Self::Reviewer),
            (_, Some(("team" | "user", name)))
                if plain(name) && !name.contains(char::is_whitespace) =>
            {
                Ok(Self::Registered(text.to_owned()))
            }
            (_, Some(("group", name))) if plain(name) => Ok(Self::Group(name.to_owned())),
            _ => Err(UnknownApprover),
        }
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("subject"),
            Self::Owner => f.write_str("owner"),
            Self::Reviewer => f.write_str("reviewer"),
            Self::Registered(id) => f.write_str(id),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_text() {
        for good in ["subject", "owner", "reviewer", "team:a", "user:b@x.example", "group:A team"] {
            assert_eq!(good.parse::<Approver>().unwrap().to_string(), good);
        }
        for bad in
            ["", "anyone", "Owner", " owner", "group:", "team:a b", "role:x", "ask", "agent:spiffe"]
        {
            assert!(bad.parse::<Approver>().is_err(), "{bad:?}");
        }
    }
}
