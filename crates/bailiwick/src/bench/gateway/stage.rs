//! What stands between the load generator and the upstream: each a process of its own.

use super::super::calls;
use super::super::process::{Process, Scratch, free_addresses, itself, spawn};
use super::super::server::Target;
use crate::context::Server;
use crate::fault::Fault;
use crate::secret::cannot;
use std::net::SocketAddr;
use std::path::Path;
use tokio::process::Command;

/// Everything that is measured.
pub(super) struct Stage {
    pub(super) upstream: Process,
    pub(super) nginx: Process,
    pub(super) bare: Process,
    pub(super) gateway: Process,
    /// Removed when everything that writes to it has ended.
    directory: Scratch,
}

impl Stage {
    pub(super) async fn set_up(
        server: &Server,
        target: &Target,
        policies: u32,
        base: &Path,
    ) -> Result<Self, Fault> {
        let scratch = Scratch::create(base, "bailiwick-bench-gateway")?;
        let directory = scratch.path();
        let addresses = free_addresses(4)?;
        let [up, via, bare, gate] = *addresses else {
            return Err(Fault::local("no four free ports"));
        };
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

        calls::set_up(target, &format!("http://{gate}"), policies).await?;
        let config = directory.join("gateway.toml");
        let issuer = &server.metadata.issuer;
        std::fs::write(&config, calls::gateway_toml(issuer, gate, up, None))
            .map_err(|error| cannot("write", &config, &error))?;
        let config = config.display().to_string();
        let gateway = itself(&["gateway", "-c", &config], gate, directory, "gateway").await?;
        calls::wait_until_ready(gate, &directory.join("gateway.log")).await?;
        Ok(Self { upstream, nginx, bare, gateway, directory: scratch })
    }

    /// The audience of the tokens, and the gateway's URL.
    pub(super) fn audience(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    /// Ends every process and removes what they wrote.
    pub(super) async fn stop(self) {
        for process in [self.gateway, self.bare, self.nginx, self.upstream] {
            process.stop().await;
        }
        drop(self.directory);
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
