//! `bailiwick policy …`: local files through the policy engine, and the set that a server has.

mod explain;
mod replay;
mod sources;

use crate::context::Context;
use crate::document::read_text;
use crate::fault::Fault;
use crate::output::{self, Render, facts, printable, remark, table};
use bailiwick_api::policies::{
    PolicySetView, PolicySourceText, PolicyView, PutPoliciesRequest, PutPoliciesResponse,
};
use bailiwick_policy::{DEFAULT_FIXTURES, FixtureReport, PolicySet, run_fixtures};
use clap::{Args, Subcommand};
use serde::Serialize;
use sources::SetArgs;
use std::path::PathBuf;

/// Policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Validate policies against the schema
    Check(CheckArgs),
    /// Run fixture files against policies
    Test(TestArgs),
    /// Show which policies decided, and which conditions held
    Explain(explain::ExplainArgs),
    /// Take an export's decisions again, and show those that would come out otherwise
    Replay(replay::ReplayArgs),
    /// List the policies that the server has in force
    List,
    /// Replace the server's policies by those of these files
    Apply(ApplyArgs),
    /// Print the schema that policies are validated against
    Schema,
}

/// Which policies.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Cedar files, or directories of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Which policies, which cases.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    set: SetArgs,
    /// Fixture files (TOML with `[[case]]` tables); the default pack's own when absent
    #[arg(value_name = "FIXTURES")]
    fixtures: Vec<PathBuf>,
}

/// Which policies.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Cedar files, or directories of them: the whole set
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Have the server validate them, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(command: PolicyCommand, context: &Context) -> Result<(), Fault> {
    match command {
        PolicyCommand::Check(args) => {
            let set = sources::load(&sources::read(&args.files)?)?;
            output::print(context.format, &Checked::new(&set))
        }
        PolicyCommand::Test(args) => test(&args, context),
        PolicyCommand::Explain(args) => explain::run(args, context).await,
        PolicyCommand::Replay(args) => replay::run(&args, context),
        PolicyCommand::List => {
            output::print(context.format, &context.operator().await?.policies().await?)
        }
        PolicyCommand::Apply(args) => apply(args, context).await,
        PolicyCommand::Schema => output::line(bailiwick_policy::SCHEMA.trim_end()),
    }
}

#[derive(Serialize)]
struct Checked(PolicySetView);

impl Checked {
    fn new(set: &PolicySet) -> Self {
        let policies = set
            .policies()
            .map(|policy| PolicyView {
                id: policy.id().to_owned(),
                effect: policy.effect().to_owned(),
                annotations: policy.annotations().clone(),
                file: policy.file().to_owned(),
                line: u32::try_from(policy.line()).unwrap_or(u32::MAX),
            })
            .collect();
        Self(PolicySetView { hash: set.hash().to_owned(), policies })
    }
}

impl Render for Checked {
    fn text(&self) -> String {
        let Self(set) = self;
        format!("{} policies are valid\n{}", set.policies.len(), set.text())
    }
}

impl Render for PolicySetView {
    fn text(&self) -> String {
        let mut table = table(["ID", "EFFECT", "FROM", "ANNOTATIONS"]);
        for policy in &self.policies {
            let annotations: Vec<_> = policy
                .annotations
                .iter()
                .map(|(name, value)| format!("@{name}(\"{value}\")"))
                .collect();
            table.add_row([
                printable(&policy.id),
                printable(&policy.effect),
                printable(&format!("{}:{}", policy.file, policy.line)),
                printable(&annotations.join(" ")).replace('\n', " "),
            ]);
        }
        format!("set {}\n{table}", printable(&self.hash))
    }
}

/// One fixture file's report.
#[derive(Serialize)]
struct Tested {
    file: String,
    passed: bool,
    #[serde(flatten)]
    report: FixtureReport,
}

#[derive(Serialize)]
struct AllTested {
    policies: String,
    fixtures: Vec<Tested>,
}

impl Render for AllTested {
    fn text(&self) -> String {
        let mut text = format!("set {}\n", self.policies);
        for tested in &self.fixtures {
            text.push_str(&format!(
                "\n{}\n{}\n",
                tested.file,
                printable(&tested.report.to_string())
            ));
        }
        text
    }
}

fn test(args: &TestArgs, context: &Context) -> Result<(), Fault> {
    let set = sources::load(&args.set.sources()?)?;
    let mut files = Vec::new();
    for path in &args.fixtures {
        files.push((path.display().to_string(), read_text(path)?));
    }
    if files.is_empty() {
        if !args.set.is_default() {
            return Err(Fault::local("no fixture file was given")
                .with_help("bailiwick policy test --policies FILE FIXTURES.toml"));
        }
        remark("no fixture file was given: running those of the default pack");
        files.push(("default.test.toml".to_owned(), DEFAULT_FIXTURES.to_owned()));
    }
    let mut fixtures = Vec::new();
    for (file, text) in files {
        let report = run_fixtures(&set, &text)
            .map_err(|error| Fault::local(printable(&format!("{file}: {error}"))))?;
        fixtures.push(Tested { file, passed: report.passed(), report });
    }
    let failed: usize = fixtures.iter().map(|tested| tested.report.failures().count()).sum();
    output::print(context.format, &AllTested { policies: set.hash().to_owned(), fixtures })?;
    match failed {
        0 => Ok(()),
        1 => Err(Fault::local("one case came out otherwise than it says")),
        count => Err(Fault::local(format!("{count} cases came out otherwise than they say"))),
    }
}

async fn apply(args: ApplyArgs, context: &Context) -> Result<(), Fault> {
    let sources = sources::read(&args.files)?;
    sources::load(&sources)?;
    let request = PutPoliciesRequest {
        sources: sources
            .into_iter()
            .map(|source| PolicySourceText { name: source.name, text: source.text })
            .collect(),
    };
    let done = context.operator().await?.put_policies(&request, args.dry_run).await?;
    output::print(context.format, &done)
}

impl Render for PutPoliciesResponse {
    fn text(&self) -> String {
        facts([
            ("set", self.hash.clone()),
            ("policies", self.policies.to_string()),
            (
                "ledger index",
                self.ledger_index.map_or("nothing was changed".to_owned(), |i| i.to_string()),
            ),
        ])
    }
}
