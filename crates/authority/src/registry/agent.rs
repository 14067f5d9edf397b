//! Agents: registered workloads.

use std::str::FromStr;

use bailiwick_core::ids::{AgentId, TenantId};
use bailiwick_policy::{AgentStatus, Sensitivity};
use serde::Serialize;
use serde_json::Value;

use super::error::RegistryErrorCode;
use super::fields::Faults;

/// What an agent may be in the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRole {
    /// Holds authority and hands it on.
    Agent,
    /// Asks for decisions about calls of others; holds no authority of its own.
    EnforcementPoint,
}

impl FromStr for AgentRole {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "agent" => Ok(Self::Agent),
            "enforcement-point" => Ok(Self::EnforcementPoint),
            _ => Err(()),
        }
    }
}

/// How an agent proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AgentIdentity {
    /// A SPIFFE ID, proven by an SVID.
    Spiffe {
        /// The SPIFFE ID.
        spiffe: String,
    },
    /// A subject of a workload issuer.
    Oidc {
        /// The issuer.
        issuer: String,
        /// Its subject.
        subject: String,
    },
}

impl AgentIdentity {
    /// The id under which the identity crate reports this workload once verified.
    pub fn workload_id(&self) -> String {
        match self {
            Self::Spiffe { spiffe } => spiffe.clone(),
            Self::Oidc { issuer, subject } => format!("{issuer}#{subject}"),
        }
    }

    /// The trust domain: that of the SPIFFE ID, or the issuer.
    pub fn trust_domain(&self) -> &str {
        match self {
            Self::Spiffe { spiffe } => {
                let rest = spiffe.strip_prefix("spiffe://").unwrap_or(spiffe);
                rest.split('/').next().unwrap_or(rest)
            }
            Self::Oidc { issuer, .. } => issuer,
        }
    }
}

/// A registered workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentDocument {
    /// Its id; the SPIFFE ID where it has one.
    pub id: AgentId,
    /// Name to show.
    pub name: String,
    /// Who answers for it.
    pub owner: String,
    /// Environment it runs in.
    pub env: String,
    /// Tenant it works for.
    pub tenant: TenantId,
    /// Whether it may act.
    pub status: AgentStatus,
    /// Highest sensitivity it may see.
    pub clearance: Sensitivity,
    /// What it may be.
    pub roles: Vec<AgentRole>,
    /// How it proves who it is.
    pub identity: AgentIdentity,
}

const KEYS: &[&str] =
    &["id", "name", "owner", "env", "tenant", "status", "clearance", "roles", "identity"];
const STATUSES: &[&str] = &["active", "quarantined", "suspended", "retired"];
pub(super) const SENSITIVITIES: &[&str] = &["public", "internal", "confidential", "restricted"];

impl AgentDocument {
    pub(super) fn read(value: &Value, faults: &mut Faults) -> Option<Self> {
        let mut reader = faults.object(value, "", KEYS)?;
        let id: Option<AgentId> =
            reader.parsed("id", "an agent id such as spiffe://a.example/agent/x");
        let name = reader.text("name", "the name people know it by");
        let owner = reader.text("owner", "the [[owner]] who answers for it");
        let env = reader.text("env", "the environment it runs in");
        let tenant: Option<TenantId> = reader.parsed("tenant", "a tenant name");
        let status = reader.word("status", STATUSES, Some(AgentStatus::Active));
        let clearance = reader.word("clearance", SENSITIVITIES, Some(Sensitivity::Internal));
        let given = reader.texts("roles", 8);
        let mut roles = Vec::new();
        for (index, role) in given.iter().enumerate() {
            let what = "a role: `agent` or `enforcement-point`";
            roles.extend(reader.parse_text::<AgentRole>(&format!("roles[{index}]"), role, what));
        }
        if roles.is_empty() {
            roles.push(AgentRole::Agent);
        }
        let declared = reader.get("identity");
        let identity = match (declared, &id) {
            (Some(value), _) => read_identity(value, reader.faults()),
            (None, Some(id)) if id.as_ref().starts_with("spiffe://") => {
                Some(AgentIdentity::Spiffe { spiffe: id.as_ref().to_owned() })
            }
            (None, Some(_)) => {
                let message = "is required, as the id is not a SPIFFE ID: \
                               { spiffe = \"…\" } or { issuer = \"…\", subject = \"…\" }";
                reader.fault(RegistryErrorCode::Missing, "identity", message);
                None
            }
            (None, None) => None,
        };
        if let Some(AgentIdentity::Spiffe { spiffe }) = &identity
            && !is_spiffe_id(spiffe)
        {
            let message =
                "must be spiffe://<trust domain>/<path>, lower-case domain, no `.` or `..`";
            let field = if declared.is_some() { "identity.spiffe" } else { "id" };
            reader.fault(RegistryErrorCode::Value, field, message);
        }
        Some(Self {
            id: id?,
            name,
            owner,
            env,
            tenant: tenant?,
            status: status?,
            clearance: clearance?,
            roles,
            identity: identity?,
        })
    }

    /// Whether it may ask for decisions about the calls of others.
    pub fn is_enforcement_point(&self) -> bool {
        self.roles.contains(&AgentRole::EnforcementPoint)
    }

    /// Whether it may hold authority.
    pub fn is_agent(&self) -> bool {
        self.roles.contains(&AgentRole::Agent)
    }

    /// The canonical JSON form, which is what is stored.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn read_identity(value: &Value, faults: &mut Faults) -> Option<AgentIdentity> {
    let mut reader = faults.object(value, "identity", &["spiffe", "issuer", "subject"])?;
    let spiffe = reader.optional_text("spiffe");
    let issuer = reader.optional_text("issuer");
    let subject = reader.optional_text("subject");
    match (spiffe, issuer, subject) {
        (Some(spiffe), None, None) => Some(AgentIdentity::Spiffe { spiffe }),
        (None, Some(issuer), Some(subject)) if !issuer.is_empty() && !subject.is_empty() => {
            Some(AgentIdentity::Oidc { issuer, subject })
        }
        _ => {
            let message = "must be { spiffe = \"…\" } or { issuer = \"…\", subject = \"…\" }";
            reader.fault(RegistryErrorCode::Value, "", message);
            None
        }
    }
}

/// Whether `text` is a SPIFFE ID with a path (SPIFFE-ID section 2).
fn is_spiffe_id(text: &str) -> bool {
    let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let domain_ok = (1..=255).contains(&domain.len())
        && domain.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
        });
    let segment_ok = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    text.len() <= 2048 && domain_ok && path.split('/').all(segment_ok)
}
