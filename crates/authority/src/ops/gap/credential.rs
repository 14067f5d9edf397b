//! One credential: its lines, beside what calls through its route took of it.

use std::collections::BTreeMap;

use bailiwick_api::enforcement::downstreams::Downstream;
use bailiwick_api::{CredentialGap, LineCount, NeedCount, Timestamp};
use bailiwick_core::permission::{Need, PermissionLine, Standing};

use super::{Route, Window};
use crate::model::UseRow;

/// The gap of a route's credential, if the gateway holds one for it.
pub(super) fn gap(window: Window, route: &Route, rows: &[UseRow]) -> Option<CredentialGap> {
    let credential = route.now.credential.as_ref()?;
    let through = |row: &&UseRow| {
        row.gateway.as_deref() == Some(&route.gateway)
            && row.route.as_deref() == Some(&route.now.route)
    };
    let (now, before): (Vec<&UseRow>, Vec<&UseRow>) =
        rows.iter().filter(through).partition(|row| window.is_current(row));
    let used = needs(&now);
    let mut lines = credential.permissions.compare(&used, &route.now.needs);
    lines.sort_by(|a, b| (a.standing, &a.action).cmp(&(b.standing, &b.action)));
    let unmet = credential.permissions.unmet(used.keys());
    let unmet = unmet.into_iter().map(|need| NeedCount {
        need: need.to_string(),
        calls: used.get(need).copied().unwrap_or(0),
    });
    let unmapped = now.iter().filter(|row| row.needs.is_empty()).map(|row| row.calls);
    Some(CredentialGap {
        gateway: route.gateway.clone(),
        route: route.now.route.clone(),
        owner: route.now.owner.clone(),
        kind: credential.kind.clone(),
        declared: Timestamp::from(route.since),
        count: count(&lines),
        previous: route.before.as_ref().and_then(|route| counted(route, &before)),
        unmet: unmet.collect(),
        unmapped_calls: unmapped.fold(0, u64::saturating_add),
        lines,
    })
}

fn counted(route: &Downstream, rows: &[&UseRow]) -> Option<LineCount> {
    let credential = route.credential.as_ref()?;
    Some(count(&credential.permissions.compare(&needs(rows), &route.needs)))
}

fn needs(rows: &[&UseRow]) -> BTreeMap<Need, u64> {
    let mut needs: BTreeMap<Need, u64> = BTreeMap::new();
    for row in rows {
        for need in row.needs.iter().filter_map(|text| text.parse().ok()) {
            let calls = needs.entry(need).or_default();
            *calls = calls.saturating_add(row.calls);
        }
    }
    needs
}

fn count(lines: &[PermissionLine]) -> LineCount {
    let mut count = LineCount::default();
    for line in lines {
        let place = match line.standing {
            Standing::Unneeded => &mut count.unneeded,
            Standing::Unused => &mut count.unused,
            Standing::Wider => &mut count.wider,
            Standing::Used => &mut count.used,
        };
        *place = place.saturating_add(1);
    }
    count
}
