//! What a policy says about itself: its id, its obligations, how its refusal reads.

use std::collections::BTreeMap;

use bailiwick_core::limits::TTL_SECONDS_MAX;
use bailiwick_core::outcome::Outcome;
use cedar_policy::Effect;

use crate::approver::Approver;
use crate::obligation::Obligation;
use crate::suggest::closest;

/// Annotations with a meaning here. Any other is a load error, except those that begin with `x_`.
pub(crate) const KNOWN: [&str; 8] =
    ["approval", "code", "description", "id", "max_ttl", "notify", "owner", "reason"];

/// Codes that a `forbid` may answer with. The others are facts that only code can establish.
pub(crate) const FORBID_CODES: [Outcome; 13] = [
    Outcome::PolicyDenied,
    Outcome::OfflineHopForbidden,
    Outcome::AgentQuarantined,
    Outcome::TenantMismatch,
    Outcome::ProvenanceMissing,
    Outcome::EdgeForbidden,
    Outcome::ChainCycle,
    Outcome::FanoutExceeded,
    Outcome::DepthInvalid,
    Outcome::CeilingExceeded,
    Outcome::ScopeNotGranted,
    Outcome::IssuerUntrusted,
    Outcome::TaskClosed,
];

/// The annotations of one policy, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) id: Option<String>,
    pub(crate) obligations: Vec<Obligation>,
    pub(crate) code: Option<Outcome>,
    pub(crate) reason: Option<String>,
    pub(crate) all: BTreeMap<String, String>,
}

impl Annotations {
    /// Whether somebody has to approve what the policy permits.
    pub(crate) fn needs_approval(&self) -> bool {
        self.obligations.iter().any(|one| matches!(one, Obligation::Approval { .. }))
    }
}

/// A fault in one annotation.
pub(crate) struct AnnotationFault {
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

pub(crate) fn read<'a>(
    effect: Effect,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Annotations, AnnotationFault> {
    let mut read = Annotations::default();
    for (key, value) in pairs {
        read.all.insert(key.to_owned(), value.to_owned());
        one(&mut read, effect, key, value).map_err(|(message, help)| AnnotationFault {
            key: key.to_owned(),
            message,
            help,
        })?;
    }
    read.obligations.sort();
    Ok(read)
}

type Fault = (String, String);

fn one(read: &mut Annotations, effect: Effect, key: &str, value: &str) -> Result<(), Fault> {
    match key {
        "id" => read.id = Some(identifier(value)?),
        "description" | "owner" => {}
        "reason" => read.reason = Some(forbid_only(effect, key, text(key, value)?)?),
        "code" => read.code = Some(forbid_only(effect, key, code(value)?)?),
        "approval" => {
            let by = approver(&text(key, value)?)?;
            permit_only(effect, key)?;
            read.obligations.push(Obligation::Approval { by });
        }
        "notify" => {
            let whom = text(key, value)?;
            read.obligations.push(Obligation::Notify { whom });
        }
        "max_ttl" => {
            let seconds = seconds(value)?;
            permit_only(effect, key)?;
            read.obligations.push(Obligation::MaxTtl { seconds });
        }
        _ => match key.strip_prefix("x_") {
            Some(rest) if !rest.is_empty() => {
                read.obligations
                    .push(Obligation::Other { key: rest.to_owned(), value: value.to_owned() });
            }
            _ => return Err(unknown(key)),
        },
    }
    Ok(())
}

fn unknown(key: &str) -> Fault {
    let help = match closest(key, KNOWN) {
        Some(known) => format!("did you mean `@{known}`?"),
        None => format!(
            "known annotations are @{}; one that begins with `x_` is passed on to the enforcer",
            KNOWN.join(", @")
        ),
    };
    (format!("unknown annotation `@{key}`: an obligation that nobody knows is never met"), help)
}

fn identifier(value: &str) -> Result<String, Fault> {
    let fits = !value.is_empty()
        && value.len() <= 128
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/:-".contains(&b));
    if fits {
        Ok(value.to_owned())
    } else {
        Err((
            format!("`@id(\"{}\")` is not a usable policy id", value.escape_debug()),
            "use 1 to 128 letters, digits and . _ / : -".to_owned(),
        ))
    }
}

fn text(key: &str, value: &str) -> Result<String, Fault> {
    let trimmed = value.trim();
    if trimmed.is_empty() || value.len() > 256 {
        return Err((
            format!("`@{key}` needs a value of 1 to 256 bytes"),
            format!("write `@{key}(\"…\")`"),
        ));
    }
    Ok(trimmed.to_owned())
}

/// A name that nobody can ever be would be an obligation that is never met.
fn approver(value: &str) -> Result<String, Fault> {
    if value.parse::<Approver>().is_ok() {
        return Ok(value.to_owned());
    }
    let help = match closest(value, Approver::FORMS) {
        Some(form) if !form.ends_with('…') => format!("did you mean `{form}`?"),
        _ => format!("an approver is one of {}", Approver::FORMS.join(", ")),
    };
    Err((format!("`@approval(\"{}\")` names nobody who could approve", value.escape_debug()), help))
}

fn seconds(value: &str) -> Result<u64, Fault> {
    match value.parse::<u64>() {
        Ok(seconds) if (1..=TTL_SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err((
            format!("`@max_ttl(\"{}\")` is not a lifetime", value.escape_debug()),
            format!("use whole seconds from 1 to {TTL_SECONDS_MAX}"),
        )),
    }
}

fn code(value: &str) -> Result<Outcome, Fault> {
    let names = FORBID_CODES.map(Outcome::code);
    let parsed = FORBID_CODES.into_iter().find(|outcome| outcome.code() == value);
    parsed.ok_or_else(|| {
        let help = match closest(value, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("a forbid may answer with {}", names.join(", ")),
        };
        (format!("`{}` is not a code a forbid may answer with", value.escape_debug()), help)
    })
}

fn permit_only(effect: Effect, key: &str) -> Result<(), Fault> {
    match effect {
        Effect::Permit => Ok(()),
        Effect::Forbid => Err((
            format!("`@{key}` on a forbid has no effect: a refusal obliges nobody"),
            format!("put `@{key}` on the permit"),
        )),
    }
}

fn forbid_only<T>(effect: Effect, key: &str, value: T) -> Result<T, Fault> {
    match effect {
        Effect::Forbid => Ok(value),
        Effect::Permit => Err((
            format!("`@{key}` on a permit has no effect: it words a refusal"),
            format!("put `@{key}` on a forbid, or use `@description`"),
        )),
    }
}
