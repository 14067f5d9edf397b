//! Carrying a request through to its end, whether or not its caller waits for that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Work that goes on in a task of its own when nobody waits for it any longer. Only then: handing every
/// request from one task to another costs as much as checking a token.
pub(super) struct CarriedThrough<T: Send + 'static>(
    Option<Pin<Box<dyn Future<Output = T> + Send>>>,
);

/// The work has panicked.
#[derive(Debug)]
pub(super) struct Panicked;

impl<T: Send + 'static> CarriedThrough<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for CarriedThrough<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        // What panicked is dropped and never looked at again.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let done = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(_) => Err(Panicked),
        };
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for CarriedThrough<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    /// Work that begins, waits to be told, and counts how often it has ended.
    fn work(ended: &Arc<AtomicUsize>) -> (oneshot::Sender<()>, CarriedThrough<u8>) {
        let (tell, told) = oneshot::channel();
        let ended = ended.clone();
        let work = CarriedThrough::new(async move {
            told.await.unwrap();
            ended.fetch_add(1, Ordering::SeqCst);
            7
        });
        (tell, work)
    }

    #[tokio::test]
    async fn work_is_done_once_whether_or_not_somebody_waits() {
        let ended = Arc::new(AtomicUsize::new(0));
        let (tell, waited_for) = work(&ended);
        tell.send(()).unwrap();
        assert_eq!(waited_for.await.unwrap(), 7);
        assert_eq!(ended.load(Ordering::SeqCst), 1);

        let (tell, left) = work(&ended);
        tokio::time::timeout(Duration::ZERO, left).await.unwrap_err();
        assert_eq!(ended.load(Ordering::SeqCst), 1, "it waits still");
        tell.send(()).unwrap();
        while ended.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_and_stays_in_its_request() {
        let broken = CarriedThrough::<u8>::new(async {
            tokio::task::yield_now().await;
            panic!("broken");
        });
        broken.await.unwrap_err();
    }
}
