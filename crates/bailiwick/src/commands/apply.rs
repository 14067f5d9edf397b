//! `bailiwick apply -f FILE…`: owners, agents and workflows from files.

use crate::context::Context;
use crate::document::{Document, Step, steps};
use crate::fault::Fault;
use crate::output::{self, Render, printable, table};
use bailiwick_api::registry::{ApplyRequest, ApplyResponse, Change, DocumentKind};
use bailiwick_authority::registry::{RegistryDocuments, RegistryError};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which files.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// File with `[[owner]]`, `[[agent]]` and `[[workflow]]` tables (TOML, or the same in JSON);
    /// may be repeated
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Validate against the registry, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: ApplyArgs, context: &Context) -> Result<(), Fault> {
    let documents =
        args.files.iter().map(|path| Document::read(path)).collect::<Result<Vec<_>, _>>()?;
    let faults: Vec<Fault> = documents.iter().flat_map(faults_of).collect();
    report(faults)?;
    let request = combine(&documents)?;
    let client = context.operator().await?;
    let response = match client.apply(&request, args.dry_run).await {
        Ok(response) => response,
        Err(error) => return Err(place_refusal(error.into(), &documents)),
    };
    for warning in &response.warnings {
        output::remark(&printable(warning));
    }
    output::print(context.format, &Outcome { dry_run: args.dry_run, response })
}

/// What can be known to be wrong without asking the server.
fn faults_of(document: &Document) -> Vec<Fault> {
    match RegistryDocuments::from_json(&document.value) {
        Ok(documents) if documents.is_empty() => {
            vec![document.fault(
                &[],
                "there is nothing in it: expected [[owner]], [[agent]] or [[workflow]]",
            )]
        }
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| fault_at(document, error)).collect(),
    }
}

fn fault_at(document: &Document, error: &RegistryError) -> Fault {
    let kind = error.kind.as_str();
    let mut path = document_steps(&document.value, kind, &error.id).unwrap_or_default();
    path.extend(steps(&error.field));
    let subject = match error.id.as_str() {
        "" => String::new(),
        id => format!("{kind} {}: ", printable(id)),
    };
    let field = match error.field.as_str() {
        "" => String::new(),
        field => format!("{}: ", printable(field)),
    };
    let message = format!("{subject}{field}{}", printable(&error.message));
    document.fault(&path, message).with_code(error.code.code())
}

/// The steps to a document by its id, or by its position (`#2`, from 1) when it has none.
fn document_steps(value: &Value, kind: &str, id: &str) -> Option<Vec<Step>> {
    let list = value.get(kind)?.as_array()?;
    let index = match id.strip_prefix('#').and_then(|position| position.parse::<usize>().ok()) {
        Some(position) => position.checked_sub(1)?,
        None => {
            list.iter().position(|entry| entry.get("id").and_then(Value::as_str) == Some(id))?
        }
    };
    Some(vec![Step::Key(kind.to_owned()), Step::Index(index)])
}

fn report(mut faults: Vec<Fault>) -> Result<(), Fault> {
    match faults.len() {
        0 => Ok(()),
        1 => Err(faults.remove(0)),
        count => {
            Err(Fault::local(format!("{count} faults; nothing was sent")).with_related(faults))
        }
    }
}

/// One change from all files; a document that stands in two files is a fault.
fn combine(documents: &[Document]) -> Result<ApplyRequest, Fault> {
    let mut request = ApplyRequest::default();
    let mut seen: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for document in documents {
        for (kind, list) in [
            ("owner", &mut request.owner),
            ("agent", &mut request.agent),
            ("workflow", &mut request.workflow),
        ] {
            let entries = document.value.get(kind).and_then(Value::as_array);
            for (index, entry) in entries.into_iter().flatten().enumerate() {
                let id = entry.get("id").and_then(Value::as_str).unwrap_or_default();
                if let Some(other) = seen.insert((kind, id), &document.name) {
                    let place =
                        [Step::Key(kind.into()), Step::Index(index), Step::Key("id".into())];
                    return Err(document.fault(&place, format!("{kind} {id} is also in {other}")));
                }
                list.push(entry.clone());
            }
        }
    }
    Ok(request)
}

/// Points a refusal at the document that it names, when it names one of ours.
fn place_refusal(fault: Fault, documents: &[Document]) -> Fault {
    let message = fault.message().to_owned();
    for document in documents {
        for kind in ["owner", "agent", "workflow"] {
            let Some(list) = document.value.get(kind).and_then(Value::as_array) else { continue };
            for (index, entry) in list.iter().enumerate() {
                let Some(id) = entry.get("id").and_then(Value::as_str) else { continue };
                let Some(rest) = message.strip_prefix(&format!("{kind} {id:?}")) else { continue };
                let mut path = vec![Step::Key(kind.to_owned()), Step::Index(index)];
                path.extend(steps(field_of(rest)));
                return fault.at(document.place(&path));
            }
        }
    }
    fault
}

/// The field in `: edges[0].to: what is wrong`.
fn field_of(rest: &str) -> &str {
    rest.strip_prefix(": ")
        .and_then(|rest| rest.split_once(": "))
        .map(|(field, _)| field)
        .filter(|field| !field.contains(' '))
        .unwrap_or_default()
}

#[derive(serde::Serialize)]
struct Outcome {
    dry_run: bool,
    #[serde(flatten)]
    response: ApplyResponse,
}

impl Render for Outcome {
    fn text(&self) -> String {
        let mut table = table(["KIND", "ID", "VERSION", "CHANGE"]);
        for applied in &self.response.applied {
            table.add_row([
                kind_name(applied.kind).to_owned(),
                printable(&applied.id),
                applied.version.to_string(),
                change_name(applied.change, self.dry_run).to_owned(),
            ]);
        }
        match (self.dry_run, self.response.ledger_index) {
            (true, _) => format!("{table}\ndry run: nothing was changed"),
            (false, Some(index)) => format!("{table}\nledger index {index}"),
            (false, None) => format!("{table}\nnothing to change"),
        }
    }
}

fn kind_name(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Owner => "owner",
        DocumentKind::Agent => "agent",
        DocumentKind::Workflow => "workflow",
    }
}

fn change_name(change: Change, dry_run: bool) -> &'static str {
    match (change, dry_run) {
        (Change::Created, false) => "created",
        (Change::Created, true) => "would be created",
        (Change::Updated, false) => "updated",
        (Change::Updated, true) => "would be updated",
        (Change::Unchanged, _) => "unchanged",
    }
}
