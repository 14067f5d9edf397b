use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::json;

use super::*;

fn need(text: &str) -> Need {
    text.parse().unwrap()
}

fn set(value: serde_json::Value) -> PermissionSet {
    serde_json::from_value(json!({"dialect": "aws", "permissions": value})).unwrap()
}

fn reports() -> PermissionSet {
    set(json!([
        {"actions": ["s3:Get*", "s3:PutObject", "s3:DeleteObject"], "resources": ["arn:aws:s3:::reports/*"]},
        {"actions": ["*"], "except_actions": ["iam:*"], "resources": ["arn:aws:sqs:::jobs"]},
        {"effect": "deny", "actions": ["s3:DeleteObject"]},
        {"effect": "deny", "actions": ["sqs:*"], "conditional": true},
    ]))
}

#[rstest]
#[case("s3:GetObject", true)]
#[case("S3:getobject", true)]
#[case("s3:GetObject arn:aws:s3:::reports/2026/q3.csv", true)]
#[case("s3:GetObject arn:aws:s3:::payroll/2026/q3.csv", false)]
#[case("s3:DeleteObject arn:aws:s3:::reports/x", false)]
#[case("sqs:SendMessage arn:aws:sqs:::jobs", true)]
#[case("iam:PassRole arn:aws:sqs:::jobs", false)]
#[case("ec2:RunInstances arn:aws:ec2:::x", false)]
fn a_credential_can_do_what_it_says(#[case] text: &str, #[case] can: bool) {
    assert_eq!(reports().permits(&need(text)), can);
}

#[test]
fn a_denial_on_some_resources_takes_nothing_from_a_need_that_names_none() {
    let set = set(json!([
        {"actions": ["s3:GetObject"]},
        {"effect": "deny", "actions": ["s3:*"], "resources": ["arn:aws:s3:::secret/*"]},
    ]));
    assert!(set.permits(&need("s3:GetObject")));
    assert!(set.permits(&need("s3:GetObject arn:aws:s3:::open/a")));
    assert!(!set.permits(&need("s3:GetObject arn:aws:s3:::secret/a")));
}

#[test]
fn case_matters_except_to_aws() {
    let permissions = vec![Permission::of(need("Contacts.Read"))];
    let plain = PermissionSet::new(Dialect::Oauth, permissions.clone()).unwrap();
    assert!(!plain.permits(&need("contacts.read")));
    assert!(plain.permits(&need("Contacts.Read")));
    assert!(PermissionSet::new(Dialect::Aws, permissions).unwrap().permits(&need("contacts.read")));
}

#[test]
fn every_line_says_how_it_stands() {
    let used = BTreeMap::from([
        (need("s3:GetObject arn:aws:s3:::reports/a"), 3),
        (need("s3:GetObject arn:aws:s3:::reports/b"), 1),
    ]);
    let at = "arn:aws:s3:::reports/a";
    let declared = [need(&format!("s3:GetObject {at}")), need(&format!("s3:PutObject {at}"))];
    let lines = reports().compare(&used, &declared);
    let standing: Vec<(&str, Standing)> =
        lines.iter().map(|line| (line.action.as_str(), line.standing)).collect();
    assert_eq!(
        standing,
        [
            ("s3:Get*", Standing::Wider),
            ("s3:PutObject", Standing::Unused),
            ("*", Standing::Unneeded)
        ],
        "and s3:DeleteObject is denied, so that it is no line"
    );
    assert_eq!(lines[0].used.values().sum::<u64>(), 4);
    assert_eq!(lines[2].except_actions, ["iam:*"]);
}

#[rstest]
#[case(&["SELECT public.contact"], Standing::Used)]
#[case(&["SELECT"], Standing::Used)]
#[case(&["SELECT public.other"], Standing::Unneeded)]
#[case(&[], Standing::Unneeded)]
fn a_plain_line_is_used_by_what_it_names(#[case] used: &[&str], #[case] standing: Standing) {
    let permissions = vec![Permission::of(need("SELECT public.contact"))];
    let set = PermissionSet::new(Dialect::Postgres, permissions).unwrap();
    let used = used.iter().map(|text| (need(text), 1)).collect();
    assert_eq!(set.compare(&used, &[])[0].standing, standing);
}

#[test]
fn resources_that_nobody_touched_make_a_line_wider() {
    let permission = Permission {
        actions: vec!["s3:GetObject".to_owned()],
        resources: vec!["a".to_owned(), "b".to_owned()],
        ..Permission::default()
    };
    let set = PermissionSet::new(Dialect::Aws, vec![permission]).unwrap();
    let standing = |used: &[&str]| {
        let used = used.iter().map(|text| (need(text), 1)).collect();
        set.compare(&used, &[])[0].standing
    };
    assert_eq!(standing(&["s3:GetObject a"]), Standing::Wider);
    assert_eq!(standing(&["s3:GetObject a", "s3:GetObject b"]), Standing::Used);
    assert_eq!(standing(&["s3:GetObject"]), Standing::Used, "nobody said what it was done to");
}

#[test]
fn a_declaration_that_is_less_than_what_was_done_is_found() {
    let used = [need("s3:GetObject"), need("ec2:RunInstances")];
    let unmet: Vec<String> = reports().unmet(&used).into_iter().map(Need::to_string).collect();
    // `*` on one queue could be ec2:RunInstances as far as anybody said; on an instance it is not.
    assert!(unmet.is_empty());
    let used = [need("ec2:RunInstances arn:aws:ec2:::i")];
    assert_eq!(reports().unmet(&used).len(), 1);
}

#[test]
fn what_is_no_permission_is_refused_and_its_twin_taken() {
    for bad in ["", "  ", "a b c", "a\u{0}b"] {
        assert!(bad.parse::<Need>().is_err(), "{bad:?}");
    }
    assert!("x".repeat(PERMISSION_TEXT_BYTES_MAX + 1).parse::<Need>().is_err());
    assert_eq!(need(" SELECT   public.contact ").to_string(), "SELECT public.contact");
    let many = vec![Permission::of(need("a")); PERMISSION_LINES_MAX + 1];
    assert_eq!(PermissionSet::new(Dialect::Plain, many), Err(PermissionError::Many));
    assert!(PermissionSet::new(Dialect::Plain, vec![Permission::default()]).is_err());
    let read: Result<PermissionSet, _> =
        serde_json::from_value(json!({"dialect": "plain", "permissions": [{"actions": ["a b"]}]}));
    assert!(read.is_err());
    let kept = reports();
    let again: PermissionSet =
        serde_json::from_value(serde_json::to_value(&kept).unwrap()).unwrap();
    assert_eq!(again, kept);
}
