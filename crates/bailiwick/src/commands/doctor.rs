//! `bailiwick doctor`: looks a deployment over, then attacks it and shows each denial.
//!
//! The attacks are made with a real task of a workflow that the operator names, by a real agent; each
//! must be refused with its code. A good token is tried first, so that a deployment that refuses
//! everything does not pass.

mod attacks;
mod checks;

use crate::context::Context;
use crate::credentials::{ActorArgs, SubjectArgs};
use crate::fault::Fault;
use crate::output::{self, Render, table};
use clap::Args;
use serde::Serialize;
use url::Url;

/// What to look at, and as whom to attack it.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The gateway's URL, as agents know it
    #[arg(long, value_name = "URL")]
    gateway: Url,
    /// The gateway's management listener, if it can be reached from here
    #[arg(long, value_name = "URL")]
    management: Option<Url>,
    /// Path of a GET that the gateway serves and the task may never call: every attack aims at it
    #[arg(long, value_name = "PATH")]
    path: String,
    /// A workflow whose first agent is the one given here; the task is revoked at the end
    #[arg(long, value_name = "ID")]
    workflow: String,
    /// Parameter of the workflow as NAME=TEXT; may be repeated
    #[arg(long = "param", value_name = "NAME=TEXT")]
    params: Vec<String>,
    /// Parameter as NAME=JSON; may be repeated
    #[arg(long = "param-json", value_name = "NAME=JSON")]
    json_params: Vec<String>,
    /// The audience that the gateway's route takes
    #[arg(long, value_name = "URL")]
    audience: String,
    /// An agent that the first one may hand work to, for the attacks on a hand-off
    #[arg(long, value_name = "SPIFFE-ID")]
    delegatee: String,
    #[command(flatten)]
    actor: ActorArgs,
    #[command(flatten)]
    subject: SubjectArgs,
}

/// One thing that was looked at or tried.
#[derive(Debug, Serialize)]
struct Finding {
    /// `check` or `attack`.
    kind: &'static str,
    what: &'static str,
    ok: bool,
    /// What came back.
    answer: String,
}

impl Finding {
    fn check(what: &'static str, found: Result<String, String>) -> Self {
        let ok = found.is_ok();
        Self { kind: "check", what, ok, answer: found.unwrap_or_else(|fault| fault) }
    }
}

#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
    failed: usize,
}

pub(crate) async fn run(args: DoctorArgs, context: &Context) -> Result<(), Fault> {
    let server = context.discover().await?;
    let mut findings = checks::look(&args, context, &server).await?;
    findings.extend(attacks::attack(&args, context, &server).await?);
    let failed = findings.iter().filter(|finding| !finding.ok).count();
    let total = findings.len();
    output::print(context.format, &Findings { findings, failed })?;
    if failed == 0 {
        return Ok(());
    }
    Err(Fault::local(format!("{failed} of {total} findings are not as they should be")))
}

impl Render for Findings {
    fn text(&self) -> String {
        let mut rows = table(["", "KIND", "WHAT", "ANSWER"]);
        for finding in &self.findings {
            let mark = if finding.ok { "ok" } else { "FAIL" };
            rows.add_row([mark, finding.kind, finding.what, finding.answer.as_str()]);
        }
        rows.to_string()
    }
}
