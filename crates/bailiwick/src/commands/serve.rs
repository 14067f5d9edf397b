//! `bailiwick serve`: run the Authority.

use crate::context::Context;
use crate::fault::Fault;
use crate::output::remark;
use bailiwick_authority::config::{Config, ConfigError, LogFormat};
use bailiwick_authority::serve::Server;
use clap::Args;
use std::future::Future;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Where the configuration is looked for when none is named.
const CONFIG_FILE: &str = "bailiwick.toml";
/// Where a development server keeps its data when no directory is named.
const DEV_DATA_DIR: &str = "bailiwick-dev-data";
const DEV_LISTEN: &str = "127.0.0.1:8420";

/// How to run.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Development: loopback only, with an embedded user issuer and trust domain that vouch for
    /// whatever they are asked. Never for real data
    #[arg(long)]
    dev: bool,
    /// Configuration file; ./bailiwick.toml when absent
    #[arg(short, long, env = "BAILIWICK_CONFIG", value_name = "FILE", conflicts_with = "dev")]
    config: Option<PathBuf>,
    /// Directory for the store, the keys and the ledger
    #[arg(long, env = "BAILIWICK_DATA_DIR", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the public listener
    #[arg(long, env = "BAILIWICK_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of the management listener (/live, /ready, /metrics)
    #[arg(long, env = "BAILIWICK_MANAGEMENT_LISTEN", value_name = "ADDRESS")]
    management_listen: Option<SocketAddr>,
}

pub(crate) async fn run(args: ServeArgs, _context: &Context) -> Result<(), Fault> {
    let config = config(&args)?;
    log(&config.log.level, config.log.format == LogFormat::Json)?;
    let shutdown = shutdown()?;
    let data = config.data_dir.display().to_string();
    let server = Server::start(config).await.map_err(|error| Fault::local(error.to_string()))?;
    announce(&server, &data);
    server.run(shutdown).await.map_err(|error| Fault::local(error.to_string()))
}

/// Says where it is to be found, and whose ledger it keeps.
fn announce(server: &Server, data: &str) {
    if let Some(banner) = server.banner() {
        remark(banner);
    }
    let address = |address: std::io::Result<SocketAddr>| {
        address.map_or_else(|error| error.to_string(), |address| address.to_string())
    };
    remark(&format!("serving on {}", address(server.address())));
    remark(&format!("management on {}", address(server.management_address())));
    remark(&format!("data in {data}"));
    remark(&format!("ledger key {} (keep it elsewhere, to verify with)", server.ledger_key()));
}

fn config(args: &ServeArgs) -> Result<Config, Fault> {
    let mut config = if args.dev { dev(args)? } else { load(args)? };
    if let Some(address) = args.management_listen {
        config.management_listen = address;
    }
    config.validate().map_err(|error| refused(&error))?;
    Ok(config)
}

fn dev(args: &ServeArgs) -> Result<Config, Fault> {
    let listen = match args.listen {
        Some(address) => address,
        None => DEV_LISTEN.parse().map_err(|_| Fault::local("no address to listen on"))?,
    };
    if !listen.ip().is_loopback() {
        return Err(Fault::local(format!("--dev listens on loopback only, not on {listen}"))
            .with_help(
                "Its identities are whoever asks. Use a configuration file for anything else.",
            ));
    }
    let data = args.data.clone().unwrap_or_else(|| PathBuf::from(DEV_DATA_DIR));
    Ok(Config::dev(&data, listen))
}

fn load(args: &ServeArgs) -> Result<Config, Fault> {
    let path = match &args.config {
        Some(path) => path.as_path(),
        None if Path::new(CONFIG_FILE).is_file() => Path::new(CONFIG_FILE),
        None => {
            return Err(Fault::local("there is no configuration, and nothing is assumed").with_help(
                "Name one with -c FILE, put bailiwick.toml here, or try `bailiwick serve --dev`.",
            ));
        }
    };
    let mut config = Config::load(path).map_err(|error| refused(&error))?;
    if let Some(data) = &args.data {
        config.data_dir.clone_from(data);
    }
    if let Some(address) = args.listen {
        config.listen = address;
    }
    Ok(config)
}

fn refused(error: &ConfigError) -> Fault {
    Fault::local(error.to_string())
}

/// Starts logging to standard error: lines for people, or one JSON object a line.
pub(super) fn log(level: &str, json: bool) -> Result<(), Fault> {
    let filter =
        EnvFilter::try_new(level).map_err(|error| Fault::local(format!("log.level: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A file and a journal get words, no colours.
    let builder = if std::io::stderr().is_terminal() { builder } else { builder.with_ansi(false) };
    let started = if json { builder.json().try_init() } else { builder.try_init() };
    started.map_err(|error| Fault::local(format!("logging does not start: {error}")))
}

/// Ends at the first interrupt or termination signal.
pub(super) fn shutdown() -> Result<impl Future<Output = ()> + Send + 'static, Fault> {
    let listen = |kind| {
        signal(kind).map_err(|error| Fault::local(format!("signals cannot be caught: {error}")))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
