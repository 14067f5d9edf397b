//! Bounds on what this crate reads. Each is checked before the work that it bounds.

/// Bytes of a JWT from another issuer (subject token, JWT-SVID).
pub const FOREIGN_JWT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a DPoP proof.
pub const PROOF_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a JWK Set or of a SPIFFE bundle.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
/// Keys read from one JWK Set.
pub const JWKS_KEYS_MAX: usize = 64;
/// Age of a DPoP proof, by its `iat`.
pub const PROOF_AGE_SECONDS_MAX: u64 = 60;
/// Proofs that a replay guard remembers at a time.
pub const REPLAY_ENTRIES_MAX: usize = 1_000_000;

/// Bytes of a JOSE header, encoded.
pub(crate) const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a `kid`.
pub(crate) const KID_BYTES_MAX: usize = 256;
/// Members of a claim set.
pub(crate) const CLAIMS_MAX: usize = 256;
/// Values of an `aud` claim.
pub(crate) const AUDIENCES_MAX: usize = 16;
/// Groups taken from one subject token.
pub(crate) const GROUPS_MAX: usize = 512;
/// Bytes of one claim that becomes an identifier, a group or an attribute.
pub(crate) const CLAIM_TEXT_BYTES_MAX: usize = 512;
/// Bytes of a DPoP `jti`, of a nonce and of an HTTP method.
pub(crate) const PROOF_TEXT_BYTES_MAX: usize = 256;
/// Bytes of an `htu`.
pub(crate) const URL_BYTES_MAX: usize = 2048;
/// Bytes of one certificate, and certificates of one chain.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Certificates of a presented chain, leaf included.
pub(crate) const CERTIFICATES_MAX: usize = 6;
/// Roots of one trust domain.
pub(crate) const ROOTS_MAX: usize = 32;
/// Bytes of verified JWTs that are remembered at a time, as they were presented.
pub(crate) const VERIFIED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Clock difference that is forgiven between two machines.
pub(crate) const SKEW_SECONDS: i64 = bailiwick_core::limits::CLOCK_SKEW_SECONDS_MAX as i64;
