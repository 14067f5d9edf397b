//! `token inspect` and `token verify`: nothing looks trusted that is not.

use crate::run::Bench;
use crate::tokens::{AUDIENCE, ISSUER, Issuer};

const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn verify(bench: &Bench, token: &str, more: &[&str]) -> crate::run::Ran {
    let mut args = vec!["token", "verify", token, "--jwks", "jwks.json", "--issuer", ISSUER];
    args.extend(more);
    bench.run(&args)
}

#[test]
fn inspect_never_says_verified() {
    let bench = Bench::new();
    bench.write("t", &Issuer::new().root(JKT, 60));
    let ran = bench.run(&["token", "inspect", "t"]).exits(0);
    let ran = ran.says("UNVERIFIED: no signature was checked").says("user:alice@a.example");
    assert!(!ran.out.replace("UNVERIFIED", "").contains("VERIFIED"));
    let json = bench.run(&["-o", "json", "token", "inspect", "t"]).exits(0).json();
    assert_eq!(json["verified"], false);
    let ran = bench.run_with_input(&["token", "inspect", "-"], &bench.read("t")).exits(0);
    ran.says("UNVERIFIED token");
    bench.write("bad", "not.a-token");
    bench.run(&["token", "inspect", "bad"]).exits(1).complains("not a compact JWS");
}

#[test]
fn verify_believes_the_issuers_key_and_no_other() {
    let bench = Bench::new();
    let issuer = Issuer::new();
    bench.write("jwks.json", &issuer.jwks());
    let token = issuer.root(JKT, 60);
    bench.write("t", &token);
    verify(&bench, "t", &[])
        .exits(0)
        .says("VERIFIED")
        .says("spiffe://a.example/agent/orchestrator");
    verify(&bench, "t", &["--audience", AUDIENCE]).exits(0);
    verify(&bench, "t", &["--audience", "https://other.example"])
        .exits(3)
        .complains("audience_mismatch");

    bench.write("forged", &Issuer::new().root(JKT, 60));
    verify(&bench, "forged", &[]).exits(3).complains("signature_invalid");

    let (input, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    bench.write("flipped", &format!("{input}.{flipped}{}", &signature[1..]));
    verify(&bench, "flipped", &[]).exits(3).complains("signature_invalid");

    bench.write("old", &issuer.root(JKT, -60));
    let error = bench
        .run(&["-o", "json", "token", "verify", "old", "--jwks", "jwks.json", "--issuer", ISSUER])
        .exits(3)
        .error_json();
    assert_eq!(error["code"], "expired");
    assert!(error["help"].is_string());

    let args = ["token", "verify", "t", "--jwks", "jwks.json", "--issuer", "https://b.example"];
    bench.run(&args).exits(3).complains("issuer_untrusted");
    bench.write("jwks.json", "{\"keys\": []}");
    verify(&bench, "t", &[]).exits(1).complains("no usable key");
}
