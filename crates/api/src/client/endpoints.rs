//! One method an endpoint.

use super::send::{Body, secret_header};
use super::{Client, ClientError, CredentialError, ProofSigner};
use crate::authzen::{
    EvaluationRequest, EvaluationResponse, EvaluationsRequest, EvaluationsResponse,
};
use crate::dev::{DevSubjectTokenRequest, DevSvidRequest, DevTokenResponse};
use crate::enforcement::closure::{ClosureQuery, ClosureReport};
use crate::keys::RotateKeyResponse;
use crate::oauth::{
    IntrospectionResponse, JwkSet, ServerMetadata, TokenParameter, TokenRequest, TokenResponse,
};
use crate::policies::{PolicySetView, PutPoliciesRequest, PutPoliciesResponse};
use crate::receipts::{LeafRange, ReceiptLines, ReceiptView};
use crate::registry::{
    AgentKeyList, AgentList, AgentStatusResponse, ApplyRequest, ApplyResponse, DryRunQuery,
    OwnerList, PageQuery, Reason, RegisterKeyResponse, RegistryEntry, WorkflowList,
};
use crate::revocations::{RevocationRequest, RevocationResponse};
use crate::tasks::{CloseTaskResponse, OpenTaskRequest, TaskList, TaskQuery, TaskView};
use crate::trace::TraceTree;
use bailiwick_core::ids::TaskId;
use reqwest::header::HeaderMap;
use serde_json::json;

/// The path segment of an operation on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It is done.
    Complete,
    /// It is given up.
    Cancel,
    /// It is killed.
    Revoke,
}

impl Closing {
    fn segment(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancel => "cancel",
            Self::Revoke => "revoke",
        }
    }
}

/// Discovery, OAuth and development identities.
impl Client {
    /// `GET /.well-known/oauth-authorization-server`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; so for every method here.
    pub async fn metadata(&self) -> Result<ServerMetadata, ClientError> {
        self.get(&[".well-known", "oauth-authorization-server"], &()).await?.json()
    }

    /// `GET /.well-known/jwks.json`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn jwks(&self) -> Result<JwkSet, ClientError> {
        self.get(&[".well-known", "jwks.json"], &()).await?.json()
    }

    /// `GET /openapi.json`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn openapi(&self) -> Result<serde_json::Value, ClientError> {
        self.get(&["openapi.json"], &()).await?.json()
    }

    /// `POST /oauth/token`: open, settle, renew or re-audience, as the request says.
    ///
    /// `access_token` is the token that the proof commits to when it is renewed.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn exchange_token(
        &self,
        request: &TokenRequest,
        signer: &dyn ProofSigner,
        access_token: Option<&str>,
    ) -> Result<TokenResponse, ClientError> {
        let form = token_form(request);
        self.post_with_proof(
            &["oauth", "token"],
            Body::Form(&form),
            HeaderMap::new(),
            signer,
            access_token,
        )
        .await?
        .json()
    }

    /// `POST /oauth/introspect`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn introspect(&self, token: &str) -> Result<IntrospectionResponse, ClientError> {
        let parameter = TokenParameter { token: token.to_owned(), token_type_hint: None };
        self.post_form(&["oauth", "introspect"], &parameter).await?.json()
    }

    /// `POST /oauth/revoke` as an operator: kills the token and everything under it.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn revoke_token(&self, token: &str) -> Result<(), ClientError> {
        let parameter = TokenParameter { token: token.to_owned(), token_type_hint: None };
        self.post_form(&["oauth", "revoke"], &parameter).await?;
        Ok(())
    }

    /// `POST /oauth/revoke` as the holder: kills what lies under its own token, or that token.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn revoke_own(
        &self,
        token: &str,
        own: &str,
        signer: &dyn ProofSigner,
    ) -> Result<(), ClientError> {
        let headers = secret_header("authorization", &format!("DPoP {own}"))?;
        let form = [("token", token.to_owned())];
        self.post_with_proof(&["oauth", "revoke"], Body::Form(&form), headers, signer, Some(own))
            .await?;
        Ok(())
    }

    /// `POST /dev/subject-token`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn dev_subject_token(
        &self,
        request: &DevSubjectTokenRequest,
    ) -> Result<DevTokenResponse, ClientError> {
        self.post(&["dev", "subject-token"], &(), request).await?.json()
    }

    /// `POST /dev/svid`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn dev_svid(
        &self,
        request: &DevSvidRequest,
    ) -> Result<DevTokenResponse, ClientError> {
        self.post(&["dev", "svid"], &(), request).await?.json()
    }
}

