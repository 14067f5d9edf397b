//! `bailiwick token …`: what a token says, and whether that can be believed.

use crate::context::Context;
use crate::document::read_text;
use crate::fault::Fault;
use crate::jws::{Peeked, peek};
use crate::output::{self, Render, facts, printable};
use crate::{clock, secret};
use bailiwick_api::Timestamp;
use bailiwick_api::oauth::JwkSet;
use bailiwick_core::crypto::VerifyingKey;
use bailiwick_core::{
    IssuerKeys, UnverifiedChain, UnverifiedToken, VerifiedChain, VerifyOptions, verify_chain,
    verify_leaf,
};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Show what a token or chain says, without checking a signature
    Inspect(InspectArgs),
    /// Check a token or chain against the issuer's keys, and show what it says
    Verify(VerifyArgs),
}

/// Which token.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// File with a token, a grant or a chain (DT_0~DT_1~…); `-` reads standard input
    file: PathBuf,
}

/// Which token, under whose keys.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// File with a hop token or a chain (DT_0~DT_1~…); `-` reads standard input
    file: PathBuf,
    /// File with the issuer's keys (JWKS): check offline
    #[arg(long, value_name = "FILE", requires = "issuer")]
    jwks: Option<PathBuf>,
    /// The issuer that the keys of --jwks belong to
    #[arg(long, value_name = "URL", requires = "jwks")]
    issuer: Option<String>,
    /// The audience that the token must be for
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// Insist on every hop from the root, each under its own signature
    #[arg(long)]
    full_chain: bool,
    /// Also ask the server, as an operator, whether the token was revoked
    #[arg(long, conflicts_with = "jwks")]
    online: bool,
}

pub(crate) async fn run(command: TokenCommand, context: &Context) -> Result<(), Fault> {
    match command {
        TokenCommand::Inspect(args) => {
            let text = secret::read_token(&args.file)?;
            let tokens = text.split('~').map(peek).collect::<Result<Vec<_>, _>>()?;
            output::print(context.format, &Inspected::new(&tokens))
        }
        TokenCommand::Verify(args) => verify(args, context).await,
    }
}

/// What was said, by nobody in particular.
#[derive(Serialize)]
struct Inspected {
    verified: bool,
    warning: &'static str,
    tokens: Vec<Said>,
}

#[derive(Serialize)]
struct Said {
    kind: &'static str,
    header: Value,
    claims: Value,
    signing_hash: String,
}

impl Inspected {
    fn new(tokens: &[Peeked]) -> Self {
        let said = |token: &Peeked| Said {
            kind: if token.header.get("jwk").is_some() { "grant" } else { "token" },
            header: token.header.clone(),
            claims: token.payload.clone(),
            signing_hash: token.signing_hash.b64(),
        };
        Self {
            verified: false,
            warning: "UNVERIFIED: no signature was checked",
            tokens: tokens.iter().map(said).collect(),
        }
    }
}

impl Render for Inspected {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.warning);
        for said in &self.tokens {
            text.push('\n');
            text.push_str(&format!("UNVERIFIED {}\n", said.kind));
            text.push_str(&claims_text(&said.claims));
            let header = facts([("header", said.header.to_string())]);
            text.push_str(&header);
            text.push_str(&facts([("signing hash", said.signing_hash.clone())]));
        }
        text
    }
}

/// The claims that people ask for, then the whole authority.
fn claims_text(claims: &Value) -> String {
    let text = |name: &str| match claims.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let time = |name: &str| match claims.get(name).and_then(Value::as_i64) {
        Some(seconds) => Timestamp::from_seconds(seconds).to_string(),
        None => String::new(),
    };
    let hop = claims.get("urn:bailiwick:hop").map(Value::to_string).unwrap_or_default();
    let detail = claims
        .get("authorization_details")
        .map(|details| format!("{details:#}"))
        .unwrap_or_default();
    facts([
        ("issuer", text("iss")),
        ("subject", text("sub")),
        ("agent", text("client_id")),
        ("audience", text("aud")),
        ("task", text("txn")),
        ("token", text("jti")),
        ("depth", text("del_depth")),
        ("issued", time("iat")),
        ("expires", time("exp")),
        ("held by", text("cnf")),
        ("actors", text("act")),
        ("parent", text("par_hash")),
        ("hop", hop),
        ("authority", detail),
    ])
}

