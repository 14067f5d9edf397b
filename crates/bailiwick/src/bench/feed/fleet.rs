//! The gateways: each a process, each with its own state, all with one identity.

use super::super::calls::{self, GatewayConfig};
use super::super::cpu;
use super::super::process::{Process, Scratch, free_addresses, itself};
use super::AUDIENCE;
use crate::fault::Fault;
use crate::secret::cannot;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Gateways that run.
pub(super) struct Fleet {
    gateways: Vec<Process>,
    /// Removed when everything that writes to it has ended.
    directory: Scratch,
}

impl Fleet {
    /// Starts them one after the other, and waits until each has heard the Authority.
    pub(super) async fn start(
        issuer: &str,
        upstream: SocketAddr,
        count: u32,
        base: &Path,
    ) -> Result<Self, Fault> {
        let directory = Scratch::create(base, "bailiwick-bench-feed")?;
        let mut gateways = Vec::new();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        for (at, address) in free_addresses(wanted)?.into_iter().enumerate() {
            let own = directory.path().join(format!("gateway-{at}"));
            std::fs::create_dir(&own).map_err(|error| cannot("create", &own, &error))?;
            let config = own.join("gateway.toml");
            let text = GatewayConfig {
                issuer,
                listen: address,
                upstream,
                audience: Some(AUDIENCE),
                more: "",
            };
            std::fs::write(&config, text.to_toml())
                .map_err(|error| cannot("write", &config, &error))?;
            let config = config.display().to_string();
            gateways.push(itself(&["gateway", "-c", &config], address, &own, "gateway").await?);
            calls::wait_until_ready(address, &own.join("gateway.log")).await?;
        }
        Ok(Self { gateways, directory })
    }

    pub(super) fn len(&self) -> usize {
        self.gateways.len()
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.gateways.iter().map(|gateway| gateway.address.clone()).collect()
    }

    /// CPU time of all of them so far.
    pub(super) fn cpu(&self) -> Duration {
        let pids = self.gateways.iter().filter_map(Process::pid);
        pids.filter_map(cpu::of_process).sum()
    }

    /// Resident memory of all of them.
    pub(super) fn memory_mib(&self) -> f64 {
        let pids = self.gateways.iter().filter_map(Process::pid);
        pids.filter_map(cpu::resident_mib).sum()
    }

    /// Ends every process and removes what they wrote.
    pub(super) async fn stop(self) {
        for gateway in self.gateways {
            gateway.stop().await;
        }
        drop(self.directory);
    }
}
