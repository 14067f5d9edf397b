//! A fault that comes again and again, in the log once and then now and then.

use std::time::Duration;

use crate::clock::Stopwatch;

/// How long the same fault is not told again.
const AGAIN: Duration = Duration::from_secs(60);

/// The last fault that was told.
#[derive(Debug, Default)]
pub(crate) struct Repeated(Option<(String, Stopwatch)>);

impl Repeated {
    /// Whether to tell of it: it is another one than before, or was told long ago.
    pub(crate) fn tells(&mut self, why: &str) -> bool {
        let told = self.0.as_ref();
        if told.is_some_and(|(last, since)| last == why && since.elapsed() < AGAIN) {
            return false;
        }
        self.0 = Some((why.to_owned(), Stopwatch::start()));
        true
    }

    /// It is over; says whether there was one.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_fault_is_told_once_and_another_one_at_once() {
        let mut repeated = Repeated::default();
        assert!(!repeated.is_over());
        assert!(repeated.tells("there is no file"));
        assert!(!repeated.tells("there is no file"));
        assert!(repeated.tells("the file is empty"));
        assert!(repeated.tells("there is no file"));
        assert!(repeated.is_over());
        assert!(repeated.tells("there is no file"), "it came back");
    }
}
