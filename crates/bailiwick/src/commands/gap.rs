//! `bailiwick gap`: what credentials can do minus what decisions justified.

use crate::context::Context;
use crate::fault::Fault;
use crate::output::{self, Render, printable, table};
use bailiwick_api::{
    CallCount, CredentialGap, GAP_DAYS, GapQuery, GapReport, LineCount, SystemGap, UnboundHop,
};
use bailiwick_core::permission::{PermissionLine, Standing};
use clap::Args;
use std::fmt::Write as _;

/// Lines of one credential that people are shown; the JSON has all.
const LINES_SHOWN_MAX: usize = 40;

/// What to look at.
#[derive(Debug, Args)]
pub(crate) struct GapArgs {
    /// How many days to look back, today included
    #[arg(long, default_value_t = GAP_DAYS, value_name = "N")]
    days: u32,
    /// One system only
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
}

pub(crate) async fn run(args: GapArgs, context: &Context) -> Result<(), Fault> {
    let query = GapQuery { days: Some(args.days), system: args.system };
    let report = context.operator().await?.gap(&query).await?;
    output::print(context.format, &report)
}

impl Render for GapReport {
    fn text(&self) -> String {
        if self.systems.is_empty() {
            return "no gateway declares a system, and no call was allowed to one\n".to_owned();
        }
        let mut summary =
            table(["SYSTEM", "OWNER", "CALLS", "UNBOUND", "CAN DO", "EXCESS", "TREND"]);
        for system in &self.systems {
            summary.add_row(summary_row(system));
        }
        let mut text = format!("{} days to {}\n\n{summary}\n", self.days, self.as_of);
        for system in &self.systems {
            detail(system, &mut text);
        }
        text
    }
}

fn detail(system: &SystemGap, text: &mut String) {
    let name = printable(&system.system);
    for hop in &system.hops {
        // Writing to a string does not fail; so for every line here.
        let _ = writeln!(text, "\n{name}: {}", hop_line(hop));
    }
    for credential in &system.credentials {
        let (kind, route) = (kind(&credential.kind), printable(&credential.route));
        let gateway = printable(&credential.gateway);
        let _ = writeln!(text, "\n{name}: the {kind} of route {route} at {gateway}");
        credential_text(credential, text);
    }
}

fn summary_row(system: &SystemGap) -> [String; 7] {
    let sum = |counts: &mut dyn Iterator<Item = LineCount>| {
        counts.fold((0_u64, 0_u64), |(total, excess), count| {
            (total.saturating_add(count.total()), excess.saturating_add(count.excess()))
        })
    };
    let (total, excess) = sum(&mut system.credentials.iter().map(|it| it.count));
    let before = system.credentials.iter().filter_map(|it| it.previous);
    let (_, before) = sum(&mut before.into_iter());
    let known = system.credentials.iter().any(|it| it.previous.is_some());
    let owners = system.owners.join(", ");
    let owners =
        if owners.is_empty() { "nobody declares it".to_owned() } else { printable(&owners) };
    [
        printable(&system.system),
        owners,
        moved(system.calls, system.previous, |it| it.allowed),
        moved(system.calls, system.previous, |it| it.unbound),
        if system.credentials.is_empty() { "-".to_owned() } else { total.to_string() },
        if system.credentials.is_empty() { "-".to_owned() } else { excess.to_string() },
        if known { direction(excess, before) } else { "no earlier declaration".to_owned() },
    ]
}

/// A count, and what it was before.
fn moved(now: CallCount, before: CallCount, part: impl Fn(CallCount) -> u64) -> String {
    format!("{} (was {})", part(now), part(before))
}

fn direction(now: u64, before: u64) -> String {
    match now.cmp(&before) {
        std::cmp::Ordering::Less => format!("narrower, was {before}"),
        std::cmp::Ordering::Equal => "as before".to_owned(),
        std::cmp::Ordering::Greater => format!("WIDER, was {before}"),
    }
}

fn hop_line(hop: &UnboundHop) -> String {
    let way = match (&hop.gateway, &hop.route) {
        (Some(gateway), Some(route)) => {
            format!("route {} at {}", printable(route), printable(gateway))
        }
        (Some(gateway), None) => format!("no route at {}", printable(gateway)),
        (None, _) => "another enforcement point".to_owned(),
    };
    let declared =
        if hop.declared || hop.gateway.is_none() { "" } else { ", which declares it no longer" };
    format!(
        "{} calls (was {}) through {way}{declared}; binding {}: nothing there proves the chain",
        hop.calls,
        hop.previous,
        printable(&hop.binding)
    )
}

