//! Test cases for policies: facts and the expected answer, as a TOML document.
//!
//! ```toml
//! [defaults]                        # facts of every case here; what is not said is ordinary
//! task = { tenant = "acme" }
//!
//! [[case]]
//! name = "a payer pays"
//! act = "invoke"                    # start_task, delegate, invoke, cross_domain
//! scope = "banking.send_money"      # of an invoke; `domain` of a cross_domain
//! facts = { sensitivity = "confidential" }
//! expect = "allow"
//! determining = ["default.invoke"]  # optional, as are `code` and `obligations`
//! ```

use std::collections::BTreeSet;
use std::fmt;

use bailiwick_core::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::act::Act;
use crate::facts::Facts;
use crate::obligation::Obligation;
use crate::set::PolicySet;
use crate::verdict::{Verdict, evaluate};

/// A fixture document that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FixtureError {
    /// It is not TOML, or has a key that fixtures do not have.
    #[error("{0}")]
    Document(String),
    /// A case whose facts do not make sense.
    #[error("case `{case}`: {message}")]
    Case {
        /// Its name.
        case: String,
        /// What is wrong.
        message: String,
    },
    /// A document without cases proves nothing.
    #[error("no [[case]] in the document")]
    Empty,
}

/// What came of a fixture document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FixtureReport {
    /// Every case, in order.
    pub cases: Vec<CaseReport>,
    /// Policies that decided no case: nothing here would notice if they changed.
    pub unexercised: Vec<String>,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// What differs from what was expected; empty when it passed.
    pub differences: Vec<String>,
    /// What policy said.
    pub verdict: Verdict,
}

impl FixtureReport {
    /// Whether every case came out as expected.
    pub fn passed(&self) -> bool {
        self.cases.iter().all(|case| case.differences.is_empty())
    }

    /// Cases that did not.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| !case.differences.is_empty())
    }
}

impl fmt::Display for FixtureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            let mark = if case.differences.is_empty() { "ok  " } else { "FAIL" };
            writeln!(f, "{mark} {}", case.name)?;
            for difference in &case.differences {
                writeln!(f, "       {difference}")?;
            }
        }
        if !self.unexercised.is_empty() {
            writeln!(f, "decided no case: {}", self.unexercised.join(", "))?;
        }
        let failed = self.failures().count();
        write!(f, "{} passed, {failed} failed", self.cases.len() - failed)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    defaults: Map<String, Value>,
    #[serde(default, rename = "case")]
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    act: String,
    scope: Option<String>,
    domain: Option<String>,
    #[serde(default)]
    facts: Map<String, Value>,
    expect: Expected,
    code: Option<String>,
    determining: Option<Vec<String>>,
    obligations: Option<Vec<Obligation>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
}

/// Runs every case of a fixture document.
///
/// # Errors
///
/// When the document or one of its cases cannot be read. A case that comes out otherwise than
/// expected is no error; see [`FixtureReport::passed`].
pub fn run_fixtures(set: &PolicySet, text: &str) -> Result<FixtureReport, FixtureError> {
    let document: Document =
        toml::from_str(text).map_err(|fault| FixtureError::Document(fault.to_string()))?;
    if document.cases.is_empty() {
        return Err(FixtureError::Empty);
    }
    let mut exercised = BTreeSet::new();
    let mut cases = Vec::with_capacity(document.cases.len());
    for case in document.cases {
        let report = run(set, &document.defaults, case)?;
        exercised.extend(report.verdict.determining.iter().cloned());
        cases.push(report);
    }
    let all = set.policies().map(|one| one.id().to_owned());
    Ok(FixtureReport { cases, unexercised: all.filter(|id| !exercised.contains(id)).collect() })
}

fn run(
    set: &PolicySet,
    defaults: &Map<String, Value>,
    case: Case,
) -> Result<CaseReport, FixtureError> {
    let fault = |message: String| FixtureError::Case { case: case.name.clone(), message };
    let act = act(&case).map_err(fault)?;
    let facts = facts(&act, defaults, &case.facts).map_err(fault)?;
    if let Some(unknown) = unknown_code(&case) {
        return Err(fault(unknown));
    }
    let verdict = evaluate(set, &act, &facts);
    let differences = differences(&case, &verdict);
    Ok(CaseReport { name: case.name, differences, verdict })
}

