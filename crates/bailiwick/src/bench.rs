//! bench
use crate::context::Context;
use crate::fault::Fault;
use clap::Args;
/// x
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {}
pub(crate) async fn run(_args: BenchArgs, _context: &Context) -> Result<(), Fault> { Ok(()) }
