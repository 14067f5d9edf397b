//! `bailiwick ledger verify`.

use super::key::{self, KeyArgs};
use super::remote::{Remote, blocking, context_at};
use crate::context::Context;
use crate::document::read_text;
use crate::fault::Fault;
use crate::output::{self, Render, facts};
use bailiwick_ledger::export::VerifyExportError;
use bailiwick_ledger::{
    Checkpoint, KeySource, LogFault, TrustedTree, VerifierKey, VerifyError, VerifyOptions,
    verify_export, verify_log,
};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Which ledger, under which key.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// URL of a ledger or directory of an export; the server's ledger when absent
    #[arg(value_name = "URL|DIR")]
    target: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Checkpoint that is trusted already (a file with a signed note): the ledger must begin with
    /// its tree; may be repeated
    #[arg(long, value_name = "FILE")]
    trusted_checkpoint: Vec<PathBuf>,
}

/// What was verified.
#[derive(Serialize)]
struct Report {
    verified: bool,
    origin: String,
    size: u64,
    root: String,
    vkey: String,
    key_from: &'static str,
    files_checked: u64,
    trusted_checkpoints_matched: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts_opened: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts_erased: Option<u64>,
}

impl Render for Report {
    fn text(&self) -> String {
        let receipts = match (self.receipts_opened, self.receipts_erased) {
            (Some(opened), Some(erased)) => format!("{opened} opened, {erased} erased"),
            _ => "not published; `bailiwick ledger export` gets them".to_owned(),
        };
        facts([
            ("VERIFIED", format!("{} entries of {}", self.size, self.origin)),
            ("root", self.root.clone()),
            ("key", format!("{} ({})", self.vkey, self.key_from)),
            ("files", format!("{} compared", self.files_checked)),
            ("trusted trees", self.trusted_checkpoints_matched.to_string()),
            ("receipts", receipts),
        ])
    }
}

pub(crate) async fn run(args: VerifyArgs, context: &Context) -> Result<(), Fault> {
    let given = args.key.given()?;
    let report = match args.target.as_deref() {
        Some(target) if !target.contains("://") => {
            let directory = PathBuf::from(target);
            let trusted = args.trusted_checkpoint;
            blocking(move || of_export(&directory, given, &trusted)).await?
        }
        target => {
            let at = match target {
                Some(url) => context_at(url, context)?,
                None => context.clone(),
            };
            of_url(&at, given, args.trusted_checkpoint).await?
        }
    };
    output::print(context.format, &report)
}

async fn of_url(
    context: &Context,
    given: Option<VerifierKey>,
    trusted: Vec<PathBuf>,
) -> Result<Report, Fault> {
    let client = context.anonymous()?;
    let (key, key_from) = match given {
        Some(key) => (key, "given"),
        None => (key::parse(&client.ledger_vkey().await?)?, "from the server itself"),
    };
    let options = options(&trusted, &key)?;
    let remote = Remote::new(client);
    blocking(move || {
        let log = verify_log(&remote, &key, &options).map_err(|error| match error {
            VerifyError::Fault(fault) => bad(&fault),
            VerifyError::Source(error) => Fault::from(error),
        })?;
        Ok(report(&log, &key, key_from))
    })
    .await
}

fn of_export(
    directory: &Path,
    given: Option<VerifierKey>,
    trusted: &[PathBuf],
) -> Result<Report, Fault> {
    if !directory.is_dir() {
        return Err(Fault::local(format!("{} is not a directory", directory.display())));
    }
    let (source, key_from) = match given {
        Some(key) => (KeySource::Given(key), "given"),
        None => (KeySource::FromExport, "from the export itself"),
    };
    let options = match &source {
        KeySource::Given(key) => options(trusted, key)?,
        KeySource::FromExport if trusted.is_empty() => VerifyOptions::default(),
        KeySource::FromExport => {
            let key = bailiwick_ledger::export::read_vkey(directory).map_err(|e| fault(&e))?;
            options(trusted, &key)?
        }
    };
    let done = verify_export(directory, &source, &options).map_err(|error| fault(&error))?;
    let mut report = report(&done.log, &done.key, key_from);
    report.receipts_opened = Some(done.opened);
    report.receipts_erased = Some(done.erased);
    Ok(report)
}

fn report(log: &bailiwick_ledger::LogReport, key: &VerifierKey, key_from: &'static str) -> Report {
    Report {
        verified: true,
        origin: log.checkpoint.origin().to_owned(),
        size: log.checkpoint.size(),
        root: log.checkpoint.root().to_base64(),
        vkey: key.to_string(),
        key_from,
        files_checked: log.files_checked,
        trusted_checkpoints_matched: log.trusted_matched,
        receipts_opened: None,
        receipts_erased: None,
    }
}

fn options(trusted: &[PathBuf], key: &VerifierKey) -> Result<VerifyOptions, Fault> {
    let mut options = VerifyOptions::default();
    for path in trusted {
        let checkpoint = Checkpoint::verify(read_text(path)?.as_bytes(), key)
            .map_err(|error| Fault::local(format!("{}: {error}", path.display())))?;
        options.trusted.push(TrustedTree::from(&checkpoint));
    }
    Ok(options)
}

pub(super) fn fault(error: &VerifyExportError) -> Fault {
    match error {
        VerifyExportError::Fault(found) => bad(found),
        VerifyExportError::Read(_) | VerifyExportError::Key(_) => Fault::local(error.to_string()),
    }
}

/// The ledger is not what its key signed: the answer is no.
fn bad(found: &LogFault) -> Fault {
    let intact = match found.first_bad_seq {
        Some(0) | None => "No entry is proven.".to_owned(),
        Some(sequence) => format!("The {sequence} entries before it are proven intact."),
    };
    Fault::denied(found.code(), found.to_string()).with_help(intact)
}
