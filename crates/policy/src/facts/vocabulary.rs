//! Closed vocabularies of the schema. Each word is an entity of an enumerated type, so that a
//! policy that misspells one does not load.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is not in its vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {expected}")]
pub struct UnknownWord {
    word: String,
    expected: &'static str,
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every word, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word, as policies and documents spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord {
                        word: word.to_owned(),
                        expected: concat!($("`", $word, "` ",)+),
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// How sensitive data is; ordered.
    Sensitivity {
        /// Anyone may see it.
        Public = "public",
        /// For the organisation.
        Internal = "internal",
        /// For those who need it.
        Confidential = "confidential",
        /// For those named.
        Restricted = "restricted",
    }
}

impl Default for Sensitivity {
    /// Data of which nothing is known is treated as the most sensitive.
    fn default() -> Self {
        Self::Restricted
    }
}

impl Sensitivity {
    /// Its place in the order, 0 for public.
    pub const fn rank(self) -> i64 {
        match self {
            Self::Public => 0,
            Self::Internal => 1,
            Self::Confidential => 2,
            Self::Restricted => 3,
        }
    }
}

vocabulary! {
    /// Whether an agent may act.
    AgentStatus {
        /// It may.
        Active = "active",
        /// Stopped by an operator; returns by an explicit act.
        Quarantined = "quarantined",
        /// Stopped for now, for instance because its owner is gone.
        Suspended = "suspended",
        /// Gone for good.
        Retired = "retired",
    }
}

vocabulary! {
    /// How complete the provenance of a request is.
    Provenance {
        /// Every hop from the subject on, verified.
        Intact = "intact",
        /// Some hop is missing; how, is not known. Older records say this.
        Partial = "partial",
        /// Agents that it went through are missing.
        Truncated = "truncated",
        /// The agents are there, in another order or under another name.
        Mistranslated = "mistranslated",
        /// Carried, but by nobody's signature.
        Unsigned = "unsigned",
        /// Lost on the way.
        Dropped = "dropped",
        /// Replaced by another subject's or agent's.
        Substituted = "substituted",
    }
}

vocabulary! {
    /// How far a downstream can honour a chain.
    Binding {
        /// It checks tokens itself.
        Verifies = "verifies",
        /// It passes provenance on.
        Carries = "carries",
        /// It is behind a connector.
        Wrapped = "wrapped",
        /// It can do none of it.
        Opaque = "opaque",
    }
}

vocabulary! {
    /// Whether an invocation only looks, as its enforcement point declares it.
    #[derive(Default)]
    CallEffect {
        /// It reads.
        Read = "read",
        /// It changes something, and what it answers is no data of the resource.
        Write = "write",
        /// Nobody said. It is treated as both: what it returns counts as read, what it does as
        /// written.
        #[default]
        Unknown = "unknown",
    }
}

impl CallEffect {
    /// Whether what it returns counts as data that the task has seen.
    pub const fn may_read(self) -> bool {
        !matches!(self, Self::Write)
    }
}
