//! A vendor that echoes a request would show its credential to the agent: what comes back is searched
//! for what went out, and cut there.
//!
//! This finds the credential as it was sent. A vendor that encodes what it echoes (compressed,
//! base64, hexadecimal) is not one to wrap.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use memchr::memmem::Finder;
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::stream::{Body, BoxError};

/// Shorter texts are found everywhere.
const BYTES_MIN: usize = 8;
/// A shorter beginning at the end of a chunk is let through: it gives nothing away.
const HELD_MIN: usize = 4;

/// What a request took along, to be looked for in its reply.
#[derive(Clone)]
pub(crate) struct Echo(Arc<[Needle]>);

struct Needle {
    bytes: Zeroizing<Vec<u8>>,
}

/// The reply holds the credential that was sent.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's reply holds the gateway's own credential")]
pub(crate) struct Echoed;

impl std::fmt::Debug for Echo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl Echo {
    /// Looks for each of these; those too short to be found are left out.
    pub(super) fn of<'s>(texts: impl IntoIterator<Item = &'s str>) -> Option<Self> {
        let needles: Vec<Needle> = texts
            .into_iter()
            .filter(|text| text.len() >= BYTES_MIN)
            .map(|text| Needle { bytes: Zeroizing::new(text.as_bytes().to_vec()) })
            .collect();
        (!needles.is_empty()).then(|| Self(needles.into()))
    }

    pub(super) fn of_secret(secret: &Secret) -> Option<Self> {
        Self::of([secret.expose()])
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|needle| Finder::new(needle.bytes.as_slice()).find(bytes).is_some())
    }

    /// How many bytes at the end of these may be the beginning of a credential.
    fn begun(&self, bytes: &[u8]) -> usize {
        let begun = |needle: &Needle| {
            let longest = needle.bytes.len().saturating_sub(1).min(bytes.len());
            (HELD_MIN..=longest).rev().find(|length| {
                let end = bytes.get(bytes.len() - length..);
                end.is_some() && end == needle.bytes.get(..*length)
            })
        };
        self.0.iter().filter_map(begun).max().unwrap_or(0)
    }

    /// Takes away the headers of a reply that hold the credential.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        let holding: Vec<_> = headers
            .iter()
            .filter(|(_, value)| self.is_in(value.as_bytes()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in holding {
            tracing::warn!(%name, "the upstream echoes the gateway's credential in a header");
            headers.remove(name);
        }
    }

    /// A body that breaks off where the credential would begin.
    pub(crate) fn guard(self, inner: Body) -> Body {
        let longest = self.0.iter().map(|needle| needle.bytes.len()).max().unwrap_or(0);
        Searched {
            echo: self,
            inner,
            held: Bytes::new(),
            tail: VecDeque::new(),
            longest,
            over: false,
        }
        .boxed_unsync()
    }
}

struct Searched {
    echo: Echo,
    inner: Body,
    /// The end of what came, when it may be a beginning.
    held: Bytes,
    /// The last bytes that were let through.
    tail: VecDeque<u8>,
    longest: usize,
    over: bool,
}

impl Searched {
    fn pass(&mut self, data: Bytes) -> Result<Bytes, Echoed> {
        let mut seen: Vec<u8> = self.tail.iter().copied().collect();
        let before = seen.len();
        seen.extend_from_slice(&self.held);
        seen.extend_from_slice(&data);
        if self.echo.is_in(&seen) {
            return Err(Echoed);
        }
        let begun = self.echo.begun(&seen).min(seen.len().saturating_sub(before));
        let data = if self.held.is_empty() {
            data
        } else {
            Bytes::copy_from_slice(seen.get(before..).unwrap_or_default())
        };
        let mut released = data;
        self.held = released.split_off(released.len().saturating_sub(begun));
        self.tail.extend(released.iter().rev().take(self.longest).rev());
        while self.tail.len() >= self.longest {
            self.tail.pop_front();
        }
        Ok(released)
    }
}

impl HttpBody for Searched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut this.inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => match this.pass(data) {
                        Ok(released) if released.is_empty() => {}
                        Ok(released) => return Poll::Ready(Some(Ok(Frame::data(released)))),
                        Err(echoed) => {
                            this.over = true;
                            return Poll::Ready(Some(Err(echoed.into())));
                        }
                    },
                    Err(mut frame) => {
                        if let Some(trailers) = frame.trailers_mut() {
                            this.echo.strip(trailers);
                        }
                        return Poll::Ready(Some(Ok(frame)));
                    }
                },
                Poll::Ready(None) if !this.held.is_empty() => {
                    let rest = std::mem::take(&mut this.held);
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
                other => return other,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.held.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "hunter2-hunter3";

    struct Chunks(VecDeque<Bytes>);

    impl HttpBody for Chunks {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.get_mut().0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
        }
    }

    fn body(chunks: &[&[u8]]) -> Body {
        Chunks(chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk)).collect()).boxed_unsync()
    }

    async fn read(chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut body = Echo::of([SECRET]).unwrap().guard(body(chunks));
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => seen.extend_from_slice(&frame.into_data().unwrap()),
                Err(_) => return (seen, true),
            }
        }
        (seen, false)
    }

    #[tokio::test]
    async fn a_reply_that_holds_the_credential_is_cut_and_its_twin_passes() {
        let (seen, cut) = read(&[b"your key is hunter2-", b"hunter3, thanks"]).await;
        assert!(cut);
        assert!(!String::from_utf8_lossy(&seen).contains("hunter2-"), "{seen:?}");
        let (seen, cut) = read(&[b"your key is hunter2-", b"hunter4, thanks"]).await;
        assert_eq!((seen.as_slice(), cut), (&b"your key is hunter2-hunter4, thanks"[..], false));
        let (seen, cut) = read(&[b"it ends with hunter2-"]).await;
        assert_eq!((seen.as_slice(), cut), (&b"it ends with hunter2-"[..], false));
    }

    #[test]
    fn headers_that_hold_the_credential_are_taken_away() {
        let mut headers = HeaderMap::new();
        headers.insert("x-debug", format!("key={SECRET}").parse().unwrap());
        headers.insert("x-other", "hunter2".parse().unwrap());
        Echo::of([SECRET]).unwrap().strip(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("x-other"));
        assert!(Echo::of(["short"]).is_none());
    }

    proptest! {
        #[test]
        fn wherever_it_is_split_it_is_found(cuts in prop::collection::vec(0_usize..45, 0..8), is: bool) {
            let middle = if is { SECRET } else { "hunter2-hunter_" };
            let text = format!("{}{middle}{}", "x".repeat(15), "y".repeat(15));
            let mut cuts: Vec<usize> = cuts.into_iter().chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (seen, cut) = runtime.block_on(read(&chunks));
            prop_assert_eq!(cut, is);
            if !is {
                prop_assert_eq!(seen, text.as_bytes());
            }
        }
    }
}
