//! Streams: through as they come, cut when their chain dies, and ended in order at a shutdown.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::edge::{Edge, told};

#[tokio::test]
async fn a_stream_comes_through_as_it_is_made_and_is_cut_when_its_token_dies() {
    let edge = Edge::start().await;
    let (reader, held) = edge.reader().await;
    let mut stream = edge.call(&reader, &held, "GET", "/bank/stream", None).await;
    assert_eq!(stream.status(), 200);
    let started = Instant::now();
    for _ in 0..3 {
        let chunk = stream.chunk().await.unwrap().unwrap();
        assert!(chunk.starts_with(b"data: {\"tick\":"));
    }
    assert!(started.elapsed() < Duration::from_secs(2), "not gathered first");

    let body = json!({ "target": { "jti": held.jti() }, "reason": "test", "dry_run": false });
    let revoked = edge.world.post_as_operator("/v1/revocations", &body).await;
    assert!(revoked.status().is_success());
    let cut = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(2), cut).await.expect("the stream ends");
    edge.trace_with(&held.task(), |trace| trace.to_string().contains("(cut,")).await;
}

#[tokio::test]
async fn completing_a_task_cuts_its_streams_and_leaves_others_alone() {
    let edge = Edge::start().await;
    let (reader, held) = edge.reader().await;
    let (reader2, held2) = edge.reader().await;
    let mut mine = edge.call(&reader, &held, "GET", "/bank/stream", None).await;
    let mut other = edge.call(&reader2, &held2, "GET", "/bank/stream", None).await;
    mine.chunk().await.unwrap().unwrap();
    let path = format!("/v1/tasks/{}/cancel", held.task());
    let done = edge.world.post_as_operator(&path, &json!({ "reason": "test" })).await;
    assert!(done.status().is_success(), "{}", done.text().await.unwrap());
    let cut = async { while let Ok(Some(_)) = mine.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(2), cut).await.expect("the stream ends");
    for _ in 0..5 {
        other.chunk().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_before_the_answer_leaves_an_outcome() {
    let edge = Edge::start().await;
    let (reader, held) = edge.reader().await;
    let url = format!("{}/bank/slow", edge.url);
    let call = edge
        .http
        .get(&url)
        .header("Authorization", format!("DPoP {}", held.token))
        .header("DPoP", reader.proof("GET", &url, Some(&held.token)))
        .timeout(Duration::from_millis(300));
    assert!(call.send().await.unwrap_err().is_timeout());
    edge.trace_with(&held.task(), |trace| trace.to_string().contains("(abandoned,")).await;
    // The benign twin.
    let waited = edge.call(&reader, &held, "GET", "/bank/slow", None).await;
    assert_eq!(waited.text().await.unwrap(), "late");
    edge.trace_with(&held.task(), |trace| trace.to_string().contains("(complete,")).await;
}

#[tokio::test]
async fn a_large_upload_streams_through() {
    let mut edge = Edge::start().await;
    let (reader, held) = edge.reader().await;
    let url = format!("{}/bank/upload", edge.url);
    let upload = vec![7_u8; 8 * 1024 * 1024];
    let request = edge
        .http
        .put(&url)
        .header("Authorization", format!("DPoP {}", held.token))
        .header("DPoP", reader.proof("PUT", &url, Some(&held.token)))
        .body(upload.clone());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        edge.arrived().pop().unwrap().body == upload,
        "every byte, more than the gateway would gather"
    );
}

#[tokio::test]
async fn a_shutdown_lets_what_is_in_flight_finish() {
    let mut edge = Edge::start().await;
    let (reader, held) = edge.reader().await;
    let url = format!("{}/bank/slow", edge.url);
    let call = edge
        .http
        .get(&url)
        .header("Authorization", format!("DPoP {}", held.token))
        .header("DPoP", reader.proof("GET", &url, Some(&held.token)));
    let call = tokio::spawn(call.send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = edge.shut_down();
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "late");
    tokio::time::timeout(Duration::from_secs(15), stopped).await.unwrap().unwrap();
    assert!(edge.http.get(&url).send().await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn upgrades_are_refused_where_they_are_not_configured() {
    let edge = Edge::start().await;
    let (reader, held) = edge.reader().await;
    let url = format!("{}/bank/stream", edge.url);
    let ask = |upgrade: bool| {
        let request = edge
            .http
            .get(&url)
            .header("Authorization", format!("DPoP {}", held.token))
            .header("DPoP", reader.proof("GET", &url, Some(&held.token)));
        if upgrade {
            request.header("Connection", "upgrade").header("Upgrade", "websocket")
        } else {
            request
        }
    };
    assert_eq!(told(ask(true).send().await.unwrap()).await, (400, "malformed".into()));
    assert_eq!(ask(false).send().await.unwrap().status(), 200);
}
