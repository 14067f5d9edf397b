//! `bailiwick`: the delegation authority for AI agents, as one program.
//!
//! Exit codes: 0 done, 1 a fault here (usage, a file, a key), 2 a fault there (server, network),
//! 3 refused. Results go to stdout, everything else to stderr.

mod bench;
mod cli;
mod clock;
mod commands;
mod context;
mod credentials;
mod document;
mod fault;
mod holder;
mod jws;
mod output;
mod secret;

use clap::Parser as _;
use std::process::ExitCode;

/// A fifth of a settle's CPU time went into the system allocator (`bailiwick bench`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let format = cli.global.output;
    match run(cli) {
        Ok(code) => code,
        Err(fault) => {
            fault.report(format);
            ExitCode::from(fault.exit_code())
        }
    }
}

fn run(cli: cli::Cli) -> Result<ExitCode, fault::Fault> {
    // The provider can be installed once a process; a second try changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| fault::Fault::local(format!("the runtime does not start: {error}")))?;
    runtime.block_on(commands::run(cli))
}

/// Help and version are answers; everything else that clap says is a fault of the caller.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is the only way that printing can fail, and then nobody is reading.
    let _ = error.print();
    match error.kind() {
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => {
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(1),
    }
}
