//! Everything that an enforcement point of one tenant has to know, at one number.

use std::sync::Arc;

use axum::body::Bytes;
use bailiwick_api::enforcement::feed::{FEED_ENTRIES_MAX, FeedAgent, FeedEntry, FeedKind};
use bailiwick_core::ids::TenantId;
use bailiwick_core::time::UnixMillis;
use bailiwick_policy::AgentStatus;
use serde_json::Value;

use super::{Feed, sign};
use crate::authority::Authority;
use crate::keys::KeysError;
use crate::ops::close_task::wire_state;
use crate::registry::{AgentEntry, Registry};

impl Feed {
    /// The parts of a snapshot, its number, and when it was true.
    pub(super) fn snapshot(
        &self,
        authority: &Authority,
        tenant: &TenantId,
    ) -> Result<(u64, UnixMillis, Vec<Bytes>), KeysError> {
        // INVARIANT: the number first. What changes from here on has a higher one, and may be in the
        // snapshot already.
        let (seq, at, mut entries) = self.ended();
        let now = authority.clock.now();
        entries.push(FeedEntry::Policy { hash: authority.policy.current().hash().to_owned() });
        entries.push(keys(authority, now));
        let registry = authority.registry.load();
        let agents = registry.agents().into_iter().filter(|one| one.document.tenant == *tenant);
        entries.extend(agents.map(|one| FeedEntry::Agent(agent(&registry, &one))));
        let revoked = authority.revoked.live(now);
        entries.extend(revoked.into_iter().map(|(jti, exp)| FeedEntry::Revoked { jti, exp }));
        let parts: Vec<_> = entries.chunks(FEED_ENTRIES_MAX).collect();
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let frames = parts.into_iter().zip(0..).map(|(part, number)| {
            let claims =
                self.claims(FeedKind::Snapshot, at, (seq, 0), (number, count), part.to_vec());
            sign(&authority.keys, &claims)
        });
        Ok((seq, at, frames.collect::<Result<_, _>>()?))
    }

    fn ended(&self) -> (u64, UnixMillis, Vec<FeedEntry>) {
        let state = self.state.lock();
        let ended = state
            .ended
            .iter()
            .map(|(task, (how, _))| FeedEntry::Ended { task: *task, state: wire_state(*how) });
        (state.seq, self.clock.now(), ended.collect())
    }
}

/// The ids of the keys that are published.
pub(crate) fn keys(authority: &Authority, now: UnixMillis) -> FeedEntry {
    let set = authority.keys.jwks(now);
    let kids = set.get("keys").and_then(Value::as_array).into_iter().flatten();
    let kids = kids.filter_map(|key| Some(key.get("kid")?.as_str()?.to_owned()));
    FeedEntry::Keys { kids: kids.collect() }
}

/// An agent as policy sees it. One whose owner is gone is suspended, as it is here.
pub(crate) fn agent(registry: &Registry, entry: &AgentEntry) -> FeedAgent {
    let facts = Arc::unwrap_or_clone(crate::ops::facts::agent(entry));
    let orphaned = !registry.is_live_owner(&facts.owner);
    let status = match facts.status {
        AgentStatus::Active if orphaned => AgentStatus::Suspended,
        status => status,
    };
    FeedAgent {
        id: facts.id,
        owner: facts.owner,
        environment: facts.environment,
        tenant: facts.tenant,
        trust_domain: facts.trust_domain,
        clearance: facts.clearance.as_str().to_owned(),
        status: status.as_str().to_owned(),
    }
}

/// The agents that are not, after a change of the registry, what they were.
pub(crate) fn changed_agents(before: &Registry, after: &Registry) -> Vec<FeedEntry> {
    let changed = after.agents().into_iter().filter_map(|entry| {
        let now = agent(after, &entry);
        let same = before
            .agent(entry.document.id.as_ref())
            .is_some_and(|entry| agent(before, entry) == now);
        (!same).then_some(FeedEntry::Agent(now))
    });
    changed.collect()
}
