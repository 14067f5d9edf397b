//! Identifiers as types: UUIDv7 for what we mint, bounded text for what others name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::TEXT_ID_BYTES_MAX;
use crate::time::UnixMillis;

/// Why a text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a lower-case hyphenated UUID.
    #[error("not a lower-case hyphenated UUID")]
    NotUuid,
    /// No text at all.
    #[error("empty identifier")]
    Empty,
    /// Longer than [`TEXT_ID_BYTES_MAX`].
    #[error("identifier longer than {TEXT_ID_BYTES_MAX} bytes")]
    TooLong,
    /// White space, a control character or an invisible formatting character.
    #[error("identifier has white space, a control or an invisible character")]
    NotPrintable,
}

macro_rules! uuid_id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A fresh UUIDv7 of this moment; the ten random bytes are the caller's.
            #[must_use]
            pub fn new(now: UnixMillis, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
            }

            /// The sixteen bytes, for storage.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id that has these sixteen bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = uuid::Uuid::encode_buffer();
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::from_text(deserializer)
            }
        }
    )+};
}

fn parse_uuid(text: &str) -> Result<uuid::Uuid, IdError> {
    // One text per id: upper case, braces and bare hex would be aliases of the same bytes.
    if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(IdError::NotUuid);
    }
    uuid::Uuid::try_parse(text).map_err(|_| IdError::NotUuid)
}

uuid_id! {
    /// A task (`txn` on every token of its chains).
    TaskId,
    /// One token (`jti`), settled or grant.
    TokenId,
    /// One grant as a stored document.
    GrantId,
    /// One policy decision.
    DecisionId,
    /// One revocation order.
    RevocationId,
    /// One approval.
    ApprovalId,
    /// One request, for correlation in logs and problems.
    RequestId,
    /// One opening of a gateway's spool: sequence numbers are counted within it.
    EpochId,
    /// One allotment of a budget to a gateway.
    LeaseId,
}

macro_rules! text_id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check_text(text)?;
                Ok(Self(Arc::from(text)))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::from_text(deserializer)
            }
        }
    )+};
}

text_id! {
    /// An agent: its SPIFFE ID, or its issuer and subject (`client_id`).
    AgentId,
    /// The subject who started the task (`sub`).
    SubjectId,
    /// A tenant.
    TenantId,
    /// A workflow's name.
    WorkflowId,
}

fn check_text(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > TEXT_ID_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    if !crate::text::is_printable_word(text) {
        return Err(IdError::NotPrintable);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_ids_have_one_text_form() {
        let id = TaskId::new(UnixMillis(1_700_000_000_000), [0xab; 10]);
        let text = id.to_string();
        assert_eq!(text.parse::<TaskId>(), Ok(id));
        assert_eq!(text.as_bytes()[14], b'7');
        assert_eq!(TaskId::from_bytes(*id.as_bytes()), id);
        for alias in [text.to_uppercase(), text.replace('-', ""), format!("{{{text}}}")] {
            assert_eq!(alias.parse::<TaskId>(), Err(IdError::NotUuid), "{alias}");
        }
        assert!(TaskId::new(UnixMillis(1), [0; 10]) < TaskId::new(UnixMillis(2), [0; 10]));
    }

    #[test]
    fn text_ids_are_bounded_and_printable() {
        for good in ["spiffe://a.example/agent/x", "user:alice@a.example", "utilisatrice:zoé"] {
            assert!(good.parse::<AgentId>().is_ok(), "{good}");
        }
        let long = "a".repeat(TEXT_ID_BYTES_MAX + 1);
        for (bad, error) in [
            ("", IdError::Empty),
            ("a b", IdError::NotPrintable),
            ("a\u{0}", IdError::NotPrintable),
            ("a\u{202e}b", IdError::NotPrintable),
            (long.as_str(), IdError::TooLong),
        ] {
            assert_eq!(bad.parse::<SubjectId>(), Err(error), "{bad:?}");
        }
    }
}
