//! What can be looked at without attacking: clock, keys, policy, feed, and who trusts whom.

use super::{DoctorArgs, Finding};
use crate::clock;
use crate::context::{Context, Server};
use crate::fault::Fault;
use serde_json::Value;
use url::Url;

/// Seconds by which two clocks may differ.
const SKEW_SECONDS_MAX: i64 = 30;

pub(super) async fn look(
    args: &DoctorArgs,
    context: &Context,
    server: &Server,
) -> Result<Vec<Finding>, Fault> {
    let mut findings = vec![
        Finding::check("the clocks agree", clocks(args, context).await),
        Finding::check("the Authority publishes signing keys", keys(server).await),
        Finding::check("the gateway trusts this Authority", trusts(args, server).await),
    ];
    let policies = context.operator().await?.policies().await;
    findings.push(Finding::check(
        "a policy set is in force",
        match policies {
            Ok(set) if set.policies.is_empty() => Err("it has no policies".to_owned()),
            Ok(set) => Ok(format!("{} policies, {}", set.policies.len(), set.hash)),
            Err(error) => Err(error.to_string()),
        },
    ));
    if let Some(management) = &args.management {
        findings
            .push(Finding::check("the gateway is ready, its feed fresh", ready(management).await));
    }
    Ok(findings)
}

async fn clocks(args: &DoctorArgs, context: &Context) -> Result<String, String> {
    let mut told = Vec::new();
    for (name, url) in [("Authority", context.server_url()), ("gateway", &args.gateway)] {
        let reply = reqwest::get(url.clone()).await.map_err(|error| error.to_string())?;
        let date = reply.headers().get("date").and_then(|date| date.to_str().ok());
        let date = date.and_then(parse_http_date).ok_or(format!("the {name} says no date"))?;
        let skew = date.saturating_sub(clock::now().seconds());
        if skew.abs() > SKEW_SECONDS_MAX {
            return Err(format!("the {name} is {skew} s from this machine"));
        }
        told.push(format!("{name} {skew:+} s"));
    }
    Ok(told.join(", "))
}

/// An IMF-fixdate (RFC 9110 §5.6.7) in seconds since the epoch.
fn parse_http_date(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace().skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = words.next()?;
    let month = i64::try_from(months.iter().position(|month| *month == name)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(str::parse::<i64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    // Days from the civil calendar, years beginning in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days =
        year.checked_mul(365)? + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day
            - 1
            - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

async fn keys(server: &Server) -> Result<String, String> {
    let keys = server.client.jwks().await.map_err(|error| error.to_string())?;
    match keys.keys.len() {
        0 => Err("there are none".to_owned()),
        count => Ok(format!("{count}")),
    }
}

/// Every route's metadata names its authorization servers.
async fn trusts(args: &DoctorArgs, server: &Server) -> Result<String, String> {
    let url = args
        .gateway
        .join(&format!("/.well-known/oauth-protected-resource{}", args.path))
        .map_err(|error| error.to_string())?;
    let reply = reqwest::get(url).await.map_err(|error| error.to_string())?;
    let document: Value = reply.json().await.map_err(|_| "no route answers to the path")?;
    let issuer = server.metadata.issuer.as_str();
    let trusted = document.get("authorization_servers").and_then(Value::as_array);
    if trusted.is_some_and(|trusted| trusted.iter().any(|one| one == issuer)) {
        let audience = document.get("bailiwick_audience").and_then(Value::as_str).unwrap_or("?");
        return Ok(format!("{issuer}, audience {audience}"));
    }
    Err(format!("its route names {trusted:?}, not {issuer}"))
}

async fn ready(management: &Url) -> Result<String, String> {
    let url = management.join("/ready").map_err(|error| error.to_string())?;
    let reply = reqwest::get(url).await.map_err(|error| error.to_string())?;
    let ready = reply.status().is_success();
    let text = reply.text().await.map_err(|error| error.to_string())?;
    if ready { Ok(text) } else { Err(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_seconds() {
        assert_eq!(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse_http_date("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(parse_http_date("yesterday"), None);
    }
}
