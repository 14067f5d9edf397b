//! Workflows: named kinds of task, with the authority a task of that kind may ever have.

use std::str::FromStr;

use bailiwick_core::ids::{AgentId, TenantId, WorkflowId};
use bailiwick_core::limits;
use bailiwick_core::scope::Scope;
use bailiwick_policy::{Approver, Sensitivity};
use serde::Serialize;
use serde_json::{Value, json};

use super::agent::SENSITIVITIES;
use super::error::{RegistryErrorCode as Code, shown};
use super::fields::{Faults, Reader};

/// Most agents and edges of one workflow.
const EDGES_MAX: usize = 256;
/// Most scopes of one workflow or edge.
const SCOPES_MAX: usize = 64;
/// Most constraint templates of one workflow.
const CONSTRAINTS_MAX: usize = limits::CONSTRAINTS_MAX;
/// Most approvers of one workflow.
const APPROVERS_MAX: usize = 16;
/// Longest life of a task.
const DEADLINE_SECONDS_MAX: u64 = 7 * 24 * 3600;
const TTL_HIGH_IMPACT_MAX: u64 = limits::TTL_HIGH_IMPACT_SECONDS_MAX;

/// Whether tasks of a workflow may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkflowStatus {
    /// They may.
    Active,
    /// No new ones.
    Retired,
}

impl FromStr for WorkflowStatus {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "active" => Ok(Self::Active),
            "retired" => Ok(Self::Retired),
            _ => Err(()),
        }
    }
}

/// One allowed hand-over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DelegationEdge {
    /// Who hands over.
    pub from: AgentId,
    /// To whom.
    pub to: AgentId,
    /// What may go this way; everything the workflow has when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// The authority of a workflow before its parameters are filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WorkflowTemplate {
    /// Scopes, with `${parameter}` places.
    pub scopes: Vec<String>,
    /// Constraints as in a token, with `${parameter}` places and optionally `otherwise = "ask"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Value>,
}

/// A named kind of task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowDocument {
    /// Its id, such as `banking.pay-bill`.
    pub id: WorkflowId,
    /// Name to show.
    pub title: String,
    /// What its tasks are for; policies may compare it.
    pub purpose: String,
    /// Who answers for it.
    pub owner: String,
    /// Who reviewed it; never the owner.
    pub reviewer: String,
    /// When it was reviewed, as `YYYY-MM-DD`.
    pub reviewed: String,
    /// Who may approve what `otherwise = "ask"` asks about; the people of the owner when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Whether tasks may be opened.
    pub status: WorkflowStatus,
    /// Agents that may hold the first token of a task.
    pub entry: Vec<AgentId>,
    /// Allowed hand-overs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<DelegationEdge>,
    /// Resources its tokens may be for.
    pub audiences: Vec<String>,
    /// Tenant.
    pub tenant: TenantId,
    /// Environment.
    pub env: String,
    /// Deepest hop.
    pub max_depth: u8,
    /// Most hand-overs of one token.
    pub max_fanout: u32,
    /// Most hops of a task in one minute.
    pub hops_per_minute_max: u32,
    /// Life of a task.
    pub deadline_seconds: u64,
    /// Longest life of a token.
    pub ttl_seconds_max: u64,
    /// Highest sensitivity its tasks may touch.
    pub sensitivity: Sensitivity,
    /// Whether hops may travel unsettled.
    pub offline: bool,
    /// JSON Schema of the parameters.
    pub parameters: Value,
    /// Authority template.
    pub authority: WorkflowTemplate,
}

const KEYS: &[&str] = &[
    "id",
    "title",
    "purpose",
    "owner",
    "reviewer",
    "reviewed",
    "approvers",
    "status",
    "entry",
    "edges",
    "audiences",
    "tenant",
    "env",
    "max_depth",
    "max_fanout",
    "hops_per_minute_max",
    "deadline_seconds",
    "ttl_seconds_max",
    "sensitivity",
    "offline",
    "parameters",
    "authority",
];

