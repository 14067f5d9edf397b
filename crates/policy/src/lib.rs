//! Cedar policy for delegations: may this verified chain do this?
//!
//! [`PolicySet::load`] turns Cedar text into a validated, indexed set; [`decide`] turns a
//! verified chain, an [`Act`] and the [`Facts`] around it into a [`Permit`] or a [`Denial`].
//! Nothing else makes a permit. The crate does no I/O and reads no clock.
//!
//! What a policy may mention is in [`SCHEMA`]; what ships by default is
//! [`PolicySet::default_pack`].

#![allow(
    clippy::result_large_err,
    reason = "the errors are Cedar's own, met only while loading and on the way to a refusal"
)]

mod act;
mod annotation;
mod approver;
mod decide;
mod decision;
mod engine;
mod explain;
mod facts;
mod fixture;
mod index;
mod load;
mod memo;
mod names;
mod need;
mod obligation;
mod pack;
mod question;
mod replay;
mod request;
mod schema;
mod set;
mod source;
mod suggest;
mod verdict;

pub use self::act::Act;
pub use self::approver::{Approver, UnknownApprover};
pub use self::decide::{Denial, Permit, Refusal, decide};
pub use self::decision::{Decision, Evaluated, Inputs};
pub use self::engine::Engine;
pub use self::explain::{Condition, Explanation, PolicyTrace, explain};
pub use self::facts::{
    AgentFacts, AgentStatus, Binding, CallEffect, ChainFacts, Facts, Provenance, ResourceFacts,
    Sensitivity, SubjectFacts, TaskFacts, UnknownWord,
};
pub use self::fixture::{CaseReport, FixtureError, FixtureReport, run_fixtures};
pub use self::obligation::Obligation;
pub use self::pack::{DEFAULT_FIXTURES, default_sources};
pub use self::replay::{NotADecision, Replayed, replay, replay_json};
pub use self::schema::SCHEMA;
pub use self::set::{PolicyEntry, PolicySet};
pub use self::source::{LoadError, LoadErrors, PolicySource};
pub use self::verdict::Verdict;
