//! Child processes of a bench: started, waited for until they listen, ended by their handles.

use crate::fault::Fault;
use crate::secret::cannot;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a process may take to listen.
const READY_MAX: Duration = Duration::from_secs(30);
/// Ports below those that systems hand out for connections, so that no connection takes one meanwhile.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A process and where it listens.
pub(super) struct Process {
    pub(super) address: String,
    child: Child,
}

impl Process {
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it. It may have ended by itself.
    pub(super) async fn stop(mut self) {
        let _ = self.child.kill().await;
    }
}

/// A directory that is gone when its handle is. Processes that write to it have to end before.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn create(base: &Path, name: &str) -> Result<Self, Fault> {
        let base = base.canonicalize().map_err(|error| cannot("find", base, &error))?;
        let path = base.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| cannot("create", &path, &error))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left for its owner to see.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts this program; its standard error goes to `NAME.log` of the directory.
pub(super) async fn itself(
    arguments: &[&str],
    address: SocketAddr,
    directory: &Path,
    name: &str,
) -> Result<Process, Fault> {
    let program = std::env::current_exe()
        .map_err(|error| Fault::local(format!("this program's own path: {error}")))?;
    let mut command = Command::new(program);
    command.args(arguments);
    spawn(command, address, directory, name).await
}

/// Starts a program, and waits until it listens.
pub(super) async fn spawn(
    mut command: Command,
    address: SocketAddr,
    directory: &Path,
    name: &str,
) -> Result<Process, Fault> {
    let path = directory.join(format!("{name}.log"));
    let log = std::fs::File::create(&path).map_err(|error| cannot("create", &path, &error))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Fault::local(format!("{name} does not start: {error}")))?;
    let process = Process { address: address.to_string(), child };
    let listens = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(READY_MAX, listens).await.is_err() {
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        return Err(Fault::local(format!("{name} does not listen on {address}:\n{said}")));
    }
    Ok(process)
}

/// A port of loopback that is free, with the next one free for the management listener.
pub(super) fn free_address() -> Result<SocketAddr, Fault> {
    let found = free_addresses(1)?;
    found.first().copied().ok_or_else(|| Fault::local("no free port on loopback"))
}

/// Several of them, no two of which overlap.
pub(super) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Fault> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    // Where to begin is random, so that two benches at once do not look at the same ports.
    let [high, low] = crate::holder::random::<2>()?;
    let span = PORTS.end.saturating_sub(PORTS.start);
    let begin = PORTS.start.saturating_add(u16::from_be_bytes([high, low]) % span);
    let (mut held, mut found) = (Vec::new(), Vec::new());
    let mut ports = (begin..PORTS.end).chain(PORTS.start..begin);
    while let (true, Some(port)) = (found.len() < count, ports.next()) {
        let Ok(first) = bind(port) else { continue };
        let Some(second) = ports.next().and_then(|port| bind(port).ok()) else { continue };
        found.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        held.extend([first, second]);
    }
    if found.len() == count {
        return Ok(found);
    }
    Err(Fault::local(format!("no {count} pairs of free ports beside each other on loopback")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_do_not_overlap() {
        let found = free_addresses(50).unwrap();
        let mut ports: Vec<u16> = found.iter().flat_map(|at| [at.port(), at.port() + 1]).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
    }
}
