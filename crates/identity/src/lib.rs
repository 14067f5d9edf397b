//! Who is calling, and who is the delegatee, as verified types.
//!
//! Input that nobody has checked yet is [`PresentedToken`] or plain text; what comes out of this crate
//! is [`Subject`], [`Workload`], [`VerifiedProof`] or [`X509Peer`], and each of these can be had only
//! from the function that verified it. Nothing here reads a clock: `now` is an argument.

mod assertion;
mod claims;
mod config;
mod dpop;
mod elapsed;
mod error;
mod fetch;
mod issuers;
mod jwks;
mod jwt;
mod limits;
mod peer;
mod presented;
pub mod private_files;
mod spiffe;
mod subject;
#[cfg(feature = "testing")]
pub mod testing;
mod workload;
mod x509;

pub use assertion::{AssertionError, AssertionKey, CLIENT_ASSERTION_TYPE};
pub use config::{ConfigError, ForeignAlgorithm, IssuerConfig, IssuerKind, JwksSource};
pub use dpop::nonce::NonceIssuer;
pub use dpop::replay::{ReplayGuard, Replayed};
pub use dpop::{NonceRule, PROOF_ALGORITHMS, ProofExpectation, VerifiedProof, verify_proof};
pub use error::IdentityError;
pub use fetch::{KeyClient, KeyClientOptions};
pub use issuers::Issuers;
pub use limits::{
    FOREIGN_JWT_BYTES_MAX, JWKS_BYTES_MAX, JWKS_KEYS_MAX, PROOF_AGE_SECONDS_MAX, PROOF_BYTES_MAX,
    REPLAY_ENTRIES_MAX,
};
pub use peer::{Authorization, HolderProof, PeerCredentials};
pub use presented::PresentedToken;
pub use spiffe::{SpiffeId, SpiffeIdError, TrustDomain};
pub use subject::Subject;
pub use workload::{Workload, WorkloadMethod};
pub use x509::bundle::TrustBundles;
pub use x509::server::{ServerTlsError, server_tls, session_peer};
pub use x509::tls::SpiffeClientVerifier;
pub use x509::{X509Peer, verify_x509_svid};
