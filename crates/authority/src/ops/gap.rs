//! The gap: what credentials can do at their vendors, minus what decisions justified.
//!
//! Two sources, and nothing is guessed: what gateways declare, and the receipts of allowed calls,
//! counted by day as they were appended.

mod credential;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_api::enforcement::downstreams::{Downstream, DownstreamsReport};
use bailiwick_api::{
    CallCount, DayCount, GAP_DAYS, GAP_DAYS_MAX, GapQuery, GapReport, ProblemCode, SystemGap,
    Timestamp, UnboundHop,
};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_policy::Binding;

use crate::authority::Authority;
use crate::fault::Stop;
use crate::model::{DownstreamsRecord, UseRow};
use crate::store::usage::DAY_MS;

/// Rows that one report looks at.
const ROWS_MAX: usize = 200_000;
/// Declarations that one report looks at.
const DECLARATIONS_MAX: usize = 20_000;

/// Makes the report.
///
/// # Errors
///
/// The query is out of bounds, or more would have to be looked at than one report may.
pub(crate) async fn gap(authority: &Authority, query: GapQuery) -> Result<GapReport, Stop> {
    let days = query.days.unwrap_or(GAP_DAYS);
    if !(1..=GAP_DAYS_MAX).contains(&days) {
        return Err(Stop::new(Outcome::Malformed, format!("days is from 1 to {GAP_DAYS_MAX}")));
    }
    let window = Window::of(authority.clock.now(), days);
    let range = window.previous..=window.today;
    let rows = authority.store.used(range, query.system.clone(), ROWS_MAX + 1).await?;
    let records = authority.store.downstreams(DECLARATIONS_MAX + 1).await?;
    if rows.len() > ROWS_MAX || records.len() > DECLARATIONS_MAX {
        let detail =
            "there is more to look at than one report may; ask for fewer days or one system";
        return Err(Stop::new(ProblemCode::TooLarge, detail));
    }
    let declared = Declared::of(&records, window)?;
    Ok(report(window, query.system.as_deref(), &rows, &declared))
}

/// The days looked at, and as many before them. Days since the Unix epoch.
#[derive(Clone, Copy)]
struct Window {
    now: UnixMillis,
    days: u32,
    previous: u32,
    since: u32,
    today: u32,
}

impl Window {
    fn of(now: UnixMillis, days: u32) -> Self {
        let today = u32::try_from(now.0 / DAY_MS).unwrap_or(u32::MAX);
        let since = today.saturating_sub(days).saturating_add(1);
        Self { now, days, previous: since.saturating_sub(days), since, today }
    }

    fn is_current(self, row: &UseRow) -> bool {
        row.day >= self.since
    }
}

fn beginning(day: u32) -> UnixMillis {
    UnixMillis(u64::from(day).saturating_mul(DAY_MS))
}

/// A route as a gateway declares it.
struct Route {
    gateway: String,
    since: UnixMillis,
    now: Downstream,
    /// The same route as it was declared at the end of the days before.
    before: Option<Downstream>,
}

/// Every route that is declared now.
struct Declared(Vec<Route>);

impl Declared {
    /// `records` are newest first within a gateway.
    fn of(records: &[DownstreamsRecord], window: Window) -> Result<Self, Stop> {
        let mut routes = Vec::new();
        let mut seen = BTreeSet::new();
        for record in records {
            if !seen.insert(&record.gateway) {
                continue;
            }
            let earlier = records
                .iter()
                .filter(|it| it.gateway == record.gateway)
                .find(|it| it.declared_ms < beginning(window.since));
            let earlier = earlier.map(read).transpose()?;
            for now in read(record)?.routes {
                let same = |it: &&Downstream| it.route == now.route;
                let before = earlier.as_ref().and_then(|it| it.routes.iter().find(same).cloned());
                let gateway = record.gateway.to_string();
                routes.push(Route { gateway, since: record.declared_ms, now, before });
            }
        }
        Ok(Self(routes))
    }

    fn has(&self, gateway: Option<&str>, route: Option<&str>) -> bool {
        let is = |it: &Route| {
            Some(it.gateway.as_str()) == gateway && Some(it.now.route.as_str()) == route
        };
        self.0.iter().any(is)
    }
}

