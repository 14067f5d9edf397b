//! The Authority: everything an operation needs, in one place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bailiwick_core::VerifiedChain;
use bailiwick_core::cache::VerifiedCache;
use bailiwick_core::crypto;
use bailiwick_core::hash::Sha256Hash;
use bailiwick_core::ids::TokenId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::token::HolderBinding;
use bailiwick_identity::{
    Issuers, NonceIssuer, NonceRule, PresentedToken, ProofExpectation, ReplayGuard, Subject,
    Workload, X509Peer, verify_proof,
};
use bailiwick_policy::{AgentStatus, Engine};
use moka::sync::Cache;

use crate::clock::Clock;
use crate::config::{Config, DpopNonce};
use crate::dev::DevDomain;
use crate::fault::Stop;
use crate::feed::Feed;
use crate::feed::closure::Closures;
use crate::keys::SigningKeys;
use crate::ledger_view::LedgerView;
use crate::metrics::Metrics;
use crate::model::{ProofRow, TaskRecord, TaskState, TokenRecord};
use crate::registry::{AgentEntry, Registry};
use crate::revoked::RevokedSet;
use crate::shown::Shown;
use crate::store::StoreHandle;

/// Recorded chains kept parsed.
const CHAINS_MAX: u64 = 200_000;
/// Refusals a second that are logged for callers who have not said who they are.
const NOISE_PER_SECOND_MAX: u64 = 200;

/// The delegation authority. Shared by every request; its parts change under their own locks.
pub(crate) struct Authority {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) store: StoreHandle,
    pub(crate) issuers: Issuers,
    pub(crate) nonces: NonceIssuer,
    pub(crate) replay: ReplayGuard,
    pub(crate) policy: Engine,
    pub(crate) keys: SigningKeys,
    pub(crate) registry: arc_swap::ArcSwap<Registry>,
    /// Serialises changes of the registry, of policy and of keys.
    pub(crate) changes: tokio::sync::Mutex<()>,
    pub(crate) revoked: Arc<RevokedSet>,
    /// What enforcement points are told.
    pub(crate) feed: Arc<Feed>,
    /// Ends that are not known to be dead everywhere.
    pub(crate) closures: Closures,
    pub(crate) verified: VerifiedCache,
    pub(crate) chains: Cache<TokenId, Arc<VerifiedChain>>,
    pub(crate) ledger: LedgerView,
    pub(crate) metrics: Metrics,
    pub(crate) noise: Noise,
    /// When approvers were shown what they decide.
    pub(crate) shown: Shown,
    /// Requests that may be in flight at once.
    pub(crate) in_flight: Arc<tokio::sync::Semaphore>,
    /// The embedded identities of `serve --dev`.
    pub(crate) dev: Option<Arc<DevDomain>>,
}

/// A recorded token with its chain: what a grant narrows.
#[derive(Clone, Debug)]
pub(crate) struct HeldToken {
    pub(crate) record: Arc<TokenRecord>,
    pub(crate) chain: Arc<VerifiedChain>,
}

impl Authority {
    /// Puts the parts together.
    pub(crate) fn chain_cache() -> Cache<TokenId, Arc<VerifiedChain>> {
        Cache::new(CHAINS_MAX)
    }

    /// Ten fresh random bytes, for an id.
    pub(crate) fn fresh(&self) -> [u8; 10] {
        let mut random = [0; 10];
        // INVARIANT: without randomness the process could not have made its nonce key at start.
        let _ = crypto::fill_random(&mut random);
        random
    }

