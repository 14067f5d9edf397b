//! What a permit asks in return.

use serde::{Deserialize, Serialize};

/// A condition that a permit carries as an annotation.
///
/// Every determining policy's obligations apply: one more permit can add an obligation, never
/// lift one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Obligation {
    /// `@approval("owner")`: somebody must have approved this very request. Unmet, the answer is
    /// a denial with `approval_required`.
    Approval {
        /// Who: an [`Approver`](crate::Approver).
        by: String,
    },
    /// `@max_ttl("300")`: what is issued lives no longer than this.
    MaxTtl {
        /// The cap.
        seconds: u64,
    },
    /// `@notify("security")`: somebody is told afterwards.
    Notify {
        /// Who.
        whom: String,
    },
    /// `@x_anything("…")`: passed on to the enforcer as it stands.
    Other {
        /// The annotation's name without the `x_`.
        key: String,
        /// Its value.
        value: String,
    },
}
