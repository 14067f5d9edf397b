use bytes::Bytes;
use http::StatusCode;

use super::*;
use crate::connector::testing::tag;

fn role(session: SessionOf) -> RoleConfig {
    RoleConfig {
        arn: "arn:aws:iam::123456789012:role/reports".to_owned(),
        sts_endpoint: None,
        duration_seconds: None,
        external_id: Some("x&y".to_owned()),
        session_policy: None,
        session_tags: true,
        source_identity: true,
        session,
    }
}

fn form(session: SessionOf, tag: Option<&ProvenanceTag>) -> Vec<(String, String)> {
    let endpoint = "https://sts.us-east-1.amazonaws.com/".parse().unwrap();
    let role = role(session);
    let duration = Duration::from_secs(900);
    let asking = Asking {
        endpoint: &endpoint,
        region: "us-east-1",
        role: &role,
        policy: Some("{}"),
        duration,
    };
    url::form_urlencoded::parse(asking.form(tag).as_bytes()).into_owned().collect()
}

fn value<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_session_says_who_is_behind_it() {
    let tag = tag();
    let form = form(SessionOf::Task, Some(&tag));
    let identity = value(&form, "SourceIdentity").unwrap();
    assert_eq!(identity, format!("bailiwick-{}", tag.task));
    assert!(identity.len() <= 64);
    assert_eq!(value(&form, "RoleSessionName"), Some(identity));
    assert_eq!(value(&form, "ExternalId"), Some("x&y"));
    assert_eq!(value(&form, "DurationSeconds"), Some("900"));
    let tags: Vec<&str> =
        (1..=5).filter_map(|at| value(&form, &format!("Tags.member.{at}.Key"))).collect();
    assert_eq!(
        tags,
        ["bailiwick:task", "bailiwick:subject", "bailiwick:agent", "bailiwick:workflow"],
        "and not the decision: the session has many"
    );
    let form = self::form(SessionOf::Call, Some(&tag));
    assert_eq!(value(&form, "Tags.member.2.Key"), Some("bailiwick:decision"));
    let form = self::form(SessionOf::Task, None);
    assert_eq!(value(&form, "SourceIdentity"), Some("bailiwick-gateway"));
    assert_eq!(value(&form, "Tags.member.1.Key"), None);
}

#[test]
fn an_answer_is_read_and_a_refusal_told_by_its_code_alone() {
    let answer = |status: u16, text: &str| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        body: Bytes::copy_from_slice(text.as_bytes()),
    };
    let good = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
        <SecretAccessKey>s/+e=</SecretAccessKey><SessionToken>t/+o=</SessionToken>\
        <Expiration>2026-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let session = read(&answer(200, good)).unwrap();
    assert_eq!(session.access_key_id, "ASIA1");
    assert_eq!(session.session_token.unwrap().expose(), "t/+o=");
    let refused = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>hunter2</Message></Error></ErrorResponse>";
    let told = read(&answer(403, refused)).err().unwrap().to_string();
    assert!(told.contains("403 (AccessDenied)") && !told.contains("hunter2"), "{told}");
    for bad in ["", "<Credentials></Credentials>", &good.replace("s/+e=", "s&amp;e")] {
        assert!(read(&answer(200, bad)).is_err(), "{bad}");
    }
}
