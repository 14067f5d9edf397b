//! `bailiwick identity …`: identities of a development server.

use crate::context::Context;
use crate::credentials;
use crate::fault::Fault;
use crate::secret;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Development identities.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Get a subject's token or an agent's SVID from a development server
    DevToken(DevTokenArgs),
}

/// Whose token, and where to.
#[derive(Debug, Args)]
pub(crate) struct DevTokenArgs {
    /// User, such as alice@dev.example
    #[arg(long, value_name = "USER", conflicts_with = "agent", required_unless_present = "agent")]
    subject: Option<String>,
    /// Group of the user; may be repeated
    #[arg(long, value_name = "GROUP", requires = "subject")]
    group: Vec<String>,
    /// Agent, such as spiffe://dev.bailiwick.example/agent/payer
    #[arg(long, value_name = "SPIFFE-ID")]
    agent: Option<String>,
    /// File to write the token to, with mode 0600; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) async fn run(command: IdentityCommand, context: &Context) -> Result<(), Fault> {
    let IdentityCommand::DevToken(args) = command;
    let server = context.discover().await?;
    let token = match (&args.subject, &args.agent) {
        (Some(user), _) => credentials::dev_subject(&server, user, args.group).await?,
        (None, Some(agent)) => credentials::dev_svid(&server, agent).await?,
        (None, None) => return Err(Fault::local("whose token? --subject or --agent")),
    };
    secret::write(&args.out, &token)
}
