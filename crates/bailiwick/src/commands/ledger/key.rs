//! Whose log is it? The verifier key must come by another road than the log.

use crate::document::read_text;
use crate::fault::Fault;
use crate::output::remark;
use bailiwick_ledger::VerifierKey;
use clap::Args;
use std::path::PathBuf;

/// Where the verifier key comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct KeyArgs {
    /// The ledger's verifier key (C2SP vkey text), got by another road than the ledger itself
    #[arg(long, value_name = "VKEY")]
    vkey: Option<String>,
    /// File with the verifier key
    #[arg(long, value_name = "FILE")]
    vkey_file: Option<PathBuf>,
    /// Take the key that comes with the ledger: shows that it fits together, not whose it is
    #[arg(long)]
    trust_embedded_key: bool,
}

impl KeyArgs {
    /// The key that was given, or none when the embedded one is to be taken; says so loudly.
    pub(super) fn given(&self) -> Result<Option<VerifierKey>, Fault> {
        let text = match (&self.vkey, &self.vkey_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => read_text(path)?,
            (None, None) => {
                remark(
                    "TRUSTING THE KEY THAT COMES WITH THE LEDGER: whoever could change the \
                     ledger could have changed the key. Keep this key elsewhere and give it with \
                     --vkey next time.",
                );
                return Ok(None);
            }
        };
        parse(&text).map(Some)
    }
}

/// Reads a verifier key.
pub(super) fn parse(text: &str) -> Result<VerifierKey, Fault> {
    text.trim().parse().map_err(|error| {
        Fault::local(format!("the verifier key: {error}"))
            .with_help("It is one line of the form NAME+HASH+BASE64.")
    })
}
