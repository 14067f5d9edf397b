//! `bailiwick ledger …`: prove and check the record without trusting who keeps it.

mod export;
mod key;
mod prove;
mod remote;
mod verify;

use crate::context::Context;
use crate::fault::Fault;
use clap::Subcommand;

/// The ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Verify a whole ledger, at a URL or in an export; names the first bad sequence
    Verify(verify::VerifyArgs),
    /// Prove one receipt to somebody who has only the ledger's key
    Prove(prove::ProveArgs),
    /// Check a proof that somebody else made, offline
    Check(prove::CheckArgs),
    /// Write the whole ledger with its receipts into a directory, for an auditor
    Export(export::ExportArgs),
}

pub(crate) async fn run(command: LedgerCommand, context: &Context) -> Result<(), Fault> {
    match command {
        LedgerCommand::Verify(args) => verify::run(args, context).await,
        LedgerCommand::Prove(args) => prove::run(args, context).await,
        LedgerCommand::Check(args) => prove::check(&args, context),
        LedgerCommand::Export(args) => export::run(args, context).await,
    }
}
