//! Whose identity a command presents: a token from a file, or one of a development server.

use crate::context::Server;
use crate::fault::Fault;
use crate::output::remark;
use crate::secret;
use bailiwick_api::dev::{DevSubjectTokenRequest, DevSvidRequest};
use clap::Args;
use std::path::PathBuf;

/// The development operator, as the dev issuer knows it.
const DEV_OPERATOR: &str = "operator@dev.example";
const DEV_OPERATOR_GROUP: &str = "operators";

/// The agent's own identity.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ActorArgs {
    /// File with the agent's JWT-SVID or OIDC token; `-` reads standard input
    #[arg(long, env = "BAILIWICK_ACTOR_TOKEN_FILE", value_name = "FILE")]
    actor_token_file: Option<PathBuf>,
    /// SPIFFE ID to get from a development server's trust domain
    #[arg(long, value_name = "SPIFFE-ID")]
    dev_agent: Option<String>,
}

impl ActorArgs {
    pub(crate) async fn token(&self, server: &Server) -> Result<String, Fault> {
        match (&self.actor_token_file, &self.dev_agent) {
            (Some(path), _) => secret::read_token(path),
            (None, Some(id)) => dev_svid(server, id).await,
            (None, None) => Err(Fault::local("this needs the agent's identity")),
        }
    }
}

/// The subject's token.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SubjectArgs {
    /// File with the subject's OIDC token; `-` reads standard input
    #[arg(long, env = "BAILIWICK_SUBJECT_TOKEN_FILE", value_name = "FILE")]
    subject_token_file: Option<PathBuf>,
    /// User to get from a development server's issuer, such as alice@dev.example
    #[arg(long, value_name = "USER")]
    dev_subject: Option<String>,
}

impl SubjectArgs {
    pub(crate) async fn token(&self, server: &Server) -> Result<String, Fault> {
        match (&self.subject_token_file, &self.dev_subject) {
            (Some(path), _) => secret::read_token(path),
            (None, Some(user)) => dev_subject(server, user, Vec::new()).await,
            (None, None) => Err(Fault::local("this needs the subject's token")),
        }
    }
}

/// Who looks at approvals and decides them. Without an option, whoever the operator's token names.
#[derive(Debug, Args)]
pub(crate) struct ApproverArgs {
    /// User to act as, from a development server's issuer, such as bob@dev.example
    #[arg(long, value_name = "USER")]
    pub(crate) dev_subject: Option<String>,
    /// Group that the user is in; may be repeated
    #[arg(long = "dev-group", value_name = "GROUP", requires = "dev_subject")]
    pub(crate) dev_groups: Vec<String>,
}

/// A token of the development operator.
pub(crate) async fn dev_operator(server: &Server) -> Result<String, Fault> {
    dev_token(server, DEV_OPERATOR, vec![DEV_OPERATOR_GROUP.to_owned()]).await
}

/// A token of a development user.
pub(crate) async fn dev_subject(
    server: &Server,
    user: &str,
    groups: Vec<String>,
) -> Result<String, Fault> {
    refuse_unless_dev(server)?;
    remark(&format!("development server: {user} is whoever you say; nothing was proven"));
    dev_token(server, user, groups).await
}

async fn dev_token(server: &Server, user: &str, groups: Vec<String>) -> Result<String, Fault> {
    let request = DevSubjectTokenRequest {
        subject: user.to_owned(),
        groups,
        audience: Some(server.metadata.issuer.clone()),
    };
    Ok(server.client.dev_subject_token(&request).await?.token)
}

/// An identity of the development trust domain.
pub(crate) async fn dev_svid(server: &Server, id: &str) -> Result<String, Fault> {
    refuse_unless_dev(server)?;
    remark(&format!("development server: {id} is whoever you say; nothing was attested"));
    let request =
        DevSvidRequest { spiffe_id: id.to_owned(), audience: Some(server.metadata.issuer.clone()) };
    Ok(server.client.dev_svid(&request).await?.token)
}

fn refuse_unless_dev(server: &Server) -> Result<(), Fault> {
    if server.metadata.bailiwick_dev {
        return Ok(());
    }
    Err(Fault::local("this server gives no development identities")
        .with_help("Only `bailiwick serve --dev` does; elsewhere bring a token in a file."))
}