fn read(record: &DownstreamsRecord) -> Result<DownstreamsReport, Stop> {
    serde_json::from_value(record.document.clone()).map_err(|error| {
        tracing::error!(gateway = %record.gateway, version = record.version, %error, "a declaration cannot be read");
        Stop::new(Outcome::LedgerUnavailable, "a declaration of a gateway cannot be read back")
    })
}

fn report(window: Window, only: Option<&str>, rows: &[UseRow], declared: &Declared) -> GapReport {
    let named = declared.0.iter().map(|route| route.now.system.as_str());
    let used = rows.iter().map(|row| row.system.as_str());
    let mut systems: BTreeSet<&str> = named.chain(used).collect();
    systems.retain(|system| only.is_none_or(|only| only == *system));
    GapReport {
        days: window.days,
        since: beginning(window.since).into(),
        as_of: window.now.into(),
        systems: systems.into_iter().map(|it| system(window, it, rows, declared)).collect(),
    }
}

fn system(window: Window, name: &str, rows: &[UseRow], declared: &Declared) -> SystemGap {
    let routes: Vec<&Route> = declared.0.iter().filter(|it| it.now.system == name).collect();
    let own: Vec<&UseRow> = rows.iter().filter(|row| row.system == name).collect();
    let owners: BTreeSet<&str> = routes.iter().map(|route| route.now.owner.as_str()).collect();
    let (mut calls, mut previous) = (CallCount::default(), CallCount::default());
    let mut trend: BTreeMap<u32, CallCount> = BTreeMap::new();
    for row in &own {
        add(if window.is_current(row) { &mut calls } else { &mut previous }, row);
        add(trend.entry(row.day).or_default(), row);
    }
    let trend = trend
        .into_iter()
        .map(|(day, calls)| DayCount { day: Timestamp::from(beginning(day)), calls });
    let credentials = routes.iter().filter_map(|route| credential::gap(window, route, rows));
    SystemGap {
        system: name.to_owned(),
        owners: owners.into_iter().map(str::to_owned).collect(),
        calls,
        previous,
        trend: trend.collect(),
        hops: hops(window, &own, &routes, declared),
        credentials: credentials.collect(),
    }
}

fn add(count: &mut CallCount, row: &UseRow) {
    count.allowed = count.allowed.saturating_add(row.calls);
    if is_unbound(&row.binding) {
        count.unbound = count.unbound.saturating_add(row.calls);
    }
}

/// Whether nothing there proves a chain. A word that is not known proves nothing.
fn is_unbound(binding: &str) -> bool {
    !matches!(binding.parse(), Ok(Binding::Verifies | Binding::Wrapped))
}

/// Ways that nothing binds, used or not, and ways through a gateway that it does not declare.
fn hops(
    window: Window,
    rows: &[&UseRow],
    routes: &[&Route],
    declared: &Declared,
) -> Vec<UnboundHop> {
    // Gateway, route and binding.
    type Way<'w> = (Option<&'w str>, Option<&'w str>, &'w str);
    let mut hops: BTreeMap<Way<'_>, (u64, u64)> = BTreeMap::new();
    for route in routes.iter().filter(|route| is_unbound(&route.now.binding)) {
        let way = (Some(&*route.gateway), Some(&*route.now.route), &*route.now.binding);
        hops.entry(way).or_default();
    }
    for row in rows {
        let (gateway, route) = (row.gateway.as_deref(), row.route.as_deref());
        let lost = gateway.is_some() && !declared.has(gateway, route);
        if !is_unbound(&row.binding) && !lost {
            continue;
        }
        let (now, before) = hops.entry((gateway, route, &row.binding)).or_default();
        let count = if window.is_current(row) { now } else { before };
        *count = count.saturating_add(row.calls);
    }
    let hop = |((gateway, route, binding), (calls, previous))| UnboundHop {
        gateway: Option::map(gateway, str::to_owned),
        route: Option::map(route, str::to_owned),
        binding: str::to_owned(binding),
        declared: declared.has(gateway, route),
        calls,
        previous,
    };
    hops.into_iter().map(hop).collect()
}

#[cfg(test)]
mod tests;
