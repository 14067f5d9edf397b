//! `bailiwick approval …`: what waits for a person, and that person's yes or no.

mod shown;

use crate::context::Context;
use crate::credentials::{ApproverArgs, dev_subject};
use crate::fault::Fault;
use crate::output::{self, remark};
use bailiwick_api::Client;
use bailiwick_api::approvals::{
    ApprovalQuery, ApprovalState, ApprovalView, DecideApprovalRequest, DecideApprovalResponse,
};
use bailiwick_core::ActionDigest;
use bailiwick_core::ids::{ApprovalId, TaskId};
use clap::{Args, Subcommand};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use self::shown::text_of;

/// Approvals.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// List approvals that you may decide or have to do with, newest first
    List(ListArgs),
    /// Show exactly what is to be approved, who wants to do it, through whom, and why it is asked
    Show(ShowArgs),
    /// Say yes to exactly one action; it may be done once
    Approve(DecideArgs),
    /// Say no to exactly one action; asking again in a while is of no use
    Refuse(DecideArgs),
}

/// Which approvals.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those that stand like this: pending, approved, refused, used, expired, ended
    #[arg(long)]
    state: Option<ApprovalState>,
    /// Only of this task
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Where the last page ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    approver: ApproverArgs,
}

/// Which approval.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The approval's id
    id: ApprovalId,
    #[command(flatten)]
    approver: ApproverArgs,
}

/// Which approval, what of it was seen, and why.
#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The approval's id
    id: ApprovalId,
    /// The digest of the action that you have seen, from `approval show`. Without it the action is
    /// shown and you are asked
    #[arg(long, value_name = "SHA-256")]
    digest: Option<ActionDigest>,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    approver: ApproverArgs,
}

pub(crate) async fn run(command: ApprovalCommand, context: &Context) -> Result<(), Fault> {
    match command {
        ApprovalCommand::List(args) => {
            let query = ApprovalQuery {
                state: args.state,
                task: args.task.map(|task| task.to_string()),
                limit: Some(args.limit),
                cursor: args.cursor,
            };
            let list = client(&args.approver, context).await?.approvals(&query).await?;
            output::print(context.format, &list)
        }
        ApprovalCommand::Show(args) => {
            let client = client(&args.approver, context).await?;
            output::print(context.format, &look(&client, args.id).await?)
        }
        ApprovalCommand::Approve(args) => decide(args, true, context).await,
        ApprovalCommand::Refuse(args) => decide(args, false, context).await,
    }
}

/// A client that acts as the approver.
async fn client(approver: &ApproverArgs, context: &Context) -> Result<Client, Fault> {
    let Some(user) = &approver.dev_subject else { return context.operator().await };
    let server = context.discover().await?;
    let token = dev_subject(&server, user, approver.dev_groups.clone()).await?;
    Ok(server.client.with_bearer_token(token))
}

/// The approval; its digest is checked here, so that nobody states one of something else.
async fn look(client: &Client, id: ApprovalId) -> Result<ApprovalView, Fault> {
    let view = client.approval(id).await?;
    if !view.action.is_empty() && !view.is_of_its_digest() {
        return Err(Fault::remote("the digest that the server states is not that of the action"));
    }
    Ok(view)
}

async fn decide(args: DecideArgs, approve: bool, context: &Context) -> Result<(), Fault> {
    let client = client(&args.approver, context).await?;
    let digest = match args.digest {
        Some(digest) => digest,
        None => ask(&look(&client, args.id).await?, approve)?,
    };
    let request = DecideApprovalRequest { digest, reason: args.reason };
    let done = client.decide_approval(args.id, approve, &request).await?;
    output::print(context.format, &done)
}

/// Shows the action and waits for `yes`.
#[allow(clippy::print_stderr, reason = "a question goes to the terminal, not into the result")]
fn ask(view: &ApprovalView, approve: bool) -> Result<ActionDigest, Fault> {
    let word = if approve { "approve" } else { "refuse" };
    if !io::stdin().is_terminal() {
        return Err(Fault::local("nothing was decided: nobody is there to read the action").with_help(
            "Look at it with `bailiwick approval show`, then state what you saw: --digest sha-256:…",
        ));
    }
    remark("this is what is asked:");
    eprint!("{}\nType yes to {word} it: ", text_of(view));
    // If the prompt cannot be shown, the answer is still read and anything but yes stops.
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Fault::local(format!("stdin: {error}")))?;
    if answer.trim() == "yes" {
        return Ok(view.digest);
    }
    Err(Fault::local("nothing was decided"))
}

impl output::Render for DecideApprovalResponse {
    fn text(&self) -> String {
        output::facts([
            ("approval", self.approval_id.to_string()),
            ("state", self.state.to_string()),
            ("until", self.expires_at.to_string()),
            ("ledger index", self.ledger_index.to_string()),
        ])
    }
}
