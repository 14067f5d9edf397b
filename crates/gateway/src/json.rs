//! JSON of a request, read as strictly as anything is decided on: no two readers may see two texts.

use bailiwick_core::jcs::{self, JcsError};
use serde_json::Value;

use crate::stop::Stop;

/// Reads a body: UTF-8, members once, finite numbers, bounded nesting. Any spacing and order.
///
/// # Errors
/// `malformed`, `duplicate_member` or `non_finite`.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Stop> {
    let refused =
        |error: JcsError| Stop::new(error.code(), format!("the body is refused: {error}"));
    let text = std::str::from_utf8(bytes).map_err(|_| refused(JcsError::Malformed))?;
    jcs::scan_text(text).map_err(refused)?;
    serde_json::from_str(text).map_err(|_| refused(JcsError::Malformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        let code = |text: &[u8]| read(text).map_or_else(|stop| stop.code.code(), |_| "read");
        assert_eq!(code(br#" { "b" : 1, "a": [2.50] } "#), "read");
        assert_eq!(code(br#"{"a":1,"a":2}"#), "duplicate_member");
        assert_eq!(code(br#"{"a":1e999}"#), "non_finite");
        assert_eq!(code(b"{\"a\":\"\xff\"}"), "malformed");
        assert_eq!(code(b"{\"a\":1} {}"), "malformed");
        assert_eq!(code(&b"[".repeat(10_000)), "malformed");
    }
}
