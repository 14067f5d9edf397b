//! The server that is measured: a child process of this program, or one that runs already.

use super::cpu;
use super::process::free_address;
use crate::clock;
use crate::context::Context;
use crate::fault::Fault;
use crate::secret::cannot;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use url::Url;

/// How long a server may take to answer.
const READY_MAX: Duration = Duration::from_secs(30);

/// The server that is measured.
pub(super) struct Target {
    pub(super) context: Context,
    /// From the start of the process to its first answer.
    pub(super) ready_ms: Option<u64>,
    pid: Option<u32>,
    child: Option<(Child, PathBuf)>,
}

/// CPU time of the server and of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    pub(super) server: Option<Duration>,
    pub(super) client: Option<Duration>,
}

impl Target {
    pub(super) fn running(context: &Context, pid: Option<u32>) -> Self {
        Self { context: context.clone(), ready_ms: None, pid, child: None }
    }

    pub(super) async fn start(context: &Context, base: &Path) -> Result<Self, Fault> {
        let data = base.join(format!("bailiwick-bench-{}", std::process::id()));
        std::fs::create_dir(&data).map_err(|error| cannot("create", &data, &error))?;
        let address = free_address()?;
        let started = clock::stopwatch();
        let spawned = spawn(&data, address);
        let child = match spawned {
            Ok(child) => child,
            Err(fault) => {
                // Nothing runs in it; what cannot be removed is left for its owner to see.
                let _ = std::fs::remove_dir_all(&data);
                return Err(fault);
            }
        };
        let url: Url = format!("http://{address}")
            .parse()
            .map_err(|_| Fault::local("the server's address is not a URL"))?;
        let mut target = Self {
            context: context.at(url),
            ready_ms: None,
            pid: child.id(),
            child: Some((child, data)),
        };
        match target.wait(started).await {
            Ok(ready_ms) => {
                target.ready_ms = Some(ready_ms);
                Ok(target)
            }
            Err(fault) => {
                target.stop().await;
                Err(fault)
            }
        }
    }

    async fn wait(&self, started: std::time::Instant) -> Result<u64, Fault> {
        let client = self.context.anonymous()?;
        while started.elapsed() < READY_MAX {
            if client.metadata().await.is_ok() {
                return Ok(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(Fault::local(format!("the server did not answer within {READY_MAX:?}")))
    }

    /// The data directory of a server that was started here.
    pub(super) fn data(&self) -> Option<&Path> {
        self.child.as_ref().map(|(_, data)| data.as_path())
    }

    pub(super) fn cpu(&self) -> Cpu {
        Cpu {
            server: self.pid.and_then(cpu::of_process),
            client: cpu::of_process(std::process::id()),
        }
    }

    /// Ends the server, if it was started here, and removes its data.
    pub(super) async fn stop(self) {
        let Some((mut child, data)) = self.child else { return };
        // The process may have ended by itself; its data goes either way.
        let _ = child.kill().await;
        let _ = std::fs::remove_dir_all(&data);
    }
}

fn spawn(data: &Path, address: SocketAddr) -> Result<Child, Fault> {
    let program = std::env::current_exe()
        .map_err(|error| Fault::local(format!("this program's own path: {error}")))?;
    Command::new(program)
        .args(["serve", "--dev", "--data"])
        .arg(data)
        .arg("--listen")
        .arg(address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Fault::local(format!("the server does not start: {error}")))
}
