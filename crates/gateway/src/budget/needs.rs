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
    /// The token above that one; none when any of the line was renewed, since the budgets of a hop are
    /// those of its first token.
    pub(super) parent: Option<TokenId>,
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
        return Ok(of(leaf, call).map(|debit| need(Whose::Line, leaf, debit)).collect());
    }
    let hops: Vec<&HopClaims> = chain.hops().collect();
    let first = hops.len().saturating_sub(chain.unsettled());
    let Some(settled) = first.checked_sub(1).and_then(|at| hops.get(at)) else {
        let detail = "an unsettled hop was presented without its parent";
        return Err(Stop::new(Outcome::ProvenanceMissing, detail));
    };
    // Another token's lifetime budget is drawn on by its own holder only.
    let subtree = |debit: &Debit| debit.kind == DebitKind::Subtree;
    let above = of(settled, call).filter(subtree).map(|debit| need(Whose::Line, settled, debit));
    let mut needs: Vec<Need> = above.collect();
    for hop in hops.iter().skip(first) {
        let own = of(hop, call).filter(|debit| subtree(debit) || hop.jti == leaf.jti);
        needs.extend(own.map(|debit| need(Whose::Unsettled(hop.jti, debit.limit), settled, debit)));
    }
    Ok(needs)
}

fn of(claims: &HopClaims, call: &CallArguments) -> impl Iterator<Item = Debit> {
    claims.authority.constraints.debits(call).into_iter()
}

fn need(of: Whose, settled: &HopClaims, debit: Debit) -> Need {
    let lineage = &settled.hop.lineage;
    let renewed = lineage.len() != usize::from(settled.del_depth);
    Need {
        of,
        jti: settled.jti,
        parent: lineage.last().copied().filter(|_| !renewed),
        kind: debit.kind,
        key: debit.key.into(),
        amount: debit.amount,
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::crypto::{Algorithm, SigningKey};
    use bailiwick_core::grant::{GrantClaims, GrantFacts};
    use bailiwick_core::token::{HolderBinding, UnsignedToken};
    use bailiwick_core::{
        IssuerKeys, Scope, UnverifiedChain, UnverifiedToken, VerifyOptions, verify_chain,
    };
    use serde_json::{Map, json};

    use super::*;
    use crate::fixture::{NOW, claims};

    const BOTH: &str = r#"[{"key":"calls","max_lifetime":9},{"key":"calls","max_subtree":7}]"#;

    fn signed(unsigned: UnsignedToken, key: &SigningKey) -> String {
        let signature = key.sign(unsigned.signing_input()).unwrap();
        unsigned.attach(&signature).compact
    }

    /// A settled root, and a grant below it that nobody has settled.
    fn offline() -> VerifiedChain {
        let (issuer, holder, next) = (key(), key(), key());
        let mut root = claims(1, &["crm.read"], serde_json::from_str(BOTH).unwrap());
        root.cnf = HolderBinding::Jkt(holder.verifying_key().thumbprint());
        let settled = UnsignedToken::settled(&root, "k", Algorithm::EdDsa).unwrap();
        let par_hash = settled.signing_hash();
        let settled = signed(settled, &issuer);
        let grant = GrantClaims {
            iss: root.client_id.clone(),
            sub: root.sub.clone(),
            aud: root.aud.clone(),
            client_id: "spiffe://dev.bailiwick.example/agent/other".parse().unwrap(),
            iat: root.iat,
            exp: root.exp,
            jti: TokenId::new(NOW, [9; 10]),
            cnf: Some(HolderBinding::Jkt(next.verifying_key().thumbprint())),
            authority: root.authority.clone(),
            del_depth: 1,
            del_max_depth: root.del_max_depth,
            par_hash,
            txn: root.txn,
            hop: GrantFacts {
                purpose: root.hop.purpose.clone(),
                workflow: root.hop.workflow.clone(),
                tenant: root.hop.tenant.clone(),
                env: root.hop.env.clone(),
            },
        };
        let grant = UnsignedToken::grant(&grant, &holder.verifying_key()).unwrap();
        let leaf = UnverifiedToken::parse(&signed(grant, &holder)).unwrap();
        let chain = UnverifiedChain::parse(&settled, &leaf).unwrap();
        let mut keys = IssuerKeys::new();
        keys.insert(&root.iss, "k", issuer.verifying_key());
        let options = VerifyOptions { audience: None, full_chain: false };
        verify_chain(&chain, &keys, &options, NOW).unwrap()
    }

    fn key() -> SigningKey {
        SigningKey::generate(Algorithm::EdDsa).unwrap()
    }

    #[test]
    fn an_unsettled_hop_draws_on_its_own_budgets_and_on_the_subtrees_above() {
        let scope: Scope = "crm.read".parse().unwrap();
        let call = CallArguments::new(scope, Map::new());
        let chain = offline();
        assert_eq!(chain.unsettled(), 1);
        let root = TokenId::new(NOW, [1; 10]);
        let own = TokenId::new(NOW, [9; 10]);
        let found: Vec<_> = needs(&chain, &call)
            .unwrap()
            .into_iter()
            .map(|need| (need.of, need.jti, need.kind, need.amount))
            .collect();
        let one = Micros::units(1);
        let limit = |units| Whose::Unsettled(own, Micros::units(units));
        assert_eq!(
            found,
            [
                // Not the root's own lifetime budget: its holder does not make this call.
                (Whose::Line, root, DebitKind::Subtree, one),
                (limit(9), root, DebitKind::Lifetime, one),
                (limit(7), root, DebitKind::Subtree, one),
            ]
        );
        let settled = crate::fixture::chain_of(&claims(
            1,
            &["crm.read"],
            json!([{"key": "calls", "max_lifetime": 9}]),
        ));
        let found = needs(&settled, &call).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].of, found[0].kind), (Whose::Line, DebitKind::Lifetime));
    }
}