/// The registry.
impl Client {
    /// `POST /v1/registry/apply`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn apply(
        &self,
        request: &ApplyRequest,
        dry_run: bool,
    ) -> Result<ApplyResponse, ClientError> {
        self.post(&["v1", "registry", "apply"], &DryRunQuery { dry_run }, request).await?.json()
    }

    /// `GET /v1/agents`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn agents(&self, page: &PageQuery) -> Result<AgentList, ClientError> {
        self.get(&["v1", "agents"], page).await?.json()
    }

    /// `GET /v1/agents/{id}`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn agent(&self, id: &str) -> Result<RegistryEntry, ClientError> {
        self.get(&["v1", "agents", id], &()).await?.json()
    }

    /// `GET /v1/agents/{id}/keys`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn agent_keys(&self, id: &str) -> Result<AgentKeyList, ClientError> {
        self.get(&["v1", "agents", id, "keys"], &()).await?.json()
    }

    /// `POST /v1/agents/{id}/quarantine`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn quarantine(
        &self,
        id: &str,
        reason: &Reason,
    ) -> Result<AgentStatusResponse, ClientError> {
        self.post(&["v1", "agents", id, "quarantine"], &(), reason).await?.json()
    }

    /// `POST /v1/agents/{id}/reinstate`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn reinstate(
        &self,
        id: &str,
        reason: &Reason,
    ) -> Result<AgentStatusResponse, ClientError> {
        self.post(&["v1", "agents", id, "reinstate"], &(), reason).await?.json()
    }

    /// `POST /v1/agent-keys`: binds the signer's key to the agent whose identity `svid` proves.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn register_key(
        &self,
        svid: &str,
        signer: &dyn ProofSigner,
    ) -> Result<RegisterKeyResponse, ClientError> {
        let headers = secret_header("authorization", &format!("Bearer {svid}"))?;
        self.post_with_proof(&["v1", "agent-keys"], Body::Json(&json!({})), headers, signer, None)
            .await?
            .json()
    }

    /// `GET /v1/workflows`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn workflows(&self, page: &PageQuery) -> Result<WorkflowList, ClientError> {
        self.get(&["v1", "workflows"], page).await?.json()
    }

    /// `GET /v1/workflows/{id}`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn workflow(&self, id: &str) -> Result<RegistryEntry, ClientError> {
        self.get(&["v1", "workflows", id], &()).await?.json()
    }

    /// `GET /v1/owners`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn owners(&self, page: &PageQuery) -> Result<OwnerList, ClientError> {
        self.get(&["v1", "owners"], page).await?.json()
    }
}

