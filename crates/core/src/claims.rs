//! Every claim, header and detail name of the token profile, version 1. A rename is an edit here.

/// The version this module describes; carried as `v` in [`HOP`].
pub const VERSION: u64 = 1;
/// JWS `typ` of every token and grant (RFC 9068).
pub const TYP: &str = "at+jwt";
/// JWS `c14n` of every token and grant: the payload is RFC 8785 bytes (ADC).
pub const C14N: &str = "JCS";
/// JWS `typ` of a token status list (Token Status List).
pub const TYP_STATUS_LIST: &str = "statuslist+jwt";
/// The one claim that is ours.
pub const HOP: &str = "urn:bailiwick:hop";
/// The type of the one authorization detail (RFC 9396, ADC).
pub const DETAIL_TYPE: &str = "agent_delegation";
/// The type of the detail that asks for a task at the token endpoint.
pub const TASK_DETAIL_TYPE: &str = "bailiwick_task";
/// `subject_token_type` of a grant.
pub const TOKEN_TYPE_GRANT: &str = "urn:bailiwick:token-type:grant";
/// The header and metadata key that carry a chain.
pub const CHAIN_HEADER: &str = "delegation-chain";
/// The key that carries a chain inside MCP and A2A metadata.
pub const CHAIN_META: &str = "urn:bailiwick:chain";
/// The separator of tokens in a presented chain, root first.
pub const CHAIN_SEPARATOR: char = '~';

/// Issuer (RFC 7519).
pub const ISS: &str = "iss";
/// Subject: who started the task, the same on every hop.
pub const SUB: &str = "sub";
/// Audience: exactly one.
pub const AUD: &str = "aud";
/// The agent acting at this hop (RFC 9068).
pub const CLIENT_ID: &str = "client_id";
/// Issued at, seconds.
pub const IAT: &str = "iat";
/// Expires at, seconds.
pub const EXP: &str = "exp";
/// Token id.
pub const JTI: &str = "jti";
/// Holder's key (RFC 7800).
pub const CNF: &str = "cnf";
/// DPoP key thumbprint inside `cnf` (RFC 9449).
pub const JKT: &str = "jkt";
/// Certificate thumbprint inside `cnf` (RFC 8705).
pub const X5T_S256: &str = "x5t#S256";
/// Scopes again, for plain OAuth resource servers.
pub const SCOPE: &str = "scope";
/// Authority (RFC 9396).
pub const AUTHORIZATION_DETAILS: &str = "authorization_details";
/// Depth of this hop; DT_0 is 0 (ADC).
pub const DEL_DEPTH: &str = "del_depth";
/// Tokens the chain may have (ADC).
pub const DEL_MAX_DEPTH: &str = "del_max_depth";
/// SHA-256 of the parent's JWS signing input (ADC).
pub const PAR_HASH: &str = "par_hash";
/// Actors, this hop's outermost (RFC 8693).
pub const ACT: &str = "act";
/// The task (draft-ietf-oauth-transaction-tokens).
pub const TXN: &str = "txn";
/// Token Status List reference.
pub const STATUS: &str = "status";
