//! `bailiwick bench feed`: how long after a revocation was acknowledged the last gateway still allows.
//!
//! One Authority and many gateways, each a process of its own, all reading the feed, and callers that
//! ask every one of them all the time. The time of an allow is that of the call's arrival at the
//! upstream, which is a part of this process: what was let through is what counts. Its clock is the
//! one that the acknowledgement is timed with.

mod fleet;
mod hammer;
mod report;
mod round;

use super::calls::{self, Opener};
use super::cpu;
use super::server::Target;
use crate::clock;
use crate::context::{Context, Server};
use crate::fault::Fault;
use crate::output::{self, remark};
use bailiwick_core::crypto::Algorithm;
use clap::Args;
use fleet::Fleet;
use hammer::Hammer;
use report::{Level, Machine, Report};
use round::Revoker;
use std::path::PathBuf;
use std::time::Duration;

/// Whom the tokens are for: one service, however many gateways stand in front of it.
const AUDIENCE: &str = "https://tools.bench.example";
/// How long the callers call before the first revocation.
const WARM_UP: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct FeedBenchArgs {
    /// Gateways, each a process
    #[arg(long, default_value_t = 50, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=200))]
    gateways: u32,
    /// Calls a second through all of them together, one row each
    #[arg(long, value_delimiter = ',', default_values_t = [250, 1000, 2000], value_name = "N,…",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rates: Vec<u32>,
    /// Connections to each gateway that the calls are spread over
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Revocations for each row: a subtree is revoked, or a task completed, in turn
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    revocations: u32,
    /// How long the Authority's answer may wait for the gateways, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(0..=5_000))]
    wait_ms: u64,
    /// Policies loaded beside the default pack
    #[arg(long, default_value_t = 100, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    policies: u32,
    /// Directory to make the state in: the disk that receipts are made durable on
    #[arg(long, default_value = ".", value_name = "DIR")]
    data: PathBuf,
}

pub(super) async fn run(args: FeedBenchArgs, context: &Context) -> Result<(), Fault> {
    let target = Target::start(context, &args.data).await?;
    let measured = measure(&args, &target).await;
    target.stop().await;
    output::print(context.format, &measured?)
}

async fn measure(args: &FeedBenchArgs, target: &Target) -> Result<Report, Fault> {
    let server = target.context.discover().await?;
    calls::set_up(target, AUDIENCE, args.policies).await?;
    remark(&format!("starting {} gateways", args.gateways));
    let (upstream, at) = hammer::listen().await?;
    let fleet = Fleet::start(&server.metadata.issuer, at, args.gateways, &args.data).await?;
    let mut opener = Opener::new(&server, AUDIENCE).await?;
    let hammer = Hammer::new(upstream, opener.open(Algorithm::EdDsa, 2).await?.leaf);
    let measured = levels(args, target, &server, &fleet, &hammer).await;
    hammer.stop();
    let memory_mib = fleet.memory_mib();
    fleet.stop().await;
    Ok(Report {
        gateways: args.gateways,
        policies: args.policies,
        wait_ms: args.wait_ms,
        memory_mib,
        levels: measured?,
    })
}

async fn levels(
    args: &FeedBenchArgs,
    target: &Target,
    server: &Server,
    fleet: &Fleet,
    hammer: &Hammer,
) -> Result<Vec<Level>, Fault> {
    let mut levels = Vec::new();
    for &rate in &args.rates {
        remark(&format!("{} revocations under {rate} calls a second", args.revocations));
        // The token of those who go on unharmed lives for a quarter of an hour: one for each row.
        let mut opener = Opener::new(server, AUDIENCE).await?;
        hammer.spare(opener.open(Algorithm::EdDsa, 2).await?.leaf);
        let mut revoker = Revoker::new(target, opener, args.wait_ms, fleet.len());
        let connections = usize::try_from(args.connections).unwrap_or(1);
        let callers_count = fleet.len().saturating_mul(connections);
        let addresses = fleet.addresses();
        let callers = hammer.call(&addresses, callers_count, rate);
        let rounds = async {
            tokio::time::sleep(WARM_UP).await;
            let (before, started) = (machine(target, fleet), clock::stopwatch());
            let calls = hammer.counts();
            let mut rounds = Vec::new();
            for number in 0..args.revocations {
                rounds.push(revoker.round(hammer, callers_count, number).await?);
            }
            let (wall, spent) = (started.elapsed(), machine(target, fleet).since(&before));
            let counts = hammer.counts().since(&calls);
            Ok::<_, Fault>(Level::new(rate, &rounds, counts, wall, spent))
        };
        // Callers end at the first reply that they cannot explain.
        levels.push(tokio::select! {
            level = rounds => level?,
            fault = callers => return Err(fault),
        });
    }
    Ok(levels)
}

fn machine(target: &Target, fleet: &Fleet) -> Machine {
    let cpu = target.cpu();
    let (busy, all) = cpu::of_machine().unwrap_or_default();
    Machine {
        gateways: fleet.cpu(),
        authority: cpu.server.unwrap_or_default(),
        bench: cpu.client.unwrap_or_default(),
        busy,
        all,
    }
}
