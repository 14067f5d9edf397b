//! House rules as code: `cargo xtask tidy`.

mod masked;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy [DIR]

tidy   checks the house rules: file and function length, crate purity and direction, names, clocks, leftovers";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("tidy"), dir, None) => tidy(dir.map_or_else(repository, PathBuf::from)),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

/// The repository this program was built from.
fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

fn tidy(root: PathBuf) -> ExitCode {
    let report = match tidy::run(&root) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("tidy: cannot read {}: {error}", root.display());
            return ExitCode::FAILURE;
        }
    };
    for finding in &report.findings {
        eprintln!("{finding}");
    }
    let (files, median, longest) = (report.files, report.median_lines, report.longest_lines);
    println!(
        "tidy: {files} Rust files, median {median} lines, longest {longest}; {} findings",
        report.findings.len()
    );
    if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
