//! The house rules, each in its own function, over the files of the repository.

mod crates;
mod rust;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::masked::Masked;

/// Directories that are never part of the repository.
const SKIPPED: [&str; 6] = ["target", "node_modules", "__pycache__", "dist", "build", "venv"];

/// Hidden directories that are.
const HIDDEN: [&str; 3] = [".ci", ".cargo", ".github"];

/// Largest file that is looked at.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative path.
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    /// Name of the rule.
    pub(crate) rule: &'static str,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.message)
    }
}

/// What a run saw.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Broken rules, in order of path.
    pub(crate) findings: Vec<Finding>,
    /// Rust files that are not tests.
    pub(crate) files: usize,
    /// Their median length, tests left out.
    pub(crate) median_lines: usize,
    /// Length of the longest.
    pub(crate) longest_lines: usize,
}

/// One text file.
pub(crate) struct SourceFile {
    /// Relative path with forward slashes.
    pub(crate) path: String,
    /// Content.
    pub(crate) text: String,
}

impl SourceFile {
    /// Whether the whole file is test, bench or example code.
    pub(crate) fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        let outside_src = ["tests", "benches", "examples", "fuzz", "testdata"];
        parts.iter().any(|part| outside_src.contains(part)) || self.path.ends_with("/tests.rs")
    }

    /// The crate directory it is in, as `crates/core` or `xtask`.
    pub(crate) fn in_crate(&self, name: &str) -> Option<&str> {
        self.path.strip_prefix("crates/")?.strip_prefix(name)?.strip_prefix("/src/")
    }
}

/// Collects findings of one file.
pub(crate) struct Findings<'a> {
    path: &'a str,
    found: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    /// Adds a finding.
    pub(crate) fn add(&mut self, line: usize, rule: &'static str, message: impl Into<String>) {
        let (path, message) = (self.path.to_owned(), message.into());
        self.found.push(Finding { path, line, rule, message });
    }
}

/// Checks every file under `root`.
///
/// # Errors
/// Files that cannot be read.
pub(crate) fn run(root: &Path) -> io::Result<Report> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut report = Report::default();
    let mut lengths = Vec::new();
    for file in &files {
        let mut found = Findings { path: &file.path, found: &mut report.findings };
        text::check(file, &mut found);
        crates::check_manifest(file, &mut found);
        if file.path.ends_with(".rs") {
            let masked = Masked::new(&file.text);
            rust::check(file, &masked, &mut found);
            crates::check_source(file, &masked, &mut found);
            if !file.is_test() {
                lengths.push(masked.product_lines());
            }
        }
    }
    report.findings.sort();
    report.findings.dedup();
    lengths.sort_unstable();
    report.files = lengths.len();
    report.median_lines = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    report.longest_lines = lengths.last().copied().unwrap_or(0);
    Ok(report)
}

fn walk(directory: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !hidden && !SKIPPED.contains(&name.as_str()) && !name.ends_with(".egg-info") {
                walk(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file() && !hidden && entry.metadata()?.len() <= FILE_BYTES_MAX {
            // What is not UTF-8 is not source.
            if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
                files.push(SourceFile { path, text });
            }
        }
    }
    Ok(())
}
