//! `bailiwick policy replay`: which logged decisions would come out otherwise under these policies?

use super::explain::decision_in;
use super::sources::{SetArgs, load};
use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, facts, printable};
use crate::secret::cannot;
use bailiwick_ledger::opening::RECEIPT_LINE_BYTES_MAX;
use bailiwick_ledger::{Opening, ReceiptLine};
use bailiwick_policy::{PolicySet, Replayed, replay_json};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

/// Which decisions, under which policies.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    set: SetArgs,
    /// An export of the ledger (`bailiwick ledger export`); verify it first
    #[arg(value_name = "DIR")]
    export: PathBuf,
}

/// What a replay found.
#[derive(Debug, Default, Serialize)]
struct Report {
    policies: String,
    decisions: u64,
    same: u64,
    refused_by_code: u64,
    erased: u64,
    changed: Vec<Replayed>,
}

pub(crate) fn run(args: &ReplayArgs, context: &Context) -> Result<(), Fault> {
    let set = load(&args.set.sources()?)?;
    let path = args.export.join("receipts.jsonl");
    let file = File::open(&path).map_err(|error| cannot("read", &path, &error))?;
    let mut reader = BufReader::new(file);
    let mut report = Report { policies: set.hash().to_owned(), ..Report::default() };
    let bound = u64::try_from(RECEIPT_LINE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(bound)
            .read_until(b'\n', &mut line)
            .map_err(|error| cannot("read", &path, &error))?;
        if read == 0 {
            break;
        }
        let receipt = ReceiptLine::parse(line.trim_ascii_end())
            .map_err(|error| Fault::local(format!("{}: {error}", path.display())))?;
        report.take(&set, &receipt)?;
    }
    output::print(context.format, &report)
}

impl Report {
    fn take(&mut self, set: &PolicySet, receipt: &ReceiptLine) -> Result<(), Fault> {
        let Opening::Open { payload, .. } = &receipt.opening else {
            self.erased = self.erased.saturating_add(1);
            return Ok(());
        };
        let payload: Value = serde_json::from_slice(payload)
            .map_err(|error| Fault::local(format!("receipt {}: {error}", receipt.index)))?;
        let decision = decision_in(&payload);
        if decision.get("inputs").is_none() {
            return Ok(());
        }
        self.decisions = self.decisions.saturating_add(1);
        let replayed = replay_json(set, decision)
            .map_err(|error| Fault::local(format!("receipt {}: {error}", receipt.index)))?;
        match replayed {
            None => self.refused_by_code = self.refused_by_code.saturating_add(1),
            Some(again) if again.answer_changed || again.grounds_changed => {
                self.changed.push(again);
            }
            Some(_) => self.same = self.same.saturating_add(1),
        }
        Ok(())
    }
}

impl Render for Report {
    fn text(&self) -> String {
        let mut text = facts([
            ("set", self.policies.clone()),
            ("decisions", self.decisions.to_string()),
            ("the same", self.same.to_string()),
            ("refused by code", self.refused_by_code.to_string()),
            ("erased", self.erased.to_string()),
            ("changed", self.changed.len().to_string()),
        ]);
        for again in &self.changed {
            let say = |code: Option<&str>| code.unwrap_or("allowed").to_owned();
            let what = if again.answer_changed { "answer" } else { "grounds" };
            text.push_str(&printable(&format!(
                "{}  {what}: {} → {} by {}\n",
                again.decision,
                say(again.before.as_deref()),
                say(again.after.outcome.map(|outcome| outcome.code())),
                again.after.determining.join(", "),
            )));
        }
        text
    }
}
