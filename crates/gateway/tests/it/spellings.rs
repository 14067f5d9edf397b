//! However a request is spelled, one form decides and is what the upstream gets.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::authority::{Agent, Held, IBAN};
use crate::edge::Edge;

/// One request, byte for byte; gives the status and the whole answer.
async fn ask(
    edge: &Edge,
    (agent, held): (&Agent, &Held),
    (method, target): (&str, &str),
    headers: &str,
    body: &str,
) -> (u16, String) {
    let host = edge.url.strip_prefix("http://").unwrap();
    let path = target.split('?').next().unwrap();
    let proof = agent.proof(method, &format!("{}{path}", edge.url), Some(&held.token));
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n\
         Connection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        held.token,
        body.len()
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn spellings_of_one_payment_are_one_payment() {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let plain = format!("{{\"amount\":1,\"recipient\":\"{IBAN}\"}}");
    let escaped: String = IBAN.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    for (target, headers, body) in [
        ("/bank/payments", JSON, plain.clone()),
        ("/bank/%70ayments/", JSON, plain.clone()),
        ("/bank//./x/../payments", JSON, plain.clone()),
        (
            "/bank/payments",
            "Content-Type: Application/JSON;charset=\"UTF-8\"\r\nX-Admin: 1\r\nX-Amz-Acl: public\r\n",
            format!(" {{ \"recipient\" : \"{escaped}\",\n\"amount\": 1 }} "),
        ),
    ] {
        let (status, answer) = ask(&edge, (&payer, &held), ("POST", target), headers, &body).await;
        assert_eq!(status, 200, "{target}: {answer}");
        let seen = edge.arrived().pop().unwrap();
        assert_eq!(seen.uri.to_string(), "/payments");
        let sent: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(sent, serde_json::from_str::<serde_json::Value>(&plain).unwrap());
        assert_eq!(seen.headers["content-type"], "application/json");
        assert!(!seen.headers.contains_key("x-admin") && !seen.headers.contains_key("x-amz-acl"));
    }
}

#[tokio::test]
async fn what_some_server_reads_differently_reaches_none() {
    let mut edge = Edge::start().await;
    let (payer, held) = edge.payer().await;
    let good = format!("{{\"amount\":1,\"recipient\":\"{IBAN}\"}}");
    let twice = format!("{{\"amount\":1,\"recipient\":\"{IBAN}\",\"recipient\":\"DE1\"}}");
    let form = format!("amount=1&recipient={IBAN}");
    let compressed = format!("{JSON}Content-Encoding: deflate\r\n");
    let overridden = format!("{JSON}X-HTTP-Method-Override: DELETE\r\n");
    let elsewhere = format!("{JSON}X-Original-URL: /admin\r\n");
    let ends = format!("{{\"amount\":1,\"recipient\":\"{IBAN}\\u0000\"}}");
    for (target, headers, body, expected) in [
        ("/bank/payments%00", JSON, &good, 400),
        ("/bank/payments%2f..%2fadmin", JSON, &good, 400),
        ("/bank/payments;a=b", JSON, &good, 400),
        ("/bank/%2570ayments", JSON, &good, 400),
        ("/bank/../bank/payments", JSON, &good, 400),
        ("/bank/payments?_method=DELETE", JSON, &good, 400),
        ("/bank/payments", JSON, &twice, 400),
        ("/bank/payments", JSON, &ends, 400),
        ("/bank/payments", JSON, &form, 400),
        ("/bank/payments", "Content-Type: application/x-www-form-urlencoded\r\n", &form, 415),
        ("/bank/payments", compressed.as_str(), &good, 415),
        ("/bank/payments", overridden.as_str(), &good, 400),
        ("/bank/payments", elsewhere.as_str(), &good, 400),
    ] {
        let (status, answer) = ask(&edge, (&payer, &held), ("POST", target), headers, body).await;
        assert_eq!(status, expected, "{target} {headers} {body}: {answer}");
    }
    assert!(edge.arrived().is_empty());
    let (status, _) = ask(&edge, (&payer, &held), ("POST", "/bank/payments"), JSON, &good).await;
    assert_eq!(status, 200, "the benign twin");
}
