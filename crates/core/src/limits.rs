//! Every bound on what the domain accepts, in one place; checked before any signature work.

/// The deepest hop: `del_depth` of a leaf. DT_0 is depth 0, so a chain has at most eleven tokens.
pub const DEPTH_MAX: u8 = 10;
/// The largest `del_max_depth`, which counts tokens and not depth (ADC: `del_depth < del_max_depth`).
pub const DEL_MAX_DEPTH_MAX: u8 = DEPTH_MAX + 1;
/// Bytes of one compact token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a whole presented chain, separators included.
pub const CHAIN_BYTES_MAX: usize = 64 * 1024;
/// Seconds a token may live.
pub const TTL_SECONDS_MAX: u64 = 900;
/// Seconds a token for a high-impact workflow may live.
pub const TTL_HIGH_IMPACT_SECONDS_MAX: u64 = 300;
/// Seconds another machine's clock may be ahead of this one.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 30;
/// Constraints in one authority.
pub const CONSTRAINTS_MAX: usize = 64;
/// Scopes in one authority.
pub const SCOPES_MAX: usize = 128;
/// Bytes of one scope.
pub const SCOPE_BYTES_MAX: usize = 256;
/// Bytes of a constraint's key.
pub const CONSTRAINT_KEY_BYTES_MAX: usize = 384;
/// Members of one array constraint (`one_of`, `not_one_of`, `subset_of`, `host`).
pub const MEMBERS_MAX: usize = 1024;
/// Bytes of one string inside a constraint.
pub const CONSTRAINT_STRING_BYTES_MAX: usize = 4096;
/// Names in the `order` of a `rank`.
pub const ORDER_MAX: usize = 64;
/// Elements of one `from_read`.
pub const READ_SOURCES_MAX: usize = 64;
/// Fields in one `where`.
pub const WHERE_FIELDS_MAX: usize = 16;
/// Levels of nesting in any JSON accepted here.
pub const JSON_DEPTH_MAX: usize = 48;
/// Bytes of an agent, subject, tenant or workflow id.
pub const TEXT_ID_BYTES_MAX: usize = 512;
/// Bytes of an issuer or an audience.
pub const URI_BYTES_MAX: usize = 1024;
/// Bytes of a stated purpose.
pub const PURPOSE_BYTES_MAX: usize = 1024;
/// Bytes of a key id.
pub const KID_BYTES_MAX: usize = 128;
/// Ancestors a token may name in `lineage`; renewals may add some beyond the depth.
pub const LINEAGE_MAX: usize = 128;
/// Rows of what a task has read that are kept.
pub const READ_ROWS_MAX: usize = 4_096;
/// Values of one read that are kept, each list counted as one more.
pub const READ_SCALARS_MAX: usize = 8_192;
/// Memory for what one task has read, in bytes, about.
pub const READS_WEIGHT_MAX: usize = 1024 * 1024;