/// Tasks, revocation, traces, decisions, evidence.
impl Client {
    /// `POST /v1/tasks`: the subject's token is the bearer, `actor` the agent's identity.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn open_task(
        &self,
        request: &OpenTaskRequest,
        subject: &str,
        actor: &str,
        signer: &dyn ProofSigner,
    ) -> Result<TokenResponse, ClientError> {
        let mut headers = secret_header("authorization", &format!("Bearer {subject}"))?;
        headers.extend(secret_header("actor-token", actor)?);
        let body = serde_json::to_value(request)
            .map_err(|fault| CredentialError(format!("the request: {fault}")))?;
        self.post_with_proof(&["v1", "tasks"], Body::Json(&body), headers, signer, None)
            .await?
            .json()
    }

    /// `GET /v1/tasks`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn tasks(&self, query: &TaskQuery) -> Result<TaskList, ClientError> {
        self.get(&["v1", "tasks"], query).await?.json()
    }

    /// `GET /v1/tasks/{id}`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn task(&self, id: TaskId) -> Result<TaskView, ClientError> {
        self.get(&["v1", "tasks", &id.to_string()], &()).await?.json()
    }

    /// `POST /v1/tasks/{id}/complete`, `cancel` or `revoke`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn close_task(
        &self,
        id: TaskId,
        closing: Closing,
        reason: &Reason,
        closure: &ClosureQuery,
    ) -> Result<CloseTaskResponse, ClientError> {
        let id = id.to_string();
        self.post(&["v1", "tasks", &id, closing.segment()], closure, reason).await?.json()
    }

    /// `GET /v1/tasks/{id}/closure`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn closure(
        &self,
        id: TaskId,
        wait: &ClosureQuery,
    ) -> Result<ClosureReport, ClientError> {
        self.get(&["v1", "tasks", &id.to_string(), "closure"], wait).await?.json()
    }

    /// `POST /v1/tasks/{id}/complete` or `cancel` by an agent of the task, with its own token.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn close_own_task(
        &self,
        id: TaskId,
        closing: Closing,
        own: &str,
        signer: &dyn ProofSigner,
    ) -> Result<CloseTaskResponse, ClientError> {
        let headers = secret_header("authorization", &format!("DPoP {own}"))?;
        self.post_with_proof(
            &["v1", "tasks", &id.to_string(), closing.segment()],
            Body::Json(&json!({})),
            headers,
            signer,
            Some(own),
        )
        .await?
        .json()
    }

    /// `POST /v1/revocations`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn revoke(
        &self,
        request: &RevocationRequest,
        closure: &ClosureQuery,
    ) -> Result<RevocationResponse, ClientError> {
        self.post(&["v1", "revocations"], closure, request).await?.json()
    }

    /// `GET /v1/trace/{id}`: a task, a `jti`, a decision or a ledger index.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn trace(&self, id: &str) -> Result<TraceTree, ClientError> {
        self.get(&["v1", "trace", id], &()).await?.json()
    }

    /// `POST /access/v1/evaluation`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn evaluate(
        &self,
        request: &EvaluationRequest,
    ) -> Result<EvaluationResponse, ClientError> {
        self.post(&["access", "v1", "evaluation"], &(), request).await?.json()
    }

    /// `POST /access/v1/evaluations`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn evaluate_all(
        &self,
        request: &EvaluationsRequest,
    ) -> Result<EvaluationsResponse, ClientError> {
        self.post(&["access", "v1", "evaluations"], &(), request).await?.json()
    }

    /// `GET /v1/policies`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn policies(&self) -> Result<PolicySetView, ClientError> {
        self.get(&["v1", "policies"], &()).await?.json()
    }

    /// `POST /v1/policies`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn put_policies(
        &self,
        request: &PutPoliciesRequest,
        dry_run: bool,
    ) -> Result<PutPoliciesResponse, ClientError> {
        self.post(&["v1", "policies"], &DryRunQuery { dry_run }, request).await?.json()
    }

    /// `GET /v1/receipts/{index}`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn receipt(&self, index: u64) -> Result<ReceiptView, ClientError> {
        self.get(&["v1", "receipts", &index.to_string()], &()).await?.json()
    }

    /// `GET /v1/receipts/{index}` as it came, for a proof whose payload must keep its bytes.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn receipt_json(&self, index: u64) -> Result<Vec<u8>, ClientError> {
        Ok(self.get(&["v1", "receipts", &index.to_string()], &()).await?.bytes())
    }

    /// `GET /v1/receipts`: openings of a range of leaves.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn receipt_lines(&self, range: &LeafRange) -> Result<ReceiptLines, ClientError> {
        self.get(&["v1", "receipts"], range).await?.json()
    }

    /// `POST /v1/keys/rotate`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn rotate_key(&self) -> Result<RotateKeyResponse, ClientError> {
        self.post(&["v1", "keys", "rotate"], &(), &json!({})).await?.json()
    }

    /// `GET /ledger/{path}`: the checkpoint, a tile, an entry bundle or the verification key.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn ledger_file(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let segments: Vec<&str> =
            std::iter::once("ledger").chain(path.split('/').filter(|s| !s.is_empty())).collect();
        Ok(self.get(&segments, &()).await?.bytes())
    }

    /// `GET /ledger/vkey`: the log's verification key, as the server says it.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn ledger_vkey(&self) -> Result<String, ClientError> {
        self.get(&["ledger", "vkey"], &()).await?.text()
    }
}

fn token_form(request: &TokenRequest) -> Vec<(&'static str, String)> {
    let mut form = vec![("grant_type", request.grant_type.clone())];
    let optional = [
        ("subject_token", &request.subject_token),
        ("subject_token_type", &request.subject_token_type),
        ("actor_token", &request.actor_token),
        ("actor_token_type", &request.actor_token_type),
        ("audience", &request.audience),
        ("scope", &request.scope),
        ("authorization_details", &request.authorization_details),
        ("requested_token_type", &request.requested_token_type),
    ];
    form.extend(
        optional.into_iter().filter_map(|(name, value)| value.clone().map(|text| (name, text))),
    );
    form
}
