//! `bailiwick grant create`: offline, with the delegator's own key.

use crate::clock;
use crate::context::Context;
use crate::document::Document;
use crate::fault::Fault;
use crate::holder::{HolderKey, random};
use crate::jws::{Peeked, peek};
use crate::output::{self, Render, facts, remark};
use crate::secret;
use bailiwick_api::Timestamp;
use bailiwick_core::ids::{AgentId, SubjectId, TaskId, TenantId, TokenId, WorkflowId};
use bailiwick_core::limits::TTL_SECONDS_MAX;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::token::{HolderBinding, UnsignedToken};
use bailiwick_core::{GrantClaims, GrantFacts, HeldAuthority, VerifyError, narrow};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to hand on, to whom.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// File with the delegator's hop token
    #[arg(long, value_name = "FILE")]
    parent: PathBuf,
    /// The delegator's private key, to which that token is bound (PKCS#8 PEM, mode 0600)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The agent that receives the authority
    #[arg(long, value_name = "AGENT-ID")]
    to: AgentId,
    /// Thumbprint of the delegatee's key: makes the grant good offline too
    #[arg(long, value_name = "JKT")]
    to_key: Option<String>,
    /// Scope to hand on; may be repeated; all of the parent's when absent
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Constraint to add, such as {"key":"calls","max_lifetime":5}; may be repeated
    #[arg(long, value_name = "JSON")]
    constraint: Vec<String>,
    /// File with `constraints` to add (TOML or JSON)
    #[arg(long, value_name = "FILE")]
    constraints_file: Option<PathBuf>,
    /// Seconds until the grant expires; never past the parent
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    ttl: u64,
    /// How many tokens the chain may have from now on; the parent's when absent
    #[arg(long, value_name = "N")]
    max_depth: Option<u8>,
    /// Another audience, if the workflow allows it; the parent's when absent
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// What the delegatee is to do, for the record; the task's purpose when absent
    #[arg(long)]
    purpose: Option<String>,
    /// File to write the grant to, with mode 0600; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What a parent says of itself. The Authority will hold the grant against its own record of it.
#[derive(Deserialize)]
struct Parent {
    sub: SubjectId,
    aud: String,
    client_id: AgentId,
    exp: i64,
    cnf: Option<HolderBinding>,
    authorization_details: (HeldAuthority,),
    del_depth: u8,
    del_max_depth: u8,
    txn: TaskId,
    #[serde(rename = "urn:bailiwick:hop")]
    hop: ParentFacts,
}

#[derive(Deserialize)]
struct ParentFacts {
    purpose: String,
    workflow: WorkflowId,
    tenant: TenantId,
    env: String,
}

pub(super) fn run(args: CreateArgs, context: &Context) -> Result<(), Fault> {
    let key = HolderKey::read(&args.key)?;
    let peeked = peek(&secret::read_token(&args.parent)?)?;
    let parent: Parent = serde_json::from_value(peeked.payload.clone())
        .map_err(|error| Fault::local(format!("the parent is not a hop token: {error}")))?;
    check_holder(&parent, &key)?;
    let claims = claims(&args, parent, &peeked, clock::now())?;
    let refused = |error: VerifyError| Fault::denied(error.code().code(), error.to_string());
    let unsigned =
        UnsignedToken::grant(&claims, &key.signing_key().verifying_key()).map_err(refused)?;
    let signature = key
        .signing_key()
        .sign(unsigned.signing_input())
        .map_err(|error| Fault::local(format!("the key cannot sign: {error}")))?;
    let signed = unsigned.attach(&signature);
    secret::write(&args.out, &signed.compact)?;
    if args.out == std::path::Path::new("-") {
        return Ok(());
    }
    output::print(context.format, &Created::new(&claims, &args))
}

/// A grant signed by any other key would be refused; better to say so here.
fn check_holder(parent: &Parent, key: &HolderKey) -> Result<(), Fault> {
    let bound = parent.cnf.as_ref().and_then(HolderBinding::jkt).map(|jkt| jkt.to_string());
    if bound.as_deref() == Some(key.thumbprint().as_str()) {
        return Ok(());
    }
    Err(Fault::denied(
        "holder_binding_failed",
        format!("the parent is not bound to this key, whose thumbprint is {}", key.thumbprint()),
    ))
}

