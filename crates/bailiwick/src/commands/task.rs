//! `bailiwick task …`.

use crate::context::Context;
use crate::credentials::{ActorArgs, SubjectArgs};
use crate::document::Document;
use crate::fault::Fault;
use crate::holder::HolderKey;
use crate::output::{self, Render, facts, printable, table};
use crate::secret;
use bailiwick_api::client::Closing;
use bailiwick_api::enforcement::closure::ClosureQuery;
use bailiwick_api::oauth::{
    DETAIL_TYPE_TASK, GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_ID_TOKEN, TOKEN_TYPE_JWT, TaskDetail,
    TokenRequest, TokenResponse,
};
use bailiwick_api::registry::Reason;
use bailiwick_api::tasks::{CloseTaskResponse, TaskList, TaskQuery, TaskState, TaskView};
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::ids::TaskId;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Start a task: the subject's token and the first agent's identity give the first hop token
    Start(Box<StartArgs>),
    /// List tasks, newest first
    List(ListArgs),
    /// Show one task
    Show(Id),
    /// Close a task that is done; its tokens die
    Complete(CloseArgs),
    /// Close a task that is given up; its tokens die
    Cancel(CloseArgs),
    /// Show where the last thing in a task that ended is dead: at which enforcement points
    Closure(ClosureArgs),
}

/// Which task.
#[derive(Debug, Args)]
pub(crate) struct Id {
    /// The task's id
    id: TaskId,
}

/// What to start, for whom, as whom.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The workflow's id
    #[arg(long, value_name = "ID")]
    workflow: String,
    /// Parameter as NAME=TEXT; may be repeated
    #[arg(long = "param", value_name = "NAME=TEXT")]
    params: Vec<String>,
    /// Parameter as NAME=JSON, for numbers, lists and objects; may be repeated
    #[arg(long = "param-json", value_name = "NAME=JSON")]
    json_params: Vec<String>,
    /// File with the parameters (TOML or JSON)
    #[arg(long, value_name = "FILE")]
    params_file: Option<PathBuf>,
    /// Free text for the record; grants nothing
    #[arg(long)]
    purpose: Option<String>,
    /// The one resource that the first token is for
    #[arg(long, value_name = "URL")]
    audience: String,
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    actor: ActorArgs,
    /// The first agent's private key (PKCS#8 PEM, mode 0600)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File to write the hop token to, with mode 0600; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Which tasks.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only in this state: open, completed, cancelled, expired, revoked
    #[arg(long)]
    state: Option<TaskState>,
    /// Only of this workflow
    #[arg(long, value_name = "ID")]
    workflow: Option<String>,
    /// Only of this subject
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Where the last page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Which task, and why.
#[derive(Debug, Args)]
pub(crate) struct CloseArgs {
    /// The task's id
    id: TaskId,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
    /// How long to wait for every enforcement point to acknowledge, in milliseconds; 250 by default
    #[arg(long, value_name = "MS")]
    wait_ms: Option<u64>,
}

/// Which task, and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct ClosureArgs {
    /// The task's id
    id: TaskId,
    /// How long to wait for every enforcement point to acknowledge, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    wait_ms: u64,
}

pub(crate) async fn run(command: TaskCommand, context: &Context) -> Result<(), Fault> {
    match command {
        TaskCommand::Start(args) => start(*args, context).await,
        TaskCommand::List(args) => {
            let query = TaskQuery {
                state: args.state,
                workflow: args.workflow,
                subject: args.subject,
                limit: Some(args.limit),
                cursor: args.cursor,
            };
            let list = context.operator().await?.tasks(&query).await?;
            output::print(context.format, &list)
        }
        TaskCommand::Show(Id { id }) => {
            output::print(context.format, &context.operator().await?.task(id).await?)
        }
        TaskCommand::Complete(args) => close(args, Closing::Complete, context).await,
        TaskCommand::Cancel(args) => close(args, Closing::Cancel, context).await,
        TaskCommand::Closure(ClosureArgs { id, wait_ms }) => {
            let wait = ClosureQuery { wait_ms: Some(wait_ms) };
            let report = context.operator().await?.closure(id, &wait).await?;
            output::print(context.format, &report)
        }
    }
}

async fn close(args: CloseArgs, closing: Closing, context: &Context) -> Result<(), Fault> {
    let client = context.operator().await?;
    let (reason, closure) =
        (Reason { reason: args.reason }, ClosureQuery { wait_ms: args.wait_ms });
    let done = client.close_task(args.id, closing, &reason, &closure).await?;
    output::print(context.format, &done)
}

async fn start(args: StartArgs, context: &Context) -> Result<(), Fault> {
    let parameters = parameters(args.params_file.as_deref(), &args.params, &args.json_params)?;
    let key = HolderKey::read(&args.key)?;
    let detail = TaskDetail {
        detail_type: DETAIL_TYPE_TASK.to_owned(),
        workflow: args.workflow,
        parameters,
        purpose: args.purpose,
    };
    let details = serde_json::to_string(&[detail])
        .map_err(|error| Fault::local(format!("the parameters: {error}")))?;
    let server = context.discover().await?;
    let request = TokenRequest {
        grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
        subject_token: Some(args.subject.token(&server).await?),
        subject_token_type: Some(TOKEN_TYPE_ID_TOKEN.to_owned()),
        actor_token: Some(args.actor.token(&server).await?),
        actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
        audience: Some(args.audience),
        authorization_details: Some(details),
        ..TokenRequest::default()
    };
    let issued = server.client.exchange_token(&request, &key, None).await?;
    finish(context, &issued, &args.out)
}

