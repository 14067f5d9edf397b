//! Server nonces without state (RFC 9449, section 8): replicas that share the key accept each other's.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bailiwick_core::{UnixMillis, ct_eq, hmac_sha256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long one nonce is the current one. It is accepted for one more such period after that.
const PERIOD_MILLIS: u64 = 120_000;
const MAC_BYTES: usize = 16;
const CONTEXT: &[u8] = b"bailiwick/dpop-nonce/v1\0";

/// Makes and checks nonces: the number of the period, and a MAC over it.
#[derive(Clone)]
pub struct NonceIssuer {
    key: [u8; 32],
    previous: Option<[u8; 32]>,
    /// The nonce of the latest period that was asked for, and its number.
    latest: Arc<ArcSwapOption<(u64, String)>>,
}

impl fmt::Debug for NonceIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceIssuer(key not shown)")
    }
}

impl NonceIssuer {
    /// Nonces under this secret key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, previous: None, latest: Arc::default() }
    }

    /// The same with a new key; nonces made under the old one are accepted until they end.
    #[must_use]
    pub fn rotated(&self, key: [u8; 32]) -> Self {
        Self { key, previous: Some(self.key), latest: Arc::default() }
    }

    /// The nonce to hand out at `now`.
    #[must_use]
    pub fn current(&self, now: UnixMillis) -> String {
        let period = now.0 / PERIOD_MILLIS;
        if let Some(latest) = self.latest.load().as_deref()
            && latest.0 == period
        {
            return latest.1.clone();
        }
        let made = nonce(&self.key, period);
        self.latest.store(Some(Arc::new((period, made.clone()))));
        made
    }

    /// Whether `text` is a nonce of the current period, the one before, or (for a replica whose clock is
    /// ahead) the one after.
    #[must_use]
    pub fn check(&self, text: &str, now: UnixMillis) -> bool {
        let Some(number) = number_of(text) else { return false };
        let period = now.0 / PERIOD_MILLIS;
        if number.abs_diff(period) > 1 {
            return false;
        }
        if let Some(latest) = self.latest.load().as_deref()
            && latest.0 == number
            && ct_eq(latest.1.as_bytes(), text.as_bytes())
        {
            return true;
        }
        let made_by = |key: &[u8; 32]| ct_eq(nonce(key, number).as_bytes(), text.as_bytes());
        made_by(&self.key) || self.previous.as_ref().is_some_and(made_by)
    }
}

fn nonce(key: &[u8; 32], number: u64) -> String {
    let number = number.to_be_bytes();
    let mac = hmac_sha256(key, &[CONTEXT, &number].concat());
    let mut bytes = number.to_vec();
    bytes.extend(mac.iter().take(MAC_BYTES));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn number_of(text: &str) -> Option<u64> {
    if text.len() != (8 + MAC_BYTES).div_ceil(3) * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(u64::from_be_bytes(bytes.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_lives_for_its_period_and_the_next() {
        let issuer = NonceIssuer::new([7; 32]);
        let made = UnixMillis(10 * PERIOD_MILLIS);
        let nonce = issuer.current(made);
        let at = |period: u64| UnixMillis(period * PERIOD_MILLIS + 1);
        let accepted: Vec<_> = (8..=13).filter(|p| issuer.check(&nonce, at(*p))).collect();
        assert_eq!(accepted, [9, 10, 11]);
    }

    #[test]
    fn only_our_own_nonces_pass() {
        let (issuer, now) = (NonceIssuer::new([7; 32]), UnixMillis(1_000_000_000));
        let nonce = issuer.current(now);
        assert!(issuer.check(&nonce, now));
        assert!(!NonceIssuer::new([8; 32]).check(&nonce, now));
        for text in ["", "x", &nonce[1..], &format!("{nonce}A"), &nonce.replace(&nonce[31..], "_")]
        {
            assert!(!issuer.check(text, now), "{text}");
        }
        let renewed = issuer.rotated([9; 32]);
        assert!(renewed.check(&nonce, now) && renewed.check(&renewed.current(now), now));
        assert!(!renewed.rotated([10; 32]).check(&nonce, now), "two keys back");
    }
}
