//! A vendor on loopback, private files and a tag, for the tests of connectors.

use std::path::Path;
use std::sync::Arc;

use bailiwick_core::time::UnixMillis;
use bailiwick_core::{DecisionId, TaskId, TokenId};
use bailiwick_identity::private_files;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::carry::ProvenanceTag;

pub(super) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Somebody's call.
pub(super) fn tag() -> ProvenanceTag {
    ProvenanceTag {
        task: TaskId::new(NOW, [1; 10]),
        jti: TokenId::new(NOW, [2; 10]),
        decision: DecisionId::new(NOW, [3; 10]),
        subject: "user:alice@a.example".to_owned(),
        agents: vec!["spiffe://dev.bailiwick.example/agent/first".to_owned()],
        workflow: "reports".to_owned(),
        depth: 0,
        expires: NOW.seconds() + 300,
    }
}

/// Writes a private file and gives its path.
pub(super) fn private(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    private_files::write(&path, text.as_bytes()).unwrap();
    path.display().to_string()
}

/// Answers each request in turn and keeps what it was asked.
pub(super) struct Vendor {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Vendor {
    /// `answer` gets the number of the request, from 1, and gives a status and a body.
    pub(super) async fn start(
        answer: impl Fn(usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                read(stream, &answer, &kept).await;
            }
        });
        Self { url, asked, task }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

async fn read(
    mut stream: TcpStream,
    answer: impl Fn(usize) -> (u16, String),
    kept: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_lowercase().split("content-length: ").nth(1).map(|rest| {
                rest.split("\r\n").next().unwrap_or_default().parse::<usize>().unwrap()
            });
        if body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    let number = {
        let mut kept = kept.lock();
        kept.push(text);
        kept.len()
    };
    let (status, body) = answer(number);
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\nlocation: /x\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()
}