fn act(case: &Case) -> Result<Act, String> {
    let mut json = json!({ "kind": case.act });
    if let Some(members) = json.as_object_mut() {
        let extra = [("scope", &case.scope), ("domain", &case.domain)];
        for (key, value) in extra {
            members.extend(value.iter().map(|value| (key.to_owned(), value.as_str().into())));
        }
    }
    Act::deserialize(json).map_err(|fault| format!("act: {fault}"))
}

fn unknown_code(case: &Case) -> Option<String> {
    match (&case.code, case.expect) {
        (Some(code), Expected::Deny) => {
            code.parse::<Outcome>().is_err().then(|| format!("`{code}` is not an outcome"))
        }
        (Some(_), Expected::Allow) => Some("a permit has no `code`".to_owned()),
        (None, _) => None,
    }
}

fn differences(case: &Case, verdict: &Verdict) -> Vec<String> {
    let mut differences = Vec::new();
    let code = verdict.outcome.map(Outcome::code);
    if verdict.allows() != (case.expect == Expected::Allow) {
        let got = match (code, &verdict.reason) {
            (Some(code), Some(reason)) => format!("denied with {code}: {reason}"),
            _ => "allowed".to_owned(),
        };
        differences.push(format!("{got} (by {:?})", verdict.determining));
    } else if case.code.is_some() && case.code.as_deref() != code {
        differences.push(format!("code is {code:?}, expected {:?}", case.code));
    }
    if let Some(expected) = &case.determining {
        let expected: BTreeSet<&String> = expected.iter().collect();
        if expected != verdict.determining.iter().collect() {
            differences.push(format!("determined by {:?}", verdict.determining));
        }
    }
    if let Some(expected) = &case.obligations {
        let expected: BTreeSet<&Obligation> = expected.iter().collect();
        if expected != verdict.obligations.iter().collect() {
            differences.push(format!("obligations are {:?}", verdict.obligations));
        }
    }
    differences
}

/// Ordinary facts, overlaid by the document's and then by the case's.
fn facts(
    act: &Act,
    defaults: &Map<String, Value>,
    own: &Map<String, Value>,
) -> Result<Facts, String> {
    let mut facts = ordinary(act);
    overlay(&mut facts, defaults);
    overlay(&mut facts, own);
    if let Act::Invoke { scope } = act
        && facts.pointer("/requested/scopes").is_some_and(|scopes| scopes == &json!([]))
        && let Some(scopes) = facts.pointer_mut("/requested/scopes")
    {
        *scopes = json!([scope]);
    }
    Facts::deserialize(facts).map_err(|fault| format!("facts: {fault}"))
}

fn overlay(base: &mut Value, over: &Map<String, Value>) {
    let Some(base) = base.as_object_mut() else { return };
    for (key, value) in over {
        match (base.get_mut(key), value) {
            // Attributes and arguments are data: those of a case replace the ordinary ones.
            (Some(inner @ Value::Object(_)), Value::Object(value)) if key != "arguments" => {
                overlay(inner, value);
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A request to which nothing objects: intact, online, in one tenant and environment, all agents
/// active, data internal.
fn ordinary(act: &Act) -> Value {
    let agent = |name: &str| {
        json!({
            "id": format!("spiffe://dev.bailiwick.example/agent/{name}"),
            "owner": "team:default", "environment": "dev", "tenant": "acme",
            "trust_domain": "dev.bailiwick.example", "clearance": "internal", "status": "active",
        })
    };
    let none = json!({ "type": "agent_delegation", "scopes": [], "constraints": [] });
    let starts = matches!(act, Act::StartTask);
    let agents: Vec<&str> =
        if starts { vec![] } else { vec!["spiffe://dev.bailiwick.example/agent/actor"] };
    let mut facts = json!({
        "actor": agent("actor"),
        "binding": "verifies",
        "chain": { "agents": agents, "depth": 0, "fanout": 0, "max_depth": 4 },
        "held": none, "requested": none,
        "offline": false,
        "provenance": "intact",
        "resource": { "id": "resource", "system": "system", "labels": [], "sensitivity": "internal" },
        "sensitivity": "internal",
        "subject": {
            "id": "user:alice@dev.example", "issuer": "https://idp.dev.example",
            "groups": [], "attributes": {},
        },
        "task": {
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "purpose": "test", "workflow": "test",
            "age_seconds": 1, "deadline_seconds_left": 600, "environment": "dev",
            "tenant": "acme", "sensitivity_ceiling": "confidential",
        },
        "ttl_seconds": 300,
    });
    if let (Act::Delegate, Some(members)) = (act, facts.as_object_mut()) {
        members.insert("delegatee".to_owned(), agent("delegatee"));
    }
    facts
}
