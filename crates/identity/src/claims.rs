//! The claim set of a foreign JWT, read once, with duplicate members refused.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::IdentityError;
use crate::limits::{AUDIENCES_MAX, CLAIM_TEXT_BYTES_MAX, CLAIMS_MAX, SKEW_SECONDS};

/// Claims as the token has them; nothing is verified yet.
pub(crate) struct UnverifiedClaims(Map<String, Value>);

/// When a token may be used, in seconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) expires: i64,
    not_before: Option<i64>,
    issued_at: Option<i64>,
}

impl Times {
    /// Whether the token is good at `now`.
    pub(crate) fn check(&self, now: i64) -> Result<(), IdentityError> {
        if now >= self.expires.saturating_add(SKEW_SECONDS) {
            return Err(IdentityError::Expired);
        }
        let latest = now.saturating_add(SKEW_SECONDS);
        let begins = [self.not_before, self.issued_at];
        if begins.into_iter().flatten().any(|begin| begin > latest) {
            return Err(IdentityError::NotYetValid);
        }
        Ok(())
    }

    /// Refuse a token that lives longer than its issuer is trusted for.
    pub(crate) fn check_lifetime(&self, max: i64, now: i64) -> Result<(), IdentityError> {
        let begin = self.issued_at.or(self.not_before).unwrap_or(now);
        if self.expires.saturating_sub(begin) > max {
            return Err(IdentityError::Malformed(
                "the token lives longer than this issuer may grant",
            ));
        }
        Ok(())
    }
}

impl UnverifiedClaims {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let claims: Self = serde_json::from_slice(bytes)
            .map_err(|_| IdentityError::Malformed("the claims are not a JSON object"))?;
        Ok(claims)
    }

    /// A text claim of bounded size, where present.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, IdentityError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= CLAIM_TEXT_BYTES_MAX * 4 => Ok(Some(text)),
            Some(_) => Err(IdentityError::Malformed("a claim that must be text is not")),
        }
    }

    pub(crate) fn required_text(
        &self,
        name: &str,
        missing: &'static str,
    ) -> Result<&str, IdentityError> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or(IdentityError::Malformed(missing))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// `aud`, which is one text or a list of texts (RFC 7519, section 4.1.3).
    pub(crate) fn audiences(&self) -> Result<Vec<String>, IdentityError> {
        let bad = IdentityError::Malformed("`aud` is not a text or a short list of texts");
        match self.0.get("aud") {
            None | Some(Value::Null) => Err(IdentityError::Malformed("no `aud`")),
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(Value::Array(many)) if !many.is_empty() && many.len() <= AUDIENCES_MAX => many
                .iter()
                .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| bad.clone()))
                .collect(),
            Some(_) => Err(bad),
        }
    }

    /// `exp` (required), `nbf` and `iat`.
    pub(crate) fn times(&self) -> Result<Times, IdentityError> {
        let expires = self.date("exp")?.ok_or(IdentityError::Malformed("no `exp`"))?;
        Ok(Times { expires, not_before: self.date("nbf")?, issued_at: self.date("iat")? })
    }

    pub(crate) fn date(&self, name: &str) -> Result<Option<i64>, IdentityError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => numeric_date(value).map(Some),
        }
    }
}

/// A NumericDate: seconds, possibly with a fraction, which is dropped. Bounded so that no sum overflows.
fn numeric_date(value: &Value) -> Result<i64, IdentityError> {
    const MAX: f64 = 1e14;
    let seconds = value.as_f64().filter(|s| s.is_finite() && (0.0..=MAX).contains(s));
    #[allow(clippy::cast_possible_truncation, reason = "in range: checked on the line above")]
    seconds.map(|s| s as i64).ok_or(IdentityError::Malformed("a date is not a number of seconds"))
}

impl<'de> Deserialize<'de> for UnverifiedClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = UnverifiedClaims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if members.len() >= CLAIMS_MAX || members.insert(name, value).is_some() {
                        return Err(de::Error::custom("too many members, or one twice"));
                    }
                }
                Ok(UnverifiedClaims(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Result<UnverifiedClaims, IdentityError> {
        UnverifiedClaims::parse(text.as_bytes())
    }

    #[test]
    fn a_member_given_twice_is_refused() {
        assert!(claims(r#"{"sub":"a","exp":1}"#).is_ok());
        assert!(claims(r#"{"sub":"a","sub":"b"}"#).is_err());
        assert!(claims("[]").is_err());
    }

    #[test]
    fn dates_are_bounded_numbers() {
        for (text, want) in [("1", Some(1)), ("1.9", Some(1)), ("1e3", Some(1000))] {
            assert_eq!(
                claims(&format!(r#"{{"exp":{text}}}"#)).unwrap().times().ok().map(|t| t.expires),
                want
            );
        }
        for text in ["-1", "1e300", "\"1\"", "true", "[]", "9223372036854775807"] {
            assert!(claims(&format!(r#"{{"exp":{text}}}"#)).unwrap().times().is_err(), "{text}");
        }
        assert!(claims("{}").unwrap().times().is_err());
    }

    #[test]
    fn times_forgive_thirty_seconds_and_no_more() {
        let times = claims(r#"{"exp":1000,"nbf":500,"iat":500}"#).unwrap().times().unwrap();
        let want = [
            (469, Err(IdentityError::NotYetValid)),
            (470, Ok(())),
            (1029, Ok(())),
            (1030, Err(IdentityError::Expired)),
        ];
        for (now, outcome) in want {
            assert_eq!(times.check(now), outcome, "{now}");
        }
        assert!(times.check_lifetime(500, 600).is_ok());
        assert!(times.check_lifetime(499, 600).is_err());
    }

    #[test]
    fn the_audience_is_text_or_a_short_list() {
        assert_eq!(claims(r#"{"aud":"a"}"#).unwrap().audiences().unwrap(), ["a"]);
        assert_eq!(claims(r#"{"aud":["a","b"]}"#).unwrap().audiences().unwrap(), ["a", "b"]);
        let many = format!(r#"{{"aud":[{}"z"]}}"#, "\"a\",".repeat(16));
        for text in [r#"{"aud":[]}"#, r#"{"aud":[1]}"#, r#"{"aud":{}}"#, "{}", &many] {
            assert!(claims(text).unwrap().audiences().is_err(), "{text}");
        }
    }
}
