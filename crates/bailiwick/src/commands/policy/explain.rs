//! `bailiwick policy explain`.

use super::sources::{SetArgs, load};
use crate::context::Context;
use crate::document::Document;
use crate::fault::Fault;
use crate::output::{self, Render, facts, printable, remark};
use bailiwick_policy::{Evaluated, Explanation, Inputs, PolicyTrace, explain};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// Which question, to which policies.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("question").required(true)))]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    set: SetArgs,
    /// File with the question: `act` and `facts`, or a decision that has them as `inputs`
    #[arg(long, group = "question", value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// A decision that the server logged
    #[arg(long, group = "question", value_name = "ID")]
    decision: Option<String>,
}

pub(crate) async fn run(args: ExplainArgs, context: &Context) -> Result<(), Fault> {
    let set = load(&args.set.sources()?)?;
    let question = match (&args.inputs, &args.decision) {
        (Some(path), _) => Document::read(path)?.value,
        (None, Some(id)) => recorded(id, context).await?,
        (None, None) => return Err(Fault::local("explain what? --inputs or --decision")),
    };
    let decision = decision_in(&question);
    if let Some(hash) = decision.get("policy").and_then(Value::as_str)
        && hash != set.hash()
    {
        remark(&format!(
            "the decision was taken under {hash}; this explains it under {}",
            set.hash()
        ));
    }
    let inputs = decision.get("inputs").unwrap_or(decision);
    let Evaluated { act, facts } = match Inputs::from_json(inputs) {
        Inputs::Evaluated(inputs) => *inputs,
        Inputs::Refused(_) => {
            return Err(Fault::local("there is nothing for policy to explain in it").with_help(
                "Either it has no act and facts, or the code refused before policy was asked; \
                 `bailiwick trace` says which.",
            ));
        }
    };
    output::print(context.format, &Explained(explain(&set, &act, &facts)))
}

/// The decision's receipt, by way of its trace.
async fn recorded(id: &str, context: &Context) -> Result<Value, Fault> {
    let client = context.operator().await?;
    let trace = client.trace(id).await?;
    let index = trace
        .decisions
        .iter()
        .find(|decision| decision.decision_id.to_string() == id)
        .map(|decision| decision.ledger_index)
        .ok_or_else(|| Fault::local(format!("{id} is not a decision")))?;
    let receipt = client.receipt(index).await?;
    receipt.payload.ok_or_else(|| Fault::local("the decision's payload was erased"))
}

/// A receipt has the decision as a member; a file may be the decision itself.
pub(super) fn decision_in(value: &Value) -> &Value {
    value.get("decision").filter(|inner| inner.is_object()).unwrap_or(value)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Explained(Explanation);

impl Render for Explained {
    fn text(&self) -> String {
        let Self(explanation) = self;
        let verdict = &explanation.verdict;
        let answer = match verdict.outcome {
            None => "allowed".to_owned(),
            Some(outcome) => format!("denied: {}", outcome.code()),
        };
        let mut text = facts([
            ("answer", answer),
            ("because", verdict.reason.clone().unwrap_or_default()),
            ("determined by", verdict.determining.join(", ")),
            ("in return", verdict.obligations.iter().map(|one| format!("{one:?}")).collect()),
            ("left out", format!("{} policies that cannot matter", explanation.not_considered)),
        ]);
        for policy in &explanation.considered {
            text.push_str(&trace(policy));
        }
        if !explanation.closest.is_empty() {
            text.push_str("\nclosest permits\n");
        }
        for policy in &explanation.closest {
            text.push_str(&trace(policy));
        }
        text
    }
}

fn trace(policy: &PolicyTrace) -> String {
    let mark = match policy.applies {
        Some(true) => "applies",
        Some(false) => "does not apply",
        None => "cannot be evaluated",
    };
    let mut text = format!(
        "\n{} {} ({}:{}) {mark}{}\n",
        policy.effect,
        policy.id,
        policy.file,
        policy.line,
        if policy.determining { ", determining" } else { "" }
    );
    for condition in &policy.conditions {
        let mark = match condition.holds {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "!",
        };
        text.push_str(&format!("  {mark} {}\n", condition.text));
    }
    printable(&text)
}
