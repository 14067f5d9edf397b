//! `bailiwick gateway pins`: tool descriptors that are pinned, and those that wait.

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, remark, table};
use bailiwick_gateway::{Pin, approve_pin, pins_path, read_pins};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pinned descriptors.
#[derive(Debug, Subcommand)]
pub(crate) enum PinsCommand {
    /// List what is pinned at a route, and what waits for approval
    List(PlaceArgs),
    /// Show what a tool's server told of it: what is approved, and what waits
    Show(ShowArgs),
    /// Approve descriptors that wait; a running gateway takes it up by itself
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
pub(crate) struct ShowArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Name of the tool
    #[arg(value_name = "TOOL")]
    tool: String,
}

/// Which tools.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Names of the tools
    #[arg(value_name = "TOOL", required_unless_present = "all")]
    tools: Vec<String>,
    /// Only if this is the hash that waits: the one that was looked at
    #[arg(long, value_name = "HASH", conflicts_with = "all")]
    hash: Option<String>,
    /// Every tool that waits
    #[arg(long, conflicts_with = "tools")]
    all: bool,
}

impl PlaceArgs {
    fn path(&self) -> Result<PathBuf, Fault> {
        let config = super::load(super::named(self.config.as_deref())?)?;
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
        PinsCommand::Show(args) => {
            let mut pins = read_pins(&args.place.path()?).map_err(fault)?;
            let pin = pins.remove(&args.tool);
            let pin =
                pin.ok_or_else(|| Fault::local(format!("nothing is known of `{}`", args.tool)))?;
            output::print(context.format, &Shown { tool: args.tool, pin })
        }
        PinsCommand::Approve(args) => {
            let path = args.place.path()?;
            let tools = if args.all { waiting(&path).map_err(fault)? } else { args.tools };
            for tool in tools {
                let pin = approve_pin(&path, &tool, args.hash.as_deref()).map_err(fault)?;
                remark(&format!("{tool}: {} is approved", pin.approved.unwrap_or_default()));
            }
            Ok(())
        }
    }
}

fn waiting(path: &Path) -> Result<Vec<String>, bailiwick_gateway::PinsError> {
    let pins = read_pins(path)?.into_iter();
    Ok(pins.filter(|(_, pin)| pin.waiting.is_some()).map(|(tool, _)| tool).collect())
}

#[derive(Debug, Serialize)]
struct Shown {
    tool: String,
    #[serde(flatten)]
    pin: Pin,
}

impl Render for Shown {
    fn text(&self) -> String {
        let told = |what: &str, hash: &Option<String>, descriptor: &Option<serde_json::Value>| {
            let Some(hash) = hash else { return String::new() };
            let text = descriptor.as_ref().and_then(|it| serde_json::to_string_pretty(it).ok());
            // As JSON writes it: nothing that the server says can move the cursor.
            format!("{what} {hash}\n{}\n", ascii(&text.unwrap_or_default()))
        };
        let Pin { approved, approved_descriptor, waiting, waiting_descriptor, why } = &self.pin;
        let mut text = told("approved", approved, approved_descriptor);
        text.push_str(&told("waiting", waiting, waiting_descriptor));
        if let Some(why) = why {
            text.push_str(&format!("why: {}\n", ascii(why)));
        }
        text
    }
}

/// Letters that only look like others, or are not seen at all, as what they are.
fn ascii(text: &str) -> String {
    let plain = |c: char| c == '\n' || (c.is_ascii() && !c.is_ascii_control());
    text.chars()
        .flat_map(|c| {
            if plain(c) { c.to_string() } else { c.escape_unicode().to_string() }
                .chars()
                .collect::<Vec<_>>()
        })
        .collect()
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
            rows.add_row([ascii(name), shown(&pin.approved), shown(&pin.waiting), ascii(&why)]);
        }
        rows.to_string()
    }
}
