//! `bailiwick gateway pins`: tool descriptors that are pinned, and those that wait.

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, remark, table};
use bailiwick_gateway::{Pin, approve_pin, pins_path, read_pins};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Pinned descriptors.
#[derive(Debug, Subcommand)]
pub(crate) enum PinsCommand {
    /// List what is pinned at a route, and what waits for approval
    List(PlaceArgs),
    /// Approve the descriptor of a tool that waits; a running gateway takes it up by itself
    Approve(ApproveArgs),
}

/// Which pins.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Configuration file of the gateway; ./gateway.toml when absent
    #[arg(short, long, env = "BAILIWICK_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the route
    #[arg(long, value_name = "ROUTE")]
    route: String,
}

/// Which tool.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Name of the tool
    #[arg(value_name = "TOOL")]
    tool: String,
}

impl PlaceArgs {
    fn path(&self) -> Result<PathBuf, Fault> {
        let config = super::load(self.config.as_deref())?;
        if !config.routes.iter().any(|route| route.name == self.route && route.mcp.is_some()) {
            return Err(Fault::local(format!("there is no MCP route `{}`", self.route)));
        }
        Ok(pins_path(&config.state_dir, &self.route))
    }
}

pub(crate) fn run(command: PinsCommand, context: &Context) -> Result<(), Fault> {
    let fault = |error: bailiwick_gateway::PinsError| Fault::local(error.to_string());
    match command {
        PinsCommand::List(place) => {
            let pins = read_pins(&place.path()?).map_err(fault)?;
            output::print(context.format, &Listing { pins })
        }
        PinsCommand::Approve(args) => {
            let pin = approve_pin(&args.place.path()?, &args.tool).map_err(fault)?;
            remark(&format!("{}: {} is approved", args.tool, pin.approved.unwrap_or_default()));
            Ok(())
        }
    }
}

#[derive(Debug, Serialize)]
struct Listing {
    pins: BTreeMap<String, Pin>,
}

impl Render for Listing {
    fn text(&self) -> String {
        let mut rows = table(["TOOL", "APPROVED", "WAITING", "WHY"]);
        for (name, pin) in &self.pins {
            let shown = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "-".to_owned());
            let why = pin.why.clone().unwrap_or_default();
            rows.add_row([name.clone(), shown(&pin.approved), shown(&pin.waiting), why]);
        }
        rows.to_string()
    }
}
