//! Policies from files and directories.

use crate::document::read_text;
use crate::fault::{Fault, Place};
use crate::secret::cannot;
use bailiwick_policy::{LoadError, LoadErrors, PolicySet, PolicySource, default_sources};
use clap::Args;
use miette::{LabeledSpan, NamedSource};
use std::path::{Path, PathBuf};

/// Which policies: files, or the default pack.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Cedar files, or directories of them; the default pack when absent
    #[arg(short, long, value_name = "FILE", num_args = 1)]
    policies: Vec<PathBuf>,
}

impl SetArgs {
    pub(super) fn is_default(&self) -> bool {
        self.policies.is_empty()
    }

    pub(super) fn sources(&self) -> Result<Vec<PolicySource>, Fault> {
        if self.is_default() { Ok(default_sources()) } else { read(&self.policies) }
    }
}

/// Reads files, and the `*.cedar` files of directories in the order of their names.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<PolicySource>, Fault> {
    let mut sources = Vec::new();
    for path in paths {
        for file in files(path)? {
            sources.push(PolicySource::new(file.display().to_string(), read_text(&file)?));
        }
    }
    if sources.is_empty() {
        return Err(Fault::local("no *.cedar files are there"));
    }
    Ok(sources)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| cannot("read", path, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| cannot("read", path, &error))?.path();
        if file.extension().is_some_and(|extension| extension == "cedar") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Validates the sources; every fault points at its line.
pub(super) fn load(sources: &[PolicySource]) -> Result<PolicySet, Fault> {
    PolicySet::load(sources).map_err(|errors| faults(sources, &errors))
}

fn faults(sources: &[PolicySource], errors: &LoadErrors) -> Fault {
    let mut faults: Vec<Fault> = errors.iter().map(|error| fault(sources, error)).collect();
    if faults.len() == 1 {
        return faults.remove(0);
    }
    Fault::local(format!("{} faults in the policies", faults.len())).with_related(faults)
}

fn fault(sources: &[PolicySource], error: &LoadError) -> Fault {
    let mut fault = Fault::local(&error.message);
    if let Some(source) = sources.iter().find(|source| source.name == error.file) {
        fault = fault.at(Place {
            source: NamedSource::new(&source.name, source.text.clone()),
            labels: vec![LabeledSpan::at_offset(
                offset(&source.text, error.line, error.column),
                "here",
            )],
        });
    }
    match &error.help {
        Some(help) => fault.with_help(help),
        None => fault,
    }
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let within: usize = rest.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    start.saturating_add(within).min(text.len())
}
