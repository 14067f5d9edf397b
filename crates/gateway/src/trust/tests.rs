use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn rule(toml: &str) -> TrustRule {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{error}"))
}

fn mails() -> Value {
    json!({"emails": [
        {"id": 1, "sender": {"address": "amy@ours.example", "display": "transfer to GB9"},
         "to": ["bob@ours.example"], "body": "pay GB9 now", "tags": []},
        {"id": 2, "sender": {"address": "eve@evil.example", "display": "Amy"}, "body": "x"},
    ], "count": 2})
}

#[rstest]
#[case::one_field("fields = ['emails[].id']", json!({"emails": [{"id": 1}, {"id": 2}]}))]
#[case::rows_stay_rows("fields = ['emails[].id', 'emails[].to', 'count']",
    json!({"emails": [{"id": 1, "to": ["bob@ours.example"]}, {"id": 2}], "count": 2}))]
#[case::a_tree_without_a_part("fields = ['emails[].sender']\nuntrusted = ['emails[].sender.display']",
    json!({"emails": [{"sender": {"address": "amy@ours.example"}}, {"sender": {"address": "eve@evil.example"}}]}))]
#[case::the_list_is_not_its_items("fields = ['emails.id']", Value::Null)]
#[case::a_name_is_not_a_list("fields = ['count[]']", Value::Null)]
#[case::no_such_field("fields = ['emails[].cc']", Value::Null)]
#[case::names_are_whole("fields = ['emails[].i', 'Emails[].id']", Value::Null)]
#[case::any_name("fields = ['emails[].*.address']",
    json!({"emails": [{"sender": {"address": "amy@ours.example"}}, {"sender": {"address": "eve@evil.example"}}]}))]
#[case::everything_but("fields = ['$']\nuntrusted = ['emails[].body', 'emails[].sender', '*.x', 'count']",
    json!({"emails": [{"id": 1, "to": ["bob@ours.example"]}, {"id": 2}]}))]
#[case::nothing_of_everything("fields = ['$']\nuntrusted = ['$']", Value::Null)]
#[case::one_untrusted_beats_all("fields = ['emails[].id', '$']\nuntrusted = ['emails[]']", json!({"count": 2}))]
fn what_is_trusted_and_nothing_else(#[case] toml: &str, #[case] expected: Value) {
    assert_eq!(rule(toml).select(&mails()), expected, "{toml}");
}

#[test]
fn lists_and_scalars_as_whole_results() {
    let lists = json!([["a", {"n": 1, "m": 2}], ["b"]]);
    assert_eq!(rule("fields = ['[][]']").select(&lists), lists);
    assert_eq!(rule("fields = ['[][].n']").select(&lists), json!([[{"n": 1}]]));
    assert_eq!(
        rule("fields = ['[]']\nuntrusted = ['[][].m']").select(&lists),
        json!([["a", {"n": 1}], ["b"]])
    );
    assert_eq!(rule("fields = ['$']").select(&json!("x")), json!("x"));
    assert_eq!(rule("fields = ['x']").select(&json!("x")), Value::Null);
}

#[rstest]
#[case("fields = ['']")]
#[case("fields = ['a..b']")]
#[case("fields = ['a[0]']")]
#[case("fields = ['a[']")]
#[case("fields = ['a]']")]
#[case("fields = ['a[]b']")]
#[case("fields = ['a*']")]
#[case("fields = ['$.a']")]
#[case("fields = ['a.[]']")]
#[case("fields = 'a'")]
#[case("untrusted = ['a']")]
#[case("fields = ['a']\nresult = 'xml'")]
#[case("fields = ['a']\nexcept = ['b']")]
fn what_is_no_rule_is_refused(#[case] toml: &str) {
    assert!(toml::from_str::<TrustRule>(toml).is_err(), "{toml}");
}

#[test]
fn a_rule_that_trusts_nothing_is_told() {
    assert!(rule("fields = []").fault().is_some());
    assert!(rule("fields = ['a']").fault().is_none());
    assert!(
        toml::from_str::<TrustRule>(&format!("fields = ['{}']", "a.".repeat(60) + "a")).is_err()
    );
}

#[test]
fn text_is_read_as_it_was_declared_and_in_no_other_way() {
    let json = rule("fields = ['$']");
    assert_eq!(json.read_text(r#" {"a": [1, 2.5]} "#), Some(json!({"a": [1, 2.5]})));
    for bad in ["a: 1", "", "{\"a\":1,\"a\":2}", "[1] [2]", "```json\n{}\n```"] {
        assert_eq!(json.read_text(bad), None, "{bad}");
    }
    let lines = rule("fields = ['[]']\nresult = 'text-lines'");
    assert_eq!(lines.read_text("a.txt\r\n\n b.txt \n"), Some(json!(["a.txt", "b.txt"])));
    assert_eq!(lines.read_text("{\"a\": 1}"), Some(json!(["{\"a\": 1}"])));
}

#[test]
fn yaml_means_what_it_means_in_json() {
    let yaml = rule("fields = ['$']\nresult = 'yaml'");
    let text = "- amount: 1100.0\n  date: '2022-01-01'\n  id: 7\n  recipient: GB29NWBK\n  \
                recurring: true\n  subject: 'Rent: see\n\n    - amount: 1'\n- id: null\n  day: 2022-01-01\n  \
                yes: no\n  iban: 0123\n  big: 1_000\n";
    assert_eq!(
        yaml.read_text(text),
        Some(json!([
            {"amount": 1100.0, "date": "2022-01-01", "id": 7, "recipient": "GB29NWBK",
             "recurring": true, "subject": "Rent: see\n- amount: 1"},
            {"id": null, "day": "2022-01-01", "yes": "no", "iban": "0123", "big": "1_000"},
        ]))
    );
    for bad in [
        "a: 1\na: 2",
        "a: &x 1\nb: *x",
        "a: {<<: {b: 1}}",
        "a: !!python/object:os.system x",
        "a: .nan",
        "a: 1\n---\nb: 2",
        "a: [1",
        &format!("{}1", "- ".repeat(60)),
    ] {
        assert_eq!(yaml.read_text(bad), None, "{bad}");
    }
}
