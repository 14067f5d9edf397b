//! `bailiwick gateway`: run the enforcement point, and what its operator decides.

mod pins;

use crate::context::Context;
use crate::fault::Fault;
use crate::output::remark;
use bailiwick_gateway::{Config, Server};
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::serve::{log, shutdown};

/// Where the configuration is looked for when none is named.
const CONFIG_FILE: &str = "gateway.toml";

/// How to run.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GatewayArgs {
    /// Configuration file; ./gateway.toml when absent
    #[arg(short, long, env = "BAILIWICK_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only read the configuration and say whether it would start
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<GatewayCommand>,
}

/// What a gateway's operator does besides running it.
#[derive(Debug, Subcommand)]
enum GatewayCommand {
    /// Look at the tool descriptors that are pinned, and approve those that wait
    #[command(subcommand)]
    Pins(pins::PinsCommand),
}

pub(crate) async fn run(args: GatewayArgs, context: &Context) -> Result<(), Fault> {
    if let Some(GatewayCommand::Pins(command)) = args.command {
        return pins::run(command, context);
    }
    let path = named(args.config.as_deref())?;
    if args.check {
        Config::check_file(path).map_err(|error| Fault::local(error.to_string()))?;
        remark("the gateway would start");
        return Ok(());
    }
    let config = load(path)?;
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

fn load(path: &Path) -> Result<Config, Fault> {
    Config::load(path).map_err(|error| Fault::local(error.to_string()))
}

/// The configuration that is named, or the one that lies here.
fn named(named: Option<&Path>) -> Result<&Path, Fault> {
    match named {
        Some(path) => Ok(path),
        None if Path::new(CONFIG_FILE).is_file() => Ok(Path::new(CONFIG_FILE)),
        None => Err(Fault::local("there is no configuration, and nothing is assumed")
            .with_help("Name one with -c FILE, or put gateway.toml here.")),
    }
}