    /// The URL of a path of this Authority, as callers see it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.issuer.trim_end_matches('/'))
    }

    /// Refuses to issue while the clock cannot be trusted.
    pub(crate) fn require_sound_clock(&self) -> Result<(), Stop> {
        if self.clock.is_sound() {
            return Ok(());
        }
        let detail = format!(
            "the clock of the Authority is {} ms behind what it has seen; nothing is issued until it catches up",
            self.clock.lag_ms()
        );
        Err(Stop::new(Outcome::ClockSkew, detail))
    }

    /// Which key the caller holds: that of a DPoP proof, which is burnt for this process (the durable
    /// row goes into the transaction of the effect), or that of the TLS session's certificate.
    pub(crate) fn prove_key(
        &self,
        presented: &Presented<'_>,
        access_token: Option<&str>,
        now: UnixMillis,
    ) -> Result<ProvenKey, Stop> {
        let rule = match self.config.dpop.nonce {
            DpopNonce::Required => NonceRule::Required(&self.nonces),
            DpopNonce::Off => NonceRule::NotRequired,
        };
        match (presented.proof, presented.certificate) {
            (Some(proof), _) => {
                self.verify_proof(proof, presented.method, presented.url, access_token, rule, now)
            }
            (None, Some(peer)) => {
                Ok(ProvenKey { binding: HolderBinding::X5tS256(peer.x5t_s256()), row: None })
            }
            (None, None) => {
                let detail = "no proof of possession: send a DPoP header made by the holder's key";
                Err(Stop::new(Outcome::HolderBindingFailed, detail))
            }
        }
    }

    /// Checks a proof of possession for a method and URL and burns it.
    pub(crate) fn verify_proof(
        &self,
        proof: &str,
        method: &str,
        url: &str,
        access_token: Option<&str>,
        nonce: NonceRule<'_>,
        now: UnixMillis,
    ) -> Result<ProvenKey, Stop> {
        let access_token_hash = access_token.map(|token| crypto::sha256(token.as_bytes()));
        let expect = ProofExpectation { method, url, access_token_hash, nonce };
        let verified = verify_proof(proof, &expect, now).map_err(Stop::of_proof)?;
        let (jti_hash, expires_ms) = (verified.jti_hash(), verified.expires());
        self.replay.check_and_insert(jti_hash, expires_ms, now).map_err(|_| {
            Stop::new(Outcome::ProofReplayed, "the proof was used before; make a new one")
        })?;
        Ok(ProvenKey {
            binding: HolderBinding::Jkt(verified.jkt()),
            row: Some(ProofRow { jti_hash, expires_ms }),
        })
    }

    /// Which workload is asking: by the token it presents, else by its X.509-SVID.
    pub(crate) async fn actor(
        &self,
        presented: &Presented<'_>,
        now: UnixMillis,
    ) -> Result<Workload, Stop> {
        match (presented.actor_token, presented.certificate) {
            (Some(token), _) => self.verify_workload(token, now).await,
            (None, Some(peer)) => Ok(peer.workload().clone()),
            (None, None) => {
                let detail = "no workload identity: send the agent's JWT-SVID as actor_token";
                Err(Stop::new(Outcome::Malformed, detail))
            }
        }
    }

    /// Who started it, by a pinned issuer's token.
    pub(crate) async fn verify_subject(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Subject, Stop> {
        let presented = PresentedToken::new(token);
        Ok(self.issuers.verify_subject(&presented, &self.config.issuer, now).await?)
    }

    /// Which workload is calling, by its SVID or OIDC token.
    pub(crate) async fn verify_workload(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Workload, Stop> {
        let presented = PresentedToken::new(token);
        Ok(self.issuers.verify_workload(&presented, &self.config.issuer, now).await?)
    }

    /// The registered agent behind a verified workload, if it and its owner are live.
    pub(crate) fn live_agent(&self, workload: &Workload) -> Result<Arc<AgentEntry>, Stop> {
        let registry = self.registry.load();
        let Some(agent) = registry.agent_by_workload(workload.id()) else {
            let detail =
                format!("{} is not a registered agent; apply an [[agent]] document", workload.id());
            return Err(Stop::new(Outcome::AgentUnregistered, detail));
        };
        require_live(&registry, agent)?;
        Ok(Arc::clone(agent))
    }

    /// The recorded token that a `par_hash` names.
    pub(crate) async fn held_by_hash(&self, hash: Sha256Hash) -> Result<HeldToken, Stop> {
        let Some(record) = self.store.token_by_signing_hash(hash).await? else {
            let detail = "par_hash names no token of this Authority; \
                          it is the SHA-256 of the parent's JWS signing input";
            return Err(Stop::new(Outcome::ParHashMismatch, detail));
        };
        self.held(record)
    }

    /// A recorded token with its chain.
    pub(crate) fn held(&self, record: Arc<TokenRecord>) -> Result<HeldToken, Stop> {
        if let Some(chain) = self.chains.get(&record.jti) {
            return Ok(HeldToken { record, chain });
        }
        let chain = Arc::new(VerifiedChain::from_issuer_record(&record.signing_input)?);
        self.chains.insert(record.jti, chain.clone());
        Ok(HeldToken { record, chain })
    }

    /// The chains of a token's ancestors, DT_0 first.
    pub(crate) async fn ancestors(
        &self,
        lineage: &[TokenId],
    ) -> Result<Vec<Arc<VerifiedChain>>, Stop> {
        let mut chains = Vec::with_capacity(lineage.len());
        for jti in lineage {
            if let Some(chain) = self.chains.get(jti) {
                chains.push(chain);
                continue;
            }
            let Some(record) = self.store.token(*jti).await? else {
                return Err(Stop::new(
                    Outcome::ProvenanceMissing,
                    "an ancestor of the token has no record",
                ));
            };
            chains.push(self.held(record)?.chain);
        }
        Ok(chains)
    }

    /// Refuses a token that is expired, revoked, or below a revoked one.
    pub(crate) fn require_alive(&self, chain: &VerifiedChain, now: UnixMillis) -> Result<(), Stop> {
        let claims = chain.claims();
        if now.seconds() >= claims.exp {
            return Err(Stop::new(
                Outcome::Expired,
                "the token has expired; renew it or settle again",
            ));
        }
        let line = claims.hop.lineage.iter().chain(std::iter::once(&claims.jti));
        if self.revoked.contains_any(line) {
            return Err(Stop::new(
                Outcome::Revoked,
                "the token or one that it stems from is revoked",
            ));
        }
        Ok(())
    }

    /// The task of a token, if it is open.
    pub(crate) async fn open_task_of(
        &self,
        chain: &VerifiedChain,
        now: UnixMillis,
    ) -> Result<Arc<TaskRecord>, Stop> {
        let Some(task) = self.store.task(chain.claims().txn).await? else {
            return Err(Stop::new(
                Outcome::TaskMismatch,
                "the token's task is not one of this Authority",
            ));
        };
        match task.state_at(now) {
            TaskState::Open => Ok(task),
            TaskState::Revoked => {
                Err(Stop::new(Outcome::Revoked, "the task is revoked; start a new one"))
            }
            state => {
                Err(Stop::new(Outcome::TaskClosed, format!("the task is {state}; start a new one")))
            }
        }
    }
}

/// Refuses an agent that may not act, or whose owner is gone.
pub(crate) fn require_live(registry: &Registry, agent: &AgentEntry) -> Result<(), Stop> {
    match agent.document.status {
        AgentStatus::Active => {}
        AgentStatus::Quarantined => {
            let detail =
                format!("{} is quarantined; an operator has to reinstate it", agent.document.id);
            return Err(Stop::new(Outcome::AgentQuarantined, detail));
        }
        status => {
            let detail = format!("{} is {status}", agent.document.id);
            return Err(Stop::new(Outcome::AgentUnregistered, detail));
        }
    }
    if registry.is_live_owner(&agent.document.owner) {
        return Ok(());
    }
    let detail = format!("the owner of {} is no longer live; give it one", agent.document.id);
    Err(Stop::new(Outcome::AgentUnregistered, detail))
}

/// What a request presents about the workload behind it. Nothing of it is verified but the
/// certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'a> {
    pub(crate) actor_token: Option<&'a str>,
    pub(crate) proof: Option<&'a str>,
    pub(crate) certificate: Option<&'a X509Peer>,
    pub(crate) method: &'a str,
    /// The URL that the proof must be for.
    pub(crate) url: &'a str,
}

/// The key that the caller proved to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProvenKey {
    pub(crate) binding: HolderBinding,
    pub(crate) row: Option<ProofRow>,
}

/// Bounds how fast anonymous refusals may fill the ledger.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    second: AtomicU64,
    count: AtomicU64,
}

impl Noise {
    /// Whether one more refusal is logged in this second.
    pub(crate) fn admits(&self, now: UnixMillis) -> bool {
        let second = now.0 / 1000;
        if self.second.swap(second, Ordering::AcqRel) != second {
            self.count.store(0, Ordering::Release);
        }
        self.count.fetch_add(1, Ordering::AcqRel) < NOISE_PER_SECOND_MAX
    }
}
