//! A published log over HTTP.

use crate::context::Context;
use crate::fault::Fault;
use bailiwick_api::receipts::LeafRange;
use bailiwick_api::{Client, ClientError};
use bailiwick_ledger::opening::OpeningReader;
use bailiwick_ledger::published::{PublishedLog, TileFault};
use bailiwick_ledger::{EntryReader, Hash, HashReader, Opening, ReceiptLine, TileSource};
use tokio::runtime::Handle;
use url::Url;

/// Reads files of the log; for use on a thread that may block.
pub(super) struct Remote {
    client: Client,
    handle: Handle,
}

impl Remote {
    pub(super) fn new(client: Client) -> Self {
        Self { client, handle: Handle::current() }
    }
}

impl TileSource for Remote {
    type Error = ClientError;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ClientError> {
        match self.handle.block_on(self.client.ledger_file(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A published log with the openings of its leaves, which the server gives to auditors.
pub(super) struct RemoteLog<'a> {
    pub(super) published: PublishedLog<'a, Remote>,
    pub(super) remote: &'a Remote,
    /// Called with how many receipts were read so far.
    pub(super) progress: &'a dyn Fn(u64),
}

impl HashReader for RemoteLog<'_> {
    type Error = TileFault<ClientError>;

    fn hashes(&self, level: u8, start: u64, count: u64) -> Result<Vec<Hash>, Self::Error> {
        self.published.hashes(level, start, count)
    }
}

impl EntryReader for RemoteLog<'_> {
    type Error = TileFault<ClientError>;

    fn entries(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, Self::Error> {
        self.published.entries(start, count)
    }
}

impl OpeningReader for RemoteLog<'_> {
    type Error = TileFault<ClientError>;

    fn openings(&self, start: u64, count: u64) -> Result<Vec<Opening>, Self::Error> {
        let mut openings = Vec::new();
        let end = start.saturating_add(count);
        let mut at = start;
        while at < end {
            let range = LeafRange { start: at, count: end.saturating_sub(at) };
            let page = self.remote.handle.block_on(self.remote.client.receipt_lines(&range));
            let page = page.map_err(TileFault::Source)?;
            if page.lines.is_empty() {
                break;
            }
            for line in &page.lines {
                openings.push(self.opening(line, at)?);
                at = at.saturating_add(1);
            }
            (self.progress)(at);
        }
        Ok(openings)
    }
}

impl RemoteLog<'_> {
    fn opening(&self, line: &str, index: u64) -> Result<Opening, TileFault<ClientError>> {
        let unexpected = |what: String| {
            TileFault::Source(ClientError::Unexpected {
                url: self.remote.client.base().to_string(),
                status: 200,
                what,
            })
        };
        let parsed = ReceiptLine::parse(line.as_bytes())
            .map_err(|error| unexpected(format!("receipt {index}: {error}")))?;
        if parsed.index != index {
            return Err(unexpected(format!("receipt {} in place of {index}", parsed.index)));
        }
        Ok(parsed.opening)
    }
}

/// The context of the server whose ledger is at this URL, with or without `/ledger` at its end.
pub(super) fn context_at(url: &str, context: &Context) -> Result<Context, Fault> {
    let url = url.trim_end_matches('/');
    let base = url.strip_suffix("/ledger").unwrap_or(url);
    let base: Url = base.parse().map_err(|error| Fault::local(format!("{url}: {error}")))?;
    Ok(context.at(base))
}

/// Runs work that blocks, on a thread for such.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Fault::local(format!("the work was broken off: {error}")))?
}
