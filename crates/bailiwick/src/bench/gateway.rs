//! `bailiwick bench gateway`: what enforcement costs, beside nothing, nginx and a bare proxy.
//!
//! One run measures all of them one after the other: the same prepared requests, the same upstream.
//! CPU time is that of the process in the middle (for "direct" that of the upstream), from `/proc`.

mod certificates;
mod pass_through;
mod report;
mod rows;
mod stage;

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, remark};
use clap::Args;
use report::Report;
use stage::Stage;
use std::path::PathBuf;
use std::time::Duration;

use super::server::Target;

pub(crate) use pass_through::{PassThroughArgs, run as pass_through};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct GatewayBenchArgs {
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 64], value_name = "N,…",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: Vec<u32>,
    /// Calls for each row; a single connection makes a fifth
    #[arg(long, default_value_t = 20_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(10..=200_000))]
    requests: u32,
    /// Only the rows whose name contains this, e.g. "EdDSA, depth 1"; may be given again
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Call for so long instead, so that a profiler can be attached to the process of the one row
    #[arg(long, value_name = "S", requires = "only",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: Option<u64>,
    /// Policies loaded beside the default pack
    #[arg(long, default_value_t = 10_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    policies: u32,
    /// Directory to make the state in: the disk that is measured
    #[arg(long, default_value = ".", value_name = "DIR")]
    data: PathBuf,
}

impl GatewayBenchArgs {
    fn is_wanted(&self, row: &str) -> bool {
        let row = row.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|only| row.contains(&only.to_lowercase()))
    }

    /// How much is called with so many connections.
    fn amount(&self, connections: u32) -> Amount {
        match (self.seconds, connections) {
            (Some(seconds), _) => Amount::For(Duration::from_secs(seconds), self.requests),
            (None, 1) => Amount::Calls(self.requests.div_ceil(5)),
            (None, _) => Amount::Calls(self.requests),
        }
    }
}

/// How much is called for one row.
#[derive(Debug, Clone, Copy)]
enum Amount {
    Calls(u32),
    /// For so long, so many of them prepared at a time.
    For(Duration, u32),
}

pub(super) async fn run(args: GatewayBenchArgs, context: &Context) -> Result<(), Fault> {
    let wanted = rows::names(&args)?;
    if args.seconds.is_some() && (wanted.len() > 1 || args.connections.len() > 1) {
        let fault = format!("--seconds measures one row, but {} are meant", wanted.join("; "));
        return Err(Fault::local(fault).with_help("Name it by --only, and give one --connections."));
    }
    let target = Target::start(context, &args.data).await?;
    let measured = measure(&args, &target).await;
    target.stop().await;
    output::print(context.format, &measured?)
}

async fn measure(args: &GatewayBenchArgs, target: &Target) -> Result<Report, Fault> {
    let server = target.context.discover().await?;
    remark(&format!("setting up under {} policies", args.policies));
    let stage = Stage::set_up(&server, target, args.policies, &args.data).await?;
    let measured = rows::measure(args, target, &server, &stage).await;
    stage.stop().await;
    Ok(Report { policies: args.policies, rows: measured? })
}