/// Writes the token to its file and says everything about it but the token.
pub(crate) fn finish(context: &Context, issued: &TokenResponse, out: &Path) -> Result<(), Fault> {
    secret::write(out, &issued.access_token)?;
    if out == Path::new("-") {
        return Ok(());
    }
    output::print(context.format, &Issued::new(issued, out))
}

/// An issued token, without the token.
#[derive(Serialize)]
struct Issued<'a> {
    task_id: String,
    jti: String,
    scope: &'a str,
    authorization_details: &'a [Arc<HeldAuthority>],
    expires_in: u64,
    decision_id: String,
    ledger_index: u64,
    token_file: String,
}

impl<'a> Issued<'a> {
    fn new(issued: &'a TokenResponse, out: &Path) -> Self {
        Self {
            task_id: issued.task_id.to_string(),
            jti: issued.jti.to_string(),
            scope: &issued.scope,
            authorization_details: &issued.authorization_details,
            expires_in: issued.expires_in,
            decision_id: issued.decision_id.to_string(),
            ledger_index: issued.ledger_index,
            token_file: out.display().to_string(),
        }
    }
}

impl Render for Issued<'_> {
    fn text(&self) -> String {
        facts([
            ("task", self.task_id.clone()),
            ("token", self.jti.clone()),
            ("scopes", self.scope.to_owned()),
            ("expires in", format!("{} s", self.expires_in)),
            ("decision", self.decision_id.clone()),
            ("ledger index", self.ledger_index.to_string()),
            ("written to", self.token_file.clone()),
        ])
    }
}

/// The parameters of a task, each as text or as JSON, over those of a file.
pub(crate) fn parameters(
    file: Option<&Path>,
    texts: &[String],
    json: &[String],
) -> Result<Map<String, Value>, Fault> {
    let mut parameters = match file {
        Some(path) => match Document::read(path)?.value {
            Value::Object(members) => members,
            _ => return Err(Fault::local(format!("{}: not an object", path.display()))),
        },
        None => Map::new(),
    };
    for pair in texts {
        let (name, text) = split(pair)?;
        insert(&mut parameters, name, Value::String(text.to_owned()))?;
    }
    for pair in json {
        let (name, text) = split(pair)?;
        let value = serde_json::from_str(text)
            .map_err(|error| Fault::local(format!("parameter {name}: not JSON: {error}")))?;
        insert(&mut parameters, name, value)?;
    }
    Ok(parameters)
}

fn insert(map: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), Fault> {
    match map.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(Fault::local(format!("parameter {name} is given twice"))),
    }
}

fn split(pair: &str) -> Result<(&str, &str), Fault> {
    pair.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Fault::local(format!("{pair}: a parameter is NAME=VALUE")))
}

impl Render for TaskList {
    fn text(&self) -> String {
        if self.tasks.is_empty() {
            return "no tasks".to_owned();
        }
        let mut table = table(["TASK", "STATE", "WORKFLOW", "SUBJECT", "OPENED", "TOKENS"]);
        for task in &self.tasks {
            table.add_row([
                task.task_id.to_string(),
                task.state.to_string(),
                printable(task.workflow.as_ref()),
                printable(task.subject.as_ref()),
                task.opened_at.to_string(),
                task.tokens.to_string(),
            ]);
        }
        match &self.next_cursor {
            Some(cursor) => format!("{table}\nmore: --cursor {}", printable(cursor)),
            None => table.to_string(),
        }
    }
}

impl Render for TaskView {
    fn text(&self) -> String {
        let mut text = facts([
            ("task", self.task_id.to_string()),
            ("state", self.state.to_string()),
            ("subject", format!("{} (by {})", self.subject, self.subject_issuer)),
            ("workflow", format!("{} version {}", self.workflow, self.workflow_version)),
            ("purpose", self.purpose.clone()),
            ("parameters", self.parameters.to_string()),
            ("tenant", self.tenant.to_string()),
            ("environment", self.env.clone()),
            ("sensitivity", self.sensitivity.clone()),
            ("audiences", self.audiences.join(" ")),
            ("opened", self.opened_at.to_string()),
            ("deadline", self.deadline.to_string()),
            ("closed", self.closed_at.map(|time| time.to_string()).unwrap_or_default()),
            ("tokens", self.tokens.to_string()),
            ("ceiling", format!("{:#}", self.authority)),
        ]);
        for budget in &self.budgets {
            let limit = budget.limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
            text.push_str(&printable(&format!("budget {}: {}{limit}\n", budget.key, budget.used)));
        }
        text
    }
}

impl Render for CloseTaskResponse {
    fn text(&self) -> String {
        let mut text = facts([
            ("task", self.task_id.to_string()),
            ("state", self.state.to_string()),
            ("closed", self.closed_at.to_string()),
            ("tokens killed", self.tokens.to_string()),
            ("ledger index", self.ledger_index.to_string()),
        ]);
        if let Some(closure) = &self.closure {
            text.push_str(&closure.text());
        }
        text
    }
}
