//! Which budgets a need draws on: the token's own, and the subtree budgets above it.

use std::sync::Arc;

use bailiwick_api::enforcement::leases::LeaseNeed;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{DebitKind, HeldAuthority, Micros, Rule, TokenId};

use crate::authority::{Authority, HeldToken};
use crate::fault::Stop;

/// One budget that is drawn on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// The first token of the hop whose constraint it is.
    pub(super) node: TokenId,
    pub(super) kind: DebitKind,
    pub(super) key: String,
    /// What it may hold in all: by the Authority's own record of the token.
    pub(super) limit: Micros,
    pub(super) need: Micros,
    pub(super) want: Micros,
    /// The hop has no token here; the limit is what the gateway says.
    pub(super) unsettled: bool,
}

/// A hop of the token's line.
struct Hop {
    node: TokenId,
    held: Arc<HeldAuthority>,
}

/// The budgets of every need, each once.
pub(super) async fn budgets(
    authority: &Authority,
    held: &HeldToken,
    needs: &[LeaseNeed],
) -> Result<Vec<Budget>, Stop> {
    let line = line(authority, held).await?;
    let mut budgets: Vec<Budget> = Vec::new();
    for need in needs {
        check(need)?;
        let found = match (need.unsettled_limit_micros, need.node) {
            (Some(limit), Some(node)) => vec![unsettled(authority, need, node, limit).await?],
            (Some(_), None) => return Err(malformed("an unsettled hop has to be named")),
            (None, node) => of_line(&line, need, node),
        };
        if found.is_empty() {
            return Err(malformed(&format!("the token has no such budget `{}`", need.key)));
        }
        for budget in found {
            let same = |other: &&Budget| {
                (other.node, other.kind, &other.key) == (budget.node, budget.kind, &budget.key)
            };
            if budgets.iter().any(|other| same(&other)) {
                return Err(malformed("a budget is asked for twice"));
            }
            budgets.push(budget);
        }
    }
    Ok(budgets)
}

fn check(need: &LeaseNeed) -> Result<(), Stop> {
    let sound = need.need_micros.0 > 0
        && need.want_micros.0 >= 0
        && need.unsettled_limit_micros.is_none_or(|limit| limit.0 >= 0)
        && need.key.len() <= bailiwick_core::limits::CONSTRAINT_KEY_BYTES_MAX;
    if sound { Ok(()) } else { Err(malformed("a need that is no amount of a budget")) }
}

/// The token's hop first, then its ancestors' hops, nearest first.
async fn line(authority: &Authority, held: &HeldToken) -> Result<Vec<Hop>, Stop> {
    let claims = held.chain.claims();
    let own = Hop { node: held.record.hop, held: Arc::clone(&claims.authority) };
    let (mut line, mut depth) = (vec![own], claims.del_depth);
    let ancestors = authority.ancestors(&claims.hop.lineage).await?;
    for ancestor in ancestors.iter().rev() {
        let claims = ancestor.claims();
        // A renewed token's line names its hop twice, and the hop is drawn on once.
        if claims.del_depth >= depth {
            continue;
        }
        depth = claims.del_depth;
        let Some(record) = authority.store.token(claims.jti).await? else {
            let detail = "an ancestor of the token has no record";
            return Err(Stop::new(Outcome::ProvenanceMissing, detail));
        };
        line.push(Hop { node: record.hop, held: Arc::clone(&claims.authority) });
    }
    Ok(line)
}

fn of_line(line: &[Hop], need: &LeaseNeed, node: Option<TokenId>) -> Vec<Budget> {
    let mut found = Vec::new();
    for (place, hop) in line.iter().enumerate() {
        // Another token's lifetime budget is drawn on by its own holder only.
        let counts = place == 0 || need.kind == DebitKind::Subtree;
        let limit = hop.held.constraints.get(&need.key, need.kind.as_str());
        let limit = limit.and_then(|bound| match bound.rule() {
            Rule::MaxLifetime(limit) | Rule::MaxSubtree(limit) => Some(Micros::limit(*limit)),
            _ => None,
        });
        if let Some(limit) = limit
            && counts
            && node.is_none_or(|node| node == hop.node)
        {
            found.push(budget(need, hop.node, limit, false));
        }
    }
    found
}

async fn unsettled(
    authority: &Authority,
    need: &LeaseNeed,
    node: TokenId,
    limit: Micros,
) -> Result<Budget, Stop> {
    // What is recorded here is measured by the record, whatever a gateway says.
    if authority.store.token(node).await?.is_some() {
        return Err(malformed("that hop is settled; ask for its own budget"));
    }
    Ok(budget(need, node, limit, true))
}

fn budget(need: &LeaseNeed, node: TokenId, limit: Micros, unsettled: bool) -> Budget {
    Budget {
        node,
        kind: need.kind,
        key: need.key.clone(),
        limit,
        need: need.need_micros,
        want: need.want_micros,
        unsettled,
    }
}

fn malformed(detail: &str) -> Stop {
    Stop::new(Outcome::Malformed, detail)
}
