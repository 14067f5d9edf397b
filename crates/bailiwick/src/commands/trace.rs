//! `bailiwick trace ID`: from a task, token, decision or ledger index to the whole tree.

mod tree;

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, facts};
use bailiwick_api::trace::TraceTree;
use clap::Args;

/// What to trace.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A task, a token's jti, a decision or a ledger index
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: String,
}

pub(crate) async fn run(args: TraceArgs, context: &Context) -> Result<(), Fault> {
    let trace = context.operator().await?.trace(&args.id).await?;
    output::print(context.format, &trace)
}

impl Render for TraceTree {
    fn text(&self) -> String {
        let head = facts([
            ("task", format!("{}  {}", self.task, self.state)),
            ("who", format!("{} (by {})", self.subject, self.subject_issuer)),
            ("what for", self.purpose.clone()),
            ("workflow", format!("{} version {}", self.workflow, self.workflow_version)),
            ("tenant", self.tenant.to_string()),
            ("environment", self.env.clone()),
            ("opened", self.opened_at.to_string()),
            ("deadline", self.deadline.to_string()),
            ("closed", self.closed_at.map(|time| time.to_string()).unwrap_or_default()),
        ]);
        let closure = self.closure.as_ref().map(Render::text).unwrap_or_default();
        format!("{head}{closure}\n{}", tree::draw(self))
    }
}
