//! `bailiwick ledger export`.

use super::key::{self, KeyArgs};
use super::remote::{Remote, RemoteLog, blocking};
use super::verify::fault;
use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, facts};
use bailiwick_api::ClientError;
use bailiwick_ledger::export::ExportError;
use bailiwick_ledger::published::{PublishedLog, TileFault};
use bailiwick_ledger::{
    Checkpoint, Export, ExportReport, KeySource, ReadError, VerifierKey, VerifyOptions, export,
    verify_export,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Directory to write; must be new or empty
    directory: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Serialize)]
struct Done {
    directory: String,
    origin: String,
    size: u64,
    receipts_opened: u64,
    receipts_erased: u64,
    vkey: String,
}

impl Render for Done {
    fn text(&self) -> String {
        facts([
            ("exported", format!("{} entries of {}", self.size, self.origin)),
            ("receipts", format!("{} open, {} erased", self.receipts_opened, self.receipts_erased)),
            ("key", self.vkey.clone()),
            ("written to", self.directory.clone()),
            ("verify with", format!("bailiwick ledger verify {} --vkey KEY", self.directory)),
        ])
    }
}

pub(crate) async fn run(args: ExportArgs, context: &Context) -> Result<(), Fault> {
    let client = context.operator().await?;
    let key = match args.key.given()? {
        Some(key) => key,
        None => key::parse(&client.ledger_vkey().await?)?,
    };
    let checkpoint = client.ledger_file("checkpoint").await?;
    let checkpoint =
        String::from_utf8(checkpoint).map_err(|_| Fault::remote("the checkpoint is not text"))?;
    let remote = Remote::new(client);
    let directory = args.directory;
    let done = blocking(move || {
        let report = write(&directory, &checkpoint, &key, &remote)?;
        Ok(Done {
            directory: directory.display().to_string(),
            origin: report.log.checkpoint.origin().to_owned(),
            size: report.log.checkpoint.size(),
            receipts_opened: report.opened,
            receipts_erased: report.erased,
            vkey: key.to_string(),
        })
    })
    .await?;
    output::print(context.format, &done)
}

/// Writes the export, then verifies it as an auditor would.
fn write(
    directory: &Path,
    checkpoint: &str,
    key: &VerifierKey,
    remote: &Remote,
) -> Result<ExportReport, Fault> {
    let size = Checkpoint::verify(checkpoint.as_bytes(), key)
        .map_err(|error| Fault::denied("checkpoint_refused", error.to_string()))?
        .size();
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} receipts, {eta} left") {
        bar.set_style(style);
    }
    let progress = |read| bar.set_position(read);
    let log = RemoteLog { published: PublishedLog::new(remote, size), remote, progress: &progress };
    let what = Export { checkpoint, key, history: &[] };
    let written = export(directory, &what, &log);
    bar.finish_and_clear();
    written.map_err(|error| failed(directory, error))?;
    verify_export(directory, &KeySource::Given(key.clone()), &VerifyOptions::default())
        .map_err(|error| fault(&error))
}

fn failed(directory: &Path, error: ExportError<TileFault<ClientError>>) -> Fault {
    match error {
        ExportError::NotEmpty => Fault::local(format!("{} is not empty", directory.display()))
            .with_help("An export is never mixed with another: name a new directory."),
        ExportError::Disk(_) => Fault::local(error.to_string()),
        ExportError::Read(ReadError::Source(TileFault::Source(error))) => Fault::from(error),
        other => Fault::remote(other.to_string()),
    }
}
