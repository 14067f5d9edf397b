//! What a call draws on which budgets of its chain.

use std::sync::Arc;

use bailiwick_core::constraint::CallArguments;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::token::HopClaims;
use bailiwick_core::{Debit, DebitKind, Micros, TokenId, VerifiedChain};

use crate::stop::Stop;

/// Units of one key that a call draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Whose budget it is.
    pub(super) of: Whose,
    /// The last settled token of the chain.
    pub(super) jti: TokenId,
    pub(super) kind: DebitKind,
    pub(super) key: Arc<str>,
    pub(super) amount: Micros,
}

/// Whose budget a need draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// That of the settled token, and the subtree budgets above it.
    Line,
    /// That of a hop that nobody but gateways has settled; what it may hold in all.
    Unsettled(TokenId, Micros),
}

/// Everything that the call draws.
///
/// A child keeps every constraint of its parent, so that the keys of the last settled token name
/// those of its ancestors too; which of them count, and up to what, is for the Authority to say.
pub(super) fn needs(chain: &VerifiedChain, call: &CallArguments) -> Result<Vec<Need>, Stop> {
    let leaf = chain.claims();
    if chain.unsettled() == 0 {
        return Ok(of(leaf, call).map(|debit| need(Whose::Line, leaf.jti, debit)).collect());
    }
    let hops: Vec<&HopClaims> = chain.hops().collect();
    let first = hops.len().saturating_sub(chain.unsettled());
    let Some(settled) = first.checked_sub(1).and_then(|at| hops.get(at)) else {
        let detail = "an unsettled hop was presented without its parent";
        return Err(Stop::new(Outcome::ProvenanceMissing, detail));
    };
    let jti = settled.jti;
    // Another token's lifetime budget is drawn on by its own holder only.
    let subtree = |debit: &Debit| debit.kind == DebitKind::Subtree;
    let above = of(settled, call).filter(subtree).map(|debit| need(Whose::Line, jti, debit));
    let mut needs: Vec<Need> = above.collect();
    for hop in hops.iter().skip(first) {
        let own = of(hop, call).filter(|debit| subtree(debit) || hop.jti == leaf.jti);
        needs.extend(own.map(|debit| need(Whose::Unsettled(hop.jti, debit.limit), jti, debit)));
    }
    Ok(needs)
}

fn of(claims: &HopClaims, call: &CallArguments) -> impl Iterator<Item = Debit> {
    claims.authority.constraints.debits(call).into_iter()
}

fn need(of: Whose, jti: TokenId, debit: Debit) -> Need {
    Need { of, jti, kind: debit.kind, key: debit.key.into(), amount: debit.amount }
}