fn kind(kind: &str) -> &str {
    match kind {
        "key" => "key",
        "basic" => "password",
        "oauth" => "OAuth client",
        "aws" => "AWS identity",
        _ => "credential",
    }
}

fn credential_text(credential: &CredentialGap, text: &mut String) {
    let mut lines = table(["PERMISSION", "ON", "STANDING", "JUSTIFIED BY"]);
    for line in credential.lines.iter().take(LINES_SHOWN_MAX) {
        lines.add_row(line_row(line));
    }
    let _ = writeln!(text, "{lines}");
    let hidden = credential.lines.len().saturating_sub(LINES_SHOWN_MAX);
    if hidden > 0 {
        let _ = writeln!(text, "and {hidden} more; -o json shows all");
    }
    for unmet in &credential.unmet {
        let _ = writeln!(
            text,
            "{} calls needed {}, which the credential cannot do as it is declared: the declaration is wrong",
            unmet.calls,
            printable(&unmet.need)
        );
    }
    if credential.unmapped_calls > 0 {
        let _ = writeln!(
            text,
            "{} calls justify nothing: their operations declare no `needs`",
            credential.unmapped_calls
        );
    }
}

fn line_row(line: &PermissionLine) -> [String; 4] {
    let mut action = printable(&line.action);
    if !line.except_actions.is_empty() {
        let _ = write!(action, " but {}", printable(&line.except_actions.join(", ")));
    }
    if line.conditional {
        action.push_str(" (under conditions)");
    }
    let on = match line.resources.as_slice() {
        [] => "anything".to_owned(),
        [one] => printable(one),
        [one, rest @ ..] => format!("{} and {} more", printable(one), rest.len()),
    };
    let standing = match line.standing {
        Standing::Unneeded => "UNNEEDED",
        Standing::Unused => "UNUSED",
        Standing::Wider => "WIDER",
        Standing::Used => "used",
    };
    let used = line.used.iter().map(|(need, calls)| format!("{} ({calls})", printable(need)));
    [action, on, standing.to_owned(), used.collect::<Vec<_>>().join(", ")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> GapReport {
        serde_json::from_value(json!({
            "days": 7, "since": "2026-11-18T00:00:00.000Z", "as_of": "2026-11-24T10:00:00.000Z",
            "systems": [{
                "system": "crm", "owners": ["sales"], "calls": {"allowed": 10, "unbound": 4},
                "previous": {"allowed": 3, "unbound": 0}, "trend": [],
                "hops": [{"gateway": "spiffe://a.example/g", "route": "fax", "binding": "opaque",
                    "declared": false, "calls": 4, "previous": 0}],
                "credentials": [{
                    "gateway": "spiffe://a.example/g", "route": "crm", "owner": "sales", "kind": "oauth",
                    "declared": "2026-11-20T00:00:00.000Z",
                    "count": {"unneeded": 1, "unused": 0, "wider": 1, "used": 0},
                    "previous": {"unneeded": 1, "unused": 0, "wider": 0, "used": 0},
                    "lines": [
                        {"action": "crm.delete", "standing": "unneeded", "used": {}},
                        {"action": "crm.*", "resources": ["a", "b"], "conditional": true,
                         "standing": "wider", "used": {"crm.read\u{1b}[31m": 6}},
                    ],
                    "unmet": [{"need": "crm.export", "calls": 2}], "unmapped_calls": 3,
                }],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn a_person_sees_what_is_too_much_and_why() {
        let text = report().text();
        for word in [
            "10 (was 3)",
            "4 (was 0)",
            "WIDER, was 1",
            "OAuth client",
            "UNNEEDED",
            "a and 1 more",
            "(under conditions)",
            "crm.read\u{fffd}[31m (6)",
            "2 calls needed crm.export",
            "3 calls justify nothing",
            "4 calls (was 0) through route fax",
            "declares it no longer",
        ] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
        let empty = GapReport { systems: Vec::new(), ..report() };
        assert!(empty.text().contains("no gateway declares"));
    }
}
