//! The command line is consistent, and the reference page is what it says of itself.

use super::*;
use clap::CommandFactory as _;
use std::fmt::Write as _;
use std::path::PathBuf;

const COLUMNS: usize = 96;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn docs_reference_cli_is_generated_from_the_command_line() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let expected = page();
    if std::env::var_os("BAILIWICK_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/reference/cli.md is stale; run: BAILIWICK_BLESS=1 cargo test -p bailiwick"
    );
}

fn page() -> String {
    let mut page = String::from(
        "# Command line\n\n\
         Results go to stdout, everything else to stderr. `-o json` prints one JSON document; a\n\
         fault is then one line of JSON on stderr, `{\"error\":{\"code\",\"message\",\"help\",…}}`.\n\n\
         | exit code | meaning |\n| --- | --- |\n\
         | 0 | done |\n\
         | 1 | a fault here: usage, a file, a key, a request that the server could not make sense of |\n\
         | 2 | a fault at the server or on the way; it failed closed |\n\
         | 3 | refused: by policy, by a limit, by a verification; the code is one of \
         [problems](../problems.md) or of the ledger's faults |\n\n\
         Secrets are never arguments and are never printed: tokens and keys are read from files or\n\
         standard input (`-`) and written to files of mode 0600. A private key that others can read\n\
         is refused.\n\n\
         This page is generated: `BAILIWICK_BLESS=1 cargo test -p bailiwick`.\n",
    );
    let mut root = Cli::command();
    root.build();
    let global: Vec<String> = root
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .map(|argument| argument.get_id().to_string())
        .collect();
    describe(&root, &global, &mut page);
    page
}

/// A section a verb; the global options are described once, at the root.
fn describe(command: &clap::Command, global: &[String], page: &mut String) {
    let is_root = command.get_name() == "bailiwick";
    let mut shown = command.clone().term_width(COLUMNS).mut_args(|argument| {
        let repeated = global.iter().any(|id| argument.get_id() == id.as_str()) && !is_root;
        let is_help = ["help", "version"].contains(&argument.get_id().as_str());
        argument.hide_env_values(true).hide(repeated || is_help)
    });
    let name = command.get_bin_name().unwrap_or("bailiwick").to_owned();
    let help: String = shown
        .render_long_help()
        .to_string()
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        describe(inner, global, page);
    }
}
