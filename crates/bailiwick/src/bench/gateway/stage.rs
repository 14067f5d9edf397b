//! What stands between the load generator and the upstream: each a process of its own.

use super::super::calls::{self, GatewayConfig};
use super::super::process::{Process, Scratch, free_addresses, itself, spawn};
use super::super::server::Target;
use super::certificates::Certificates;
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
    /// nginx and a gateway that ask for client certificates.
    pub(super) nginx_tls: Process,
    pub(super) gateway_tls: Process,
    pub(super) certificates: Certificates,
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
        let addresses = free_addresses(6)?;
        let [up, via, via_tls, bare, gate, gate_tls] = *addresses else {
            return Err(Fault::local("no six free ports"));
        };
        let certificates = Certificates::make(directory)?;
        let upstream = format!(
            "server {{ listen {up} reuseport; default_type application/json; \
             location / {{ return 200 '{{\"ok\":true}}'; }} }}"
        );
        let upstream = nginx(directory, "upstream", up, &upstream).await?;
        let proxy = |listen: String| {
            format!(
                "upstream up {{ server {up}; keepalive 64; keepalive_requests 100000000; }}\n\
                 server {{ listen {listen} location / {{ proxy_pass http://up; \
                 proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
            )
        };
        let config = proxy(format!("{via} reuseport;"));
        let nginx_plain = nginx(directory, "nginx", via, &config).await?;
        let config = proxy(format!("{via_tls} ssl reuseport; {}", certificates.to_nginx()));
        let nginx_tls = nginx(directory, "nginx-tls", via_tls, &config).await?;
        let (listen, to) = (bare.to_string(), up.to_string());
        let arguments = ["bench", "pass-through", "--listen", &listen, "--upstream", &to];
        let bare = itself(&arguments, bare, directory, "bare").await?;

        let audience = format!("http://{gate}");
        calls::set_up(target, &audience, policies).await?;
        let config = |listen, more| GatewayConfig {
            issuer: &server.metadata.issuer,
            listen,
            upstream: up,
            audience: Some(&audience),
            more,
        };
        let gateway_plain = gateway(directory, "gateway", &config(gate, "")).await?;
        let tls = certificates.to_toml();
        let gateway_tls = gateway(directory, "gateway-tls", &config(gate_tls, &tls)).await?;
        Ok(Self {
            upstream,
            nginx: nginx_plain,
            bare,
            gateway: gateway_plain,
            nginx_tls,
            gateway_tls,
            certificates,
            directory: scratch,
        })
    }

    /// The audience of the tokens, and the gateway's URL.
    pub(super) fn audience(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    /// Ends every process and removes what they wrote.
    pub(super) async fn stop(self) {
        let gateways = [self.gateway, self.gateway_tls];
        for process in gateways.into_iter().chain([self.bare, self.nginx, self.nginx_tls]) {
            process.stop().await;
        }
        self.upstream.stop().await;
        drop(self.directory);
    }
}

/// Starts a gateway with a directory of its own.
async fn gateway(
    directory: &Path,
    name: &str,
    config: &GatewayConfig<'_>,
) -> Result<Process, Fault> {
    let own = directory.join(name);
    std::fs::create_dir(&own).map_err(|error| cannot("create", &own, &error))?;
    let path = own.join("gateway.toml");
    std::fs::write(&path, config.to_toml()).map_err(|error| cannot("write", &path, &error))?;
    let path = path.display().to_string();
    let process = itself(&["gateway", "-c", &path], config.listen, &own, "gateway").await?;
    calls::wait_until_ready(config.listen, &own.join("gateway.log")).await?;
    Ok(process)
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
