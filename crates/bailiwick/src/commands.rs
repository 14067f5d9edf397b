//! One file a noun (or a verb that stands alone); each has its arguments and what they do.

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod approval;
mod closure;
pub(crate) mod completion;
pub(crate) mod doctor;
pub(crate) mod gap;
pub(crate) mod gateway;
pub(crate) mod grant;
pub(crate) mod identity;
pub(crate) mod ledger;
pub(crate) mod policy;
pub(crate) mod revoke;
pub(crate) mod serve;
pub(crate) mod task;
pub(crate) mod token;
pub(crate) mod trace;
pub(crate) mod workflow;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::fault::Fault;
use std::process::ExitCode;

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Fault> {
    let context = Context::new(cli.global);
    let done = match cli.command {
        Command::Serve(args) => serve::run(args, &context).await,
        Command::Doctor(args) => doctor::run(*args, &context).await,
        Command::Gateway(args) => gateway::run(args, &context).await,
        Command::Apply(args) => apply::run(args, &context).await,
        Command::Workflow(command) => workflow::run(command, &context).await,
        Command::Agent(command) => agent::run(command, &context).await,
        Command::Task(command) => task::run(command, &context).await,
        Command::Approval(command) => approval::run(command, &context).await,
        Command::Grant(command) => grant::run(command, &context).await,
        Command::Token(command) => token::run(command, &context).await,
        Command::Revoke(args) => revoke::run(args, &context).await,
        Command::Trace(args) => trace::run(args, &context).await,
        Command::Gap(args) => gap::run(args, &context).await,
        Command::Policy(command) => policy::run(command, &context).await,
        Command::Ledger(command) => ledger::run(command, &context).await,
        Command::Identity(command) => identity::run(command, &context).await,
        Command::Bench(args) => crate::bench::run(args, &context).await,
        Command::Completion(args) => completion::run(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}
