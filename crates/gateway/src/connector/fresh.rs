//! Something that is fetched once for everybody and kept until it is over.

use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bailiwick_core::time::UnixMillis;

use super::secret::ConnectorFault;

/// After a failed fetch everybody is told its failure for this long.
const FAILED_MS: u64 = 1_000;
/// A rejected value is fetched anew, but not more often than this.
const REJECTED_MS: u64 = 5_000;

struct Held<T> {
    value: Result<Arc<T>, ConnectorFault>,
    since: UnixMillis,
    until: UnixMillis,
}

/// One value, its end, and one fetch at a time.
pub(crate) struct Fresh<T> {
    held: ArcSwapOption<Held<T>>,
    flight: tokio::sync::Mutex<()>,
}

impl<T> Default for Fresh<T> {
    fn default() -> Self {
        Self { held: ArcSwapOption::empty(), flight: tokio::sync::Mutex::default() }
    }
}

impl<T: Send + Sync + 'static> Fresh<T> {
    /// The value, fetched if there is none that is still good. `fetch` gives it and its end.
    ///
    /// A fetch that has begun comes to its end even when whoever asked goes away: what it changes at
    /// the vendor (a refresh token that rotates) must be kept.
    pub(super) async fn get<F>(
        self: &Arc<Self>,
        now: UnixMillis,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ConnectorFault>
    where
        F: Future<Output = Result<(T, UnixMillis), ConnectorFault>> + Send + 'static,
    {
        if let Some(known) = self.known(now) {
            return known;
        }
        let (this, fetching) = (Arc::clone(self), fetch());
        let flight = tokio::spawn(async move {
            let _one = this.flight.lock().await;
            if let Some(known) = this.known(now) {
                return known;
            }
            let (value, until) = match fetching.await {
                Ok((value, until)) => (Ok(Arc::new(value)), until),
                Err(fault) => (Err(fault), UnixMillis(now.0.saturating_add(FAILED_MS))),
            };
            let told = value.clone();
            this.held.store(Some(Arc::new(Held { value, since: now, until })));
            told
        });
        flight.await.unwrap_or_else(|_| Err(ConnectorFault("the fetch was broken off".to_owned())))
    }

    /// What is known and not over.
    fn known(&self, now: UnixMillis) -> Option<Result<Arc<T>, ConnectorFault>> {
        let held = self.held.load();
        held.as_ref().filter(|held| now < held.until).map(|held| held.value.clone())
    }

    /// Whoever it was shown to did not take it.
    pub(super) fn rejected(&self, now: UnixMillis) {
        let held = self.held.load();
        let old = |held: &&Arc<Held<T>>| now.0.saturating_sub(held.since.0) >= REJECTED_MS;
        if held.as_ref().filter(old).is_some() {
            self.held.store(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    #[tokio::test]
    async fn many_who_ask_at_once_make_one_fetch() {
        let (fresh, fetches) = (Arc::new(Fresh::default()), Arc::new(AtomicU64::new(0)));
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let (fresh, fetches) = (Arc::clone(&fresh), Arc::clone(&fetches));
                tokio::spawn(async move {
                    let fetch = || async move {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        Ok((fetches.fetch_add(1, Ordering::SeqCst), UnixMillis(NOW.0 + 1)))
                    };
                    *fresh.get(NOW, fetch).await.unwrap()
                })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.unwrap(), 0);
        }
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        let next = fresh.get(UnixMillis(NOW.0 + 1), || async { Ok((7, UnixMillis(u64::MAX))) });
        assert_eq!(*next.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_failure_is_shared_for_a_moment_and_then_tried_again() {
        let fresh: Arc<Fresh<u8>> = Arc::default();
        let fails = || async { Err(ConnectorFault("no".to_owned())) };
        assert!(fresh.get(NOW, fails).await.is_err());
        let good = || async { Ok((1, UnixMillis(u64::MAX))) };
        assert!(fresh.get(UnixMillis(NOW.0 + FAILED_MS - 1), good).await.is_err());
        assert_eq!(*fresh.get(UnixMillis(NOW.0 + FAILED_MS), good).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_fetch_outlives_whoever_began_it() {
        let fresh: Arc<Fresh<u8>> = Arc::default();
        let (done, ended) = tokio::sync::oneshot::channel();
        let fetch = || async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let _ = done.send(());
            Ok((1, UnixMillis(u64::MAX)))
        };
        let asking = fresh.get(NOW, fetch);
        assert!(tokio::time::timeout(Duration::from_millis(5), asking).await.is_err());
        ended.await.unwrap();
        let never = || async { Err(ConnectorFault("asked twice".to_owned())) };
        assert_eq!(*fresh.get(NOW, never).await.unwrap(), 1);
    }
}