impl WorkflowDocument {
    pub(super) fn read(value: &Value, faults: &mut Faults) -> Option<Self> {
        let mut reader = faults.object(value, "", KEYS)?;
        let id: Option<WorkflowId> = reader.parsed("id", "a workflow id such as banking.pay-bill");
        let tenant: Option<TenantId> = reader.parsed("tenant", "a tenant name");
        let status = reader.word("status", &["active", "retired"], Some(WorkflowStatus::Active));
        let sensitivity = reader.word("sensitivity", SENSITIVITIES, Some(Sensitivity::Internal));
        let document = Self {
            title: plain(&mut reader, "title", "the name people know it by"),
            purpose: plain(&mut reader, "purpose", "what its tasks are for"),
            owner: reader.text("owner", "the [[owner]] who answers for it"),
            reviewer: reader.text("reviewer", "the [[owner]] who reviewed it"),
            reviewed: read_date(&mut reader),
            approvers: read_approvers(&mut reader),
            status: status.unwrap_or(WorkflowStatus::Active),
            entry: read_agents(&mut reader),
            edges: read_edges(&mut reader),
            audiences: read_audiences(&mut reader),
            env: reader.text("env", "the environment its tasks run in"),
            max_depth: small(reader.integer("max_depth", 0..=u64::from(limits::DEPTH_MAX), 4)),
            max_fanout: count(reader.integer("max_fanout", 1..=10_000, 16)),
            hops_per_minute_max: count(reader.integer("hops_per_minute_max", 1..=1_000_000, 600)),
            deadline_seconds: reader.integer("deadline_seconds", 1..=DEADLINE_SECONDS_MAX, 900),
            ttl_seconds_max: read_ttl(&mut reader, sensitivity),
            sensitivity: sensitivity.unwrap_or_default(),
            offline: reader.flag("offline", false),
            parameters: reader.get("parameters").cloned().unwrap_or_else(no_parameters),
            authority: read_authority(&mut reader),
            id: id?,
            tenant: tenant?,
        };
        Some(document)
    }

    /// The canonical JSON form, which is what is stored.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn no_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Text in which a template place would be a mistake: it is never filled.
fn plain(reader: &mut Reader<'_>, key: &str, what: &str) -> String {
    let text = reader.text(key, what);
    if text.contains("${") {
        let message = "has a template place, but is used as it stands; only `authority` is filled";
        reader.fault(Code::Template, key, message);
    }
    text
}

fn read_date(reader: &mut Reader<'_>) -> String {
    let text = reader.text("reviewed", "the day of the review, as YYYY-MM-DD");
    if !text.is_empty() && !is_date(&text) {
        reader.fault(Code::Value, "reviewed", "must be a day, as YYYY-MM-DD");
    }
    text
}

fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| {
        let part = parts.next().unwrap_or("");
        let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        if plain { part.parse::<u32>().ok() } else { None }
    };
    match (number(4), number(2), number(2)) {
        (Some(year), Some(month), Some(day)) => {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                4 | 6 | 9 | 11 => 30,
                2 if leap => 29,
                2 => 28,
                1..=12 => 31,
                _ => 0,
            };
            (1..=days).contains(&day)
        }
        _ => false,
    }
}

fn read_ttl(reader: &mut Reader<'_>, sensitivity: Option<Sensitivity>) -> u64 {
    let ttl = reader.integer("ttl_seconds_max", 1..=limits::TTL_SECONDS_MAX, 300);
    let high = sensitivity.is_some_and(|level| level.rank() > Sensitivity::Internal.rank());
    if high && ttl > TTL_HIGH_IMPACT_MAX {
        let message = format!(
            "is {ttl}; above `internal` sensitivity a token lives at most {TTL_HIGH_IMPACT_MAX} seconds"
        );
        reader.fault(Code::Value, "ttl_seconds_max", message);
    }
    ttl
}

