//! The tree of hops with the actions under each, drawn for a terminal.

use crate::output::printable;
use bailiwick_api::trace::{FocusKind, TraceDecision, TraceHop, TraceTree};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many characters of one call's arguments are shown.
const ARGUMENTS_CHARS_MAX: usize = 160;

/// Hops, actions, other decisions, events and gaps.
pub(super) fn draw(trace: &TraceTree) -> String {
    let mut drawing = Drawing::new(trace);
    for root in drawing.roots() {
        drawing.hop(root, "", true);
    }
    drawing.rest();
    drawing.out
}

struct Drawing<'a> {
    trace: &'a TraceTree,
    children: BTreeMap<String, Vec<&'a TraceHop>>,
    /// Decisions that made a hop are shown with it and not again.
    shown: BTreeSet<String>,
    drawn: BTreeSet<String>,
    out: String,
}

impl<'a> Drawing<'a> {
    fn new(trace: &'a TraceTree) -> Self {
        let mut children: BTreeMap<String, Vec<&TraceHop>> = BTreeMap::new();
        for hop in &trace.hops {
            if let Some(parent) = hop.parent {
                children.entry(parent.to_string()).or_default().push(hop);
            }
        }
        let shown = trace.hops.iter().map(|hop| hop.decision.id.to_string()).collect();
        Self { trace, children, shown, drawn: BTreeSet::new(), out: String::new() }
    }

    /// Hops without a parent, and hops whose parent the record does not hold.
    fn roots(&self) -> Vec<&'a TraceHop> {
        let known: BTreeSet<_> = self.trace.hops.iter().map(|hop| hop.jti.to_string()).collect();
        self.trace
            .hops
            .iter()
            .filter(|hop| hop.parent.is_none_or(|parent| !known.contains(&parent.to_string())))
            .collect()
    }

    fn line(&mut self, prefix: &str, text: &str) {
        self.out.push_str(prefix);
        self.out.push_str(&printable(text).replace('\n', " "));
        self.out.push('\n');
    }

    fn hop(&mut self, hop: &'a TraceHop, prefix: &str, last: bool) {
        let jti = hop.jti.to_string();
        if !self.drawn.insert(jti.clone()) {
            return;
        }
        let branch = if hop.parent.is_none() && prefix.is_empty() {
            ""
        } else if last {
            "└─ "
        } else {
            "├─ "
        };
        let below = match branch {
            "" => prefix.to_owned(),
            "└─ " => format!("{prefix}   "),
            _ => format!("{prefix}│  "),
        };
        let children = self.children.remove(&jti).unwrap_or_default();
        let stem =
            if children.is_empty() { format!("{below}   ") } else { format!("{below}│  ") };
        self.hop_lines(hop, &format!("{prefix}{branch}"), &stem);
        let decisions = &self.trace.decisions;
        for decision in decisions.iter().filter(|decision| decision.jti == Some(hop.jti)) {
            if self.shown.insert(decision.decision_id.to_string()) {
                self.decision(decision, &stem);
            }
        }
        let count = children.len();
        for (index, child) in children.into_iter().enumerate() {
            self.hop(child, &below, index.saturating_add(1) == count);
        }
    }

    fn hop_lines(&mut self, hop: &TraceHop, first: &str, stem: &str) {
        let renewed = match hop.kind.as_str() {
            "root" | "hop" => String::new(),
            other => format!(", {other}"),
        };
        let focus = self.focus(FocusKind::Token, &hop.jti.to_string());
        self.line(
            first,
            &format!("DT_{} {}  [{}{renewed}]{focus}", hop.depth, hop.agent, hop.state.as_str()),
        );
        let life = match hop.revoked_at {
            Some(at) => format!("{} until {}, revoked {at}", hop.issued_at, hop.expires_at),
            None => format!("{} until {}", hop.issued_at, hop.expires_at),
        };
        self.line(stem, &format!("token  {}  for {}", hop.jti, hop.audience));
        self.line(stem, &format!("life   {life}"));
        self.line(stem, &format!("may    {}", hop.scopes.join(" ")));
        for constraint in &hop.constraints {
            self.line(stem, &format!("       if {}", one_line(constraint)));
        }
        let made = &hop.decision;
        let leaf =
            made.ledger_index.map_or("not in the ledger".to_owned(), |i| format!("leaf {i}"));
        let focus = self.focus(FocusKind::Decision, &made.id.to_string());
        self.line(
            stem,
            &format!("by     {}  decision {}  {leaf}{focus}", policies(&made.determining), made.id),
        );
        self.line(stem, &format!("       policies {}", made.policy_hash));
    }

    fn decision(&mut self, decision: &TraceDecision, stem: &str) {
        let verdict = if decision.allow { "✓" } else { "✗" };
        let what = decision.scope.as_deref().unwrap_or(&decision.act);
        let why = match (&decision.code, &decision.reason) {
            (Some(code), Some(reason)) => format!("  {code}: {reason}"),
            (Some(code), None) => format!("  {code}"),
            _ => String::new(),
        };
        let focus = self.focus(FocusKind::Decision, &decision.decision_id.to_string());
        self.line(
            stem,
            &format!(
                "{verdict} {}  {what}{why}  by {}  leaf {}{focus}",
                decision.time,
                policies(&decision.determining),
                decision.ledger_index
            ),
        );
        if let Some(gateway) = &decision.reported_by {
            let route = decision.route.as_deref().unwrap_or("no route");
            self.line(stem, &format!("    at {gateway}, {route}"));
        }
        if let Some(arguments) = &decision.arguments {
            self.line(stem, &format!("    {}", one_line(arguments)));
        }
    }

    /// What hangs on no hop.
    fn rest(&mut self) {
        let trace = self.trace;
        let loose: Vec<_> = trace
            .decisions
            .iter()
            .filter(|decision| !self.shown.contains(&decision.decision_id.to_string()))
            .collect();
        if !loose.is_empty() {
            self.out.push_str("\nother decisions\n");
        }
        for decision in loose {
            let agent = decision.agent.as_ref().map(ToString::to_string).unwrap_or_default();
            self.decision(decision, "  ");
            if !agent.is_empty() {
                self.line("    ", &format!("asked by {agent}"));
            }
        }
        if !trace.events.is_empty() {
            self.out.push_str("\nevents\n");
        }
        for event in &trace.events {
            let focus = self.focus(FocusKind::LedgerIndex, &event.ledger_index.to_string());
            self.line(
                "  ",
                &format!(
                    "{}  {}  {}  leaf {}{focus}",
                    event.time, event.kind, event.summary, event.ledger_index
                ),
            );
        }
        if !trace.gaps.is_empty() {
            self.out.push_str("\nmissing from the record\n");
        }
        for gap in &trace.gaps {
            self.line("  ", gap);
        }
    }

    fn focus(&self, kind: FocusKind, id: &str) -> &'static str {
        let focus = &self.trace.focus;
        if focus.kind == kind && focus.id == id { "  ◀ asked for" } else { "" }
    }
}

fn policies(ids: &[String]) -> String {
    if ids.is_empty() { "the rules of the code".to_owned() } else { ids.join(", ") }
}

fn one_line(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(ARGUMENTS_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
