//! `grant keygen` and `grant create`: offline, never wider, only with the right key.

use crate::run::{Bench, Ran};
use crate::tokens::Issuer;
use std::os::unix::fs::PermissionsExt as _;

const PAYEE: &str = "spiffe://a.example/agent/summarizer";

fn keygen(bench: &Bench, name: &str) -> String {
    let ran = bench.run(&["-o", "json", "grant", "keygen", "--out", name]).exits(0);
    ran.json()["thumbprint"].as_str().unwrap().to_owned()
}

/// A delegator with a key and a root token of one minute.
fn delegator() -> Bench {
    let bench = Bench::new();
    let jkt = keygen(&bench, "key");
    bench.write_private("dt0", &Issuer::new().root(&jkt, 60));
    bench
}

fn create(bench: &Bench, more: &[&str]) -> Ran {
    let mut args = vec!["-o", "json", "grant", "create", "--parent", "dt0", "--to", PAYEE];
    if !more.contains(&"--key") {
        args.extend(["--key", "key"]);
    }
    args.extend(["--out", "grant"]);
    args.extend(more);
    bench.run(&args)
}

#[test]
fn a_key_is_made_once_for_its_owner_only() {
    let bench = Bench::new();
    let ran = bench.run(&["grant", "keygen", "--out", "key"]).exits(0);
    assert!(!ran.out.contains("PRIVATE") && !ran.err.contains("PRIVATE"));
    assert_eq!(bench.path("key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    bench.run(&["grant", "keygen", "--out", "key"]).exits(1).complains("File exists");
    bench.run(&["grant", "keygen", "--out", "key2", "--algorithm", "p256"]).exits(0);
}

#[test]
fn a_narrower_grant_is_signed_and_says_what_it_hands_on() {
    let bench = delegator();
    let constraint = r#"{"key":"rows","max":500}"#;
    let made = create(&bench, &["--scope", "crm.read", "--constraint", constraint, "--ttl", "600"])
        .exits(0);
    assert!(!made.out.contains("eyJ"), "the grant itself is not printed");
    let made = made.json();
    assert_eq!(made["authority"]["scopes"], serde_json::json!(["crm.read"]));
    assert_eq!(made["authority"]["constraints"][0]["max"], 100, "the parent's bound holds");
    assert_eq!(made["depth"], 1);
    assert_eq!(bench.path("grant").metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let grant = bench.run(&["-o", "json", "token", "inspect", "grant"]).exits(0).json();
    let parent = bench.run(&["-o", "json", "token", "inspect", "dt0"]).exits(0).json();
    let (grant, parent) = (&grant["tokens"][0], &parent["tokens"][0]);
    assert_eq!(grant["kind"], "grant");
    assert_eq!(grant["claims"]["par_hash"], parent["signing_hash"]);
    assert_eq!(grant["claims"]["sub"], parent["claims"]["sub"]);
    assert_eq!(grant["claims"]["exp"], parent["claims"]["exp"], "never past the parent");
    assert!(grant["claims"].get("cnf").is_none(), "agent-bound");
}

#[test]
fn a_key_bound_grant_names_the_delegatees_key() {
    let bench = delegator();
    let jkt = keygen(&bench, "other");
    create(&bench, &["--to-key", &jkt]).exits(0).says("key-bound");
    let grant = bench.run(&["-o", "json", "token", "inspect", "grant"]).exits(0).json();
    assert_eq!(grant["tokens"][0]["claims"]["cnf"]["jkt"], jkt.as_str());
    create(&bench, &["--to-key", "short"]).exits(1).complains("not an RFC 7638 thumbprint");
}

#[test]
fn wider_wrong_key_and_expired_are_refused() {
    let bench = delegator();
    create(&bench, &["--scope", "crm.delete"]).exits(3).complains("not_narrower");
    create(&bench, &["--scope", "crm.read"]).exits(0);
    create(&bench, &["--constraint", "{\"key\":"]).exits(1).complains("not JSON");

    keygen(&bench, "other");
    create(&bench, &["--key", "other"]).exits(3).complains("holder_binding_failed");

    let jkt = keygen(&bench, "key3");
    std::fs::remove_file(bench.path("dt0")).unwrap();
    bench.write_private("dt0", &Issuer::new().root(&jkt, -1));
    create(&bench, &["--key", "key3"]).exits(3).complains("expired");

    std::fs::set_permissions(bench.path("key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    create(&bench, &[]).exits(1).complains("a private key that others can read");
}