async fn verify(args: VerifyArgs, context: &Context) -> Result<(), Fault> {
    let text = secret::read_token(&args.file)?;
    let (keys, whose) = match (&args.jwks, &args.issuer) {
        (Some(path), Some(issuer)) => {
            (issuer_keys(issuer, &read_jwks(path)?)?, format!("the keys of {}", path.display()))
        }
        _ => {
            let server = context.discover().await?;
            let jwks = server.client.jwks().await?;
            let whose = format!("the keys that {} publishes", context.server_url());
            (issuer_keys(&server.metadata.issuer, &jwks)?, whose)
        }
    };
    let chain = check(&text, &keys, &args)?;
    let mut report = Verified::new(&chain, &text, whose)?;
    if args.online {
        let leaf = text.rsplit('~').next().unwrap_or(&text);
        let answer = context.operator().await?.introspect(leaf).await?;
        if !answer.active {
            return Err(Fault::denied(
                "revoked",
                "the signatures are good, and the server says that the token is not active",
            ));
        }
        report.status = "active, says the server";
    }
    output::print(context.format, &report)
}

fn check(text: &str, keys: &IssuerKeys, args: &VerifyArgs) -> Result<VerifiedChain, Fault> {
    let options = VerifyOptions { audience: args.audience.as_deref(), full_chain: args.full_chain };
    let now = clock::now();
    let verified = match text.rsplit_once('~') {
        Some((ancestors, leaf)) => UnverifiedToken::parse(leaf)
            .and_then(|leaf| UnverifiedChain::parse(ancestors, &leaf))
            .and_then(|chain| verify_chain(&chain, keys, &options, now)),
        None => {
            UnverifiedToken::parse(text).and_then(|token| verify_leaf(&token, keys, &options, now))
        }
    };
    verified.map_err(|error| Fault::denied(error.code().code(), error.to_string()))
}

/// What was said, and by whom that is vouched for.
#[derive(Serialize)]
struct Verified {
    verified: bool,
    under: String,
    status: &'static str,
    agents: Vec<String>,
    unsettled: usize,
    claims: Value,
}

impl Verified {
    fn new(chain: &VerifiedChain, text: &str, under: String) -> Result<Self, Fault> {
        let leaf = text.rsplit('~').next().unwrap_or(text);
        Ok(Self {
            verified: true,
            under,
            status: "not checked (--online asks the server)",
            agents: chain.agents().into_iter().map(|agent| agent.to_string()).collect(),
            unsettled: chain.unsettled(),
            claims: peek(leaf)?.payload,
        })
    }
}

impl Render for Verified {
    fn text(&self) -> String {
        let unsettled = match self.unsettled {
            0 => String::new(),
            count => format!("{count} hops are grants that no Authority has settled"),
        };
        let head = facts([
            ("VERIFIED", format!("under {}", self.under)),
            ("revocation", self.status.to_owned()),
            ("through", self.agents.join(" → ")),
            ("unsettled", unsettled),
        ]);
        format!("{head}\n{}", claims_text(&self.claims))
    }
}

/// The keys of a JWKS, for one issuer.
pub(crate) fn issuer_keys(issuer: &str, jwks: &JwkSet) -> Result<IssuerKeys, Fault> {
    let mut keys = IssuerKeys::default();
    let mut usable = 0_usize;
    for jwk in &jwks.keys {
        let kid = jwk.get("kid").and_then(Value::as_str);
        if let (Some(kid), Ok(key)) = (kid, VerifyingKey::from_jwk(jwk)) {
            keys.insert(issuer, kid, key);
            usable = usable.saturating_add(1);
        }
    }
    if usable == 0 {
        return Err(Fault::local("the JWKS has no usable key with a kid"));
    }
    Ok(keys)
}

fn read_jwks(path: &Path) -> Result<JwkSet, Fault> {
    serde_json::from_str(&read_text(path)?).map_err(|error| {
        Fault::local(printable(&format!("{}: not a JWKS: {error}", path.display())))
    })
}