fn claims(
    args: &CreateArgs,
    parent: Parent,
    peeked: &Peeked,
    now: UnixMillis,
) -> Result<GrantClaims, Fault> {
    let iat = now.seconds();
    if parent.exp <= iat {
        return Err(Fault::denied("expired", "the parent has expired"));
    }
    let ttl = i64::try_from(args.ttl.min(TTL_SECONDS_MAX)).unwrap_or(i64::MAX);
    let (held,) = parent.authorization_details;
    let authority = authority(args, &held)?;
    let cnf = args.to_key.as_deref().map(|jkt| {
        jkt.parse()
            .map(HolderBinding::Jkt)
            .map_err(|_| Fault::local("--to-key is not an RFC 7638 thumbprint"))
    });
    Ok(GrantClaims {
        iss: parent.client_id,
        sub: parent.sub,
        aud: args.audience.clone().unwrap_or(parent.aud),
        client_id: args.to.clone(),
        iat,
        exp: iat.saturating_add(ttl).min(parent.exp),
        jti: TokenId::new(now, random()?),
        cnf: cnf.transpose()?,
        authority: authority.into(),
        del_depth: parent.del_depth.saturating_add(1),
        del_max_depth: args.max_depth.unwrap_or(parent.del_max_depth).min(parent.del_max_depth),
        par_hash: peeked.signing_hash,
        txn: parent.txn,
        hop: GrantFacts {
            purpose: args.purpose.clone().unwrap_or(parent.hop.purpose),
            workflow: parent.hop.workflow,
            tenant: parent.hop.tenant,
            env: parent.hop.env,
        },
    })
}

/// What is asked for, within what is held. A scope that is not held is refused; a constraint can
/// only add to those of the parent.
fn authority(args: &CreateArgs, held: &HeldAuthority) -> Result<HeldAuthority, Fault> {
    let mut detail = held.to_detail();
    let scopes: Vec<String> = match args.scope.as_slice() {
        [] => held.scopes.iter().map(|scope| scope.to_string()).collect(),
        scopes => scopes.to_vec(),
    };
    if let Some(members) = detail.as_object_mut() {
        members.insert("scopes".into(), json!(scopes));
        members.insert("constraints".into(), Value::Array(constraints(args)?));
    }
    let requested = HeldAuthority::from_detail(&detail)
        .map_err(|error| Fault::local(format!("what is asked for: {error}")))?;
    if let Some(scope) = requested.scopes.first_uncovered(&held.scopes) {
        return Err(Fault::denied(
            "not_narrower",
            format!("{scope} is not among the scopes held: {}", held.scopes),
        ));
    }
    let narrowed = narrow(held, &requested);
    if narrowed.scopes != requested.scopes {
        remark(&format!("the scopes were narrowed to: {}", narrowed.scopes));
    }
    if narrowed.scopes.is_empty() {
        return Err(Fault::denied("not_narrower", "nothing would be left to hand on"));
    }
    Ok(narrowed)
}

fn constraints(args: &CreateArgs) -> Result<Vec<Value>, Fault> {
    let mut constraints = Vec::new();
    if let Some(path) = &args.constraints_file {
        let document = Document::read(path)?;
        let list = document.value.get("constraints").and_then(Value::as_array);
        let list = list.ok_or_else(|| document.fault(&[], "it has no list named `constraints`"))?;
        constraints.extend(list.iter().cloned());
    }
    for text in &args.constraint {
        let constraint = serde_json::from_str(text)
            .map_err(|error| Fault::local(format!("--constraint {text}: not JSON: {error}")))?;
        constraints.push(constraint);
    }
    Ok(constraints)
}

/// A grant, without its bytes.
#[derive(Serialize)]
struct Created {
    jti: String,
    task_id: String,
    from: String,
    to: String,
    form: &'static str,
    depth: u8,
    expires_at: Timestamp,
    authority: Value,
    grant_file: String,
}

impl Created {
    fn new(claims: &GrantClaims, args: &CreateArgs) -> Self {
        Self {
            jti: claims.jti.to_string(),
            task_id: claims.txn.to_string(),
            from: claims.iss.to_string(),
            to: claims.client_id.to_string(),
            form: if claims.cnf.is_some() {
                "key-bound: settles online or travels offline"
            } else {
                "agent-bound: settles online only"
            },
            depth: claims.del_depth,
            expires_at: Timestamp::from_seconds(claims.exp),
            authority: claims.authority.to_detail(),
            grant_file: args.out.display().to_string(),
        }
    }
}

impl Render for Created {
    fn text(&self) -> String {
        facts([
            ("grant", self.jti.clone()),
            ("task", self.task_id.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("form", self.form.to_owned()),
            ("depth", self.depth.to_string()),
            ("expires", self.expires_at.to_string()),
            ("authority", format!("{:#}", self.authority)),
            ("written to", self.grant_file.clone()),
        ])
    }
}
