//! The rows: what is in the middle, and how a request to it is made.

use super::super::calls::{self, Holder, Opener, PATH};
use super::super::cpu;
use super::super::load::{self, Place, Run};
use super::super::process::Process;
use super::super::server::Target;
use super::report::Row;
use super::stage::Stage;
use super::{Amount, GatewayBenchArgs};
use crate::clock;
use crate::context::Server;
use crate::fault::Fault;
use crate::output::remark;
use bailiwick_core::crypto::Algorithm;
use std::time::Duration;

/// Calls before those that count: connections, caches, leases.
const WARM_UP: u32 = 200;

/// What is in the middle of a row.
#[derive(Debug, Clone, Copy)]
enum Middle {
    Direct,
    Nginx,
    NginxTls,
    Bare,
    /// Calls with a DPoP proof each.
    Proofs(Algorithm, u8),
    /// Calls under a token that is bound to the certificate of the connection.
    Certificate(u8),
}

use Middle::{Bare, Certificate, Direct, Nginx, NginxTls, Proofs};

/// Every row, in order.
const ROWS: [(&str, Middle); 10] = [
    ("direct", Direct),
    ("nginx", Nginx),
    ("nginx, mTLS", NginxTls),
    ("bare proxy", Bare),
    ("gateway, EdDSA, depth 1", Proofs(Algorithm::EdDsa, 1)),
    ("gateway, EdDSA, depth 10", Proofs(Algorithm::EdDsa, 9)),
    ("gateway, ES256, depth 1", Proofs(Algorithm::Es256, 1)),
    ("gateway, ES256, depth 10", Proofs(Algorithm::Es256, 9)),
    ("gateway, mTLS, depth 1", Certificate(1)),
    ("gateway, mTLS, depth 10", Certificate(9)),
];

/// The names of the rows that are wanted.
///
/// # Errors
/// There are none.
pub(super) fn names(args: &GatewayBenchArgs) -> Result<Vec<&'static str>, Fault> {
    let all = ROWS.map(|(name, _)| name);
    let wanted: Vec<_> = all.into_iter().filter(|name| args.is_wanted(name)).collect();
    if wanted.is_empty() {
        let help = format!("The rows are: {}.", all.join("; "));
        return Err(Fault::local("--only names no row").with_help(help));
    }
    Ok(wanted)
}

