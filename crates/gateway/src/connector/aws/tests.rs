use http::Request;

use super::*;
use crate::connector::testing::{NOW, Vendor, private, tag};

const IDENTITY: &str =
    r#"{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"hunter2hunter2"}"#;

fn config(directory: &Path, role: &str) -> AwsConfig {
    let path = private(directory, "identity.json", IDENTITY);
    let text = format!(
        "region = 'us-east-1'\nservice = 's3'\namz_headers = ['x-amz-storage-class']\n\
         credentials = {{ file = '{path}' }}\n{role}"
    );
    toml::from_str(&text).unwrap()
}

fn parts() -> Parts {
    let request = Request::get("https://b.example/k").header("host", "b.example");
    let request =
        request.header("x-amz-acl", "public-read").header("x-amz-storage-class", "GLACIER");
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn what_only_a_signer_says_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let client = AwsClient::compile(&config(directory.path(), "")).unwrap();
    let mut parts = parts();
    client.sign(&mut parts, Some(&Bytes::new()), None, NOW).await.unwrap();
    assert!(!parts.headers.contains_key("x-amz-acl"));
    assert_eq!(parts.headers["x-amz-storage-class"], "GLACIER");
    let said = parts.headers["authorization"].to_str().unwrap();
    assert!(said.contains("host;x-amz-content-sha256;x-amz-date;x-amz-storage-class"), "{said}");
    let mut presigned = self::parts();
    presigned.uri = "https://b.example/k?X-Amz-Signature=abc".parse().unwrap();
    assert!(client.sign(&mut presigned, Some(&Bytes::new()), None, NOW).await.is_err());
}

#[tokio::test]
async fn a_session_is_assumed_once_a_task_and_agent_and_again_when_it_ends() {
    let vendor = Vendor::start(|_| {
        let body = "<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                    <SessionToken>hunter3hunter3</SessionToken></Credentials>";
        (200, body.to_owned())
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let role = format!(
        "[assume_role]\narn = 'arn:aws:iam::123456789012:role/r'\nduration_seconds = 900\n\
         sts_endpoint = '{}'\n",
        vendor.url
    );
    let client = AwsClient::compile(&config(directory.path(), &role)).unwrap();
    let at = |seconds: u64| UnixMillis(NOW.0 + seconds * 1000);
    let (first, mut other) = (tag(), tag());
    other.agents.push("spiffe://dev.bailiwick.example/agent/second".to_owned());
    for (tag, now, calls) in [(&first, 0, 1), (&first, 839, 1), (&other, 839, 2), (&first, 840, 3)]
    {
        let mut parts = parts();
        let echo = client.sign(&mut parts, Some(&Bytes::new()), Some(tag), at(now)).await.unwrap();
        assert_eq!(echo.unwrap().expose(), "hunter3hunter3");
        assert_eq!(parts.headers["x-amz-security-token"], "hunter3hunter3");
        assert_eq!(vendor.asked().len(), calls, "at {now}");
    }
    let asked = vendor.asked().remove(0);
    assert!(asked.contains("SourceIdentity=bailiwick-"), "{asked}");
    assert!(asked.contains("AWS4-HMAC-SHA256"), "signed with the gateway's own identity: {asked}");
    assert!(!asked.contains("hunter2"), "{asked}");
}

#[tokio::test]
async fn an_identity_that_has_ended_signs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "");
    let client = AwsClient::compile(&config).unwrap();
    let ends = |text: &str| {
        let text =
            IDENTITY.replace("\"Version\"", &format!("\"Expiration\":\"{text}\",\"Version\""));
        private(directory.path(), "identity.json", &text);
    };
    ends("2020-01-01T00:00:00Z");
    let told = client.sign(&mut parts(), Some(&Bytes::new()), None, NOW).await.unwrap_err();
    assert_eq!(told.to_string(), "the AWS identity has expired");
    ends("2099-01-01T00:00:00Z");
    assert!(client.sign(&mut parts(), Some(&Bytes::new()), None, NOW).await.is_ok());
    private(directory.path(), "identity.json", "{\"SecretAccessKey\":\"hunter2\"");
    let told = client.sign(&mut parts(), Some(&Bytes::new()), None, NOW).await.unwrap_err();
    assert!(!told.to_string().contains("hunter2"), "{told}");
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let faults =
        |role: &str| AwsClient::compile(&config(directory.path(), role)).err().unwrap_or_default();
    assert!(faults("").is_empty());
    assert!(faults("[assume_role]\narn = 'arn:aws:iam::1:role/r'\n").is_empty());
    for role in [
        "[assume_role]\narn = 'r'\n",
        "[assume_role]\narn = 'arn:aws:iam::1:role/r'\nduration_seconds = 60\n",
        "[assume_role]\narn = 'arn:aws:iam::1:role/r'\nsts_endpoint = 'http://sts.example/'\n",
        "[assume_role]\narn = 'arn:aws:iam::1:role/r'\nsession_policy = '/nowhere'\n",
    ] {
        assert_eq!(faults(role).len(), 1, "{role}");
    }
}
