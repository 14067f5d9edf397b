//! Delegation tokens: scopes, constraints, grants, chains; sans-IO.
//!
//! Nothing here reads a clock, a socket or a file. `now` and fresh random bytes are arguments;
//! verifying is pure, and signing is a seam: [`UnsignedToken::signing_input`] gives the bytes, the
//! caller's key signs them wherever it lives, [`UnsignedToken::attach`] gives the token.
//!
//! The path a token takes: [`UnverifiedToken::parse`] → [`verify_leaf`] or [`verify_chain`] →
//! [`VerifiedChain`]; a delegator's grant goes through [`verify_grant`]. [`narrow`] computes what a
//! child may hold; [`HeldAuthority::is_narrower_than`] checks that it does.

pub mod action;
pub mod authority;
pub mod cache;
mod certificate;
pub mod chain;
pub mod claims;
pub mod constraint;
pub mod crypto;
pub mod error;
pub mod grant;
pub mod hash;
pub mod ids;
pub mod jcs;
mod json;
pub mod jws;
pub mod limits;
pub mod narrow;
pub mod outcome;
pub mod permission;
pub mod scope;
mod text;
pub mod time;
pub mod token;

pub use action::{ActionCall, ActionDigest, ActionError, CanonicalAction};
pub use authority::{ConstraintSet, HeldAuthority, NarrowError};
pub use cache::VerifiedCache;
pub use chain::verify::{
    IssuerKeys, UnverifiedChain, UnverifiedGrant, UnverifiedToken, VerifiedChain, VerifiedGrant,
    VerifyOptions, verify_chain, verify_grant, verify_leaf,
};
pub use constraint::{
    CallArguments, Constraint, Debit, DebitKind, DigestedReads, MemoryReads, Micros, NoReads,
    ReadBounds, ReadDigest, ReadSet, ReadsSalt, Refusal, Rule, Totals,
};
pub use crypto::{
    Algorithm, BadSignature, SigningKey, Thumbprint, VerifyingKey, ct_eq, fill_random, hmac_sha256,
    sha256,
};
pub use error::VerifyError;
pub use grant::{GrantClaims, GrantFacts};
pub use hash::Sha256Hash;
pub use ids::{
    AgentId, ApprovalId, DecisionId, EpochId, GrantId, IdError, LeaseId, RequestId, RevocationId,
    SubjectId, TaskId, TenantId, TokenId, WorkflowId,
};
pub use narrow::narrow;
pub use outcome::Outcome;
pub use scope::{Scope, ScopeForm, ScopeSet};
pub use time::UnixMillis;
pub use token::{
    ActChain, Actor, HolderBinding, HopClaims, HopFacts, SignedToken, StatusRef, UnsignedToken,
};
