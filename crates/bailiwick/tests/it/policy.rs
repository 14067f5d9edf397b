//! Policies from files.

use crate::run::Bench;

const POLICY: &str = r#"@id("let-alice-start")
permit(principal == Subject::"user:alice@dev.example", action == Action::"StartTask", resource);
"#;

const FIXTURES: &str = r#"
[[case]]
name = "alice starts"
act = "start_task"
expect = "allow"
determining = ["let-alice-start"]

[[case]]
name = "mallory does not"
act = "start_task"
facts.subject.id = "user:mallory@dev.example"
expect = "deny"
code = "policy_denied"
"#;

#[test]
fn the_default_pack_passes_its_own_fixtures() {
    let ran = Bench::new().run(&["policy", "test"]).exits(0);
    ran.says(" 0 failed");
}

#[test]
fn good_policies_pass_and_a_case_that_comes_out_otherwise_fails() {
    let bench = Bench::new();
    bench.write("p.cedar", POLICY);
    bench.write("t.toml", FIXTURES);
    let test = ["policy", "test", "--policies", "p.cedar", "t.toml"];
    bench.run(&test).exits(0).says("2 passed, 0 failed");
    bench.write("t.toml", &FIXTURES.replace("\"deny\"\ncode = \"policy_denied\"", "\"allow\""));
    let ran = bench.run(&test).exits(1).says("FAIL mallory does not");
    ran.complains("one case came out otherwise");
    bench.write("t.toml", &FIXTURES.replace("expect", "expcet"));
    bench.run(&test).exits(1).complains("expcet");
}

#[test]
fn a_policy_that_does_not_validate_is_pointed_at() {
    let bench = Bench::new();
    bench.write("p.cedar", POLICY);
    bench.run(&["policy", "check", "p.cedar"]).exits(0).says("let-alice-start");
    let json = bench.run(&["-o", "json", "policy", "check", "p.cedar"]).exits(0).json();
    assert_eq!(json["policies"][0]["effect"], "permit");
    bench.write("p.cedar", &POLICY.replace("Action::\"StartTask\"", "Action::\"StrtTask\""));
    let ran = bench.run(&["policy", "check", "p.cedar"]).exits(1);
    ran.complains("p.cedar:").complains("StrtTask");
    bench.write("p.cedar", "permit(principal, action, resource\n");
    bench.run(&["policy", "check", "p.cedar"]).exits(1).complains("p.cedar:");
    std::fs::create_dir(bench.path("none")).unwrap();
    bench.run(&["policy", "check", "none"]).exits(1).complains("no *.cedar files");
}

#[test]
fn an_answer_is_explained() {
    let bench = Bench::new();
    bench.run(&["policy", "schema"]).exits(0).says("StartTask");
    bench.write("q.json", "{\"act\": {\"kind\": \"start_task\"}}");
    bench
        .run(&["policy", "explain", "--inputs", "q.json"])
        .exits(1)
        .complains("there is nothing for policy to explain");
}
