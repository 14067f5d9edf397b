//! Grants that the benches hand on.

use bailiwick_core::ids::TokenId;
use bailiwick_core::{GrantClaims, GrantFacts, UnsignedToken, VerifiedChain};

use crate::clock;
use crate::fault::Fault;
use crate::holder::{HolderKey, random};

/// A grant of all that the parent holds, signed, which ends at `end` (seconds).
pub(super) fn of_all(
    parent: &VerifiedChain,
    key: &HolderKey,
    delegatee: &str,
    end: i64,
) -> Result<String, Fault> {
    let above = parent.claims();
    let now = clock::now();
    let claims = GrantClaims {
        iss: above.client_id.clone(),
        sub: above.sub.clone(),
        aud: above.aud.clone(),
        client_id: delegatee.parse().map_err(|_| Fault::local("the delegatee has no id"))?,
        iat: now.seconds(),
        exp: end,
        jti: TokenId::new(now, random()?),
        cnf: None,
        authority: above.authority.clone(),
        del_depth: above.del_depth.saturating_add(1),
        del_max_depth: above.del_max_depth,
        par_hash: parent.signing_hash(),
        txn: above.txn,
        hop: GrantFacts {
            purpose: above.hop.purpose.clone(),
            workflow: above.hop.workflow.clone(),
            tenant: above.hop.tenant.clone(),
            env: above.hop.env.clone(),
        },
    };
    let fault = |error: String| Fault::local(format!("a grant: {error}"));
    let signing = key.signing_key();
    let unsigned = UnsignedToken::grant(&claims, &signing.verifying_key())
        .map_err(|error| fault(error.to_string()))?;
    let signature =
        signing.sign(unsigned.signing_input()).map_err(|error| fault(error.to_string()))?;
    Ok(unsigned.attach(&signature).compact)
}
