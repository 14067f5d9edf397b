//! The command line: nouns, verbs and the options that all of them share.

use crate::commands::{
    agent, apply, approval, completion, doctor, gap, gateway, grant, identity, ledger, policy,
    revoke, serve, task, token, trace, workflow,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use url::Url;

/// The delegation authority for AI agents: who started it, for what, through whom, by which
/// decision.
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 a fault here, 2 a fault at the server or on the way, \
                        3 refused."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// The Authority's URL
    #[arg(
        long,
        global = true,
        env = "BAILIWICK_SERVER",
        default_value = "http://127.0.0.1:8420",
        value_name = "URL"
    )]
    pub(crate) server: Url,
    /// File with the operator's OIDC token; `-` reads standard input. A development server's own
    /// issuer gives one when this is absent
    #[arg(long, global = true, env = "BAILIWICK_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs: one JSON document
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the Authority
    Serve(serve::ServeArgs),
    /// Look a deployment over, then attack it and show each denial
    Doctor(Box<doctor::DoctorArgs>),
    /// Run a gateway: the enforcement point in front of tools, agents and vendor APIs
    Gateway(gateway::GatewayArgs),
    /// Register owners, agents and workflows from files
    Apply(apply::ApplyArgs),
    /// Look at workflows
    #[command(subcommand)]
    Workflow(workflow::WorkflowCommand),
    /// Look at agents, their keys; stop and start them
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Start, look at and close tasks
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Say yes or no to what an agent may do only once somebody has approved it
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    /// Hand authority on: keys, grants, settling
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// Look into tokens, verify them
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Kill a task, a token with everything under it, or all that an agent holds
    Revoke(revoke::RevokeArgs),
    /// Show the whole tree around a task, token, decision or ledger index
    Trace(trace::TraceArgs),
    /// Show what credentials can do at vendors beyond what decisions justified
    Gap(gap::GapArgs),
    /// Check, test, explain and apply policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Verify, prove from and export the ledger
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Development identities
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Measure settling over loopback HTTP with a durable ledger
    Bench(crate::bench::BenchArgs),
    /// Print a shell's completion script
    Completion(completion::CompletionArgs),
}

#[cfg(test)]
mod tests;
