//! An agent that is refused again and again.

use serde_json::json;

use crate::authority::IBAN;
use crate::edge::Edge;

#[tokio::test]
async fn an_agent_that_hammers_refusals_fills_no_spool_and_none_is_lost() {
    let mut edge = Edge::start_with("[limits]\nrefusals_per_second_max = 1", "").await;
    let (payer, held) = edge.payer().await;
    let (reader, readers) = edge.reader().await;
    let (mut recorded, mut counted) = (0, 0);
    for _ in 0..30 {
        match edge.pay(&payer, &held, IBAN, 1000.0).await {
            (403, code) if code == "ceiling_exceeded" => recorded += 1,
            (429, code) if code == "rate_limited" => counted += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(recorded >= 10 && counted >= 10, "{recorded} recorded, {counted} counted");
    // Neither another agent's refusals nor its own allowed calls are touched.
    assert_eq!(edge.pay(&reader, &readers, IBAN, 1.0).await, (403, "scope_not_granted".into()));
    assert_eq!(edge.pay(&payer, &held, IBAN, 1.0).await.0, 200);
    edge.shut_down().await.unwrap();
    let said =
        format!("{counted} refusals of spiffe://dev.bailiwick.example/agent/payer past the rate");
    let trace = edge.trace_with(&held.task(), |trace| trace.to_string().contains(&said)).await;
    assert!(trace.to_string().contains(&format!("ceiling_exceeded\\\":{counted}")), "{trace}");
    let decisions = trace["decisions"].as_array().unwrap();
    let refused = decisions.iter().filter(|it| it["code"] == json!("ceiling_exceeded"));
    assert_eq!(refused.count(), recorded, "each of the others has its own receipt");
}
