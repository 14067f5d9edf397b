//! `bailiwick agent …`.

use crate::commands::workflow::{Entries, EntryDetail, all_pages};
use crate::context::Context;
use crate::credentials::ActorArgs;
use crate::fault::Fault;
use crate::holder::HolderKey;
use crate::output::{self, Render, facts, printable, table};
use bailiwick_api::registry::{
    AgentKeyList, AgentStatusResponse, Reason, RegisterKeyResponse, RegistryEntry,
};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

/// Agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// List the registered agents
    List,
    /// Show one agent
    Show(AgentId),
    /// Stop an agent: it gets no token, and those it holds are refused
    Quarantine(Status),
    /// Let a quarantined agent work again; its old tokens stay dead
    Reinstate(Status),
    /// List the holder keys that are bound to an agent
    Keys(AgentId),
    /// Bind a holder key to the agent whose identity is presented
    BindKey(BindKey),
}

/// Which agent.
#[derive(Debug, Args)]
pub(crate) struct AgentId {
    /// The agent's id, such as spiffe://a.example/agent/payer
    id: String,
}

/// Which agent, and why.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The agent's id
    id: String,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
}

/// Whose key.
#[derive(Debug, Args)]
pub(crate) struct BindKey {
    /// The holder's private key (PKCS#8 PEM, mode 0600)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Serialize)]
struct Agents {
    agents: Vec<RegistryEntry>,
}

impl Render for Agents {
    fn text(&self) -> String {
        Entries { entries: &self.agents, columns: ["name", "owner", "env", "tenant"] }.text()
    }
}

pub(crate) async fn run(command: AgentCommand, context: &Context) -> Result<(), Fault> {
    match command {
        AgentCommand::List => {
            let client = context.operator().await?;
            let agents = all_pages(async |page| {
                let list = client.agents(page).await?;
                Ok((list.agents, list.next_cursor))
            })
            .await?;
            output::print(context.format, &Agents { agents })
        }
        AgentCommand::Show(AgentId { id }) => {
            let entry = context.operator().await?.agent(&id).await?;
            output::print(context.format, &EntryDetail(entry))
        }
        AgentCommand::Keys(AgentId { id }) => {
            let keys = context.operator().await?.agent_keys(&id).await?;
            output::print(context.format, &keys)
        }
        AgentCommand::Quarantine(Status { id, reason }) => {
            let done = context.operator().await?.quarantine(&id, &Reason { reason }).await?;
            output::print(context.format, &done)
        }
        AgentCommand::Reinstate(Status { id, reason }) => {
            let done = context.operator().await?.reinstate(&id, &Reason { reason }).await?;
            output::print(context.format, &done)
        }
        AgentCommand::BindKey(BindKey { key, actor }) => {
            let key = HolderKey::read(&key)?;
            let server = context.discover().await?;
            let svid = actor.token(&server).await?;
            let bound = server.client.register_key(&svid, &key).await?;
            output::print(context.format, &bound)
        }
    }
}

impl Render for AgentKeyList {
    fn text(&self) -> String {
        if self.keys.is_empty() {
            return "no keys are bound".to_owned();
        }
        let mut table = table(["THUMBPRINT", "UNTIL"]);
        for key in &self.keys {
            table.add_row([printable(&key.jkt), key.expires_at.to_string()]);
        }
        table.to_string()
    }
}

impl Render for AgentStatusResponse {
    fn text(&self) -> String {
        facts([
            ("agent", self.agent.to_string()),
            ("status", self.status.clone()),
            ("ledger index", self.ledger_index.to_string()),
        ])
    }
}

impl Render for RegisterKeyResponse {
    fn text(&self) -> String {
        facts([
            ("agent", self.agent.to_string()),
            ("thumbprint", self.jkt.clone()),
            ("until", self.expires_at.to_string()),
        ])
    }
}
