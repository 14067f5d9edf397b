//! What stands between the load generator and the upstream: each a process of its own.

use super::super::server::{Target, free_address};
use super::super::world::bench_policies;
use crate::context::Server;
use crate::fault::Fault;
use crate::secret::cannot;
use bailiwick_api::policies::{PolicySourceText, PutPoliciesRequest};
use bailiwick_api::registry::ApplyRequest;
use bailiwick_policy::default_sources;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Agents of the longest chain.
pub(super) const AGENTS: u8 = 10;
/// The workflow of every task.
pub(super) const WORKFLOW: &str = "bench.call";
const GATEWAY: &str = "spiffe://dev.bailiwick.example/gateway/bench";
/// How long a process may take to listen.
const READY_MAX: Duration = Duration::from_secs(20);

/// The agent at a depth.
pub(super) fn agent(depth: u8) -> String {
    format!("spiffe://dev.bailiwick.example/agent/bench-{depth}")
}

/// A process and where it listens.
pub(super) struct Process {
    pub(super) address: String,
    child: Child,
}

impl Process {
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Everything that is measured.
pub(super) struct Stage {
    pub(super) upstream: Process,
    pub(super) nginx: Process,
    pub(super) bare: Process,
    pub(super) gateway: Process,
    directory: PathBuf,
}

impl Stage {
    pub(super) async fn set_up(
        server: &Server,
        target: &Target,
        policies: u32,
        base: &Path,
    ) -> Result<Self, Fault> {
        let directory = base.join(format!("bailiwick-bench-gateway-{}", std::process::id()));
        std::fs::create_dir(&directory).map_err(|error| cannot("create", &directory, &error))?;
        let directory =
            directory.canonicalize().map_err(|error| cannot("find", &directory, &error))?;
        match Self::start(server, target, policies, &directory).await {
            Ok(stage) => Ok(stage),
            Err(fault) => {
                // Whatever was started ends with its handle.
                let _ = std::fs::remove_dir_all(&directory);
                Err(fault)
            }
        }
    }

    async fn start(
        server: &Server,
        target: &Target,
        policies: u32,
        directory: &Path,
    ) -> Result<Self, Fault> {
        let (up, via, bare, gate) =
            (free_address()?, free_address()?, free_address()?, free_address()?);
        let upstream = format!(
            "server {{ listen {up} reuseport; default_type application/json; \
             location / {{ return 200 '{{\"ok\":true}}'; }} }}"
        );
        let upstream = nginx(directory, "upstream", up, &upstream).await?;
        let proxy = format!(
            "upstream up {{ server {up}; keepalive 64; keepalive_requests 100000000; }}\n\
             server {{ listen {via} reuseport; location / {{ proxy_pass http://up; \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
        );
        let nginx = nginx(directory, "nginx", via, &proxy).await?;
        let (listen, to) = (bare.to_string(), up.to_string());
        let arguments = ["bench", "pass-through", "--listen", &listen, "--upstream", &to];
        let bare = itself(&arguments, bare, directory, "bare").await?;

        let operator = target.context.operator().await?;
        operator.apply(&registry(&format!("http://{gate}")), false).await?;
        let sources = default_sources().into_iter().chain(bench_policies(policies));
        let sources =
            sources.map(|one| PolicySourceText { name: one.name, text: one.text }).collect();
        operator.put_policies(&PutPoliciesRequest { sources }, false).await?;
        let config = directory.join("gateway.toml");
        let issuer = &server.metadata.issuer;
        std::fs::write(&config, gateway_toml(issuer, gate, up))
            .map_err(|error| cannot("write", &config, &error))?;
        let config = config.display().to_string();
        let gateway = itself(&["gateway", "-c", &config], gate, directory, "gateway").await?;
        let stage = Self { upstream, nginx, bare, gateway, directory: directory.to_path_buf() };
        stage.wait_until_ready(gate).await?;
        Ok(stage)
    }

