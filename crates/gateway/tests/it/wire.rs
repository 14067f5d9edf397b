//! Bytes that two parsers could read in two ways: refused, or read and framed anew.

use std::time::Duration;

use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::authority::IBAN;
use crate::edge::Edge;

/// Sends raw bytes and gives the status lines of everything that comes back.
pub async fn raw(edge: &Edge, text: &str) -> Vec<String> {
    let address = edge.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    // An answer begins where the body of the one before ends, which need not be the end of a line.
    text.match_indices("HTTP/1.")
        .filter_map(|(at, _)| text[at..].lines().next())
        .map(str::to_owned)
        .collect()
}

#[rstest]
#[case::two_lengths(
    "POST /bank/payments HTTP/1.1\r\nHost: HOST\r\nAUTH\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nabcd"
)]
#[case::strange_coding(
    "POST /bank/payments HTTP/1.1\r\nHost: HOST\r\nAUTH\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"
)]
#[case::space_before_colon(
    "POST /bank/payments HTTP/1.1\r\nHost: HOST\r\nAUTH\r\nContent-Length : 4\r\n\r\nabcd"
)]
#[case::folded("GET /bank/files/x HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n c\r\nAUTH\r\n\r\n")]
#[case::null_in_a_header("GET /bank/files/x HTTP/1.1\r\nHost: HOST\r\nX-A: b\0c\r\nAUTH\r\n\r\n")]
#[case::no_host("GET /bank/files/x HTTP/1.1\r\nAUTH\r\n\r\n")]
#[case::two_hosts("GET /bank/files/x HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\nAUTH\r\n\r\n")]
#[case::other_host("GET /bank/files/x HTTP/1.1\r\nHost: evil.example\r\nAUTH\r\n\r\n")]
#[case::absolute_form(
    "GET http://evil.example/bank/files/x HTTP/1.1\r\nHost: HOST\r\nAUTH\r\n\r\n"
)]
#[case::tunnel("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nAUTH\r\n\r\n")]
#[case::trace("TRACE /bank/files/x HTTP/1.1\r\nHost: HOST\r\nAUTH\r\n\r\n")]
#[case::two_tokens(
    "GET /bank/files/x HTTP/1.1\r\nHost: HOST\r\nAUTH\r\nAuthorization: DPoP other\r\n\r\n"
)]
#[case::header_taken_away(
    "GET /bank/files/x HTTP/1.1\r\nHost: HOST\r\nConnection: close, content-type\r\nAUTH\r\n\r\n"
)]
#[case::http_09("GET /bank/files/x\r\n\r\n")]
#[tokio::test]
async fn what_has_two_readings_is_refused(#[case] request: &str) {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let host = edge.url.strip_prefix("http://").unwrap().to_owned();
    let (method, path) = {
        let mut words = request.split(' ');
        (words.next().unwrap(), words.next().unwrap().trim().to_owned())
    };
    let proof = payer.proof(method, &format!("{}{path}", edge.url), Some(&held.token));
    let auth = format!("Authorization: DPoP {}\r\nDPoP: {proof}", held.token);
    let lines = raw(&edge, &request.replace("HOST", &host).replace("AUTH", &auth)).await;
    assert!(lines.iter().all(|line| line.contains(" 4") || line.contains(" 5")), "{lines:?}");
    assert!(lines.len() <= 1, "one request, one answer: {lines:?}");
    assert!(edge.arrived().is_empty());
    // The benign twin, over the same kind of connection.
    let body = format!("{{\"recipient\":\"{IBAN}\",\"amount\":1}}");
    let proof = payer.proof("POST", &format!("{}/bank/payments", edge.url), Some(&held.token));
    let good = format!(
        "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        held.token,
        body.len()
    );
    assert_eq!(raw(&edge, &good).await, ["HTTP/1.1 200 OK"]);
    assert_eq!(edge.arrived().len(), 1);
}

