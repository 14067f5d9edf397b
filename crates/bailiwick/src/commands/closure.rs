//! How a closure report is shown.

use crate::output::{Render, printable, table};
use bailiwick_api::enforcement::closure::{ClosurePoint, ClosureReport, ClosureState};

impl Render for ClosureReport {
    fn text(&self) -> String {
        let what = match self.state {
            ClosureState::Closed => "CLOSED: dead everywhere",
            ClosureState::Partial => "PARTIAL: an enforcement point has not acknowledged yet",
            ClosureState::Unknown => "UNKNOWN: an enforcement point was lost a short time ago",
        };
        let recorded = match self.ledger_index {
            Some(index) => format!(" (leaf {index})"),
            None => String::new(),
        };
        let mut text = format!("closure        {what}{recorded}\n");
        if self.points.is_empty() {
            text.push_str("               no enforcement point reads the feed\n");
            return text;
        }
        let mut points =
            table(["ENFORCEMENT POINT", "PROCESS", "STATE", "LAG", "ACKNOWLEDGED", "OWES"]);
        for point in &self.points {
            points.add_row(row(point));
        }
        text.push_str(&format!("{points}\n"));
        text
    }
}

fn row(point: &ClosurePoint) -> [String; 6] {
    let state = match point.closes_at {
        Some(time) => format!("{}, refuses by itself from {time}", point.state),
        None => point.state.to_string(),
    };
    let owed = if point.state.is_closed() { "" } else { "the end" };
    let lag = point.lag_ms.map(|lag| format!("{lag} ms")).unwrap_or_default();
    let (agent, process) = (printable(point.agent.as_str()), printable(&point.instance));
    [agent, process, state, lag, point.acknowledged.to_string(), owed.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_api::Timestamp;
    use bailiwick_api::enforcement::closure::PointState;

    fn point(instance: &str, state: PointState, acknowledged: u64) -> ClosurePoint {
        ClosurePoint {
            agent: "spiffe://a.example/gateway/x".parse().unwrap(),
            instance: instance.to_owned(),
            state,
            acknowledged,
            lag_ms: state.is_closed().then_some(7),
            closes_at: (state == PointState::Lost).then(|| Timestamp::from_millis(1_000)),
        }
    }

    #[test]
    fn the_word_and_every_point_are_shown() {
        let mut report = ClosureReport {
            state: ClosureState::Unknown,
            as_of: Timestamp::from_millis(0),
            seq: 10,
            points: vec![
                point("one", PointState::Acknowledged, 10),
                point("two", PointState::Lost, 7),
            ],
            ledger_index: None,
        };
        let text = report.text();
        for word in ["UNKNOWN", "one", "acknowledged", "7 ms", "two", "lost", "1970-01-01"] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
        report.points.clear();
        (report.state, report.ledger_index) = (ClosureState::Closed, Some(41));
        let text = report.text();
        assert!(
            text.contains("CLOSED") && text.contains("leaf 41") && text.contains("no enforcement")
        );
    }
}
