//! One exchange: URL, credentials, nonce, bounded reply, refusal.

use super::{Client, ClientError, ProofRequest, ProofSigner, REPLY_BYTES_MAX};
use crate::oauth::OAuthError;
use crate::problem::Problem;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

/// A request's body.
pub(super) enum Body<'a> {
    Json(&'a serde_json::Value),
    Form(&'a [(&'static str, String)]),
}

/// A successful reply, read to its end.
pub(super) struct Reply {
    url: String,
    status: u16,
    bytes: Vec<u8>,
}

impl Reply {
    pub(super) fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.bytes).map_err(|fault| ClientError::Unexpected {
            url: self.url,
            status: self.status,
            what: fault.to_string(),
        })
    }

    pub(super) fn text(self) -> Result<String, ClientError> {
        String::from_utf8(self.bytes).map_err(|_| ClientError::Unexpected {
            url: self.url,
            status: self.status,
            what: "not UTF-8".to_owned(),
        })
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Client {
    /// The URL of a path given as segments, which are percent-encoded.
    pub(super) fn url(&self, segments: &[&str]) -> Result<Url, ClientError> {
        extend(&self.base, segments)
    }

    pub(super) async fn get<Q: Serialize + Sync>(
        &self,
        segments: &[&str],
        query: &Q,
    ) -> Result<Reply, ClientError> {
        let mut url = self.url(segments)?;
        set_query(&mut url, query)?;
        let request = self.with_credentials(self.http.get(url.clone()))?;
        finish(send(request, &url).await?, &url).await
    }

    pub(super) async fn post<Q: Serialize + Sync, B: Serialize + Sync>(
        &self,
        segments: &[&str],
        query: &Q,
        body: &B,
    ) -> Result<Reply, ClientError> {
        let mut url = self.url(segments)?;
        set_query(&mut url, query)?;
        let request = self.with_credentials(self.http.post(url.clone()).json(body))?;
        finish(send(request, &url).await?, &url).await
    }

    pub(super) async fn post_form<B: Serialize + Sync>(
        &self,
        segments: &[&str],
        form: &B,
    ) -> Result<Reply, ClientError> {
        let url = self.url(segments)?;
        let request = self.with_credentials(self.http.post(url.clone()).form(form))?;
        finish(send(request, &url).await?, &url).await
    }

    pub(super) fn with_credentials(
        &self,
        request: RequestBuilder,
    ) -> Result<RequestBuilder, ClientError> {
        match &self.bearer {
            Some(bearer) => Ok(request.bearer_auth(bearer()?)),
            None => Ok(request),
        }
    }

    /// Posts with a DPoP proof; signs again, once, if the server asks for its nonce.
    pub(super) async fn post_with_proof(
        &self,
        segments: &[&str],
        body: Body<'_>,
        headers: HeaderMap,
        signer: &dyn ProofSigner,
        access_token: Option<&str>,
    ) -> Result<Reply, ClientError> {
        let url = self.url(segments)?;
        let htu = match &self.issuer {
            Some(issuer) => extend(issuer, segments)?,
            None => url.clone(),
        };
        let mut asked_again = false;
        loop {
            let nonce = self.nonce.lock().ok().and_then(|held| held.clone());
            let proof = signer.sign_proof(&ProofRequest {
                method: "POST",
                url: htu.as_str(),
                access_token,
                nonce: nonce.as_deref(),
            })?;
            let request = match &body {
                Body::Json(value) => self.http.post(url.clone()).json(value),
                Body::Form(pairs) => self.http.post(url.clone()).form(pairs),
            };
            let request = request.headers(headers.clone()).header("DPoP", proof);
            let response = send(request, &url).await?;
            let fresh = self.keep_nonce(&response);
            let challenged = challenges_for_nonce(response.headers());
            match finish(response, &url).await {
                Err(fault) if fresh && !asked_again && (challenged || asks_for_nonce(&fault)) => {
                    asked_again = true;
                }
                other => return other,
            }
        }
    }

    fn keep_nonce(&self, response: &Response) -> bool {
        let Some(nonce) = response.headers().get("DPoP-Nonce").and_then(|v| v.to_str().ok()) else {
            return false;
        };
        if let Ok(mut held) = self.nonce.lock() {
            *held = Some(nonce.to_owned());
        }
        true
    }
}

/// A resource asks in a challenge (RFC 9449 §9), the token endpoint in its error (§8).
fn challenges_for_nonce(headers: &HeaderMap) -> bool {
    headers
        .get_all(reqwest::header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|challenge| challenge.contains("use_dpop_nonce"))
}

fn asks_for_nonce(fault: &ClientError) -> bool {
    matches!(fault.code(), Some("use_dpop_nonce"))
}

/// A header map with one secret header.
pub(super) fn secret_header(name: &'static str, value: &str) -> Result<HeaderMap, ClientError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| super::CredentialError(format!("the {name} header cannot hold this token")))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
}

fn extend(base: &Url, segments: &[&str]) -> Result<Url, ClientError> {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| ClientError::BadBase(base.to_string()))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// Appends a flat struct of scalars as the query; absent members are left out.
pub(super) fn set_query<Q: Serialize>(url: &mut Url, query: &Q) -> Result<(), ClientError> {
    let value = serde_json::to_value(query).map_err(|fault| ClientError::Unexpected {
        url: url.to_string(),
        status: 0,
        what: fault.to_string(),
    })?;
    let Some(members) = value.as_object().filter(|members| !members.is_empty()) else {
        return Ok(());
    };
    let mut pairs = url.query_pairs_mut();
    for (name, member) in members {
        match member {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => {
                pairs.append_pair(name, text);
            }
            other => {
                pairs.append_pair(name, &other.to_string());
            }
        }
    }
    Ok(())
}

pub(super) async fn send(request: RequestBuilder, url: &Url) -> Result<Response, ClientError> {
    request.send().await.map_err(|source| transport(source, url))
}

pub(super) fn transport(source: reqwest::Error, url: &Url) -> ClientError {
    ClientError::Transport { url: url.to_string(), source: source.without_url() }
}

/// Reads the reply to its end, within bounds, and turns a refusal into its error.
pub(super) async fn finish(mut response: Response, url: &Url) -> Result<Reply, ClientError> {
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|source| transport(source, url))? {
        if bytes.len().saturating_add(chunk.len()) > REPLY_BYTES_MAX {
            return Err(ClientError::Unexpected {
                url: url.to_string(),
                status: status.as_u16(),
                what: format!("the reply is larger than {REPLY_BYTES_MAX} bytes"),
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(Reply { url: url.to_string(), status: status.as_u16(), bytes });
    }
    Err(refusal(status.as_u16(), &bytes, url))
}

fn refusal(status: u16, bytes: &[u8], url: &Url) -> ClientError {
    if let Ok(problem) = serde_json::from_slice::<Problem>(bytes) {
        return ClientError::Problem(Box::new(problem));
    }
    if let Ok(error) = serde_json::from_slice::<OAuthError>(bytes) {
        return ClientError::OAuth { status, error: Box::new(error) };
    }
    let excerpt: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
    ClientError::Unexpected { url: url.to_string(), status, what: excerpt }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_core::outcome::Outcome;

    #[test]
    fn segments_are_encoded_and_query_leaves_out_what_is_absent() {
        let base: Url = "http://127.0.0.1:8420/root/?x=1".parse().unwrap();
        let mut url =
            extend(&base, &["v1", "agents", "spiffe://dev.example/agent/a b", "keys"]).unwrap();
        set_query(&mut url, &serde_json::json!({"limit": 5, "state": "open", "cursor": null}))
            .unwrap();
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:8420/root/v1/agents/spiffe:%2F%2Fdev.example%2Fagent%2Fa%20b/keys\
             ?limit=5&state=open"
        );
    }

    #[test]
    fn a_refusal_is_told_from_a_broken_reply() {
        let url: Url = "http://127.0.0.1/".parse().unwrap();
        let problem = serde_json::to_vec(&Problem::new(Outcome::PolicyDenied, "no")).unwrap();
        assert_eq!(refusal(403, &problem, &url).code(), Some("policy_denied"));
        let oauth = serde_json::to_vec(&OAuthError::new(Outcome::Expired, "old")).unwrap();
        assert_eq!(refusal(400, &oauth, &url).code(), Some("expired"));
        assert!(asks_for_nonce(&refusal(
            400,
            &serde_json::to_vec(&OAuthError::use_dpop_nonce()).unwrap(),
            &url
        )));
        assert_eq!(refusal(502, b"<html>", &url).code(), None);
        let challenge = |text: &'static str| {
            HeaderMap::from_iter([(
                reqwest::header::WWW_AUTHENTICATE,
                HeaderValue::from_static(text),
            )])
        };
        assert!(challenges_for_nonce(&challenge("DPoP error=\"use_dpop_nonce\"")));
        assert!(!challenges_for_nonce(&challenge("DPoP error=\"invalid_token\"")));
    }
}