#[tokio::test]
async fn bodies_and_heads_are_bounded() {
    let edge =
        Edge::start_with("[limits]\nbody_bytes_max = 1000\nheader_timeout_ms = 500", "").await;
    let (payer, held) = edge.payer().await;
    let large = serde_json::json!({ "recipient": "x".repeat(2000), "amount": 1 });
    let reply = edge.call(&payer, &held, "POST", "/bank/payments", Some(large)).await;
    assert_eq!(crate::edge::told(reply).await, (413, "too_large".into()));
    let head = format!("GET /bank/files/x HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(400_000));
    let lines = raw(&edge, &head).await;
    assert!(lines.is_empty() || lines[0].contains(" 431") || lines[0].contains(" 4"), "{lines:?}");
    // Whoever does not finish its head is not waited for.
    let started = std::time::Instant::now();
    let lines = raw(&edge, "GET /bank/files/x HTTP/1.1\r\nHost: a").await;
    assert!(started.elapsed() < Duration::from_secs(2) && lines.len() <= 1, "{lines:?}");
}

/// RFC 9112 §6.3: a chunked coding stands above a length. What goes on is framed anew, and what
/// follows on the connection is not taken for a request.
#[tokio::test]
async fn a_message_with_two_framings_is_one_message_with_one() {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let host = edge.url.strip_prefix("http://").unwrap().to_owned();
    let body = format!("{{\"recipient\":\"{IBAN}\",\"amount\":1}}");
    let proof = payer.proof("POST", &format!("{}/bank/payments", edge.url), Some(&held.token));
    let request = format!(
        "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n\
         Content-Type: application/json\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\nGET /bank/files/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
        held.token,
        body.len()
    );
    let lines = raw(&edge, &request).await;
    assert_eq!(lines.first().map(String::as_str), Some("HTTP/1.1 200 OK"), "{lines:?}");
    let arrived = edge.arrived();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].headers["content-length"], body.len().to_string().as_str());
    assert!(!arrived[0].headers.contains_key("transfer-encoding"));
    assert_eq!(arrived[0].body, body.as_bytes());
}

/// Reads one answer; the status line and whether the connection is still good.
async fn answer(stream: &mut TcpStream) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 8192]);
    let read = async {
        loop {
            let count = stream.read(&mut bytes).await.unwrap();
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            let length =
                text.to_lowercase().split_once("content-length: ").and_then(|(_, rest)| {
                    rest.split("\r\n").next().and_then(|digits| digits.parse::<usize>().ok())
                });
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
            if count == 0 || length.is_some_and(|length| body.is_some_and(|body| body >= length)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), read).await.unwrap();
    text.lines().next().unwrap_or("the connection was closed").to_owned()
}

#[tokio::test]
async fn a_refusal_does_not_cost_the_connection_when_the_body_comes_late() {
    let edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let host = edge.url.strip_prefix("http://").unwrap().to_owned();
    let body = format!("{{\"recipient\":\"{IBAN}\",\"amount\":1}}");
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let head = |auth: &str| {
        format!(
            "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\n{auth}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
    };
    // As clients do it: the head, and a little later the body, whatever comes back.
    stream.write_all(head("").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.contains(" 401"));
    // And then what was asked for, on the same connection.
    let proof = payer.proof("POST", &format!("{}/bank/payments", edge.url), Some(&held.token));
    let auth = format!("Authorization: DPoP {}\r\nDPoP: {proof}\r\n", held.token);
    stream.write_all(head(&auth).as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let second = answer(&mut stream).await;
    assert!(second.contains(" 200"), "{second}");
}

#[tokio::test]
async fn a_refusal_waits_for_no_body_that_never_comes() {
    let edge = Edge::start().await;
    let host = edge.url.strip_prefix("http://").unwrap().to_owned();
    for (expect, most) in
        [("", Duration::from_secs(4)), ("Expect: 100-continue\r\n", Duration::from_millis(900))]
    {
        let mut stream = TcpStream::connect(&host).await.unwrap();
        let head = format!(
            "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\n{expect}Content-Length: 9\r\n\r\n"
        );
        let start = std::time::Instant::now();
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.contains(" 401"));
        assert!(start.elapsed() < most, "{expect:?} took {:?}", start.elapsed());
    }
}

/// Whoever connects and asks nothing keeps a place from those who do.
#[rstest]
#[case::silent("")]
#[case::half_a_preface("PRI * HTTP/2.0\r\n")]
#[case::http_2_without_a_request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")]
#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed(#[case] sent: &str) {
    let edge = Edge::start_with("[limits]\nheader_timeout_ms = 500\n", "").await;
    let address = edge.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "still open");
    // The benign twin: who has asked may take their time before they ask again.
    let mut kept = TcpStream::connect(address).await.unwrap();
    let ask = format!("GET /bank/files/x HTTP/1.1\r\nHost: {address}\r\n\r\n");
    kept.write_all(ask.as_bytes()).await.unwrap();
    assert!(answer(&mut kept).await.starts_with("HTTP/1.1 401"));
}

