//! `bailiwick bench`: settling over loopback HTTP with a durable ledger, beside its primitives; enforced
//! calls as `bench gateway`; how fast a revocation reaches many gateways as `bench feed`.
//!
//! Grants and proofs are signed before the clock runs; what runs is the server, the kernel and a
//! load generator that writes prepared bytes and reads replies. CPU time is that of the two
//! processes, from `/proc`, so the figures hold on a machine that is busy with something else.

mod calls;
mod cpu;
mod feed;
mod gateway;
mod grant;
mod load;
mod primitives;
mod process;
mod report;
mod server;
mod world;

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, remark};
use clap::{Args, Subcommand};
use report::{Level, Report};
use server::Target;
use std::path::PathBuf;
use world::World;

/// What to measure.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    /// Measure something else than settling
    #[command(subcommand)]
    what: Option<BenchCommand>,
    /// Numbers of callers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64], value_name = "N,…",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    callers: Vec<u32>,
    /// Settles for each number of callers; a single caller does a tenth
    #[arg(long, default_value_t = 20_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(10..=100_000))]
    requests: u32,
    /// Live tasks before the first settle
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=200_000))]
    tasks: u32,
    /// Policies loaded beside the default pack
    #[arg(long, default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=1_200))]
    policies: u32,
    /// Directory to make the server's data directory in: the disk that is measured
    #[arg(long, default_value = ".", value_name = "DIR")]
    data: PathBuf,
    /// Use the development server at --server instead of starting one
    #[arg(long)]
    running: bool,
    /// That server's process, for its CPU time
    #[arg(long, value_name = "PID", requires = "running")]
    server_pid: Option<u32>,
}

/// What else can be measured.
#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Measure enforced calls beside direct ones, nginx and a bare proxy
    Gateway(gateway::GatewayBenchArgs),
    /// Measure how long after a revocation the last of many gateways still allows
    Feed(feed::FeedBenchArgs),
    /// The bare proxy that the bench compares with
    #[command(hide = true)]
    PassThrough(gateway::PassThroughArgs),
}

pub(crate) async fn run(args: BenchArgs, context: &Context) -> Result<(), Fault> {
    match args.what {
        None => settling(args, context).await,
        Some(BenchCommand::Gateway(args)) => gateway::run(args, context).await,
        Some(BenchCommand::Feed(args)) => feed::run(args, context).await,
        Some(BenchCommand::PassThrough(args)) => gateway::pass_through(args).await,
    }
}

async fn settling(args: BenchArgs, context: &Context) -> Result<(), Fault> {
    let target = if args.running {
        Target::running(context, args.server_pid)
    } else {
        Target::start(context, &args.data).await?
    };
    let measured = measure(&args, &target).await;
    target.stop().await;
    output::print(context.format, &measured?)
}

async fn measure(args: &BenchArgs, target: &Target) -> Result<Report, Fault> {
    let server = target.context.discover().await?;
    if !server.metadata.bailiwick_dev {
        return Err(Fault::local("only a development server is measured")
            .with_help("The bench registers agents and opens tasks as whoever it likes."));
    }
    remark(&format!("opening {} tasks under {} policies", args.tasks, args.policies));
    let world = World::set_up(&server, args, target).await?;
    let mut levels = Vec::new();
    for &callers in &args.callers {
        let wanted = if callers == 1 { args.requests.div_ceil(10) } else { args.requests };
        remark(&format!("preparing {wanted} settles for {callers} callers"));
        let requests = world.settles(wanted)?;
        let before = target.cpu();
        let run = load::run(world.address.as_str(), requests, callers).await?;
        levels.push(Level::new(callers, &run, before, target.cpu()));
    }
    remark("measuring the primitives");
    let exchange = primitives::http_exchange(&world.address, target).await?;
    let primitives = primitives::measure(&world, args, exchange).await?;
    Ok(Report {
        tasks: args.tasks,
        policies: args.policies,
        ready_ms: target.ready_ms,
        levels,
        primitives,
    })
}
