//! `bailiwick bench gateway`: what enforcement costs, beside nothing, nginx and a bare proxy.
//!
//! One run measures all of them one after the other: the same prepared requests, the same upstream.
//! CPU time is that of the process in the middle (for "direct" that of the upstream), from `/proc`.

mod pass_through;
mod report;
mod stage;

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, remark};
use bailiwick_core::crypto::Algorithm;
use clap::Args;
use report::{Report, Row};
use stage::Stage;
use std::path::PathBuf;

use super::calls::{self, Holder, Opener};
use super::server::Target;
use super::{cpu, load};

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
    /// Policies loaded beside the default pack
    #[arg(long, default_value_t = 10_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    policies: u32,
    /// Directory to make the state in: the disk that is measured
    #[arg(long, default_value = ".", value_name = "DIR")]
    data: PathBuf,
}

pub(super) async fn run(args: GatewayBenchArgs, context: &Context) -> Result<(), Fault> {
    let target = Target::start(context, &args.data).await?;
    let measured = measure(&args, &target).await;
    target.stop().await;
    output::print(context.format, &measured?)
}

async fn measure(args: &GatewayBenchArgs, target: &Target) -> Result<Report, Fault> {
    let server = target.context.discover().await?;
    remark(&format!("setting up under {} policies", args.policies));
    let stage = Stage::set_up(&server, target, args.policies, &args.data).await?;
    let measured = rows(args, &server, &stage).await;
    stage.stop().await;
    Ok(Report { policies: args.policies, rows: measured? })
}

/// One thing in the middle, and how a request to it is made.
struct Subject<'a> {
    name: &'static str,
    address: &'a str,
    pid: Option<u32>,
    holder: Option<Holder>,
}

async fn rows(
    args: &GatewayBenchArgs,
    server: &crate::context::Server,
    stage: &Stage,
) -> Result<Vec<Row>, Fault> {
    let audience = stage.audience();
    let mut opener = Opener::new(server, &audience).await?;
    let mut holder =
        async |algorithm, depth| opener.open(algorithm, depth).await.map(|line| line.leaf);
    let plain = |name, address, pid| Subject { name, address, pid, holder: None };
    let subjects = [
        plain("direct", &*stage.upstream.address, stage.upstream.pid()),
        plain("nginx", &*stage.nginx.address, stage.nginx.pid()),
        plain("bare proxy", &*stage.bare.address, stage.bare.pid()),
        Subject {
            name: "gateway, EdDSA, depth 1",
            address: &stage.gateway.address,
            pid: stage.gateway.pid(),
            holder: Some(holder(Algorithm::EdDsa, 1).await?),
        },
        Subject {
            name: "gateway, EdDSA, depth 10",
            address: &stage.gateway.address,
            pid: stage.gateway.pid(),
            holder: Some(holder(Algorithm::EdDsa, 10).await?),
        },
        Subject {
            name: "gateway, ES256, depth 1",
            address: &stage.gateway.address,
            pid: stage.gateway.pid(),
            holder: Some(holder(Algorithm::Es256, 1).await?),
        },
    ];
    let mut rows = Vec::new();
    for &connections in &args.connections {
        let wanted = if connections == 1 { args.requests.div_ceil(5) } else { args.requests };
        let mut direct = None;
        for subject in &subjects {
            remark(&format!("{}: {wanted} calls over {connections} connection(s)", subject.name));
            // A round that does not count: connections, caches, leases.
            load::run(subject.address, requests(subject, 200).await?, connections).await?;
            let prepared = requests(subject, wanted).await?;
            let before = subject.pid.and_then(cpu::of_process);
            let run = load::run(subject.address, prepared, connections).await?;
            let spent = subject.pid.and_then(cpu::of_process).zip(before);
            let row =
                Row::new(subject.name, connections, &run, spent, subject.pid, direct.as_ref());
            if direct.is_none() {
                direct = Some(row.clone());
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

async fn requests(subject: &Subject<'_>, count: u32) -> Result<Vec<Vec<u8>>, Fault> {
    let address = subject.address;
    let Some(holder) = &subject.holder else {
        let request = format!("GET /bench/item HTTP/1.1\r\nHost: {address}\r\n\r\n");
        return Ok((0..count).map(|_| request.clone().into_bytes()).collect());
    };
    let nonce = calls::nonce(address).await?;
    (0..count).map(|_| holder.request(address, &nonce, "")).collect()
}
