//! AssumeRole: a session of the task, tagged with who is behind it.

use std::time::Duration;

use bailiwick_core::time::UnixMillis;
use bytes::Bytes;
use http::{Request, header};
use url::Url;

use super::super::client::{self, Answer};
use super::super::secret::{ConnectorFault, Secret};
use super::sigv4::{self, Payload, Signing};
use super::{Identity, RoleConfig, SessionOf};
use crate::carry::{ProvenanceTag, session_tags, source_identity};

/// The tag that differs from call to call.
const DECISION_TAG: &str = "bailiwick:decision";
/// Who is behind a session that belongs to no task.
const NOBODY: &str = "bailiwick-gateway";

/// What is asked of STS.
pub(super) struct Asking<'a> {
    pub(super) endpoint: &'a Url,
    pub(super) region: &'a str,
    pub(super) role: &'a RoleConfig,
    pub(super) policy: Option<&'a str>,
    pub(super) duration: Duration,
}

impl Asking<'_> {
    /// Assumes the role for a task.
    pub(super) async fn assume(
        &self,
        http: &reqwest::Client,
        base: &Identity,
        tag: Option<&ProvenanceTag>,
        now: UnixMillis,
    ) -> Result<Identity, ConnectorFault> {
        let body = Bytes::from(self.form(tag));
        let host = self.endpoint.host_str().unwrap_or_default();
        let host =
            self.endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let request = Request::post(self.endpoint.as_str())
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
            .body(())
            .map_err(|_| ConnectorFault("the STS endpoint is no URL".to_owned()))?;
        let (mut parts, ()) = request.into_parts();
        let signing = Signing { identity: base, region: self.region, service: "sts", now };
        sigv4::sign(&mut parts, &Payload::Known(&body), &signing)?;
        parts.headers.remove(header::HOST);
        let request = http.post(self.endpoint.clone()).headers(parts.headers).body(body);
        read(&client::send(request).await?)
    }

    fn form(&self, tag: Option<&ProvenanceTag>) -> String {
        let identity = tag.map_or_else(|| NOBODY.to_owned(), source_identity);
        let mut pairs = vec![
            ("Action".to_owned(), "AssumeRole".to_owned()),
            ("Version".to_owned(), "2011-06-15".to_owned()),
            ("RoleArn".to_owned(), self.role.arn.clone()),
            ("RoleSessionName".to_owned(), identity.clone()),
            ("DurationSeconds".to_owned(), self.duration.as_secs().to_string()),
        ];
        let mut put = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
        if let Some(id) = &self.role.external_id {
            put("ExternalId", id);
        }
        if let Some(policy) = self.policy {
            put("Policy", policy);
        }
        if self.role.source_identity {
            put("SourceIdentity", &identity);
        }
        if let Some(tag) = tag.filter(|_| self.role.session_tags) {
            let shared = self.role.session == SessionOf::Task;
            let tags = session_tags(tag).into_iter();
            // A shared session would name the first call's decision for all of them.
            let tags = tags.filter(|(key, _)| !(shared && *key == DECISION_TAG));
            for ((key, value), at) in tags.zip(1..) {
                put(&format!("Tags.member.{at}.Key"), key);
                put(&format!("Tags.member.{at}.Value"), &value);
            }
        }
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(pairs).finish()
    }
}

/// The session of an answer; what is wrong is told by AWS's own code, and nothing else of the text.
fn read(answer: &Answer) -> Result<Identity, ConnectorFault> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    if !answer.status.is_success() {
        let code = element(text, "Code").filter(|code| {
            code.len() <= 64
                && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        });
        let code = code.unwrap_or("no code");
        let status = answer.status.as_u16();
        return Err(ConnectorFault(format!("STS does not give a session: {status} ({code})")));
    }
    let session = element(text, "Credentials").and_then(|text| {
        let part = |name| element(text, name).filter(|part| is_plain(part));
        Some(Identity {
            access_key_id: part("AccessKeyId")?.to_owned(),
            secret_access_key: Secret::new(part("SecretAccessKey")?),
            session_token: Some(Secret::new(part("SessionToken")?)),
            until: None,
        })
    });
    session.ok_or_else(|| ConnectorFault("STS answered without a session".to_owned()))
}

/// The text of the first element with this name: base64 and names, which XML never escapes.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = after.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}

fn is_plain(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
    !text.is_empty() && text.bytes().all(plain)
}

#[cfg(test)]
mod tests;
