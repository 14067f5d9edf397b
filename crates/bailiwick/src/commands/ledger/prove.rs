//! `bailiwick ledger prove` and `check`.

use super::key::{self, KeyArgs};
use crate::context::Context;
use crate::document::read_text;
use crate::fault::Fault;
use crate::output::{self, Render, facts};
use crate::secret::cannot;
use bailiwick_api::Timestamp;
use bailiwick_ledger::{Opening, ProvenReceipt, ReceiptProof, VerifierKey};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Which receipt.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The receipt's index in the ledger
    index: u64,
    #[command(flatten)]
    key: KeyArgs,
    /// File to write the proof to; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// Which proof.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// File with a proof
    file: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) async fn run(args: ProveArgs, context: &Context) -> Result<(), Fault> {
    let given = args.key.given()?;
    let client = context.operator().await?;
    let json = client.receipt_json(args.index).await?;
    let proof = ReceiptProof::parse(&json).map_err(|error| Fault::remote(error.to_string()))?;
    let proven = verify(&proof, given)?;
    if proven.index != args.index {
        return Err(Fault::remote(format!("the server proved receipt {}", proven.index)));
    }
    let text = serde_json::to_string(&proof)
        .map_err(|error| Fault::local(format!("the proof: {error}")))?;
    if args.out == Path::new("-") {
        return output::line(&text);
    }
    std::fs::write(&args.out, format!("{text}\n"))
        .map_err(|error| cannot("write", &args.out, &error))?;
    output::print(context.format, &Proven::new(&proven))
}

pub(crate) fn check(args: &CheckArgs, context: &Context) -> Result<(), Fault> {
    let proof = ReceiptProof::parse(read_text(&args.file)?.as_bytes())
        .map_err(|error| Fault::local(format!("{}: {error}", args.file.display())))?;
    let proven = verify(&proof, args.key.given()?)?;
    output::print(context.format, &Proven::new(&proven))
}

fn verify(proof: &ReceiptProof, given: Option<VerifierKey>) -> Result<ProvenReceipt, Fault> {
    let key = match given {
        Some(key) => key,
        None => key::parse(&proof.vkey)?,
    };
    proof.verify(&key).map_err(|error| {
        Fault::denied("proof_refused", format!("the proof proves nothing: {error}"))
    })
}

/// What a proof shows.
#[derive(Serialize)]
struct Proven {
    verified: bool,
    origin: String,
    index: u64,
    tree_size: u64,
    kind: String,
    time: Timestamp,
    erased: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

impl Proven {
    fn new(proven: &ProvenReceipt) -> Self {
        let payload = match &proven.opening {
            Opening::Open { payload, .. } => serde_json::from_slice(payload).ok(),
            Opening::Erased => None,
        };
        Self {
            verified: true,
            origin: proven.checkpoint.origin().to_owned(),
            index: proven.index,
            tree_size: proven.checkpoint.size(),
            kind: proven.entry.kind.to_string(),
            time: Timestamp::from_millis(proven.entry.time_ms),
            erased: payload.is_none(),
            payload,
        }
    }
}

impl Render for Proven {
    fn text(&self) -> String {
        facts([
            ("PROVEN", format!("receipt {} of {} in {}", self.index, self.tree_size, self.origin)),
            ("kind", self.kind.clone()),
            ("time", self.time.to_string()),
            (
                "payload",
                self.payload.as_ref().map_or("erased".to_owned(), |payload| format!("{payload:#}")),
            ),
        ])
    }
}
