//! `bailiwick gateway`: run the enforcement point.

use crate::context::Context;
use crate::fault::Fault;
use crate::output::remark;
use bailiwick_gateway::{Config, Server};
use clap::Args;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::serve::{log, shutdown};

/// Where the configuration is looked for when none is named.
const CONFIG_FILE: &str = "gateway.toml";

/// How to run.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Configuration file; ./gateway.toml when absent
    #[arg(short, long, env = "BAILIWICK_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only read the configuration and say whether it would start
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(args: GatewayArgs, _context: &Context) -> Result<(), Fault> {
    let path = match &args.config {
        Some(path) => path.as_path(),
        None if Path::new(CONFIG_FILE).is_file() => Path::new(CONFIG_FILE),
        None => {
            return Err(Fault::local("there is no configuration, and nothing is assumed")
                .with_help("Name one with -c FILE, or put gateway.toml here."));
        }
    };
    let config = Config::load(path).map_err(|error| Fault::local(error.to_string()))?;
    if args.check {
        config.check().map_err(|error| Fault::local(error.to_string()))?;
        remark(&format!("{} would start", path.display()));
        return Ok(());
    }
    log(&config.log.level, config.log.json)?;
    let shutdown = shutdown()?;
    let (state, authority) =
        (config.state_dir.display().to_string(), config.authority.issuer.clone());
    let server = Server::start(config).await.map_err(|error| Fault::local(error.to_string()))?;
    let address = |address: std::io::Result<SocketAddr>| {
        address.map_or_else(|error| error.to_string(), |address| address.to_string())
    };
    remark(&format!("enforcing on {}", address(server.address())));
    remark(&format!("management on {}", address(server.management_address())));
    remark(&format!("tokens of {authority}; state in {state}"));
    server.run(shutdown).await;
    Ok(())
}
