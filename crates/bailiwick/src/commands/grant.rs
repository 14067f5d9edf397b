//! `bailiwick grant …`: hand narrower authority to a named agent.

mod create;

use crate::context::Context;
use crate::credentials::ActorArgs;
use crate::fault::Fault;
use crate::holder::HolderKey;
use crate::output::{self, Render, facts};
use crate::{commands::task, secret};
use bailiwick_api::oauth::{
    GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_GRANT, TOKEN_TYPE_JWT,
    TokenRequest,
};
use bailiwick_core::crypto::Algorithm;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// Grants.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// Make a holder key in a new file of mode 0600
    Keygen(KeygenArgs),
    /// Sign a grant, offline, with the key of the token it narrows
    Create(create::CreateArgs),
    /// Present a grant as its delegatee and receive the hop token
    Settle(SettleArgs),
    /// Renew a hop token before it expires, or get it for another audience
    Renew(RenewArgs),
}

/// Which key.
#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// File to write the private key to (PKCS#8 PEM); must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Kind of key
    #[arg(long, value_enum, default_value_t)]
    algorithm: KeyKind,
}

/// Kinds of holder key.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum KeyKind {
    /// Ed25519: cheaper to check on every call
    #[default]
    Ed25519,
    /// ECDSA on P-256
    P256,
}

/// Which grant, as whom.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    /// File with the grant; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    grant: PathBuf,
    #[command(flatten)]
    actor: ActorArgs,
    /// The delegatee's private key (PKCS#8 PEM, mode 0600)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File to write the hop token to, with mode 0600; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Which token.
#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// File with the hop token
    #[arg(long, value_name = "FILE")]
    token: PathBuf,
    /// The holder's private key (PKCS#8 PEM, mode 0600)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Another audience that the workflow allows
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// File to write the new token to, with mode 0600; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Made {
    thumbprint: String,
    jwk: Value,
    key_file: String,
}

impl Render for Made {
    fn text(&self) -> String {
        facts([
            ("thumbprint", self.thumbprint.clone()),
            ("public key", self.jwk.to_string()),
            ("written to", self.key_file.clone()),
        ])
    }
}

pub(crate) async fn run(command: GrantCommand, context: &Context) -> Result<(), Fault> {
    match command {
        GrantCommand::Keygen(args) => {
            let algorithm = match args.algorithm {
                KeyKind::Ed25519 => Algorithm::EdDsa,
                KeyKind::P256 => Algorithm::Es256,
            };
            let key = HolderKey::create(&args.out, algorithm)?;
            let made = Made {
                thumbprint: key.thumbprint(),
                jwk: key.jwk(),
                key_file: args.out.display().to_string(),
            };
            output::print(context.format, &made)
        }
        GrantCommand::Create(args) => create::run(args, context),
        GrantCommand::Settle(args) => settle(args, context).await,
        GrantCommand::Renew(args) => renew(args, context).await,
    }
}

async fn settle(args: SettleArgs, context: &Context) -> Result<(), Fault> {
    let key = HolderKey::read(&args.key)?;
    let grant = secret::read_token(&args.grant)?;
    let server = context.discover().await?;
    let request = TokenRequest {
        grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
        subject_token: Some(grant),
        subject_token_type: Some(TOKEN_TYPE_GRANT.to_owned()),
        actor_token: Some(args.actor.token(&server).await?),
        actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
        ..TokenRequest::default()
    };
    let issued = server.client.exchange_token(&request, &key, None).await?;
    task::finish(context, &issued, &args.out)
}

async fn renew(args: RenewArgs, context: &Context) -> Result<(), Fault> {
    let key = HolderKey::read(&args.key)?;
    let token = secret::read_token(&args.token)?;
    let server = context.discover().await?;
    let request = TokenRequest {
        grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
        subject_token: Some(token.clone()),
        subject_token_type: Some(TOKEN_TYPE_ACCESS_TOKEN.to_owned()),
        audience: args.audience,
        ..TokenRequest::default()
    };
    let issued = server.client.exchange_token(&request, &key, Some(&token)).await?;
    task::finish(context, &issued, &args.out)
}
