//! `bailiwick workflow …`, and what lists of registry entries have in common.

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, facts, printable, table};
use bailiwick_api::ClientError;
use bailiwick_api::registry::{PageQuery, RegistryEntry};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

/// The most entries that a list collects.
const ENTRIES_MAX: usize = 100_000;

/// Workflows.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowCommand {
    /// List the registered workflows
    List,
    /// Show one workflow
    Show(WorkflowId),
}

/// Which workflow.
#[derive(Debug, Args)]
pub(crate) struct WorkflowId {
    /// The workflow's id, such as banking.pay-bill
    id: String,
}

#[derive(Serialize)]
struct Workflows {
    workflows: Vec<RegistryEntry>,
}

impl Render for Workflows {
    fn text(&self) -> String {
        Entries { entries: &self.workflows, columns: ["title", "owner", "env", "tenant"] }.text()
    }
}

pub(crate) async fn run(command: WorkflowCommand, context: &Context) -> Result<(), Fault> {
    let client = context.operator().await?;
    match command {
        WorkflowCommand::List => {
            let workflows = all_pages(async |page| {
                let list = client.workflows(page).await?;
                Ok((list.workflows, list.next_cursor))
            })
            .await?;
            output::print(context.format, &Workflows { workflows })
        }
        WorkflowCommand::Show(WorkflowId { id }) => {
            let entry = client.workflow(&id).await?;
            output::print(context.format, &EntryDetail(entry))
        }
    }
}

/// Reads a list to its end.
pub(crate) async fn all_pages<F>(mut read: F) -> Result<Vec<RegistryEntry>, Fault>
where
    F: AsyncFnMut(&PageQuery) -> Result<(Vec<RegistryEntry>, Option<String>), ClientError>,
{
    let mut entries = Vec::new();
    let mut page = PageQuery { limit: Some(1000), cursor: None };
    loop {
        let (more, next) = read(&page).await?;
        entries.extend(more);
        if next.is_none() || next == page.cursor || entries.len() >= ENTRIES_MAX {
            return Ok(entries);
        }
        page.cursor = next;
    }
}

/// Entries as rows: id, version, status and some members of the document.
pub(crate) struct Entries<'a, const N: usize> {
    pub(crate) entries: &'a [RegistryEntry],
    pub(crate) columns: [&'a str; N],
}

impl<const N: usize> Entries<'_, N> {
    pub(crate) fn text(&self) -> String {
        if self.entries.is_empty() {
            return "none are registered; `bailiwick apply -f FILE` registers them".to_owned();
        }
        let mut table = table(["ID", "VERSION", "STATUS"]);
        let mut header = vec!["ID".to_owned(), "VERSION".to_owned(), "STATUS".to_owned()];
        header.extend(self.columns.iter().map(|column| column.to_uppercase()));
        table.set_header(header);
        for entry in self.entries {
            let mut row =
                vec![printable(&entry.id), entry.version.to_string(), printable(&entry.status)];
            row.extend(self.columns.iter().map(|column| member(&entry.document, column)));
            table.add_row(row);
        }
        table.to_string()
    }
}

fn member(document: &Value, name: &str) -> String {
    match document.get(name) {
        Some(Value::String(text)) => printable(text),
        Some(other) => printable(&other.to_string()),
        None => String::new(),
    }
}

/// One entry with its whole document.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct EntryDetail(pub(crate) RegistryEntry);

impl Render for EntryDetail {
    fn text(&self) -> String {
        let entry = &self.0;
        let head = facts([
            ("id", entry.id.clone()),
            ("version", entry.version.to_string()),
            ("status", entry.status.clone()),
            ("updated", entry.updated_at.to_string()),
        ]);
        let document = toml::to_string_pretty(&entry.document)
            .unwrap_or_else(|_| format!("{:#}", entry.document));
        let document: String =
            document.lines().map(|line| format!("{}\n", printable(line))).collect();
        format!("{head}\n{document}")
    }
}
