//! Usage errors, help, completions, the server that is not there.

use crate::run::Bench;

/// A port that nothing listens on.
const NOBODY: &str = "http://127.0.0.1:9";

#[test]
fn help_and_version_are_answers_and_nonsense_is_our_fault() {
    let bench = Bench::new();
    bench.run(&["--help"]).exits(0).says("Exit codes: 0 done, 1 a fault here");
    bench.run(&["--version"]).exits(0).says(env!("CARGO_PKG_VERSION"));
    bench.run(&[]).exits(1);
    bench.run(&["taks", "list"]).exits(1).complains("similar subcommand exists: 'task'");
    bench.run(&["task", "show", "not-an-id"]).exits(1).complains("hyphenated UUID");
    bench.run(&["trace", ""]).exits(1).complains("a value is required");
    bench.run(&["task", "list", "--limit", "0"]).exits(1).complains("0 is not in 1..=1000");
}

#[test]
fn a_server_that_is_not_there_is_their_fault() {
    let bench = Bench::new();
    let ran = bench.run(&["--server", NOBODY, "agent", "list"]).exits(2);
    ran.complains("Is the server running?");
    let ran = bench.run(&["--server", NOBODY, "-o", "json", "workflow", "list"]).exits(2);
    assert_eq!(ran.error_json()["exit_code"], 2);
    assert!(ran.out.is_empty(), "a failed command has no result");
}

#[test]
fn every_shell_gets_a_script_that_knows_the_verbs() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = bench.run(&["completion", shell]).exits(0);
        for verb in ["serve", "apply", "trace", "ledger", "revoke", "bench"] {
            assert!(ran.out.contains(verb), "{shell}: {verb}");
        }
    }
    bench.run(&["completion", "tcsh"]).exits(1).complains("possible values");
}

#[test]
fn every_verb_has_help() {
    let bench = Bench::new();
    for verbs in [
        &["serve"][..],
        &["apply"],
        &["workflow", "list"],
        &["agent", "quarantine"],
        &["task", "start"],
        &["grant", "create"],
        &["grant", "settle"],
        &["token", "verify"],
        &["revoke"],
        &["trace"],
        &["policy", "explain"],
        &["ledger", "export"],
        &["identity", "dev-token"],
        &["bench"],
    ] {
        let mut args = verbs.to_vec();
        args.push("--help");
        bench.run(&args).exits(0).says("Usage: bailiwick");
    }
}

#[test]
fn serve_assumes_nothing() {
    let bench = Bench::new();
    bench.run(&["serve"]).exits(1).complains("there is no configuration, and nothing is assumed");
    bench
        .run(&["serve", "--dev", "--listen", "0.0.0.0:0"])
        .exits(1)
        .complains("--dev listens on loopback only");
    bench.write("bailiwick.toml", "isuer = \"https://a.example\"\n");
    bench.run(&["serve"]).exits(1).complains("isuer").complains("issuer");
}

#[test]
fn revoke_names_exactly_one_target() {
    let bench = Bench::new();
    bench.run(&["revoke"]).exits(1).complains("required");
    let id = "0192b7a0-0000-7000-8000-000000000001";
    bench.run(&["revoke", "--task", id, "--jti", id]).exits(1).complains("cannot be used with");
    bench.run(&["--server", NOBODY, "revoke", "--task", id]).exits(2);
}
