//! `bailiwick revoke`: shows what will die, asks, kills.

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, facts, remark};
use crate::{jws, secret};
use bailiwick_api::enforcement::closure::ClosureQuery;
use bailiwick_api::revocations::{RevocationRequest, RevocationResponse, RevocationTarget};
use bailiwick_core::ids::{AgentId, TaskId, TokenId};
use clap::Args;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

/// How many ids a preview lists.
const LISTED_MAX: usize = 20;

/// What to kill.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
pub(crate) struct RevokeArgs {
    /// A task, with all of its tokens
    #[arg(long, group = "target", value_name = "ID")]
    task: Option<TaskId>,
    /// A token by its id, with every token under it
    #[arg(long, group = "target", value_name = "ID")]
    jti: Option<TokenId>,
    /// A token by its file, with every token under it; `-` reads standard input
    #[arg(long, group = "target", value_name = "FILE")]
    token: Option<PathBuf>,
    /// Every live token of an agent, with every token under them
    #[arg(long, group = "target", value_name = "ID")]
    agent: Option<AgentId>,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
    /// Show what would die, and stop
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// How long to wait for every enforcement point to acknowledge, in milliseconds; 250 by default
    #[arg(long, value_name = "MS")]
    wait_ms: Option<u64>,
}

pub(crate) async fn run(args: RevokeArgs, context: &Context) -> Result<(), Fault> {
    let target = target(&args)?;
    let closure = ClosureQuery { wait_ms: args.wait_ms };
    let client = context.operator().await?;
    let mut request = RevocationRequest { target, reason: args.reason.clone(), dry_run: !args.yes };
    if !args.yes {
        let preview = client.revoke(&request, &closure).await?;
        if args.dry_run {
            return output::print(context.format, &preview);
        }
        ask(&preview)?;
        request.dry_run = false;
    }
    let done = client.revoke(&request, &closure).await?;
    output::print(context.format, &done)
}

fn target(args: &RevokeArgs) -> Result<RevocationTarget, Fault> {
    if let Some(task) = args.task {
        return Ok(RevocationTarget::Task(task));
    }
    if let Some(agent) = &args.agent {
        return Ok(RevocationTarget::Agent(agent.clone()));
    }
    if let Some(jti) = args.jti {
        return Ok(RevocationTarget::Jti(jti));
    }
    let path = args.token.as_deref().ok_or_else(|| Fault::local("what is to be revoked?"))?;
    let peeked = jws::peek(&secret::read_token(path)?)?;
    peeked
        .payload
        .get("jti")
        .and_then(|jti| jti.as_str())
        .and_then(|jti| jti.parse().ok())
        .map(RevocationTarget::Jti)
        .ok_or_else(|| Fault::local(format!("{}: the token has no jti", path.display())))
}

/// Shows what will die and waits for `yes`.
#[allow(clippy::print_stderr, reason = "a question goes to the terminal, not into the result")]
fn ask(preview: &RevocationResponse) -> Result<(), Fault> {
    if !io::stdin().is_terminal() {
        return Err(Fault::local("nothing was revoked: nobody is there to confirm it")
            .with_help("Use --dry-run to see what would die, --yes to go ahead without asking."));
    }
    remark("this will kill:");
    eprint!("{}\nType yes to go ahead: ", preview.text());
    // If the prompt cannot be shown, the answer is still read and anything but yes stops.
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Fault::local(format!("stdin: {error}")))?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    Err(Fault::local("nothing was revoked"))
}

impl Render for RevocationResponse {
    fn text(&self) -> String {
        let mut text = facts([
            ("revocation", self.revocation_id.map(|id| id.to_string()).unwrap_or_default()),
            ("ledger index", self.ledger_index.map(|index| index.to_string()).unwrap_or_default()),
            ("tasks", self.tasks.len().to_string()),
            ("tokens", self.tokens.len().to_string()),
        ]);
        let ids = self
            .tasks
            .iter()
            .map(|id| format!("  task   {id}\n"))
            .chain(self.tokens.iter().map(|id| format!("  token  {id}\n")));
        text.extend(ids.take(LISTED_MAX));
        let all = self.tasks.len().saturating_add(self.tokens.len());
        if all > LISTED_MAX {
            text.push_str(&format!("  … and {} more\n", all.saturating_sub(LISTED_MAX)));
        }
        if let Some(closure) = &self.closure {
            text.push_str(&closure.text());
        }
        text
    }
}
