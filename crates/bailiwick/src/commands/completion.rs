//! `bailiwick completion SHELL`.

use crate::cli::Cli;
use crate::fault::Fault;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionArgs) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bailiwick", &mut script);
    crate::output::line(String::from_utf8_lossy(&script).trim_end())
}