/// With nonces off a proof is all that a captured request has: no framing makes two requests of one.
#[tokio::test]
async fn a_proof_makes_one_request_however_it_is_framed() {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let host = edge.url.strip_prefix("http://").unwrap().to_owned();
    let body = format!("{{\"recipient\":\"{IBAN}\",\"amount\":1}}");
    let pay = |proof: &str, more: &str| {
        format!(
            "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n{body}",
            held.token,
            body.len()
        )
    };
    let url = format!("{}/bank/payments", edge.url);
    let proof = payer.proof("POST", &url, Some(&held.token));
    // The same bytes twice on one connection, as a replay would send them.
    let twice = format!("{}{}", pay(&proof, ""), pay(&proof, "Connection: close\r\n"));
    assert_eq!(raw(&edge, &twice).await, ["HTTP/1.1 200 OK", "HTTP/1.1 401 Unauthorized"]);
    assert_eq!(edge.arrived().len(), 1);

    // A whole request, with a proof of its own, inside the body of one that is refused.
    let inner = payer.proof("POST", &url, Some(&held.token));
    let smuggled = pay(&inner, "");
    let outer = format!(
        "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{smuggled}",
        smuggled.len()
    );
    assert_eq!(raw(&edge, &outer).await, ["HTTP/1.1 401 Unauthorized"]);
    // And behind the last chunk of one that is allowed, where its framing says that it ends earlier.
    let proof = payer.proof("POST", &url, Some(&held.token));
    let chunked = format!(
        "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\nDPoP: {inner}\r\n\r\n{smuggled}",
        held.token,
        body.len()
    );
    assert_eq!(raw(&edge, &chunked).await, ["HTTP/1.1 200 OK"]);
    assert_eq!(edge.arrived().len(), 1);
    // The benign twin: nobody has used the inner proof, and so it is good for one request.
    assert_eq!(raw(&edge, &pay(&inner, "Connection: close\r\n")).await, ["HTTP/1.1 200 OK"]);
    assert_eq!(edge.arrived().len(), 1);
}

/// Headers of one connection, and headers that only a proxy says, reach nobody, with nonces off as well.
#[rstest]
#[case::named("Connection: keep-alive, te\r\nTE: trailers\r\nKeep-Alive: timeout=5\r\n", true)]
#[case::proxy("Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\n", true)]
#[case::forwarded(
    "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n",
    true
)]
#[case::rewritten("X-Original-URL: /admin\r\n", false)]
#[case::own_names("Bailiwick-Decision: forged\r\n", true)]
#[case::forged_provenance("Bailiwick-Provenance: forged\r\n", false)]
#[case::takes_the_proof_away("Connection: dpop\r\n", false)]
#[case::takes_the_token_away("Connection: close, authorization\r\n", false)]
#[tokio::test]
async fn headers_of_one_connection_do_not_go_on(#[case] more: &str, #[case] goes: bool) {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let host = edge.url.strip_prefix("http://").unwrap().to_owned();
    let body = format!("{{\"recipient\":\"{IBAN}\",\"amount\":1}}");
    let ask = |more: &str| {
        let url = format!("{}/bank/payments", edge.url);
        let proof = payer.proof("POST", &url, Some(&held.token));
        format!(
            "POST /bank/payments HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n{body}",
            held.token,
            body.len()
        )
    };
    let (plain, asked) = (ask(""), ask(more));
    assert_eq!(raw(&edge, &plain).await, ["HTTP/1.1 200 OK"]);
    let before = edge.arrived();
    let lines = raw(&edge, &asked).await;
    let arrived = edge.arrived();
    if !goes {
        assert!(lines.len() == 1 && lines[0].contains(" 40"), "{lines:?}");
        assert!(arrived.is_empty());
        return;
    }
    // As if they had not been said.
    assert_eq!(lines, ["HTTP/1.1 200 OK"]);
    assert_eq!((arrived.len(), before.len()), (1, 1));
    for (with, without) in arrived.iter().zip(&before) {
        let names = |seen: &crate::edge::Seen| {
            seen.headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(with), names(without));
        assert!(!format!("{:?}", with.headers).contains("forged"));
    }
}