fn read_agents(reader: &mut Reader<'_>) -> Vec<AgentId> {
    let given = reader.texts("entry", EDGES_MAX);
    if given.is_empty() {
        let message = "is required: the agents that may hold the first token of a task";
        reader.fault(Code::Missing, "entry", message);
    }
    let mut agents = Vec::new();
    for (index, text) in given.iter().enumerate() {
        agents.extend(reader.parse_text::<AgentId>(
            &format!("entry[{index}]"),
            text,
            "an agent id",
        ));
    }
    agents
}

fn read_approvers(reader: &mut Reader<'_>) -> Vec<String> {
    let approvers = reader.texts("approvers", APPROVERS_MAX);
    let what = "`subject`, `owner`, `reviewer`, `team:…`, `user:…` or `group:…`";
    for (index, text) in approvers.iter().enumerate() {
        let _ = reader.parse_text::<Approver>(&format!("approvers[{index}]"), text, what);
    }
    approvers
}

fn read_edges(reader: &mut Reader<'_>) -> Vec<DelegationEdge> {
    let items = reader.array("edges", EDGES_MAX);
    let mut edges: Vec<DelegationEdge> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let place = reader.place(&format!("edges[{index}]"));
        let faults = reader.faults();
        let Some(mut edge) = faults.object(item, &place, &["from", "to", "scopes"]) else {
            continue;
        };
        let from: Option<AgentId> = edge.parsed("from", "an agent id");
        let to: Option<AgentId> = edge.parsed("to", "an agent id");
        let scopes = read_scopes(&mut edge);
        let (Some(from), Some(to)) = (from, to) else { continue };
        if from == to {
            let message = "hands over to itself, which is always refused as a cycle; remove it";
            edge.fault(Code::NeverMatches, "", message);
        }
        if edges.iter().any(|seen| seen.from == from && seen.to == to) {
            let message = "repeats an edge; merge their scopes";
            edge.fault(Code::Duplicate, "", message);
        }
        edges.push(DelegationEdge { from, to, scopes });
    }
    edges
}

fn read_scopes(reader: &mut Reader<'_>) -> Vec<String> {
    let scopes = reader.texts("scopes", SCOPES_MAX);
    for (index, text) in scopes.iter().enumerate() {
        let what = "a scope such as `banking.send_money` or `banking.*`";
        let _ = reader.parse_text::<Scope>(&format!("scopes[{index}]"), text, what);
    }
    scopes
}

fn read_audiences(reader: &mut Reader<'_>) -> Vec<String> {
    let audiences = reader.texts("audiences", 32);
    if audiences.is_empty() {
        let message = "is required: the URLs of the resources its tokens may be for";
        reader.fault(Code::Missing, "audiences", message);
    }
    for (index, text) in audiences.iter().enumerate() {
        let good =
            url::Url::parse(text).is_ok_and(|url| url.fragment().is_none() && url.has_host());
        if !good {
            let message = format!("{:?} is not an absolute URL without fragment", shown(text));
            reader.fault(Code::Value, &format!("audiences[{index}]"), message);
        }
    }
    audiences
}

fn read_authority(reader: &mut Reader<'_>) -> WorkflowTemplate {
    let Some(value) = reader.get("authority") else {
        let message = "is required: the scopes and constraints that a task may ever have";
        reader.fault(Code::Missing, "authority", message);
        return WorkflowTemplate::default();
    };
    let place = reader.place("authority");
    let Some(mut inner) = reader.faults().object(value, &place, &["scopes", "constraints"]) else {
        return WorkflowTemplate::default();
    };
    let scopes = inner.texts("scopes", SCOPES_MAX);
    if scopes.is_empty() {
        inner.fault(Code::Missing, "scopes", "is required: without a scope nothing can be done");
    }
    let constraints = inner.array("constraints", CONSTRAINTS_MAX).to_vec();
    WorkflowTemplate { scopes, constraints }
}
