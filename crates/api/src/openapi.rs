//! The frame of the OpenAPI 3.1 document; the authority's routes fill it in.

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Bailiwick Authority",
        description = "The delegation authority for AI agents. Every refusal has a stable `code`, \
                       explained at `/problems/{code}`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "oauth", description = "Open, settle, renew, introspect, revoke"),
        (name = "tasks", description = "Tasks"),
        (name = "evaluation", description = "AuthZEN decisions for enforcement points"),
        (name = "enforcement", description = "What enforcement points ask and report"),
        (name = "gap", description = "What credentials can do minus what decisions justified"),
        (name = "approvals", description = "A person's yes or no to one action"),
        (name = "revocations", description = "Revocation, with a preview"),
        (name = "trace", description = "Who, through whom, by which decision"),
        (name = "registry", description = "Owners and workflows"),
        (name = "agents", description = "Agents and their holder keys"),
        (name = "policies", description = "The policy set in force"),
        (name = "ledger", description = "Checkpoints, tiles, receipts"),
        (name = "keys", description = "The Authority's signing keys"),
        (name = "discovery", description = "Metadata and public keys"),
    )
)]
struct Frame;

/// The document without paths: title, tags, licence, and the version of this build.
#[must_use]
pub fn openapi_base() -> OpenApi {
    let mut document = Frame::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document
}
