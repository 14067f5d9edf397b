//! Registry files: faults point at file and line, and nothing is sent.

use crate::run::Bench;

const GOOD: &str = r#"
[[owner]]
id = "team:payments"
name = "Payments"
contact = "payments@dev.example"
status = "active"
"#;

/// A port that nothing listens on: whatever gets there has passed all local checks.
const NOBODY: &str = "http://127.0.0.1:9";

fn apply(bench: &Bench, files: &[&str]) -> crate::run::Ran {
    let mut args = vec!["--server", NOBODY, "apply", "-f"];
    args.extend(files);
    bench.run(&args)
}

#[test]
fn good_files_are_sent() {
    let bench = Bench::new();
    bench.write("good.toml", GOOD);
    apply(&bench, &["good.toml"]).exits(2);
    bench.write(
        "good.json",
        r#"{"owner": [{"id": "team:a", "name": "A", "contact": "a@dev.example", "status": "active"}]}"#,
    );
    apply(&bench, &["good.toml", "good.json"]).exits(2);
}

#[test]
fn syntax_faults_name_file_and_line() {
    let bench = Bench::new();
    bench.write("bad.toml", "[[owner]]\nid = \"a\"\nname = \n");
    apply(&bench, &["bad.toml"]).exits(1).complains("bad.toml:3");
    bench.write("bad.json", "{\n \"owner\": [\n  {\"id\": }\n ]\n}");
    apply(&bench, &["bad.json"]).exits(1).complains("bad.json:3");
}

#[test]
fn unknown_keys_are_pointed_at_with_a_suggestion() {
    let bench = Bench::new();
    bench.write("slip.toml", &GOOD.replace("contact =", "contcat ="));
    let ran = apply(&bench, &["slip.toml"]).exits(1);
    ran.complains("contcat").complains("contact").complains("slip.toml:5");
    bench.write("slip.toml", &GOOD.replace("[[owner]]", "[[owners]]"));
    apply(&bench, &["slip.toml"]).exits(1).complains("owners").complains("`owner`");
}

#[test]
fn all_faults_are_reported_in_one_run_and_as_json() {
    let bench = Bench::new();
    let bad = GOOD.replace("status = \"active\"", "status = \"alive\"").replace("name =", "nmae =");
    bench.write("bad.toml", &bad);
    let args = ["--server", NOBODY, "-o", "json", "apply", "-f", "bad.toml"];
    let error = bench.run(&args).exits(1).error_json();
    let related = error["related"].as_array().expect("several faults");
    assert!(related.len() >= 2, "{error:#}");
    assert!(related.iter().all(|one| one["file"] == "bad.toml"), "{error:#}");
    assert!(related.iter().any(|one| one["line"] == 6), "{error:#}");
}

#[test]
fn an_empty_file_and_a_document_in_two_files_are_refused() {
    let bench = Bench::new();
    bench.write("empty.toml", "# nothing yet\n");
    apply(&bench, &["empty.toml"]).exits(1).complains("there is nothing in it");
    bench.write("a.toml", GOOD);
    bench.write("b.toml", GOOD);
    apply(&bench, &["a.toml", "b.toml"]).exits(1).complains("is also in a.toml");
    apply(&bench, &["gone.toml"]).exits(1).complains("cannot read gone.toml");
}
