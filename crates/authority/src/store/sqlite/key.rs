//! Lookup keys: the ids a receipt can be found by, as short binary keys.
//!
//! A UUID is its sixteen bytes, so that the keys of one moment lie side by side in the index. Any
//! other text is a byte that no sixteen-byte key is confused with and half of its SHA-256.

use bailiwick_core::{AgentId, TaskId, TokenId, sha256};
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// What a leaf is to the id that it is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// It only names the id.
    Named = 0,
    /// It issued a token of this task.
    IssuedFor = 1,
    /// It issued this token.
    Issued = 2,
}

/// One lookup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    bytes: [u8; 17],
    len: u8,
}

impl Key {
    /// The key of an id as text.
    pub(super) fn of_text(text: &str) -> Self {
        match text.parse::<TokenId>() {
            Ok(id) => Self::of_uuid(id.as_bytes()),
            Err(_) => Self::of_other(text),
        }
    }

    /// The key of a task.
    pub(super) fn of_task(id: TaskId) -> Self {
        Self::of_uuid(id.as_bytes())
    }

    /// The key of a token.
    pub(super) fn of_token(id: TokenId) -> Self {
        Self::of_uuid(id.as_bytes())
    }

    /// The key of an agent.
    pub(super) fn of_agent(id: &AgentId) -> Self {
        Self::of_other(id.as_str())
    }

    /// An agent as a number: what `recent` is searched by, always confirmed by the token itself.
    pub(super) fn agent_number(id: &AgentId) -> i64 {
        Self::of_other(id.as_str()).bytes.last_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
    }

    fn of_uuid(id: &[u8; 16]) -> Self {
        let mut bytes = [0; 17];
        bytes.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        Self { bytes, len: 16 }
    }

    fn of_other(text: &str) -> Self {
        let digest = sha256(text.as_bytes());
        let mut bytes = [0xff; 17];
        bytes.iter_mut().skip(1).zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        Self { bytes, len: 17 }
    }

    /// The keys of one leaf as bytes: role, length and key of each.
    pub(super) fn pack(keys: &[(Self, Role)]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(keys.len() * 19);
        for (key, role) in keys {
            packed.extend([*role as u8, key.len]);
            packed.extend(key.as_slice());
        }
        packed
    }

    /// Reads what [`Key::pack`] wrote; none is anything else.
    pub(super) fn unpack(mut packed: &[u8]) -> Option<Vec<(Self, Role)>> {
        let mut keys = Vec::new();
        while let Some(([role, len], rest)) = packed.split_first_chunk() {
            let role = [Role::Named, Role::IssuedFor, Role::Issued].get(usize::from(*role))?;
            let (key, rest) = rest.split_at_checked(usize::from(*len))?;
            let mut bytes = [0; 17];
            bytes.get_mut(..key.len())?.copy_from_slice(key);
            keys.push((Self { bytes, len: *len }, *role));
            packed = rest;
        }
        packed.is_empty().then_some(keys)
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_no_cut_of_them_is() {
        let task = TaskId::new(bailiwick_core::UnixMillis(7), [3; 10]);
        let keys = vec![(Key::of_task(task), Role::IssuedFor), (Key::of_text("x"), Role::Named)];
        let packed = Key::pack(&keys);
        assert_eq!(Key::unpack(&packed), Some(keys));
        assert_eq!(Key::unpack(&[]), Some(Vec::new()));
        for cut in (1..packed.len()).filter(|cut| *cut != 18) {
            assert_eq!(Key::unpack(&packed[..cut]), None, "{cut}");
        }
        assert_eq!(Key::unpack(&[3, 0]), None, "no such role");
        assert_eq!(Key::unpack(&[[0, 18].as_slice(), &[0; 18]].concat()), None, "too long");
    }
}