/// Measures every row that is wanted, with each number of connections.
pub(super) async fn measure(
    args: &GatewayBenchArgs,
    target: &Target,
    server: &Server,
    stage: &Stage,
) -> Result<Vec<Row>, Fault> {
    let audience = stage.audience();
    let mut opener = Opener::new(server, &audience).await?;
    let mut subjects = Vec::new();
    for (name, middle) in ROWS.into_iter().filter(|(name, _)| args.is_wanted(name)) {
        subjects.push(Subject::new(name, middle, target, stage, &mut opener).await?);
    }
    let mut rows = Vec::new();
    for &connections in &args.connections {
        let mut direct = None;
        for subject in &subjects {
            let row = subject.row(connections, args.amount(connections), direct.as_ref()).await?;
            if subject.name == "direct" {
                direct = Some(row.clone());
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// One thing in the middle, and who calls it.
struct Subject<'a> {
    name: &'static str,
    place: Place<'a>,
    pid: Option<u32>,
    holder: Option<Holder>,
}

impl<'a> Subject<'a> {
    async fn new(
        name: &'static str,
        middle: Middle,
        target: &Target,
        stage: &'a Stage,
        opener: &mut Opener<'_>,
    ) -> Result<Self, Fault> {
        let holder = match middle {
            Direct | Nginx | NginxTls | Bare => None,
            Proofs(algorithm, depth) => Some(opener.open(algorithm, depth).await?.leaf),
            Certificate(depth) => {
                let leaf = opener.open(Algorithm::EdDsa, depth).await?.leaf;
                let data = target.data().ok_or_else(|| Fault::local("no server of our own"))?;
                Some(opener.bound_to(&leaf, stage.certificates.x5t_s256, data)?)
            }
        };
        let process: &Process = match middle {
            Direct => &stage.upstream,
            Nginx => &stage.nginx,
            NginxTls => &stage.nginx_tls,
            Bare => &stage.bare,
            Proofs(..) => &stage.gateway,
            Certificate(_) => &stage.gateway_tls,
        };
        let tls = matches!(middle, NginxTls | Certificate(_));
        let tls = tls.then_some(&stage.certificates.connector);
        let place = Place { address: &process.address, tls };
        Ok(Self { name, place, pid: process.pid(), holder })
    }

    async fn row(
        &self,
        connections: u32,
        amount: Amount,
        direct: Option<&Row>,
    ) -> Result<Row, Fault> {
        load::run(self.place, self.requests(WARM_UP).await?, connections).await?;
        let (run, spent) = match amount {
            Amount::Calls(calls) => {
                remark(&format!("{}: {calls} calls over {connections} connection(s)", self.name));
                self.batch(connections, calls).await?
            }
            Amount::For(time, batch) => {
                let pid = self.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
                remark(&format!("{}: process {pid} is called for {time:?}", self.name));
                self.keep_calling(connections, time, batch).await?
            }
        };
        Ok(Row::new(self.name, connections, &run, spent, self.pid, direct))
    }

    /// Prepares calls, makes them, and says what CPU time the process in the middle spent.
    async fn batch(&self, connections: u32, calls: u32) -> Result<(Run, Option<Duration>), Fault> {
        let prepared = self.requests(calls).await?;
        let before = self.pid.and_then(cpu::of_process);
        let run = load::run(self.place, prepared, connections).await?;
        let after = self.pid.and_then(cpu::of_process);
        let spent = after.zip(before).and_then(|(after, before)| after.checked_sub(before));
        Ok((run, spent))
    }

    /// Batch after batch. The time between them, in which calls are prepared, counts as nothing.
    async fn keep_calling(
        &self,
        connections: u32,
        time: Duration,
        calls: u32,
    ) -> Result<(Run, Option<Duration>), Fault> {
        let started = clock::stopwatch();
        let (mut all, mut cpu) = self.batch(connections, calls).await?;
        while started.elapsed() < time {
            let (run, spent) = self.batch(connections, calls).await?;
            all.wall += run.wall;
            all.latencies.extend(run.latencies);
            cpu = cpu.zip(spent).map(|(all, more)| all + more);
        }
        all.latencies.sort_unstable();
        Ok((all, cpu))
    }

    async fn requests(&self, count: u32) -> Result<Vec<Vec<u8>>, Fault> {
        let address = self.place.address;
        let Some(holder) = &self.holder else {
            let request = format!("GET {PATH} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
            return Ok((0..count).map(|_| request.clone()).collect());
        };
        let nonce = if holder.needs_nonce() { calls::nonce(address).await? } else { String::new() };
        (0..count).map(|_| holder.request(address, &nonce, "")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{BenchArgs, BenchCommand};
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn parsed(more: &[&str]) -> Option<GatewayBenchArgs> {
        let line = ["bench", "gateway"].iter().chain(more);
        match Cli::try_parse_from(line).ok()?.args.what {
            Some(BenchCommand::Gateway(args)) => Some(args),
            _ => None,
        }
    }

    #[test]
    fn rows_are_chosen_by_a_part_of_their_name() {
        let chosen = |more: &[&str]| names(&parsed(more).unwrap()).ok();
        assert_eq!(chosen(&[]).unwrap().len(), ROWS.len());
        let mtls = ["nginx, mTLS", "gateway, mTLS, depth 1", "gateway, mTLS, depth 10"];
        assert_eq!(chosen(&["--only", "MTLS"]).unwrap(), mtls);
        let two = ["direct", "gateway, ES256, depth 10"];
        assert_eq!(chosen(&["--only", "es256, depth 10", "--only", "direct"]).unwrap(), two);
        assert_eq!(chosen(&["--only", "gatewya"]), None);
    }

    #[test]
    fn a_profile_needs_a_row() {
        assert!(parsed(&["--seconds", "5"]).is_none());
        assert!(parsed(&["--seconds", "5", "--only", "bare proxy"]).is_some());
    }
}