    /// The audience of the tokens, and the gateway's URL.
    pub(super) fn audience(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    /// The gateway's nonce, from its challenge.
    pub(super) async fn nonce(&self) -> Result<String, Fault> {
        let url = format!("{}/bench/item", self.audience());
        let reply = reqwest::get(&url).await.map_err(|error| Fault::remote(error.to_string()))?;
        let nonce = reply.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
        nonce.map(str::to_owned).ok_or_else(|| Fault::remote("the gateway gave no nonce"))
    }

    async fn wait_until_ready(&self, gate: SocketAddr) -> Result<(), Fault> {
        let ready = format!("http://{}:{}/ready", gate.ip(), gate.port().saturating_add(1));
        for _ in 0..400 {
            if reqwest::get(&ready).await.is_ok_and(|reply| reply.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.directory.join("gateway.log")).unwrap_or_default();
        Err(Fault::local(format!("the gateway did not become ready:\n{log}")))
    }

    /// Ends every process and removes what they wrote.
    pub(super) async fn stop(self) {
        for mut process in [self.gateway, self.bare, self.nginx, self.upstream] {
            let _ = process.child.kill().await;
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn nginx(
    directory: &Path,
    name: &str,
    address: SocketAddr,
    servers: &str,
) -> Result<Process, Fault> {
    let prefix = directory.join(name);
    std::fs::create_dir(&prefix).map_err(|error| cannot("create", &prefix, &error))?;
    let config = prefix.join("nginx.conf");
    let at = prefix.display();
    let text = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {at}/body; \
         proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; \
         scgi_temp_path {at}/s;\n{servers}\n}}\n"
    );
    std::fs::write(&config, text).map_err(|error| cannot("write", &config, &error))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&prefix).arg("-e").arg(prefix.join("error.log")).arg("-c").arg(&config);
    spawn(command, address, directory, name).await.map_err(|fault| {
        fault.with_help("The bench compares with nginx: install it (apt-get install nginx-light).")
    })
}

async fn itself(
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

async fn spawn(
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

fn gateway_toml(issuer: &str, listen: SocketAddr, upstream: SocketAddr) -> String {
    let management = SocketAddr::new(listen.ip(), listen.port().saturating_add(1));
    format!(
        "listen = \"{listen}\"\nmanagement_listen = \"{management}\"\nstate_dir = \"state\"\n\
         [log]\nlevel = \"warn\"\n\
         [authority]\nissuer = \"{issuer}\"\n\
         [identity]\ndev_agent = \"{GATEWAY}\"\n\
         [[route]]\nname = \"bench\"\npath = \"/bench\"\nupstream = \"http://{upstream}\"\n\
         owner = \"team:bench\"\nbinding = \"carries\"\nsensitivity = \"internal\"\n\
         [route.http]\n[[route.http.operation]]\nmethod = \"GET\"\npath = \"/item\"\n\
         scope = \"bench.read\"\neffect = \"read\"\n"
    )
}

fn registry(audience: &str) -> ApplyRequest {
    let owner = |id: &str| json!({ "id": id, "name": "Bench", "contact": "bench@dev.example", "status": "active" });
    let row = |id: &str, role: &str| {
        json!({
            "id": id, "name": "Bench", "owner": "team:bench", "env": "dev", "tenant": "bench",
            "status": "active", "clearance": "internal", "roles": [role],
        })
    };
    let edges: Vec<_> =
        (1..AGENTS).map(|depth| json!({ "from": agent(depth - 1), "to": agent(depth) })).collect();
    let workflow = json!({
        "id": WORKFLOW, "title": "Bench", "purpose": "measure calls", "owner": "team:bench",
        "reviewer": "user:bench-reviewer@dev.example", "reviewed": "2026-11-01",
        "entry": [agent(0)], "edges": edges, "audiences": [audience], "tenant": "bench",
        "env": "dev", "sensitivity": "internal", "max_depth": AGENTS - 1, "max_fanout": 100,
        "hops_per_minute_max": 1000, "deadline_seconds": 3600, "ttl_seconds_max": 900,
        "parameters": { "type": "object", "properties": {}, "additionalProperties": false },
        "authority": { "scopes": ["bench.read"], "constraints": [{ "key": "rows", "max": 100 }] },
    });
    let mut agents: Vec<_> = (0..AGENTS).map(|depth| row(&agent(depth), "agent")).collect();
    agents.push(row(GATEWAY, "enforcement-point"));
    ApplyRequest {
        owner: vec![owner("team:bench"), owner("user:bench-reviewer@dev.example")],
        agent: agents,
        workflow: vec![workflow],
    }
}
