use bailiwick_core::permission::Need;
use rstest::rstest;

use super::*;

fn set(dialect: Dialect, permissions: Result<Vec<Permission>, String>) -> PermissionSet {
    PermissionSet::new(dialect, permissions.unwrap()).unwrap()
}

fn can(set: &PermissionSet, need: &str) -> bool {
    set.permits(&need.parse::<Need>().unwrap())
}

const POLICY: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "read", "Effect": "Allow", "Action": ["s3:Get*", "s3:ListBucket"],
     "Resource": ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]},
    {"Effect": "Allow", "NotAction": "iam:*", "Resource": "arn:aws:sqs:*:*:jobs"},
    {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::home/${aws:username}/*",
     "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    {"Effect": "Deny", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::reports/*"},
    {"Effect": "Deny", "Action": "sqs:*", "Resource": "*", "Condition": {"Bool": {"x": "y"}}}
  ]}"#;

#[rstest]
#[case("s3:GetObject arn:aws:s3:::reports/q3", true)]
#[case("s3:GetObject arn:aws:s3:::payroll/q3", false)]
#[case("s3:ListBucket arn:aws:s3:::reports", true)]
#[case("s3:DeleteObject arn:aws:s3:::reports/q3", false)]
#[case("s3:PutObject arn:aws:s3:::home/gw/x", true)]
#[case("sqs:SendMessage arn:aws:sqs:eu:1:jobs", true)]
#[case("iam:PassRole arn:aws:sqs:eu:1:jobs", false)]
fn an_iam_policy_says_what_it_says(#[case] need: &str, #[case] is: bool) {
    assert_eq!(can(&set(Dialect::Aws, aws_iam::permissions(POLICY)), need), is);
}

#[rstest]
#[case(r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#, true)]
#[case(r#"{"Statement": {"Effect": "Allow", "Action": "s3:*"}}"#, false)]
#[case(
    r#"{"Statement": {"Effect": "Allow", "Action": "a", "NotAction": "b", "Resource": "*"}}"#,
    false
)]
#[case(r#"{"Statement": {"Effect": "Permit", "Action": "a", "Resource": "*"}}"#, false)]
#[case(
    r#"{"Statement": {"Effect": "Allow", "Action": "a", "Resource": "*", "Acton": "b"}}"#,
    false
)]
#[case(r#"{}"#, false)]
fn what_is_no_policy_is_refused(#[case] text: &str, #[case] is: bool) {
    assert_eq!(aws_iam::permissions(text).is_ok(), is);
}

#[test]
fn a_github_level_includes_those_below() {
    let text =
        r#"{"id": 1, "permissions": {"contents": "write", "metadata": "read", "issues": "none"}}"#;
    let set = set(Dialect::Github, github::permissions(text));
    assert!(
        can(&set, "contents:read") && can(&set, "contents:write") && can(&set, "metadata:read")
    );
    assert!(
        !can(&set, "contents:admin") && !can(&set, "metadata:write") && !can(&set, "issues:read")
    );
    assert!(github::permissions(r#"{"contents": "everything"}"#).is_err());
    assert!(github::permissions("[]").is_err());
    assert!(github::permissions(r#"{"contents": "read"}"#).is_ok());
}

#[test]
fn postgres_grants_are_read_from_csv_and_json() {
    let csv = "grantor,grantee,table_catalog,table_schema,table_name,privilege_type,is_grantable,with_hierarchy\n\
        postgres,tool,app,public,contact,SELECT,YES,YES\r\n\
        postgres,tool,app,public,contact,UPDATE,NO,NO\n\
        postgres,tool,app,public,\"odd,\"\"name\",INSERT,NO,NO\n\
        postgres,tool,app,public,a b,DELETE,NO,NO\n";
    let json = r#"[{"grantor":"postgres","table_schema":"public","table_name":"contact","privilege_type":"SELECT","is_grantable":"YES"}]"#;
    let (read, from_json) = (
        set(Dialect::Postgres, postgres::permissions(csv)),
        set(Dialect::Postgres, postgres::permissions(json)),
    );
    for set in [&read, &from_json] {
        assert!(can(set, "SELECT public.contact") && can(set, "GRANT:SELECT public.contact"));
        assert!(!can(set, "DELETE public.contact") && !can(set, "SELECT public.other"));
    }
    assert!(can(&read, "UPDATE public.contact") && !can(&from_json, "UPDATE public.contact"));
    assert!(can(&read, "INSERT public.odd,\"name"));
    assert!(can(&read, "DELETE public.a_b"));
    assert!(postgres::permissions("a,b\n1,2\n").is_err(), "no columns of ours");
    assert!(postgres::permissions("table_schema,table_name,privilege_type\npublic,x\n").is_err());
    assert!(postgres::permissions("table_schema,\"table_name").is_err());
}

#[test]
fn permissions_are_said_in_exactly_one_way() {
    let directory = tempfile::tempdir().unwrap();
    let scopes = directory.path().join("scopes");
    std::fs::write(&scopes, "crm.read\ncrm.write offline_access\n").unwrap();
    let of = |text: &str| {
        let text = text.replace("SCOPES", &format!("'{}'", scopes.display()));
        of(&toml::from_str(&text).unwrap())
    };
    let oauth = "[oauth]\ntoken_endpoint = 'x'\nclient_id = 'x'\nscopes = ['crm.read']\n";
    assert!(of("").unwrap_err().contains("say what the credential can do"));
    assert!(can(&of(oauth).unwrap(), "crm.read"));
    assert!(can(&of("permissions = ['crm.read', 'SELECT public.x']").unwrap(), "SELECT public.x"));
    assert!(can(&of("import = {oauth = SCOPES}").unwrap(), "offline_access"));
    assert!(of("permissions = []\nimport = {oauth = SCOPES}").is_err());
    assert!(of("import = {oauth = SCOPES, github = SCOPES}").is_err());
    assert!(of("import = {}").is_err());
    assert!(of("import = {oauth = '/nowhere'}").is_err());
    assert!(of("permissions = ['a b c']").is_err());
}
